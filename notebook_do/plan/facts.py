"""Desired, recorded and observed, indexed once; and the findings that planning collects on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from notebook_do.plan.plan import Change, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        Where,
    )
    from notebook_do.model.states import SecretReading


class Slot(NamedTuple):
    """Where a namespace lives: a class of a script. A label, not an identity."""

    script: str
    class_name: str


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
    secret_readings: Mapping[tuple[str, str], SecretReading]
    """What can be told of the declared secrets, by script name and binding."""


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
    asked_about: set[str] = field(default_factory=set)
    """The live namespaces, by id, of which a refusal asks what they are."""

    def refuse(self, code: str, subject: str, message: str, *choices: str, where: Where | None = None) -> None:
        """Note a refusal; `choices` are what the user can do instead."""
        line = where.line if where else None
        self.refusals.append(Refusal(code=code, subject=subject, message=message, choices=choices, line=line))
