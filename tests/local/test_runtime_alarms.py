"""An alarm is never slept through: not when its process ended for want of requests, not when the runtime was away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NS = "0" * 31 + "3"
SLEEPER = """
import { DurableObject } from "cloudflare:workers";
const process = () => (globalThis.own ??= crypto.randomUUID());
export class Sleeper extends DurableObject {
  async set(delay) { await this.ctx.storage.setAlarm(Date.now() + delay); }
  async alarm() {
    console.log("alarm", process());
    await this.ctx.storage.put("rang", ((await this.ctx.storage.get("rang")) ?? 0) + 1);
  }
  async rang() { return (await this.ctx.storage.get("rang")) ?? 0; }
}
export default {
  async fetch(request, env) {
    const stub = env.SLEEPER.get(env.SLEEPER.idFromName("a"));
    if (new URL(request.url).pathname === "/process") return new Response(process());
    const delay = new URL(request.url).searchParams.get("delay");
    return new Response(String(delay ? ((await stub.set(Number(delay))), "set") : await stub.rang()));
  },
};
"""
HOST: dict[str, Any] = {
    "hosts": {"Sleeper": NS},
    "bindings": ({"type": "durable_object_namespace", "name": "SLEEPER", "class_name": "Sleeper"},),
}


def test_an_alarm_wakes_an_island_that_ended(play: Callable[..., None]) -> None:
    """A process that ended for want of requests is started for its alarm, and ends again."""

    async def story(stage: Any) -> None:
        stage.put("sleeper", SLEEPER, **HOST)
        assert await stage.text("sleeper", "/?delay=4000") == "set"
        first = stage.island("sleeper")
        await first.gone.wait()
        assert stage.runtime._by_script == {}
        await stage.logged("sleeper", "alarm")
        second = stage.island("sleeper")
        assert second is not first
        await second.gone.wait()
        assert await stage.text("sleeper") == "1"

    play(story, idle=0.3)


def test_an_alarm_soon_keeps_its_island(play: Callable[..., None]) -> None:
    """A process whose alarm is due within the idle time is not ended before."""

    async def story(stage: Any) -> None:
        stage.put("sleeper", SLEEPER, **HOST)
        first = await stage.text("sleeper", "/process")
        await stage.text("sleeper", "/?delay=1200")
        rang = await stage.logged("sleeper", "alarm")
        assert rang["logs"][0]["message"] == ["alarm", first]
        assert await stage.text("sleeper") == "1"

    play(story, idle=0.8)


def test_an_alarm_that_was_due_meanwhile_fires_at_the_start(play: Callable[..., None]) -> None:
    """A new runtime fires what became due while there was none, without any request."""

    async def story(stage: Any) -> None:
        stage.put("sleeper", SLEEPER, **HOST)
        async with stage.running():
            await stage.text("sleeper", "/?delay=400")
        async with stage.running():
            await stage.logged("sleeper", "alarm")
            assert await stage.text("sleeper") == "1"

    play(story, running=False)


def test_an_alarm_outlives_a_deploy(play: Callable[..., None]) -> None:
    """An alarm that was set by the old code fires in the new code, without any request."""

    async def story(stage: Any) -> None:
        stage.put("sleeper", SLEEPER, **HOST)
        await stage.text("sleeper", "/?delay=3000")
        await stage.deploy("sleeper", SLEEPER.replace('"alarm"', '"new alarm"'), **HOST)
        await stage.logged("sleeper", "new alarm")
        assert await stage.text("sleeper") == "1"

    play(story)


def test_an_alarm_fires_after_its_namespace_moved(play: Callable[..., None]) -> None:
    """An alarm of a namespace that was transferred while nothing ran fires in its new script."""

    async def story(stage: Any) -> None:
        stage.put("one", SLEEPER, **HOST)
        await stage.text("one", "/?delay=3500")
        await stage.over("one")
        stage.put("one", "export default { fetch() {} };")
        stage.put("two", SLEEPER, **HOST)
        await stage.runtime.changed(["one", "two"])
        await stage.logged("two", "alarm")
        assert await stage.text("two") == "1"

    play(story, idle=0.2)


def test_the_alarms_of_a_forgotten_namespace_are_gone(play: Callable[..., None]) -> None:
    """After a namespace is forgotten no timer is left that would wake its Worker."""

    async def story(stage: Any) -> None:
        stage.put("sleeper", SLEEPER, **HOST)
        await stage.text("sleeper", "/?delay=60000")
        await stage.over("sleeper")
        while stage.runtime._tasks:  # an end plans the alarms of what it held
            await asyncio.wait(stage.runtime._tasks)
        assert list(stage.runtime._wakes.timers) == [NS]
        await stage.runtime.forget(NS)
        assert stage.runtime._wakes.timers == {}

    play(story, idle=0.2)
