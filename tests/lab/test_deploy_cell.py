"""The deploy cell in JupyterLab: plan, record and panel, what the saved file has of them, and how high they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from playwright.sync_api import expect
from test_jupyterlab import BODY, DECLARE, deploy_button

if TYPE_CHECKING:
    Lab = Any

pytestmark = pytest.mark.browser

WORKER = f"%%durable worker my-worker --bind COUNTER=counter --var LIMIT=20\n{BODY}"
HEIGHT = "node => node.getBoundingClientRect().height"
FIRST, CHANGED = 450, 100
"""How high a first deploy may be, from plan to result, and a plan of one changed value."""


def saved(lab: Lab, index: int) -> list[str]:
    """Save the notebook and give the texts of one cell's outputs in its file; there are no dead widgets in it."""
    lab.command("docmanager:save")
    cells = nbformat.read(lab.home / "nb.ipynb", as_version=4).cells
    texts = [output.data["text/plain"] for output in cells[index].outputs]
    assert "VBox(" not in str(texts)
    return texts


def height(lab: Lab, index: int, output: int | None = None) -> float:
    """Give the height of a cell's outputs, or of one of them."""
    found = lab.cell(index)
    if output is not None:
        found = found.locator(".jp-OutputArea-child").nth(output)
    return float(found.evaluate(HEIGHT))


@pytest.mark.thorough
def test_the_record_stays_in_the_saved_notebook_and_the_cell_is_short(lab: Lab) -> None:
    """Issue 16.3 and 16.4: waiting, then done with the address, in the file; the panel ends empty; the heights."""
    lab.open(*DECLARE[:3], WORKER, "%durable deploy")
    lab.run_all()
    expect(deploy_button(lab)).to_have_text("Deploy 5 changes to dev on local")
    lab.both("1-waits", 4)
    assert saved(lab, 4)[1].startswith("= Not deployed yet. Plan ")
    deploy_button(lab).click()
    expect(lab.cell(4).get_by_text("✓ Deployed 5 changes to dev on local")).to_be_visible()
    expect(deploy_button(lab)).to_have_count(0)
    lab.both("2-done", 4)
    record = saved(lab, 4)[1]
    assert record.startswith("✓ Deployed 5 changes to dev on local, 2")
    assert "http://my-worker-dev.localhost" in record
    assert "done  open the URL of Worker my-worker-dev" in record
    assert "widget-view" not in (lab.home / "nb.ipynb").read_text()
    first = height(lab, 4)
    lab.run(WORKER.replace("LIMIT=20", "LIMIT=5"))
    lab.run("%durable deploy")
    expect(deploy_button(lab)).to_have_text("Deploy 1 change to dev on local")
    lab.both("3-one-value", -1)
    value = height(lab, -1, 0)
    print(f"first deploy, plan to result: {first:.0f} px; plan of one changed value: {value:.0f} px")  # noqa: T201
    assert first <= FIRST
    assert value <= CHANGED
    assert lab.problems == []


@pytest.mark.thorough
def test_a_failed_deploy_shows_the_line_of_the_cell_and_plans_again(lab: Lab) -> None:
    """Issue 16, views 7: counts, the message once with its line, the steps; `Plan again` sends what is left."""
    broken = BODY.replace("export default {", "missing.call();\nexport default {")
    lab.open(*DECLARE[:3], f"%%durable worker my-worker --bind COUNTER=counter\n{broken}", "%durable deploy")
    lab.run_all()
    deploy_button(lab).click()
    expect(lab.cell(4).get_by_role("alert")).to_contain_text("Stopped in step 1 of 3")
    expect(lab.cell(4).get_by_text("line 10 of cell [4]")).to_be_visible()
    expect(lab.cell(4).get_by_text("missing is not defined")).to_have_count(1)
    lab.both("1-failed", 4)
    failed = saved(lab, 4)[1]
    assert failed.startswith("! Stopped in step 1 of 3")
    assert ">  10 | missing.call();" in failed
    assert "!  failed    create Worker my-worker-dev" in failed
    assert "http://" not in failed
    lab.run(f"%%durable worker my-worker --bind COUNTER=counter\n{BODY}")
    lab.cell(4).get_by_role("button", name="Plan again").click()
    expect(deploy_button(lab, 4)).to_have_text("Deploy 4 changes to dev on local")
    lab.both("2-planned-again", 4)
    deploy_button(lab, 4).click()
    expect(lab.cell(4).get_by_text("✓ Deployed 4 changes to dev on local")).to_be_visible()
    lab.both("3-done", 4)
    record = saved(lab, 4)[1]
    assert record.index("! Stopped in step 1 of 3") < record.index("✓ Deployed 4 changes")
    assert lab.problems == []


@pytest.mark.thorough
def test_destroying_says_destroy_and_asks_for_the_phrase(lab: Lab) -> None:
    """Issue 16.5: button, title of the record and file say destroy; the phrase is asked for, and the loss not again."""
    lab.open(*DECLARE[:2], f"{DECLARE[2]} --unprotect", DECLARE[3], "%durable deploy")
    lab.run_all()
    deploy_button(lab).click()
    expect(lab.cell(4).get_by_text("✓ Deployed 4 changes")).to_be_visible()
    lab.run("%durable fetch my-worker /")
    lab.run("%durable destroy my-worker")
    expect(deploy_button(lab)).to_have_text("Destroy 1 namespace (1 object) and 1 Worker in dev on local")
    expect(deploy_button(lab)).to_be_disabled()
    assert "Deploy" not in lab.cell(-1).inner_text()
    expect(lab.cell(-1).get_by_text("It was written to in the hour before 2")).to_be_visible()
    lab.both("1-asks", -1)
    phrase = re.search(r"destroy counter [0-9a-f]{8}", lab.cell(-1).inner_text())
    assert phrase
    lab.cell(-1).get_by_label("Type this to allow it").fill(phrase[0])
    expect(lab.cell(-1).get_by_text("✓ as asked")).to_be_visible()
    lab.both("2-typed", -1)
    deploy_button(lab).click()
    expect(lab.cell(-1).get_by_text("Destroyed 1 namespace (1 object) and 1 Worker in dev on local")).to_be_visible()
    lab.both("3-destroyed", -1)
    assert saved(lab, -1)[1].startswith("- Destroyed 1 namespace (1 object) and 1 Worker in dev on local, 2")
    assert lab.problems == []


@pytest.mark.thorough
def test_a_stale_plan_says_why_and_shows_the_whole_new_one(lab: Lab) -> None:
    """Issue 16, views 7: the cell that was run, what differs, the new plan, its own button; all in the file."""
    lab.open(*DECLARE[:3], WORKER, "%durable deploy")
    lab.run_all()
    lab.run(WORKER.replace("LIMIT=20", "LIMIT=8"))
    deploy_button(lab, 4).click()
    expect(lab.cell(4).get_by_role("alert")).to_contain_text(
        "Nothing was sent: cell [6] was run after this plan was shown"
    )
    expect(deploy_button(lab, 4)).to_be_enabled()
    lab.both("1-stale", 4)
    record = saved(lab, 4)[1]
    assert "what differs from the plan above" in record
    lab.run("%durable deploy")
    expect(lab.cell(4).get_by_text("This plan was replaced by the one of cell [7]")).to_be_visible()
    expect(deploy_button(lab, 4)).to_have_count(0)
    assert lab.problems == []
