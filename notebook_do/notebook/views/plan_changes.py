"""The changes of a plan as rows: in order, by Worker, each with the words for what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.display.rich import link, rich
from notebook_do.notebook.views.bindings import TONES
from notebook_do.notebook.views.blocks import Tone
from notebook_do.plan.happens import WITH_URL
from notebook_do.plan.plan import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.plan.plan import Change, Plan

_KINDS = ("worker", "namespace", "code", "binding", "setting", "assets", "url", "cron")
_WORKERS, _ROWS = 8, 40
"""Above these the table has one row a Worker, and all rows are folded."""
_TRIGGERS = {"route": "route", "domain": "custom domain", "consumer": "consumer of queue", "workflow": "workflow"}


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One row: the change, with the action and the words that a person reads."""

    change: Change
    action: Action
    tone: Tone
    subject: str
    happens: str


# --- what there is to show


def effective(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that are no noop, and what changed outside and is put back without a change of its own."""
    changes = tuple(c for c in plan.changes if c.action is not Action.NOOP)
    told = set(map(_thing, changes))
    again = (c for c in put_back(plan) if _thing(c) not in told)
    return (*changes, *(again if plan.steps else ()))


def _thing(change: Change) -> tuple[str, ...]:
    """Return what a change is about: a deploy replaces the code whatever the reason is."""
    return (
        (change.kind, change.worker) if change.kind == "code" else (change.kind, change.id, change.name, change.field)
    )


def put_back(plan: Plan) -> tuple[Change, ...]:
    """Return the drift that is a difference of one thing: what is declared, and what is live now."""
    return tuple(c for c in plan.drift if _is_difference(c))


def other_drift(plan: Plan) -> tuple[Change, ...]:
    """Return the drift that is told in a sentence: what is gone, or is followed."""
    return tuple(c for c in plan.drift if not _is_difference(c))


def _is_difference(change: Change) -> bool:
    if change.kind in {"worker", "namespace"} or change.field in {"lifecycle", "deployment"}:
        return False
    return bool(change.before or change.after or change.happens)


def rank(kind: str) -> int:
    """Order kinds as a person thinks of them: the Worker, its classes, its code, its bindings, the rest."""
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def loses(plan: Plan, change: Change) -> bool:
    """Say whether stored objects are lost with a namespace; what is not known counts as some."""
    if change.kind != "namespace" or change.action is not Action.DELETE or not change.destructive:
        return False
    return all(c.objects != 0 for c in plan.consents if c.namespace_id == change.namespace_id)


# --- one change


def shown(plan: Plan, change: Change, secrets: frozenset[tuple[str, str]], urls: Mapping[str, str]) -> ShownChange:
    """Return a change as a person reads it: an address is opened or closed, code that is new is no update."""
    action = change.action
    if change.kind == "url" and change.field == "workers.dev":
        action = Action.DELETE if change.after == "closed" else Action.CREATE
    elif change.kind == "code" and change.field == "modules" and not change.before and not _replaces(plan, change):
        action = Action.CREATE
    tone = Tone.ALERT if loses(plan, change) else TONES[action]
    return ShownChange(change, action, tone, subject(change, secrets), happens(change, urls))


def _replaces(plan: Plan, change: Change) -> bool:
    """Say whether there is live code that differs, though no record says that it was sent from here."""
    return any(diff.worker == change.worker for diff in plan.code)


def subject(change: Change, secrets: frozenset[tuple[str, str]] = frozenset()) -> str:
    """Return what a change is about, in words; the Worker stands above it."""
    match change.kind:
        case "worker":
            return "Worker"
        case "namespace":
            return f"namespace {change.id}"
        case "binding":
            name = change.name or change.id
            secret = (change.worker, name) in secrets or change.detail.startswith("Secret ")
            return f"{'secret' if secret else 'binding'} {name}"
        case "setting":
            return f"setting {change.field or change.name}"
        case "url":
            return "URL" if change.field == "workers.dev" or not change.field else "preview URLs"
        case "cron":
            return "crons"
        case "code" | "assets":
            return change.kind
        case kind:
            return " ".join(part for part in (_TRIGGERS.get(kind, kind), change.field or change.name) if part)


def happens(change: Change, urls: Mapping[str, str]) -> str:
    """Return what happens: the words for the row, or else the sentence and the values that it does not name."""
    if change.kind == "url" and change.happens in {"opens", "closes"}:
        url = urls.get(change.name)
        return rich(f"{change.happens} ", link(url) if url else "its workers.dev address")
    if change.happens == WITH_URL:
        url = urls.get(change.name)
        return rich("and its URL ", link(url)) if url else "and its workers.dev address"
    return change.happens or sentence(change)


def sentence(change: Change) -> str:
    """Return the planner's sentence, and what it does not name of the values and the namespace id."""
    said, extras = change.detail.rstrip("."), []
    if change.kind == "code" and said:  # its values are digests
        return f"{said}."
    # The planner's sentence may name the values already; twice the same reads like two changes.
    if change.before and change.after and change.before != change.after:
        if change.before not in said or change.after not in said:
            extras.append(f"{change.before} → {change.after}")
    elif (value := change.after or change.before) and value not in said:
        extras.append(value if change.after else f"was {value}")
    if change.namespace_id and change.namespace_id not in said:
        extras.append(f"namespace id {change.namespace_id}")
    if not said:
        return f"{change.field}: {'; '.join(extras)}" if change.field else "; ".join(extras) or change.action.value
    return f"{said} ({'; '.join(extras)})." if extras else f"{said}."
