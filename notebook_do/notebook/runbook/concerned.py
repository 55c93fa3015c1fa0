"""Which statements of a notebook are run for a plan: those that concern notebook_do, and what they need.

A cell is run when a name stands in it that comes from notebook_do, or a function or value made with one, or `%durable`
anywhere but alone on its line; and of the cells above it the statements that make, or may change, what it uses. Lines
that declare are run, lines that act (`%durable deploy`) are not. What must be run and cannot be is an error that names
the cell. What cannot be decided is never left out.
"""

from __future__ import annotations

import builtins
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError
from notebook_do.notebook.runbook.names import MENTIONS, UsedNames
from notebook_do.notebook.runbook.statements import READS, Cell, Statement, Text, parse, run_and_ours, written_otherwise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

# What IPython calls earlier outputs and inputs: no cell binds these names, so where they come from is not known.
_OUTPUT = re.compile(r"_+|_i*\d+|Out|In|_ih|_oh")
_KNOWN = {*dir(builtins), "get_ipython", "display", "exit", "quit", "__name__", "__file__", "__doc__"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What of one cell is run: its text, in which the lines that are not run are blank."""

    cell: int
    text: str


def steps(cells: Sequence[Cell], *, given: Collection[str] = (), environment: Collection[str] = ()) -> list[Step]:
    """Return what is run of each cell, in order. `given` are parameters, `environment` variables that are set already.

    Raises CommandError for a cell that must be run and cannot be.
    """
    texts = [_parsed(number, cell) for number, cell in enumerate(cells)]
    book = _Book(cells, texts, given)
    book.trace()
    selected = _Selection(book, environment).all()
    _must_be_written(book, selected)
    return [
        Step(cell=number, text=_text(texts[number], {id(s) for s in selected if s.cell == number}))
        for number in sorted({s.cell for s in selected})
    ]


def _must_be_written(book: _Book, selected: Sequence[Statement]) -> None:
    """Refuse a cell that writes a file which a declaration may read, where the file is not as the cell has it."""
    texts = [text for statement in selected for text in statement.names.texts]
    for statement in book.order:
        if name := written_otherwise(statement.names.writes, texts):
            raise CommandError(
                f"{book.place(statement)} writes {name}, which is not there as this cell has it; run that cell first."
            )


def _parsed(number: int, cell: Cell) -> Text:
    try:
        return parse(number, cell)
    except CommandError as error:
        error.message = f"{cell.place}: {error.message}"
        raise


def _text(text: Text, selected: set[int]) -> str:
    lines = list(text.lines)
    for statement in text.statements:
        if id(statement) not in selected:
            # Blank and not cut out: errors keep the line numbers of the cell.
            lines[statement.first - 1 : statement.last] = [""] * (statement.last - statement.first + 1)
    return "\n".join(lines)


class _Book:
    """All statements of a notebook, and which of its cells have to do with notebook_do."""

    def __init__(self, cells: Sequence[Cell], texts: Sequence[Text], given: Collection[str]) -> None:
        self.cells, self.texts, self.given = cells, texts, set(given)
        self.order = [s for text in texts for s in text.statements]
        self.concerned: set[int] = set()
        self.parameters = {n for n, cell in enumerate(cells) if "parameters" in cell.tags}
        bound = {name for s in self.order for name in (*s.names.binds, *s.names.later_binds)}
        self.unbound = {n for s in self.order for n in (*s.names.loads, *s.names.later)} - bound - _KNOWN - self.given
        # `np.random.seed(1)` calls something of a module; it does not make numpy a value of ours.
        plain = {name for s in self.order for name in s.names.binds if not s.whole}
        # What is bound to constants only is never changed in place, so it shares nothing with whoever holds it too.
        fixed = {name for s in self.order for name in s.fixed}
        self.fixed = fixed - {n for s in self.order for n in s.names.binds | s.names.later_binds if n not in s.fixed}
        self.modules = {name for s in self.order if s.whole for name in s.names.binds} - plain
        self.calls = _calls(self.order)
        self._dynamic = False
        self.effects = {id(s): self._effects(s) for s in self.order}
        self._written: dict[str, set[str]] = defaultdict(set)

    def _effects(self, statement: Statement) -> tuple[set[str], set[str]]:
        """Return the names that a statement binds and those that it may change, by what it calls as well."""
        names = statement.names
        called = [self.calls[n] for n in self.reached(names.loads) if n in self.calls]
        binds = names.binds.union(names.later_binds, *(c.later_binds for c in called))
        return binds, names.changes.union(*(c.later_changes for c in called))

    def place(self, statement: Statement) -> str:
        """Return where a statement stands."""
        cell = self.cells[statement.cell]
        return f"{cell.place}, line {statement.first + cell.above}"

    def reached(self, names: Iterable[str]) -> set[str]:
        """Return `names` and all that calling what they hold may read."""
        found, left = set(names), list(names)
        while left:
            for name in self.calls[left.pop()].later - found:
                found.add(name)
                left.append(name)
        return found

    def trace(self) -> None:
        """Follow what comes from notebook_do, cell by cell."""
        ours: set[str] = set()
        for number, text in enumerate(self.texts):
            if text.error:
                self._unreadable(number, text.error, ours)
            for statement in text.statements:
                self._follow(statement, ours)

    def _unreadable(self, number: int, error: str, ours: set[str]) -> None:
        """Refuse a cell that no Python can read, where it has to do with notebook_do."""
        source = self.cells[number].source
        if MENTIONS.search(source) or ours & set(re.findall(r"\w+", source)):
            raise CommandError(f"{self.cells[number].place} cannot be read: {error}; mend it.")

    def _follow(self, statement: Statement, ours: set[str]) -> None:
        names = statement.names
        if statement.kind == "shows":
            return
        if statement.kind != "python":
            ours |= names.binds
            return
        # An import binds its names anew: what they were of ours before, they are no longer.
        if statement.whole:
            ours -= statement.sure - names.sources
            ours |= names.sources
            return
        used = self.reached(names.loads | names.later)
        self._texts(statement)
        if names.wrong or self._runs_ours(statement, ours):
            why = names.wrong or "runs notebook_do from a text; write that as code of the cell"
            raise CommandError(f"{self.place(statement)} {why}.")
        if not (names.named or used & ours or self._by_its_text(names, used, ours)):
            self._hidden_file(statement)
            if ours and (shown := sorted(n for n in used & self.unbound if _OUTPUT.fullmatch(n))):
                self._output(statement, shown[0])
            ours -= statement.sure
            return
        self.concerned.add(statement.cell)
        # From here on any name that no cell binds may be one of ours: globals() was among what used us.
        self._dynamic |= names.dynamic
        ours |= names.binds | names.later_binds | self._changed(statement, used)

    def _by_its_text(self, names: UsedNames, used: set[str], ours: set[str]) -> bool:
        """Say whether a statement may reach one of our names by other means than writing it."""
        return bool(self._dynamic and used & self.unbound) or bool(names.dynamic and names.texts & ours)

    def _output(self, statement: Statement, name: str) -> None:
        said = f"uses the output of another cell, {name}; keep it in a variable"
        raise CommandError(f"{self.place(statement)} {said}.")

    def _changed(self, statement: Statement, used: set[str]) -> set[str]:
        """Return the names that may hold something of notebook_do after a statement that uses it."""
        names = statement.names
        # An assignment into a module (`config.worker = w`) keeps our value there; a mere call of the module does not.
        found = (names.changes - self.modules) | names.into
        for name in used:
            calls = self.calls[name]
            found |= calls.later_binds | (calls.later_changes - self.modules)
        left = list(found)
        while left:  # what a name shares with another is changed with it
            name = left.pop()
            for other in (o for s in self.order for o in s.held.get(name, ())):
                if other not in found and other not in self.modules:
                    found.add(other)
                    left.append(other)
        return found - _KNOWN

    def _texts(self, statement: Statement) -> None:
        names = statement.names
        for name in names.binds:
            self._written[name] |= names.texts.union(*(self._written[n] for n in names.loads))

    def _runs_ours(self, statement: Statement, ours: set[str]) -> bool:
        """Say whether a text that the statement runs as code has to do with notebook_do."""
        names = statement.names
        texts = names.run_texts.union(*(self._written[n] for n in names.run_names))
        words = [set(re.findall(r"\w+", text)) for text in texts]
        return any(found & {"durable", "notebook_do", *ours} for found in words)

    def _hidden_file(self, statement: Statement) -> None:
        """Refuse `%run FILE` of a file here that has to do with notebook_do."""
        if not statement.names.refused.startswith("%run "):
            return
        if (path := run_and_ours(statement.names.refused)) is not None:
            raise CommandError(f"{self.place(statement)} runs {path}, which uses notebook_do; write that here instead.")


def _calls(order: Sequence[Statement]) -> dict[str, UsedNames]:
    """Return by name what calling its value may read, bind and change."""
    calls: dict[str, UsedNames] = defaultdict(UsedNames)
    for statement in order:
        mine = statement.names
        if mine.later or mine.later_binds or mine.later_changes or mine.later_process:
            for name in mine.binds:
                _add(calls[name], mine)
    more = True
    while more:  # a value that was made with a function may call it
        more = False
        for statement in order:
            for name in statement.names.binds:
                for used in statement.names.loads & calls.keys():
                    more |= used != name and _add(calls[name], calls[used])
    return calls


def _add(to: UsedNames, of: UsedNames) -> bool:
    before = len(to.later), len(to.later_binds), len(to.later_changes), to.later_process
    to.later |= of.later
    to.later_binds |= of.later_binds
    to.later_changes |= of.later_changes
    to.later_process |= of.later_process
    return before != (len(to.later), len(to.later_binds), len(to.later_changes), to.later_process)


class _Selection:
    """What is run: the cells that are concerned, the lines that declare, and what these need."""

    def __init__(self, book: _Book, environment: Collection[str]) -> None:
        self.book, self.environment = book, set(environment)
        self.at = {id(s): position for position, s in enumerate(book.order)}
        self.selected: dict[int, Statement] = {}
        kept = {"os", "sys", "environ"}
        self.environs = {mine for s in book.order for mine, held in s.held.items() if held & kept}
        """Names that may be another name of the environment."""

    def all(self) -> list[Statement]:
        """Return the statements to run, in order."""
        for statement in self.book.order:
            if statement.cell in self.book.parameters:
                self._select(statement, checked=statement.kind != "python")
            elif statement.kind == "declares" or self._concerned(statement) or self._process(statement):
                self._select(statement)
        return sorted(self.selected.values(), key=lambda s: self.at[id(s)])

    def _concerned(self, statement: Statement) -> bool:
        return statement.kind == "python" and statement.cell in self.book.concerned

    def _process(self, statement: Statement) -> bool:
        """Say whether a statement changes what every later one may see: the environment, the directory."""
        names = statement.names
        used = self.book.reached(names.loads)
        if names.into & self.environs:
            return True
        return names.process or any(self.book.calls[name].later_process for name in used & self.book.calls.keys())

    def _select(self, statement: Statement, *, checked: bool = True) -> None:
        left = [(statement, checked)]
        while left:
            one, check = left.pop()
            # Nothing depends on what a magic only shows, so it is never run.
            if id(one) in self.selected or one.kind == "shows":
                continue
            if one.kind == "acts" and one is statement:
                continue
            if check and self._refuse(one):
                continue
            self.selected[id(one)] = one
            # What something needs is checked, even in a cell of parameters, which for itself is run as it stands.
            left += [(needed, True) for needed in self._needs(one)]

    def _refuse(self, statement: Statement) -> bool:
        """Refuse what cannot be run here. True when it may be left out: what it would set is set already."""
        names, place = statement.names, self.book.place(statement)
        if statement.kind == "acts" and statement.verb not in {"", *READS}:
            raise CommandError(
                f"{place}: what %durable {statement.verb} gives is used, and only a run of the notebook does it: "
                "notebook-do run."
            )
        if not names.refused:
            return False
        # `%env TOKEN=...` or getpass() in a cell sets what the shell that starts us may have set already.
        if names.variables and names.variables <= self.environment:
            return True
        # input() and getpass() are written with brackets here, and can be answered by -p.
        if names.refused.endswith("()"):
            raise CommandError(f"{place} asks with {names.refused}, and declarations need it; give it with -p.")
        raise CommandError(
            f"{place}: {names.refused} is not run here; keep it in a cell of its own, of which no declaration "
            "needs anything."
        )

    def _needs(self, statement: Statement) -> list[Statement]:
        """Return the statements above one that make, or may change, what it uses."""
        names = statement.names
        used = self.book.reached(names.loads | names.later)
        return [needed for name in used for needed in self._makers(name, self.at[id(statement)])]

    def _makers(self, name: str, before: int) -> list[Statement]:
        above = self.book.order[:before]
        # What stood before the last certain binding is gone, but it may share its value with another name.
        start = next((i for i in range(before - 1, -1, -1) if name in above[i].sure), 0)
        shared, found = {name}, []
        for position, statement in enumerate(above):
            if name not in self.book.fixed:
                shared |= _together(statement, shared) - self.book.modules
            binds, changes = self.book.effects[id(statement)]
            changed = shared & (statement.names.into if name in self.book.modules else changes)
            if position >= start and (name in binds or changed):
                found.append(statement)
        return found


def _together(statement: Statement, shared: set[str]) -> set[str]:
    """Return the names that share a value with `shared` by a statement: who holds one of them, and what one holds."""
    holders = {mine for mine, held in statement.held.items() if held & shared}
    defined = statement.names.later or statement.names.later_binds
    kept = set() if defined else {name for mine in shared & statement.held.keys() for name in statement.held[mine]}
    return holders | kept
