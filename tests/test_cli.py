"""The command line as a person uses it: real processes, real ports, real exit statuses."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "notebook_do.cli"]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )


def test_start_status_stop(cloud: Path) -> None:
    """`start` gives a server that stays, `status --json` its facts, `stop` ends it; without one, status is 1."""
    assert run("local", "status").returncode == 1
    started = run("local", "start")
    assert started.returncode == 0, started.stderr
    assert "export CLOUDFLARE_API_BASE_URL=http://127.0.0.1:" in started.stdout
    facts = json.loads(run("local", "status", "--json").stdout)
    assert set(facts) == {"url", "api", "account_id", "token_file", "data", "pid", "env"}
    assert set(facts["env"]) == {
        "CLOUDFLARE_API_BASE_URL",
        "CLOUDFLARE_BASE_URL",
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_ACCOUNT_ID",
    }
    request = urllib.request.Request(
        facts["api"] + "/user/tokens/verify",
        headers={"Authorization": f"Bearer {facts['env']['CLOUDFLARE_API_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["success"] is True
    assert run("local", "stop").returncode == 0
    assert run("local", "status").returncode == 1


def test_foreground_ends_with_the_terminal(cloud: Path) -> None:
    """Plain `local` prints where it listens and ends on Ctrl-C, leaving no process."""
    with subprocess.Popen([*COMMAND, "local", "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert run("local", "status").returncode == 1
    assert facts["pid"] == process.pid


def test_a_port_in_use_is_one_line(cloud: Path) -> None:
    """A port that somebody else has is named, with what to do; status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("local", "--api-port", str(port))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(port) in done.stderr
    assert "in use" in done.stderr


def test_no_network_for_the_first_download_is_one_line(cloud: Path) -> None:
    """Without workerd and without a registry: one line says what is needed and what to do; status 1."""
    done = run(
        "local",
        "start",
        XDG_CACHE_HOME=str(cloud / "empty"),
        HOME=str(cloud),
        NPM_CONFIG_REGISTRY="http://127.0.0.1:9",
        NOTEBOOK_DO_WORKERD="",
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "NOTEBOOK_DO_WORKERD" in done.stderr


def test_wrong_usage_is_status_2(home: Path) -> None:
    """An unknown command, a missing notebook and a bad parameter name are wrong usage."""
    assert run("flie").returncode == 2
    assert run("run", "nowhere.ipynb").returncode == 2
    assert run("lab", "nowhere.ipynb").returncode == 2
    assert "nowhere.ipynb" in run("run", "nowhere.ipynb").stderr


def test_a_refused_plan_is_status_3(cloud: Path) -> None:
    """A runbook whose plan is refused ends with 3, so that a pipeline can tell it from a failure."""
    declare = """n = nd.DurableObjectNamespace("n", class_name="N", namespace_id="0" * 32)
nd.Worker("w", script="export default {}", bindings={"N": n})"""
    cells = ["import notebook_do as nd\nsession = nd.session('s')", declare, "session.deploy(session.plan())"]
    notebook = {
        "cells": [
            {"cell_type": "code", "source": c, "metadata": {}, "id": f"c{i}", "execution_count": None, "outputs": []}
            for i, c in enumerate(cells)
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (cloud / "n.ipynb").write_text(json.dumps(notebook))
    done = run("run", "n.ipynb", "--deploy")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "PlanRefused" in done.stdout


def test_lab_opens_the_quickstart(cloud: Path) -> None:
    """`lab` starts JupyterLab on the quickstart and ends when it is told to."""
    process = subprocess.Popen(
        [*COMMAND, "lab", "--no-browser"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        address = next(
            (line for line in process.stderr if re.search(r"http://.*/lab/tree/.*quickstart\.ipynb", line)), ""
        )
        process.send_signal(signal.SIGINT)
        process.stderr.close()
        process.wait(timeout=60)
    assert "quickstart.ipynb" in address
