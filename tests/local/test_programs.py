"""Programs as people write them for Durable Objects, each deployed and used on the local Cloudflare."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.sync.client import connect

import notebook_do as nd
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = Path(__file__).parent / "programs"


class Running:
    """One program, deployed. `call` gives the answer of its Worker."""

    def __init__(self, name: str, bindings: dict[str, Any]) -> None:
        self.session = nd.session(name)
        program = nd.DurableObjectNamespace("program", class_name="Program")
        script = (PROGRAMS / f"{name}.js").read_text()
        nd.Worker(name, script=script, bindings={"PROGRAM": program, **bindings})
        self.deployed = self.session.deploy(self.session.plan())[name]

    def call(self, path: str = "/", method: str = "GET", **options: Any) -> httpx.Response:
        """Call the Worker."""
        return self.deployed.fetch(path, method, **options)

    def begin_anew(self) -> None:
        """Stop the local Cloudflare; the next call starts it again."""
        launch.stop()


@pytest.fixture
def program(cloud: Path) -> Callable[..., Running]:
    """Give a way to deploy a program by its file's name."""
    return lambda name, **bindings: Running(name, bindings)


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask again until the answer is true, for a bounded time; gives the answer."""
    deadline = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < deadline:
        pass
    return answer


def test_counter(program: Callable[..., Running]) -> None:
    """Each name counts for itself, and goes on after everything was stopped."""
    counter = program("counter")
    assert [counter.call(f"/a/{verb}").json() for verb in ("up", "up", "down")] == [1, 2, 1]
    assert counter.call("/b/up").json() == 1
    counter.begin_anew()
    assert counter.call("/a/up").json() == 2


def test_alarm_batcher(program: Callable[..., Running]) -> None:
    """What arrives before the alarm becomes one batch, what arrives after it another."""
    batcher = program("batcher")
    assert [batcher.call("/", "POST", content=item).json() for item in "abc"] == [1, 2, 3]
    assert until(lambda: batcher.call().json()) == [["a", "b", "c"]]
    batcher.call("/", "POST", content="d")
    assert until(lambda: len(batcher.call().json()) == 2)
    assert batcher.call().json() == [["a", "b", "c"], ["d"]]


def test_sql_api(program: Callable[..., Running]) -> None:
    """Rows are written with bound values and grouped; a transaction that throws leaves nothing."""
    notes = program("sql")
    assert notes.call("/work", "POST", content="Robert'); DROP TABLE notes;--").json() == 1
    assert notes.call("/home", "POST", content="milk").json() == 2
    assert notes.call("/both?a=x&b=").status_code == 422
    assert notes.call().json() == [{"topic": "home", "notes": 1}, {"topic": "work", "notes": 1}]
    assert {"topic": "pair", "notes": 2} in notes.call("/both?a=x&b=y").json()


def test_rate_limiter(program: Callable[..., Running]) -> None:
    """Three calls at once are allowed, the fourth is not; another caller has a bucket of its own; it fills again."""
    limiter = program("limiter")
    calls = [limiter.call(headers={"x-caller": "ada"}).status_code for _ in range(4)]
    assert calls == [200, 200, 200, 429]
    assert limiter.call(headers={"x-caller": "grace"}).status_code == 200
    assert until(lambda: limiter.call(headers={"x-caller": "ada"}).status_code == 200)


def test_websocket_chat(program: Callable[..., Running]) -> None:
    """Everyone in the room hears everyone, by name, and hears who leaves; without a websocket the answer is 426."""
    chat = program("chat")
    assert chat.call().status_code == 426
    host, port = str(chat.deployed.url).removeprefix("http://").split(":")

    def enter(stack: ExitStack, name: str) -> Any:
        raw = socket.create_connection(("127.0.0.1", int(port)))
        return stack.enter_context(connect(f"ws://{host}:{port}/?name={name}", sock=raw))

    with ExitStack() as stack:
        ada, grace = enter(stack, "ada"), enter(stack, "grace")
        ada.send("hello")
        assert [one.recv(timeout=60) for one in (ada, grace)] == ["ada: hello"] * 2
        grace.send("hi")
        assert [one.recv(timeout=60) for one in (ada, grace)] == ["grace: hi"] * 2
        grace.close()
        assert ada.recv(timeout=60) == "grace left"


def test_time_to_live(program: Callable[..., Running]) -> None:
    """A visit prolongs the life; after the last one the alarm forgets everything."""
    page = program("ttl")
    assert [page.call("/?lifetime=60000").json() for _ in range(2)] == [1, 2]
    assert page.call().json() == 2
    assert page.call("/?lifetime=100").json() == 3
    assert until(lambda: page.call().json() == 0)
    assert page.session.objects("program")["stored"].tolist() in ([], [False])


def test_in_memory_state(program: Callable[..., Running]) -> None:
    """The value is read from storage once in a life, and a new life begins with what was stored."""
    van = program("memory")
    assert van.call().json() == {"place": "nowhere", "reads": 1}
    assert van.call("/", "POST", content="Lyon").json() == {"place": "Lyon", "reads": 1}
    assert van.call().json() == {"place": "Lyon", "reads": 1}
    van.begin_anew()
    assert van.call().json() == {"place": "Lyon", "reads": 1}


def test_rpc_target(program: Callable[..., Running]) -> None:
    """A method gives an object with methods of its own; what they throw arrives with its name and message."""
    bank = program("rpc")
    assert [bank.call("/ada?amount=2").json(), bank.call("/ada?amount=3").json()] == [2, 5]
    assert bank.call("/grace?amount=1").json() == 1
    refused = bank.call("/ada?amount=0")
    assert (refused.status_code, refused.text) == (400, "RangeError: a deposit is more than nothing")


def test_kv_from_an_object(program: Callable[..., Running]) -> None:
    """The object writes to Workers KV, and the Worker reads it there."""
    press = program("kv", PAGES=nd.KV("0123456789abcdef0123456789abcdef"))
    assert press.call().json() is None
    assert [press.call("/", "POST", content=text).json() for text in ("first", "second")] == [1, 2]
    assert press.call().json() == {"edition": 2, "text": "second"}


def test_readable_stream(program: Callable[..., Running]) -> None:
    """Pieces arrive as they are made, and none is made after the reader has gone."""
    feed = program("stream")
    host = str(feed.deployed.url).removeprefix("http://")
    port = host.rsplit(":", 1)[1]
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/", headers={"host": host}) as answer,
    ):
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(3)] == ["1", "2", "3"]
    assert until(lambda: len({feed.call("/sent").json() for _ in range(40)}) == 1), "it still makes pieces"
