"""Every DataFrame that a user gets, with and without rows: columns, dtypes and the names of its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus import HOST, OPEN, bound
from small_account import SmallAccount
from world import cloudflare, folder, home, run_cell, shell

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

SHOWN = ("namespaces", "workers", "bindings", "migrations", "state")
SOURCE = """import { DurableObject } from 'cloudflare:workers'
export class Counter extends DurableObject {
  async fetch() {
    this.ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS t (n INTEGER, x REAL, s TEXT, b BLOB)')
    this.ctx.storage.sql.exec("INSERT INTO t VALUES (1, 0.5, 'a', x'00')")
    await this.ctx.storage.put('key', { a: [1] })
    return new Response('ok')
  }
}
export default { fetch(request, env) { return env.COUNTER.get(env.COUNTER.idFromName('x')).fetch(request) } }
"""


def _of(frame: pd.DataFrame) -> dict[str, Any]:
    columns = [f"{column}: {dtype}" for column, dtype in frame.dtypes.items()]
    return {"columns": columns, "attributes": sorted(frame.attrs)}


def _frames(session: nd.Session, plan: Any) -> dict[str, pd.DataFrame]:
    frames = {"plan": plan.df, "plan.bindings": plan.bindings, "plan.migrations": plan.migrations}
    frames |= {"namespaces": session.namespaces(), "workers": session.workers()}
    return frames | {f"show {what}": session.show(what).df for what in SHOWN}


def on_cloudflare() -> dict[str, dict[str, Any]]:
    """Give the frames of an account: by `empty` and `full`."""
    account = SmallAccount(objects=3)
    with folder() as place, shell() as ip, cloudflare(account, place) as session:
        empty = {name: (_of(frame), len(frame)) for name, frame in _frames(session, session.plan()).items()}
        for cell in OPEN:
            run_cell(ip, cell)
        first = session.plan()
        session.deploy(first)
        run_cell(ip, bound("Counter", more=" --var A=1"))
        frames = _frames(session, session.plan(["w", "counter"])) | {
            "plan.migrations": first.migrations,
            "show migrations": session.show("migrations").df,
            "whoami": session.whoami().df,
            "objects": session.objects("counter"),
        }
        session.deploy(session.plan())
        frames["backups"] = run_cell(ip, "%durable state backups").df
        account.objects = 0
        empty["objects"] = (_of(session.objects("counter")), 0)
        assert {name for name, (_, rows) in empty.items() if rows} == set()
        assert {name for name, frame in frames.items() if frame.empty} == {"show migrations"}
        return {"empty": {n: of for n, (of, _) in empty.items()}, "full": {n: _of(f) for n, f in frames.items()}}


def on_the_local_target(place: Path) -> dict[str, dict[str, Any]]:
    """Give the frames that only the local Cloudflare has, from a real one: by `empty` and `full`."""
    with home(place), shell() as ip:
        session = nd.session("golden")
        run_cell(ip, HOST[0])
        run_cell(ip, f"%%durable worker w --bind COUNTER=counter\n{SOURCE}")
        result = session.deploy(session.plan())
        empty = {"values": session.values("counter"), "objects": session.objects("counter")}
        result["w"].fetch("/")
        full = {
            "values": session.values("counter"),
            "objects": session.objects("counter"),
            "query all": session.query("counter", "SELECT * FROM t"),
            "query one": session.query("counter", "SELECT n, x, s, b, NULL AS absent FROM t", object="x"),
            "query nothing": session.query("counter", "SELECT n FROM t WHERE n > 1", object="x"),
        }
        session.close()
        assert all(frame.empty for frame in empty.values())
        return {"empty": {n: _of(f) for n, f in empty.items()}, "full": {n: _of(f) for n, f in full.items()}}
