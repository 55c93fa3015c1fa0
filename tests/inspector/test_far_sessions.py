"""Inspectors between sessions, in tables, and in what a person types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
from far_target import SOURCE, declare, deployed

import notebook_do as nd
from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from notebook_do.local.process.launch import LocalTarget


def test_objects_of_another_sessions_script_are_called(far: LocalTarget) -> None:
    """A namespace that another session's Worker hosts: `inspect="calls"` makes an inspector here, no more."""
    del far
    deployed().object  # noqa: B018 - the session that hosts it
    guest = nd.session("guest", target="cloudflare")
    nd.DurableObjectNamespace("halls", class_name="Room", script_name="chat-dev", inspect="calls")
    nd.Worker("visitor", script="export default { fetch() {} };")
    plan = guest.plan()
    assert [c.id for c in plan.changes if c.kind == "worker"] == ["chat-dev-inspector", "visitor"]
    guest.deploy(plan)
    assert guest.object("halls", "kitchen").add(2) == 2
    assert guest.plan().empty
    guest.inspect("halls", True)  # noqa: FBT003 - as it is declared
    (refusal,) = guest.plan().refusals
    assert (refusal.code, "only its methods can be called" in refusal.message) == ("inspect-not-hosted", True)
    host = declare(inspect="calls")
    (refusal,) = host.plan().refusals
    assert refusal.code == "inspector-exists"


def test_an_inspector_is_no_orphan(far: LocalTarget) -> None:
    """In the table of Workers an inspector is live, with its address; nobody has to declare it."""
    del far
    session = deployed(inspect="calls")
    rows = {row["id"]: row for row in session.worker_rows()}
    assert rows["chat-dev-inspector"]["status"] == "live"
    assert rows["chat-dev-inspector"]["url"].startswith("https://chat-dev-inspector.")


def test_a_namespace_is_destroyed_with_its_inspector(far: LocalTarget) -> None:
    """Cloudflare deletes no class that somebody binds: the inspector goes first, in the same plan."""
    del far
    session = deployed(inspect=True)
    nd.DurableObjectNamespace("rooms", class_name="Room", inspect=True, protect=False)
    session.deploy(session.plan())
    plan = session.destroy("worker:chat")
    assert [step.script_name for step in plan.steps] == ["chat-dev-inspector", "chat-dev"]
    assert all(step.summary.startswith("delete Worker ") for step in plan.steps)
    session.deploy(plan, confirm=[c.phrase for c in plan.consents])
    assert session.recorded().workers == ()


def test_the_local_target_takes_inspect_and_changes_nothing(far: LocalTarget) -> None:
    """On the local target a declaration with `inspect` plans nothing more: each object can be asked anyhow."""
    del far
    session = nd.session("near")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room", inspect=True)
    nd.Worker("chat", script="export class Room {}\nexport default {};", bindings={"ROOMS": rooms})
    assert [c.id for c in session.plan().changes if c.kind == "worker"] == ["chat"]
    with pytest.raises(CommandError, match="no namespace hall is declared"):
        session.inspect("hall", "calls")


def test_an_import_writes_inspect_and_nothing_of_ours(far: LocalTarget) -> None:
    """The cells of an imported host are its own modules and `--inspect`; its inspector has no cell, and stays."""
    del far
    deployed(inspect=True).object("rooms", "kitchen").add(3)
    heir = nd.session("heir", target="cloudflare")
    imported = heir.import_(from_account=True)
    (rooms, chat) = imported.cells
    assert "--inspect" in rooms.split()
    assert SOURCE in chat
    plan = heir.plan()
    assert plan.refusals == ()
    assert not any(c.action in {"delete", "create"} for c in plan.changes)
    heir.deploy(plan)
    assert heir.object("rooms", "kitchen").count() == 3
    assert heir.plan().empty
    with pytest.raises(CommandError, match="chat-dev-inspector is the inspector of chat-dev, whose cells declare it"):
        heir.import_("chat-dev-inspector")


def test_a_frame_is_mapped_over_objects_on_cloudflare(far: LocalTarget) -> None:
    """`map` calls over the inspector: in order, one failing alone, more rows than one request takes."""
    del far
    session = deployed(inspect="calls")
    rows = pd.DataFrame({"room": [f"r{n % 7}" for n in range(90)], "n": range(90)})
    mapped = session.map("rooms", rows, object="room", call="add", args=["n"], concurrency=4)
    assert mapped["error"].isna().all()
    assert mapped.groupby("room")["result"].apply(lambda of_one: list(of_one) == sorted(of_one)).all()
    assert session.object("rooms", "r3").count() == sum(n for n in range(90) if n % 7 == 3)


def test_a_swap_of_inspected_classes_keeps_each_objects_data(far: LocalTarget) -> None:
    """Two classes swap their names while both are looked into: over a temporary name, with every id and value kept."""
    del far

    def swapped(**classes: str) -> nd.Session:
        session = nd.session("swap", target="cloudflare")
        bound = {
            id_.upper(): nd.DurableObjectNamespace(id_, class_name=name, inspect=True) for id_, name in classes.items()
        }
        bodies = "".join(
            f"export class {name} extends DurableObject {{ keep(v) {{ this.ctx.storage.kv.put('v', v); }} "
            f"get() {{ return '{id_} ' + this.ctx.storage.kv.get('v'); }} }}\n"
            for id_, name in classes.items()
        )
        head = 'import { DurableObject } from "cloudflare:workers";\n'
        nd.Worker("swap", script=f"{head}{bodies}export default {{ fetch() {{}} }};", bindings=bound)
        return session

    session = swapped(alpha="A", beta="B")
    session.deploy(session.plan())
    for id_ in ("alpha", "beta"):
        session.object(id_, "one").keep(id_[0])
    ids = {n.stable_id: n.namespace_id for n in session.recorded().namespaces}
    session = swapped(alpha="B", beta="A")
    plan = session.plan()
    assert "NotebookDoTemporary" in "".join(step.summary for step in plan.steps)
    session.deploy(plan)
    assert {n.stable_id: n.namespace_id for n in session.recorded().namespaces} == ids
    assert [session.object(id_, "one").get() for id_ in ("alpha", "beta")] == ["alpha a", "beta b"]
    assert session.object("alpha", "one").values()["value"].tolist() == ["a"]
    assert session.plan().empty


def test_a_list_has_the_names_that_objects_told(far: LocalTarget) -> None:
    """Picture 6c: what an object that was asked by its id tells of itself stands in the list from then on."""
    del far
    session = deployed(inspect=True)
    for name in ("scullery", "garden", "attic"):  # names that no request of another test has in its path
        session.object("rooms", name).add(1)
    ids = {row["name"]: row["object_id"] for row in session.objects("rooms").to_dict("records")}
    session.met.clear()
    assert session.objects("rooms")["name"].isna().all()
    assert session.object("rooms", ids["garden"]).info().name == "garden"
    assert session.object("rooms", ids["attic"]).put("k", 1).edits[0].name == "attic"
    names = session.objects("rooms").set_index("object_id")["name"].dropna()
    assert names.to_dict() == {ids["garden"]: "garden", ids["attic"]: "attic"}


def test_a_list_has_the_names_that_this_session_used(far: LocalTarget, shell: InteractiveShell) -> None:
    """Picture 6c: name, id and whether it stores something; no object is reached, or made, for its name."""
    del far
    session = deployed(inspect="calls")
    for name in ("scullery", "garden", "attic"):
        session.object("rooms", name).add(1)
    session.object("rooms", "nobody")
    again = nd.session("chat", target="cloudflare", state=str(session.state_path), stage="dev")
    again.met.clear()
    assert again.objects("rooms")["name"].isna().all()
    again.object("rooms", "scullery").count()
    again.object("rooms", "nobody")
    again.map("rooms", pd.DataFrame({"r": ["attic"]}), object="r", call="count")
    ran = shell.run_cell("%durable objects rooms")
    ran.raise_error()
    names = ran.result.set_index("object_id")["name"]
    assert set(names.dropna()) == {"scullery", "attic"}
    (garden,) = names[names.isna()].index
    assert len(names) == 3, "a name that nobody stored under made nothing"
    lines = ran.result._repr_mimebundle_()["text/plain"].splitlines()
    assert lines[0] == "3 objects of namespace rooms (class Room of chat), by id"
    assert lines[1].split() == ["name", "id", "stored"]
    assert any(line.split() == [f"{garden[:8]}…", "yes"] for line in lines)
    assert any(line.startswith("  scullery  ") and line.endswith("…  yes") for line in lines)
    said = "Cloudflare tells no name, size or last write. Names stand here where this session called the object by its"
    assert said in " ".join(" ".join(lines).split())
