"""The command line as a person uses it: real processes, real ports, real exit statuses."""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.cli import main
from notebook_do.notebook.runbook import batch

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = [sys.executable, "-m", "notebook_do.cli"]


@pytest.fixture
def here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give what runs one command to its end in this process: for what no process of its own could show better."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # of which a command makes the path of a kernel

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        try:
            status = main(words)
        except SystemExit as wrong:  # argparse's own
            status = wrong.code
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    return run


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )


def test_start_status_stop(own_cloud: Path) -> None:
    """`start` gives a server that stays, `status --json` its facts, `stop` ends it; without one, status is 1."""
    assert run("local", "status").returncode == 1
    started = run("local", "start")
    assert started.returncode == 0, started.stderr
    assert "export CLOUDFLARE_API_BASE_URL=http://127.0.0.1:" in started.stdout
    facts = json.loads(run("local", "status", "--json").stdout)
    assert set(facts) == {"url", "api", "account_id", "token_file", "data", "pid", "strict", "crons", "env"}
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
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["success"] is True
    assert run("local", "stop").returncode == 0
    assert run("local", "status").returncode == 1


@pytest.mark.thorough
def test_start_listens_on_the_port_that_is_asked_for(own_cloud: Path) -> None:
    """A port on the command line is stronger than the one on file; a running server on another is named instead."""
    assert run("local", "start").returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    refused = run("local", "start", "--api-port", port)
    assert refused.returncode == 1
    assert "already runs" in refused.stderr
    assert "notebook-do local stop" in refused.stderr
    assert run("local", "stop").returncode == 0
    facts = json.loads(run("local", "start", "--api-port", port, "--json").stdout)
    assert f":{port}/" in facts["api"]


def test_foreground_ends_with_the_terminal(own_cloud: Path) -> None:
    """Plain `local` prints where it listens and ends on Ctrl-C, leaving no process."""
    with subprocess.Popen([*COMMAND, "local", "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert run("local", "status").returncode == 1
    assert facts["pid"] == process.pid


def test_a_port_in_use_is_one_line(own_cloud: Path) -> None:
    """A port that somebody else has is named, with what to do; status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("local", "--api-port", str(port))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(port) in done.stderr
    assert "in use" in done.stderr


def test_no_network_for_the_first_download_is_one_line(own_cloud: Path) -> None:
    """Without workerd and without a registry: one line says what is needed and what to do; status 1."""
    done = run(
        "local",
        "start",
        XDG_CACHE_HOME=str(own_cloud / "empty"),
        HOME=str(own_cloud),
        NPM_CONFIG_REGISTRY="http://127.0.0.1:9",
        NOTEBOOK_DO_WORKERD="",
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "NOTEBOOK_DO_WORKERD" in done.stderr


def test_wrong_usage_is_status_2(home: Path, here: Callable[..., Any]) -> None:
    """An unknown command, a missing notebook and a bad parameter name are wrong usage."""
    assert run("flie").returncode == 2
    assert here("lab", "nowhere.ipynb").returncode == 2
    missing = here("run", "nowhere.ipynb")
    assert missing.returncode == 2
    assert "nowhere.ipynb" in missing.stderr


TOML = """
[namespaces.counter]
class_name = "Counter"

[workers.api]
bindings.COUNTER = {namespace = "counter"}
bindings.LIMIT = {json = "${py:limit}"}
script = '''
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  add() { return this.ctx.storage.put("n", 1); }
}
export default {
  async fetch(request, env) {
    await env.COUNTER.getByName("a").add();
    return new Response(`limit ${env.LIMIT}`);
  },
};
'''
"""


def notebook(path: Path, *cells: str, parameters: str = "") -> Path:
    """Write a notebook of these code cells; one with parameters before them, where there are any."""
    sources = [*([parameters] if parameters else []), *cells]
    made = [
        {
            "cell_type": "code",
            "source": source,
            "metadata": {"tags": ["parameters"]} if source == parameters else {},
            "id": f"c{number}",
            "execution_count": None,
            "outputs": [],
        }
        for number, source in enumerate(sources)
    ]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_verbs_work_on_a_toml_file(cloud: Path, here: Callable[..., Any]) -> None:
    """Plan, wait for an approval, approve by the printed line, call, look, and plan nothing more."""
    (cloud / "shop.toml").write_text(TOML)
    plan = here("plan", "shop.toml", "-p", "limit", "7")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert "Plan for dev on local: 5 changes  session: shop" in plan.stdout
    waits = here("deploy", "shop.toml", "-p", "limit", "7")
    assert waits.returncode == 3
    assert not (cloud / ".notebook_do").exists()
    line = waits.stdout.rpartition("To send exactly this plan:\n")[2]
    assert line.startswith("notebook-do deploy shop.toml -p limit 7 --approve ")
    assert here("deploy", "shop.toml", "-p", "limit", "8", *line.split()[-2:]).returncode == 3, "another plan"
    done = run(*shlex.split(line)[1:])
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 steps in" in done.stdout
    assert "limit 7" in here("fetch", "shop.toml", "api", "/", "-p", "limit", "7").stdout
    rows = json.loads(here("show", "shop.toml", "namespaces", "--json", "-p", "limit", "7").stdout)
    assert [(row["stable_id"], row["objects"]) for row in rows] == [("counter", 1)]
    assert "nothing to do" in here("deploy", "shop.toml", "-p", "limit", "7").stdout
    lost = here("destroy", "shop.toml", "api", "-p", "limit", "7")
    assert lost.returncode == 3, "a protected namespace"
    assert "protected" in lost.stderr


def test_verbs_work_on_a_notebook_and_run_only_what_declares(cloud: Path) -> None:
    """Parameters, session and declarations are read; no other cell is run; options beat what the notebook says."""
    book = notebook(
        cloud / "book.ipynb",
        "import pathlib\npathlib.Path('ran').touch()",
        "%load_ext notebook_do\n%durable session tour --stage qa",
        f"%%durable --quiet\n{TOML}",
        "plan = %durable plan\n%durable deploy\n%durable fetch api /",
        "x = %durable namespace more --class More --script elsewhere",
        "%%durable query counter\nSELECT 1",
        parameters="limit = 20",
    )
    plan = json.loads(run("plan", str(book), "--json").stdout)
    assert (plan["session"], plan["stage"]) == ("tour", "qa")
    assert not (cloud / "ran").exists()
    assert {c["id"] for c in plan["changes"] if c["kind"] == "namespace"} >= {"counter"}
    other = json.loads(
        run("plan", str(book), "--json", "--stage", "dev", "--session", "mine", "-p", "limit", "5").stdout
    )
    assert (other["session"], other["stage"]) == ("mine", "dev")
    assert other["digest"] != plan["digest"]


PYTHON = (
    "%load_ext notebook_do\nimport notebook_do as nd\nprint('loud')\nsession = nd.session('shop', stage='qa')",
    "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(\"louder\")'], check=True)\nname = 'api'",
    (
        "def api(**more):\n    script = 'import {DurableObject} from \"cloudflare:workers\";'\n"
        "    script += 'export class Counter extends DurableObject {};'\n"
        "    script += 'export default {fetch() {return new Response(\"hi\")}}'\n"
        "    return nd.Worker(name, script=script, **more)"
    ),
    "if session.stage != 'production':\n    n = %durable namespace counter --class Counter",
    "w = api(bindings={'COUNTER': n})\nw",
    "plan = %durable plan\nplan.df",
    "%durable deploy",
)


@pytest.mark.thorough
def test_a_notebook_that_declares_in_python_is_planned_and_deployed_as_it_says(cloud: Path) -> None:
    """Session and stage are those of the notebook; the digest is the one a run of it shows; JSON stays JSON."""
    book = notebook(cloud / "book.ipynb", *PYTHON)
    plan = run("plan", "book.ipynb", "--json")
    assert plan.returncode == 0, plan.stderr
    facts = json.loads(plan.stdout)
    assert (facts["session"], facts["stage"]) == ("shop", "qa")
    assert "loud" in plan.stderr
    by_hand = run("run", "book.ipynb").stdout
    assert f"%durable deploy --approve {facts['digest']}" in by_hand
    done = run("deploy", "book.ipynb", "--approve", facts["digest"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (cloud / ".notebook_do/shop/qa/state.json").exists()
    assert "hi" in run("fetch", "book.ipynb", "api", "/").stdout
    other = run("plan", "book.ipynb", "--stage", "dev")
    assert other.stdout.startswith("--stage dev is used; the notebook says qa (book.ipynb, cell 1).\n"), other.stderr
    assert "Plan for dev on local: " in other.stdout
    assert book.exists()


@pytest.mark.thorough
def test_a_module_beside_the_notebook_is_imported_as_in_a_kernel(cloud: Path) -> None:
    """A notebook that takes a name from a module of its own directory is planned, wherever the command is run."""
    (cloud / "books").mkdir()
    (cloud / "books" / "names.py").write_text("WORKER = 'told-by-a-module'\n")
    cells = (
        "import notebook_do as nd\nnd.session('s')",
        "import names",
        "nd.Worker(names.WORKER, script='export default {}')",
    )
    made = [{"cell_type": "code", "source": c, "metadata": {}, "outputs": [], "execution_count": None} for c in cells]
    text = json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    (cloud / "books" / "book.ipynb").write_text(text)
    done = subprocess.run(
        [Path(sys.executable).parent / "notebook-do", "plan", "books/book.ipynb"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "told-by-a-module" in done.stdout


def test_the_help_says_what_is_run(home: Path, here: Callable[..., Any]) -> None:
    """And that a module of the user's own hides what it declares."""
    said = here("plan", "-h").stdout
    assert "Declarations hidden in a module of your own cannot be seen." in said
    assert "is an error that names it" in " ".join(said.split())


@pytest.mark.parametrize(
    ("cells", "words", "said"),
    [
        pytest.param(["print(1)", "1"], (), "declares nothing with %durable", marks=pytest.mark.thorough),
        (["%durable nmespace x --class X", "1"], (), 'cell 1: %durable: unknown verb "nmespace", did you mean'),
        (["1", "\n%durable namespace x --clas X"], (), "book.ipynb, cell 2, line 2: namespace: unknown option --clas"),
        pytest.param(
            ["%%durable\n\n[namespaces.a]\nclss = 1"],
            (),
            "book.ipynb, cell 1, line 4: namespace a: unknown key clss",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            ["%durable session 'a b'"], (), "book.ipynb, cell 1: session 'a b': use letters", marks=pytest.mark.thorough
        ),
        pytest.param(
            ["%durable require env NOWHERE_SET"],
            (),
            "book.ipynb, cell 1: not set in the environment: NOWHERE_SET",
            marks=pytest.mark.thorough,
        ),
        (["%durable namespace x --class X"], ("--stge", "x"), 'did you mean "--stage"'),
        pytest.param(["%durable namespace x --class X"], ("--as", "x"), "here use --json", marks=pytest.mark.thorough),
        (["%durable namespace x --class X"], ("--target", "moon"), "target 'moon': known are local, cloudflare"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_and_status_2(
    home: Path, here: Callable[..., Any], cells: list[str], words: tuple[str, ...], said: str
) -> None:
    """The file, the cell and the line are named."""
    notebook(home / "book.ipynb", *cells)
    done = here("plan", "book.ipynb", *words)
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_files_that_are_none_are_status_2(home: Path, here: Callable[..., Any]) -> None:
    """A missing file, a broken notebook, a text that is neither."""
    (home / "broken.ipynb").write_text("{")
    (home / "notes.txt").write_text("x")
    for name in ("nowhere.ipynb", "broken.ipynb", "notes.txt"):
        done = here("plan", name)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), name
        assert name in done.stderr


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


@pytest.mark.parametrize(("words", "hardly"), [((), True), (("--follow",), False)])
def test_garbage_is_looked_for_in_a_live_tail_and_after_a_command(
    words: tuple[str, ...], *, hardly: bool, home: Path, here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a process that ends soon does without."""
    meanwhile: list[int] = []

    def run(_: Any) -> tuple[str, int]:
        meanwhile.append(gc.get_threshold()[0])
        return "", 0

    monkeypatch.setattr(batch, "run", run)
    before = gc.get_threshold()
    assert here("logs", str(home / "none.toml"), "chat", *words).returncode == 0
    assert (meanwhile[0] > before[0]) is hardly
    assert gc.get_threshold() == before


@pytest.mark.thorough
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
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
    assert "quickstart.ipynb" in address
