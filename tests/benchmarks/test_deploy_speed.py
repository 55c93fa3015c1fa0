"""How long a deploy waits beyond what the distance to the API makes it wait, for 100 and 1,000 Workers.

Run with -m benchmark. Every answer of the API takes 50 ms; the bound is what it takes to wait for all requests of the
deploy, as many at once as it sends. Nothing else is counted into it: neither what is read before the first step and
after the last one, nor the work of this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.deploy.run import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.sessions.session import Session

pytestmark = pytest.mark.benchmark

LATENCY = 50
"""Milliseconds."""


class Distant:
    """An API whose answers take some time."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"

    def latency(self, milliseconds: int) -> int:
        """Set how long its answers take; say how many requests it was sent since the last time."""
        request = urllib.request.Request(f"{self.origin}/latency/{milliseconds}", data=b"")
        with urllib.request.urlopen(request) as answer:
            return int(json.load(answer)["result"])


@pytest.fixture
def distant(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distant]:
    """Run the API in a process of its own, so that its work is not this one's."""
    program = Path(__file__).with_name("distant_api.py")
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        api = Distant(int(process.stdout.readline()))
        monkeypatch.setenv("CLOUDFLARE_API_BASE_URL", f"{api.origin}/client/v4")
        monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "0123456789abcdef0123456789abcdef01234567")
        monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "a" * 32)
        try:
            yield api
        finally:
            process.kill()


def declare(workers: int, note: str) -> None:
    """Declare Workers with one class each."""
    for number in range(workers):
        space = nd.DurableObjectNamespace(f"ns-{number}", class_name="Counter")
        source = f"export class Counter {{}}\nexport default {{}}\n// {note}"
        nd.Worker(f"w-{number}", script=source, bindings={"COUNTER": space})


def measured(session: Session, distant: Distant, workers: int) -> str:
    """Deploy what is declared, and say what it took and what it would have taken at least."""
    plan = session.plan()
    assert not plan.refusals
    distant.latency(LATENCY)
    started, worked = time.perf_counter(), time.process_time()
    result = session.deploy(plan)
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    requests = distant.latency(0)
    assert result.ok
    bound = -(-requests // AT_ONCE) * LATENCY / 1000
    return (
        f"{seconds:.2f} s for {requests:,} requests, {AT_ONCE} at once: {seconds / bound:.2f} x the bound of "
        f"{bound:.2f} s; {work / workers * 1000:.1f} ms of CPU time a Worker"
    )


@pytest.mark.parametrize("workers", [100, 1000])
def test_deploy_speed(distant: Distant, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Deploy new Workers, then other code for all of them; the aim is 1.5 x the bound for 100, 2 x for 1,000."""
    session = nd.session("distant", target="cloudflare")
    declare(workers, "first")
    first = measured(session, distant, workers)
    declare(workers, "second")
    second = measured(session, distant, workers)
    with capsys.disabled():
        sys.stdout.write(f"\n{workers} new Workers: {first}\n{workers} updates: {second}\n")
