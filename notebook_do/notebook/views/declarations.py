"""What a cell declared, as blocks: the declaration, what is wrong with it, and what else to know. Nothing was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.declare.notes import hidden_values
from notebook_do.display.formats import counted, listed
from notebook_do.display.rich import code, joined, rich, strong
from notebook_do.model import NAMESPACE_FIELDS, WORKER_FIELDS, Namespace, Worker
from notebook_do.model.building import exports_words
from notebook_do.notebook.views.blocks import Document, Header, Item, Items, Line, Table, Tone
from notebook_do.notebook.views.declared_bindings import Around, in_order, type_word, value_words
from notebook_do.notebook.views.redeclared import again, change_words, differences_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from notebook_do.model import Declaration, Field
    from notebook_do.notebook.views.blocks import Block

LANGUAGES = {"js": "JavaScript", "ts": "TypeScript", "py": "Python"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationMistake:
    """Something that a plan will be refused for, with the ways out of it."""

    kind: str
    id: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredView:
    """Declarations of one cell, with all that is said of them."""

    items: Sequence[Declaration]
    around: Around
    session: str = ""
    stage: str = ""
    replaced: Mapping[tuple[str, str], Declaration] = field(default_factory=dict)
    """By kind and id, the declarations that these took the place of."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """The script names by Worker id."""
    exports: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    """What the sources in cells export, by Worker id; None where that is not known."""
    mistakes: tuple[DeclarationMistake, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know besides, a `~` line each."""

    def earlier(self, item: Declaration) -> Declaration | None:
        """Return the declaration that `item` took the place of."""
        return self.replaced.get((_kind(item), item.id))


def declared_document(shown: DeclaredView) -> Document:
    """Show what a cell declared: one thing whole, or only what changed of it; several as a table."""
    if not shown.items:
        return (Line("Nothing is declared in this cell."),)
    if all(_same(item, shown) for item in shown.items) and not shown.mistakes:
        return (Line(rich(_as_before(shown), " Nothing was sent."), Tone.SAME),)
    if len(shown.items) > 1:
        return _several(shown)
    (item,) = shown.items
    earlier = shown.earlier(item)
    if earlier is not None and not _same(item, shown):
        return (_header(shown, " again"), *_mistakes(shown), *again(earlier, item, shown.around), *_ends(shown, item))
    return (_header(shown, ""), *_mistakes(shown), *_one(item, shown), *_ends(shown, item))


def _same(item: Declaration, shown: DeclaredView) -> bool:
    return shown.earlier(item) == item


def _as_before(shown: DeclaredView) -> str:
    cells = listed(sorted({e.where.name for i in shown.items if (e := shown.earlier(i)) and e.where and e.where.name}))
    at = f" ({cells})" if cells else ""
    if len(shown.items) > 1:
        return f"{_counts(shown.items)} are declared as before{at}."
    (item,) = shown.items
    return rich(_noun(item), " ", strong(item.id), f" is declared as before{at}.")


def _header(shown: DeclaredView, more: str) -> Header:
    wrong = f", with {counted(len(shown.mistakes), 'mistake')}" if shown.mistakes else ""
    named = f"{_noun(shown.items[0])} {shown.items[0].id}" if len(shown.items) == 1 else _counts(shown.items)
    facts = (("session", shown.session), ("stage", shown.stage)) if shown.session else ()
    return Header(f"Declared {named}{more}{wrong}", facts)


def _counts(items: Sequence[Declaration]) -> str:
    spaces = sum(isinstance(item, Namespace) for item in items)
    workers = len(items) - spaces
    return " and ".join(
        filter(None, [spaces and counted(spaces, "namespace"), workers and counted(workers, "Worker")])  # type: ignore[list-item]
    )


def _kind(item: Declaration) -> str:
    return "namespace" if isinstance(item, Namespace) else "worker"


def _noun(item: Declaration) -> str:
    return "namespace" if isinstance(item, Namespace) else "Worker"


def _mistakes(shown: DeclaredView) -> Iterator[Block]:
    if shown.mistakes:
        yield Items("", tuple(Item(one.text, Tone.ALERT, one.choices) for one in shown.mistakes))


def _ends(shown: DeclaredView, item: Declaration) -> Iterator[Block]:
    """Yield what to know besides, and the last line."""
    yield from (Line(note, Tone.CHANGE) for note in shown.notes)
    earlier = shown.earlier(item)
    kept = _unchanged(earlier, item) if earlier is not None and earlier != item else ""
    if shown.mistakes:
        yield Line(f"{kept}Nothing was sent. A plan is refused until this is fixed.", small=True)
    elif isinstance(item, Namespace) and not _binders(item, shown.around):
        yield Line(f"{kept}Nothing was sent.", small=True)
    else:
        yield Line(rich(f"{kept}Nothing was sent. Next: ", code("%durable plan")), small=True)


def _unchanged(earlier: Declaration, item: Declaration) -> str:
    if not isinstance(earlier, Worker) or not isinstance(item, Worker):
        return ""
    same = sum(earlier.bindings.get(name) == value for name, value in item.bindings.items())
    return f"{counted(same, 'binding')} unchanged. " if same else ""


# --- one


def _one(item: Declaration, shown: DeclaredView) -> Iterator[Block]:
    if isinstance(item, Namespace):
        yield Line(joined(" · ", namespace_facts(item)))
        return
    facts = list(worker_facts(item, shown))
    if shown.mistakes:  # what is wrong comes first, and the table when it is right
        bound = joined(", ", (_arrow(name, value, shown.around) for name, value in in_order(item, shown.around)))
        count = f"{counted(len(item.bindings), 'binding')}: " if item.bindings else "no binding"
        yield Line(joined(" · ", [*facts, rich(count, bound)]))
        return
    yield Line(joined(" · ", facts))
    rows = tuple(
        (name, type_word(value, shown.around), value_words(item, name, value, shown.around))
        for name, value in in_order(item, shown.around)
    )
    if rows:
        yield Table("", ("binding", "type", "value"), rows)


def _arrow(name: str, value: Any, around: Around) -> str:
    stable = getattr(value, "stable_id", "")
    return f"{name} → namespace {stable}" if stable else f"{name} ({type_word(value, around)})"


def namespace_facts(item: Namespace) -> list[str]:
    """Return what is declared of a namespace, piece by piece."""
    storage = "key-value storage" if item.sqlite is False else "SQLite storage"
    protected = ["protected against destroy"] if item.protect else []
    return [rich("class ", code(item.class_name)), storage, *protected, *_facts(NAMESPACE_FIELDS, item)]


def worker_facts(item: Worker, shown: DeclaredView) -> Iterator[str]:
    """Yield what is declared of a Worker besides its bindings, piece by piece."""
    if script := shown.scripts.get(item.id):
        yield rich("script ", code(script))
    yield source_words(item)
    if (exports := shown.exports.get(item.id)) is not None and not shown.mistakes:
        yield rich("exports ", exports_rich(exports) if exports != ("default",) else "a default handler")
    yield from _facts(WORKER_FIELDS, item)


def source_words(item: Worker) -> str:
    """Return what the source of a Worker is: its lines, its file, or its modules."""
    if item.script is not None:
        return f"{counted(len(item.script.strip().splitlines()), 'line')} of {LANGUAGES[item.lang]}"
    if item.entrypoint is not None:
        return rich("file ", code(item.entrypoint))
    return counted(len(item.modules), "module")


def exports_rich(exports: tuple[str, ...]) -> str:
    """Return what a source exports: its classes in the look of code, and its default handler."""
    classes = [name for name in exports if name != "default"]
    if not classes:
        return exports_words(exports)
    last = "a default handler" if "default" in exports else code(classes.pop())
    return rich(joined(", ", map(code, classes)), " and " if classes else "", last)


def _facts(fields: Mapping[str, Field], item: Declaration) -> list[str]:
    """Return what is declared in other fields than a name and a source, and is not the default."""
    given = [(row, row.of(item)) for row in fields.values() if row.fact and row.is_set(item)]
    return [row.fact.format(_said(row, value)) for row, value in given if row.takes != "modules" and row.name != "name"]


def _said(row: Field, value: Any) -> Any:
    return row.between.join(value) if isinstance(value, list) else "on" if value is True else value


def _binders(item: Namespace, around: Around) -> bool:
    return bool(item.script_name) or any(
        getattr(value, "stable_id", "") == item.id for w in around.workers.values() for value in w.bindings.values()
    )


# --- several


def _several(shown: DeclaredView) -> Document:
    rows, tones = [], []
    for item in shown.items:
        earlier = shown.earlier(item)
        tones.append(Tone.ADD if earlier is None else Tone.SAME if earlier == item else Tone.CHANGE)
        rows.append((rich(_noun(item), " ", strong(item.id)), _as(item, shown), _bound(item, shown.around)))
    return (
        _header(shown, ""),
        *_mistakes(shown),
        Table("", ("what", "declared as", "bindings"), tuple(rows), tuple(tones)),
        *(Line(note, Tone.CHANGE) for note in shown.notes),
        Line(_summary(shown), small=True),
    )


def _as(item: Declaration, shown: DeclaredView) -> str:
    if isinstance(item, Namespace):
        host = shown.around.hosts.get(item.id) or item.script_name
        by = rich(", hosted by ", host) if host else ", no Worker binds it yet"
        return rich("class ", code(item.class_name), by)
    script = rich("script ", code(shown.scripts[item.id]), ", ") if item.id in shown.scripts else ""
    return rich(script, source_words(item))


def _bound(item: Declaration, around: Around) -> str:
    if isinstance(item, Namespace):
        return ""
    return joined(", ", (_short(item, name, value, around) for name, value in in_order(item, around)))


def _short(worker: Worker, name: str, value: Any, around: Around) -> str:
    kind = type_word(value, around)
    if kind in {"text", "JSON"}:
        return rich(name, "=", value_words(worker, name, value, around))
    if owner := getattr(value, "through", None) or (getattr(value, "name", None) and getattr(value, "worker", None)):
        return f"{name} (of {owner})"
    if kind == "Durable Object":
        host = around.hosts.get(getattr(value, "stable_id", ""))
        return name if host in {None, worker.id} else f"{name} (of {host})"
    return f"{name} (service)" if kind == "Worker" else f"{name} ({kind})"


def _summary(shown: DeclaredView) -> str:
    new = [item for item in shown.items if shown.earlier(item) is None]
    same = [item for item in shown.items if _same(item, shown)]
    changed = [item for item in shown.items if item not in new and item not in same]
    said = [f"New: {len(new)}."] if new else []
    said += [f"Changed: {joined('; ', (_changed(item, shown) for item in changed))}."] if changed else []
    said += [f"The same: {listed([f'{_noun(item)} {item.id}' for item in same])}."] if same else []
    if shown.mistakes:
        return " ".join([*said, "Nothing was sent. A plan is refused until this is fixed."])
    return rich(" ".join([*said, "Nothing was sent. Next: "]), code("%durable plan"))


def _changed(item: Declaration, shown: DeclaredView) -> str:
    earlier = shown.earlier(item)
    found = differences_of(earlier, item) if earlier is not None else ()
    words = [change_words(one, item, shown.around) for one in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{_noun(item)} {item.id} ({joined(', ', words)}{more})"


# --- what to know besides


def value_notes(item: Worker, instead: Mapping[str, str]) -> Iterator[str]:
    """Yield a note for each plain value that is hidden: by its name or its shape it is a secret.

    `instead` has by binding how a secret of that name is declared.
    """
    for name in hidden_values(item):
        yield rich(
            code(name),
            " is plain text: everybody who can open the dashboard can read it. Use ",
            code(instead[name]),
            ".",
        )
