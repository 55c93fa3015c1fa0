"""Cron triggers on a clock for a local session, or for all Workers of a local Cloudflare; off unless asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from ast import literal_eval
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.errors import CommandError, TargetError
from notebook_do.local.process import launch
from notebook_do.model import Where
from notebook_do.notebook import commands, parsing
from notebook_do.notebook.verbs import BY_NAME
from notebook_do.notebook.verbs.help import usage

if TYPE_CHECKING:
    from pathlib import Path

COUNTING = """
export default {
  async fetch(request, env) { return new Response(await env.KV.get("runs") ?? "0"); },
  async scheduled(event, env) {
    await env.KV.put("runs", String(1 + Number(await env.KV.get("runs") ?? 0)));
    await env.KV.put("last", event.cron);
  },
};
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a program."""
    command = [sys.executable, "-m", "notebook_do.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def clocked() -> list[str]:
    """Return whose cron triggers are on the clock, as another process finds them: locks hold between processes."""
    program = "from notebook_do.local.process import home, launch\nprint(home.Home(launch.default_data()).clocked())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return sorted(literal_eval(done.stdout))


def test_a_session_has_a_clock_only_where_it_asks_for_it(cloud: Path) -> None:
    """It is the session's own, stays through its deploys, and goes with another opening or with the session."""
    session = nd.session("app")
    assert "by the clock" not in str(session.status())
    assert clocked() == []
    assert nd.session("app", crons=True) is session
    nd.Worker("api", script=COUNTING, bindings={"KV": nd.KV("a" * 32)}, crons=["* * * * *"])
    session.deploy(session.plan())
    assert clocked() == ["ndo:do:app:dev:"]
    assert "Cron triggers run by the clock, in UTC." in str(session.status())
    other = nd.session("other", stage="qa", crons=True)
    other.status()
    assert clocked() == ["ndo:do:other:qa:"]
    nd.session("other", stage="qa")
    other.status()
    assert clocked() == []
    nd.session("app", crons=True).status()
    nd.session("app").close()
    assert clocked() == []


def test_the_magic_opens_a_session_with_a_clock_at_once(cloud: Path) -> None:
    """`%durable session NAME --crons` takes the clock over from the session before, whose use ends with it."""

    def use(words: str) -> str:
        options = parsing.parse(BY_NAME["session"], parsing.split(words))
        call = parsing.Call(
            ip=SimpleNamespace(user_ns={}), verb="session", words=(), body=None, where=Where(), options=options
        )
        return str(commands.session(call))

    assert "by the clock" in use("app --crons")
    assert clocked() == ["ndo:do:app:dev:"]
    assert "by the clock" in use("other --stage qa --crons")
    assert clocked() == ["ndo:do:other:qa:"]
    assert "by the clock" not in use("other --stage qa")
    assert clocked() == []


def test_the_clock_is_of_the_local_target(cloud: Path) -> None:
    """On Cloudflare cron triggers always run: the option is refused with a line, and the session before stays."""
    session = nd.session("app")
    with pytest.raises(CommandError, match="--crons is for the local target"):
        nd.session("far", target="cloudflare", crons=True)
    assert nd.session("app") is session


def test_the_help_says_it() -> None:
    """`%durable session -h` and `notebook-do local -h` have the option."""
    assert "--crons" in usage(BY_NAME["session"])
    assert "run the cron triggers of all Workers by the clock" in " ".join(run("local", "-h").stdout.split())


@pytest.mark.thorough
def test_a_server_with_a_clock_says_so_and_one_without_is_not_changed(own_cloud: Path) -> None:
    """`status` shows it; a server that runs without is to be stopped first."""
    assert run("local", "start", "--crons").returncode == 0
    assert json.loads(run("local", "status", "--json").stdout)["crons"] is True
    assert "the cron triggers of all Workers run by the clock" in run("local", "status").stdout
    run("local", "stop")
    assert run("local", "start").returncode == 0
    assert json.loads(run("local", "status", "--json").stdout)["crons"] is False
    refused = run("local", "start", "--crons")
    assert refused.returncode == 1
    assert "has no clock for cron triggers: stop it first" in refused.stderr
    with pytest.raises(TargetError, match="has no clock"):
        launch.run_foreground(crons=True)


@pytest.mark.thorough
def test_a_minute_by_the_real_clock(own_cloud: Path) -> None:
    """The Workers of a session with a clock run when a minute begins, those of another do not; a redeploy counts."""
    bindings = {"KV": nd.KV("a" * 32)}
    still = nd.session("still")
    nd.Worker("quiet", script=COUNTING, bindings={"KV": nd.KV("b" * 32)}, crons=["* * * * *"])
    still.deploy(still.plan())
    session = nd.session("app", crons=True)
    nd.Worker("api", script=COUNTING, bindings=bindings, crons=["0 0 31 12 *"])
    session.deploy(session.plan())
    nd.Worker("api", script=COUNTING, bindings=bindings, crons=["* * * * *"])
    session.deploy(session.plan())
    until = time.monotonic() + 150
    while (runs := session.fetch("api").text) == "0" and time.monotonic() < until:
        time.sleep(0.5)
    assert runs == "1"
    assert session.fetch("quiet-dev").text == "0"
