"""What a call, a map and a query cost beside a fetch, and what the module of calls costs a start. -m benchmark."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.local.runtime import island as islands
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

COUNTER = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
  note() { this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (a)"); }
}
export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    return new Response(String(await env.COUNTER.getByName(name).increment()));
  },
};
"""
ROUNDS, ROWS, STARTS = 150, 1000, 30


@pytest.fixture
def counting(cloud: Path) -> nd.Session:
    """Deploy a counter."""
    del cloud
    session = nd.session("counting")
    bound = {"COUNTER": nd.DurableObjectNamespace("counter", class_name="Counter")}
    nd.Worker("counting", script=COUNTER, bindings=bound)
    session.deploy(session.plan())
    return session


def taken(act: Callable[[], Any]) -> float:
    """Say how long something takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def test_a_call_beside_a_fetch(counting: nd.Session, say: Callable[[str], None]) -> None:
    """One at a time, in turn: the Worker's own fetch that calls the method, the call, a query, with one object."""
    room = counting.object("counter", "a")
    room.note()
    acts = {
        "fetch": lambda: counting.fetch("counting", "/a"),
        "call": room.increment,
        "query": lambda: counting.query("counter", "SELECT * FROM t", object="a"),
    }
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            times[name].append(taken(act))
    middle = {name: statistics.median(found[10:]) for name, found in times.items()}
    for name, found in middle.items():
        say(f"{name:6} {found * 1000:6.1f} ms  x{found / middle['fetch']:.2f} of a fetch")


def test_a_map_beside_calls_one_after_the_other(counting: nd.Session, say: Callable[[str], None]) -> None:
    """A thousand rows, by map and by one call after the other, and as many fetches."""
    df = pd.DataFrame({"user": [f"user-{n % 250}" for n in range(ROWS)]})
    counting.map("counter", df, object="user", call="increment")
    mapped = taken(lambda: counting.map("counter", df, object="user", call="increment"))
    called = taken(lambda: [counting.object("counter", user).increment() for user in df.user])
    fetched = taken(lambda: [counting.fetch("counting", f"/{user}") for user in df.user])
    say(f"map x{mapped / called:.3f} of the calls, x{mapped / fetched:.3f} of the fetches, one after the other")


def test_what_the_module_costs_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]
) -> None:
    """The first request to an island that does not run, with the module and without, in turn."""
    source = tmp_path / "index.js"
    source.write_text(COUNTER)
    bound = ({"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},)
    worker = RunnableWorker(
        name="w",
        version="1",
        main_module="index.js",
        modules=(ModuleFile(name="index.js", content_type="application/javascript+module", path=source),),
        bindings=bound,
        namespaces=(HostedNamespace(namespace_id="1" * 32, class_name="Counter", sqlite=True),),
        compatibility_date="2026-10-01",
    )
    times: dict[str, list[float]] = {"with": [], "without": []}

    async def start(kind: str) -> None:
        token = "" if kind == "without" else "token"
        monkeypatch.setattr(islands.secrets, "token_hex", lambda _: token)
        begun = time.perf_counter()
        async with runtime.lease("w") as lease:
            answer = await lease.upstream.fetch("GET", "/a", host="w")
        times[kind].append(time.perf_counter() - begun)
        assert answer.status == 200
        await runtime._by_script["w"].retire(0)
        await asyncio.sleep(0.3)  # the next process is made meanwhile, as between two edits

    async def whole() -> None:
        nonlocal runtime
        runtime = Runtime(
            data=tmp_path / "data", workerd=find_workerd(), workers=lambda: [worker], events=lambda *_: None
        )
        for _ in range(STARTS):
            for kind in ("with", "without"):
                await start(kind)
        await runtime.close()

    runtime: Any = None
    asyncio.run(whole())
    middle = {kind: statistics.median(found[1:]) for kind, found in times.items()}
    say(f"a start with the module: x{middle['with'] / middle['without']:.3f} of one without")
