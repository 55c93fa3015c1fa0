"""What a plan is made of: desired, recorded and observed, indexed once, and the findings that planning collects.

What belongs to a script of which an interrupted step is not known yet is left out of the three states first. Such a
step may still be carried out at any moment. So nothing is planned on what is live there, nor for the Workers that host,
bind or exchange namespaces with it, or send to a queue that is to be made for it; all others are planned as if those
were not in the account.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from notebook_do.model import ClassBinding, ServiceBinding
from notebook_do.plan.happens import CalledNames, known_in
from notebook_do.plan.namespaces.marks import ID_DIGITS, read_mark
from notebook_do.plan.plan import Change, Objection, Refusal, Undecided
from notebook_do.plan.refusals import rows_of
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import bound_queues

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from notebook_do.model import (
        Desired,
        DesiredNamespace,
        DesiredWorker,
        Observed,
        ObservedNamespace,
        ObservedScript,
        Recorded,
        RecordedNamespace,
        RecordedWorker,
        ScriptBinding,
        Where,
    )
    from notebook_do.model.states import SecretReading


class Slot(NamedTuple):
    """Where a namespace lives: a class of a script. A label, not an identity."""

    script: str
    class_name: str


def scripts_concerned(desired: Desired, recorded: Recorded) -> frozenset[str]:
    """Return the scripts whose live facts a plan rests on: declared, recorded, or host of a namespace."""
    # The recorded ones too: what is not declared now is kept, and shown as kept, as long as it is as it was seen.
    names = {w.script_name for w in desired.workers} | {w.script_name for w in recorded.workers}
    names |= {n.script_name for n in desired.namespaces} | {n.script_name for n in recorded.namespaces}
    return frozenset(names - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The three states by the keys that planning asks for."""

    desired: Desired
    recorded: Recorded
    observed: Observed
    workers: dict[str, DesiredWorker]
    """Declared Workers by script name."""
    namespaces: dict[str, DesiredNamespace]
    """Declared namespaces by stable ID."""
    records: dict[str, RecordedNamespace]
    worker_records: dict[str, RecordedWorker]
    """Recorded Workers by id."""
    script_records: dict[str, RecordedWorker]
    """Recorded Workers by script name."""
    scripts: dict[str, ObservedScript]
    live: dict[str, ObservedNamespace]
    """Live namespaces by namespace id."""
    slots: dict[Slot, ObservedNamespace]
    hosted: dict[str, list[ObservedNamespace]]
    """Live namespaces by script name."""
    known: CalledNames
    """What people call scripts and live namespaces."""
    secret_readings: Mapping[tuple[str, str], SecretReading]
    """What can be told of the declared secrets, by script name and binding."""

    def script_named(self, name: str | None) -> str | None:
        """Return the script of a Worker's name or id; one that is no longer declared is known by its record."""
        if name is None or name in self.scripts:
            return name
        record = self.worker_records.get(name)
        return record.script_name if record else name


def gather(
    desired: Desired, recorded: Recorded, observed: Observed, secret_readings: Mapping[tuple[str, str], SecretReading]
) -> Facts:
    """Index the three states."""
    hosted: dict[str, list[ObservedNamespace]] = {}
    for namespace in sorted(observed.namespaces, key=lambda n: n.namespace_id):
        hosted.setdefault(namespace.script_name, []).append(namespace)
    return Facts(
        desired=desired,
        recorded=recorded,
        observed=observed,
        workers={w.script_name: w for w in desired.workers},
        namespaces={n.stable_id: n for n in desired.namespaces},
        records={n.stable_id: n for n in recorded.namespaces},
        worker_records={w.id: w for w in recorded.workers},
        script_records={w.script_name: w for w in recorded.workers},
        scripts={s.name: s for s in observed.scripts},
        live={n.namespace_id: n for n in observed.namespaces},
        slots={Slot(n.script_name, n.class_name): n for n in observed.namespaces},
        hosted=hosted,
        known=known_in(desired, recorded),
        secret_readings=secret_readings,
    )


def newest_deployments(observed: Observed) -> tuple[tuple[str, str], ...]:
    """Return (script, deployment id) of the scripts whose deployments were read."""
    return tuple((s.name, s.deployment) for s in observed.scripts if s.deployment)


@dataclass(slots=True)
class Findings:
    """What planning found on its way, in the order of finding."""

    refusals: list[Refusal] = field(default_factory=list)
    drift: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    outside: list[Objection] = field(default_factory=list)
    asked_about: set[str] = field(default_factory=set)
    """The live namespaces, by id, of which a refusal asks what they are."""

    def refuse(self, code: str, subject: str, *, reason: str = "", where: Where | None = None, **facts: object) -> None:
        """Note a refusal of the table; `reason` is one of its reasons, where the code has several."""
        row = next(row for row in rows_of(code) if reason in row.reasons)
        known = {"subject": subject, **facts}
        refusal = Refusal(
            code=code,
            subject=subject,
            message=row.say(reason, known),
            choices=row.offer(reason, known),
            line=where.cell_line if where else None,
            place=where.stated if where else "",
        )
        self.refusals.append(refusal)

    def warn(self, name: str, reason: str = "", /, **facts: object) -> None:
        """Note a warning: a sentence of the table."""
        self.warnings.append(say(name, reason, **facts))


# --- what is left out of the states

Links = set[tuple[str, str]]


def set_aside(
    desired: Desired, recorded: Recorded, observed: Observed, undecided: Mapping[str, str]
) -> tuple[Desired, Recorded, Observed, tuple[Undecided, ...]]:
    """Return the three states without the scripts in `undecided` and those linked with them, and what that leaves out.

    `undecided` gives the reason for each script.
    """
    if not undecided:
        return desired, recorded, observed, ()
    out = _reached(frozenset(undecided), _links(desired, recorded, observed))
    ids = _ids(desired, recorded, out)
    gone = frozenset(id_ for of_script in ids.values() for id_ in of_script)
    return (
        replace(
            desired,
            workers=tuple(w for w in desired.workers if w.script_name not in out),
            namespaces=tuple(n for n in desired.namespaces if n.script_name not in out),
            # Left out too, or a destruction would be refused as one of something unknown.
            destroy=tuple(d for d in desired.destroy if d.rpartition(":")[2] not in gone),
        ),
        replace(
            recorded,
            workers=tuple(w for w in recorded.workers if w.script_name not in out),
            namespaces=tuple(n for n in recorded.namespaces if n.script_name not in out),
        ),
        replace(
            observed,
            scripts=tuple(s for s in observed.scripts if s.name not in out),
            namespaces=tuple(n for n in observed.namespaces if n.script_name not in out),
        ),
        tuple(_left_out(script, ids.get(script, ()), desired, recorded, undecided) for script in sorted(out)),
    )


def _left_out(
    script: str, ids: tuple[str, ...], desired: Desired, recorded: Recorded, undecided: Mapping[str, str]
) -> Undecided:
    worker = next((id_ for id_, of_script in _workers(desired, recorded) if of_script == script), script)
    detail = undecided[script] if script in undecided else say("waits", scripts=", ".join(sorted(undecided)))
    return Undecided(worker=worker, script_name=script, detail=detail, ids=ids)


def _workers(desired: Desired, recorded: Recorded) -> list[tuple[str, str]]:
    """Return (Worker id, script) of all that are declared or recorded."""
    return [
        *((w.id, w.script_name) for w in desired.workers),
        *((w.id, w.script_name) for w in recorded.workers),
    ]


def _namespaces(desired: Desired, recorded: Recorded) -> list[tuple[str, str]]:
    """Return (stable ID, script) of all that are declared or recorded."""
    return [
        *((str(n.stable_id), n.script_name) for n in recorded.namespaces),
        *((str(n.stable_id), n.script_name) for n in desired.namespaces),
    ]


def _ids(desired: Desired, recorded: Recorded, scripts: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Return by script the ids of the Workers and namespaces on it, as a destroy names them."""
    both = [*_workers(desired, recorded), *_namespaces(desired, recorded)]
    return {script: tuple(sorted({id_ for id_, of_script in both if of_script == script})) for script in scripts}


def _reached(start: frozenset[str], links: Links) -> frozenset[str]:
    """Return the scripts in `start` and all that are linked with one of them, however far."""
    found = start
    while more := {b for pair in links for a, b in (pair, pair[::-1]) if a in found and b not in found}:
        found |= more
    return found


def _links(desired: Desired, recorded: Recorded, observed: Observed) -> Links:
    """Return the pairs of scripts of which one hosts, binds, takes over or gives away something of the other.

    Two scripts at which the same thing is, was or will be are such a pair: a namespace that is on its way, or a route.
    """
    workers, namespaces = _workers(desired, recorded), _namespaces(desired, recorded)
    ours = {script for _, script in (*workers, *namespaces)}
    hosts: dict[str | None, str] = {n.namespace_id: n.script_name for n in observed.namespaces}
    named: tuple[RecordedNamespace | DesiredNamespace, ...] = (*recorded.namespaces, *desired.namespaces)
    # A queue that does not exist is made by the plan of its consumer, before the first upload that binds it: without
    # that consumer its producer's upload would name a queue that is not there (11000).
    absent = {t.key for t in observed.triggers if t.kind == "consumer" and t.parent is None}
    places = [
        *((f"worker {id_}", script) for id_, script in workers),
        *((f"namespace {id_}", script) for id_, script in namespaces),
        # Where it is now: an interrupted transfer may have moved it since it was written down.
        *((f"namespace {n.stable_id}", hosts[id_]) for n in named if (id_ := n.namespace_id) in hosts),
        *_marked(desired, observed),
        *((f"namespace {n.stable_id}", n.transferred_from) for n in desired.namespaces if n.transferred_from),
        *((f"namespace {n.renamed_from}", n.script_name) for n in desired.namespaces if n.renamed_from),
        # A trigger that goes from one Worker to another is removed from the one before it is set on the other.
        *((f"{t.kind} {t.key}", w.script_name) for w in desired.workers for t in w.triggers),
        *((f"{t.kind} {t.key}", w.script_name) for w in recorded.workers for t in w.triggers),
        *((f"consumer {q}", w.script_name) for w in desired.workers for q in bound_queues(w.bindings) & absent),
    ]
    links = _together(places)
    for worker in desired.workers:
        tails = (str(one["service"]) for one in worker.options.value.get("tail_consumers", ()))
        links |= {(worker.script_name, s) for s in (*_bound(worker.bindings, dict(namespaces)), *tails)}
    # What is live binds too: a Worker that is declared without a binding still has it until its upload.
    for live in observed.scripts:
        links |= {(live.name, s) for s in _bound(live.bindings or (), {})}
    # Over a script that is nobody's here nothing is handed on: it is neither uploaded nor deleted.
    return {(a, b) for a, b in links if a in ours and b in ours}


def _marked(desired: Desired, observed: Observed) -> Iterator[tuple[str, str]]:
    """Yield where marks of this session say that a namespace is: without a state file nothing else does."""
    hosts: dict[str, set[str]] = {}
    for live in observed.namespaces:
        hosts.setdefault(live.namespace_id[:ID_DIGITS], set()).add(live.script_name)
    for script in observed.scripts:
        mark = read_mark(script.tags)
        if mark is not None and mark.is_of(desired.session, desired.stage):
            for stable_id, entry in mark.entries.items():
                for host in (script.name, *hosts.get(entry.begins or "", ())):
                    yield f"namespace {stable_id}", host


def _together(places: Iterable[tuple[str, str]]) -> Links:
    """Link the scripts at which the same thing is, was or will be."""
    at: dict[str, set[str]] = {}
    for thing, script in places:
        at.setdefault(thing, set()).add(script)
    return {(a, b) for scripts in at.values() for a in scripts for b in scripts if a < b}


def _bound(bindings: Iterable[ScriptBinding], stable: Mapping[str, str]) -> Iterator[str]:
    """Yield the scripts that bindings reach; `stable` has the script of each stable ID that they may name."""
    for binding in bindings:
        if isinstance(binding, ClassBinding):
            if binding.script_name:
                yield binding.script_name
            if binding.stable_id and binding.stable_id in stable:
                yield stable[binding.stable_id]
        elif isinstance(binding.value, ServiceBinding):
            yield binding.value.worker
