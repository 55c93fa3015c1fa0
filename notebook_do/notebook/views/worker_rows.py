"""The rows of a plan by Worker: in order, under a row that names the Worker, and what changed outside beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from notebook_do.display.formats import counted, short_resource
from notebook_do.display.rich import Rich, code, joined, link, rich, strong
from notebook_do.model import ClassBinding
from notebook_do.model.steps import Upload
from notebook_do.notebook.views.blocks import ROWS, Group, Row, Table, Tone, capped
from notebook_do.notebook.views.plan_changes import ShownChange, loses, put_back, rank, shown
from notebook_do.plan.happens import WITH_URL
from notebook_do.plan.plan import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.plan.plan import Change, Plan


@dataclass(frozen=True, slots=True)
class OfWorker:
    """All rows of one Worker."""

    id: str
    script_name: str
    title: Rich
    rows: tuple[ShownChange, ...]


def by_worker(plan: Plan, changes: Sequence[Change]) -> list[OfWorker]:
    """Return the rows in order: losses first, then renames and moves, hosts before their clients, then by name."""
    places = _Places(plan)
    rows = [shown(plan, change, places.secrets, places.urls) for change in changes]
    ranked = sorted(rows, key=lambda r: (places.rank(r), rank(r.change.kind)))
    groups = []
    for id_, of_one in groupby(ranked, key=places.worker):
        kept = tuple(of_one)
        groups.append(OfWorker(id_, places.script(id_, kept), places.title(id_, kept), kept))
    return groups


class _Places:
    """What a plan knows of its Workers: their scripts, who hosts for whom, and what is uploaded after what."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.urls = plan, dict(plan.addresses)
        named = [(c.worker, c.name) for c in plan.changes if c.kind in {"worker", "code", "url", "cron"} and c.name]
        steps = [(s.worker, s.script_name) for s in plan.steps if isinstance(s, Upload)]
        self.scripts = dict([*named, *steps])
        self.ids = {script: id_ for id_, script in self.scripts.items()}
        secret = [row for row in plan.binding_rows if row.get("type") == "secret_text"]
        self.secrets = frozenset((row.get("worker", ""), row.get("binding", "")) for row in secret)
        uploads = [s for s in plan.steps if isinstance(s, Upload)]
        self.order = {id_: at for at, id_ in reversed([*enumerate(s.worker for s in uploads)])}
        self.after = {s.worker: self._hosts_of(s) for s in uploads}
        self.hosting: dict[str, list[str]] = {}
        for row in plan.binding_rows:
            host = self.ids.get(row.get("script_name", ""), row.get("script_name", ""))
            if row.get("role") == "client" and host != row.get("worker"):
                self.hosting.setdefault(host, []).append(row.get("target", ""))
        self.losing = {self.id_of(c.worker) for c in plan.changes if loses(plan, c)}
        moves = {Action.RENAME, Action.TRANSFER}
        self.moving = {self.id_of(c.worker) for c in plan.changes if c.action in moves}

    def id_of(self, worker: str) -> str:
        """Return the id of a Worker that is named by its id or by its script."""
        return self.ids.get(worker, worker)

    def _hosts_of(self, step: Upload) -> list[str]:
        scripts = {b.script_name for b in step.bindings if isinstance(b, ClassBinding) and b.script_name}
        return sorted(self.ids[s] for s in scripts - {step.script_name} if s in self.ids)

    def worker(self, row: ShownChange) -> str:
        """Return the id of the Worker that a row belongs to."""
        return self.id_of(row.change.worker)

    def rank(self, row: ShownChange) -> tuple[bool, bool, bool, str]:
        """Order Workers."""
        id_ = self.worker(row)
        return id_ not in self.losing, id_ not in self.moving, id_ not in self.hosting, id_

    def script(self, id_: str, rows: Sequence[ShownChange]) -> str:
        """Return the script name of a Worker, where the plan tells it."""
        return self.scripts.get(id_) or next((r.change.name for r in rows if r.change.kind == "setting"), "")

    def title(self, id_: str, rows: Sequence[ShownChange]) -> Rich:
        """Return the words of the row above the rows of a Worker."""
        if not id_:
            return rich(strong("No Worker"))
        script = self.script(id_, rows)
        pieces: list[str] = [strong(f"Worker {id_}")]
        if script:
            pieces.append(rich("script ", code(script)))
        says = any(r.change.kind == "url" or r.change.happens == WITH_URL for r in rows)
        if self.plan.target != "local" and script in self.urls and not says:
            pieces.append(link(self.urls[script]))
        if hosted := dict.fromkeys(self.hosting.get(id_, ())):
            pieces.append(f"hosts {', '.join(hosted)}")
        before = [h for h in self.after.get(id_, ()) if self.order.get(h, -1) in range(self.order[id_])]
        if before:
            pieces.append(f"after {', '.join(before)}, because it binds a class of {' and '.join(before)}")
        return joined(" · ", pieces)


# --- tables

_HEADS = ("action", "what", "what happens")


def table_of(plan: Plan, changes: Sequence[Change]) -> Table:
    """Return all rows: with a group for each Worker; one alone, and deletions alone, without groups."""
    groups = by_worker(plan, changes)
    if len(changes) == 1:
        (row,) = groups[0].rows
        return Table("", (), (_alone(groups[0], row),), (row.tone,))
    if all(r.action is Action.DELETE and r.change.kind in _WHOLE for group in groups for r in group.rows):
        return _deletions(groups)
    rows: list[tuple[Row, Tone | None]] = []
    for group in groups:
        rows.append((Group(group.title), None))
        rows += [((row.action.value, row.subject, row.happens), row.tone) for row in group.rows]
    return capped(
        "",
        _HEADS,
        tuple(row for row, _ in rows[:ROWS]),
        total=len(rows),
        tones=tuple(tone for _, tone in rows[:ROWS]),
        rest="plan.df has all.",
    )


_WHOLE = frozenset(("worker", "namespace"))


def _deletions(groups: Sequence[OfWorker]) -> Table:
    """Return what is destroyed, namespaces first: each row names its thing itself."""
    every = [(row, group) for group in groups for row in group.rows]
    rows = sorted(every, key=lambda pair: pair[0].change.kind == "worker")
    cells = [
        (row.action.value, f"Worker {group.id}" if row.change.kind == "worker" else row.subject, row.happens)
        for row, group in rows
    ]
    tones = tuple(row.tone for row, _ in rows)
    return capped("", _HEADS, tuple(cells), tones=tones, rest="plan.df has all.")


def _alone(group: OfWorker, row: ShownChange) -> tuple[str, ...]:
    if row.change.kind == "worker":
        return row.action.value, f"Worker {group.id}", row.happens
    return row.action.value, f"{row.subject} of Worker {group.id}" if group.id else row.subject, row.happens


def drift_table(plan: Plan) -> Table | None:
    """Return what changed outside: what is declared beside what is live now."""
    drift = put_back(plan)
    if not drift:
        return None
    rows: list[tuple[Row, Tone | None]] = []
    for group in by_worker(plan, drift):
        rows.append((Group(group.title), None))
        rows += [((r.action.value, r.subject, *_sides(plan, r.change)), Tone.CHANGE) for r in group.rows]
    heads = ("action", "what", "declared", "live now")
    kept, tones = tuple(r for r, _ in rows[:ROWS]), tuple(t for _, t in rows[:ROWS])
    return capped("", heads, kept, total=len(rows), tones=tones, rest="plan.df has all.")


def _short(text: str) -> str:
    """Return what something is bound to with the ids in it in short."""
    return re.sub(r"\b[0-9a-f]{24,}\b", lambda found: short_resource(found[0]), text)


def _sides(plan: Plan, change: Change) -> tuple[str, str]:
    if change.kind != "code":
        texts = (_short(text) if change.kind == "binding" else text for text in (change.after, change.before))
        after, before = (code(text) if text else rich("not there") for text in texts)
        return after, before if change.before or change.kind in {"binding", "setting"} else rich(change.happens)
    found = next((d for d in plan.code if d.worker == change.worker), None)
    if found is None or found.problem:
        return "as deployed last", change.happens
    declared = f" of {found.declared}" if found.declared else ""
    source = found.source if not found.declared else found.source.partition(" of ")[0]
    return rich(source, declared), rich(f"{counted(found.live_lines, 'line')}, ", change.happens)
