"""The question whether all that was sent before is carried out: what a killed client left is waited for, or told."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, make_api: Callable[[Path], Any]) -> Iterator[Any]:
    """Give a server that nobody else uses."""
    with make_api(tmp_path_factory.mktemp("quiet") / "data") as api:
        yield api


def settled(server: Any) -> Any:
    """Ask until all is carried out: a busy machine may take longer than one answer waits."""
    turns = (server.result(f"{server.account}/local/settled") for _ in range(60))
    return next(told for told in turns if told["settled"])


@pytest.fixture
def asked(quiet: Any) -> Iterator[Any]:
    """Give a server that was asked once, so that a connection to it is open; its account is empty."""
    settled(quiet)
    yield quiet
    os.kill(quiet.target.pid, signal.SIGCONT)
    for name in names(quiet):
        quiet.http.delete(f"{quiet.scripts}/{name}").raise_for_status()


def request_bytes(server: Any, name: str, *, size: int = 0) -> bytes:
    """Write an upload as a client's kernel has it, `size` bytes of comment included."""
    sent = server.http.build_request(
        "PUT",
        f"{server.scripts}/{name}",
        files={
            "metadata": (None, '{"main_module": "index.js", "compatibility_date": "2026-06-01"}'),
            "index.js": ("index.js", server.plain + "//" + "x" * size, "application/javascript+module"),
        },
    )
    sent.read()
    token = server.target.token()
    lines = [f"PUT {sent.url.raw_path.decode()} HTTP/1.1", f"Authorization: Bearer {token}"]
    lines += [f"{k}: {v}" for k, v in sent.headers.items() if k in {"host", "content-length", "content-type"}]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + sent.content


def connected(server: Any) -> socket.socket:
    """Open a connection to the API."""
    return socket.create_connection(("127.0.0.1", int(server.target.api.split(":")[2].split("/")[0])))


def names(server: Any) -> set[str]:
    """Name the scripts that are live."""
    return {script["id"] for script in server.result(server.scripts)}


@pytest.mark.parametrize("before", [True, False], ids=["accepted", "in the backlog"])
@pytest.mark.parametrize("size", [0, 400_000])
def test_what_the_kernel_still_holds_is_carried_out_before_the_answer(asked: Any, before: bool, size: int) -> None:  # noqa: FBT001
    """A request whose sender died before the server read it is carried out once the answer says settled.

    The server stands still meanwhile, so that it is all in the kernel; the asker's connection is older.
    """
    sender = connected(asked) if before else None
    if before:
        settled(asked)
    os.kill(asked.target.pid, signal.SIGSTOP)
    sender = sender or connected(asked)
    sent = request_bytes(asked, "late", size=size)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(sent))
    sender.settimeout(0)  # what does not fit into the kernel was never sent
    whole = sender.send(sent) == len(sent)
    sender.close()
    threading.Timer(0.2, os.kill, (asked.target.pid, signal.SIGCONT)).start()
    assert settled(asked)["port"] == asked.http.base_url.port
    assert whole or size
    assert names(asked) == ({"late"} if whole else set())


@pytest.mark.parametrize("part", [40, -1], ids=["part of a head", "all but one byte"])
def test_what_may_still_become_a_request_is_not_settled(asked: Any, part: int) -> None:
    """As long as somebody is in the middle of a request it may be carried out, and the answer says so in a second."""
    sent = request_bytes(asked, "half")
    with connected(asked) as sender:
        sender.sendall(sent[:part])
        assert asked.result(f"{asked.account}/local/settled")["settled"] is False
        assert names(asked) == set()
    settled(asked)
    assert names(asked) == set()


def test_idle_connections_and_reads_hold_nothing_back(asked: Any) -> None:
    """A client that keeps its connection, or has not said anything yet, is waited for in no way."""
    asked.upload("one")
    with connected(asked), connected(asked):
        assert settled(asked)["settled"] is True
