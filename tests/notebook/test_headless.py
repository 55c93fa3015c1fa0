"""Where nobody can press: a kernel run by nbclient, and a terminal with a prompt."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import nbformat
import pexpect
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return new Response(String(n));
  }
}
export default { fetch(request, env) { return env.COUNTER.get(env.COUNTER.idFromName("a")).fetch(request); } };
"""
DECLARE = (
    "%load_ext notebook_do",
    "%durable session tour",
    "%durable namespace counter --class Counter",
    f"%%durable worker my-worker --bind COUNTER=counter\n{BODY}",
)


@pytest.fixture
def kernel_home(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory in which a kernel finds this package, with settings of its own."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("IPYTHONDIR", str(cloud / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    return cloud


def execute(home: Path, *cells: str) -> Any:
    """Run the cells as a notebook in a kernel of this Python, and give the notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook,
        timeout=60,
        resources={"metadata": {"path": str(home)}},
        store_widget_state=True,
        coalesce_streams=True,
        kernel_name="python3",
    )
    try:
        client.execute()
    finally:
        nbformat.validate(notebook)
        nbformat.write(notebook, home / "run.ipynb")
    return notebook


def texts(cell: Any) -> list[str]:
    """Give the text of each output."""
    return [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]


def test_run_all_sends_nothing_and_builds_no_widget(kernel_home: Path) -> None:
    """A deploy without approval is a summary with the line that would approve it; the cell succeeds."""
    notebook = execute(kernel_home, *DECLARE, "%durable plan", "%durable deploy", "%durable show workers")
    plan, offer = texts(notebook.cells[5])
    assert plan.startswith("Plan")
    assert re.search(r"%durable deploy --approve [0-9a-f]{16}", offer)
    assert "declared" in texts(notebook.cells[6])[0]
    assert not (kernel_home / ".notebook_do").exists()
    written = (kernel_home / "run.ipynb").read_text()
    assert "widget" not in written
    assert "\\u001b[" not in written


@pytest.mark.parametrize("form", ["auto", pytest.param("migrations", marks=pytest.mark.thorough)])
def test_an_approved_digest_deploys_in_the_next_run(kernel_home: Path, form: str) -> None:
    """The digest read in one run approves that plan in another, in both forms; then nothing is left to do."""
    cells = (*DECLARE[:3], DECLARE[3].replace("COUNTER=counter\n", f"COUNTER=counter --lifecycle {form}\n"))
    digest = re.search(r"plan (\w{16})", texts(execute(kernel_home, *cells, "%durable plan").cells[4])[0])
    assert digest
    notebook = execute(
        kernel_home, *cells, f"result = %durable deploy --approve {digest[1]}", "%durable fetch my-worker /", "result"
    )
    plan, record = texts(notebook.cells[4])
    assert plan.startswith("Plan")
    assert record.startswith("✓ Deployed 4 changes to dev on local, 2"), "the plan, its record, and nothing beside"
    assert "1 byte\n\n1\n" in texts(notebook.cells[5])[0]
    assert texts(notebook.cells[6]) == [record], "the value shows itself as its record"
    page, _ = HTMLExporter().from_notebook_node(nbformat.read(kernel_home / "run.ipynb", as_version=4))
    assert "Deployed 4 changes to dev on local" in page, "in the converted page too"
    assert 'href="http://my-worker-dev.localhost' in page


def test_a_live_tail_is_not_followed_where_nobody_can_stop_it(kernel_home: Path) -> None:
    """A Run All comes to its end: the cell shows what was logged so far, in the static form, and says so in a line."""
    logging = DECLARE[3].replace("fetch(request, env) {", "fetch(request, env) { console.log('asked');")
    deployed = "import notebook_do as nd\nnd.current().deploy(nd.current().plan())"
    follow = "%durable logs my-worker --follow"
    asked = ("%durable fetch my-worker /", follow, f"frame = {follow}\nlist(frame.message)")
    *_, followed, kept = execute(kernel_home, *DECLARE[:3], logging, deployed, *asked).cells
    (text,) = texts(followed)
    assert re.match(r"Logs of my-worker: 1 request, 0 errors in 30 minutes", text)
    assert "\n~ Not followed: nobody can stop it here. This is what was logged until now.\n" in text
    assert re.search(r"log +GET / +asked", text)
    assert texts(kept) == ["['asked']"], "it is the frame of past logs"
    assert "widget" not in (kernel_home / "run.ipynb").read_text()


PRESS = """
import gc, threading
panels = (one for one in gc.get_objects() if type(one).__name__ == "ChangePanel")
next(one for one in panels if one.controller.change.what == "m").button.click()
for thread in threading.enumerate():
    if thread.name == "notebook-do-change":
        thread.join()
"""


@pytest.mark.thorough
def test_a_saved_change_has_a_static_line_and_no_dead_widget(kernel_home: Path) -> None:
    """A cell with the button of a change is saved with a line that is true; once it is sent, without the widget."""
    deployed = "import notebook_do as nd\nnd.current().deploy(nd.current().plan())"
    # As in JupyterLab, where a person is there to be asked; nbclient says of every cell that nobody is.
    offer = "get_ipython().kernel._allow_stdin = True\nget_ipython().run_line_magic('durable', 'put counter a {} 7')"
    cells = (*DECLARE, deployed, "%durable fetch my-worker /", offer.format("n"), offer.format("m") + PRESS)
    *_, waits, sent = execute(kernel_home, *cells).cells
    widget = "application/vnd.jupyter.widget-view+json"
    _, line, panel = waits.outputs
    assert re.match(r"= Not sent yet. Change \w{8} waits for the button below", line.data["text/plain"])
    assert (panel.data["text/plain"], widget in panel.data) == ("", True)
    _, line, panel = sent.outputs
    assert re.match(r"✓ Key m of a is put, 20.*, change \w{8}\.", line.data["text/plain"])
    assert (panel.data["text/plain"], widget in panel.data) == ("", False)


@pytest.mark.thorough
def test_a_destroy_without_its_phrase_saves_no_record_of_a_destroy(kernel_home: Path) -> None:
    """The saved cell has the plan and the error alone; neither says that anything was destroyed, or is being."""
    cells = (*DECLARE[:2], f"{DECLARE[2]} --unprotect", DECLARE[3])
    deployed = "import notebook_do as nd\nnd.current().deploy(nd.current().plan())"
    digest = "digest = nd.current().destroy('my-worker').digest"
    sent = "get_ipython().run_line_magic('durable', f'destroy my-worker --approve {digest}')"
    with pytest.raises(CellExecutionError, match="Nothing was sent"):
        execute(kernel_home, *cells, deployed, digest, sent)
    plan, error = nbformat.read(kernel_home / "run.ipynb", as_version=4).cells[6].outputs
    assert plan.data["text/plain"].startswith("Plan")
    assert (error.output_type, error.ename) == ("error", "ConsentRequired")
    assert "Destroying" not in plan.data["text/plain"] + error.evalue


@pytest.mark.thorough
def test_the_press_in_advance_deploys(kernel_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `notebook-do run --deploy` does, and that it says so."""
    monkeypatch.setenv("NOTEBOOK_DO_DEPLOY", "press")
    notebook = execute(kernel_home, *DECLARE, "%durable deploy", "%durable fetch my-worker /")
    _, approved, record = texts(notebook.cells[4])
    assert "Approved in advance" in approved
    assert record.startswith("✓ Deployed 4 changes"), "shown once, though the line gives it as its value too"
    assert "1 byte\n\n1\n" in texts(notebook.cells[5])[0]


def test_a_mistake_stops_the_run_with_one_line(kernel_home: Path) -> None:
    """The reply has status error, and the stored traceback is the message only."""
    with pytest.raises(CellExecutionError) as error:
        execute(kernel_home, *DECLARE[:2], "%durable nmespace counter", "1 / 0")
    assert error.value.ename == "CommandError"
    stored = nbformat.read(kernel_home / "run.ipynb", as_version=4).cells[2].outputs[0]
    assert stored.traceback == ['CommandError: %durable: unknown verb "nmespace", did you mean "namespace"?']


@pytest.mark.thorough
def test_a_declaration_knows_its_cell(kernel_home: Path) -> None:
    """Blank lines above are counted, as the front-end counts them."""
    notebook = execute(
        kernel_home,
        *DECLARE[:2],
        "\n\n%%durable worker w\nexport default {}",
        "import notebook_do as nd\nw = nd.current().catalog.workers['w'].where\nprint(w.line, w.body_line, w.cell)",
    )
    line, body_line, cell = texts(notebook.cells[3])[0].split()
    assert (line, body_line) == ("3", "4")
    assert cell.startswith("In[") or len(cell) >= 8


@pytest.fixture
def terminal(kernel_home: Path) -> Iterator[pexpect.spawn]:
    """Give a terminal IPython."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=NoColor"],
        cwd=str(kernel_home),
        timeout=60,
        encoding="utf-8",
        dimensions=(200, 200),
    )
    child.expect(r"In \[1\]:")
    yield child
    child.sendeof()
    child.close(force=True)


def test_a_terminal_asks_and_deploys_only_what_was_typed(terminal: pexpect.spawn, kernel_home: Path) -> None:
    """Anything but the word sends nothing."""
    (kernel_home / "w.js").write_text(BODY)
    for line in (*DECLARE[:3], "%durable worker my-worker --entrypoint ./w.js --bind COUNTER=counter"):
        terminal.sendline(line)
        terminal.expect(r"In \[\d+\]:")
    terminal.sendline("%durable deploy")
    terminal.expect("Type 'deploy' to send 4 changes to dev on local:")
    terminal.sendline("yes")
    terminal.expect("Not deployed. Nothing was sent.")
    terminal.expect(r"To send exactly this plan:\s+%durable deploy --approve [0-9a-f]{16}")
    terminal.expect(r"In \[\d+\]:")
    assert not (kernel_home / ".notebook_do").exists()
    terminal.sendline("%durable deploy")
    terminal.expect("Type 'deploy'")
    terminal.sendline("deploy")
    terminal.expect("✓ Deployed 4 changes to dev on local")
    terminal.expect("3 steps in .* requests")
    terminal.expect(r"In \[\d+\]:")
    terminal.sendline("%durable fetch my-worker /")
    terminal.expect("200 OK.*\r\n1\r\n")
    assert (kernel_home / ".notebook_do").exists()
