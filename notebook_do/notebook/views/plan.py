"""Plan -> blocks: what would happen in plain sentences, what forbids it, what would be lost, and how to go on.

In this order: what is this and where does it go, what must you decide, what happens, what else to know, and folded what
only some need: the code, the steps, all rows of a long plan.
"""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Literal

from notebook_do.display.formats import counted, listed, moment, named_account, short_account, short_digest
from notebook_do.display.rich import capitalized, code, formatted, rich, strong
from notebook_do.model import RenameClass
from notebook_do.model.steps import Upload
from notebook_do.notebook.views.bindings import reached
from notebook_do.notebook.views.blocks import (
    ROWS,
    Block,
    Code,
    Diff,
    Document,
    Folded,
    Header,
    Item,
    Items,
    Line,
    Table,
    Tone,
)
from notebook_do.notebook.views.decisions import command_in, losses, refusals
from notebook_do.notebook.views.overview import is_long, overview
from notebook_do.notebook.views.plan_changes import effective, other_drift
from notebook_do.notebook.views.purpose import purpose_of
from notebook_do.notebook.views.worker_rows import drift_table, table_of
from notebook_do.plan.plan import Action
from notebook_do.plan.workers.settings import update_notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from notebook_do.plan.code import CodeDiff
    from notebook_do.plan.plan import Change, Plan

number, masked = counted, short_account


def target_words(target: str) -> str:
    """Return the words for a target, so that nobody takes one for the other."""
    return "local (this machine)" if target == "local" else f"{target} (LIVE)"


def place_words(plan: Plan) -> str:
    """Return where a plan goes: `dev on local`, `production on Cloudflare`."""
    return f"{plan.stage} on {'local' if plan.target == 'local' else 'Cloudflare'}"


def liveness(stage: str, target: str) -> Literal["", "live", "production"]:
    """Return how loud the title is: on this machine nothing of anybody's is at stake."""
    return "" if target == "local" else "production" if stage == "production" else "live"


def change_count(plan: Plan) -> str:
    """Return how many changes a deploy makes, or steps, where a plan only repairs what was lost."""
    count = len(effective(plan))
    return counted(count, "change") if count else counted(len(plan.steps), "step")


# --- the view


def plan_document(plan: Plan, *, offered: bool = False) -> Document:
    """Return the whole view of a plan; an `offered` one names no next command, because its button stands below."""
    changes = effective(plan)
    if not plan.steps and not plan.refusals:
        return tuple(_idle(plan))
    drift = drift_table(plan)
    outside = set(map(id, plan.drift))  # by identity: comparing each with each is slow in a plan of thousands
    own = tuple(c for c in changes if id(c) not in outside)
    return (
        Header(f"Plan for {place_words(plan)}: {title_words(plan)}", _facts(plan), liveness(plan.stage, plan.target)),
        *refusals(plan),
        *losses(plan, offered=offered),
        *_undecided(plan),
        *(() if plan.refusals else _changes(plan, own)),
        *_drift(plan, drift),
        *_notes(plan),
        *(() if plan.refusals else reached(plan.binding_rows)),
        *(() if plan.refusals else _diffs(plan, own)),
        *_steps(plan),
        *_refused_changes(plan, own),
        *_kept_instead(plan, drift),
        *(Line(note, small=True) for note in update_notes(plan.steps, plan.target)),
        *_last(plan, offered=offered),
    )


def _facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    # A local account's id says nothing; of real ones it tells two apart before anything is pressed.
    account = () if plan.target == "local" else (("account", named_account(plan.baseline.account_id, plan.account)),)
    return (*account, ("session", plan.session))


def title_words(plan: Plan) -> str:
    """Return what a plan does, counted; what it destroys is said with that word."""
    if plan.refusals:
        return f"refused, {counted(len(plan.refusals), 'decision is', 'decisions are')} yours"
    changes = effective(plan)
    if not changes:
        return counted(len(plan.steps), "step")
    if is_long(changes):
        workers = {c.worker for c in changes}
        everywhere = {c.worker for c in plan.changes if c.kind != "namespace"} | workers
        return f"{counted(len(changes), 'change')} to {len(workers):,} of {counted(len(everywhere), 'Worker')}"
    purpose = purpose_of(plan)
    if not purpose.gone:
        return _counts(changes)
    return f"{_counts(purpose.others)}, and destroy {purpose.gone}" if purpose.others else f"destroy {purpose.gone}"


def _counts(changes: Sequence[Change]) -> str:
    tally = Counter(c.action for c in changes)
    apart = [counted(tally[a], a.value) for a in (Action.RENAME, Action.TRANSFER) if tally[a]]
    if not apart:
        return counted(len(changes), "change")
    rest = len(changes) - tally[Action.RENAME] - tally[Action.TRANSFER]
    noun = "update" if tally[Action.UPDATE] == rest else "other change"
    return ", ".join([*apart, *([counted(rest, noun)] if rest else [])])


# --- nothing to send


def _idle(plan: Plan) -> Iterator[Block]:
    """Return the one line of a plan that sends nothing, and what there is to know all the same."""
    where = ", ".join(f"{name} {value}" for name, value in reversed(_facts(plan)))
    title = f"Plan for {place_words(plan)}"
    if plan.undecided:
        title = f"{title}: nothing can be deployed yet"
        yield Header(title, _facts(plan), liveness(plan.stage, plan.target))
        yield from _undecided(plan)
    elif plan.undeclared is not None:
        yield Line(f"{title}: nothing to do, nothing is declared in this session. ({where})", Tone.SAME)
        more = (Item(f"… {len(plan.undeclared) - ROWS:,} more"),) if len(plan.undeclared) > ROWS else ()
        items = (*(Item(one) for one in plan.undeclared[:ROWS]), *more)
        yield from (Items("Not declared, and left as it is", items),) if items else ()
    else:
        digest = code(short_digest(plan.digest))
        yield Line(rich(f"{title}: nothing to do. {_as_declared(plan)} (", where, ", plan ", digest, ")"), Tone.SAME)
    yield from _drift(plan, None)
    yield from _notes(plan)
    if plan.unread:
        yield Line(plan.unread, small=True)


def _as_declared(plan: Plan) -> str:
    """Say how much is live as it is declared; `kept` rows are of what is not declared."""
    workers = {row.get("worker") for row in plan.binding_rows} | {c.id for c in _same(plan, "worker")}
    namespaces = {c.id for c in _same(plan, "namespace")}
    kinds = ((len(workers), "Worker"), (len(namespaces), "namespace"))
    live = [counted(count, noun) for count, noun in kinds if count]
    verb = "is" if sum(count for count, _ in kinds) == 1 else "are"
    return f"{listed(live)} {verb} live as declared." if live else "Everything declared is live."


def _same(plan: Plan, kind: str) -> list[Change]:
    return [c for c in plan.changes if c.kind == kind and c.action is Action.NOOP and "not declared" not in c.detail]


# --- what happens


def _changes(plan: Plan, changes: Sequence[Change]) -> tuple[Block, ...]:
    if not changes:
        return ()
    if not is_long(changes):
        return (table_of(plan, changes),)
    every = Folded(f"All {counted(len(changes), 'change')}, by Worker", (table_of(plan, changes),))
    return overview(plan, changes), every


def _refused_changes(plan: Plan, changes: Sequence[Change]) -> tuple[Block, ...]:
    if not plan.refusals or not changes:
        return ()
    return (Folded(f"The {counted(len(changes), 'change')} that would go with it", (table_of(plan, changes),)),)


def _drift(plan: Plan, table: Table | None) -> tuple[Block, ...]:
    told = tuple(
        Item(c.detail, Tone.ALERT if c.kind == "namespace" and c.destructive else Tone.CHANGE)
        for c in other_drift(plan)[:ROWS]
    )
    lines: list[Block] = [Items("", told)] if told else []
    if table is not None:
        count = sum(isinstance(row, tuple) for row in table.rows) + table.hidden
        since = f" of {moment(plan.deployed_at)[:16]}" if plan.deployed_at else ""
        back = "A deploy puts them back." if count > 1 else "A deploy puts it back."
        said = f"Changed outside since the last deploy{since}: {counted(count, 'thing')}. {back}"
        lines += [Line(said, Tone.CHANGE), table]
    return tuple(lines)


def _kept_instead(plan: Plan, table: Table | None) -> tuple[Block, ...]:
    scripts = dict.fromkeys(c.name for c in plan.drift if c.kind == "code" and c.field == "etag")
    if table is None or not scripts or plan.refusals:
        return ()
    command = code(f"%durable import {shlex.join(scripts)}")
    return (Line(rich("To keep what is live instead: ", command, " gives the cells that declare it."), small=True),)


def _undecided(plan: Plan) -> tuple[Block, ...]:
    if not plan.undecided:
        return ()
    items = tuple(Item(f"Worker {left.script_name}: {left.detail}", Tone.CHANGE) for left in plan.undecided)
    title = rich("Not known yet: this plan leaves these Workers out. To look again: ", code("%durable plan"))
    return (Items(title, items),)


def _notes(plan: Plan) -> tuple[Block, ...]:
    """Return what else there is to know, each a line with its symbol."""
    notes = (n for n in plan.notes if n != plan.unread)
    said = (*_swaps(plan), *notes, *plan.warnings)
    return (Items("", tuple(Item(command_in(text), Tone.CHANGE) for text in said)),) if said else ()


def _swaps(plan: Plan) -> Iterator[str]:
    """Say of each Worker that is uploaded twice which class has another name in between."""
    uploads = [s for s in plan.steps if isinstance(s, Upload) and s.migration]
    renames = [m for s in uploads if s.migration for m in s.migration.class_migrations if isinstance(m, RenameClass)]
    for first in renames:
        if any(m.stable_id == first.stable_id and m.from_class == first.to_class for m in renames):
            yield formatted(
                "A swap needs two uploads. Until the second is done, the class of {stable_id} is called `{name}`.",
                {"stable_id": strong(first.stable_id), "name": first.to_class},
            )


# --- folded


def _diffs(plan: Plan, changes: Sequence[Change]) -> tuple[Block, ...]:
    """Return the diff of each Worker's code; of a bundle only the counts stand in the table."""
    if is_long(changes):
        return ()
    shown = [d for d in plan.code if d.lines and not d.bundled]
    outside = {c.worker for c in plan.drift if c.kind == "code"}
    return tuple(
        Folded(
            rich(
                "Diff of the code",
                f" of {d.worker}" * (len(shown) > 1),
                ", live → declared" * (d.worker in outside),
                ": ",
                ", ".join(m.name for m in d.texts[:3]),
                f" {d.counts}",
            ),
            (Diff(d.lines, f'plan.diff("{d.worker}") has all'),),
        )
        for d in shown
    )


def code_document(diff: CodeDiff) -> Document:
    """Return the whole view of what differs in the code of one Worker: every line of it, also in plain text."""
    title = Header(f"Code of {diff.worker}, live → declared", (("script", diff.script_name),))
    blocks = [Line(capitalized(diff.words))]
    return (title, *blocks, Code("", str(diff))) if diff.lines else (title, *blocks)


def _steps(plan: Plan) -> tuple[Block, ...]:
    """Return what is sent, step by step; one step says no more than the table does."""
    if len(plan.steps) < 2:
        return ()
    rows = tuple((f"{at}", step.summary) for at, step in enumerate(plan.steps[:ROWS], 1))
    hidden = max(len(plan.steps) - ROWS, 0)
    uploaded = Counter(s.script_name for s in plan.steps if isinstance(s, Upload))
    summary = f"What is sent, in this order ({counted(len(plan.steps), 'step')})"
    table = Table("", ("", "step"), rows, hidden=hidden, rest="plan.steps has all.")
    return (Folded(summary, (table,), opened=max(uploaded.values(), default=0) > 1),)


# --- the last line


def deletes(plan: Plan) -> tuple[str, ...]:
    """Return the ids that a plan deletes, as `%durable destroy` takes them."""
    gone = (c.id for c in plan.changes if c.action is Action.DELETE and c.kind in ("worker", "namespace"))
    return tuple(dict.fromkeys(gone))


def _last(plan: Plan, *, offered: bool) -> tuple[Block, ...]:
    if plan.refusals:
        return ()
    pieces: list[str] = []
    if unchanged := sum(c.action is Action.NOOP for c in plan.changes):
        pieces.append(f"{unchanged:,} unchanged · ")
    if plan.unread:
        pieces.append(f"{plan.unread.rstrip('.')} · ")
    pieces += ["plan ", code(plan.digest)]
    if plan.read_at and liveness(plan.stage, plan.target) == "production":
        pieces.append(f", read {moment(plan.read_at)}")
    ids = plan.asked or deletes(plan)
    command = f"%durable destroy {shlex.join(ids)}" if ids else "%durable deploy"
    return (Line(rich(*pieces, *(() if offered else (" · next: ", code(command)))), small=True),)
