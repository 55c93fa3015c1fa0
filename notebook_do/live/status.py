"""How a session stands: what is declared, what was deployed, what differs, and what to do next.

Made of what is on this machine, by digest: the declarations, the state file, the journal. No request is sent. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from notebook_do.display import Shown
from notebook_do.plan.workers.settings import UNSET, fingerprint, read_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from notebook_do.declare.catalog import Catalog
    from notebook_do.model import (
        DesiredNamespace,
        DesiredWorker,
        Namespace,
        Recorded,
        RecordedNamespace,
        RecordedWorker,
        Target,
        Worker,
    )

State = Literal["new", "changed", "mistake", "as declared", "kept", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One thing of a session. `deployed` is when its Worker was last uploaded (ISO 8601, UTC), if that is recorded.

    `declared` is the cell or file; `now` says in words how it stands.
    """

    kind: Literal["namespace", "worker"]
    id: str
    state: State
    declared: str = ""
    deployed: str = ""
    now: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """Something to type next, and what it is for."""

    command: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMistake:
    """What is wrong with one declaration, and how it could be mended."""

    kind: Literal["namespace", "worker"]
    id: str
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedDeploy:
    """The last deploy, where it did not come to its end. `plan` and the counts are known in the kernel that ran it."""

    at: str
    plan: str = ""
    done: int | None = None
    total: int | None = None
    uncertain: tuple[str, ...] = ()
    """What was sent and nobody knows the end of."""
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Status(Shown):
    """Where am I: the session, its target and state file, how everything stands, and what to do next."""

    session: str
    stage: str
    target: Target
    account_id: str
    api: str
    token: str
    """Where the API token was found; empty where none is needed."""
    state_path: Path
    serial: int
    last_deploy: str = ""
    rows: tuple[StatusRow, ...] = ()
    problem: str = ""
    """Why the declarations cannot be resolved together."""
    stopped: StoppedDeploy | None = None
    rebuilt: bool = False
    """Whether the state file holds what was deployed with another one: it was made anew from what is live."""
    next_steps: tuple[NextStep, ...] = ()
    crons: bool = False
    """Whether the local target runs cron triggers by the clock."""
    account: str = ""
    """How the account is called, where a plan has found that out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """What is known of a session without a request."""

    catalog: Catalog
    recorded: Recorded
    workers: Mapping[str, DesiredWorker] = field(default_factory=dict)
    """The declared Workers whose sources could be read, by id."""
    namespaces: Mapping[str, DesiredNamespace] = field(default_factory=dict)
    deployed: Mapping[str, DesiredWorker] = field(default_factory=dict)
    """As they were when this kernel deployed them last: they tell which binding of a changed Worker is another."""
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The secrets that have another value than the one that was set, by Worker."""
    mistakes: tuple[FoundMistake, ...] = ()
    undecided: Mapping[str, str] = field(default_factory=dict)
    """By script, what was sent and nobody knows the end of."""
    notebook: str = ""
    """The notebook that deployed last."""
    problem: str = ""
    stopped: StoppedDeploy | None = None


# --- the rows


def rows_of(facts: StatusFacts) -> tuple[StatusRow, ...]:
    """Return a row for each namespace, then for each Worker, that is declared or recorded; by name."""
    recorded = facts.recorded
    spaces = {str(n.stable_id): n for n in recorded.namespaces}
    # An inspector follows from what its namespaces declare.
    workers = {w.id: w for w in recorded.workers if w.inspector is None}
    # Under its earlier stable ID a namespace is the same thing: one row.
    renamed = {str(n.renamed_from) for n in facts.catalog.namespaces.values() if n.renamed_from in spaces}
    named = sorted(facts.catalog.namespaces.keys() | spaces.keys() - renamed)
    return (
        *(_namespace_row(id_, facts, spaces) for id_ in named),
        *(_worker_row(id_, facts, workers.get(id_)) for id_ in sorted(facts.catalog.workers.keys() | workers)),
    )


def _namespace_row(id_: str, facts: StatusFacts, spaces: Mapping[str, RecordedNamespace]) -> StatusRow:
    item = facts.catalog.namespaces.get(id_)
    record = spaces.get(id_) or (spaces.get(str(item.renamed_from)) if item and item.renamed_from else None)
    by_script = {w.script_name: w for w in facts.recorded.workers}
    host = by_script.get(record.script_name) if record else None
    row = StatusRow(
        kind="namespace",
        id=id_,
        state="new",
        declared=_declared(item),
        deployed=_deployed(record is not None, host),
        now="new",
    )
    if (mistake := _mistake("namespace", id_, facts)) is not None:
        return _with(row, "mistake", mistake)
    if record is None:
        return row
    if item is None:
        return _with(row, "kept", "kept as it is")
    differs = list(_namespace_differs(item, facts.namespaces.get(id_), record))
    return _with(row, "changed", f"changed: {', '.join(differs)}") if differs else _with(row, "as declared")


def _namespace_differs(item: Namespace, desired: DesiredNamespace | None, record: RecordedNamespace) -> Iterator[str]:
    # Not its protection: the declaration says that, a destroy reads it there, and no deploy sends it.
    if item.id != record.stable_id:
        yield f"stable ID, was {record.stable_id}"
    if item.class_name != record.class_name:
        yield f"class {record.class_name} → {item.class_name}"
    if desired is not None and desired.script_name != record.script_name:
        yield f"host {record.script_name} → {desired.script_name}"


def _worker_row(id_: str, facts: StatusFacts, record: RecordedWorker | None) -> StatusRow:
    item, desired = facts.catalog.workers.get(id_), facts.workers.get(id_)
    declared, deployed = _declared(item), _deployed(record is not None, record)
    row = StatusRow(kind="worker", id=id_, state="new", declared=declared, deployed=deployed, now="new")
    if (mistake := _mistake("worker", id_, facts)) is not None:
        return _with(row, "mistake", mistake)
    script = desired.script_name if desired else record.script_name if record else ""
    if script in facts.undecided:
        return StatusRow(kind="worker", id=id_, state="not known", declared=declared, now="not known")
    if record is None:
        return row
    if item is None:
        return _with(row, "kept", "kept as it is")
    if desired is None:
        return _with(row, "not known", "not compared: its source could not be read")
    if differs := list(_worker_differs(desired, record, facts)):
        return _with(row, "changed", f"changed: {', '.join(differs)}")
    return _with(row, "as declared")


def _worker_differs(desired: DesiredWorker, record: RecordedWorker, facts: StatusFacts) -> Iterator[str]:
    """Yield what of a Worker is declared otherwise than it was deployed, in words."""
    if desired.script_name != record.script_name:
        yield f"script name {record.script_name} → {desired.script_name}"
    if desired.content_digest != record.content_digest:
        yield "code"
    sent, wanted = read_fingerprint(record.settings_digest), fingerprint(desired)
    if sent.upload != wanted.upload:
        yield from _parts(desired, facts.deployed.get(desired.id), sent.upload)
    # An address that was open already was never sent: then the state file does not have it.
    if sent.url not in {wanted.url, UNSET}:
        yield "URL"
    for part in ("crons", "assets"):
        if getattr(sent, part) != getattr(wanted, part):
            yield part
    if set(record.triggers) != set(desired.triggers):
        yield "triggers"
    yield from (f"secret {name}" for name in facts.secrets.get(desired.id, ()))


def _parts(desired: DesiredWorker, before: DesiredWorker | None, sent: str) -> Iterator[str]:
    """Yield which bindings and settings are others, where this kernel knows what it sent; else that some are."""
    if before is None or fingerprint(before).upload != sent:
        yield "bindings or settings"
        return
    was, now = ({b.name: b for b in worker.bindings} for worker in (before, desired))
    yield from (f"binding {name}" for name in sorted(was.keys() | now) if was.get(name) != now.get(name))
    was_set, now_set = before.options.value, desired.options.value
    yield from (f"setting {n}" for n in sorted(was_set.keys() | now_set) if was_set.get(n) != now_set.get(n))
    for name in ("compatibility_date", "compatibility_flags", "main_module"):
        if getattr(before, name) != getattr(desired, name):
            yield name.replace("_", " ")


def _mistake(kind: str, id_: str, facts: StatusFacts) -> str | None:
    found = [one.text for one in facts.mistakes if (one.kind, one.id) == (kind, id_)]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{len(found)} mistake{'s' * (len(found) > 1)}: {found[0]}{more}" if found else None


def _declared(item: Namespace | Worker | None) -> str:
    if item is None:
        return "not in this kernel"
    return (item.where.name if item.where else "") or "in Python"


def _deployed(known: bool, worker: RecordedWorker | None) -> str:  # noqa: FBT001 - whether it is recorded
    if not known:
        return ""
    return (worker.modified_on if worker else None) or "yes"


def _with(row: StatusRow, state: State, now: str = "") -> StatusRow:
    return StatusRow(
        kind=row.kind, id=row.id, state=state, declared=row.declared, deployed=row.deployed, now=now or state
    )
