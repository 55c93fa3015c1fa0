"""Entries of `exports` besides classes, and earlier class names: kept, told again, shown, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from plan_world import Configuration, Place, World, declare, reach

from notebook_do.model import Json, NamespaceId, Observed, ObservedBinders, ObservedScript
from notebook_do.model.steps import SetMark, Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.namespaces.binders import binders_to_read
from notebook_do.plan.workers.lifecycle import binders_asked

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

A, B, C = Place("w1", "A"), Place("w1", "B"), Place("w1", "C")
FLOW = {"type": "workflow", "name": "flow"}


def planned(world: World, goal: Configuration, *, others: tuple[str, ...] = (), **more: Any) -> Plan:
    """Plan with these Workers outside the session binding every namespace; `more` changes the live scripts."""
    facts = {"transfers", "destroy", "lifecycle", "protect"} & more.keys()
    observed = world.observed()
    known = more.pop("binders", ())
    pairs = tuple((n.namespace_id, other) for n in observed.namespaces for other in others)
    options = {name: more.pop(name) for name in facts}
    scripts = tuple(
        replace(s, binders=known if known != () else ObservedBinders(pairs=pairs), **more) for s in observed.scripts
    )
    return build_plan(
        declare(goal, scripts=("w1", "w2"), **options),
        world.recorded,
        replace(observed, scripts=scripts),
        target="local",
        default_compatibility_date="2026-01-01",
    )


def told(plan: Plan, script: str = "w1") -> list[list[tuple[str, str | None]]]:
    """Give the earlier names that each upload of a script tells of."""
    return [
        [(m.class_name, m.renamed_to or m.to_script) for m in step.moved]
        for step in plan.steps
        if isinstance(step, Upload) and step.script_name == script
    ]


def go(world: World, goal: Configuration, **options: Any) -> Plan:
    """Plan and carry out."""
    plan = world.plan(declare(goal, **options))
    assert not plan.refusals
    world.apply(plan)
    return plan


def test_a_rename_is_told_by_every_later_upload() -> None:
    """The old name follows the namespace through later renames; nothing drops it but Cloudflare's word."""
    world = reach({"a": A})
    assert told(go(world, {"a": B})) == [[("A", "B")]]
    assert told(go(world, {"a": C})) == [[("A", "C"), ("B", "C")]]
    (record,) = (w for w in world.recorded.workers if w.id == "w1")
    assert [m.class_name for m in record.moved] == ["A", "B"]
    assert told(go(world, {"a": C, "b": Place("w1", "D")})) == [[("A", "C"), ("B", "C")]]


def test_the_same_namespace_takes_its_old_name_back() -> None:
    """That is what whoever binds the old name means; nobody need be asked."""
    world = reach({"a": A})
    go(world, {"a": B})
    plan = planned(world, {"a": A}, others=("x",))
    assert not plan.refusals
    assert told(plan) == [[("B", "A")]]


@pytest.mark.parametrize("goal", [{"a": B, "b": A}, {"a": B, "b": C, "c": A}])
def test_an_earlier_name_goes_to_no_other_namespace_while_it_may_be_bound(goal: Configuration) -> None:
    """Refused while a Worker outside binds the namespace, or while that is not known; planned when nobody does."""
    world = reach({"a": A})
    go(world, {"a": B})
    for plan in (planned(world, goal, others=("x",)), planned(world, goal, binders=None)):
        assert {r.code for r in plan.refusals} == {"class-name-bound"}
        assert not plan.steps
    assert "x" in planned(world, goal, others=("x",)).refusals[0].message
    assert "could not be read" in planned(world, goal, binders=None).refusals[0].choices[0]
    assert not planned(world, goal, others=("w2",)).refusals  # declared: it is deployed with the new name here
    plan = go(world, goal)
    assert told(plan)[-1] == []


def test_a_swap_is_refused_while_others_bind_what_is_swapped() -> None:
    """Its middle gives a name away that a Worker outside binds; without such Workers it goes over a temporary name."""
    world = reach({"a": A, "b": B})
    assert {r.code for r in planned(world, {"a": B, "b": A}, others=("x",)).refusals} == {"class-name-bound"}
    plan = go(world, {"a": B, "b": A})
    assert told(plan)[-1] == []
    assert world.plan(declare({"a": B, "b": A})).empty


def test_a_plan_names_who_else_binds() -> None:
    """A rename names the Workers outside that bind the class; so does every later plan while the name is told."""
    world = reach({"a": A})
    (warning,) = planned(world, {"a": B}, others=("x", "y")).warnings
    assert "class A of w1 (namespace a) is bound by x, y, outside this session" in warning
    assert "must name class B." in warning
    unread = planned(world, {"a": B}, binders=ObservedBinders(problem="no access.")).warnings
    assert unread == ("who else binds class A of w1 (namespace a) could not be read: no access.",)
    go(world, {"a": B})
    (warning,) = planned(world, {"a": B}, others=("x",)).warnings
    assert "class A of w1 became B, and x, outside this session, binds it." in warning
    assert planned(world, {"a": B}).warnings == ()


def test_a_transfer_is_told_and_its_earlier_names_are_checked() -> None:
    """The source tells where its class went; a namespace with an earlier name leaves only when nobody binds it."""
    world = reach({"a": A, "k": C})
    transfers = {"a": "w1"}
    moved = {"a": Place("w2", "A"), "k": C}
    assert told(go(world, moved, transfers=transfers))[-1] == [("A", "w2")]
    world = reach({"a": A, "k": C})
    go(world, {"a": B, "k": C})
    moved = {"a": Place("w2", "B"), "k": C}
    refused = planned(world, moved, others=("x",), transfers=transfers)
    assert {r.code for r in refused.refusals} == {"class-name-bound"}
    assert told(go(world, moved, transfers=transfers))[-1] == [("B", "w2")]


def test_only_scripts_whose_classes_move_are_asked_about() -> None:
    """One request for a Worker that is renamed now or was earlier; none for any other, nor where the list tells it."""
    world = reach({"a": A, "c": Place("w2", "C")})
    observed, still = untold(world.observed()), declare({"a": A, "c": Place("w2", "C")})
    assert binders_asked(world.plan(still), still, world.recorded, observed) == ()
    desired = declare({"a": B, "c": Place("w2", "C")})
    plan = world.plan(desired)
    assert binders_asked(plan, desired, world.recorded, observed) == ("w1",)
    assert binders_asked(plan, desired, world.recorded, world.observed()) == ()
    world.apply(plan)
    assert binders_asked(world.plan(desired), desired, world.recorded, untold(world.observed())) == ("w1",)


def untold(observed: Observed) -> Observed:
    """Take away what the account's list of Workers says of who binds what."""
    return replace(observed, scripts=tuple(replace(script, binders=None) for script in observed.scripts))


def test_entries_of_other_kinds_stay_and_are_shown() -> None:
    """An upload carries them, and its plan says so by name."""
    world = reach({"a": A})
    plan = planned(world, {"a": A, "b": B}, entries=Json({"Flow": FLOW, "A": {"container": "box"}}))
    (upload,) = (s for s in plan.steps if isinstance(s, Upload) and s.script_name == "w1")
    assert upload.entries.value == {"Flow": FLOW, "A": {"container": "box"}}
    kept = [c.detail for c in plan.changes if c.field.startswith("exports.") and c.worker == "w1"]
    assert kept == [
        "The exports entry A (container of a class) of w1, not declared here, is kept.",
        "The exports entry Flow of type workflow of w1, not declared here, is kept.",
    ]


def test_what_would_lose_an_entry_is_refused_or_named() -> None:
    """A class with a container is not renamed here, no class takes the name of another kind, and what ends is named."""
    world = reach({"a": A})
    entries = Json({"A": {"container": "box"}, "B": FLOW})
    refused = planned(world, {"a": C}, entries=entries)
    assert [r.code for r in refused.refusals if r.subject == "a"] == ["entry-lost"]
    assert "container" in refused.refusals[0].message
    refused = planned(world, {"a": A, "b": B}, entries=entries)
    assert [r.code for r in refused.refusals if r.subject == "b"] == ["entry-conflict"]
    go(world, {"a": A}, protect=False)
    world.recorded = replace(
        world.recorded, namespaces=tuple(replace(n, protected=False) for n in world.recorded.namespaces)
    )
    warned = planned(world, {}, entries=entries, destroy=("a",))
    assert not warned.refusals
    assert any("class A of w1 has container, which ends with the class." in w for w in warned.warnings)


def test_a_transfer_that_another_tool_announced_is_not_taken_back_silently() -> None:
    """The plan says which class the Worker waits for, and that its upload ends that."""
    world = reach({"a": A})
    plan = planned(world, {"a": A, "b": B}, expects=("X",))
    assert any("waits to take over class X" in w for w in plan.warnings)
    assert not any("waits" in w for w in planned(world, {"a": A, "b": B}, expects=("A",)).warnings)


def test_ids_tell_and_not_names() -> None:
    """Another namespace under the old name is not taken for the one that was renamed."""
    world = reach({"a": A})
    go(world, {"a": B})
    (record,) = (w for w in world.recorded.workers if w.id == "w1")
    assert record.moved[0].namespace_id == world.identities()["a"]
    gone = replace(record, moved=(replace(record.moved[0], namespace_id=NamespaceId("e" * 32)),))
    world.recorded = replace(world.recorded, workers=(gone, *(w for w in world.recorded.workers if w.id != "w1")))
    assert told(go(world, {"a": B, "c": C})) == [[]]
    assert isinstance(world.observed(), Observed)


def test_who_is_read_where_a_worker_is_deleted() -> None:
    """Who binds its namespaces, and who calls it, which the list names both; everybody where it names no callers."""
    world = reach({"a": A, "c": Place("w2", "C")})
    desired = declare({"c": Place("w2", "C")}, scripts=("w2",), destroy=("worker:w1",), protect=False)
    assert binders_to_read(world.plan(desired), world.observed()) == frozenset()
    live = next(n.namespace_id for n in world.observed().namespaces if n.script_name == "w1")
    told = ObservedBinders(pairs=((live, "binder"), (NamespaceId("f" * 32), "other")), callers=("caller",))

    def read(binders: ObservedBinders) -> frozenset[str]:
        observed = world.observed()
        scripts = tuple(replace(s, binders=binders) if s.name == "w1" else s for s in observed.scripts)
        others = tuple(ObservedScript(name=name) for name in ("binder", "caller", "other"))
        return binders_to_read(world.plan(desired), replace(observed, scripts=(*scripts, *others)))

    assert read(told) == {"binder", "caller"}
    assert read(replace(told, callers=())) == {"binder"}
    assert read(replace(told, callers=None)) == {"binder", "caller", "other"}


def test_a_worker_whose_bindings_were_not_read_is_not_uploaded_for_that() -> None:
    """An upload that may have to unbind a class is made where one of its classes is deleted, and nowhere else."""
    configuration = {"a": A, "c": Place("w2", "C")}
    world = reach(configuration)
    observed = world.observed()
    unread = replace(observed, scripts=tuple(replace(s, bindings=None) for s in observed.scripts))
    given: dict[str, Any] = {"target": "local", "default_compatibility_date": "2026-01-01"}
    assert build_plan(declare(configuration), world.recorded, unread, **given).steps == ()


@pytest.mark.parametrize(("others", "fits"), [(7, True), (10, False)])
def test_a_mark_that_has_no_room_is_told_and_not_waited_for(others: int, *, fits: bool) -> None:
    """Where ten tags of others leave no room, no later step puts the id of a new namespace into a mark of ours."""
    world = reach({"a": A})
    observed = world.observed()
    tags = tuple(f"team:{n}" for n in range(others))
    scripts = tuple(replace(s, tags=tags) if s.name == "w1" else s for s in observed.scripts)
    given: dict[str, Any] = {"target": "local", "default_compatibility_date": "2026-01-01"}
    plan = build_plan(declare({"a": A, "b": B}), world.recorded, replace(observed, scripts=scripts), **given)
    assert [step.stable_ids for step in plan.steps if isinstance(step, SetMark)] == ([("b",)] if fits else [])
    assert any("too many tags" in warning for warning in plan.warnings) != fits


def test_a_namespace_that_arrives_passes_under_no_name_that_others_may_bind() -> None:
    """It bears its name of before first, and is renamed after that: meanwhile it would be taken for another one."""
    start, goal = {"a": A, "k": Place("w2", "A")}, {"a": B, "k": C}
    world = reach(start)
    go(world, {**start, "a": B})
    refused = planned(world, goal, others=("x",), transfers={"k": "w2"})
    assert {r.code for r in refused.refusals} == {"class-name-bound"}
    assert "class A" in refused.refusals[0].message
    assert not planned(world, goal, transfers={"k": "w2"}).refusals
