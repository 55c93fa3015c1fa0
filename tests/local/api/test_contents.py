"""What objects have stored, read while workerd holds them: values of every kind, SQL over one object and over all."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest

WRITER = """
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async write() {
    const shared = { same: 1 };
    const typed = new Uint16Array([1, 2, 65535]);
    const values = {
      "null": null, "undefined": [undefined], "true": true, "int": 42, "negative": -7, "double": 1.5, "huge": 2 ** 60,
      "nan": NaN, "infinite": -Infinity, "zero": -0, "half": "\\ud83d",
      "words": ["NaN", "[circular]", { $base64: "AQ==" }, { undecoded: "no" }], "mark": { $: "bytes", v: "AQ==" },
      "bigint": -(2n ** 70n), "text": "héllo", "wide": "日本 🎉",
      "list": [1, [2, "three"], { four: 4 }], "hole": [1, , 3], "object": { a: { b: [true] }, "2": "two" },
      "date": new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)), "never": new Date(NaN),
      "map": new Map([["k", 1], [2, "v"]]), "set": new Set([1, "x"]), "pattern": /a+/g,
      "bytes": new Uint8Array([1, 2, 255]), "buffer": new Uint8Array([9, 8]).buffer, "view": typed.subarray(1),
      "twice": [shared, shared], "bytes twice": [typed, typed],
      "boxed": [Object("s"), Object(7), Object(true), Object(5n)],
      "error": new TypeError("went wrong"), "after an error": [new Error("x"), "y"],
    };
    const ring = { name: "ring" };
    ring.itself = ring;
    values.ring = ring;
    values.sparse = [];
    values.sparse[3] = "far";
    for (const [key, value] of Object.entries(values)) await this.ctx.storage.put(key, value);
  }
  async post(author, text, mood) {
    const sql = this.ctx.storage.sql;
    const raw = new Uint8Array([7]).buffer;
    sql.exec("CREATE TABLE IF NOT EXISTS messages (author TEXT, text TEXT, mood REAL, raw BLOB)");
    sql.exec("INSERT INTO messages VALUES (?, ?, ?, ?)", author, text, mood, raw);
  }
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const room = env.ROOMS.getByName(url.pathname.slice(1));
    const [author, text] = [url.searchParams.get("author"), url.searchParams.get("text")];
    await (author ? room.post(author, text, 0.5) : room.write());
    return new Response("done");
  },
};
"""
STORED = {
    "null": None,
    "undefined": [{"$": "undefined"}],
    "true": True,
    "int": 42,
    "negative": -7,
    "double": 1.5,
    "huge": float(2**60),
    "nan": {"$": "number", "v": "NaN"},
    "infinite": {"$": "number", "v": "-Infinity"},
    "zero": {"$": "number", "v": "-0"},
    "words": ["NaN", "[circular]", {"$base64": "AQ=="}, {"undecoded": "no"}],
    "mark": {"$": "object", "v": [["$", "bytes"], ["v", "AQ=="]]},
    "half": "\ud83d",
    "bigint": {"$": "bigint", "v": str(-(2**70))},
    "text": "héllo",
    "wide": "日本 🎉",
    "list": [1, [2, "three"], {"four": 4}],
    "hole": [1, None, 3],
    "object": {"2": "two", "a": {"b": [True]}},
    "date": {"$": "date", "v": 1767323045678},
    "never": {"$": "date", "v": None},
    "map": {"$": "map", "v": [["k", 1], [2, "v"]]},
    "set": {"$": "set", "v": [1, "x"]},
    "pattern": "/a+/",
    "bytes": {"$": "bytes", "v": "AQL/"},
    "buffer": {"$": "bytes", "v": "CQg="},
    "view": {"$": "Uint16Array", "v": "AgD//w=="},
    "twice": [{"same": 1}, {"same": 1}],
    "bytes twice": [{"$": "Uint16Array", "v": "AQACAP//"}, {"$": "Uint16Array", "v": "AQACAP//"}],
    "boxed": ["s", 7, True, {"$": "bigint", "v": "5"}],
    "error": {"$": "error", "name": "TypeError", "message": "went wrong", "stack": ANY},
    "after an error": [{"$": "error", "name": "Error", "message": "x", "stack": ANY}, "y"],
    "ring": {"$": "def", "n": 0, "v": {"name": "ring", "itself": {"$": "ref", "v": 0}}},
    "sparse": [None, None, None, "far"],
}


@pytest.fixture(scope="module")
def rooms(server: Any) -> str:
    """Deploy a Worker with three rooms in use; gives the API's path of its namespace."""
    bindings = [{"type": "durable_object_namespace", "name": "ROOMS", "class_name": "Room"}]
    migrations = {"new_tag": "v1", "new_sqlite_classes": ["Room"]}
    assert server.upload("rooms", WRITER, bindings=bindings, migrations=migrations).status_code == 200
    for path in (
        "/garden?author=ada&text=hello",
        "/garden?author=grace&text=rain",
        "/attic?author=ada&text=dust",
        "/cellar",
    ):
        assert server.call("rooms", path).text == "done"
    return f"{server.account}/local/namespaces/{server.namespaces('rooms')['Room']}"


def _ask(server: Any, path: str, **body: Any) -> Any:
    answer = server.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def _refused(server: Any, path: str, **body: Any) -> str:
    answer = server.http.post(path, json=body)
    assert answer.status_code in (400, 404), answer.text
    return str(answer.json()["errors"][0]["message"])


def test_every_kind_of_stored_value_is_read(server: Any, rooms: str) -> None:
    """What `storage.put` stored comes back as what it is, whatever its kind; what JSON has no form for is tagged."""
    found = _ask(server, f"{rooms}/values", object="cellar")
    assert {one["name"] for one in found} == {"cellar"}
    assert {one["key"]: one["value"] for one in found} == STORED


def test_a_class_without_sql_keeps_values_too(server: Any, script: str) -> None:
    """The values of a namespace with key-value storage are read in the same way."""
    made = server.upload(
        script,
        server.counter("Counter"),
        bindings=server.bound(),
        migrations={"new_tag": "v1", "new_classes": ["Counter"]},
    )
    assert made.status_code == 200, made.text
    assert [server.call(script).text for _ in range(2)] == ["1", "2"]
    path = f"{server.account}/local/namespaces/{server.namespaces(script)['Counter']}/values"
    assert [(one["name"], one["key"], one["value"]) for one in _ask(server, path)] == [("one", "value", 2)]


def test_one_object_answers_sql(server: Any, rooms: str) -> None:
    """A SELECT with parameters runs on the object of that name, or of that id, as it is now."""
    asked = {"sql": "SELECT author, text, mood, raw FROM messages WHERE author = ?", "params": ["grace"]}
    (found,) = _ask(server, f"{rooms}/query", object="garden", **asked)
    assert found["columns"] == ["author", "text", "mood", "raw"]
    assert found["rows"] == [["grace", "rain", 0.5, {"$": "bytes", "v": "Bw=="}]]
    assert _ask(server, f"{rooms}/query", object=found["object_id"], **asked) == [found]


def test_all_objects_answer_sql(server: Any, rooms: str) -> None:
    """Without an object every one that has the table answers, each under its name; the others are left out."""
    found = _ask(server, f"{rooms}/query", sql="SELECT count(*) AS n FROM messages")
    assert {one["name"]: one["rows"] for one in found} == {"garden": [[2]], "attic": [[1]]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"sql": "DELETE FROM messages"}, "only SELECT"),
        ({"sql": "INSERT INTO messages (text) VALUES ('x')"}, "only SELECT"),
        ({"sql": "ATTACH '/etc/passwd' AS other"}, "only SELECT"),
        ({"sql": "PRAGMA journal_mode = DELETE"}, "only SELECT"),
        ({"sql": "SELECT value FROM _cf_KV"}, "the runtime's own"),
        ({"sql": "SELECT load_extension('x')"}, "not authorized to use function"),
        ({"sql": "SELECT 1; SELECT 2"}, "one statement"),
        ({"sql": "SELEC 1"}, "syntax error"),
        ({"sql": "SELECT * FROM nowhere"}, "no such table"),
        ({"sql": "-- nothing"}, "no statement"),
        ({"sql": "SELECT ?"}, "binding"),
        ({"sql": ""}, "sql"),
        ({"sql": "SELECT 1", "params": [[1]]}, "params"),
        ({"sql": "SELECT 1", "params": [{"$": "date", "v": 0}]}, "params"),
        (
            {
                "sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99) "
                "SELECT hex(zeroblob(500000)) FROM n"
            },
            "more than 16 MiB; narrow it",
        ),
        ({"sql": "SELECT 1", "object": "nobody"}, "'nobody' has stored nothing"),
        (
            {"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"},
            "more than 100,000 rows",
        ),
    ],
)
def test_what_is_no_reading_is_refused(server: Any, rooms: str, body: dict[str, Any], said: str) -> None:
    """A statement that writes, reaches elsewhere or never ends is refused with its reason, and nothing is changed."""
    before = _ask(server, f"{rooms}/query", sql="SELECT * FROM messages")
    assert said in _refused(server, f"{rooms}/query", **body)
    assert _ask(server, f"{rooms}/query", sql="SELECT * FROM messages") == before


def test_a_namespace_that_is_not_there(server: Any, rooms: str) -> None:
    """An unknown namespace, and what only looks like one, is said to be unknown."""
    for asked in ("0" * 32, "..%2f..%2fetc", "x"):
        path = f"{rooms.rpartition('/')[0]}/{asked}"
        assert server.http.post(f"{path}/values", json={}).status_code == 404
        assert server.http.post(f"{path}/query", json={"sql": "SELECT 1"}).status_code == 404
