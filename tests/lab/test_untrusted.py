"""Stored outputs in JupyterLab's own sanitizer, and hostile strings in a trusted notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from playwright.sync_api import expect

from notebook_do.model import StableId
from notebook_do.notebook.views import bundle
from notebook_do.plan.plan import Action, Baseline, Change, Consent, Plan, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    Lab = Any

pytestmark = pytest.mark.browser

EVIL = (
    "<script>window.__ran = 1; alert(1)</script>",
    '"><img src=x onerror="window.__ran = 1; alert(1)">',
    "</td></table><svg onload=alert(1)><a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='<script>parent.__ran = 1</script>'></iframe>",
    "<details open ontoggle=alert(1)>",
    "javascript:alert(1)",
    "\u202egnp.exe\x1b[31m",
    "<style>*{display:none}</style>",
)


def plan_of(text: str) -> Plan:
    """Give a plan with `text` in every place that a person or an account can fill."""
    change = Change(
        action=Action.DELETE, kind="namespace", id=text, worker=text, name=text, before=text, after=text, detail=text
    )
    return Plan(
        session=text,
        stage=text,
        target="local",
        baseline=Baseline(lineage="l", serial=1, account_id=text, api_origin=text, scripts=(), namespaces=()),
        changes=(change,),
        drift=(change,),
        refusals=(Refusal(code="x", subject=text, message=text, choices=(text,)),),
        consents=(
            Consent(phrase=text, stable_id=StableId(text), namespace_id=text, class_name=text, worker=text),  # type: ignore[arg-type]
        ),
        warnings=(text,),
        binding_rows=(
            {"worker": text, "binding": text, "type": text, "target": text, "class_name": text, "action": "create"},
        ),
        migration_rows=({"worker": text, "step": text, "stable_id": text},),
    )


def store(home: Path, name: str, bundles: list[dict[str, str]]) -> None:
    """Write a notebook with these outputs stored, as someone else's notebook would come."""
    cells = []
    for shown in bundles:
        cell = nbformat.v4.new_code_cell("plan")
        cell.outputs = [nbformat.v4.new_output("execute_result", data=shown, execution_count=1)]
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), home / f"{name}.ipynb")


def test_an_untrusted_view_keeps_its_words_tints_and_symbols(lab: Lab) -> None:
    """The sanitizer of JupyterLab takes nothing away: text is equal before and after, tints are on the cells."""
    shown = bundle(plan_of("plain words"))
    store(lab.home, "other", [shown])
    lab.show("other")
    expect(lab.cell(0).get_by_text("Drift: 1 thing changed outside")).to_be_visible()
    html = lab.cell(0).locator(".jp-RenderedHTMLCommon")
    expected = lab.page.evaluate(
        "html => { const d = document.createElement('div'); d.innerHTML = html; return d.textContent; }",
        shown["text/html"],
    )
    assert html.evaluate("node => node.textContent") == expected
    tinted = html.evaluate("node => [...node.querySelectorAll('td')].filter(td => td.style.backgroundColor).length")
    assert tinted == len(re.findall(r'<td style="[^"]*background-color', shown["text/html"]))
    assert tinted > 10
    lab.shot("1-untrusted", 0)


def test_hostile_strings_run_nothing(lab: Lab) -> None:
    """In a notebook that the user ran, with nothing sanitized, every string stays text."""
    lab.open("import json, notebook_do\nfrom IPython.display import display\n" + _show(EVIL))
    lab.run_all()
    expect(lab.cell(0).get_by_text("<script>window.__ran = 1; alert(1)</script>").first).to_be_visible()
    assert lab.page.evaluate("window.__ran") is None
    drawn = lab.cell(0).locator(".jp-RenderedHTMLCommon")
    assert drawn.count() == len(EVIL)
    assert drawn.locator("script, img, svg, iframe, style, a").count() == 0
    assert lab.problems == []
    assert lab.external == []


def _show(strings: tuple[str, ...]) -> str:
    bundles = [bundle(plan_of(text)) for text in strings]
    return f"for shown in {bundles!r}:\n    display(shown, raw=True)"
