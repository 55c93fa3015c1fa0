"""Logs with `target="cloudflare"`, pointed at the local Cloudflare's API: what the target does not tell is NA."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import TargetError
from notebook_do.local.process import launch
from tests.live.test_logs import COLUMNS, ROOMS, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def far(cloud: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[nd.Session]:
    """Deploy a Worker with rooms by a session on Cloudflare, whose API is the local one's."""
    del cloud
    target = launch.ensure(shared_data)
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", target.token())
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", target.account_id)
    monkeypatch.setenv("CLOUDFLARE_API_BASE_URL", target.api)
    session = nd.session("far", target="cloudflare")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("far", script=ROOMS, bindings={"ROOMS": rooms}, observability={"enabled": True})
    session.deploy(session.plan())
    yield session
    target.release()


def ask(path: str, shared_data: Path) -> int:
    """Send a request to the Worker, as a person's browser would."""
    import httpx

    target = launch.status(shared_data)
    assert target
    url = f"http://127.0.0.1:{target.workers_port}{path}"
    host = f"far-dev.localhost:{target.workers_port}"
    return httpx.get(url, headers={"host": host}, trust_env=False, timeout=30).status_code


def test_past_logs_come_by_telemetry(far: nd.Session, shared_data: Path) -> None:
    """The frame is the same as on the local target; of missing lines nothing is told."""
    assert ask("/list", shared_data) == 200
    found = until(lambda: far.logs("far"), "room /list", "slow query")
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == COLUMNS
    assert found.message.tolist() == ["room /list", "2 rows", 'slow query: {"ms": 26}']
    assert found.entrypoint.tolist() == ["GET /list", "Room.list", "Room.list"]
    assert found.exception.isna().all()
    assert found.attrs["missing"] == []


def test_live_logs_come_by_a_tail(far: nd.Session, shared_data: Path) -> None:
    """A tail yields the same records, but that objects have ids alone."""
    with far.tail("far") as tail:
        assert ask("/list", shared_data) == 200
        found = [tail.next(60) for _ in range(3)]
    assert sorted(one.message for one in found if one) == ["2 rows", "room /list", 'slow query: {"ms": 26}']
    (object_id,) = {one.object for one in found if one and one.object}
    assert len(object_id) == 64


def test_observability_that_is_off_is_one_line(far: nd.Session) -> None:
    """Where there is nothing, and observability is off, that is said with what to declare."""
    rooms = far.catalog.namespaces["rooms"]
    nd.Worker("far", script=ROOMS, bindings={"ROOMS": rooms}, observability={"enabled": False})
    far.deploy(far.plan())
    found, _ = far.past_logs("far", since="1s")
    assert found.note == (
        "Worker far keeps no logs on Cloudflare: observability is off. Declare it, and deploy: "
        '--setting observability={"enabled":true}'
    )


class Refusing(BaseHTTPRequestHandler):
    """Cloudflare's answer to a token that lacks a permission; any other request is passed on."""

    def do_POST(self) -> None:
        """Refuse."""
        body = b'{"success": false, "errors": [{"code": 10000, "message": "Authentication error"}], "result": null}'
        self.send_response(403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_missing_permission_is_one_line(far: nd.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that may not read logs is told which permission it needs, and no token or traceback is in that."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = far.connecting._cloudflare
    assert connection
    monkeypatch.setitem(connection.__dict__, "base_url", f"http://127.0.0.1:{server.server_address[1]}/client/v4")
    monkeypatch.setattr(connection.token, "_origin", "")  # it belongs to whom it was sent first
    token = connection.token.reveal()
    for look, permission in (
        (lambda: far.logs("far"), "Workers Observability, Read"),
        (lambda: far.tail("far").__enter__(), "Workers Tail, Read"),
    ):
        with pytest.raises(TargetError) as raised:
            look()
        assert permission in str(raised.value)
        assert "\n" not in str(raised.value)
        assert token not in str(raised.value)
    server.shutdown()
