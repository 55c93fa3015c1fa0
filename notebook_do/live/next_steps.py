"""What can be typed next, computed from how a session stands: commands with the names that it has. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.live.status import NextStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.live.status import StatusFacts, StatusRow
    from notebook_do.model import Namespace, Worker

_SHOWN = 3
"""So many commands are offered at most."""


def next_steps(rows: Iterable[StatusRow], facts: StatusFacts, urls: Mapping[str, str]) -> tuple[NextStep, ...]:
    """Return what can be typed next: of the first of these that fits. `urls` has addresses by Worker id."""
    listed = list(rows)
    found = (
        _after_mistake(facts)
        or _after_stop(facts)
        or _after_problem(facts)
        or _not_declared(listed, facts)
        or _to_deploy(listed)
        or _to_use(listed, urls)
        or _to_begin()
    )
    return tuple(found[:_SHOWN])


def _after_stop(facts: StatusFacts) -> list[NextStep]:
    if facts.stopped is None and not facts.undecided:
        return []
    return [NextStep(command="%durable deploy", about="looks at what is live, and offers what is left")]


def _after_mistake(facts: StatusFacts) -> list[NextStep]:
    if not facts.mistakes:
        return []
    first = facts.mistakes[0]
    known: Mapping[str, Namespace | Worker] = (
        facts.catalog.namespaces if first.kind == "namespace" else facts.catalog.workers
    )
    item = known.get(first.id)
    where = item.where.name if item and item.where else "its declaration"
    plan = NextStep(command="%durable plan", about="then see what a deploy would do")
    return [
        NextStep(command=f"{begins(first.kind, first.id)} …", about=f"fix {where}: {first.mend or first.text}"),
        # A plan is refused as long as there is a mistake, also one that goes on where a deploy stopped.
        *(_after_stop(facts) or [plan]),
    ]


def _after_problem(facts: StatusFacts) -> list[NextStep]:
    if not facts.problem:
        return []
    bound = {getattr(v, "stable_id", "") for w in facts.catalog.workers.values() for v in w.bindings.values()}
    spaces = facts.catalog.namespaces.values()
    if alone := next((n for n in spaces if n.id not in bound and not n.script_name), None):
        binding = binding_name(alone.id)
        command = f"%%durable worker ID --bind {binding}={alone.id}"
        return [NextStep(command=command, about=f"a Worker that binds {alone.id}; nothing can host it yet")]
    return [NextStep(command="%durable plan", about="when that is mended: what a deploy would do")]


def _not_declared(rows: list[StatusRow], facts: StatusFacts) -> list[NextStep]:
    missing = [row for row in rows if row.state == "kept"]
    if not missing:
        return []
    of = f" of {facts.notebook}" if facts.notebook else ""
    shown = [begins(row.kind, row.id) for row in missing[:_SHOWN]]
    more = len(missing) - len(shown)
    said = f"{', '.join(shown)} and {more} more" if more else " and ".join(shown)
    workers = {row.id for row in missing if row.kind == "worker"}
    scripts = [w.script_name for w in facts.recorded.workers if w.id in workers]
    steps = [NextStep(command=f"run the cells{of} that begin", about=said)]
    if scripts:
        command = f"or %durable import {' '.join(scripts[:_SHOWN])}"
        steps.append(NextStep(command=command, about="to get such cells from what is live"))
    return steps


def _to_deploy(rows: list[StatusRow]) -> list[NextStep]:
    if not any(row.state in {"new", "changed", "not known"} for row in rows):
        return []
    return [NextStep(command="%durable deploy", about="shows the plan and its button")]


def _to_use(rows: list[StatusRow], urls: Mapping[str, str]) -> list[NextStep]:
    workers, spaces = ([row.id for row in rows if row.kind == kind] for kind in ("worker", "namespace"))
    first = next((id_ for id_ in workers if urls.get(id_)), workers[0] if workers else None)
    steps = []
    if first is not None:
        about = f"call it: {urls[first]}" if urls.get(first) else "call it"
        steps += [
            NextStep(command=f"%durable fetch {first} /", about=about),
            NextStep(command=f"%durable logs {first}", about="what it logged"),
        ]
    steps += [NextStep(command=f"%durable objects {id_}", about="what it stored") for id_ in spaces[:1]]
    return steps


def _to_begin() -> list[NextStep]:
    return [
        NextStep(command="%durable namespace counter --class Counter", about="declare a namespace"),
        NextStep(
            command="%%durable worker api --bind COUNTER=counter",
            about="declare a Worker; its source is the cell's body",
        ),
    ]


def begins(kind: str, id_: str) -> str:
    """Return how the line or cell begins that declares something."""
    return f"%%durable worker {id_}" if kind == "worker" else f"%durable namespace {id_}"


def binding_name(stable_id: str) -> str:
    """Return a name for a binding of a namespace, as code would read it: COUNTER of `counter`."""
    plain = "".join(c if c.isalnum() else "_" for c in stable_id.upper())
    return plain if not plain[0].isdigit() else f"_{plain}"
