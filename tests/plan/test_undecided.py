"""What a plan leaves out while an interrupted step is not known yet: whatever is linked with its script."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from notebook_do.declare.catalog import Catalog
from notebook_do.model import (
    Bindings,
    ClassBinding,
    Desired,
    Json,
    Namespace,
    NamespaceBinding,
    NamespaceId,
    Observed,
    ObservedNamespace,
    ObservedScript,
    ObservedTrigger,
    Queue,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    ServiceBinding,
    StableId,
    Storage,
    Trigger,
    Worker,
)
from notebook_do.plan.build import build_plan
from notebook_do.plan.facts import set_aside
from notebook_do.sources.bundle import reader

SOURCE = "export class C {}\nexport default { fetch() {} }\n"


def worker(id_: str, **bound: Any) -> Worker:
    """Declare a Worker."""
    return Worker(id_, name=id_, script=SOURCE, bindings=Bindings(id_, bound))


def namespace(id_: str, script: str, **more: Any) -> Namespace:
    """Declare a namespace of class C."""
    return Namespace(StableId(id_), class_name="C", script_name=script, **more)


def wanted(*items: Any, destroy: tuple[str, ...] = ()) -> Desired:
    """Resolve declarations."""
    catalog = Catalog()
    catalog.declare(*items)
    return catalog.desired("s", "production", read=reader(), destroy=destroy)


def known(*scripts: str, spaces: tuple[tuple[str, str], ...] = ()) -> Recorded:
    """Record Workers, and namespaces as (stable ID, script)."""
    return Recorded(
        lineage="l",
        workers=tuple(RecordedWorker(id=s, script_name=s) for s in scripts),
        namespaces=tuple(
            RecordedNamespace(
                stable_id=StableId(i),
                namespace_id=NamespaceId(f"id-{i}"),
                script_name=s,
                class_name="C",
                storage=Storage.SQLITE,
            )
            for i, s in spaces
        ),
    )


LIVE = Observed(account_id="a", api_origin="o")
NOTHING = known()
LINKS: dict[str, tuple[Desired, Recorded, Observed]] = {
    "binds a class": (
        wanted(namespace("n", "one"), worker("one"), worker("two", N=NamespaceBinding(stable_id=StableId("n")))),
        NOTHING,
        LIVE,
    ),
    "binds as a service": (wanted(worker("one"), worker("two", S=ServiceBinding(worker="one"))), NOTHING, LIVE),
    "sends its tail": (
        wanted(worker("one"), replace(worker("two"), options=Json({"tail_consumers": [{"service": "one"}]}))),
        NOTHING,
        LIVE,
    ),
    "binds it still": (
        wanted(worker("one"), worker("two")),
        NOTHING,
        replace(
            LIVE,
            scripts=(
                ObservedScript(name="two", bindings=(ClassBinding(name="N", class_name="C", script_name="one"),)),
            ),
        ),
    ),
    "takes a namespace over": (
        wanted(namespace("n", "two", transferred_from="one"), worker("one"), worker("two")),
        NOTHING,
        LIVE,
    ),
    "hosted it": (
        wanted(namespace("n", "two"), worker("one"), worker("two")),
        known(spaces=(("n", "one"),)),
        LIVE,
    ),
    "hosts it now": (
        wanted(worker("one"), worker("two")),
        known(spaces=(("n", "one"),)),
        replace(
            LIVE,
            namespaces=(
                ObservedNamespace(
                    namespace_id=NamespaceId("id-n"), script_name="two", class_name="C", storage=Storage.SQLITE
                ),
            ),
        ),
    ),
    "names the id of what the other hosts": (
        wanted(namespace("n", "one", namespace_id=NamespaceId("0" * 32)), worker("one"), worker("two")),
        NOTHING,
        replace(
            LIVE,
            namespaces=(
                ObservedNamespace(
                    namespace_id=NamespaceId("0" * 32), script_name="two", class_name="C", storage=Storage.SQLITE
                ),
            ),
        ),
    ),
    "bears the mark of it": (
        wanted(namespace("n", "one"), worker("one"), worker("two")),
        NOTHING,
        replace(LIVE, scripts=(ObservedScript(name="two", tags=("ndo:do:s:production:n=C@",)),)),
    ),
    "hosts what the mark of another names": (
        wanted(namespace("n", "one"), worker("one"), worker("two")),
        NOTHING,
        replace(
            LIVE,
            scripts=(ObservedScript(name="four", tags=("ndo:do:s:production:n=C@0123456789ab",)),),
            namespaces=(
                ObservedNamespace(
                    namespace_id=NamespaceId("0123456789ab" + "0" * 20),
                    script_name="two",
                    class_name="C",
                    storage=Storage.SQLITE,
                ),
            ),
        ),
    ),
    "gives it another stable ID": (
        wanted(namespace("m", "two", renamed_from=StableId("n")), worker("one"), worker("two")),
        known(spaces=(("n", "one"),)),
        LIVE,
    ),
    "takes a trigger over": (
        wanted(worker("one"), worker("two")),
        replace(
            NOTHING,
            workers=tuple(
                RecordedWorker(id=s, script_name=s, triggers=(Trigger(kind="route", key="a.example/*"),))
                for s in ("one", "two")
            ),
        ),
        LIVE,
    ),
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("undecided", ["one", "two"])
def test_what_is_linked_is_left_out(link: str, undecided: str) -> None:
    """Issue 11.4: of two linked Workers both are left out, whichever is not known yet; a third one stays."""
    desired, recorded, observed = LINKS[link]
    third = wanted(worker("three")).workers
    desired = replace(desired, workers=(*desired.workers, *third))
    wanted_now, _, _, left = set_aside(desired, recorded, observed, {undecided: "why"})
    assert [w.id for w in wanted_now.workers] == ["three"]
    assert wanted_now.namespaces == ()
    waits = f"it waits for {undecided}, which it is linked with."
    assert {u.script_name: u.detail for u in left} == {n: "why" if n == undecided else waits for n in ("one", "two")}


@pytest.mark.parametrize(("parent", "planned"), [(None, []), ("q", ["two"])])
def test_a_producer_waits_for_the_consumer_that_makes_its_queue(parent: str | None, planned: list[str]) -> None:
    """A queue that is not there is made with its consumer; to one that is there anybody may be bound."""
    jobs = Trigger(kind="consumer", key="jobs")
    desired = wanted(worker("one"), worker("two", JOBS=Queue("jobs")))
    one, two = sorted(desired.workers, key=lambda w: w.id)
    desired = replace(desired, workers=(replace(one, triggers=(jobs,)), two))
    live = replace(LIVE, triggers=(ObservedTrigger(kind="consumer", key="jobs", parent=parent),))
    now, *_ = set_aside(desired, NOTHING, live, {"one": "why"})
    assert [w.id for w in now.workers] == planned


def test_what_is_not_linked_is_planned() -> None:
    """Issue 11.4: Workers without a link do not wait, and with nothing undecided the states stay as they are."""
    states = wanted(worker("one"), worker("two")), known("one", "two"), LIVE
    assert set_aside(*states, {})[:3] == states
    plan = build_plan(
        *states[:1], NOTHING, LIVE, target="local", default_compatibility_date="2026-01-01", undecided={"one": "why"}
    )
    assert {getattr(s, "script_name", "") for s in plan.steps} == {"two"}
    assert [(u.worker, u.detail) for u in plan.undecided] == [("one", "why")]
    assert plan.baseline.scripts == ()
    assert plan.scripts == {"two"}


def test_what_is_to_be_destroyed_waits_too() -> None:
    """Issue 11.4: a destroy of what is not known yet is left out of the plan, and named; no consent is asked for it."""
    desired = wanted(
        namespace("n", "one"),
        worker("one"),
        namespace("m", "two"),
        worker("two"),
        destroy=("one", "namespace:n", "two"),
    )
    plan = build_plan(
        desired,
        known("one", "two", spaces=(("n", "one"), ("m", "two"))),
        replace(LIVE, scripts=(ObservedScript(name="one"), ObservedScript(name="two"))),
        target="local",
        default_compatibility_date="2026-01-01",
        undecided={"one": "why"},
    )
    (left,) = plan.undecided
    assert left.ids == ("n", "one")
    assert not plan.consents
    assert not plan.refusals
    assert {getattr(s, "script_name", "") for s in plan.steps} - {""} == {"two"}
