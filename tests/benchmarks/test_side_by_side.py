"""One table of one run: our edits, updates, plans and processes beside wrangler, Alchemy and bare workerd.

Prints; never fails on a time. Seconds hold for this machine and hour, ratios within the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from measuring import (
    COUNTER,
    CREATED,
    ROUNDS,
    answer_of,
    ask,
    dev_of_wrangler,
    environment_of_tools,
    installed_tools,
    port_of,
    spawn,
    timed,
    timed_in_turn,
)

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

PROCESSES = 7
TOML = """[namespaces.counter]
class_name = "Counter"

[workers.ours]
entrypoint = "index.js"
bindings.COUNTER = {namespace = "counter"}
"""
ALCHEMY = """
import fs from "node:fs";
import alchemy from "alchemy";
import { Worker, DurableObjectNamespace } from "alchemy/cloudflare";
const app = await alchemy("demo", { stage: "dev", phase: "up", password: "none", quiet: true });
const script = fs.readFileSync("index.js", "utf8");
const counter = DurableObjectNamespace("counter", { className: "Counter", sqlite: true });
await Worker("theirs-too", { name: "theirs-too", script, bindings: { COUNTER: counter }, adopt: true });
await app.finalize();
"""


def process(folder: Path, command: list[str], name: str, **more: str) -> Callable[[int], None]:
    """Return what edits the source in `folder`, runs a process there, and sees to it that the new code answers."""
    environment = {**os.environ, **more}

    def once(number: int) -> None:
        word = f"{name}{number}-"
        (folder / "index.js").write_text(COUNTER.format(word=word))
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert answer_of(name).startswith(word)

    return once


def two_processes(folder: Path) -> Callable[[int], None]:
    """Return the way of a script that reads a plan first, and approves its digest then."""
    command = [sys.executable, "-m", "notebook_do.cli"]

    def once(number: int) -> None:
        (folder / "index.js").write_text(COUNTER.format(word=f"again{number}-"))
        plan = subprocess.run([*command, "plan", "ours.toml", "--json"], cwd=folder, capture_output=True, check=True)
        digest = json.loads(plan.stdout)["digest"]
        sent = [*command, "deploy", "ours.toml", "--approve", digest]
        subprocess.run(sent, cwd=folder, capture_output=True, check=True)

    return once


def projects(folder: Path, node: Path, packages: Path) -> dict[str, Callable[[int], None]]:
    """Write a project for each tool; give what updates its Worker once."""
    for name in ("ours", "wrangler", "alchemy"):
        (folder / name).mkdir()
    (folder / "ours" / "ours.toml").write_text(TOML)
    config: dict[str, Any] = {"name": "theirs", "main": "index.js", **CREATED}
    (folder / "wrangler" / "wrangler.json").write_text(json.dumps(config))
    (folder / "alchemy" / "node_modules").symlink_to(packages)
    (folder / "alchemy" / "program.mjs").write_text(ALCHEMY)
    (folder / "alchemy" / "package.json").write_text("{}")
    theirs = environment_of_tools(folder)
    ours = [sys.executable, "-m", "notebook_do.cli", "deploy", "ours.toml", "--approve", "safe"]
    wrangler = [str(node), str(packages / "wrangler" / "bin" / "wrangler.js"), "deploy"]
    quiet = {"CI": "", "ALCHEMY_TELEMETRY_DISABLED": "1"}
    return {
        "notebook-do deploy FILE --approve safe": process(folder / "ours", ours, "ours-dev"),
        "notebook-do plan, then deploy --approve DIGEST": two_processes(folder / "ours"),
        "wrangler deploy": process(folder / "wrangler", wrangler, "theirs", **theirs),
        "Alchemy": process(folder / "alchemy", [str(node), "program.mjs"], "theirs-too", **{**theirs, **quiet}),
    }


def in_a_kernel(word: str) -> None:
    """Run the cell of the Worker."""
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("cell", script=COUNTER.format(word=word), bindings={"COUNTER": counter})


@pytest.mark.usefixtures("cloud")
def test_side_by_side(tmp_path: Path, install: Callable[..., Path], say: Callable[[str], None]) -> None:
    """Print every way to new code, in seconds, beside workerd's own spawn and beside wrangler's process."""
    node, packages = installed_tools(install)
    session = nd.session("kernel")
    in_a_kernel("a")
    session.deploy(session.plan())
    port = port_of()

    def update(number: int) -> None:
        in_a_kernel(f"u{number}-")
        session.deploy(session.plan())

    def edit(number: int) -> None:
        in_a_kernel(f"e{number}-")
        session.deploy(session.plan())
        ask(port, f"cell-dev.localhost:{port}", f"e{number}-")

    bare = spawn(tmp_path)
    in_this_process = {
        "bare workerd, spawn -> 200": bare,
        "edit in a kernel -> new answer": edit,
        "update in a kernel": update,
        "plan of nothing to do, in a kernel": lambda _: session.plan(),
    }
    found = timed_in_turn(in_this_process, ROUNDS)
    ways = projects(tmp_path, node, packages)
    for way in ways.values():
        way(-1)  # the first deploy creates
    found |= timed_in_turn(ways, PROCESSES)
    wrangler = [str(node), str(packages / "wrangler" / "bin" / "wrangler.js")]
    with dev_of_wrangler(wrangler, tmp_path / "wrangler", environment_of_tools(tmp_path)) as edit_under_dev:
        found["wrangler dev, edit -> new answer"] = timed(edit_under_dev, PROCESSES)
    again, first = timed(bare), found["bare workerd, spawn -> 200"]
    say(f"\nspawn at the end: {again / first:.2f} x that of the beginning")
    whole = found["wrangler deploy"]
    say(f"{'':50} {'ms':>7} {'x spawn':>8} {'x wrangler':>10}")
    for name, seconds in found.items():
        say(f"{name:50} {seconds * 1e3:7.0f} {seconds / first:8.2f} {seconds / whole:10.3f}")
