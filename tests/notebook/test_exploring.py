"""Live objects as DataFrames: in Python, and in a cell of SQL, on the real local Cloudflare."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.errors import CommandError
from notebook_do.notebook.views.documents import bundle

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

ROOMS = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async post(author, text) {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS messages (author TEXT, text TEXT, raw BLOB)");
    this.ctx.storage.sql.exec("INSERT INTO messages VALUES (?, ?, ?)", author, text, new Uint8Array([1]).buffer);
    await this.ctx.storage.put("last", { author, at: new Date(0), raw: new Uint8Array([2]) });
  }
  rest() { return this.ctx.storage.put("empty", true); }
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const room = env.ROOMS.getByName(url.pathname.slice(1));
    await (request.method === "POST" ? room.post(url.searchParams.get("author"), await request.text()) : room.rest());
    return new Response("ok");
  },
};
"""


@pytest.fixture
def chat(cloud: Path) -> nd.Session:
    """Deploy a chat with two rooms that were talked in, and one that was only entered."""
    del cloud
    session = nd.session("chat")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("chat", script=ROOMS, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    for room, author, text in (("garden", "ada", "hello"), ("garden", "grace", "rain"), ("attic", "ada", "dust")):
        assert session.fetch("chat", f"/{room}?author={author}", method="POST", content=text).text == "ok"
    assert session.fetch("chat", "/cellar").text == "ok"
    return session


def test_all_objects_are_one_frame(chat: nd.Session) -> None:
    """One SELECT gives the rows of all objects that have the table, each with its object's id and name."""
    found = chat.query("rooms", "SELECT author, text FROM messages ORDER BY rowid").sort_values(["name", "text"])
    assert found[["name", "author", "text"]].to_numpy().tolist() == [
        ["attic", "ada", "dust"],
        ["garden", "ada", "hello"],
        ["garden", "grace", "rain"],
    ]
    ids = chat.objects("rooms").set_index("name")["object_id"]
    assert (found["object_id"] == found["name"].map(ids)).all()
    assert list(found.columns) == ["name", "author", "text", "object_id"]
    assert {str(dtype) for dtype in found.dtypes} == {"string"}


def test_one_object_gives_its_own_columns(chat: nd.Session) -> None:
    """Of one object, by name or by id, the frame is what the statement says; bytes are bytes."""
    found = chat.query(
        "rooms", "SELECT count(*) AS n, max(raw) AS raw FROM messages WHERE author <> ?", "ada", object="garden"
    )
    assert list(found.columns) == ["n", "raw"]
    assert found.to_numpy().tolist() == [[1, b"\x01"]]
    id_ = chat.objects("rooms").set_index("name")["object_id"]["garden"]
    assert chat.query("rooms", "SELECT text FROM messages", object=id_)["text"].tolist() == ["hello", "rain"]


def test_values_are_python_values(chat: nd.Session) -> None:
    """What `storage.put` stored is one row a key, with the plain value in it."""
    found = chat.values("rooms").set_index(["name", "key"])["value"]
    assert found["attic", "last"] == {"author": "ada", "at": datetime(1970, 1, 1, tzinfo=UTC), "raw": b"\x02"}
    assert found["cellar", "empty"] is True
    assert set(chat.values("rooms", object="garden")["key"]) == {"last"}


def test_looking_changes_nothing(chat: nd.Session) -> None:
    """Neither the state file nor the plan knows that somebody looked, and a statement that writes is refused."""
    before = chat.state_path.read_bytes()
    chat.values("rooms"), chat.query("rooms", "SELECT 1")
    said = r"^query only reads: DELETE is not run\. To change data: %durable execute rooms \w+ 'DELETE FROM messages' "
    with pytest.raises(CommandError, match=said):
        chat.query("rooms", "DELETE FROM messages")
    assert len(chat.query("rooms", "SELECT * FROM messages")) == 3
    assert (chat.state_path.read_bytes(), chat.plan().empty) == (before, True)


@pytest.mark.parametrize(
    "ask", [lambda s: s.objects("roms"), lambda s: s.values("roms"), lambda s: s.query("roms", "SELECT 1")]
)
def test_an_unknown_namespace_is_named(chat: nd.Session, ask: Any) -> None:
    """A stable ID that was never deployed is said so, with those that were."""
    with pytest.raises(CommandError, match=r"no namespace roms is deployed; did you mean rooms\?"):
        ask(chat)


def test_a_cell_of_sql(chat: nd.Session, ip: InteractiveShell) -> None:
    """`%%durable query` takes SQL as its body, `%durable query` as a word; both give a DataFrame."""
    del chat
    cell = ip.run_cell(
        "%%durable query rooms --object garden --as found\nSELECT text FROM messages\nORDER BY rowid DESC"
    )
    cell.raise_error()
    assert isinstance(ip.user_ns["found"], pd.DataFrame)
    assert ip.user_ns["found"]["text"].tolist() == ["rain", "hello"]
    line = ip.run_cell('%durable query rooms "SELECT ? AS n, ? AS s" --object attic --param 7 --param "a b" --json')
    line.raise_error()
    assert json.loads(line.result) == [{"n": 7, "s": "a b"}]
    values = ip.run_cell("%durable values rooms --object cellar")
    assert values.result["key"].tolist() == ["empty"]
    assert len(ip.run_cell("%durable objects rooms").result) == 3
    for twice in ("%durable query rooms", '%%durable query rooms "SELECT 1"\nSELECT 2'):
        with pytest.raises(CommandError, match="write the statement once"):
            ip.run_cell(twice).raise_error()


def test_values_show_key_and_value_first_and_ids_short(chat: nd.Session, ip: InteractiveShell) -> None:
    """Views 5 and 6: name, key, value, size, then the id's first 8 digits; a cut table would lose the id first."""
    found = ip.run_cell("%durable values rooms").result
    drawn = bundle(found.view)["text/plain"]
    assert max(map(len, drawn.split("\n"))) <= 100
    head, _, *rows = [line.split() for line in drawn.split("\n") if line.startswith("  ")]
    assert head == ["name", "key", "value", "size", "id"]
    assert sorted(row[:2] for row in rows) == [["attic", "last"], ["cellar", "empty"], ["garden", "last"]]
    assert [row[-1] for row in rows] == [f"{one[:8]}…" for one in found.object_id]
    assert drawn.startswith("3 values in 3 objects of namespace rooms")
    assert drawn.endswith("As a DataFrame: x = %durable values rooms")
    assert not hasattr(found[["key"]], "view")
    (none,) = bundle(ip.run_cell("%durable values rooms --object garden").result.view)["text/plain"].split("\n")[:1]
    assert none.startswith("1 value in 1 object of namespace rooms")


def test_cloudflare_is_asked_for_what_was_deployed(monkeypatch: pytest.MonkeyPatch, cloud: Path) -> None:
    """On Cloudflare the two that need the storage are refused before anything is sent, where nothing is deployed."""
    del cloud
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "a" * 40)
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "b" * 32)
    session = nd.session("far", target="cloudflare")
    for ask in (lambda: session.values("rooms"), lambda: session.query("rooms", "SELECT 1")):
        with pytest.raises(CommandError, match="no namespace rooms is deployed; deploy it first"):
            ask()
