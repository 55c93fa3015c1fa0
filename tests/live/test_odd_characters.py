"""Half a character (a lone surrogate), NUL, escapes and bidirectional marks, wherever a person can write a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.cloudflare.http import json_body
from notebook_do.errors import DurableError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HALF = "a\ud800b"
ODD = (HALF, "a\0b", "a\x1b[31mb", "a\u202eb")
RAW = frozenset("\0\x1b\u202e\ud800")
ROOM = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) { super(ctx, env); ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (a TEXT)"); }
  echo(value) { return value; }
  keep(key, value) { return this.ctx.storage.put(key, value); }
}
export default { async fetch(request) { return new Response(await request.text()); } };
"""


@pytest.fixture
def session(cloud: Path) -> nd.Session:
    """Deploy rooms, of which one has stored something."""
    session = nd.session("odd")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("chat", script=ROOM, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    session.object("rooms", "kitchen").call("keep", "a", 1)
    return session


def tries(session: nd.Session, odd: str) -> dict[str, Callable[[], Any]]:
    """Write a text wherever one can be written."""
    room, one = session.object("rooms", "kitchen"), pd.DataFrame({"room": ["kitchen"], "x": [odd]})
    by_name = pd.DataFrame({"room": [odd], "x": [1]})
    return {
        "object": lambda: session.object("rooms", odd).info(),
        "call of an object": lambda: session.object("rooms", odd).echo(1),
        "method": lambda: room.call(odd),
        "argument": lambda: room.echo({odd: odd}),
        "prefix": lambda: room.values(prefix=odd),
        "statement": lambda: room.query(f"SELECT '{odd}'"),
        "statement over all": lambda: session.query("rooms", f"SELECT '{odd}'"),
        "parameter": lambda: room.query("SELECT ?", odd),
        "key": lambda: session.apply(room.put(odd, 1)),
        "value": lambda: session.apply(room.put("k", odd)),
        "deleted key": lambda: room.delete(odd),
        "changing statement": lambda: room.execute(f"INSERT INTO t VALUES ('{odd}')"),
        "all values": lambda: room.values(prefix=""),
        "all contents": room.info,
        "file of a snapshot": lambda: room.snapshot(f"{odd}.ndsnap"),
        "file to restore": lambda: room.restore(odd),
        "logs of a Worker": lambda: session.logs(odd),
        "logs of an object": lambda: session.logs("chat", object=odd),
        "level": lambda: session.logs("chat", level=odd),
        "since": lambda: session.logs("chat", since=odd),
        "path": lambda: session.fetch("chat", f"/{odd}"),
        "body": lambda: session.fetch("chat", "/", method="POST", content=odd),
        "header": lambda: session.fetch("chat", "/", headers={"x-a": odd}),
        "name of a header": lambda: session.fetch("chat", "/", headers={odd: "a"}),
        "method of a request": lambda: session.fetch("chat", "/", method=odd),
        "objects of": lambda: session.objects(odd),
        "row of a map": lambda: session.map("rooms", by_name, object="room", call="echo", args=["x"]),
        "argument of a map": lambda: session.map("rooms", one, object="room", call="echo", args=["x"]),
        "id of a Worker": lambda: nd.Worker(odd, script=ROOM),
        "source": lambda: (nd.Worker("other", script=f"// {odd}\nexport default {{}}"), session.plan())[1],
        "variable": lambda: nd.Worker("other", script="export default {}", bindings={"A": odd}),
        "JSON": lambda: nd.Worker("other", script="export default {}", bindings={"A": nd.Json({odd: odd})}),
        "binding": lambda: nd.Worker("other", script="export default {}", bindings={odd: "x"}),
        "module": lambda: nd.Module(name=f"{odd}.js", content=b""),
        "entrypoint": lambda: (nd.Worker("other", entrypoint=f"{odd}.js"), session.plan())[1],
        "class": lambda: nd.DurableObjectNamespace("others", class_name=odd),
        "session": lambda: nd.session(odd),
    }


def text_of(value: Any) -> str:
    """Return what a terminal would show."""
    return value._repr_mimebundle_()["text/plain"] if hasattr(value, "_repr_mimebundle_") else repr(value)


@pytest.mark.parametrize("odd", ODD, ids=["half", "nul", "escape", "bidi"])
def test_an_odd_character_is_sent_or_refused_in_words(session: nd.Session, odd: str) -> None:
    """Each verb with each: a result, or an error of ours; nothing of either drives a terminal."""
    for where, run in tries(session, odd).items():
        try:
            shown = text_of(run())
        except DurableError as error:
            shown = str(error)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            pytest.fail(f"{where}: {type(error).__name__}: {str(error)!a}")
        assert not RAW & set(shown), f"{where}: {shown!a}"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("call of an object", r"object 'a\\ud800b' has half of a character"),
        ("statement", "query: the statement has half of a character"),
        ("prefix", "values: the prefix has half of a character"),
        ("changing statement", "execute: the statement has half of a character"),
        ("path", "fetch: the path of .* has a character that no address can have"),
        ("body", "fetch: its body has half of a character"),
        ("header", "fetch: header 'x-a' has a character that no header can have"),
        ("method of a request", "is no method of HTTP"),
        ("file of a snapshot", "no file can have this name"),
        ("variable", "half of a character .* which no variable can have; nd.Json carries it"),
        ("module", "no file can have this name"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_field(session: nd.Session, where: str, said: str) -> None:
    """Before anything is sent; one line that names it. JavaScript would take the object of another name for it."""
    run = tries(session, HALF)[where]
    with pytest.raises(DurableError, match=said) as caught:
        run()
    assert "\n" not in str(caught.value)


def test_a_row_of_a_map_with_such_a_name_fails_alone(session: nd.Session) -> None:
    """Nothing is called for it, and the others are."""
    rows = pd.DataFrame({"room": [HALF, "kitchen"], "x": [1, 2]})
    errors = list(session.map("rooms", rows, object="room", call="echo", args=["x"])["error"])
    assert "has half of a character" in errors[0]
    assert "nothing was called" in errors[0]
    assert pd.isna(errors[1])


def test_no_repr_shows_a_stored_value(session: nd.Session) -> None:
    """IPython shows the repr of a list of changes or pages: it names them, and holds none of what they hold."""
    room = session.object("rooms", "kitchen")
    session.apply(room.put("token", "hunter2x"))
    statement = "INSERT INTO t VALUES ('hunter2x')"
    changes = [room.put("token", "hunter2xy"), room.delete("token"), room.execute(statement)]
    for shown in (changes, [session.apply(room.execute(f"{statement} RETURNING a"))], [room.info()]):
        assert "hunter2x" not in repr(shown)
        assert "kitchen" in repr(shown)


def test_half_of_a_character_in_a_source_is_told_with_its_line(session: nd.Session) -> None:
    """As any other mistake in a source."""
    nd.Worker("other", script=f"// a note\n// {HALF}\nexport default {{}}")
    with pytest.raises(SourceError, match="line 2 of its source has half of a character"):
        session.plan()


def test_json_carries_half_of_a_character(session: nd.Session) -> None:
    """In a body of the API and in that of a request: as an escape, and whole text as it always was."""
    assert json_body({"a": "\u00e9"}) == '{"a":"\u00e9"}'.encode()
    assert json_body({"a": HALF}) == b'{"a":"a\\ud800b"}'
    answer = session.fetch("chat", "/", method="POST", json={"a": HALF})
    assert answer.text == '{"a":"a\\ud800b"}'
