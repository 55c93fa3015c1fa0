"""Plan -> blocks: what would happen in plain sentences, what forbids it, what would be lost, and how to go on."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from notebook_do.model import binding_word
from notebook_do.notebook.views.blocks import (
    ROWS,
    Block,
    Code,
    Diagram,
    Document,
    Edge,
    Folded,
    Header,
    Item,
    Items,
    Line,
    Tone,
    capped,
)
from notebook_do.plan.plan import Action
from notebook_do.plan.rows import KEPT
from notebook_do.plan.workers.settings import update_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from notebook_do.plan.plan import Change, Consent, Plan, Refusal, Undecided

_APART = {Action.NOOP: Tone.SAME, Action.CREATE: Tone.ADD, Action.DELETE: Tone.DROP}
TONES = {action: _APART.get(action, Tone.CHANGE) for action in Action}
_EDGES = 120
_VALUES = frozenset(("plain_text", "json", "secret_text", "secret_key", "version_metadata"))
_NOUNS = {
    "worker": ("Worker", "Workers"),
    "namespace": ("class", "classes"),
    "binding": ("binding", "bindings"),
    "code": ("script", "scripts"),
    "setting": ("setting", "settings"),
    "assets": ("set of static assets", "sets of static assets"),
    "url": ("URL", "URLs"),
    "cron": ("cron list", "cron lists"),
}
_KINDS = tuple(_NOUNS)


def _rank(kind: str) -> int:
    """Order kinds as a person thinks of them: the Worker, its classes, its bindings, the rest."""
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def number(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def target_words(target: str) -> str:
    """Return the words for a target, so that nobody takes one for the other."""
    return "local (this machine)" if target == "local" else f"{target} (LIVE)"


def masked(account_id: str) -> str:
    """Shorten an account id: enough to recognise it in a shared notebook."""
    return account_id if len(account_id) <= 12 else f"{account_id[:4]}…{account_id[-4:]}"


def effective(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that are no noop: what the Deploy button counts."""
    return tuple(c for c in plan.changes if c.action is not Action.NOOP)


def change_count(plan: Plan) -> str:
    """Return how many changes a deploy makes, or steps, where a plan only repairs what was lost."""
    count = len(effective(plan))
    return number(count, "change") if count else number(len(plan.steps), "step")


def counts(plan: Plan) -> str:
    """Return in one sentence how much of what a deploy would do."""
    tally = Counter((c.kind, c.action, _verb(c)) for c in effective(plan))
    order = sorted(tally, key=lambda key: (_rank(key[0]), list(Action).index(key[1]), key[2]))
    parts = [f"{number(tally[key], *_NOUNS.get(key[0], (key[0],)))} to {key[2]}" for key in order]
    if plan.consents:
        parts.append(f"stored objects of {number(len(plan.consents), 'namespace')} would be lost")
    return ", ".join(parts) + "." if parts else "No change."


def _verb(change: Change) -> str:
    """Return what is done: an address is opened or closed, all else is what its action says."""
    if change.kind == "url":
        return "close" if change.after == "closed" else "open"
    return change.action.value


def plan_document(plan: Plan, *, offered: bool = False) -> Document:
    """Return the whole view of a plan; an `offered` one names no next command, because its button stands below."""
    return (
        _header(plan),
        *_refusals(plan.refusals),
        *_consents(plan.consents, refused=bool(plan.refusals)),
        *_undecided(plan.undecided),
        *_changes(plan),
        *(Line(note) for note in plan.notes),
        *_drift(plan.drift),
        *_warnings(plan.warnings),
        *_migrations(plan.migration_rows),
        *_bindings(plan.binding_rows),
        *(Line(note) for note in update_notes(plan.steps, plan.target)),
        *_steps(plan),
        *_next(plan, offered=offered),
    )


def _header(plan: Plan) -> Header:
    facts = [("session", plan.session), ("stage", plan.stage), ("target", target_words(plan.target))]
    # A local account's id says nothing; of real ones it tells two apart before anything is pressed.
    if plan.target != "local":
        facts.append(("account", masked(plan.baseline.account_id)))
    return Header("Plan", (*facts, ("state serial", str(plan.baseline.serial))))


def _changes(plan: Plan) -> tuple[Block, ...]:
    changes = sorted(effective(plan), key=lambda c: (c.worker, _rank(c.kind)))
    unchanged = len(plan.changes) - len(changes)
    same = f" {unchanged} unchanged." if unchanged else ""
    if changes:
        return (_change_table(counts(plan) + same, changes, "plan.df has all."),)
    if plan.refusals or not plan.empty:
        return (Line(counts(plan) + same),)
    if plan.undecided:
        return (Line("Nothing can be deployed until then." + same, Tone.CHANGE, strong=True),)
    if plan.undeclared is not None:
        return _nothing_declared(plan.undeclared)
    return (Line("Nothing to do: everything declared is live.", Tone.SAME, strong=True),)


def _nothing_declared(others: Sequence[str]) -> tuple[Block, ...]:
    """Return the blocks of a plan of nothing: what is live stays as it is all the same."""
    said = Line("Nothing to do: nothing is declared in this session.", Tone.SAME, strong=True)
    more = (Item(f"… {len(others) - ROWS} more"),) if len(others) > ROWS else ()
    items = (*(Item(one) for one in others[:ROWS]), *more)
    return (said, Items("Not declared, and left as it is", items)) if items else (said,)


def _change_table(caption: str, changes: Sequence[Change], rest: str) -> Block:
    rows = tuple((c.action.value, subject(c), c.worker, sentence(c)) for c in changes[:ROWS])
    tones = tuple(_tone(c) for c in changes[:ROWS])
    return capped(
        caption, ("action", "what", "Worker", "what happens"), rows, total=len(changes), tones=tones, rest=rest
    )


def _tone(change: Change) -> Tone:
    return Tone.ALERT if change.destructive else TONES[change.action]


def subject(change: Change) -> str:
    """Return what a change is about, in words."""
    match change.kind:
        case "worker":
            return f"Worker {change.name or change.id}"
        case "namespace":
            return f"namespace {change.id}"
        case "binding":
            return f"binding {change.name or change.id}"
        case _:
            return " ".join(part for part in (change.kind, change.name or change.field) if part)


def sentence(change: Change) -> str:
    """Return what happens: the planner's sentence, and what it does not name of the values and the namespace id."""
    said, extras = change.detail.rstrip("."), []
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


def _drift(drift: Sequence[Change]) -> tuple[Block, ...]:
    if not drift:
        return ()
    caption = f"Drift: {number(len(drift), 'thing')} changed outside since the last deploy."
    return (_change_table(caption, drift, "plan.df has all."),)


def _refusals(refusals: Sequence[Refusal]) -> tuple[Block, ...]:
    if not refusals:
        return ()
    items = tuple(
        Item(
            f"{r.subject}: {r.message}" + (f" (line {r.line} of its cell)" if r.line else ""),
            Tone.ALERT,
            r.choices,
        )
        for r in refusals
    )
    return (
        Items(f"Refused: {number(len(items), 'decision is', 'decisions are')} yours. Nothing can be sent yet.", items),
    )


def lost(consent: Consent) -> str:
    """Return in a sentence what one consent gives up."""
    count = "an unknown number of objects"
    # What is not known is never shown as none: it would read as safe to delete.
    if consent.objects is not None:
        more = f"more than {consent.objects:,} stored objects"
        count = more if consent.objects_more else number(consent.objects, "stored object")
    place = f"class {consent.class_name} of Worker {consent.worker}, namespace id {consent.namespace_id}"
    return f"{consent.stable_id}: {count} would be deleted for ever ({place})."


def _consents(consents: Sequence[Consent], *, refused: bool) -> tuple[Block, ...]:
    """Return what would be lost; a plan that is refused is allowed by no phrase."""
    if not consents:
        return ()
    items = tuple(Item(lost(c), Tone.ALERT, () if refused else (f"to allow it, type: {c.phrase}",)) for c in consents)
    return (Items("Stored data would be lost.", items),)


def _undecided(left_out: Sequence[Undecided]) -> tuple[Block, ...]:
    if not left_out:
        return ()
    items = tuple(Item(f"Worker {left.script_name}: {left.detail}", Tone.CHANGE) for left in left_out)
    return (Items("Not known yet: this plan leaves these Workers out. To look again: %durable plan", items),)


def _warnings(warnings: Sequence[str]) -> tuple[Block, ...]:
    return (Items("Warnings", tuple(Item(text, Tone.ALERT) for text in warnings)),) if warnings else ()


def _migrations(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    if not rows:
        return ()
    columns = ("worker", "step", "stable_id", "from_class", "to_class", "storage", "namespace_id", "wire", "new_tag")
    used = [c for c in columns if any(row.get(c) for row in rows)]
    return (
        capped(
            f"Class migrations: {number(len(rows), 'step')}, in this order.",
            tuple(c.replace("_", " ") for c in used),
            tuple(tuple(str(row.get(c) or "") for c in used) for row in rows[:ROWS]),
            total=len(rows),
            rest="plan.migrations has all.",
        ),
    )


def _bindings(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    """Draw the bindings of a plan that changes any of them."""
    return bindings_diagram(rows) if any(row.get("action") not in (Action.NOOP, KEPT) for row in rows) else ()


def bindings_table(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    """Return the table of bindings, empty columns left out."""
    if not rows:
        return ()
    columns = ("worker", "binding", "type", "target", "class_name", "script_name", "environment", "namespace_id")
    used = [c for c in columns if any(row.get(c) for row in rows)]
    table = capped(
        f"{number(len(rows), 'binding')}.",
        tuple(c.replace("_", " ") for c in used),
        tuple(
            tuple(binding_word(str(row.get(c))) if c == "type" else str(row.get(c) or "") for c in used)
            for row in rows[:ROWS]
        ),
        total=len(rows),
        tones=tuple(_row_tone(row) for row in rows[:ROWS]) if any(row.get("action") for row in rows) else (),
        rest="plan.bindings has all.",
    )
    return (table,)


def bindings_diagram(rows: Sequence[Mapping[str, str]], *, rest: str = "plan.bindings has all.") -> tuple[Block, ...]:
    """Draw for the eye what reaches what; values and what a drawing has no room for are counted below it."""
    edges = _edges(rows)
    if not edges:
        return ()
    left_out = [f"{number(len(edges) - _EDGES, 'more arrow')}"] if len(edges) > _EDGES else []
    if values := len(rows) - len(edges):
        left_out.append(number(values, "variable or secret", "variables and secrets"))
    note = (Line(f"Not drawn: {' and '.join(left_out)}. {rest}"),) if left_out else ()
    return (Diagram("Who reaches what:", tuple(edges[:_EDGES])), *note)


def _row_tone(row: Mapping[str, str]) -> Tone | None:
    action = row.get("action")
    return TONES[Action(action)] if action in set(Action) else None


def _edges(rows: Iterable[Mapping[str, str]]) -> list[Edge]:
    edges = []
    for row in rows:
        kind = str(row.get("type") or "")
        if kind in _VALUES:
            continue
        said = binding_word(kind)
        if row.get("class_name"):
            host = f" of {row['script_name']}" if row.get("script_name") else ""
            said = f"{said} class {row['class_name']}{host}"
        edges.append(
            Edge(
                str(row.get("worker") or ""),
                str(row.get("binding") or ""),
                str(row.get("target") or said),
                _row_tone(row),
                about=said if row.get("target") else "",
                role=str(row.get("role") or ""),
            )
        )
    return edges


def _steps(plan: Plan) -> tuple[Block, ...]:
    if not plan.steps:
        return ()
    items = tuple(Item(f"{at}. {step.summary}") for at, step in enumerate(plan.steps[:ROWS], 1))
    more = (Item(f"… {len(plan.steps) - ROWS} more"),) if len(plan.steps) > ROWS else ()
    return (Folded(f"What is sent, in this order ({number(len(plan.steps), 'step')})", (Items("", items + more),)),)


def deletes(plan: Plan) -> tuple[str, ...]:
    """Return the ids that a plan deletes, as `%durable destroy` takes them."""
    gone = (c.id for c in plan.changes if c.action is Action.DELETE and c.kind in ("worker", "namespace"))
    return tuple(dict.fromkeys(gone))


def _next(plan: Plan, *, offered: bool) -> tuple[Block, ...]:
    digest = Code("Digest", plan.digest)
    ids = plan.asked or (() if plan.refusals else deletes(plan))
    destroy = f"%durable destroy {shlex.join(ids)}" if ids else ""
    if plan.refusals:
        return (digest, Code("Then plan again:", destroy or "%durable plan"))
    if plan.empty or offered:
        return (digest,)
    return (digest, Code("Next:", destroy or "%durable deploy"))
