"""No secret gets into a notebook that is saved, nor into what the local Cloudflare shows: everything is searched."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from canary import hits
from nbclient import NotebookClient
from sharing import kept_in

from notebook_do.local.process import launch

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE = "canary-one+/=<&>\"'-5f3a9c1e77"
ASKED = "kanarienvogel zwei 1b2c3d4e5f"
SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {}
export default { fetch(request, env) { return new Response(String(env.KEY.length)); } };
"""
SCRIPT = f"""
%load_ext notebook_do
# ---
%durable session canary
# ---
%durable whoami
# ---
%durable namespace counter --class Counter
# ---
%%durable worker api --bind COUNTER=counter --secret KEY=CANARY_KEY --secret ASKED=prompt
{SOURCE}
# ---
import notebook_do as nd
from notebook_do.notebook.widgets.drafts import Draft
from notebook_do.notebook.widgets.forms import Form
from notebook_do.notebook.widgets.panel import DeployPanel
session = nd.current()
# ---
import getpass, pathlib
get_ipython().kernel._allow_stdin = True  # nbclient answers no question
getpass.getpass = lambda question: pathlib.Path("asked").read_text()
plan = session.plan()
plan
# ---
panel = DeployPanel(session, plan)
display(panel)
panel.button.click()
panel.controller.wait(60)
panel.controller.phase
# ---
Form(session, Draft.of(session.catalog.workers["api"]))
# ---
%durable fetch api /
# ---
%durable state
# ---
%durable export wrangler out
# ---
%durable import api-dev
# ---
print(plan.to_json())
plan.df, plan.bindings, session.namespaces(), session.workers(), session.recorded()
# ---
import os
os.environ["CANARY_KEY"] += "-changed"
%durable plan --json
# ---
%%durable worker broken --secret KEY=CANARY_KEY --secret ASKED=prompt
{SOURCE}throw new SyntaxError(/(/)
# ---
%xmode Plain
session.deploy(session.plan())
# ---
%xmode Context
session.deploy(session.plan())
# ---
%xmode Minimal
session.deploy(session.plan())
# ---
%xmode Verbose
%config Durable.short_errors = False
session.deploy(session.plan())
# ---
del os.environ["CANARY_KEY"]
session.deploy(session.plan())
# ---
import logging
logging.basicConfig(level=logging.DEBUG, force=True)
%durable plan
"""
CELLS = tuple(cell.strip() for cell in SCRIPT.split("# ---"))


@pytest.fixture
def book(own_cloud: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the cells in a real kernel and save the notebook, widget state included; the server runs on meanwhile."""
    monkeypatch.setenv("CANARY_KEY", VALUE)
    (own_cloud / "asked").write_text(ASKED)
    target = launch.ensure(own_cloud / "local-data")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(
        notebook,
        timeout=60,
        allow_errors=True,
        store_widget_state=True,
        coalesce_streams=True,
        resources={"metadata": {"path": str(own_cloud)}},
    )
    client.execute()
    (own_cloud / "asked").unlink()
    nbformat.write(notebook, own_cloud / "canary.ipynb")
    try:
        yield own_cloud / "canary.ipynb"
    finally:
        target.release()


def test_s01_s02_s08_a_saved_notebook_holds_no_secret(book: Path, keys: Path) -> None:
    """S01, S02, S06, S08: outputs, widget state, metadata, files, logs and processes are without any secret.

    The local Cloudflare keeps the values, as it has to give them to the Workers: in files for this user alone.
    """
    home, saved = book.parent, json.loads(book.read_text())
    secrets = (VALUE, ASKED, (home / "local-data" / "token").read_text().strip())
    shown = [json.dumps(cell["outputs"]) for cell in saved["cells"]]
    assert "Phase.DONE" in "".join(shown), shown
    assert sum(output["output_type"] == "error" for cell in saved["cells"] for output in cell["outputs"]) >= 5
    widgets = saved["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert len(widgets) > 30
    for cell, outputs in zip(CELLS, shown, strict=True):
        assert hits(outputs, secrets) == [], cell
    assert hits(book.read_bytes(), secrets) == []
    kept = [p for p in home.rglob("*") if p.is_file() and p != book and home / "local-data" not in p.parents]
    assert {p.name for p in kept} >= {"state.json", "journal.jsonl", "wrangler.jsonc"}
    for path in (*kept, *(p for p in keys.rglob("*") if p.is_file())):
        assert hits(path.read_bytes(), secrets) == [], path

    for path in kept_in(home / "local-data"):
        if hits(path.read_bytes(), secrets):
            assert path.suffix != ".log", path
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0, path.parent
    assert_no_process_shows(secrets)


def assert_no_process_shows(secrets: tuple[str, ...]) -> None:
    """S08: neither the command line nor the environment of any process of the local Cloudflare holds a secret."""
    ours = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                where = f"{process.joinpath('cwd').readlink()} {told.decode(errors='replace')}"
            except (OSError, ProcessLookupError):
                continue  # it ended meanwhile
            if "workerd" in where or "notebook_do.local" in where:
                ours.append(process.name)
                assert hits(told, secrets) == [], told[:300]
    assert len(ours) >= 2, "the server, and the island of the Worker that was called"
