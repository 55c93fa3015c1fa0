"""The band of a live target in JupyterLab: production is red, another stage amber, a local plan has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    Lab = Any

pytestmark = pytest.mark.browser

FAR = """%load_ext notebook_do
import os
import notebook_do as nd
from notebook_do.local.process import launch

near = launch.ensure()
os.environ["CLOUDFLARE_API_TOKEN"] = near.token()
os.environ["CLOUDFLARE_ACCOUNT_ID"] = near.account_id
os.environ["CLOUDFLARE_API_BASE_URL"] = near.api"""
"""The API of the local Cloudflare stands in for Cloudflare's own."""
API = """%%durable worker api --var LIMIT={limit}
export default {{ fetch() {{ return new Response("ok"); }} }};
"""
SENT = "session = nd.current()\nresult = session.deploy(session.plan())"
BAND = """node => {
    const { borderLeftWidth, borderLeftColor, backgroundColor } = getComputedStyle(node);
    return [borderLeftWidth, borderLeftColor, backgroundColor];
}"""


@pytest.mark.thorough
def test_a_plan_for_a_live_target_begins_with_a_band(lab: Lab) -> None:
    """Issue 16, views 2: 2k and 2l: the words stand in the band, whose border and ground are red or amber."""
    cells = [FAR]
    for stage in ("production", "staging"):
        cells += [f"%durable session shop --stage {stage} --target cloudflare", API.format(limit=20), SENT]
        cells += [API.format(limit=5), "%durable plan", "%durable deploy"]
    lab.open(*cells, "%durable session shop", API.format(limit=20), "%durable plan")
    lab.run_all()
    for at, words, width, colour in (
        (5, "! LIVE PRODUCTION", "8px", "207, 34, 46"),
        (11, "! LIVE", "6px", "191, 135, 0"),
    ):
        title = lab.cell(at).get_by_text(words, exact=True)
        expect(title).to_be_visible()
        found = title.locator("xpath=ancestor::div[contains(@style, 'border-left')][1]").evaluate(BAND)
        assert found[0] == width
        assert colour in found[1]
        assert colour in found[2]
        for shown, name in ((at, "plan"), (at + 1, "deploy")):
            lab.both(f"{at}-{name}", shown)
    for at, words in ((6, "Deploy 1 change to PRODUCTION on Cloudflare, account"), (12, "Deploy 1 change to staging")):
        expect(lab.cell(at).get_by_role("button")).to_contain_text(words)
    expect(lab.cell(15).get_by_text("Plan for dev on local")).to_be_visible()
    expect(lab.cell(15).get_by_text("LIVE")).to_have_count(0)
    assert lab.problems == []
