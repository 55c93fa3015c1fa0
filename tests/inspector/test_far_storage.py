"""What objects have stored, on Cloudflare through the objects and locally from files: the same frames and changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.bridge import bridge
from notebook_do.errors import CommandError, StaleChange
from notebook_do.live.inspecting import Returned
from notebook_do.live.ways import way_to

if TYPE_CHECKING:
    from notebook_do.local.process.launch import LocalTarget

SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec(`CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, n INTEGER, r REAL, s TEXT, b BLOB)`);
    ctx.storage.sql.exec(`CREATE TABLE IF NOT EXISTS "odd name"(key TEXT PRIMARY KEY, v) WITHOUT ROWID`);
  }
  fill() {
    const sql = this.ctx.storage.sql;
    sql.exec("INSERT INTO t VALUES (1, 9007199254740993, 1.0, 'a', x'00ff')");
    sql.exec("INSERT INTO t VALUES (2, NULL, 2.5, NULL, NULL)");
    sql.exec("INSERT INTO t VALUES (9223372036854775807, -9007199254740995, 9e999, 'ü', x'')");
    sql.exec(`INSERT INTO "odd name" VALUES ('k', 'text'), ('l', 5)`);
    this.ctx.storage.kv.put("seen", { at: new Date(5), big: 2n ** 60n, nan: NaN, s: new Set([1]) });
    this.ctx.storage.kv.put("none", undefined);
    return this.ctx.id.toString();
  }
  fat() {
    for (let n = 0; n < 18; n++) this.ctx.storage.sql.exec("INSERT INTO t(b) VALUES (?)", new Uint8Array(1 << 20));
  }
  count() { return this.ctx.storage.sql.exec("SELECT count(*) AS n FROM t").one().n; }
  rang() { return this.ctx.storage.kv.get("rang") ?? 0; }
  alarm() { this.ctx.storage.kv.put("rang", (this.ctx.storage.kv.get("rang") ?? 0) + 1); }
}
export class Legacy extends DurableObject {
  keep(v) { return this.ctx.storage.put("v", v); }
}
export default { fetch() { return new Response("ok"); } };
"""
METHODS = ("fill", "fat", "count", "rang")
LATE = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)


def opened(target: str, *, inspect: Any = True) -> nd.Session:
    """Deploy the Worker on a target, and fill two objects."""
    session = nd.session(f"store-{target}", target=target)
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room", inspect=inspect)
    nd.Worker(f"store-{target}", script=SOURCE, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    return session


WIDE = ", ".join((["id", "n", "r", "s", "b", "n + 1 AS m", "'i' || s AS u", "1.0", "1", "NULL"] * 10)[:100])

READS = {
    "all columns": lambda room: room.query("SELECT * FROM t ORDER BY id"),
    "one name twice": lambda room: room.query("SELECT a.id, b.id FROM t a, t b WHERE a.id = 1 ORDER BY b.id"),
    "kinds": lambda room: room.query("SELECT 1.0 AS r, 1 AS i, 'x' AS s, x'01' AS b, NULL AS n, 2 AS i"),
    "mixed": lambda room: room.query('SELECT v FROM "odd name" ORDER BY key'),
    "parameters": lambda room: room.query("SELECT id FROM t WHERE r < ? AND s = ?;", 1.5, "a"),
    "big in the statement": lambda room: room.query("SELECT id FROM t WHERE n = 9007199254740993"),
    "a hundred columns": lambda room: room.query(f"SELECT {WIDE} FROM t WHERE id < 3 ORDER BY id"),
    "no rows": lambda room: room.query("SELECT id FROM t WHERE id < 0 -- none"),
    "pragma": lambda room: room.query("PRAGMA table_info(t)"),
    "values": lambda room: room.values().drop(columns=["name", "object_id", "size"]),
    "values by prefix": lambda room: room.values("se").drop(columns=["name", "object_id", "size"]),
    "tables": lambda room: room.tables(),
    "alarm": lambda room: room.alarm(),
}


def test_reads_are_the_same_on_both_targets(far: LocalTarget) -> None:
    """Frames of one object are equal: integers beyond 2**53 and beside NULL, REAL 1.0, infinity, bytes, twin names."""
    del far
    found = []
    for target in ("local", "cloudflare"):
        session = opened(target)
        room = session.object("rooms", "kitchen")
        room.fill()
        found.append({what: read(room) for what, read in READS.items()})
    for what in READS:
        near, away = found[0][what], found[1][what]
        if isinstance(near, pd.DataFrame):
            pd.testing.assert_frame_equal(pd.DataFrame(near), pd.DataFrame(away), obj=what)
        else:
            assert near == away, what
    page = room.info()
    assert (page.name, page.class_name, page.last_write, page.methods) == ("kitchen", "Room", None, METHODS)
    assert [table.rows for table in page.tables] == [3, 2]
    assert "seen" in str(page)


def test_reads_of_all_objects(far: LocalTarget) -> None:
    """`query` and `values` of a namespace ask each listed object; ids stand where Cloudflare has no names."""
    del far
    session = opened("cloudflare")
    ids = {session.object("rooms", name).fill() for name in ("a", "b", "c")}
    rows = session.query("rooms", "SELECT count(*) AS n FROM t")
    assert set(rows["object_id"]) == ids
    assert rows["n"].tolist() == [3, 3, 3]
    assert session.values("rooms")["key"].tolist() == ["none", "seen"] * 3


def test_looking_makes_and_changes_nothing(far: LocalTarget) -> None:
    """An object that is not listed is refused before it is asked; a statement that writes is undone, and refused."""
    del far
    session = opened("cloudflare")
    room = session.object("rooms", "kitchen")
    room.fill()
    for read in (lambda o: o.info(), lambda o: o.query("SELECT 1"), lambda o: o.values(), lambda o: o.alarm()):
        with pytest.raises(CommandError, match="rooms has no object kichen that stored something"):
            read(session.object("rooms", "kichen"))
    assert len(session.objects("rooms")) == 1
    for sql in ("DELETE FROM t", "INSERT INTO t(n) VALUES (1) RETURNING id", "DROP TABLE t", "SELECT 1; DELETE FROM t"):
        with pytest.raises(CommandError, match="query"):
            room.query(sql)
        assert room.count() == 3
    with pytest.raises(
        CommandError, match=r"To change data: %durable execute rooms kitchen 'DELETE FROM t' \(shown first\)"
    ):
        room.query("DELETE FROM t")
    with pytest.raises(CommandError, match="No table nowhere"):
        room.query("SELECT * FROM nowhere")
    with pytest.raises(CommandError, match="9007199254740993 cannot be a parameter on Cloudflare"):
        room.query("SELECT ?", 2**53 + 1)


def test_changes_are_shown_and_sent(far: LocalTarget) -> None:
    """put, delete, execute, alarms and wipe: before and after as locally, sent once, stale when the value moved."""
    del far
    found = []
    for target in ("local", "cloudflare"):
        session = opened(target)
        room = session.object("rooms", "kitchen")
        room.fill()
        put = room.put("seen", {"x": 1})
        shown = [put.before, put.after]
        session.apply(put)
        update = room.execute("UPDATE t SET n = n + 1, s = 'z' WHERE n IS NOT NULL")
        shown += [(one.kind, one.table, one.before, one.after) for one in update.before.rows]
        session.apply(update)
        drop = room.execute('DROP TABLE "odd name"')
        shown += [(one.kind, one.name, one.rows) for one in drop.before.schema]
        session.apply(room.delete("none"))
        session.apply(room.set_alarm(LATE))
        shown += [
            room.alarm(),
            room.query("SELECT * FROM t ORDER BY id").to_dict("list"),
            room.values()["value"].tolist(),
        ]
        session.apply(room.run_alarm())
        shown += [room.rang(), room.alarm()]
        stale = room.put("seen", 2)
        session.apply(room.put("seen", 3))
        with pytest.raises(StaleChange):
            session.apply(stale)
        late = room.execute("DELETE FROM t WHERE id = 1")
        session.apply(room.execute("UPDATE t SET s = 'moved' WHERE id = 1"))
        with pytest.raises(StaleChange):
            session.apply(late)
        wipe = room.wipe()
        shown += [wipe.before.tables, wipe.before.keys, wipe.phrase]
        session.apply(wipe, confirm=[wipe.phrase])
        shown += [room.count(), room.alarm()]
        found.append(shown)
    assert str(found[0][:-3]) == str(found[1][:-3])


def test_storage_needs_more_than_calls(far: LocalTarget) -> None:
    """What was deployed for calls alone says which line declares the rest."""
    del far
    session = opened("cloudflare", inspect="calls")
    room = session.object("rooms", "kitchen")
    room.fill()
    with pytest.raises(
        CommandError, match=r"only the methods can be called, as it was deployed; `%durable inspect rooms`"
    ):
        room.values()


def test_what_is_too_large_is_wiped_by_its_own_class(far: LocalTarget) -> None:
    """An object whose contents no answer can carry is not wiped unseen."""
    del far
    session = opened("cloudflare")
    room = session.object("rooms", "kitchen")
    room.fat()
    with pytest.raises(CommandError, match="more than 15 MiB as it is written down, so it cannot be compared"):
        room.wipe()
    assert room.count() == 18


def test_key_value_storage_is_read_and_changed(far: LocalTarget) -> None:
    """A namespace of the older storage has values and no tables; a statement on it is refused in words."""
    del far
    session = nd.session("old", target="cloudflare")
    olds = nd.DurableObjectNamespace("olds", class_name="Legacy", sqlite=False, inspect=True)
    nd.Worker("old", script=SOURCE, bindings={"OLDS": olds})
    session.deploy(session.plan())
    old = session.object("olds", "one")
    old.keep({"a": 1})
    session.apply(old.put("w", [1, 2]))
    assert old.values()["value"].tolist() == [{"a": 1}, [1, 2]]
    assert old.info().tables == ()
    with pytest.raises(CommandError, match="key-value storage without SQL"):
        old.query("SELECT 1")


def test_a_statement_sends_only_what_it_would_have_done_when_it_was_shown(far: LocalTarget) -> None:
    """It rests on rows that it only reads, and adds rows once; what is another each time is said, a default's too."""
    del far
    for target in ("local", "cloudflare"):
        session = opened(target)
        room = session.object("rooms", "statements")
        room.fill()
        for sql in ("b (v)", "log (what)", "d (x, at DEFAULT CURRENT_TIMESTAMP, r DEFAULT (random()))"):
            session.apply(room.execute(f"CREATE TABLE {sql}"))
        session.apply(room.execute("INSERT INTO b VALUES (5)"))
        copied = "UPDATE t SET n = (SELECT max(v) FROM b) WHERE id = 1"
        shown, insert = room.execute(copied), room.execute("INSERT INTO log VALUES ('once')")
        session.apply(room.execute("INSERT INTO b VALUES (1000000)"))
        assert room.execute(copied).digest != shown.digest, "another value would be written"
        with pytest.raises(StaleChange, match="the rows of statements moved"):
            session.apply(shown)
        session.apply(insert)
        again = room.execute("INSERT INTO log VALUES ('once')")
        assert again.digest != insert.digest, "approved once, it is not sent by the next run of the cell"
        for sql, varies in {
            "INSERT INTO d (x) VALUES (1)": ("current_timestamp", "random"),
            "INSERT INTO log VALUES (last_insert_rowid())": ("last_insert_rowid",),
        }.items():
            change = room.execute(sql)
            assert change.before.varies == varies
            assert session.apply(change).ok, "what varies is no reason to be stale"
            with pytest.raises(CommandError, match="applied already"):
                session.apply(change)
            assert room.execute(sql).digest != change.digest
        for table in ("b", "log", "d"):
            session.apply(room.execute(f"DROP TABLE {table}"))


def test_rows_without_a_rowid_are_compared_in_the_object_too(far: LocalTarget) -> None:
    """What the object compares in the change's own transaction has such rows by their key, exactly, on both targets."""
    del far
    for target in ("local", "cloudflare"):
        session = opened(target)
        room = session.object("rooms", "keyed")
        room.fill()
        session.apply(room.execute("CREATE TABLE k(a INTEGER, b BLOB, c TEXT, n, PRIMARY KEY (a, b, c)) WITHOUT ROWID"))
        session.apply(room.execute("INSERT INTO k VALUES (9007199254740993, x'00ff', 'ü', 1), (1, x'', '', NULL)"))
        change = room.execute("UPDATE k SET n = 2.0")
        checks = json.loads(change.edits[0].checks)
        assert len(checks) == 2
        seen = [asked(session, op="seen", checks=[check])[0] for check in checks]
        assert sorted(seen) == sorted(
            [
                '[["integer","9007199254740993","blob",{"$":"bytes","v":"AP8="},"text","ü","integer","1"]]',
                '[["integer","1","blob",{"$":"bytes","v":""},"text","","null",null]]',
            ]
        )
        op = {**json.loads(change.edits[0].op), "checks": checks, "expect": seen}
        session.apply(room.execute("UPDATE k SET n = 7 WHERE a = 1"))
        assert asked(session, **op) == "moved", "nothing of the client's stands between"
        assert room.query("SELECT n FROM k ORDER BY a")["n"].tolist() == [7, 1]
        session.apply(room.execute("UPDATE k SET n = 2.0"))
        assert room.query("SELECT n FROM k ORDER BY a")["n"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("width", [60, 100])
def test_statements_change_wide_tables(far: LocalTarget, width: int) -> None:
    """A table may have a hundred columns, with a rowid or by a key; each cell of its rows is compared in the object."""
    del far
    for target in ("local", "cloudflare"):
        session = opened(target)
        room = session.object("rooms", f"wide {width}")
        room.fill()
        columns = [f"c{at}" for at in range(width)]
        more = ", ".join(columns[2:])
        session.apply(room.execute(f"CREATE TABLE r(c0 INTEGER, c1, {more})"))
        session.apply(room.execute(f"CREATE TABLE k(c0 INTEGER, c1, {more}, PRIMARY KEY (c0, c1)) WITHOUT ROWID"))
        cells = (["1.0", "NULL", "x'00ff'", "'ü'", "9007199254740993"] * 20)[: width - 2]
        for table in ("r", "k"):
            for key in (2, 1):
                session.apply(room.execute(f"INSERT INTO {table} VALUES ({key}, 'a', {', '.join(cells)})"))
            last = columns[-1]
            change = room.execute(f"UPDATE {table} SET {last} = 'new', c2 = c0")
            shown = {row.before[0]: row for row in change.before.rows}
            assert list(shown[2].before[:7]) == [2, "a", 1.0, None, b"\x00\xff", "ü", 2**53 + 1]
            assert [list(shown[key].after[:3]) for key in (1, 2)] == [[1, "a", 1], [2, "a", 2]]
            assert {row.after[-1] for row in change.before.rows} == {"new"}
            checks = json.loads(change.edits[0].checks)
            seen = asked(session, f"wide {width}", op="seen", checks=checks)
            op = {**json.loads(change.edits[0].op), "checks": checks, "expect": seen}
            session.apply(room.execute(f"UPDATE {table} SET {last} = 'moved' WHERE c0 = 2"))
            assert asked(session, f"wide {width}", **op) == "moved", "the last of its cells is compared too"
            with pytest.raises(StaleChange, match=f"the rows of wide {width} moved"):
                session.apply(change)
            assert session.apply(room.execute(f"UPDATE {table} SET {last} = 'new', c2 = c0")).ok
            found = room.query(f"SELECT c0, c2, {last} FROM {table} ORDER BY c0")
            assert found.to_numpy().tolist() == [[1, 1, "new"], [2, 2, "new"]]


def test_keys_that_came_are_found_in_a_wipe_itself(far: LocalTarget) -> None:
    """The object refuses by itself to be wiped where a key came after it was shown, also when no file was compared."""
    del far
    for target in ("local", "cloudflare"):
        session = opened(target)
        room = session.object("rooms", "wiped")
        room.fill()
        change = room.wipe()
        checks = json.loads(change.edits[0].checks)
        session.apply(room.put("late", 1))
        expect = [one["is"] for one in checks]
        assert asked(session, object_="wiped", op="wipe", checks=checks, expect=expect) == "moved"
        assert "late" in room.values()["key"].tolist()


def asked(session: nd.Session, object_: str = "keyed", **op: Any) -> Any:
    """Ask one object with nothing read before."""

    async def ask() -> Any:
        connection = await session._connect()
        async with connection.client() as client:
            way = await way_to(connection, client, session.recorded(), "rooms")
            (outcome,) = await way.ask([{"object": {"name": object_}, **op}])
            return outcome

    outcome = bridge.run(ask())
    return outcome.value if isinstance(outcome, Returned) else getattr(outcome, "why", outcome)
