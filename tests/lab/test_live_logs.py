"""`%durable logs NAME --follow` in JupyterLab: its buttons, what they show, and what the saved file keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    Lab = Any

pytestmark = pytest.mark.browser

WORKER = """%%durable worker chat
export default { fetch(request) {
  const path = new URL(request.url).pathname;
  if (path === "/slow") console.warn("slow query: 26 ms");
  else if (path === "/bad") throw new TypeError("no length");
  else console.log("room", path);
  return new Response("ok");
} };
"""
OPEN = (
    "%load_ext notebook_do\nimport notebook_do as nd",
    "%durable session data",
    WORKER,
    "session = nd.current()\nresult = session.deploy(session.plan())",
)


def button(lab: Lab, name: str) -> Any:
    """Give a button above the live tail."""
    return lab.cell(4).get_by_role("button", name=name, exact=True)


def saved(lab: Lab) -> list[str]:
    """Save the notebook and give the texts of the tail's outputs."""
    lab.command("docmanager:save")
    cells = nbformat.read(lab.home / "nb.ipynb", as_version=4).cells
    return [str(output.data["text/plain"]) for output in cells[4].outputs]


@pytest.mark.thorough
def test_other_cells_run_while_it_follows_and_its_buttons_work(lab: Lab) -> None:
    """Issue 15, picture 5b: no cell waits; Pause counts what comes, Only errors filters, Stop leaves no widget."""
    lab.open(*OPEN, "%durable logs chat --follow")
    lab.run_all()
    expect(lab.cell(4).get_by_text("Logs of chat, since")).to_be_visible()
    expect(lab.cell(4).get_by_text("No line yet.")).to_be_visible()
    lab.run("for path in ('/a', '/slow', '/bad', '/b'): session.fetch('chat', path)")
    expect(lab.cell(4).get_by_text("room /a")).to_be_visible()
    expect(lab.cell(4).get_by_text("TypeError: no length").first).to_be_visible()
    expect(lab.cell(4).get_by_text("room /b")).to_be_visible()
    lab.both("1-live", 4)
    button(lab, "Only errors").click()
    expect(lab.cell(4).get_by_text("room /a")).to_have_count(0)
    expect(lab.cell(4).get_by_text("TypeError: no length").first).to_be_visible()
    lab.both("2-only-errors", 4)
    button(lab, "Only errors").click()
    expect(lab.cell(4).get_by_text("room /a")).to_be_visible()
    button(lab, "Pause").click()
    expect(lab.cell(4).get_by_text("paused")).to_be_visible()
    lab.run("for n in range(3): session.fetch('chat', f'/late{n}')")
    expect(lab.cell(4).get_by_text("3 lines wait")).to_be_visible()
    expect(lab.cell(4).get_by_text("room /late0")).to_have_count(0)
    lab.both("3-paused", 4)
    button(lab, "Go on").click()
    expect(lab.cell(4).get_by_text("room /late2")).to_be_visible()
    button(lab, "Stop").click()
    expect(button(lab, "Stop")).to_have_count(0)
    lab.both("4-stopped", 4)
    *rest, picture = saved(lab)
    assert picture.startswith("Logs of chat, from 2")
    assert "room /late2" in picture
    assert rest == [""]
    assert "widget-view" not in (lab.home / "nb.ipynb").read_text()
    assert lab.problems == []
