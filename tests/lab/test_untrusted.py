"""Stored outputs in JupyterLab's own sanitizer, and hostile strings in a trusted notebook."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from hostile import HOSTILE, every_view, sent_plan
from playwright.sync_api import expect

from notebook_do.notebook.views import html, markup, text
from notebook_do.notebook.views.documents import bundle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Lab = Any

pytestmark = pytest.mark.browser

FORMS = """import json, notebook_do as nd
from hostile import plan_of
from notebook_do.notebook.widgets.forms import Form
from notebook_do.notebook.widgets.drafts import BindingRow, Draft
from notebook_do.notebook.widgets.panel import DeployPanel
evil = " ".join(json.load(open("strings.json")))
session = nd.session("x")
row = BindingRow(name=evil, target=evil)
worker = Draft.new("worker", id=evil, name=evil, compatibility_date=evil, rows=[row], script=evil)
namespace = Draft.new("namespace", id=evil, class_name=evil, script_name=evil)
display(Form(session, namespace), Form(session, worker))
display(DeployPanel(session, plan_of(evil.replace("$", ""))))  # labels typeset formulas; no stable ID holds a dollar
"""


def store(home: Path, name: str, bundles: list[dict[str, str]]) -> None:
    """Write a notebook of one cell with these outputs stored, as someone else's notebook would come."""
    cells = [nbformat.v4.new_code_cell("plan")]
    cells[0].outputs = [nbformat.v4.new_output("display_data", data=shown) for shown in bundles]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), home / f"{name}.ipynb")


@pytest.mark.thorough
def test_an_untrusted_view_keeps_its_words_tints_and_symbols(lab: Lab) -> None:
    """The sanitizer of JupyterLab takes nothing away: text is equal before and after, tints are on the cells."""
    shown = bundle(sent_plan("plain words"))
    store(lab.home, "other", [shown])
    lab.show("other")
    expect(lab.cell(0).get_by_text("Changed outside since the last deploy")).to_be_visible()
    html = lab.cell(0).locator(".jp-RenderedHTMLCommon")
    expected = lab.page.evaluate(
        "html => { const d = document.createElement('div'); d.innerHTML = html; return d.textContent; }",
        shown["text/html"],
    )
    assert html.evaluate("node => node.textContent") == expected
    tinted = html.evaluate("node => [...node.querySelectorAll('td')].filter(td => td.style.backgroundColor).length")
    assert tinted == len(re.findall(r'<td style="[^"]*background-color', shown["text/html"]))
    assert tinted >= 10
    assert html.locator("svg").count() == 0
    expect(html.get_by_text("├─ + plain words ──▶ plain words")).to_be_visible()
    lab.shot("1-untrusted", 0)


def evil_bundles(home: Path, hostile: Sequence[str] = HOSTILE, *, every: int = 1) -> list[dict[str, str]]:
    """Return each view, as one output with all the strings; what they would run or load is told apart.

    With `every`, a view has only each so many-th of them, and the next view begins with the next one.
    """
    strings = [e.replace("alert(1)", "top.__pwned=1").replace("src=x", "src=//evil.invalid/x") for e in hostile]
    documents = [every_view(evil) for evil in strings]
    shown = [
        {
            "text/plain": "\n".join(text.render(views[name]) for views in documents[place % every :: every]),
            "text/html": "".join(html.render(views[name]) for views in documents[place % every :: every]),
        }
        for place, name in enumerate(documents[0])
    ]
    (home / "strings.json").write_text(json.dumps([s for s in strings if s.isprintable()]))
    (home / "evil.json").write_text(json.dumps(shown))
    return shown


TREE = """nodes => {
    const found = {};
    for (const top of nodes) for (const node of top.querySelectorAll('*')) {
        const names = (found[node.tagName.toLowerCase()] ??= {});
        for (const name of node.getAttributeNames()) names[name] = 1;
    }
    return Object.entries(found).map(([tag, names]) => [tag, Object.keys(names)]);
}"""


def assert_harmless(lab: Lab, views: int = 1) -> None:
    """Assert that the last cell shows so many views, which hold only what a view may hold."""
    drawn = lab.cell(-1).locator(".jp-RenderedHTMLCommon")
    expect(drawn).to_have_count(views)
    for tag, names in drawn.evaluate_all(TREE):
        assert tag in markup.TAGS | markup.SHAPES
        assert set(names) <= (markup.ATTRIBUTES if tag in markup.TAGS else markup.SHAPE_ATTRIBUTES), tag


@pytest.mark.thorough
@pytest.mark.parametrize("strings", [HOSTILE], ids=["all"])
def test_200_hostile_strings_run_nothing_where_nothing_is_sanitized(lab: Lab, strings: Sequence[str]) -> None:
    """In a notebook that the user ran, every string stays text, in every view, in a form and in the Deploy panel."""
    shown = evil_bundles(lab.home, strings)
    lab.open("import json\nevil = json.load(open('evil.json'))")
    lab.run_all()
    for number in range(len(shown)):  # one at a time: no page lays out 30 MB of tables in a reasonable time
        lab.run(f"display(evil[{number}], raw=True)")
        assert_harmless(lab)
        lab.command("notebook:clear-all-cell-outputs")
    lab.run(FORMS)
    widgets = lab.cell(-1).locator(".widget-vbox")
    expect(widgets.get_by_role("button", name="Declare in session").first).to_be_visible()
    expect(widgets.get_by_text("plan").last).to_be_visible()
    assert widgets.locator("img, svg, iframe, script, style, a").evaluate_all("n => n.map(x => x.outerHTML)") == []
    assert lab.page.evaluate("window.__pwned") is None
    assert lab.problems == []
    assert lab.external == []


@pytest.mark.thorough
def test_200_hostile_strings_run_nothing_in_a_notebook_of_somebody_else(lab: Lab) -> None:
    """Stored in a notebook that nobody trusts, they are text as well."""
    shown = evil_bundles(lab.home, every=5)  # JupyterLab's sanitizer takes minutes for all in each view
    store(lab.home, "other", shown)
    lab.show("other")
    assert_harmless(lab, len(shown))
    assert lab.page.evaluate("window.__pwned") is None
    assert lab.problems == []
    assert lab.external == []
