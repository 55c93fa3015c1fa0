"""Frames of live objects never guess: on the real local Cloudflare, what a column holds is what SQLite says."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import notebook_do as nd
from notebook_do.errors import CommandError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

BIG = 2**53 + 1
SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async fill(name) {
    const sql = this.ctx.storage.sql;
    sql.exec("CREATE TABLE a (id INTEGER, x REAL, name TEXT, object_id TEXT, raw BLOB, mixed)");
    sql.exec("INSERT INTO a VALUES (9007199254740993, 1.0, ?, 'own', x'00ff', 1)", name);
    sql.exec("INSERT INTO a VALUES (NULL, 9e999, NULL, NULL, NULL, 'one'), (9223372036854775807, -9e999, '', '', x'', 1.0)");
    if (name === "young") sql.exec("ALTER TABLE a ADD COLUMN late INTEGER");
    await this.ctx.storage.put({
      nan: NaN, text: "NaN", mark: { $base64: "AQ==" }, tag: { $: "bytes", v: "AQ==" }, date: new Date(0),
      map: new Map([[1, "a"]]), set: new Set([1]), floats: new Float64Array([0.5]), big: 9007199254740993n,
    });
  }
}
const endless = () => new ReadableStream({
  async pull(controller) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    controller.enqueue(new TextEncoder().encode("tick\\n"));
  },
});
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/endless") return new Response(endless());
    if (pathname === "/silent") await new Promise((resolve) => setTimeout(resolve, 30_000));
    await env.ROOMS.getByName(pathname.slice(1)).fill(pathname.slice(1));
    return new Response("ok");
  },
};
"""  # noqa: E501 - statements as they are written


@pytest.fixture
def exact(cloud: Path) -> nd.Session:
    """Deploy two rooms with the same table, of which one is of a later version of the code."""
    del cloud
    session = nd.session("exact")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("chat", script=SOURCE, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    assert [session.fetch("chat", f"/{name}").text for name in ("old", "young")] == ["ok", "ok"]
    return session


def _ran(ip: InteractiveShell, cell: str) -> Any:
    result = ip.run_cell(cell)
    result.raise_error()
    return result.result


def test_a_column_is_what_sqlite_says(exact: nd.Session) -> None:
    """INTEGER is exact also beside NULL, 1.0 stays REAL, infinities stay, bytes are bytes, NULLs alone are object."""
    found = exact.query("rooms", "SELECT id, x, name, raw, mixed, NULL AS absent FROM a", object="old")
    assert [str(dtype) for dtype in found.dtypes] == ["Int64", "Float64", "string", "object", "object", "object"]
    assert found["id"].dropna().tolist() == [BIG, 2**63 - 1]
    assert found["id"].isna().tolist() == [False, True, False]
    assert found["x"].tolist() == [1.0, math.inf, -math.inf]
    assert found["raw"].tolist() == [b"\x00\xff", None, b""]
    assert [(one, type(one)) for one in found["mixed"]] == [(1, int), ("one", str), (1.0, float)]
    one = exact.query("rooms", "SELECT 1.0 AS x, 9e999 AS far FROM a", object="old")
    assert [str(dtype) for dtype in one.dtypes] == ["Float64", "Float64"]
    assert str(exact.query("rooms", "SELECT id FROM a WHERE 0", object="old")["id"].dtype) == "object"


def test_columns_of_one_name_are_told_apart(exact: nd.Session) -> None:
    """`SELECT a.id, b.id` has both, of one object and of all; an own `name` stays the statement's, and ours is called so."""  # noqa: E501
    join = "SELECT a.id, b.id FROM a JOIN a AS b ON a.id < b.id"
    assert exact.query("rooms", join, object="old").columns.tolist() == ["id", "id.1"]
    both = exact.query("rooms", join)
    assert both.columns.tolist() == ["name", "id", "id.1", "object_id"]
    assert both[["id", "id.1"]].to_numpy().tolist() == [[BIG, 2**63 - 1]] * 2
    named = exact.query("rooms", "SELECT name, object_id FROM a WHERE id = 9007199254740993").sort_values("name")
    assert named.columns.tolist() == ["object.name", "name", "object_id", "object.object_id"]
    assert named[["object.name", "name", "object_id"]].to_numpy().tolist() == [[n, n, "own"] for n in ("old", "young")]
    assert named["name"].tolist() == ["old", "young"]
    ages = exact.query("rooms", "SELECT * FROM a")
    assert "late" in ages.columns
    assert ages["late"].isna().all()
    nothing = exact.query("rooms", "SELECT id FROM a WHERE 0")
    assert [*nothing.columns, len(nothing)] == ["name", "id", "object_id", 0]


def test_parameters_arrive_as_they_are(exact: nd.Session, ip: InteractiveShell) -> None:
    """Numpy's and Python's scalars are bound as what they are; anything else is refused by name and place."""
    given = (np.int64(BIG), b"\xff", True, datetime(2026, 1, 2, tzinfo=UTC), None, math.inf)
    kinds = ", ".join(f"typeof(?{place}) AS k{place}, ?{place} AS v{place}" for place in range(1, 7))
    row = exact.query("rooms", f"SELECT {kinds}", *given, object="old").iloc[0]
    assert [row[f"k{place}"] for place in range(1, 7)] == ["integer", "blob", "integer", "text", "null", "real"]
    assert [row[f"v{place}"] for place in range(1, 5)] == [BIG, b"\xff", 1, "2026-01-02T00:00:00.000Z"]
    assert row["v6"] == math.inf
    with pytest.raises(CommandError, match=r"query: parameter 2 is a datetime\.date"):
        exact.query("rooms", "SELECT ?, ?", 1, datetime(2026, 1, 2, tzinfo=UTC).date(), object="old")
    line = '%durable query rooms "SELECT typeof(?) AS a, typeof(?) AS b" --object old --param NaN --param 9e999'
    assert _ran(ip, line).iloc[0].tolist() == ["text", "real"]


def test_values_are_what_was_stored(exact: nd.Session, ip: InteractiveShell) -> None:
    """NaN and "NaN" differ, what looks like a mark of ours stays what it is, and JSON says all of it."""
    found = exact.values("rooms", object="old").set_index("key")["value"]
    assert math.isnan(found.pop("nan"))
    assert found.pop("floats").tolist() == [0.5]
    assert found.to_dict() == {
        "text": "NaN",
        "mark": {"$base64": "AQ=="},
        "tag": {"$": "bytes", "v": "AQ=="},
        "date": datetime(1970, 1, 1, tzinfo=UTC),
        "map": {1: "a"},
        "set": {1},
        "big": BIG,
    }
    told = {row["key"]: row["value"] for row in json.loads(_ran(ip, "%durable values rooms --object old --json"))}
    assert (told["nan"], told["text"]) == ({"$": "number", "v": "NaN"}, "NaN")
    assert told["tag"] == {"$": "object", "v": [["$", "bytes"], ["v", "AQ=="]]}
    line = '%durable query rooms "SELECT id, x, raw FROM a LIMIT 2" --object old --json'
    assert json.loads(_ran(ip, line)) == [
        {"id": BIG, "x": 1.0, "raw": {"$": "bytes", "v": "AP8="}},
        {"id": None, "x": {"$": "number", "v": "Infinity"}, "raw": None},
    ]


def test_a_time_out_is_total(exact: nd.Session) -> None:
    """An endless answer ends with its time-out; who wants it asks for a stream, which begins at once."""
    with pytest.raises(TargetError, match=r"Worker chat-dev has not ended its answer in 4 s .*timeout=.*stream="):
        exact.fetch("chat", "/endless", timeout=4)
    with exact.fetch("chat", "/endless", timeout=60, stream=True) as answer:
        assert answer.status_code == 200
        lines: Iterator[str] = answer.iter_lines()
        assert [next(lines) for _ in range(3)] == ["tick"] * 3
    for stream in (False, True):
        with pytest.raises(TargetError, match=r"Worker chat-dev has not answered in 0\.2 s"):
            exact.fetch("chat", "/silent", timeout=0.2, stream=stream)

    async def first() -> str:
        async with await exact.afetch("chat", "/endless", stream=True) as answer:
            return await anext(answer.aiter_lines())

    assert asyncio.run(first()) == "tick"


def test_a_result_has_every_worker(exact: nd.Session) -> None:
    """A deploy that had nothing to do for a Worker has it in its result all the same: README's lines, run twice."""
    result = exact.deploy(exact.plan())
    assert result.outcomes == ()
    assert result["chat"].script_name == "chat-dev"
    nd.Worker("second", script="export default { fetch() { return new Response('second') } }")
    partly = exact.deploy(exact.plan())
    assert (partly["second"].fetch().text, partly["chat"].url) == ("second", result["chat"].url)


def test_a_value_that_is_asked_for_is_given_and_not_shown(ip: InteractiveShell, cloud: Path) -> None:
    """`p = %durable plan --quiet` is the plan, as is the value of a line with a semicolon; alone such a line shows none."""  # noqa: E501
    del cloud
    _ran(ip, "%durable session quiet")
    for line in ("plan --quiet", "plan;"):
        assert _ran(ip, f"%durable {line}") is None
        _ran(ip, f"p = %durable {line}")
        assert isinstance(ip.user_ns.pop("p"), nd.Plan)
        _ran(ip, f"if True:\n    p = %durable {line}\n%durable {line}")
        assert isinstance(ip.user_ns.pop("p"), nd.Plan)
    _ran(ip, "p = get_ipython().run_line_magic('durable', 'plan --quiet').empty")
    assert isinstance(ip.user_ns["p"], bool)
    assert isinstance(ip.run_line_magic("durable", "plan --quiet"), nd.Plan)
    assert _ran(ip, "x = 1; get_ipython().run_line_magic('durable', 'plan --quiet')") is None
