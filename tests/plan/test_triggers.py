"""Planning of triggers: what is set, put back, removed or refused, from the three states alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plan_world import Book, body

from notebook_do.model import Desired, DesiredWorker, Json, Observed, ObservedTrigger, RecordedWorker, Trigger
from notebook_do.plan.build import build_plan
from notebook_do.plan.trigger_step import RemoveTrigger, SetTrigger
from notebook_do.plan.triggers import triggers_concerned

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

ROUTE = Trigger(kind="route", key="example.com/*")
QUEUE = Trigger(kind="consumer", key="jobs", settings=Json({"batch_size": 5}))


def planned(
    declared: tuple[Trigger, ...], ours: tuple[Trigger, ...], live: tuple[ObservedTrigger, ...], *, both: bool = False
) -> Plan:
    """Plan Worker `api`, which is live and unchanged but for its triggers; `both`: another one declares the same."""
    book = Book()
    book.cell("worker api --no-url", body())
    book.cell("worker web --no-url", body())
    book.deploy()
    desired = book.catalog.desired("s", "production")

    def triggers_of(worker: DesiredWorker) -> tuple[Trigger, ...]:
        return declared if worker.id == "api" or both else ()

    def record(worker: RecordedWorker) -> RecordedWorker:
        return replace(worker, triggers=ours) if worker.id == "api" else worker

    wanted: Desired = replace(desired, workers=tuple(replace(w, triggers=triggers_of(w)) for w in desired.workers))
    recorded = replace(book.world.recorded, workers=tuple(record(w) for w in book.world.recorded.workers))
    observed: Observed = replace(book.world.observed(), triggers=live)
    return build_plan(wanted, recorded, observed, target="local", default_compatibility_date="2026-01-01")


def route(script: str | None, parent: str | None = "zone") -> ObservedTrigger:
    """Say who holds the route."""
    return ObservedTrigger(kind="route", key=ROUTE.key, script=script, id="r" if script else None, parent=parent)


def test_what_is_live_and_recorded_is_left_alone() -> None:
    """A trigger that is ours, live and declared causes nothing."""
    assert planned((ROUTE,), (ROUTE,), (route("api"),)).empty


def test_what_is_live_and_not_recorded_is_taken_over_in_the_open() -> None:
    """One that the Worker already has becomes ours by a step that is shown: only then can it be removed later."""
    plan = planned((ROUTE,), (), (route("api"),))
    assert [type(s) for s in plan.steps] == [SetTrigger]
    assert [c.detail for c in plan.changes if c.kind == "route"] == ["Route example.com/* of api is taken over."]


def test_what_others_hold_is_refused() -> None:
    """trigger-taken names the Worker; zone-missing the host name; trigger-twice both Workers."""
    refused = {
        "trigger-taken": planned((ROUTE,), (), (route("shop"),)),
        "zone-missing": planned((ROUTE,), (), (route(None, None),)),
        "trigger-twice": planned((ROUTE,), (), (route(None),), both=True),
    }
    assert {code: [r.code for r in plan.refusals] for code, plan in refused.items()} == {c: [c] for c in refused}
    assert "belongs to Worker shop" in refused["trigger-taken"].refusals[0].message
    assert "api" in refused["trigger-twice"].refusals[0].message
    assert not any(plan.steps for plan in refused.values())


def test_only_our_own_is_removed() -> None:
    """A recorded trigger that is not declared is removed; a live one that is not recorded is not even looked at."""
    plan = planned((), (ROUTE,), (route("api"),))
    assert [type(s) for s in plan.steps] == [RemoveTrigger]
    assert planned((), (), (route("api"),)).empty


def test_a_setting_of_a_consumer_is_compared() -> None:
    """What Cloudflare fills in besides is no difference; a changed setting is drift, a changed declaration is not."""
    live = ObservedTrigger(
        kind="consumer",
        key="jobs",
        script="api",
        id="c",
        parent="q",
        settings=Json({"batch_size": 5, "max_retries": 3}),
    )
    assert planned((QUEUE,), (QUEUE,), (live,)).empty
    drifted = planned((QUEUE,), (QUEUE,), (replace(live, settings=Json({"batch_size": 1})),))
    assert [c.kind for c in drifted.drift] == ["consumer"]
    changed = planned((replace(QUEUE, settings=Json({"batch_size": 9})),), (QUEUE,), (live,))
    assert [type(s) for s in changed.steps] == [SetTrigger]
    assert not changed.drift


def test_nothing_is_read_that_is_neither_declared_nor_recorded() -> None:
    """A plan without triggers asks for none: it costs no request."""
    book = Book()
    book.cell("worker api --no-url", body())
    assert triggers_concerned(book.catalog.desired("s", "production"), book.world.recorded) == ()
