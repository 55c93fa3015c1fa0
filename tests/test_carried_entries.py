"""What `exports` has besides the declared classes, on the local target: kept, told again, and shown."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.local.process import launch
from notebook_do.notebook.views.documents import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = """
import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
export class Flow extends WorkflowEntrypoint { async run() {} }
export class %s extends DurableObject {
  async hit() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
  async fetch() { return new Response(String(await this.hit())); }
}
export default { async fetch(request, env) { return env.ROOMS.getByName("x").fetch(request); } };
"""
OUTSIDE = "export default { async fetch(request, env) { return env.ROOMS.getByName('x').fetch(request); } };"
ENTRIES = {
    "default": {"type": "worker", "cache": {"enabled": True}},
    "Flow": {"type": "workflow", "name": "flow", "limits": {"steps": 9}},
}


@contextlib.contextmanager
def api() -> Iterator[httpx.Client]:
    """Speak to the API as another tool does."""
    target = launch.ensure()
    try:
        with httpx.Client(
            base_url=f"{target.api}/accounts/{target.account_id}/workers/scripts",
            headers={"Authorization": f"Bearer {target.token()}"},
            trust_env=False,
        ) as client:
            yield client
    finally:
        target.release()


def put(client: httpx.Client, script: str, source: str, **metadata: Any) -> None:
    """Upload a script of one module."""
    whole = {"main_module": "index.js", "compatibility_date": "2026-01-01", **metadata}
    files = {"metadata": (None, json.dumps(whole)), "index.js": ("index.js", source, "application/javascript+module")}
    answer = client.put(f"/{script}", files=files)
    assert answer.status_code == 200, answer.text


def binding(class_name: str) -> dict[str, Any]:
    """Bind a class of the host."""
    return {"type": "durable_object_namespace", "name": "ROOMS", "class_name": class_name, "script_name": "host-dev"}


def host(class_name: str, comment: str = "") -> None:
    """Declare the host."""
    rooms = nd.DurableObjectNamespace("rooms", class_name=class_name)
    nd.Worker("host", script=HOST % class_name + comment, bindings={"ROOMS": rooms})


def deploy(session: nd.Session) -> Any:
    """Plan and deploy."""
    plan = session.plan()
    assert not plan.refusals, plan.refusals
    return session.deploy(plan)


def moved(session: nd.Session) -> list[str]:
    """Give the earlier class names that the state file holds."""
    return [m.class_name for w in session.recorded().workers for m in w.moved]


def test_an_old_class_name_is_told_until_nobody_binds_it(cloud: Path) -> None:
    """The plan of a rename names the Worker outside; uploads tell the old name until that Worker has the new one."""
    session = nd.session("app")
    host("Old")
    deploy(session)
    with api() as client:
        put(client, "legacy", OUTSIDE, bindings=[binding("Old")])
        assert session.fetch("legacy").text == "1"
        host("Room")
        plan = session.plan()
        assert any("is bound by legacy, outside this session" in w for w in plan.warnings)
        session.deploy(plan)
        assert moved(session) == ["Old"]
        host("Room", "// 2")
        plan = session.plan()
        assert any("class Old of host-dev became Room, and legacy" in w for w in plan.warnings)
        result = session.deploy(plan)
        assert moved(session) == ["Old"]
        for drawn in bundle(result).values():
            assert "class Old is still bound by that name by legacy" in drawn
        assert session.fetch("legacy").text == "2"
        other = nd.DurableObjectNamespace("other", class_name="Old", script_name="host-dev")
        rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
        both = HOST % "Room" + "export class Old extends DurableObject {}"
        nd.Worker("host", script=both, bindings={"ROOMS": rooms, "OLD": other})
        assert {r.code for r in session.plan().refusals} == {"class-name-bound"}
        put(client, "legacy", OUTSIDE, bindings=[binding("Room")])
        session.forget("namespace", "other")
        host("Room", "// 3")
        assert deploy(session).notes == ()
        assert moved(session) == []
        other = nd.DurableObjectNamespace("other", class_name="Old", script_name="host-dev")
        rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
        nd.Worker("host", script=both, bindings={"ROOMS": rooms, "OLD": other})
        deploy(session)
        assert session.fetch("legacy").text == "3"


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_entries_of_other_kinds_survive_an_import_and_every_upload(cloud: Path, form: str) -> None:
    """Worker and workflow entries are as they were after an import, an upload, and the switch to `exports`."""
    lifecycle: dict[str, Any] = {"exports": ENTRIES}
    if form == "exports":
        lifecycle["exports"] = ENTRIES | {"Room": {"type": "durable-object", "storage": "sqlite"}}
    else:
        lifecycle["migrations"] = {"new_tag": "v1", "steps": [{"new_sqlite_classes": ["Room"]}]}
    with api() as client:
        own = {"type": "durable_object_namespace", "name": "ROOMS", "class_name": "Room"}
        put(client, "host-dev", HOST % "Room", bindings=[own], **lifecycle)
        session = nd.session("app")
        imported = session.import_("host-dev")
        assert any("`exports` also has Flow (workflow), default (worker)" in note for note in imported.notes)
        assert session.plan().empty
        for comment, options in (("// 2", {}), ("// 3", {"lifecycle": "exports"})):
            rooms = nd.DurableObjectNamespace("room", class_name="Room", script_name="host-dev")
            script = HOST % "Room" + comment
            nd.Worker("host-dev", name="host-dev", script=script, bindings={"ROOMS": rooms}, **options)
            plan = session.plan()
            kept = [c.detail for c in plan.changes if c.field.startswith("exports.")]
            assert kept == [
                "The exports entry Flow of type workflow of host-dev, not declared here, is kept.",
                "The exports entry default of type worker of host-dev, not declared here, is kept.",
            ]
            session.deploy(plan)
            (script_item,) = client.get(str(client.base_url).rstrip("/")).json()["result"]
            assert {k: v for k, v in script_item["exports"].items() if k in ENTRIES} == ENTRIES
            assert session.plan().empty
        assert script_item["exports"]["Room"]["type"] == "durable-object"
