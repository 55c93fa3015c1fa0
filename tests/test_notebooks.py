"""Every notebook of notebooks/ runs headless, from a fresh kernel, against the local Cloudflare."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from notebook_do.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def run(notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `notebook-do run` in a process of its own."""
    command = [sys.executable, "-m", "notebook_do.cli", "run", str(notebook), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ))


@pytest.fixture
def copies(cloud: Path) -> Path:
    """Copy the notebooks to where their state files may be written."""
    shutil.copytree(NOTEBOOKS, cloud / "notebooks", ignore=shutil.ignore_patterns(".*"))
    return cloud / "notebooks"


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(p.name for p in NOTEBOOKS.glob("*.ipynb")))
def test_runs_headless(copies: Path, name: str) -> None:
    """With the explicit press, the notebook runs to its end."""
    done = run(copies / name, "--deploy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_quickstart_counts_on_through_a_rename(copies: Path, sent: Callable[[], list[str]]) -> None:
    """The quickstart's counter answers 1, 2, then 3 after the class was renamed, then 4 through a second Worker.

    What was approved is also seen by the recorder that finds nothing in the tests below.
    """
    out = copies / "executed.ipynb"
    assert run(copies / "quickstart.ipynb", "--deploy", "--out", str(out)).returncode == 0
    answers = [
        line
        for cell in json.loads(out.read_text())["cells"]
        if "fetch" in "".join(cell["source"]) and cell["cell_type"] == "code"
        for output in cell["outputs"]
        for line in "".join(output.get("data", {}).get("text/plain", "")).splitlines()
        if line.strip() in {"1", "2", "3", "reader says 4"}
    ]
    assert [line.strip() for line in answers] == ["1", "2", "3", "reader says 4"]
    assert sum(line.startswith("PUT ") for line in sent()) >= 3


@pytest.mark.thorough
def test_a_run_prints_a_page_and_all_of_it_when_asked(copies: Path) -> None:
    """Issue 16.11: of each cell its first line and what its outputs are; `--verbose` has every line."""
    done = run(copies / "quickstart.ipynb", "--deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 60
    assert "> %durable deploy" in lines
    assert any(line.startswith("  ✓ Deployed 4 changes to dev on local") for line in lines)
    assert lines[-1].endswith("more lines with --verbose")
    whole = run(copies / "quickstart.ipynb", "--verbose").stdout
    assert len(whole.splitlines()) > 150
    assert "export class Counter extends DurableObject {" in whole
    assert "--verbose" not in whole


def test_what_must_be_known_is_on_the_page(home: Path) -> None:
    """Issue 16.11: a long output keeps its first line, its losses and the line that approves it; an error is whole.

    A plan that waits is read before it is approved: up to 80 lines of it are printed.
    """
    text = (
        "Plan for dev on local\n" + "row\n" * 80 + "! lost: 3 objects,\n  for ever\nrow\nTo send exactly this plan: x"
    )
    done = run(write(home / "n.ipynb", f"print({text!r})", "1 / 0"))
    assert done.stdout.splitlines()[1:5] == [
        "  Plan for dev on local", "  ! lost: 3 objects,", "    for ever", "  To send exactly this plan: x"
    ]  # fmt: skip
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("; 81 more lines with --verbose")
    done = run(write(home / "n.ipynb", f"print({text.replace('row', 'one', 1).replace('row' + chr(10), '')!r})"))
    assert done.stdout.splitlines()[1:6] == [
        "  Plan for dev on local", "  one", "  ! lost: 3 objects,", "    for ever", "  To send exactly this plan: x"
    ]  # fmt: skip


def test_a_page_has_what_a_worker_answered(home: Path) -> None:
    """Of an answer, and of a call, the page has the request line and a short body; a long one ends with an ellipsis."""
    answer = (
        "GET http://a.localhost:1/  200 OK  38 ms\n    text/plain  4 bytes\n\n  %s\n\n1 log line of this request\n  x"
    )
    asked = (
        "rooms / kitchen . list()  returned  6 ms  array of 2\n\n  [\n    1,\n    2\n  ]\n\nThis call logged nothing."
    )
    many = "\n  ".join(map(str, range(20)))
    cells = [f"print({text!r})" for text in (answer % "pong", answer % many, asked)]
    lines = run(write(home / "n.ipynb", *cells)).stdout.splitlines()
    assert lines[1:4] == ["  GET http://a.localhost:1/  200 OK  38 ms", "      text/plain  4 bytes", "    pong"]
    assert lines[5:13] == [*lines[1:3], "    0", "    1", "    2", "    3", "    4", "    …"]
    assert lines[14:19] == [f"  {line}" for line in asked.split("\n")[:1] + asked.split("\n")[2:6]]
    assert not [line for line in lines if line.startswith("  ") and "log" in line.replace("localhost", "")]


@pytest.mark.thorough
def test_no_colour_is_written_into_a_file(home: Path) -> None:
    """Issue 16.11: neither into what is piped nor into `--out`, whatever printed it; on a terminal it stays."""
    place, out = write(home / "n.ipynb", "print('\\x1b[31mred\\x1b[0m')", "1 / 0"), home / "out.ipynb"
    done = run(place, "--out", str(out))
    assert "red" in done.stdout
    assert "\x1b" not in done.stdout
    outputs = [o for cell in json.loads(out.read_text())["cells"] for o in cell["outputs"]]
    assert "red" in outputs[0]["text"][0]
    assert "\x1b" not in json.dumps(outputs, ensure_ascii=False).replace("\\u001b", "\x1b")
    child = pexpect.spawn(sys.executable, ["-m", "notebook_do.cli", "run", str(place)], encoding="utf-8", timeout=120)
    child.expect("\x1b\\[31mred")
    child.close(force=True)


RECORDER = """
import os
from notebook_do.cloudflare.http import Connections

def recording(handle):
    async def record(self, request):
        if "/client/v4" in request.url.path:
            with open(os.environ["RECORD"], "a") as file:
                file.write(f"{request.method} {request.url.path}\\n")
        return await handle(self, request)
    return record

Connections.handle_async_request = recording(Connections.handle_async_request)
"""
"""Run by every kernel of the test before its first cell: it notes what really goes to the API, and lets it go."""


@pytest.fixture
def sent(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Record the API requests of all kernels; gives those that could change something."""
    startup = cloud / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-record.py").write_text(RECORDER)
    record = cloud / "record"
    monkeypatch.setenv("IPYTHONDIR", str(cloud / "ipython"))
    monkeypatch.setenv("RECORD", str(record))

    def mutations() -> list[str]:
        seen = record.read_text().splitlines()
        assert any(line.startswith("GET ") for line in seen), "nothing was recorded at all"
        return [line for line in seen if not line.startswith("GET ")]

    return mutations


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(p.name for p in NOTEBOOKS.glob("*.ipynb")))
def test_run_all_without_the_press_sends_nothing(copies: Path, sent: Callable[[], list[str]], name: str) -> None:
    """Without --deploy a notebook sends no mutation and makes no state file; it says how to approve the plan."""
    out = copies / "executed.ipynb"
    run(copies / name, "--out", str(out))
    assert sent() == []
    assert "--approve" in out.read_text()
    assert not list(copies.rglob("state.json"))


HOSTILE = (
    "%load_ext notebook_do\nimport notebook_do as nd\n%durable session tour",
    "%durable namespace counter --class Counter --unprotect",
    (
        "%%durable worker my-worker --bind COUNTER=counter\n"
        "// %durable deploy --approve 0123456789abcdef\n"
        'import { DurableObject } from "cloudflare:workers";\n'
        "export class Counter extends DurableObject {}\nexport default {};"
    ),
    "%durable deploy\n%durable deploy --quiet\nx = %durable deploy",
    "%durable deploy --approve 0123456789abcdef",
    "%durable deploy --approve ''",
    "%durable deploy --approve \"\" --confirm 'destroy counter 01234567' --json",
    "%durable deploy --confirm 'destroy counter 01234567'",
    "%durable destroy my-worker --confirm 'destroy counter 01234567'",
    "%durable destroy my-worker counter --approve 0123456789abcdef",
    "nd.current().destroy('my-worker', 'counter')",
    "%durable form deploy\n%durable form worker my-worker\n%durable form namespace",
    (
        "from IPython.display import display\nplan = nd.current().plan()\n"
        "display(plan, plan, plan)\nprint(plan, repr(plan), plan.df, plan.bindings, plan.migrations)\nplan"
    ),
    "[getattr(plan, name) for name in dir(plan)]\n[getattr(nd.current(), name) for name in dir(nd.current())]",
    "import copy\nfor view in range(3):\n    copy.copy(plan)._repr_mimebundle_()",
    "await nd.current().aplan(destroy=['my-worker'])",
    "%durable import --from-account\n%durable state unlock nobody\n%durable state restore 1",
    "%durable export types\n%durable export wrangler",
    "%durable rm worker my-worker\n%durable rm namespace counter\n%durable deploy",
    "%reload_ext notebook_do\n%durable plan",
    "nd.current().deploy(nd.current().plan().__class__.__name__)",
)
"""Everything short of an approval that a notebook could hold; each cell may fail, and the next is run all the same."""


def test_no_cell_but_an_approval_sends(copies: Path, sent: Callable[[], list[str]]) -> None:
    """Run All of a notebook that tries everything else: not one mutation left the kernel."""
    cells = [
        {"cell_type": "code", "source": source, "metadata": {"tags": ["raises-exception"]}, "id": f"h{number}"}
        | {"execution_count": None, "outputs": []}
        for number, source in enumerate(HOSTILE)
    ]
    notebook = copies / "hostile.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    done = run(notebook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sent() == []


def test_quickstart_is_stored_with_its_outputs() -> None:
    """The stored quickstart shows what a reader will get, without errors."""
    cells = [c for c in json.loads((NOTEBOOKS / "quickstart.ipynb").read_text())["cells"] if c["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(outputs) >= 12
    assert all(output["output_type"] != "error" for output in outputs)
    assert str(Path.home()) not in json.dumps(outputs)


def write(path: Path, *cells: str, parameters: str | None = None, **metadata: Any) -> Path:
    """Write a notebook of these code cells, one with parameters before them."""
    sources = [*([] if parameters is None else [parameters]), *cells]
    made = [
        {"cell_type": "code", "source": source, "metadata": {}, "id": f"c{n}", "execution_count": None, "outputs": []}
        for n, source in enumerate(sources)
    ]
    if parameters is not None:
        made[0]["metadata"] = {"tags": ["parameters"]}
    path.write_text(json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_parameters_are_injected(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-p NAME VALUE` puts the value after the cell tagged `parameters`, in place of those of an earlier run.

    JSON values keep their type, but where the default is a text: a digest may be of digits only.
    """
    notebook, out = write(home / "n.ipynb", "print(n + 1, name)", parameters="n = 1\nname = ''"), home / "out.ipynb"
    done = run(notebook, "-p", "n", "41", "-p", "name", "007", "--out", str(out))
    assert "42 007" in done.stdout, done.stdout + done.stderr
    assert "6 ada" in run(out, "-p", "n", "5", "-p", "name", "ada", "--out", str(out)).stdout
    ids = [cell["id"] for cell in json.loads(out.read_text())["cells"]]
    assert ids == ["c0", "injected-parameters", "c1"]
    assert main(["run", str(notebook), "-p", "nmae", "ada"]) == 2
    wrong = capsys.readouterr()
    assert wrong.out == ""
    assert 'no parameter nmae, did you mean "name"?' in wrong.err


def test_a_failing_cell_fails_the_run(home: Path) -> None:
    """An error in a cell stops the run with status 1; what was executed is written all the same."""
    done = run(write(home / "n.ipynb", "print('before')", "1 / 0", "print('after')"), "--out", str(home / "out.ipynb"))
    assert done.returncode == 1
    assert "ZeroDivisionError" in (home / "out.ipynb").read_text()
    assert "\nafter" not in done.stdout


@pytest.mark.thorough
def test_a_kernel_that_dies_or_hangs_fails_the_run_with_one_line(home: Path) -> None:
    """Neither is a traceback of the runner."""
    dead = run(write(home / "dead.ipynb", "import os\nos._exit(3)"))
    assert (dead.returncode, dead.stderr.strip()) == (1, "notebook-do: run: the kernel died in the cell above.")
    slow = run(write(home / "slow.ipynb", "import time\ntime.sleep(60)"), "--timeout", "1")
    assert slow.returncode == 1
    assert "the cell above took more than 1 s; --timeout allows more" in slow.stderr


def test_what_cannot_be_run_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing notebook, a file that is none, a place to write to that is not there: one line and status 2."""
    (home / "broken.ipynb").write_text("{")
    good = str(write(home / "n.ipynb", "1"))
    for words in (["nowhere.ipynb"], ["broken.ipynb"], [good, "--out", "no/such/out.ipynb"], [good, "-p", "a b", "1"]):
        assert main(["run", *words]) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1, words


@pytest.mark.thorough
def test_any_python_notebook_runs_in_this_python(home: Path) -> None:
    """The kernel that a notebook was written with need not exist here."""
    kernel = {"name": "of-somebody-else", "display_name": "x", "language": "python"}
    done = run(write(home / "n.ipynb", "import sys\nprint(sys.executable)", kernelspec=kernel))
    assert (done.returncode, sys.executable in done.stdout) == (0, True)
