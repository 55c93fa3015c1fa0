"""What a signed call costs on target cloudflare beside the Worker's own fetch, and what reading through an object does.

The API and the Workers are those of a local Cloudflare, so that the way to a data center is in none of the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from far_target import use_far_target
from measuring import timed_in_turn

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  next() { const n = (this.ctx.storage.kv.get("n") ?? 0) + 1; this.ctx.storage.kv.put("n", n); return n; }
  note() { this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (a)"); }
}
export default {
  async fetch(request, env) { return new Response(String(await env.COUNTER.getByName("a").next())); },
};
"""
ROUNDS, ROWS = 60, 400


def measured(how: Any) -> str:
    """Deploy the Worker so and give the ratios."""
    session = nd.session("speed", target="cloudflare")
    bound = {"COUNTER": nd.DurableObjectNamespace("counter", class_name="Counter", inspect=how)}
    nd.Worker("speed", script=SOURCE, bindings=bound)
    session.deploy(session.plan())
    counter = session.object("counter", "a")
    counter.note()
    rows = pd.DataFrame({"object": [f"r{n % 50}" for n in range(ROWS)]})
    acts: dict[str, Callable[[int], object]] = {
        "fetch": lambda _: session.fetch("speed"),
        "call": lambda _: counter.next(),
    }
    if how is True:
        acts["query"] = lambda _: counter.query("SELECT * FROM t")
    took = timed_in_turn(acts, ROUNDS)
    mapped = timed_in_turn({"map": lambda _: session.map("counter", rows, object="object", call="next")}, 3)
    took["one of a map"] = mapped["map"] / ROWS
    return ", ".join(f"{name} x{value / took['fetch']:.2f}" for name, value in took.items())


def test_a_signed_call_beside_a_fetch(
    cloud: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]
) -> None:
    """In turn, for calls alone and for objects that are looked into: fetch, call, query, and a map of many rows."""
    del cloud
    target = use_far_target(shared_data, monkeypatch)
    try:
        for how in ("calls", True):
            say(f"inspect={how!r}: {measured(how)}")
    finally:
        target.release()
