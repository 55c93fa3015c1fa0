"""A gradual deployment that has the declared version in it is not "everything declared is live"."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.local.process import launch
from notebook_do.notebook.views.documents import bundle

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "export default { fetch() { return new Response('%s'); } };"
SAID = "Worker api-dev runs two versions at once (a gradual deployment)"


def split(order: str) -> None:
    """Deploy another version beside the live one, as another tool does, half and half."""
    target = launch.ensure()
    url = f"{target.api}/accounts/{target.account_id}/workers/scripts/api-dev"
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {target.token()}"}, trust_env=False) as client:
            metadata: dict[str, Any] = {"main_module": "index.js", "compatibility_date": "2026-01-01"}
            module = ("index.js", PLAIN % "other", "application/javascript+module")
            files = {"metadata": (None, json.dumps(metadata)), "index.js": module}
            client.post(f"{url}/versions", files=files).raise_for_status()
            items = client.get(f"{url}/versions").json()["result"]["items"]
            ids = [item["id"] for item in items[:2]]
            ids = ids[::-1] if order == "ours first" else ids
            versions = [{"version_id": id_, "percentage": 50} for id_ in ids]
            body = {"strategy": "percentage", "versions": versions}
            client.post(f"{url}/deployments", json=body).raise_for_status()
    finally:
        target.release()


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_a_split_is_said_and_ended_in_either_order(cloud: Path, order: str) -> None:
    """The plan is not empty, says what runs and what to do, and ends it; so it is after an import."""
    session = nd.session("app")
    nd.Worker("api", script=PLAIN % "ours")
    session.deploy(session.plan())
    assert session.plan().empty
    split(order)
    plan = session.plan()
    assert any(SAID in c.detail and "this plan ends that" in c.detail for c in plan.drift)
    assert any("To go on with it instead" in w for w in plan.warnings)
    for drawn in bundle(plan).values():
        assert "nothing to do" not in drawn
        assert "a gradual deployment" in " ".join(drawn.split())
    second = nd.session("second")
    imported = second.import_("api-dev")
    assert any("it runs two versions at once" in note for note in imported.notes)
    assert any(SAID in c.detail for c in second.plan().drift)
    session.deploy(session.plan())
    assert session.plan().empty
    assert session.fetch("api").text == "ours"
