"""What differs between the code that is live and the code that is declared: line by line, as it may be shown.

The live code is read once a plan is known to replace it. Of it only this is kept: the lines that differ, with what
looks like a secret hidden, in the plan alone; no digest covers it, and no file has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from operator import attrgetter
from typing import TYPE_CHECKING

from notebook_do.display import Shown
from notebook_do.display.formats import counted, listed, size
from notebook_do.display.hiding import BY_NAME, BY_SHAPE, CHANGED
from notebook_do.display.rich import Rich, code, joined, rich
from notebook_do.display.source import language_of, shown_code
from notebook_do.model import Module, ModuleKind
from notebook_do.model.steps import Upload
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from notebook_do.model import BundledSource, DesiredWorker
    from notebook_do.plan.plan import Plan

CONTEXT = 3
"""How many equal lines stand around those that differ."""
# Beyond this the middle of two texts is shown as replaced whole: matching takes seconds (measured: 20 s for 40,000).
_MATCHED = 8_000
_TEXTS = frozenset(set(ModuleKind) - {ModuleKind.WASM, ModuleKind.DATA, ModuleKind.SOURCE_MAP})
_HEADING = re.compile(r"[A-Za-z_$@].*[{(:]\s*$")
_GENERATED = re.compile(r"_*notebook[-_]do")
"""How a module is called that is put before a Worker's own: for an alias of a class, or to look into objects."""
_PATH, _NAME = attrgetter("path"), attrgetter("name")
_CELL = re.compile(r"index\.\w+")
"""How the source of a cell is called, and what esbuild makes of it."""
_HIDDEN = re.compile(rf"{BY_NAME} \([\d,]+ characters?\)|{BY_SHAPE}")

Opcodes = list[tuple[str, int, int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDiff:
    """What differs in one module: counts and lines of a text, both sizes of anything else."""

    name: str
    added: int = 0
    removed: int = 0
    lines: tuple[str, ...] = ()
    """Its hunks as a unified diff, without the two lines that name the files."""
    sizes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDiff(Shown):
    """What differs in the code of one Worker. `str` is the unified diff of all of it."""

    worker: str
    script_name: str
    modules: tuple[ModuleDiff, ...]
    declared: str = ""
    """Where the declared code stands, where that is a cell: `cell [9]`."""
    source: str = ""
    """What the declared code is: `14 lines of JavaScript`, a file."""
    live_lines: int = 0
    """How many lines the live main module has."""
    bundled: str = ""
    """What the declared code is bundled from, where the sources of the live bundle are not known: then only counts."""
    of_sources: bool = False
    """Whether what differs is in the sources of a bundle: files, and no modules of what is live."""
    whole: str = ""
    """The two numbers of the bundle itself, where its sources are known by a map alone, which may not be its own."""
    problem: str = ""
    """Why the live code could not be read; then nothing is known of what differs."""

    @property
    def added(self) -> int:
        """The number of lines that are new."""
        return sum(m.added for m in self.modules)

    @property
    def removed(self) -> int:
        """The number of lines that go."""
        return sum(m.removed for m in self.modules)

    @property
    def counts(self) -> str:
        """The two numbers in short, with a minus sign, which no diff has."""
        return _counts(self.added, self.removed)

    @property
    def texts(self) -> tuple[ModuleDiff, ...]:
        """The modules of which lines differ."""
        return tuple(m for m in self.modules if m.sizes is None)

    @property
    def lines(self) -> tuple[str, ...]:
        """The whole unified diff, line by line."""
        found: list[str] = []
        for module in (m for m in self.texts if m.lines):
            declared = (self.declared if _CELL.fullmatch(module.name) else "") or module.name
            found += [f"--- live: {module.name}", f"+++ declared: {declared}", *module.lines]
        return tuple(found)

    @property
    def words(self) -> Rich:
        """Say how many lines differ, and in what: `3 lines added, 1 removed (...), in index.js`."""
        if self.problem:
            return rich(say("row-code-unread", problem=self.problem))
        pieces = [rich(self._lines_words(), ", in ", self.place)] if self.texts else []
        pieces += [rich(f"the live bundle itself {self.whole}")] if self.whole else []
        pieces += [
            rich(code(m.name), f" {size(m.sizes[0])} → {size(m.sizes[1])}") for m in self.modules if m.sizes is not None
        ]
        return joined("; ", pieces) if pieces else rich(say("row-code-same"))

    def _lines_words(self) -> str:
        first = f"{counted(self.added, 'line')} added" if self.added else ""
        removed = f"{self.removed:,}" if first else counted(self.removed, "line")
        return ", ".join(filter(None, (first, f"{removed} removed" if self.removed else ""))) + f" ({self.counts})"

    @property
    def place(self) -> Rich:
        """Name the modules whose lines differ, or what they are bundled from."""
        if self.bundled:
            return rich("the bundle of ", self.bundled)
        names = [m.name for m in self.texts]
        return (
            code(names[0])
            if len(names) == 1
            else rich(f"{len(names)} {'files' if self.of_sources else 'modules'}: {listed(names)}")
        )

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _counts(added: int, removed: int) -> str:
    return f"+{added:,} \N{MINUS SIGN}{removed:,}"


def code_diff(
    worker: DesiredWorker, live: Sequence[Module], was: Sequence[BundledSource] = (), *, certain: bool = False
) -> CodeDiff:
    """Compare the live modules of a Worker, the main one first, with the declared ones.

    Of a bundle its sources are compared with those that it `was` made of; where these are not known, lines are counted.
    Unless these are for `certain` its sources the bundle is counted too: who edits it by hand leaves its map as it was.
    """
    pairs = list(_pairs(live, worker))
    where = worker.where
    found = [one for old, new in pairs if (one := _module_diff(old, new)) is not None]
    sources = _source_diffs(was, worker.sources) if worker.bundled else []
    main = next((one for one in found if one.name == worker.main_module and sources and not certain), None)
    if sources:
        found = [*sources, *(one for one in found if one.name != worker.main_module)]
    elif worker.bundled:
        found = [replace(one, lines=()) if one.name == worker.main_module else one for one in found]
    return CodeDiff(
        worker=worker.id,
        script_name=worker.script_name,
        modules=tuple(found),
        declared=where.name if where and worker.source and not worker.source.startswith("file ") else "",
        source=worker.source,
        live_lines=len(_split(_text(pairs[0][0]) or "")),
        bundled=worker.source if worker.bundled and not sources else "",
        of_sources=bool(sources),
        whole=_counts(main.added, main.removed) if main else "",
    )


def is_code_of(worker: DesiredWorker, live: Sequence[Module]) -> bool:
    """Return whether the live modules are those of this declaration, to the byte: then its sources are theirs."""
    return _own(worker.modules) == _own(live)


def _own(modules: Sequence[Module]) -> dict[str, bytes]:
    kept = (m for m in modules if m.kind is not ModuleKind.SOURCE_MAP and not _GENERATED.match(m.name))
    return {m.name: m.content for m in kept}


def unread(worker: DesiredWorker, problem: str) -> CodeDiff:
    """Return that the live code of a Worker could not be read, and why."""
    return CodeDiff(worker=worker.id, script_name=worker.script_name, modules=(), source=worker.source, problem=problem)


def replaced(plan: Plan) -> frozenset[str]:
    """Return the scripts that are live and whose code a plan replaces: what is live in their place is to be read."""
    uploaded = {s.worker: s.script_name for s in plan.steps if isinstance(s, Upload) and not s.creates}
    rows = (c for c in (*plan.changes, *plan.drift) if c.kind == "code" and c.field in {"modules", "etag"})
    return frozenset(uploaded[c.worker] for c in rows if c.worker in uploaded)


def with_code(plan: Plan, diffs: Iterable[CodeDiff]) -> Plan:
    """Return a plan that says what differs in the code that it replaces; it sends and rests on the same."""
    found = {diff.worker: diff for diff in sorted(diffs, key=lambda d: d.worker)}
    changes = (
        replace(c, happens=found[c.worker].words) if c.kind == "code" and c.worker in found else c for c in plan.changes
    )
    return replace(plan, changes=tuple(changes), code=tuple(found.values()))


def _pairs(live: Sequence[Module], worker: DesiredWorker) -> Iterator[tuple[Module | None, Module | None]]:
    """Pair the main modules, whatever they are called, and all others by name; those that we make are left out."""
    main = worker.own_main or worker.main_module
    old = {m.name: m for m in live if not _GENERATED.match(m.name)}
    new = {m.name: m for m in worker.modules if not _GENERATED.match(m.name)}
    # What stands before somebody's main module tells no name of it: then it is the one that is still called so.
    was = main if main in old and _GENERATED.match(live[0].name) else next(iter(old), "")
    yield old.pop(was, None), new.pop(main, None)
    for name in sorted(old.keys() | new.keys()):
        yield old.get(name), new.get(name)


def _module_diff(old: Module | None, new: Module | None) -> ModuleDiff | None:
    one = new or old
    if one is None or one.kind is ModuleKind.SOURCE_MAP or (old and new and old.content == new.content):
        return None
    before, after = (m.content if m else b"" for m in (old, new))
    texts = [_text(m) for m in (old, new)]
    if one.kind not in _TEXTS or None in texts:
        return ModuleDiff(name=one.name, sizes=(len(before), len(after)))
    return text_diff(one.name, texts[0] or "", texts[1] or "", python=one.kind is ModuleKind.PYTHON)


def _source_diffs(was: Sequence[BundledSource], now: Sequence[BundledSource]) -> list[ModuleDiff]:
    """Compare the sources of two bundles, paired as their maps name them; nothing where no name is in both."""
    # Another tool names them from another folder: then their paths in the project are the same.
    keyed = [[{of(one): one for one in sources} for sources in (was, now)] for of in (_PATH, _NAME)]
    old, new = max(keyed, key=lambda pair: len(pair[0].keys() & pair[1].keys()))
    if not old.keys() & new.keys() or len(old) < len(was) or len(new) < len(now):
        return []
    pairs = ((old.get(name), new.get(name)) for name in dict.fromkeys((*new, *old)))
    return [one for before, after in pairs if (one := _source_diff(before, after)) is not None]


def _source_diff(before: BundledSource | None, after: BundledSource | None) -> ModuleDiff | None:
    one = after or before
    if one is None or (before and after and before.mark == after.mark):
        return None
    texts = [source.text if source else "" for source in (before, after)]
    if texts[0] is None or texts[1] is None:
        sizes = (before.size if before else 0, after.size if after else 0)
        return ModuleDiff(name=one.name, sizes=sizes)
    return text_diff(one.name, texts[0], texts[1])


def _text(module: Module | None) -> str | None:
    try:
        return module.content.decode() if module else ""
    except UnicodeDecodeError:
        return None


# --- the lines of one text


def text_diff(name: str, before: str, after: str, *, python: bool = False) -> ModuleDiff:
    """Compare two texts line by line; what is compared is what is there, what is shown has no secret."""
    opcodes = _opcodes(_split(before), _split(after))
    changed = [op for op in opcodes if op[0] != "equal"]
    language = language_of(name, python=python)
    shown = [_split(shown_code(text, language=language)) for text in (before, after)]
    return ModuleDiff(
        name=name,
        added=sum(b2 - b1 for _, _, _, b1, b2 in changed),
        removed=sum(a2 - a1 for _, a1, a2, _, _ in changed),
        lines=tuple(_hunks(opcodes, *shown)),
    )


def _split(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _opcodes(a: list[str], b: list[str]) -> Opcodes:
    """Match two lists of lines, what both begin and end with aside: an edit is small, a bundle is not."""
    most = min(len(a), len(b))
    head = next((at for at in range(most) if a[at] != b[at]), most)
    tail = next((at for at in range(most - head) if a[-1 - at] != b[-1 - at]), most - head)
    middle_a, middle_b = a[head : len(a) - tail], b[head : len(b) - tail]
    if len(middle_a) + len(middle_b) > _MATCHED:
        found: Opcodes = [("replace", 0, len(middle_a), 0, len(middle_b))]
    else:
        found = list(SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes())
    moved = [(tag, a1 + head, a2 + head, b1 + head, b2 + head) for tag, a1, a2, b1, b2 in found]
    start: Opcodes = [("equal", 0, head, 0, head)] if head else []
    end: Opcodes = [("equal", len(a) - tail, len(a), len(b) - tail, len(b))] if tail else []
    return [*start, *moved, *end]


def _hunks(opcodes: Opcodes, before: list[str], after: list[str]) -> Iterator[str]:
    for group in _groups(opcodes):
        yield _head(group, before)
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                yield from (f" {line}" for line in before[a1:a2])
                continue
            gone = set(before[a1:a2])
            yield from (f"-{line}" for line in before[a1:a2])
            yield from (f"+{_HIDDEN.sub(CHANGED, line) if line in gone else line}" for line in after[b1:b2])


def _groups(opcodes: Opcodes) -> Iterator[Opcodes]:
    """Put what differs together with the equal lines around it, and apart where more equal lines lie between."""
    group: Opcodes = []
    for at, (tag, a1, a2, b1, b2) in enumerate(opcodes):
        first, last = at == 0, at == len(opcodes) - 1
        if tag != "equal":
            group.append((tag, a1, a2, b1, b2))
        elif first or last or a2 - a1 > 2 * CONTEXT:
            if not first:
                group.append((tag, a1, min(a2, a1 + CONTEXT), b1, min(b2, b1 + CONTEXT)))
            if not first and not last:
                yield group
                group = []
            if not last:
                group.append((tag, max(a1, a2 - CONTEXT), a2, max(b1, b2 - CONTEXT), b2))
        else:
            group.append((tag, a1, a2, b1, b2))
    if any(op[0] != "equal" for op in group):
        yield group


def _head(group: Opcodes, before: list[str]) -> str:
    """Return the line that says where a hunk stands, with the class or function that it is in."""
    first, last = group[0], group[-1]
    heading = next((line for line in reversed(before[: first[1]]) if _HEADING.match(line)), "")
    return f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@ {heading}".rstrip()


def _range(start: int, stop: int) -> str:
    length = stop - start
    begin = start + 1 if length else start
    return f"{begin}" if length == 1 else f"{begin},{length}"
