"""What comes in place of an inspector's answer, from a proxy or from nobody: one clear line, and no raw error."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebook_do.errors import DurableError, TargetError
from notebook_do.inspector.signing import SigningKey
from notebook_do.live import signed
from notebook_do.live.inspecting import Declined, NotKnown, Returned
from notebook_do.live.signed import SignedWay
from notebook_do.model import Inspector

if TYPE_CHECKING:
    from collections.abc import Iterator


class Between(BaseHTTPRequestHandler):
    """Answers every request with what the test says."""

    status, body, kind = 200, b"", "text/html"
    heads: list[str] = []  # noqa: RUF012 - of the one server of a test

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        Between.heads.append(self.headers["x-notebook-do"])
        self.send_response(Between.status)
        self.send_header("content-type", Between.kind)
        self.send_header("content-length", str(len(Between.body)))
        self.end_headers()
        self.wfile.write(Between.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(address: str, status: int, body: bytes) -> list[Any]:
    """Ask one op where this is answered."""
    Between.status, Between.body = status, body
    signed._skews.clear()
    op = {"object": {"name": "kitchen"}, "op": "call", "method": "count", "args": []}
    return asyncio.run(way_at(address).ask([op], seconds=5))


def way_at(address: str) -> SignedWay:
    """Return the way to an inspector there."""
    return SignedWay(
        address=address,
        audience="account/chat",
        key=SigningKey.made(),
        inspector=Inspector(key="", script_name="chat", namespaces=()),
        stable_id="rooms",
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Sign in</html>", b"[]", b"null", b"{}", b'{"refused": "clock"}', b'{"now": "soon"}', b"\xff" * 9],
)
def test_a_401_that_is_not_the_inspectors_is_said_as_that(address: str, body: bytes) -> None:
    """Cloudflare Access and proxies ask for a sign-in: nothing was done, and who may let it pass is told so."""
    with pytest.raises(TargetError, match=r"HTTP 401 came from .*, and not from the inspector: .*chat-"):
        asked(address, 401, body)


def test_no_request_is_signed_for_a_time_that_somebody_chooses(address: str) -> None:
    """A clock that is more than a day away is not followed: the request would be good for whoever keeps it."""
    Between.heads.clear()
    later = round(time.time() * 1000) + 10 * 24 * 3600 * 1000
    with pytest.raises(TargetError, match="do not agree"):
        asked(address, 401, json.dumps({"refused": "clock", "now": later}).encode())
    times = [json.loads(base64.b64decode(head))["time"] for head in Between.heads]
    assert times
    assert all(abs(one - time.time() * 1000) < 60_000 for one in times)


@pytest.mark.parametrize("second", [None, (404, b""), (401, b"<html>Sign in</html>")])
def test_what_was_done_is_told_where_the_rest_could_not_be_sent_again(second: tuple[int, bytes] | None) -> None:
    """Of two ops one is done and one is to be signed anew: when that fails, the first is still told as done."""

    class Once(Between):
        def do_POST(self) -> None:
            if second is None or Between.heads:
                server.socket.close()
            self.rfile.read(int(self.headers.get("content-length") or 0))
            first = 200, json.dumps([{"ok": 1}, {"again": time.time() * 1000}]).encode()
            status, body = (second or first) if Between.heads else first
            Between.heads.append("")
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    Between.heads.clear()
    signed._skews.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Once) as server:
        thread = Thread(target=lambda: [server.handle_request() for _ in range(1 if second is None else 2)])
        thread.start()
        ops = [{"object": {"name": name}, "op": "call", "method": "add", "args": []} for name in ("kitchen", "hall")]
        done, undone = asyncio.run(way_at(f"http://127.0.0.1:{server.server_port}/").ask(ops, seconds=5))
        thread.join()
    assert done == Returned(value=1)
    assert isinstance(undone, Declined)
    assert undone.why.startswith("it was not sent: ")
    assert not undone.done


ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["ok", "error", "absent", "refused", "unknown", "again", "ms", "$", "v", "name", "id", "now"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
TAGS = st.sampled_from(
    ["object", "map", "set", "def", "ref", "bytes", "array", "date", "number", "bigint", "error", "undefined", "x"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([200, 200, 200, 204, 302, 400, 401, 403, 404, 409, 500, 502, 530]),
    st.one_of(
        ANSWERS.map(lambda answer: json.dumps([answer]).encode()),
        ANSWERS.map(lambda answer: json.dumps(answer).encode()),
        st.tuples(TAGS, ANSWERS).map(lambda pair: json.dumps([{"ok": {"$": pair[0], "v": pair[1]}}]).encode()),
        st.binary(max_size=30),
        st.just(b"[" * 100_000),
        st.just(b'[{"again": ' + b"9" * 5000 + b"}]"),
    ),
)
def test_whatever_comes_in_place_of_an_answer_is_told_in_words(address: str, status: int, body: bytes) -> None:
    """Any status, any bytes: an outcome, or an error of ours; an op is never told as done because of it."""
    try:
        (outcome,) = asked(address, status, body)
    except DurableError:
        return
    if status != 200:
        assert isinstance(outcome, NotKnown)
