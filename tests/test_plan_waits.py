"""A plan that waits says so, and can be stopped; one that reads all says how far it is, on a terminal alone."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.cloudflare.rate import Rate
from notebook_do.cloudflare.retry import Cancelled
from notebook_do.deploy.result import Event

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.live.connection import Connection
    from notebook_do.sessions.session import Session

DECLARED = """[workers.shop]
script = "export default { fetch() { return new Response('shop') } };"
"""
RUN = """import sys, time
from dataclasses import replace
from notebook_do.cli import main
from notebook_do.cloudflare.rate import Rate
from notebook_do.live.connection import Connecting

rate, connect = Rate(), Connecting.connect
rate.heed(200, {"ratelimit": '"default";r=0;t=600'}, time.monotonic())

async def spent(self):
    return replace(await connect(self), rate=rate)

Connecting.connect = spent
sys.exit(main(["plan", "shop.toml"]))
"""


def spend(session: Session, seconds: int) -> None:
    """Let the API have told that the requests of this window are spent for so many seconds."""
    rate, connect = Rate(), session.connecting.connect
    told = {"ratelimit": f'"default";r=0;t={seconds}', "ratelimit-policy": '"default";q=1200;w=300'}
    rate.heed(200, told, time.monotonic())

    async def spent() -> Connection:
        return replace(await connect(), rate=rate)

    session.connecting.connect = spent  # type: ignore[method-assign]


def declared() -> Session:
    """Declare one Worker; the local Cloudflare is there."""
    session = nd.session("shop")
    session.status()
    nd.Worker("shop", script="export default { fetch() {} };")
    return session


def test_a_plan_tells_that_it_waits_and_goes_on(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 13.3: a plan waits for the rate limit as a deploy does; without a terminal it says so once."""
    session = declared()
    spend(session, 1)
    assert not session.plan().empty
    (line,) = capsys.readouterr().err.splitlines()
    said = r"The plan waits \d s: Cloudflare's rate limit: the last 0 of 1,200 requests .* \(Ctrl-C stops it\)"
    assert re.fullmatch(said, line)


def test_a_wait_in_a_plan_is_cancelled(cloud: Path) -> None:
    """Issue 13.3: `cancel` ends the wait at once, and what waited is told to `emit` until then."""
    session, events = declared(), list[Event]()
    spend(session, 600)
    with pytest.raises(Cancelled, match="cancelled while waiting: Cloudflare's rate limit"):
        session.plan(emit=events.append, cancel=lambda: bool(events))
    assert [event.kind for event in events] == ["waiting"]
    assert session.recorded().serial == 0


def test_ctrl_c_ends_a_waiting_command_with_one_line(cloud: Path) -> None:
    """Issue 13.3: the command line says who waits and how to stop it; Ctrl-C ends it with one clear line."""
    (cloud / "shop.toml").write_text(DECLARED)
    words = [sys.executable, "-c", RUN]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        first = run.stderr.readline()
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert re.fullmatch(r"The plan waits \d+ s: Cloudflare's rate limit: .* \(Ctrl-C stops it\)\n", first)
    assert (run.returncode, out) == (130, "")
    assert err == "notebook-do: the plan was stopped; a plan sends nothing, so nothing was changed.\n"


def test_refresh_shows_how_far_it_is_on_a_terminal_and_nothing_in_a_file(
    cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 13.2: on a terminal one line counts the Workers that are read, and is gone at the end; a file has none."""
    session = declared()
    session.deploy(session.plan())
    capsys.readouterr()
    session.plan(refresh=True)
    assert capsys.readouterr() == ("", "")
    (cloud / "shop.toml").write_text(DECLARED)
    terminal, end = pty.openpty()
    words = [sys.executable, "-m", "notebook_do.cli", "plan", "shop.toml", "--refresh", "--stage", "dev"]
    done = subprocess.run(words, stderr=end, stdout=subprocess.PIPE, text=True, check=False)
    shown = os.read(terminal, 10_000).decode()
    assert done.returncode == 0
    assert "Reading" not in done.stdout
    assert "Reading: 1 of 1 Workers" in shown
    assert shown.endswith("\r\x1b[K")
