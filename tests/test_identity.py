"""A namespace is its id: whatever other tools do to class names, and whatever is lost, no stable ID gets another's."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
import notebook_do.sessions.opening as session_module
from notebook_do.errors import DeployError, PlanRefused
from notebook_do.model.steps import SetMark
from notebook_do.plan.namespaces.marks import op_of, read_mark

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.model import ObservedScript


def source(**classes: str) -> str:
    """Write a Worker: each class tells what its object was given first, and binding X is reached at /X/<value>."""
    lines = ['import { DurableObject } from "cloudflare:workers";']
    lines += [
        f"export class {name} extends DurableObject {{ async first(value) {{\n"
        '  const first = (await this.ctx.storage.get("first")) ?? value;\n'
        '  await this.ctx.storage.put("first", first);\n'
        "  return first;\n} }"
        for name in classes.values()
    ]
    lines.append(
        "export default { async fetch(request, env) {\n"
        '  const [, binding, value] = new URL(request.url).pathname.split("/");\n'
        '  return new Response(await env[binding].getByName("one").first(value));\n} };'
    )
    return "\n".join(lines)


def declare(session: nd.Session, *, name: str = "api", adopt: bool = False, form: str = "auto", **classes: str) -> None:
    """Declare a Worker that binds each stable ID, in capitals, to its class."""
    spaces = {i.upper(): nd.DurableObjectNamespace(i, class_name=c) for i, c in classes.items()}
    nd.Worker(name, script=source(**classes), bindings=spaces, adopt=adopt, lifecycle=form)  # type: ignore[arg-type]


def scripts(session: nd.Session) -> dict[str, ObservedScript]:
    """Give the live scripts by name."""
    from notebook_do.live.observe import observe_scripts

    async def read() -> dict[str, ObservedScript]:
        async with (await session._connect()).client() as client:
            return await observe_scripts(client)

    return session._run(read())


def namespaces(session: nd.Session) -> dict[str, tuple[str, str]]:
    """Give script and class by namespace id."""
    from notebook_do.live.observe import observe_namespaces

    async def read() -> dict[str, tuple[str, str]]:
        async with (await session._connect()).client() as client:
            return {i: (n.script_name, n.class_name) for i, n in (await observe_namespaces(client)).items()}

    return session._run(read())


def put(session: nd.Session, script: str, code: str, **metadata: Any) -> None:
    """Upload a script as another tool does: it names no tags, and those that are live stay."""
    body = {"main_module": "index.js", "compatibility_date": "2026-01-01", **metadata}

    async def send() -> None:
        async with (await session._connect()).client() as client:
            files = [("index.js", ("index.js", code.encode(), "application/javascript+module"))]
            path = client._script(script)
            await client._once("PUT", path, data={"metadata": json.dumps(body)}, files=files)

    session._run(send())


def rename_outside(session: nd.Session, script: str, old: str, new: str, *hosted: str) -> None:
    """Rename a class of a script that then hosts `hosted`, by another tool."""
    classes = {c: {"type": "durable-object", "storage": "sqlite"} for c in hosted}
    exports = {**classes, old: {"type": "durable-object", "state": "renamed", "renamed_to": new}}
    bindings = [{"type": "durable_object_namespace", "name": c.upper(), "class_name": c} for c in hosted]
    put(session, script, source(**{c: c for c in hosted}), exports=exports, bindings=bindings)


def swap_outside(session: nd.Session) -> None:
    """Swap classes A and B of api-dev by three uploads."""
    rename_outside(session, "api-dev", "A", "T", "T", "B")
    rename_outside(session, "api-dev", "B", "A", "T", "A")
    rename_outside(session, "api-dev", "T", "B", "B", "A")


def used(cloud: Path) -> tuple[nd.Session, dict[str, str]]:
    """Deploy alpha and beta, let each object keep its name, and give their namespace ids."""
    session = nd.session("first")
    declare(session, alpha="A", beta="B")
    session.deploy(session.plan())
    assert [session.fetch("api", f"/{n}/{n.lower()}").text for n in ("ALPHA", "BETA")] == ["alpha", "beta"]
    return session, {n.stable_id: n.namespace_id for n in session.recorded().namespaces}


def lose_the_state_file(session: nd.Session) -> None:
    """Remove state file and journal."""
    session.state_path.unlink()
    session.state.journal_path.unlink(missing_ok=True)


def test_classes_swapped_by_another_tool_and_the_state_file_lost(cloud: Path) -> None:
    """Three rename uploads that keep the tags, then no state file: each stable ID keeps its objects."""
    session, ids = used(cloud)
    swap_outside(session)
    assert namespaces(session)[ids["alpha"]] == ("api-dev", "B")
    lose_the_state_file(session)
    plan = session.plan()
    assert {(c.id, c.before, c.after) for c in plan.drift if c.kind == "namespace"} == {
        ("alpha", "api-dev.A", "api-dev.B"),
        ("beta", "api-dev.B", "api-dev.A"),
    }
    session.deploy(plan)
    assert {n.stable_id: n.namespace_id for n in session.recorded().namespaces} == ids
    assert [session.fetch("api", f"/{n}/lost").text for n in ("ALPHA", "BETA")] == ["alpha", "beta"]
    assert session.plan().empty


def test_a_mark_of_the_first_edition_and_the_state_file_lost(cloud: Path) -> None:
    """The same under a mark that names classes only: nothing is sent until the ids are named, as the refusal shows."""
    session, ids = used(cloud)
    swap_outside(session)
    set_tags(session, "api-dev", "ndo:do:first:dev:alpha=A;beta=B")
    lose_the_state_file(session)
    plan = session.plan()
    assert {r.code for r in plan.refusals} == {"identity-unknown"}
    assert all(id_ in " ".join(r.choices) for r in plan.refusals for id_ in ids.values())
    with pytest.raises(PlanRefused):
        session.deploy(plan)
    for stable_id, class_name in (("alpha", "A"), ("beta", "B")):
        nd.DurableObjectNamespace(stable_id, class_name=class_name, namespace_id=ids[stable_id])
    session.deploy(session.plan())
    assert [session.fetch("api", f"/{n}/lost").text for n in ("ALPHA", "BETA")] == ["alpha", "beta"]


def test_a_damaged_mark_and_the_state_file_lost(cloud: Path) -> None:
    """An id that was cut off still says that there was one: not even who adopts gets what now has the class name."""
    session, ids = used(cloud)
    swap_outside(session)
    set_tags(session, "api-dev", "ndo:do:first:dev:" + ";".join(f"{i}=A@{ids[i][:11]}" for i in ids))
    lose_the_state_file(session)
    declare(session, alpha="A", beta="B", adopt=True)
    assert {r.code for r in session.plan().refusals} == {"identity-unknown"}


def set_tags(session: nd.Session, script: str, *tags: str) -> None:
    """Set the tags of a script."""

    async def send() -> None:
        async with (await session._connect()).client() as client:
            await client.set_tags(script, tags)

    session._run(send())


def test_the_ids_follow_the_upload_that_creates(cloud: Path) -> None:
    """The plan shows the step; others' tags and our operation's stay; an update and a rename need none."""
    session = nd.session("first")
    declare(session, alpha="A", beta="B")
    plan = session.plan()
    assert [s.summary for s in plan.steps if isinstance(s, SetMark)] == [
        "note the ids of alpha, beta in the tags of Worker api-dev"
    ]
    session.deploy(plan)
    ids = {n.stable_id: n.namespace_id for n in session.recorded().namespaces}
    live = scripts(session)["api-dev"]
    mark = read_mark(live.tags)
    assert mark is not None
    assert {i: e.begins for i, e in mark.entries.items()} == {i: id_[:12] for i, id_ in ids.items()}
    assert any(t.startswith("ndo:op:") for t in live.tags)
    set_tags(session, "api-dev", "team:a", *live.tags)
    declare(session, alpha="C", beta="B")
    plan = session.plan()
    assert not any(isinstance(s, SetMark) for s in plan.steps)
    session.deploy(plan)
    assert "team:a" in scripts(session)["api-dev"].tags
    assert session.plan().empty


def test_an_interrupted_mark_is_completed_by_the_next_plan(cloud: Path) -> None:
    """Where the ids are missing and the state file knows them, the next plan sends that one step, and is empty then."""
    session, ids = used(cloud)
    live = scripts(session)["api-dev"]
    waiting = [t for t in live.tags if not t.startswith("ndo:do:")]
    set_tags(session, "api-dev", "team:a", *waiting, f"ndo:do:first:dev:alpha=A@{ids['alpha'][:12]};beta=B@")
    plan = session.plan()
    assert [s.summary for s in plan.steps] == ["note the id of beta in the tags of Worker api-dev"]
    assert session.deploy(plan).ok
    tags = scripts(session)["api-dev"].tags
    assert {"team:a", *waiting} < set(tags)
    mark = read_mark(tags)
    assert mark is not None
    assert mark.entries["beta"].begins == ids["beta"][:12]
    assert session.plan().empty


def test_adoption_takes_ids_not_classes(cloud: Path) -> None:
    """A session that adopts a Worker whose classes were swapped gets each object under the stable ID of its mark."""
    session, ids = used(cloud)
    swap_outside(session)
    second = nd.session("second")
    declare(second, alpha="A", beta="B", adopt=True)
    second.deploy(second.plan())
    assert {n.stable_id: n.namespace_id for n in second.recorded().namespaces} == ids
    assert [second.fetch("api", f"/{n}/lost").text for n in ("ALPHA", "BETA")] == ["alpha", "beta"]


def test_import_takes_ids_not_classes(cloud: Path) -> None:
    """So does a session that imports it, with nothing left to send."""
    session, ids = used(cloud)
    swap_outside(session)
    lose_the_state_file(session)
    session.import_("api-dev")
    assert {n.stable_id: n.namespace_id for n in session.recorded().namespaces} == ids
    assert session.plan().empty


@pytest.mark.parametrize(
    "owners",
    [[("first", "dev", "api"), ("first", "test", "api")], [("first", "dev", "api"), ("second", "dev", "other")]],
    ids=["stages", "sessions"],
)
def test_workers_of_several_owners_are_imported_side_by_side(cloud: Path, owners: list[tuple[str, str, str]]) -> None:
    """Two marks that give one stable ID to two namespaces: each namespace has a stable ID of its own."""
    for name, stage, worker in owners:
        session = nd.session(name, stage=stage)
        declare(session, name=worker, counter="Counter")
        session.deploy(session.plan())
        assert session.fetch(worker, f"/COUNTER/{name}-{stage}").text == f"{name}-{stage}"
    both = nd.session("both")
    both.import_(from_account=True)
    recorded = {n.script_name: n for n in both.recorded().namespaces}
    assert set(recorded) == {f"{worker}-{stage}" for _, stage, worker in owners}
    assert len({n.stable_id for n in recorded.values()}) == 2
    assert {n.namespace_id: (n.script_name, n.class_name) for n in recorded.values()} == namespaces(both)
    assert both.plan().empty
    assert [both.fetch(f"{worker}-{stage}", "/COUNTER/lost").text for _, stage, worker in owners] == [
        f"{name}-{stage}" for name, stage, _ in owners
    ]


def test_two_imports_that_find_the_same_class_name(cloud: Path) -> None:
    """The second does not take the first one's stable ID, and every plan goes on."""
    session = nd.session("first")
    exports = {"Counter": {"type": "durable-object", "storage": "sqlite"}}
    bindings = [{"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}]
    for script in ("one", "two"):
        put(session, script, source(counter="Counter"), exports=exports, bindings=bindings)
    for script in ("one", "two"):
        session.import_(script)
    recorded = {n.script_name: n for n in session.recorded().namespaces}
    assert recorded["one"].stable_id == "counter"
    assert recorded["two"].stable_id == f"counter-{recorded['two'].namespace_id}"
    plan = session.plan()
    assert plan.empty
    assert not plan.refusals


def copied(session: nd.Session, cloud: Path) -> Path:
    """Copy the session's directory, journal included, as a person does who copies a project."""
    copy = cloud / "copy"
    shutil.copytree(session.state_path.parent, copy)
    return copy


def test_a_state_file_that_is_far_behind_is_cured_by_one_import(cloud: Path) -> None:
    """An older copy of the directory is told by the plan; one import brings it up to date, whatever the distance."""
    session = nd.session("first")
    declare(session, alpha="A", beta="B")
    session.deploy(session.plan())
    copy = copied(session, cloud)
    for n in range(5):
        declare(session, alpha=f"A{n}", beta="B")
        session.deploy(session.plan())
    declare(session, alpha="A4", beta="B", gamma="C")
    session.deploy(session.plan())
    ids = {n.stable_id: n.namespace_id for n in session.recorded().namespaces}
    assert session.fetch("api", "/GAMMA/gamma").text == "gamma"

    older = nd.session("first", state=copy / "state.json")
    declare(older, alpha="A4", beta="B", gamma="C")
    (refusal,) = older.plan().refusals
    assert refusal.code == "state-behind"
    assert "%durable import api-dev" in refusal.choices[0]
    newest = int((op_of(scripts(older)["api-dev"]) or "").split(".")[1])
    assert newest > older.recorded().serial + 3
    older.import_("api-dev")
    assert older.recorded().serial > newest
    assert {n.stable_id: n.namespace_id for n in older.recorded().namespaces} == ids
    plan = older.plan()
    assert plan.empty
    assert not plan.drift
    declare(older, alpha="Z", beta="B", gamma="C")
    assert older.deploy(older.plan()).ok
    assert older.fetch("api", "/GAMMA/lost").text == "gamma"
    assert {n.stable_id: n.namespace_id for n in older.recorded().namespaces} == ids


def test_import_of_one_worker_leaves_another_that_is_behind_told(cloud: Path) -> None:
    """An import that raises the serial above the live one does not hide that another Worker is still behind."""
    session = nd.session("first")
    for name in ("one", "two"):
        declare(session, name=name, **{f"in{name}": name.capitalize()})
    session.deploy(session.plan())
    copy = copied(session, cloud)
    for name in ("one", "two"):
        declare(session, name=name, **{f"in{name}": f"{name.capitalize()}2"})
    session.deploy(session.plan())
    older = nd.session("first", state=copy / "state.json")
    for name in ("one", "two"):
        declare(older, name=name, **{f"in{name}": f"{name.capitalize()}2"})
    assert {r.subject for r in older.plan().refusals} == {"one-dev", "two-dev"}
    older.import_("two-dev")
    assert {r.subject for r in older.plan().refusals} == {"one-dev"}
    older.import_("one-dev")
    assert older.plan().empty


@pytest.mark.parametrize("kernel", ["same", "new"])
def test_import_of_a_managed_worker_changes_nothing(cloud: Path, kernel: str) -> None:
    """No serial, no record and no declaration changes; the cells are shown, and the unchanged cell plans nothing."""
    session, ids = used(cloud)
    before = session.state_path.read_bytes()
    if kernel == "new":
        session.close()
        session_module._current = None
        session = nd.session("first")
    declarations = dict(session.catalog.workers)
    imported = session.import_("api-dev")
    assert session.state_path.read_bytes() == before
    assert imported.cells[-1].startswith("%%durable worker api --name api-dev ")
    assert any("is managed by this session already" in note for note in imported.notes)
    if kernel == "same":
        assert dict(session.catalog.workers) == declarations
    assert session.plan().empty, "by what is declared now, or by the cells that were shown"
    declare(session, alpha="A", beta="B")
    plan = session.plan()
    assert plan.empty
    assert not plan.drift
    assert {n.stable_id: n.namespace_id for n in session.recorded().namespaces} == ids


def test_import_of_a_managed_worker_that_was_changed_outside(cloud: Path) -> None:
    """What is live is taken over then, and its cells leave nothing to send."""
    session, ids = used(cloud)
    swap_outside(session)
    imported = session.import_("api-dev")
    assert not any("managed" in note for note in imported.notes)
    plan = session.plan()
    assert plan.empty
    assert not plan.drift
    assert {n.stable_id: (n.namespace_id, n.class_name) for n in session.recorded().namespaces} == {
        "alpha": (ids["alpha"], "B"),
        "beta": (ids["beta"], "A"),
    }
    assert [session.fetch("api", f"/{n}/lost").text for n in ("A", "B")] == ["beta", "alpha"]


def test_an_import_keeps_the_form_of_a_worker_whose_classes_moved_away(cloud: Path) -> None:
    """Nothing live shows it, and no Worker can leave `exports`: what was recorded of it stays known."""
    session = nd.session("first")
    alpha = nd.DurableObjectNamespace("alpha", class_name="A")
    nd.Worker("api", script=source(alpha="A"), bindings={"ALPHA": alpha})
    session.deploy(session.plan())
    nd.DurableObjectNamespace("alpha", class_name="A", script_name="store", transferred_from="api")
    nd.Worker("store", script=source(alpha="A"))
    nd.Worker("api", script="export default { fetch() {} };")
    session.deploy(session.plan())
    assert scripts(session)["api-dev"].lifecycle is None
    session.import_("api-dev")
    beta = nd.DurableObjectNamespace("beta", class_name="B")
    nd.Worker("api", script=source(beta="B"), bindings={"BETA": beta}, lifecycle="migrations")
    assert [refusal.code for refusal in session.plan().refusals] == ["lifecycle-mix"]
    nd.Worker("api", script=source(beta="B"), bindings={"BETA": beta}, lifecycle="exports")
    assert session.deploy(session.plan()).ok


def test_a_form_that_nothing_live_shows_is_told_by_the_refused_upload(cloud: Path) -> None:
    """Another tool moved the last class of its Worker away: nothing shows that this one cannot go back to `migrations`.

    The deploy says what to declare, then the plan which Worker is to be switched first, and the objects arrive.
    """
    session = nd.session("first")
    declare(session, name="old", form="migrations", alpha="A")
    session.deploy(session.plan())
    assert session.fetch("old", "/ALPHA/alpha").text == "alpha"
    new = {"type": "durable-object", "storage": "sqlite"}
    gone = {"type": "durable-object", "state": "transferred", "transferred_to": "other"}
    put(session, "new-dev", source(beta="B"), exports={"B": new})
    put(
        session,
        "other",
        source(beta="B"),
        exports={"B": {**new, "state": "expecting-transfer", "transfer_from": "new-dev"}},
    )
    put(session, "new-dev", source(), exports={"B": gone})
    assert scripts(session)["new-dev"].lifecycle is None

    def declared(**form: Any) -> None:
        alpha = nd.DurableObjectNamespace("alpha", class_name="A", script_name="new", transferred_from="old")
        nd.Worker("new", script=source(alpha="A"), bindings={"ALPHA": alpha}, adopt=True, **form)
        nd.Worker("old", script=source())

    declared()
    with pytest.raises(DeployError, match=r"declare lifecycle='exports' on Worker new .*, and plan again"):
        session.deploy(session.plan())
    declared(lifecycle="exports")
    (refusal,) = session.plan().refusals
    assert refusal.code == "mixed-lifecycle-transfer"
    assert "switch of the one that uses migrations first" in refusal.choices[0]
    nd.DurableObjectNamespace("alpha", class_name="A")
    declare(session, name="old", form="exports", alpha="A")
    nd.Worker("new", script=source(), adopt=True, lifecycle="exports")
    session.deploy(session.plan())
    declared(lifecycle="exports")
    session.deploy(session.plan())
    assert session.fetch("new", "/ALPHA/lost").text == "alpha"
    assert session.plan().empty


def test_an_import_says_where_only_a_class_tells_what_a_namespace_is(cloud: Path) -> None:
    """Without state file and mark the cells' classes are all there is; the import says that it goes by them."""
    session, ids = used(cloud)
    set_tags(session, "api-dev")
    lose_the_state_file(session)
    imported = session.import_("api-dev")
    (said,) = (note for note in imported.notes if "api-dev" in note)
    assert "neither its tags nor the state file tell which namespace is alpha, beta" in said
    assert {n.stable_id: n.namespace_id for n in session.recorded().namespaces} == ids
    assert not [note for note in session.import_("api-dev").notes if "neither its tags" in note]
