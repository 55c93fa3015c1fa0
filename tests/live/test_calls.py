"""Methods of live objects are called from Python, on the real local Cloudflare: what they return, throw and refuse."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.oinspect import Inspector

import notebook_do as nd
from notebook_do.errors import CommandError, TargetError

if TYPE_CHECKING:
    from pathlib import Path

ROOMS = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  list() { return [{ author: "ada" }]; }
  echo(value) { return value; }
  kind(value) { return [typeof value, value?.constructor?.name ?? null]; }
  count() { this.n = (this.n ?? 0) + 1; return this.n; }
  boom() { return inside(); }
  chained() { throw new RangeError("outer", { cause: new TypeError("inner") }); }
  throws(what) { throw what; }
  async slow(ms) { await scheduler.wait(ms); return this.count(); }
  next() { return { rows: [new Map([["a", class Cursor {}]])] }; }
  cursor() { return { next: new (class Cursor {})() }; }
  stream() { return new Blob(["ab", "cd"]).stream(); }
  ring() { const made = { name: "ring" }; made.self = made; return made; }
  twice() { const one = { a: 1 }; return [one, one]; }
  big() { return "x".repeat(17 << 20); }
  deep() { let made = []; for (let n = 0; n < 100000; n++) made = [made]; return made; }
  keep(value) { return this.ctx.storage.put("kept", value); }
  call(word) { return `called ${word}`; }
  die() { this.ctx.abort("gone"); }
}
function inside() { throw new TypeError("kaboom inside"); }
export class Broken extends DurableObject {
  constructor(ctx, env) { super(ctx, env); throw new Error("no table"); }
  get() { return 1; }
}
export default { async fetch(request, env) {
  try { return new Response(await env.ROOMS.getByName("a")[request.headers.get("name")]({ text: "{}" })); }
  catch (error) { return new Response(error.message); }
} };
"""


@pytest.fixture
def chat(cloud: Path) -> nd.Session:
    """Deploy a Worker with two classes."""
    del cloud
    session = nd.session("chat")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    broken = nd.DurableObjectNamespace("broken", class_name="Broken")
    nd.Worker("chat", script=ROOMS, bindings={"ROOMS": rooms, "BROKEN": broken})
    session.deploy(session.plan())
    return session


def test_a_method_is_called_by_attribute_and_by_name(chat: nd.Session) -> None:
    """`room.list()` and `room.call("list")` both return what the method returns, as Python values."""
    room = chat.object("rooms", "kitchen")
    assert room.list() == room.call("list") == [{"author": "ada"}]
    assert room.echo({"a": [1, 2.5, None, "é"]}) == {"a": [1, 2.5, None, "é"]}
    assert chat.objects("rooms").name.tolist() == ["kitchen"]  # calling creates by nature


def test_an_object_is_found_by_its_id(chat: nd.Session) -> None:
    """64 hexadecimal digits are an id; one of another namespace is refused by what reads ids."""
    room = chat.object("rooms", "kitchen")
    assert (room.count(), room.count()) == (1, 2)
    (id_,) = chat.objects("rooms").object_id
    assert chat.object("rooms", id_).count() == 3
    with pytest.raises(CommandError, match=r"broken / [0-9a-f]{64} . get\(\): Durable Object ID is not valid"):
        chat.object("broken", id_).get()


def test_looking_at_a_handle_sends_nothing(chat: nd.Session, sent: list[str]) -> None:
    """Making it, its attributes, dir(), `?`, completion, copies and displays send nothing and make no object."""
    room = chat.object("rooms", "kitchen")
    for name in ("shape", "trait_names", "columns", "keys", "getdoc", "then"):
        getattr(room, name)
    for name in ("_repr_html_", "_repr_mimebundle_", "__array__", "_ipython_display_", "_x"):
        with pytest.raises(AttributeError):
            getattr(room, name)
    assert "call" in dir(room)
    assert "kitchen" in Inspector(theme_name="nocolor").info(room, oname="room")["string_form"]
    Inspector(theme_name="nocolor").info(room.messages, oname="room.messages")
    assert repr(copy.copy(room)) == repr(room) == "<object 'kitchen' of namespace rooms>"
    assert repr(room.messages) == "<method messages of <object 'kitchen' of namespace rooms>>"
    assert sent == []


def test_our_own_verbs_win_over_methods_of_the_same_name(chat: nd.Session) -> None:
    """A method called `call` is reached by `room.call("call", ...)`."""
    assert chat.object("rooms", "kitchen").call("call", "me") == "called me"


def test_what_a_method_throws_is_a_jserror_with_the_objects_own_stack(chat: nd.Session) -> None:
    """Name, message, stack and cause are JavaScript's; the stack has the frames of the Worker's source and no other."""
    room = chat.object("rooms", "kitchen")
    with pytest.raises(nd.JSError) as raised:
        room.boom()
    error = raised.value
    assert isinstance(error, nd.DurableError)
    assert (error.name, error.message, str(error)) == ("TypeError", "kaboom inside", "TypeError: kaboom inside")
    assert error.stack is not None
    first, *frames = [line.strip() for line in error.stack.splitlines()]
    assert first == "TypeError: kaboom inside"
    assert frames == ["at inside (index.js:22:27)", "at Room.boom (index.js:7:19)"]
    with pytest.raises(nd.JSError) as raised:
        room.chained()
    assert raised.value.cause == nd.JSError("TypeError", "inner")


@pytest.mark.parametrize(
    ("thrown", "said"),
    [("text", "thrown: text"), ({"code": 5}, 'thrown: {"code":5}'), (None, "thrown: null"), (5, "thrown: 5")],
)
def test_what_is_thrown_need_not_be_an_error(chat: nd.Session, thrown: Any, said: str) -> None:
    """A thrown value is told as text, and is the cause."""
    with pytest.raises(nd.JSError) as raised:
        chat.object("rooms", "kitchen").throws(thrown)
    assert str(raised.value) == said
    assert raised.value.cause == thrown


def test_a_constructor_that_throws_is_a_jserror(chat: nd.Session) -> None:
    """What the object's constructor throws is told as what the method's would be; its stack cannot be had."""
    with pytest.raises(nd.JSError, match="Error: no table") as raised:
        chat.object("broken", "a").get()
    assert raised.value.stack is None


def test_an_object_that_aborts_itself_under_the_call_says_why(chat: nd.Session) -> None:
    """`ctx.abort(reason)` ends the call with its reason."""
    with pytest.raises(nd.JSError, match="gone"):
        chat.object("rooms", "kitchen").die()


def test_an_unknown_method_lists_what_there_is(chat: nd.Session) -> None:
    """Nothing is called; the methods that there are and the nearest are named, inherited ones and fields are none."""
    room = chat.object("rooms", "kitchen")
    with pytest.raises(CommandError) as raised:
        room.lst()
    assert str(raised.value).startswith(
        "rooms / kitchen . lst(): class Room has no method lst; it has list, echo, kind, count,"
    )
    assert str(raised.value).endswith("Did you mean list?")
    for name in ("toString", "constructor", "fetch", "ctx", "n"):
        with pytest.raises(CommandError, match=f"has no method {name}"):
            room.call(name)
    with pytest.raises(CommandError, match="no method that can be called"):
        room.call("_private")
    with pytest.raises(CommandError, match=r"JavaScript has no keyword arguments \(author\)"):
        room.echo(author="ada")


def test_an_object_of_an_empty_session_says_what_to_do(home: Path) -> None:
    """Where no namespace is known there is none to name: one is declared and deployed first."""
    del home
    with pytest.raises(CommandError, match=r"no namespace rooms is .*; declare one, and deploy it, first\.$"):
        nd.session("empty").object("rooms", "kitchen")


def test_a_namespace_of_another_session_is_not_found(chat: nd.Session) -> None:
    """Objects are looked up in namespaces of this session, by stable ID; the nearest one is named."""
    with pytest.raises(CommandError, match=r"no namespace room is declared or deployed; did you mean rooms\?"):
        chat.object("room", "kitchen")
    nd.DurableObjectNamespace("later", class_name="Later")
    with pytest.raises(CommandError, match="namespace later is declared and not deployed yet"):
        chat.object("later", "a").get()
    for name in ("", None, 5):
        with pytest.raises(CommandError, match="a name or an id, which are text"):
            chat.object("rooms", name)  # type: ignore[arg-type]


def test_no_answer_in_time_is_unknown_and_not_repeated(chat: nd.Session) -> None:
    """A time-out says that it is not known whether it was done; the method ran once."""
    room = chat.object("rooms", "kitchen")
    with pytest.raises(TargetError, match=r"no answer in 0.2 s: whether it was done is not known, and it was not"):
        room.slow(600, timeout=0.2)
    assert room.slow(600, timeout=50) <= 2
    for wrong in (0, -1, "5", True, float("inf"), float("nan")):
        with pytest.raises(CommandError, match="timeout: seconds from"):
            room.list(timeout=wrong)


def test_results_without_a_python_form_are_refused_with_their_path(chat: nd.Session) -> None:
    """The method has run then, and that is said."""
    room = chat.object("rooms", "kitchen")
    with pytest.raises(CommandError, match=r"the method has run, and its result cannot be had: result.next: an "):
        room.cursor()
    with pytest.raises(CommandError, match=r"result.rows\[0\].get\(0\): a function or stub \(Cursor\) lives"):
        room.next()
    with pytest.raises(CommandError, match="the result is larger than 16 MiB; ask for less"):
        room.big()
    with pytest.raises(CommandError, match="nested too deep"):
        room.deep()


def test_results_keep_what_they_are(chat: nd.Session) -> None:
    """Streams are drained, what is met twice is one object, and what holds itself holds itself."""
    room = chat.object("rooms", "kitchen")
    assert room.stream() == b"abcd"
    made = room.ring()
    assert made["self"] is made
    one, other = room.twice()
    assert one is other


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2026, 1, 1), r"args\[0\]: 2026-01-01 00:00:00 has no time zone"),  # noqa: DTZ001 - it is the case
        ({"a": [object()]}, r"args\[0\].a\[0\]: an object cannot be sent"),
        (np.datetime64("2026-01-01"), r"args\[0\]: a numpy.datetime64 cannot be sent; it has no time zone"),
        (pd.Timedelta("1s"), r"args\[0\]: a pandas.Timedelta cannot be sent; JavaScript has no durations"),
        ("x" * 9_000_000, "larger than 8 MB"),
    ],
)
def test_arguments_without_a_javascript_form_are_refused_with_their_path(
    chat: nd.Session, sent: list[str], value: Any, said: str
) -> None:
    """Nothing is sent then."""
    with pytest.raises(CommandError, match=said):
        chat.object("rooms", "kitchen").echo(value)
    assert not [one for one in sent if "/ask" in one]


def test_arguments_arrive_as_what_they_are(chat: nd.Session) -> None:
    """Undefined, BigInt, dates and bytes are told apart from what JSON would make of them."""
    room = chat.object("rooms", "kitchen")
    told = {
        "undefined": nd.UNDEFINED,
        "BigInt": nd.bigint(5),
        "Number": 5,
        "Date": datetime(2026, 1, 1, tzinfo=UTC),
        "Uint8Array": b"ab",
        "Float64Array": np.array([1.5]),
        "Map": {1: 2},
        "Object": {"a": 1},
        "Set": {1},
        "Array": pd.Series([1, 2]),
    }
    for name, value in told.items():
        assert name in room.kind(value), name


def test_a_stored_error_is_a_jserror_among_the_values(chat: nd.Session) -> None:
    """`values` reads an Error that an object stored as what it is."""
    room = chat.object("rooms", "kitchen")
    with pytest.raises(nd.JSError):
        room.call("boom")
    chat.object("rooms", "kitchen").call("keep", "x")
    assert chat.values("rooms").value.tolist() == ["x"]


SLEEPY = """import { DurableObject } from "cloudflare:workers";
export class Sleepy extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS born (version INTEGER)");
    ctx.storage.sql.exec("INSERT INTO born VALUES (?)", VERSION);
  }
  hello() { return "hello"; }
}
export default { fetch() { return new Response("ok"); } };
"""


def test_a_call_wakes_an_object_and_a_look_does_not(cloud: Path) -> None:
    """After a deploy objects sleep: lists, values and queries leave them so; the next call runs the constructor."""
    del cloud
    session = nd.session("sleep")
    bound = {"SLEEPY": nd.DurableObjectNamespace("sleepy", class_name="Sleepy")}
    for version in (1, 2):
        nd.Worker("sleepy", script=SLEEPY.replace("VERSION", str(version)), bindings=bound)
        session.deploy(session.plan())
        if version == 1:
            assert session.object("sleepy", "a").hello() == "hello"
    session.object("sleepy", "b")
    assert session.objects("sleepy").name.tolist() == ["a"]
    assert session.values("sleepy").empty
    assert session.query("sleepy", "SELECT version FROM born").version.tolist() == [1]
    assert session.object("sleepy", "a").hello() == "hello"
    assert session.query("sleepy", "SELECT version FROM born").version.tolist() == [1, 2]


def test_objects_of_another_sessions_worker_can_be_called_and_no_more(chat: nd.Session) -> None:
    """A namespace that is declared with `script_name`: calls and maps; what it stores is the other session's to see."""
    client = nd.session("client")
    theirs = nd.DurableObjectNamespace("theirs", class_name="Room", script_name="chat-dev")
    nd.DurableObjectNamespace("gone", class_name="Roam", script_name="chat-dev")
    room = client.object("theirs", "kitchen")
    assert (room.count(), room.count()) == (1, 2)
    df = pd.DataFrame({"room": ["kitchen", "attic"]})
    assert client.map(str(theirs.id), df, object="room", call="count").result.tolist() == [3, 1]
    assert chat.object("rooms", "kitchen").count() == 4
    with pytest.raises(CommandError, match="no namespace theirs is deployed"):
        client.values("theirs")
    with pytest.raises(CommandError, match="no Worker chat-dev with class Roam is deployed here"):
        client.object("gone", "a").count()


def test_nobody_else_finds_the_way_in(chat: nd.Session) -> None:
    """A Worker that binds the namespace meets a class without what was added, under every name that it could guess."""
    assert chat.object("rooms", "a").list()
    for name in ("__notebook_do__", "__notebook_do_", "nope"):
        answer = chat.fetch("chat", headers={"name": name})
        assert answer.text == f'The RPC receiver does not implement the method "{name}".'
