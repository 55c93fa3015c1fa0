"""What the runtime relies on holds for every workerd that is pinned: ids, files, alarms, events, drain, refusals."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.local.objects.objects import object_id
from notebook_do.local.runtime.probe import probe
from notebook_do.local.runtime.spec import ScriptInvalid
from notebook_do.toolchain import WORKERD_INTEGRITY, WORKERD_VERSION, find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable

NS = "0" * 31 + "6"
OTHERS = [version for version in WORKERD_INTEGRITY if version != WORKERD_VERSION]
SOURCE = """
import { DurableObject } from "cloudflare:workers";
export class Thing extends DurableObject {
  async increment(delay) {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    if (delay) await this.ctx.storage.setAlarm(Date.now() + Number(delay));
    return n;
  }
  alarm() { console.log("alarm"); }
}
export default {
  async fetch(request, env) {
    console.log("asked");
    const delay = new URL(request.url).searchParams.get("delay");
    return new Response(String(await env.THING.get(env.THING.idFromName("a")).increment(delay)));
  },
  async scheduled(event) { console.log("cron", event.cron); },
};
"""
HOST: dict[str, Any] = {
    "hosts": {"Thing": NS},
    "bindings": ({"type": "durable_object_namespace", "name": "THING", "class_name": "Thing"},),
    "compatibility_date": "2026-06-01",
}


@pytest.mark.skipif(sys.platform != "linux", reason="the other pins are for other systems than Linux")
@pytest.mark.parametrize("version", OTHERS)
def test_the_contract_holds(play: Callable[..., None], version: str) -> None:
    """Count, redeploy, kill, read files, run a cron, wake for an alarm: as with the default workerd."""
    binary = find_workerd(version=version)

    async def story(stage: Any) -> None:
        worker = stage.put("thing", SOURCE, **HOST)
        report = await probe(worker, binary)
        assert [(export.name, export.kind) for export in report.exports] == [("Thing", "durable-object")]
        await stage.runtime.check(worker)
        with pytest.raises(ScriptInvalid, match=r"at index\.js:1:"):
            await probe(stage.make("bad", "throw new Error('x');"), binary)
        assert await stage.text("thing") == "1"
        await stage.logged("thing", "asked")
        await stage.deploy("thing", SOURCE, **HOST)
        assert await stage.text("thing") == "2"
        island = stage.island("thing")
        os.kill(stage.pid("thing"), signal.SIGKILL)
        await island.gone.wait()
        assert await stage.text("thing", "/?delay=1500") == "3"
        (stored,) = await stage.runtime.objects(NS)
        assert (stored.id, stored.has_stored_data) == (object_id(NS, "a"), True)
        assert (await stage.runtime.run_cron("thing", "1 * * * *"))["outcome"] == "ok"
        await stage.logged("thing", "cron")
        await stage.island("thing").gone.wait()
        await stage.logged("thing", "alarm")

    play(story, workerd=binary, idle=0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="the other pins are for other systems than Linux")
@pytest.mark.parametrize("version", OTHERS)
def test_a_broken_neighbour_is_found_out(play: Callable[..., None], version: str) -> None:
    """The Worker at fault is read from what this version says, too."""

    async def story(stage: Any) -> None:
        bound = (
            {"type": "service", "name": "ONE", "service": "one"},
            {"type": "service", "name": "TWO", "service": "two", "entrypoint": "Gone"},
        )
        stage.put("one", "throw new Error('boom');", compatibility_date="2026-06-01")
        stage.put("two", SOURCE, **HOST)
        source = 'export default { fetch() { return new Response("hello"); } };'
        stage.put("page", source, bindings=bound, compatibility_date="2026-06-01")
        assert await stage.text("page") == "hello"
        assert "boom" in (await stage.call("one")).text

    play(story, workerd=find_workerd(version=version))
