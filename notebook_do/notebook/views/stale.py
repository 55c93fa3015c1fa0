"""What a plan that was pressed and not sent differs in from the plan as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.display.rich import rich
from notebook_do.model.steps import Upload
from notebook_do.notebook.views.blocks import Line, Tone, capped
from notebook_do.notebook.views.plan_changes import effective, happens, subject
from notebook_do.notebook.views.purpose import objects_of
from notebook_do.notebook.views.record import why_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.errors import DurableError
    from notebook_do.notebook.views.blocks import Block, Document
    from notebook_do.plan.plan import Change, Consent, Plan

Difference = tuple[str, str, str]
"""What differs, how it was, how it is now."""
_ABSENT = "not in it"


def stale_document(stale: DurableError, then: Plan, now: Plan, *, consent: str = "press") -> Document:
    """Say why nothing was sent, and what differs in the plan as it is now; that plan follows below."""
    why = why_nothing(stale).replace(f"plan {then.digest}", "this plan")
    said = f"Nothing was sent: {why}. The plan as it is now needs its own {consent}."
    return (Line(said, Tone.CHANGE, role="alert"), *_table(tuple(differences(then, now))))


def _table(rows: tuple[Difference, ...]) -> tuple[Block, ...]:
    if not rows:
        return ()
    heads = ("what differs from the plan above", "then", "now")
    return (capped("", heads, rows, tones=(Tone.CHANGE,) * len(rows), rest="plan.df has all of the new plan."),)


def differences(then: Plan, now: Plan) -> Iterator[Difference]:
    """Yield what differs: changes that came, went or became others, code, and how much would be lost."""
    before, after = ({_key(c): c for c in effective(plan)} for plan in (then, now))
    for key in dict.fromkeys((*before, *after)):
        was, is_now = before.get(key), after.get(key)
        change = is_now or was
        if change is None or was == is_now:
            continue
        same = was is not None and is_now is not None and was.action is is_now.action
        one, other = _words(was, same=same), _words(is_now, same=same)
        if one != other:
            yield _what(change), one, other
    yield from _other_code(then, now, {key[2] for key in before | after if key[0] == "code"})
    yield from _other_losses(then, now)


def _key(change: Change) -> tuple[str, str, str, str, str]:
    return change.kind, change.id, change.worker, change.name, change.field


def _words(change: Change | None, *, same: bool) -> str:
    """Return what happens; with the action, where it is not the `same` in both plans."""
    if change is None:
        return _ABSENT
    return happens(change, {}) if same else rich(f"{change.action.value}: ", happens(change, {}))


def _what(change: Change) -> str:
    if change.kind in {"worker", "namespace"}:
        return subject(change) if change.kind == "namespace" else f"Worker {change.worker}"
    return f"Worker {change.worker}: {subject(change)}" if change.worker else subject(change)


def _other_code(then: Plan, now: Plan, said: set[str]) -> Iterator[Difference]:
    """Yield the Workers that both plans upload, with other code of which no change tells by itself."""
    before, after = (
        {step.worker: step.modules for step in plan.steps if isinstance(step, Upload)} for plan in (then, now)
    )
    for worker in before.keys() & after.keys() - said:
        if before[worker] != after[worker]:
            yield f"Worker {worker}: code", "as in the plan above", "changed since"


def _other_losses(then: Plan, now: Plan) -> Iterator[Difference]:
    before, after = ({str(c.stable_id): c for c in plan.consents} for plan in (then, now))
    for stable_id in dict.fromkeys((*before, *after)):
        one, other = _lost(before.get(stable_id)), _lost(after.get(stable_id))
        if one != other:
            yield f"namespace {stable_id}: stored objects", one, other


def _lost(consent: Consent | None) -> str:
    return "kept" if consent is None else objects_of((consent,))
