"""A plan that changes much: one row a Worker, Workers that change alike one row together."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from notebook_do.display.rich import Rich, code, joined, rich, strong
from notebook_do.notebook.views.blocks import Table, Tone, capped
from notebook_do.notebook.views.worker_rows import OfWorker, by_worker
from notebook_do.plan.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from notebook_do.plan.plan import Change, Plan

_WORKERS, _ROWS = 8, 40
"""Above these the table has one row a Worker, and all rows are folded."""


def is_long(changes: Sequence[Change]) -> bool:
    """Say whether a plan changes so much that its table has one row a Worker."""
    return len(changes) > _ROWS or len({c.worker for c in changes}) > _WORKERS


def overview(plan: Plan, changes: Sequence[Change]) -> Table:
    """Return one row a Worker; Workers that change alike, and follow each other, are one row."""
    groups = by_worker(plan, changes)
    rows, tones = [], []
    for _, alike in groupby(groups, key=_shape):
        kept = list(alike)
        action, tone = _strongest(kept[0])
        rows.append((action.value, _names(kept), _summary(kept)))
        tones.append(tone)
    return capped("", ("action", "Worker", "what happens"), tuple(rows), tones=tuple(tones), rest="plan.df has all.")


_STRONGEST = (Action.DELETE, Action.TRANSFER, Action.RENAME)


def _strongest(group: OfWorker) -> tuple[Action, Tone]:
    tones = {row.tone for row in group.rows}
    whole = next((row for row in group.rows if row.change.kind == "worker" and row.action is not Action.UPDATE), None)
    if whole is not None:
        return whole.action, Tone.ALERT if Tone.ALERT in tones else whole.tone
    for action in _STRONGEST:
        for row in group.rows:
            if row.action is action and row.change.kind == "namespace":
                return action, row.tone
    return Action.UPDATE, Tone.CHANGE


def _shape(group: OfWorker) -> tuple[object, ...]:
    """Return what is equal for Workers that change alike: all but the values of their bindings and their addresses."""
    single = {"namespace", "setting", "cron"}
    return tuple(
        (r.action, r.change.kind, r.change.name if r.change.kind == "binding" else r.subject)
        + ((str(r.happens),) if r.change.kind in single else ())
        + ((group.id,) if r.change.kind == "code" and r.action is Action.UPDATE else ())
        for r in group.rows
    )


def _names(groups: Sequence[OfWorker]) -> Rich:
    if len(groups) > 1:
        return rich(strong(f"{groups[0].id} … {groups[-1].id}"), f" ({len(groups)} alike)")
    gone = [r.change.id for r in groups[0].rows if r.change.kind == "namespace" and r.action is Action.DELETE]
    extra = [piece for id_ in gone for piece in (" and namespace ", strong(id_))]
    return rich(strong(groups[0].id), *extra)


def _summary(groups: Sequence[OfWorker]) -> Rich:
    """Say in one line what happens to a Worker, or to several that change alike."""
    return joined("; ", _pieces(groups))


def _pieces(groups: Sequence[OfWorker]) -> Iterator[Rich]:
    first = groups[0]
    created: list[Rich] = []
    for at, row in enumerate(first.rows):
        values = list(dict.fromkeys(str(group.rows[at].happens) for group in groups))
        value = rich(row.happens) if len(values) == 1 else rich(f"{len(values)} values")
        match row.change.kind, row.action:
            case "binding", Action.CREATE:
                created.append(rich(f"{row.change.name} (", value, ")"))
            case "worker", Action.DELETE:
                yield code(first.script_name or first.id)
            case "worker" | "namespace", Action.CREATE | Action.UPDATE if row.change.kind == "worker":
                continue
            case "namespace", Action.DELETE:
                continue
            case "url", Action.CREATE:
                continue
            case _:
                yield rich(f"{row.subject} ", value)
    if created:
        yield rich("bindings " if len(created) > 1 else "binding ", joined(", ", created))
    if any(r.change.kind == "url" and r.action is Action.CREATE for r in first.rows):
        yield rich("URL")
