"""The runtime keeps what Workers store, through renames, restarts and kills, and lets them call each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from sharing import until

from notebook_do.errors import TargetError
from notebook_do.local.objects import stored
from notebook_do.local.objects.stored import object_id, stored_objects
from notebook_do.local.objects.written import Written
from notebook_do.local.runtime import probe
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.local.runtime.spec import ScriptInvalid
from notebook_do.local.services.kv import KvPut

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NS = "0" * 31 + "1"
OTHER_NS = "0" * 31 + "2"
ID_OF_A = object_id(NS, "a")

COUNTER = """
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  increment() {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS hits (n INTEGER)");
    this.ctx.storage.sql.exec("INSERT INTO hits VALUES (1)");
    return this.ctx.storage.sql.exec("SELECT count(*) AS n FROM hits").one().n;
  }
  touch() { return this.ctx.id.toString(); }
  async empty() { await this.ctx.storage.deleteAll(); return "empty"; }
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const method = url.pathname.slice(1) || "increment";
    const stub = env.COUNTER.get(env.COUNTER.idFromName(url.searchParams.get("name") ?? "a"));
    return new Response(String(await stub[method]()));
  },
};
"""
BOUND = {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}
HOST = {"hosts": {"Counter": NS}, "bindings": (BOUND,)}
HELLO = 'export default { fetch() { return new Response("hello"); } };'


def wait(milliseconds: int) -> str:
    """Write JavaScript that waits."""
    return f"new Promise((done) => setTimeout(done, {milliseconds}))"


async def a_request_inside(stage: Any, name: str, then: str) -> asyncio.Task[Any]:
    """Send a request to a Worker that first rings a bell and then goes on with `then`; return when it has rung."""
    ring = "await (await env.BELL.fetch(request.url)).text()"
    source = f"export default {{ async fetch(request, env) {{ {ring}; {then}; }} }};"
    stage.put("bell", HELLO)
    stage.put(name, source, bindings=({"type": "service", "name": "BELL", "service": "bell"},))
    asking = asyncio.create_task(stage.call(name))
    await stage.event("bell", bool)
    return asking


def test_a_counter_counts_for_each_name(play: Callable[..., None]) -> None:
    """A Durable Object with SQLite keeps a count of its own for each name."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        assert [await stage.text("counter") for _ in range(3)] == ["1", "2", "3"]
        assert await stage.text("counter", "/?name=b") == "1"

    play(story)


def test_a_renamed_class_keeps_its_objects(play: Callable[..., None]) -> None:
    """The same namespace id under another class name has the same data."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        assert await stage.text("counter") == "1"
        renamed = {**BOUND, "class_name": "Tally"}
        await stage.deploy("counter", COUNTER.replace("Counter", "Tally"), hosts={"Tally": NS}, bindings=(renamed,))
        assert await stage.text("counter") == "2"

    play(story)


def test_a_transferred_class_keeps_its_objects(play: Callable[..., None]) -> None:
    """A namespace that moved to another script has its data there, and the old script's process let go of it."""

    async def story(stage: Any) -> None:
        stage.put("one", COUNTER, **HOST)
        assert await stage.text("one") == "1"
        stage.put("one", HELLO)
        stage.put("two", COUNTER, **HOST)
        await stage.runtime.changed(["one", "two"])
        assert await stage.text("two") == "2"
        assert await stage.text("one") == "hello"
        assert stage.pid("one") != stage.pid("two")

    play(story)


def test_a_transfer_without_a_word_never_shares_a_folder(play: Callable[..., None]) -> None:
    """Even when nobody says that a namespace moved, the process that held it ends before another takes it."""

    async def story(stage: Any) -> None:
        stage.put("one", COUNTER, **HOST)
        assert await stage.text("one") == "1"
        first = stage.pid("one")
        stage.put("one", HELLO)
        stage.put("two", COUNTER, **HOST)
        assert await stage.text("two") == "2"
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)

    play(story)


def test_a_restart_keeps_data(play: Callable[..., None]) -> None:
    """A new runtime on the same directory goes on where the old one stopped."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        async with stage.running():
            assert await stage.text("counter") == "1"
        async with stage.running():
            assert await stage.text("counter") == "2"

    play(story, running=False)


def test_acknowledged_writes_survive_kill_9(play: Callable[..., None]) -> None:
    """Whatever was answered before workerd is killed is there afterwards, and the next request works."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        acknowledged = 0
        for _ in range(2):
            for _ in range(20):
                acknowledged = int(await stage.text("counter"))
            island = stage.runtime._by_script["counter"]
            os.kill(stage.pid("counter"), signal.SIGKILL)
            await island.gone.wait()
            assert int(await stage.text("counter")) == acknowledged + 1

    play(story)


def test_a_request_that_dies_with_workerd_says_so(play: Callable[..., None]) -> None:
    """A request inside when workerd is killed gets one line and status 502; it is not sent twice."""

    async def story(stage: Any) -> None:
        asking = await a_request_inside(stage, "page", f"await {wait(60_000)}")
        os.kill(stage.pid("page"), signal.SIGKILL)
        answer = await asking
        assert answer.status_code == 502
        assert answer.text == 'Worker "page": the runtime ended while it was answering; try again.\n'
        assert len(stage.events["bell"]) == 1

    play(story)


def test_workers_call_each_other(play: Callable[..., None]) -> None:
    """A class of another script is reachable by fetch and RPC, a named entrypoint with its props."""
    client = """
    export default {
      async fetch(request, env) {
        const stub = env.SHARED.get(env.SHARED.idFromName("a"));
        const page = await env.HOST.fetch("http://host/increment");
        return Response.json([await stub.increment(), await page.text(), await env.ENTRY.greet("you")]);
      },
    };
    """
    entry = """
    import { WorkerEntrypoint } from "cloudflare:workers";
    export class Entry extends WorkerEntrypoint { greet(name) { return `${this.ctx.props.word} ${name}`; } }
    """
    bindings = (
        {"type": "durable_object_namespace", "name": "SHARED", "class_name": "Counter", "script_name": "host"},
        {"type": "service", "name": "HOST", "service": "host"},
        {"type": "service", "name": "ENTRY", "service": "host", "entrypoint": "Entry", "props": {"word": "hi"}},
    )

    async def story(stage: Any) -> None:
        stage.put("host", COUNTER + entry, **HOST)
        stage.put("client", client, bindings=bindings)
        assert await stage.text("client") == '[2,"1","hi you"]'
        assert stage.pid("client") == stage.pid("host")

    play(story)


def test_two_islands_become_one_and_keep_data(play: Callable[..., None]) -> None:
    """A new binding between two running Workers joins their processes; taking it away parts them again."""
    binding = {"type": "service", "name": "HOST", "service": "host"}

    async def story(stage: Any) -> None:
        stage.put("host", COUNTER, **HOST)
        stage.put("client", HELLO)
        assert await stage.text("host") == "1"
        assert await stage.text("client") == "hello"
        assert stage.pid("client") != stage.pid("host")
        await stage.deploy("client", HELLO, bindings=(binding,))
        assert await stage.text("host") == "2"
        assert await stage.text("client") == "hello"
        assert stage.pid("client") == stage.pid("host")
        await stage.deploy("client", HELLO)
        assert await stage.text("host") == "3"
        assert await stage.text("client") == "hello"
        assert stage.pid("client") != stage.pid("host")

    play(story)


def test_a_deploy_leaves_other_islands_alone(play: Callable[..., None]) -> None:
    """Replacing one Worker does not touch the process of one that is not tied to it."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        stage.put("page", HELLO)
        await asyncio.gather(stage.text("counter"), stage.text("page"))
        before = stage.pid("counter")
        await stage.deploy("page", HELLO.replace("hello", "bye"))
        assert await stage.text("page") == "bye"
        assert stage.pid("counter") == before

    play(story)


def test_a_removed_worker_is_gone(play: Callable[..., None]) -> None:
    """After a Worker is removed its address answers 404 and its process has ended."""

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        assert await stage.text("page") == "hello"
        pid = stage.pid("page")
        del stage.workers["page"]
        await stage.runtime.changed(["page"])
        assert (await stage.call("page")).status_code == 404
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    play(story)


def test_a_request_inside_finishes_before_the_swap(play: Callable[..., None]) -> None:
    """A request that was let in gets the old code's answer; one that comes during the swap gets the new code's."""

    async def story(stage: Any) -> None:
        asking = await a_request_inside(stage, "page", f'await {wait(400)}; return new Response("old")')
        swap = asyncio.create_task(stage.deploy("page", HELLO))
        await asyncio.sleep(0)
        later = asyncio.create_task(stage.text("page"))
        assert (await asking).text == "old"
        assert await later == "hello"
        await swap

    play(story, grace=60)


def test_no_request_fails_while_code_is_replaced(play: Callable[..., None]) -> None:
    """Requests that never stop see every one of ten replacements, and not one of them fails."""

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        seen: set[str] = set()
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                seen.add(await stage.text("page"))

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for number in range(10):
            await stage.deploy("page", HELLO.replace("hello", f"version {number}"))
            assert await stage.text("page") == f"version {number}"
            await until(lambda number=number: f"version {number}" in seen)
        done.set()
        await asyncio.gather(*asking)
        assert seen >= {f"version {number}" for number in range(10)}

    play(story)


def test_a_request_without_end_is_given_its_grace_only(play: Callable[..., None]) -> None:
    """A deploy waits for a request that never ends for as long as it is told, then goes on."""

    async def story(stage: Any) -> None:
        asking = await a_request_inside(stage, "page", f"await {wait(60_000)}")
        async with asyncio.timeout(30):
            await stage.deploy("page", HELLO)
            assert (await asking).status_code == 502
        assert await stage.text("page") == "hello"

    play(story, grace=0.3)


def test_forget_removes_one_namespace_only(play: Callable[..., None]) -> None:
    """Forgetting a namespace deletes its objects and no others; the Worker starts from nothing."""

    async def story(stage: Any) -> None:
        stage.put("one", COUNTER, **HOST)
        stage.put("two", COUNTER, hosts={"Counter": OTHER_NS}, bindings=(BOUND,))
        await stage.text("one")
        await stage.text("two")
        await stage.runtime.forget(NS)
        assert not (stage.data / "objects" / NS).exists()
        assert await stage.text("one") == "1"
        assert await stage.text("two") == "2"

    play(story)


def test_what_is_no_namespace_id_is_never_a_path(play: Callable[..., None]) -> None:
    """Only 32 hexadecimal digits name a folder."""

    async def story(stage: Any) -> None:
        for hostile in ("../objects", "..", "", "/etc", NS.upper() + "A", NS + "/..", NS[:-1] + "\0"):
            with pytest.raises(ValueError, match="no namespace id"):
                await stage.runtime.forget(hostile)
            with pytest.raises(ValueError, match="no namespace id"):
                await stage.runtime.objects(hostile)

    play(story)


def test_objects_tell_stored_from_touched(play: Callable[..., None]) -> None:
    """An object with rows has stored data; one that was only called, or emptied, has none."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        await stage.text("counter", "/increment?name=a")
        await stage.text("counter", "/touch?name=b")
        await stage.text("counter", "/increment?name=c")
        await stage.text("counter", "/empty?name=c")
        found = {one.id: one.has_stored_data for one in await stage.runtime.objects(NS)}
        assert found == {object_id(NS, "a"): True, object_id(NS, "b"): False, object_id(NS, "c"): False}
        assert await stage.runtime.objects(OTHER_NS) == []

    play(story)


def test_ids_are_computed_as_workerd_does(play: Callable[..., None]) -> None:
    """`object_id` gives what `idFromName` gives, for any name."""
    source = COUNTER.replace("stub[method]()", "env.COUNTER.idFromName(await request.text())")

    async def story(stage: Any) -> None:
        stage.put("counter", source, **HOST)
        for name in ("", "a", "ü", "\N{SNOWMAN}" * 300, "a\0b", "../x"):
            assert await stage.text("counter", method="POST", content=name.encode()) == object_id(NS, name)

    play(story)


def test_a_name_is_shown_while_an_alarm_is_set(play: Callable[..., None]) -> None:
    """An object with a pending alarm is listed with its name."""
    source = COUNTER.replace("touch() {", "alarm() {} touch() { this.ctx.storage.setAlarm(Date.now() + 3600e3);")

    async def story(stage: Any) -> None:
        stage.put("counter", source, **HOST)
        await stage.text("counter", "/touch")
        (one,) = stored_objects(stage.data / "objects", NS, Written())
        assert (one.id, one.name, one.has_stored_data) == (ID_OF_A, "a", True)

    play(story)


def test_one_directory_has_one_runtime(play: Callable[..., None], workerd: Path) -> None:
    """A second runtime on the same data directory is refused with one line."""

    async def story(stage: Any) -> None:
        with pytest.raises(TargetError, match="another process runs the local Cloudflare"):
            Runtime(data=stage.data, workerd=workerd, workers=list, events=lambda _script, _item: None)

    play(story)


def test_check_refuses_what_workerd_refuses(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial boot passes a good Worker, refuses an export that is no handler, and touches no stored object."""

    async def story(stage: Any) -> None:
        good = stage.put("counter", COUNTER, **HOST)
        await stage.text("counter")
        await stage.runtime.trials.check(good)
        with pytest.raises(ScriptInvalid, match="Incorrect type for map entry 'five'"):
            await stage.runtime.trials.check(stage.make("bad", COUNTER + "export const five = 5;", **HOST))
        with pytest.raises(ScriptInvalid, match="CPU time limit"):
            await stage.runtime.trials.check(stage.make("bad", "while (true) {}"))
        assert await stage.text("counter") == "2"

    monkeypatch.setattr(probe, "START_CPU_SECONDS", 1)
    play(story)


def test_a_thousand_deployed_workers_cost_no_process(play: Callable[..., None]) -> None:
    """Workers that nobody calls run nowhere; calling one starts one process."""

    async def story(stage: Any) -> None:
        for number in range(1000):
            stage.put(f"page-{number}", HELLO)
        await stage.runtime.changed(stage.workers)
        assert stage.runtime._by_script == {}
        assert await stage.text("page-500") == "hello"
        assert list(stage.runtime._by_script) == ["page-500"]

    play(story)


def test_an_idle_island_ends_and_comes_back(play: Callable[..., None]) -> None:
    """Without requests a process ends; the next request starts another, with the data."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        assert await stage.text("counter") == "1"
        await stage.over("counter")
        assert await stage.text("counter") == "2"

    play(story, idle=0.2)


def test_files_can_be_read_while_they_are_written(play: Callable[..., None]) -> None:
    """Listing objects during writes never fails and never disturbs them."""

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER, **HOST)
        await stage.text("counter")

        async def write() -> None:
            for number in range(60):
                assert int(await stage.text("counter")) == number + 2

        writing = asyncio.create_task(write())
        while not writing.done():
            (one,) = await stage.runtime.objects(NS)
            assert one.has_stored_data
        await writing
        path = stage.data / "objects" / NS / f"{ID_OF_A}.sqlite"
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as database:
            assert database.execute("SELECT count(*) FROM hits").fetchone() == (61,)

    play(story)


def test_names_are_found_and_proved_by_their_ids(play: Callable[..., None]) -> None:
    """Names that a request mentioned, and those that stand in the script, are shown; others are not guessed."""
    source = COUNTER.replace(
        'url.searchParams.get("name") ?? "a"', 'atob(url.searchParams.get("name64") ?? "bG9iYnk=")'
    )

    async def story(stage: Any) -> None:
        stage.put("counter", COUNTER.replace('"a"', '"lobby"'), **HOST)
        async with stage.running():
            await stage.text("counter")
            await stage.text("counter", "/increment?name=caf%C3%A9%20%2F1")
            stage.put("counter", source, **HOST)
            await stage.runtime.changed(["counter"])
            await stage.text("counter", "/increment?name64=c2VjcmV0")
            stage.put("counter", COUNTER.replace('"a"', '"lobby"'), **HOST)
            found = {one.name for one in await stage.runtime.objects(NS)}
            assert found == {"lobby", "caf\u00e9 /1", None}
        stage.put("counter", source, **HOST)
        async with stage.running():
            assert {one.name for one in await stage.runtime.objects(NS)} == found
            assert {object_id(NS, one.name) == one.id for one in await stage.runtime.objects(NS) if one.name} == {True}
            await stage.runtime.forget(NS)
            await stage.text("counter", "/increment?name64=c2VjcmV0")
            assert [one.name for one in await stage.runtime.objects(NS)] == [None]

    play(story, running=False)


def test_a_change_does_not_wait_for_requests(play: Callable[..., None]) -> None:
    """A change is answered while a request is inside, which ends as it began; the next one is the new code's."""
    slow = """
    export default { async fetch(request, env) {
      while (!(await env.KV.get("go"))) await scheduler.wait(20);
      return new Response("old");
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", slow, bindings=({"type": "kv_namespace", "name": "KV", "namespace_id": "a" * 32},))
        inside = asyncio.create_task(stage.text("page"))
        first = await stage.in_use("page")
        await stage.deploy("page", HELLO)
        assert not inside.done()
        assert first.closing.is_set()
        later = asyncio.create_task(stage.text("page"))
        stage.runtime.services.kv.put_all("a" * 32, [KvPut(name=b"go", value=b"1")])
        assert await later == "hello"
        assert await inside == "old"

    play(story, grace=60)


SLOW = 'export default { async fetch() { await scheduler.wait(700); return new Response("old"); } };'


@pytest.mark.parametrize("who", ["a request", "the Worker itself"])
def test_nothing_begins_after_the_close(play: Callable[..., None], processes: Callable[[], set[int]], who: str) -> None:
    """Whoever waits for a process that ends, while all is closed, begins no other, which would hold up the close."""

    async def story(stage: Any) -> None:
        async with stage.running():
            await stage.deploy("other", HELLO)
            await stage.text("other")
            await stage.deploy("page", SLOW)
            slow = asyncio.create_task(stage.call("page"))
            await stage.in_use("page")
            if who == "a request":
                await stage.deploy("page", HELLO)
                waits = asyncio.create_task(stage.call("page"))
            else:  # it has to run beside a Worker that is still busy
                await stage.deploy("other", HELLO, bindings=({"type": "service", "name": "P", "service": "page"},))
                waits = slow
            await asyncio.sleep(0.1)
        assert processes() == set()
        await asyncio.gather(slow, waits, return_exceptions=True)

    play(story, running=False, idle=3600)  # which a process that began would hold up the close for


def test_a_close_waits_for_a_start_under_way(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would listen, and hand over messages, behind the end."""
    real = stored.sweep
    monkeypatch.setattr(stored, "sweep", lambda storage: (time.sleep(0.3), real(storage)))

    async def story(stage: Any) -> None:
        async with stage.running():
            pass
        assert stage.runtime._started.done()
        assert not stage.runtime.services._server._server.is_serving()

    play(story, running=False)


def test_a_close_ends_the_trials_that_are_under_way(
    play: Callable[..., None], processes: Callable[[], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that run and those that wait for their turn: nothing of them is left, and who waits is told."""

    async def story(stage: Any) -> None:
        trials = []
        async with stage.running():
            await stage.deploy("page", HELLO)
            for number in range(stage.runtime.trials._most):
                worker = stage.make(f"endless-{number}", "while (true) {}")
                trials += [
                    asyncio.create_task(one(worker))
                    for one in (stage.runtime.trials.examine, stage.runtime.trials.probe)
                ]
            trials.append(asyncio.create_task(stage.runtime.trials.check(stage.make("waits", HELLO))))
            await asyncio.sleep(0.15)
        assert processes() == set()
        for error in await asyncio.gather(*trials, return_exceptions=True):
            assert "is being stopped" in str(error)

    for limit in ("START_CPU_SECONDS", "PROBE_TIMEOUT"):  # what the close would wait for
        monkeypatch.setattr(probe, limit, 3600)
    play(story, running=False, check_timeout=3600)


def test_an_end_that_fails_is_an_end(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where what is done before the end of a process fails, it ends all the same, and somebody is told."""

    async def story(stage: Any) -> None:
        await stage.deploy("page", SLOW)
        assert await stage.text("page") == "old"
        first = stage.island("page")

        async def fails(_island: Any) -> None:
            raise PermissionError("the disk")

        with monkeypatch.context() as patch:
            patch.setattr(stage.runtime._places, "before_end", fails)
            await stage.deploy("page", HELLO)
            await first.gone.wait()
        assert await stage.text("page") == "hello"
        assert "work in the background failed" in caplog.text
        assert "PermissionError: the disk" in caplog.text

    play(story)


def test_a_start_that_failed_is_tried_again(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk refused once does not keep the local Cloudflare from all that comes later."""
    swept, real = [], stored.sweep

    def fails_once(storage: Path) -> None:
        swept.append(storage)
        if len(swept) == 1:
            raise PermissionError("the disk")
        real(storage)

    monkeypatch.setattr(stored, "sweep", fails_once)

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        async with stage.running():
            with contextlib.suppress(PermissionError):  # unless it had failed before anybody asked
                await stage.runtime.start()
            assert await stage.text("page") == "hello"
        assert len(swept) == 2

    play(story, running=False)
