"""The main job with a mouse: JupyterLab, Chromium, the Deploy button, a live answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    Lab = Any

pytestmark = pytest.mark.browser

BODY = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return new Response(`count ${n}`);
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


UNNAMED = """nodes => nodes.filter(
    n => n.tabIndex > 0 || ![...n.labels].some(l => l.textContent.trim())
).map(n => n.outerHTML)"""


def _tab(lab: Lab) -> str:
    """Press Tab, and give the label of the field that has the focus now."""
    lab.page.keyboard.press("Tab")
    return str(lab.page.evaluate("document.activeElement.labels[0].textContent.trim()"))


def deploy_button(lab: Lab, index: int = -1) -> Any:
    """Give the button of one cell that sends its plan."""
    return lab.cell(index).get_by_role("button", name=re.compile("^(Deploy|Destroy) "))


def test_declare_plan_press_and_a_live_answer(lab: Lab) -> None:
    """One press deploys; a double click deploys no second time; a rename keeps the data; nothing leaves the machine."""
    lab.open(*DECLARE, "%durable plan", "%durable deploy")
    lab.run_all()
    expect(deploy_button(lab)).to_have_text("Deploy 4 changes to dev on local")
    lab.shot("1-plan", 4)
    lab.shot("2-button", 5)
    deploy_button(lab).dblclick()
    expect(lab.cell(-1).get_by_role("link", name="my-worker-dev.localhost")).to_be_visible()
    expect(lab.cell(-1).get_by_text("✓ Deployed 4 changes to dev on local")).to_be_visible()
    expect(deploy_button(lab)).to_have_count(0)
    lab.shot("3-deployed", 5)
    lab.run("%durable fetch my-worker /")
    expect(lab.cell(-1).get_by_text("count 1")).to_be_visible()

    lab.run("%durable namespace counter --class MyCounter")
    lab.run(f"%%durable worker my-worker --bind COUNTER=counter\n{BODY.replace('Counter ', 'MyCounter ')}")
    lab.run("%durable deploy")
    expect(lab.cell(-1).get_by_text("Plan for dev on local: 1 rename, 2 updates")).to_be_visible()
    lab.shot("4-rename", 9)
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_text("1 step in")).to_be_visible()
    lab.run("%durable fetch my-worker /")
    expect(lab.cell(-1).get_by_text("count 2")).to_be_visible()

    lab.run("%durable show namespaces")
    lab.run("%durable")
    lab.theme("Dark")
    lab.shot("5-dark-rename", 9)
    lab.shot("6-dark-plan", 4)
    assert lab.external == []
    assert lab.problems == []


@pytest.mark.thorough
def test_destroy_needs_its_phrase_and_a_stale_plan_its_own_press(lab: Lab) -> None:
    """A protected namespace is refused; a typed phrase enables the button; what went stale is shown anew."""
    lab.open(*DECLARE, "%durable deploy")
    lab.run_all()
    lab.run("%durable namespace counter --class Counter --unprotect")
    deploy_button(lab, 4).click()
    expect(lab.cell(4).get_by_role("alert")).to_contain_text(
        "Nothing was sent: cell [6] was run after this plan was shown"
    )
    expect(lab.cell(4).get_by_text("The whole plan as it is now: 4 changes")).to_be_visible()
    lab.shot("1-stale", 4)
    deploy_button(lab, 4).click()
    expect(lab.cell(4).get_by_text("3 steps in")).to_be_visible()
    lab.run("%durable fetch my-worker /")

    lab.run("%durable namespace counter --class Counter")
    lab.run("%durable destroy my-worker")
    expect(lab.cell(-1).get_by_text("PlanRefused")).to_be_visible()
    expect(lab.cell(-1).get_by_text("is protected").first).to_be_visible()
    expect(deploy_button(lab)).to_have_count(0)
    lab.shot("2-refused", -1)

    lab.run("%durable namespace counter --class Counter --unprotect")
    lab.run("%durable destroy my-worker")
    expect(deploy_button(lab)).to_be_disabled()
    expect(lab.cell(-1).get_by_text("1 stored object would be deleted for ever").first).to_be_visible()
    field = lab.cell(-1).get_by_label("Type this to allow it")
    phrase = re.search(r"destroy counter [0-9a-f]{8}", lab.cell(-1).inner_text())
    assert phrase
    field.fill("destroy counter 00000000")
    expect(deploy_button(lab)).to_be_disabled()
    field.fill(phrase[0])
    expect(deploy_button(lab)).to_be_enabled()
    lab.shot("3-destroy", -1)
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_text("1 step in")).to_be_visible()
    assert lab.problems == []


@pytest.mark.thorough
def test_forms_declare_and_a_fault_of_the_script_is_seen_in_the_panel(lab: Lab) -> None:  # noqa: PLR0915 - one way through
    """Nothing is red before it was left; the source is checked; what was declared stays, and the form is gone."""
    lab.open(*DECLARE[:2], "%durable form namespace", "%durable form worker")
    lab.run_all()
    space, worker = lab.cell(2), lab.cell(3)
    expect(space.get_by_text("Fill in Stable ID and Class. Declaring sends nothing.")).to_be_visible()
    expect(worker.get_by_text("Fill in Worker and Source. Declaring sends nothing.")).to_be_visible()
    expect(space.get_by_role("alert")).to_have_count(0)
    expect(worker.get_by_role("alert")).to_have_count(0)
    lab.both("1-form-namespace-empty", 2)
    expect(worker.get_by_label("Source")).to_have_attribute("rows", "6")
    lab.both("2-form-worker-empty", 3)
    space.get_by_label("Stable ID").fill("my counter")
    space.get_by_label("Class", exact=True).fill("Counter")
    expect(space.get_by_role("alert")).to_contain_text("for example my-counter")
    expect(space.get_by_text("Fix Stable ID.")).to_be_visible()
    lab.both("3-form-namespace-error", 2)
    space.get_by_label("Stable ID").fill("counter")
    expect(space.get_by_text("The same as a cell:")).to_be_visible()
    space.get_by_text("More: hosting Worker").click()
    expect(space.get_by_label("Was called")).to_be_visible()
    lab.both("4-form-namespace-complete", 2)
    _can_be_named(space)
    space.get_by_role("button", name="Declare in session tour").click()
    expect(space.get_by_text("Declared namespace counter in session tour")).to_be_visible()
    expect(space.locator("input")).to_have_count(0)

    worker.get_by_label("Worker", exact=True).fill("my-worker")
    for _ in range(2):
        worker.get_by_role("button", name="Add a binding").click()
    worker.get_by_label("Binding 1").fill("COUNTER")
    worker.get_by_label("value").first.fill("counter")
    source = worker.get_by_label("Source")
    source.press_sequentially("//\n" * 7)
    # It grows with what is typed, and no letter of that is lost meanwhile.
    expect(source).to_have_attribute("rows", "9")
    expect(source).to_have_value("//\n" * 7)
    source.fill(BODY.replace("class Counter", "class Countr"))
    worker.get_by_label("Worker", exact=True).fill("api")
    expect(worker.get_by_role("alert")).to_contain_text("the source exports Countr and a default handler")
    expect(worker.get_by_text("Fix Source; fill in or remove binding 2.")).to_be_visible()
    assert source.evaluate("one => one.scrollHeight <= one.clientHeight"), "all of it is seen"
    lab.both("5-form-worker-error", 3)
    worker.get_by_label("Worker", exact=True).fill("my-worker")
    worker.get_by_role("button", name="Remove").nth(1).click()
    worker.get_by_label("Source").fill(BODY.replace("new Response(", "/(/.test('') || new Response("))
    expect(worker.get_by_text("9 lines; exports Counter and a default handler.")).to_be_visible()
    lab.both("6-form-worker-complete", 3)
    _can_be_named(worker)
    worker.get_by_label("Worker", exact=True).focus()
    assert [_tab(lab) for _ in range(3)] == ["Binding 1", "type", "value"]
    worker.get_by_role("button", name="Declare in session tour").click()
    expect(worker.get_by_text("%%durable worker my-worker --bind COUNTER=counter")).to_be_visible()
    expect(worker.locator("textarea")).to_have_count(0)
    lab.both("7-form-declared", 3)
    lab.run("%durable deploy")
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_role("alert")).to_contain_text("Stopped in step 1 of 3")
    expect(lab.cell(-1).get_by_text("SyntaxError")).to_be_visible()
    lab.shot("8-fault", -1)
    lab.run("%durable")
    expect(lab.cell(-1).get_by_text("offers what is left")).to_be_visible()
    lab.both("9-status-stopped", -1)
    lab.command("docmanager:save")
    saved = (lab.home / "nb.ipynb").read_text()
    assert "Keep it as a cell:" in saved
    assert "Fill in Worker and Source" not in saved
    assert lab.problems == []


def _can_be_named(form: Any) -> None:
    """Check that a screen reader can name every field of a form."""
    inputs = form.locator("input, textarea, select")
    assert inputs.count() > 4
    assert inputs.evaluate_all(UNNAMED) == []


@pytest.mark.thorough
def test_a_declaration_and_a_status_are_read_light_and_dark(lab: Lab) -> None:
    """What a cell declared, what it replaced, what is wrong with it, and how all of it stands."""
    changed = DECLARE[3].replace("=counter", "=counter --var LIMIT=5 --var API_KEY=x", 1).replace("+ 1;", "+ 2;")
    lab.open(*DECLARE, changed, changed, changed.replace("class Counter", "class Countr"), "%durable")
    lab.run_all()
    expect(lab.cell(7).get_by_text("did you mean Countr?")).to_be_visible()
    expect(lab.cell(4).get_by_text("Replaces the declaration of cell [4].")).to_be_visible()
    expect(lab.cell(5)).to_contain_text("Worker my-worker is declared as before (cell [5]).")
    expect(lab.cell(6)).to_contain_text("Declared Worker my-worker again, with 1 mistake")
    for name, index in (("namespace", 2), ("worker", 3), ("again", 4), ("same", 5), ("mistake", 6), ("status", 7)):
        lab.both(name, index)
    lab.run("%%durable worker my-worker\nconst value v = 1;")
    expect(lab.cell(-1)).to_contain_text("SourceError: Worker my-worker: syntax error in line 2 of this cell")
    expect(lab.cell(-1)).to_contain_text("The declaration of cell [7] stays; nothing was sent.")
    lab.both("syntax", -1)
    assert lab.problems == []


@pytest.mark.thorough
def test_notebook_7_presses_the_same_button(lab: Lab) -> None:
    """The other front-end: declare, plan, press, a live answer."""
    lab.path = "notebooks"
    lab.open(*DECLARE, "%durable plan", "%durable deploy")
    lab.run_all()
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_text("3 steps in")).to_be_visible()
    lab.run("%durable fetch my-worker /")
    expect(lab.cell(-1).get_by_text("count 1")).to_be_visible()
    lab.shot("notebook-7")
    own = {  # Notebook 7's: a setting of its menus, and the list of files that it does not have on this page
        "Cannot read properties of undefined (reading 'schema')",
        "Command 'filebrowser:open-path' not registered.",
    }
    assert set(lab.problems) <= own
    assert lab.external == []


@pytest.mark.thorough
def test_a_restarted_kernel_goes_on_where_the_state_file_says(lab: Lab) -> None:
    """The old panel sends nothing and says why; the same cells in a new kernel find what is live and keep its data."""
    lab.open(*DECLARE, "%durable deploy")
    lab.run_all()
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_text("3 steps in")).to_be_visible()
    lab.run("%durable fetch my-worker /")
    expect(lab.cell(-1).get_by_text("count 1")).to_be_visible()
    lab.run(f"%%durable worker my-worker --bind COUNTER=counter\n{BODY.replace('count $', 'counted $')}")
    lab.run("%durable deploy")
    expect(deploy_button(lab)).to_have_text("Deploy 1 change to dev on local")
    lab.restart()
    lab.both("old-panel", 7)
    expect(lab.cell(7).get_by_text("After a restart of the kernel, run this cell again.")).to_be_visible()

    for cell in DECLARE[:3]:
        lab.run(cell)
    lab.run(f"%%durable worker my-worker --bind COUNTER=counter\n{BODY.replace('count $', 'counted $')}")
    lab.run("%durable deploy")
    expect(deploy_button(lab)).to_have_text("Deploy 1 change to dev on local")
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_text("1 step in")).to_be_visible()
    lab.run("%durable fetch my-worker /")
    expect(lab.cell(-1).get_by_text("counted 2")).to_be_visible()
    assert lab.problems == []
