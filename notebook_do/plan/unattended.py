"""Why a plan is not sent before a person has read it: it deletes or takes over something, or undoes what others did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.plan.plan import Action, Objection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.plan.plan import Change, Plan


def objections(plan: Plan) -> tuple[Objection, ...]:
    """Return every reason for which a plan must be read first, refusals before all; none for one that is safe."""
    return tuple(_objections(plan))


def _objections(plan: Plan) -> Iterator[Objection]:
    for refusal in plan.refusals:
        yield Objection(kind="refusal", text=f"{refusal.subject}: {refusal.message}")
    for consent in plan.consents:
        yield Objection(kind="phrase", text=consent.phrase)
    for change in plan.changes:
        if change.action is Action.DELETE or change.destructive or _loses_crons(change):
            yield Objection(kind="deletion", text=change.detail)
    for change in plan.drift:
        if not _is_followed(change, plan):
            yield Objection(kind="put-back", text=change.detail)
    yield from plan.outside


def _loses_crons(change: Change) -> bool:
    """Say whether cron triggers leave with a request that replaces them all: its row is an update."""
    before, after = (set(text.split(", ")) - {""} for text in (change.before, change.after))
    return change.kind == "cron" and bool(before - after)


def _is_followed(drift: Change, plan: Plan) -> bool:
    """Say whether a plan leaves as it is what was changed outside."""
    match drift.kind, drift.action:
        case "setting", _ if drift.field == "lifecycle":
            return True
        case "namespace", Action.DELETE:  # it is gone, and never created again for that
            return True
        case "namespace", _:
            moves = (c for c in plan.changes if c.kind == "namespace" and c.namespace_id == drift.namespace_id)
            return not any(c.action in (Action.RENAME, Action.TRANSFER) for c in moves)
    return False
