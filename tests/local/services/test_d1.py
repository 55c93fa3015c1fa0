"""D1 databases behind workerd's own D1 API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

D1 = {"type": "d1", "name": "DB", "id": "3f3e9e8a-0000-4000-8000-000000000001"}
OTHER = {"type": "d1", "name": "OTHER", "id": "../../etc/passwd"}
WORKER = """
export default {
  async fetch(request, env) {
    const out = [];
    for (const [how, ...rest] of await request.json()) {
      try {
        const db = env[how === "other" ? "OTHER" : "DB"];
        if (how === "exec") out.push(await db.exec(rest[0]));
        else if (how === "batch") {
          out.push((await db.batch(rest.map(([sql, ...p]) => db.prepare(sql).bind(...p)))).map((r) => r.results));
        } else if (how === "session") {
          const session = db.withSession();
          await session.prepare(rest[0]).run();
          out.push(typeof session.getBookmark());
        } else {
          const [sql, ...params] = rest;
          const bytes = params.map((p) => (p?.$bytes ? new Uint8Array(p.$bytes) : p));
          out.push(await db.prepare(sql).bind(...bytes)[how === "other" ? "all" : how]());
        }
      } catch (error) {
        out.push({ error: error.message });
      }
    }
    return Response.json(out);
  },
};
"""


@pytest.fixture
def query(play: Callable[..., None]) -> Callable[..., None]:
    """Run an async story with a function that has a Worker run statements `[how, sql, parameters...]`."""

    def query(story: Callable[..., Any]) -> None:
        async def told(stage: Any) -> None:
            stage.put("w", WORKER, bindings=(D1, OTHER))

            async def run(*calls: list[Any]) -> list[Any]:
                answer = await stage.call("w", method="POST", json=list(calls))
                assert answer.status_code == 200, answer.text
                result: list[Any] = answer.json()
                return result

            await story(run)

        play(told)

    return query


TABLE = ["run", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data)"]


def test_rows_come_back_in_every_form(query: Callable[..., None]) -> None:
    """all, first, raw and run give the rows that were inserted, NULL and blobs included."""

    async def story(run: Any) -> None:
        await run(TABLE, ["run", "INSERT INTO t VALUES (1, ?, ?)", "ä", {"$bytes": [1, 255]}])
        await run(["run", "INSERT INTO t VALUES (?1, ?2, NULL)", 2, "b"])
        everything, first, column, raw, none = await run(
            ["all", "SELECT * FROM t ORDER BY id"],
            ["first", "SELECT * FROM t WHERE id = ?", 2],
            ["all", "SELECT count(*) AS n, 1.5 AS x, typeof(?) AS y FROM t", 7],
            ["raw", "SELECT id, name FROM t ORDER BY id"],
            ["first", "SELECT * FROM t WHERE id = 99"],
        )
        assert everything["results"] == [
            {"id": 1, "name": "ä", "data": [1, 255]},
            {"id": 2, "name": "b", "data": None},
        ]
        assert everything["success"] is True
        assert first == {"id": 2, "name": "b", "data": None}
        # Every JavaScript number is bound as a double, as on Cloudflare.
        assert column["results"] == [{"n": 2, "x": 1.5, "y": "real"}]
        assert raw == [[1, "ä"], [2, "b"]]
        assert none is None

    query(story)


def test_meta_says_what_changed(query: Callable[..., None]) -> None:
    """The meta of an answer counts changes and names the last row."""

    async def story(run: Any) -> None:
        await run(TABLE)
        inserted, read = await run(["run", "INSERT INTO t (name) VALUES ('a'), ('b')"], ["all", "SELECT name FROM t"])
        meta = inserted["meta"]
        assert (meta["changes"], meta["last_row_id"], meta["changed_db"], meta["rows_written"]) == (2, 2, True, 2)
        assert (read["meta"]["changes"], read["meta"]["changed_db"], read["meta"]["rows_read"]) == (0, False, 2)

    query(story)


def test_a_batch_is_one_transaction(query: Callable[..., None]) -> None:
    """Statements of a batch see each other; when one fails, none has happened."""

    async def story(run: Any) -> None:
        await run(TABLE)
        done, failed = await run(
            ["batch", ["INSERT INTO t VALUES (?, 'a', 0)", 1], ["SELECT name FROM t"]],
            ["batch", ["INSERT INTO t VALUES (2, 'b', 0)"], ["INSERT INTO t VALUES (3, 'a', 0)"]],
        )
        assert done[1] == [{"name": "a"}]
        words = "D1_ERROR: UNIQUE constraint failed: t.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)"
        assert failed == {"error": words}
        assert (await run(["raw", "SELECT id FROM t"]))[0] == [[1]]

    query(story)


def test_exec_runs_a_script(query: Callable[..., None]) -> None:
    """Exec runs a statement a line and counts them; it names what fails."""

    async def story(run: Any) -> None:
        done, failed = await run(["exec", "CREATE TABLE a (x);\nINSERT INTO a VALUES (1);"], ["exec", "NONSENSE"])
        assert done["count"] == 2
        assert failed["error"].startswith('D1_EXEC_ERROR: Error in line 1: NONSENSE: near "NONSENSE": syntax error')
        assert (await run(["raw", "SELECT x FROM a"]))[0] == [[1]]

    query(story)


def test_a_trigger_is_one_statement(query: Callable[..., None]) -> None:
    """Semicolons inside a trigger, a string or a comment do not split a statement; several in one string all run."""

    async def story(run: Any) -> None:
        trigger = "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET data = 'a;b'; SELECT 1; END"
        await run(TABLE, ["run", trigger], ["run", "INSERT INTO t VALUES (1, 'x', 0) -- ; not the end"])
        several = await run(["all", "INSERT INTO t VALUES (2, 'y', 0); SELECT data FROM t /* ; */"])
        assert several[0]["results"] == [{"data": "a;b"}, {"data": "a;b"}]

    query(story)


FORBIDDEN = (
    ("SELECT * FROM nope", "no such table: nope: SQLITE_ERROR"),
    ("ATTACH '/tmp/x' AS y", "not authorized: SQLITE_AUTH"),
    ("VACUUM INTO '/tmp/stolen.sqlite'", "SQLITE_"),
    ("PRAGMA journal_mode = DELETE", "not authorized: SQLITE_AUTH"),
    ("PRAGMA writable_schema = ON", "not authorized: SQLITE_AUTH"),
    ("SELECT load_extension('x')", "not authorized"),
    ("BEGIN", "batch()"),
    ("COMMIT", "batch()"),
    ("BEGIN IMMEDIATE", "batch()"),
    ("ROLLBACK", "batch()"),
    ("SAVEPOINT s", "batch()"),
    ("-- nothing", "No SQL statements detected."),
    ("SELECT ?", "Wrong number of parameter bindings for SQL query."),
)


def test_what_d1_forbids_is_refused(query: Callable[..., None]) -> None:
    """Other files, transactions of one's own and what would change the file's keeping are refused, and hurt nothing."""

    async def story(run: Any) -> None:
        for sql, words in FORBIDDEN:
            refused, after = await run(["all", sql], ["raw", "SELECT 1"])
            assert refused["error"].startswith("D1_ERROR: "), sql
            assert words in refused["error"]
            assert after == [[1]]

    query(story)


def test_databases_are_apart(query: Callable[..., None]) -> None:
    """Each id is a database of its own, and an id is never a path."""

    async def story(run: Any) -> None:
        await run(TABLE)
        assert "no such table" in (await run(["other", "SELECT * FROM t"]))[0]["error"]

    query(story)


def test_foreign_keys_are_enforced(query: Callable[..., None]) -> None:
    """A row cannot point at one that is not there."""

    async def story(run: Any) -> None:
        await run(["exec", "CREATE TABLE p (id INTEGER PRIMARY KEY);\nCREATE TABLE c (p REFERENCES p (id));"])
        assert "FOREIGN KEY constraint failed" in (await run(["run", "INSERT INTO c VALUES (1)"]))[0]["error"]

    query(story)


def test_a_session_gets_a_bookmark(query: Callable[..., None]) -> None:
    """A session of the Sessions API has a bookmark after its first query."""

    async def story(run: Any) -> None:
        assert await run(["session", "SELECT 1"]) == ["string"]

    query(story)


@pytest.mark.parametrize(
    ("statements", "question", "rows"),
    [
        (
            [
                "CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize = 'porter')",
                "INSERT INTO f VALUES ('Tea', 'leaves and hot water'), ('Ink', 'a pen')",
                "UPDATE f SET body = 'boiling water' WHERE title = 'Tea'",
                "INSERT INTO f (f) VALUES ('optimize')",
            ],
            "SELECT title, highlight(f, 1, '[', ']') FROM f WHERE f MATCH 'boil' ORDER BY rank",
            [["Tea", "[boiling] water"]],
        ),
        (
            [
                "CREATE TABLE notes (id INTEGER PRIMARY KEY, text)",
                "CREATE VIRTUAL TABLE found USING fts5(text, content = 'notes', content_rowid = 'id')",
                "CREATE TRIGGER kept AFTER INSERT ON notes BEGIN INSERT INTO found (rowid, text) VALUES (new.id, new.text); END",  # noqa: E501 - one statement
                "INSERT INTO notes (text) VALUES ('a grey cat'), ('a dog')",
            ],
            "SELECT n.text FROM found JOIN notes n ON n.id = found.rowid WHERE found MATCH 'cat'",
            [["a grey cat"]],
        ),
        (
            [
                "CREATE VIRTUAL TABLE area USING rtree(id, west, east)",
                "INSERT INTO area VALUES (1, 0, 10), (2, 20, 30)",
            ],
            "SELECT id FROM area WHERE west <= 25 AND east >= 25",
            [[2]],
        ),
        (
            ["CREATE TABLE j (value)", """INSERT INTO j VALUES ('{"tags": ["a", "b"]}')"""],
            "SELECT t.value, j.value ->> '$.tags[1]' FROM j, json_each(j.value, '$.tags') t",
            [["a", "b"], ["b", "b"]],
        ),
    ],
    ids=["fts5", "fts5-beside-a-table", "rtree", "json"],
)
def test_sqlite_s_own_modules_work(
    query: Callable[..., None], statements: list[str], question: str, rows: list[list[Any]]
) -> None:
    """FTS5, R-tree and JSON can be used as on D1, and their tables dropped again."""

    async def story(run: Any) -> None:
        made = await run(*(["run", statement] for statement in statements))
        assert all(one.get("success") for one in made), made
        assert await run(["raw", question]) == [rows]
        name = statements[-1].split()[2].partition("(")[0]
        assert (await run(["run", f"DROP TABLE {name}"]))[0]["success"]

    query(story)


def test_what_a_module_reads_is_not_written(query: Callable[..., None]) -> None:
    """The two pragmas that FTS5 and R-tree ask for can be read; with a value they are refused."""

    async def story(run: Any) -> None:
        said = await run(["raw", "PRAGMA page_size"], ["all", "PRAGMA page_size = 512"], ["raw", "PRAGMA page_size"])
        assert said == [[[4096]], {"error": "D1_ERROR: not authorized: SQLITE_AUTH"}, [[4096]]]

    query(story)


CALLS = [
    ["exec", "CREATE TABLE a (x, y);\nINSERT INTO a VALUES (1, x'01ff'), (2, NULL);"],
    ["all", "SELECT x, y FROM a WHERE x > ? ORDER BY x", 0],
    ["first", "SELECT y FROM a WHERE x = ?", 1],
    ["first", "SELECT y FROM a WHERE x = 99"],
    ["raw", "SELECT typeof(?), typeof(?)", {"$bytes": [1, 255]}, None],
    ["run", "INSERT INTO a VALUES (3, ?)", {"$bytes": [7]}],
    ["batch", ["INSERT INTO a VALUES (?, 0)", 4], ["SELECT count(*) AS n FROM a"]],
    ["batch", ["INSERT INTO a VALUES (5, 0)"], ["INSERT INTO nope VALUES (1)"]],
    ["exec", "NONSENSE"],
    ["all", "-- nothing"],
    ["session", "SELECT 1"],
    ["other", "SELECT * FROM a"],
    ["raw", "SELECT count(*) FROM a"],
]


def test_the_binding_answers_calls_as_it_does_requests(play: Callable[..., None]) -> None:
    """With the flag d1_binding_jsrpc every method answers as without it, and `query` gives the rows by column."""
    direct = """
      export default { async fetch(request, env) {
        const params = [2, new Uint8Array([7])];
        const { results, bookmark } = await env.DB.query({ queries: [{ sql: "SELECT ? AS a, ? AS b", params }] });
        return Response.json([results[0].data, typeof bookmark, results[0].meta.rows_read]);
      } };"""

    async def story(stage: Any) -> None:
        for name, flags in (("requests", ()), ("calls", ("d1_binding_jsrpc",))):
            own = [{**binding, "id": f"{binding['id']}-{name}"} for binding in (D1, OTHER)]
            stage.put(name, WORKER, bindings=own, compatibility_flags=flags)
        stage.put("direct", direct, bindings=(D1,), compatibility_flags=("d1_binding_jsrpc",))
        said = [
            [_timeless(one) for one in (await stage.call(name, method="POST", json=CALLS)).json()]
            for name in ("requests", "calls")
        ]
        # Which line of exec() failed, workerd's own API says only where it asks by request.
        line = "D1_EXEC_ERROR: Error in line 1: NONSENSE: "
        assert said[0][8]["error"].startswith(line)
        assert said[1][8] == {"error": said[0][8]["error"].replace(line, "D1_EXEC_ERROR: ")}
        del said[0][8], said[1][8]
        assert said[1] == said[0]
        assert [one for one in said[1] if isinstance(one, dict) and "error" in one] != []
        assert (await stage.call("direct")).json() == [
            {"kind": "raw", "columns": ["a", "b"], "rows": [[2, [7]]]},
            "string",
            1,
        ]

    play(story)


def _timeless(said: Any) -> Any:
    """Leave out how long it took."""
    if isinstance(said, dict) and "meta" in said:
        return {**said, "meta": {key: value for key, value in said["meta"].items() if key != "duration"}}
    return {key: value for key, value in said.items() if key != "duration"} if isinstance(said, dict) else said
