"""Four Workers that bind each other at random, as classes, services and tails: every order of uploads is legal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from plan_world import Configuration, Place, World, declare

from notebook_do.model import ClassBinding, Desired, Json, ScriptBinding, ServiceBinding, StableId, ValueBinding

SCRIPTS, CLASSES, IDS = ("w1", "w2", "w3", "w4"), ("A", "B", "C"), ("a", "b", "c", "d", "e")
SLOTS = st.tuples(st.sampled_from(SCRIPTS), st.sampled_from(CLASSES))
Edges = dict[str, tuple[frozenset[str], frozenset[str], frozenset[str]]]
"""By script: the stable IDs that it binds, the scripts that it calls as services, those that it sends its tail to."""


@st.composite
def worlds(draw: st.DrawFn, ids: list[str]) -> tuple[Configuration, Edges]:
    """Draw where namespaces are, and who binds what."""
    slots = draw(st.lists(SLOTS, unique=True, min_size=len(ids), max_size=len(ids)))
    configuration = {i: Place(*slot) for i, slot in zip(ids, slots, strict=True)}
    edges = {
        script: (
            draw(st.frozensets(st.sampled_from(ids))),
            draw(st.frozensets(st.sampled_from([s for s in SCRIPTS if s != script]), max_size=2)),
            draw(st.frozensets(st.sampled_from(SCRIPTS), max_size=2)),
        )
        for script in SCRIPTS
    }
    return configuration, edges


@st.composite
def changes(draw: st.DrawFn) -> tuple[tuple[Configuration, Edges], tuple[Configuration, Edges]]:
    """Draw two worlds; the second has all namespaces of the first, somewhere, and perhaps more."""
    later = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=1))
    return draw(worlds(later[: draw(st.integers(1, len(later)))])), draw(worlds(later))


def desired_of(configuration: Configuration, edges: Edges, transfers: dict[str, str], form: str) -> Desired:
    """Declare a drawn world."""
    desired = declare(configuration, scripts=SCRIPTS, transfers=transfers, lifecycle=form)

    def bindings(script: str) -> tuple[ScriptBinding, ...]:
        bound, called, _ = edges[script]
        classes = [
            ClassBinding(
                name=i.upper(),
                class_name=configuration[i].class_name,
                script_name=None if configuration[i].script == script else configuration[i].script,
                stable_id=StableId(i),
            )
            for i in sorted(bound)
        ]
        services = [ValueBinding(name=f"S_{s}", value=ServiceBinding(worker=s)) for s in sorted(called)]
        return (*classes, *services)

    def options(script: str) -> Json:
        tails = [{"service": tail} for tail in sorted(edges[script][2])]
        return Json({"tail_consumers": tails} if tails else {})

    workers = tuple(
        replace(w, bindings=bindings(w.script_name), options=options(w.script_name)) for w in desired.workers
    )
    return replace(desired, workers=workers)


@pytest.mark.thorough
@given(changes(), st.sampled_from(["auto", "migrations"]))
def test_any_bindings_any_moves(
    change: tuple[tuple[Configuration, Edges], tuple[Configuration, Edges]], form: str
) -> None:
    """A change from anything to anything else is carried out, from wherever it stopped, or refused as moves cross."""
    start, goal = change
    world = World()
    first = world.plan(desired_of(*start, {}, form))
    assert not first.refusals
    world.apply(first)
    assert world.plan(desired_of(*start, {}, form)).empty
    before = world.identities()
    places = {i: p.script for i, p in start[0].items()}
    transfers = {i: places[i] for i, p in goal[0].items() if places.get(i, p.script) != p.script}
    plan = world.plan(desired_of(*goal, transfers, form))
    codes = {r.code for r in plan.refusals}
    event("+".join(sorted(codes)) or f"{len(plan.steps)} steps")
    assert codes <= {"crossed-transfer", "transfer-and-rename"}
    if plan.refusals:
        return
    for done in range(1, len(plan.steps)):
        stopped = world.copy()
        stopped.apply(replace(plan, steps=plan.steps[:done]))
        _finish(stopped, goal, transfers, form, before)
    _finish(world, goal, transfers, form, before)


def _finish(
    world: World, goal: tuple[Configuration, Edges], transfers: dict[str, str], form: str, before: dict[str, str]
) -> None:
    """Plan and deploy from here: everything has its objects, and nothing is left to do."""
    plan = world.plan(desired_of(*goal, transfers, form))
    assert [r.message for r in plan.refusals] == []
    world.apply(plan)
    after = world.identities()
    assert {i: after[i] for i in before} == before
    assert world.plan(desired_of(*goal, {}, form)).empty
