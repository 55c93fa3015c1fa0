"""A workerd waits for the next start, one at most, and never longer than an island would."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sharing import until

from notebook_do.errors import TargetError
from notebook_do.local.runtime.config import Layout, config_of
from notebook_do.local.runtime.spare import Starter
from notebook_do.local.runtime.workerd import DidNotStart, Unconfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.local.runtime.spec import RunnableWorker
    from notebook_do.local.runtime.workerd import Workerd

HELLO = 'export default { fetch() { return new Response("hello"); } };'


@pytest.fixture
def starting(make_worker: Callable[..., RunnableWorker], tmp_path: Path) -> Callable[..., Any]:
    """Give a way to start a small Worker with a starter."""
    number = 0

    async def start(starter: Starter, source: str = HELLO, **more: Any) -> Workerd:
        nonlocal number
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        layout = Layout(workers=(make_worker("page", source),), folder=folder)
        return await starter.start(config_of(layout), sockets=layout.sockets(), **more)

    return start


def waiting(starter: Starter) -> int:
    """Say which process waits."""
    assert starter._spare is not None
    return starter._spare[0].process.pid


def test_the_next_start_takes_the_process_that_waits(
    processes: Callable[[], set[int]], play: Callable[..., None]
) -> None:
    """Nothing waits before the first start; after each one process does, is what starts next, and has no place."""

    async def story(stage: Any) -> None:
        before = processes()
        await stage.runtime.start()
        starter = stage.runtime._starter
        stage.put("page", HELLO)
        assert processes() == before
        for _ in range(3):
            assert await stage.text("page") == "hello"
            await until(lambda: starter._spare)
            next_one = waiting(starter)
            assert processes() == before | {stage.pid("page"), next_one}
            assert stage.runtime._places.taken == 1
            await stage.island("page").retire(5)
            assert await stage.text("page") == "hello"
            assert stage.pid("page") == next_one

    play(story)


def test_a_trial_leaves_a_process_for_the_island(play: Callable[..., None]) -> None:
    """What was made while an upload was verified is what serves it then: an edit starts workerd twice."""

    async def story(stage: Any) -> None:
        worker = stage.put("page", HELLO)
        await stage.runtime.trials.examine(worker)
        starter = stage.runtime._starter
        await until(lambda: starter._spare)
        next_one = waiting(starter)
        assert await stage.text("page") == "hello"
        assert stage.pid("page") == next_one

    play(story)


def test_nothing_waits_longer_than_an_island(processes: Callable[[], set[int]], play: Callable[..., None]) -> None:
    """An idle local Cloudflare keeps no process: neither an island nor one that waits."""

    async def story(stage: Any) -> None:
        before = processes()
        stage.put("page", HELLO)
        assert await stage.text("page") == "hello"
        await until(lambda: stage.runtime._starter._spare)
        await until(lambda: processes() == before)
        await until(lambda: not list((stage.data / "run").glob("config-*")))
        assert await stage.text("page") == "hello"

    play(story, idle=1)


def test_one_waits_at_most_and_none_is_made_during_a_start(
    processes: Callable[[], set[int]], workerd: Path, tmp_path: Path, starting: Callable[..., Any]
) -> None:
    """Starts at once share the one that waits, and the next is made after the last of them."""

    async def story() -> None:
        starter = Starter(workerd, tmp_path, idle=60)
        before = processes()
        running = [await starting(starter)]
        await until(lambda: starter._spare)
        taken = waiting(starter)
        slow = asyncio.create_task(starting(starter, "while (Date.now() < 0);" + HELLO))
        running += await asyncio.gather(*(starting(starter) for _ in range(3)))
        running.append(await slow)
        assert taken in {one.pid for one in running}
        await until(lambda: starter._spare)
        assert processes() == before | {one.pid for one in running} | {waiting(starter)}
        await starter.close()
        assert processes() == before  # what was started as well
        assert all(one.ended.is_set() for one in running)
        with pytest.raises(TargetError, match="is being stopped"):
            await starting(starter)
        await asyncio.sleep(0.05)
        assert starter._spare is starter._making is None
        assert processes() == before

    asyncio.run(story())


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["not noticed yet", "noticed"])
def test_one_that_died_is_replaced(workerd: Path, tmp_path: Path, starting: Callable[..., Any], pause: float) -> None:
    """Where the process that waits was killed, a start begins anew and nobody sees it."""

    async def story() -> None:
        starter = Starter(workerd, tmp_path, idle=60)
        running = [await starting(starter)]
        await until(lambda: starter._spare)
        dead = waiting(starter)
        os.kill(dead, signal.SIGKILL)
        await asyncio.sleep(pause)
        running.append(await starting(starter))
        assert running[1].pid != dead
        await starter.close()
        await asyncio.gather(*(one.stop(0) for one in running))

    asyncio.run(story())


def test_one_of_another_program_is_not_used(
    processes: Callable[[], set[int]], workerd: Path, tmp_path: Path, starting: Callable[..., Any]
) -> None:
    """Where workerd was replaced or removed on the disk, the one that waits ends, and the start is of what is there."""

    async def story() -> None:
        program = tmp_path / "program"
        written = f'#!/bin/sh\nexec {workerd} "$@"\n'
        program.write_text(written)
        program.chmod(0o700)
        starter = Starter(program, tmp_path, idle=60)
        running = [await starting(starter)]
        for change in (lambda: program.write_text(written + "# newer\n"), program.unlink):
            await until(lambda: starter._spare)
            old = waiting(starter)
            change()
            running.append(await starting(starter))
            assert running[-1].pid != old
            await until(lambda old=old: old not in processes())
        await asyncio.sleep(0.05)
        assert starter._spare is None  # of what was found elsewhere nothing is kept
        await starter.close()
        await asyncio.gather(*(one.stop(0) for one in running))

    asyncio.run(story())


def test_one_that_waits_is_nobodys(workerd: Path, tmp_path: Path, starting: Callable[..., Any]) -> None:
    """It has no environment, a session of its own, a place that goes when it is used, and enough files to open."""

    async def story() -> None:
        place = tmp_path / "run"
        place.mkdir()
        starter = Starter(workerd, place, idle=60)
        first = await starting(starter)
        await until(lambda: starter._spare)
        pid = waiting(starter)
        proc = Path(f"/proc/{pid}")
        assert (proc / "environ").read_bytes() == b""
        assert os.getsid(pid) == pid
        assert (proc / "cwd").readlink().parent == place
        assert f"{place}/config-".encode() in (proc / "cmdline").read_bytes()  # found by whoever has the folder next
        soft = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max open files"))
        assert int(soft.split()[3]) >= 4096
        second = await starting(starter)
        assert second.pid == pid
        await starter.close()
        assert list(place.iterdir()) == []
        await asyncio.gather(first.stop(0), second.stop(0))

    asyncio.run(story())


def test_faults_and_limits_are_those_of_any_start(
    processes: Callable[[], set[int]],
    workerd: Path,
    tmp_path: Path,
    starting: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A script that does not start says the same words from a process that waited, and has the same time."""
    given: list[float] = []
    run = Unconfigured.run

    async def noted(made: Unconfigured, config: bytes, sockets: Any, seconds: float, cpu_seconds: int | None) -> Any:
        given.append(seconds)
        return await run(made, config, sockets, seconds, cpu_seconds)

    monkeypatch.setattr(Unconfigured, "run", noted)

    async def story() -> None:
        starter = Starter(workerd, tmp_path, idle=60)
        said = []
        for _ in range(2):
            with pytest.raises(DidNotStart) as failed:
                await starting(starter, "\n\nthrow new Error('boom');")
            said.append(str(failed.value))
            await until(lambda: starter._spare)
        assert said == ["Uncaught Error: boom\n  at index.js:3:7"] * 2
        looping = waiting(starter)
        with pytest.raises(TimeoutError):
            await starting(starter, "while (true) {}", timeout=0.5)
        assert given[-1] == 0.5
        assert looping not in processes()
        await starter.close()

    asyncio.run(story())
