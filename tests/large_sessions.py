"""Large sessions, as data: what is declared, and what is recorded and live once it was deployed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.declare.catalog import Catalog
from notebook_do.model import (
    Bindings,
    Desired,
    Namespace,
    NamespaceBinding,
    NamespaceId,
    Observed,
    ObservedNamespace,
    ObservedScript,
    Recorded,
    RecordedNamespace,
    StableId,
    Storage,
    Worker,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.namespaces.marks import completed_tags
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

ACCOUNT, ORIGIN = "a" * 32, "http://127.0.0.1:1"
PER_WORKER = 10


def catalog_of(workers: int, prefix: str = "Class") -> Catalog:
    """Declare Workers with ten namespaces each; every Worker also binds one of its neighbour's."""
    catalog = Catalog()
    for number in range(workers):
        ids = [StableId(f"ns-{number}-{n}") for n in range(PER_WORKER)]
        catalog.declare(
            *(Namespace(i, class_name=f"{prefix}{n}", script_name=f"w-{number}") for n, i in enumerate(ids))
        )
        bound = {f"B{n}": NamespaceBinding(stable_id=i) for n, i in enumerate(ids)}
        neighbour = NamespaceBinding(stable_id=StableId(f"ns-{(number + 1) % workers}-0"), through=None)
        bindings = Bindings(f"w-{number}", {**bound, "NEIGHBOUR": neighbour})
        source = "".join(f"export class {prefix}{n} {{}}\n" for n in range(PER_WORKER)) + f"// {number}"
        catalog.declare(Worker(f"w-{number}", script=source, bindings=bindings, url=False))
    return catalog


def plan_of(catalog: Catalog, recorded: Recorded, observed: Observed) -> Plan:
    """Plan from declarations."""
    plan = build_plan(desired_of(catalog), recorded, observed, target="local", default_compatibility_date="2026-01-01")
    assert not plan.refusals
    return plan


def desired_of(catalog: Catalog) -> Desired:
    """Read the sources of what is declared; esbuild parses each content once."""
    return catalog.desired("s", "production", read=reader())


def deployed(first: Plan) -> tuple[Recorded, Observed]:
    """Give what is recorded and live after the first plan was deployed."""
    workers, scripts, namespaces, live = {}, {}, [], []
    for step in first.steps:
        if not isinstance(step, Upload) or step.worker_record is None:
            continue
        workers[step.worker] = step.worker_record
        ids = {}
        for record in step.namespace_records if step.creates else ():
            ids[record.stable_id] = id_ = NamespaceId(f"{len(live):08x}{'0' * 24}")
            live.append(
                ObservedNamespace(
                    namespace_id=id_,
                    script_name=record.script_name,
                    class_name=record.class_name,
                    storage=Storage.SQLITE,
                )
            )
            namespaces.append(
                RecordedNamespace(
                    stable_id=record.stable_id,
                    namespace_id=id_,
                    script_name=record.script_name,
                    class_name=record.class_name,
                    storage=Storage.SQLITE,
                    class_history=record.class_history,
                )
            )
        if ids:
            tags = completed_tags(step.tags, ids)
            scripts[step.script_name] = ObservedScript(
                name=step.script_name, lifecycle="exports", tags=tags, bindings=step.bindings, url=False
            )
        else:  # the last upload of a script has all its bindings
            scripts[step.script_name] = replace(scripts[step.script_name], bindings=step.bindings)
    recorded = Recorded(
        lineage="f" * 32,
        serial=1,
        account_id=ACCOUNT,
        api_origin=ORIGIN,
        workers=tuple(workers.values()),
        namespaces=tuple(namespaces),
    )
    scripts_live = tuple(scripts.values())
    return recorded, Observed(account_id=ACCOUNT, api_origin=ORIGIN, scripts=scripts_live, namespaces=tuple(live))
