"""The statements of a notebook's code cells, in their order, each with its names; a lone `%durable` line is one."""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from notebook_do.declare.line import REFERENCE
from notebook_do.notebook import verbs
from notebook_do.notebook.parsing import split, uncommented
from notebook_do.notebook.runbook.names import MENTIONS, UsedNames, holds, roots, transformed
from notebook_do.notebook.runbook.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


DECLARES = {"session", "namespace", "worker", "rm", "inspect", "require"}
READS = {"plan", "show", "objects", "values", "query", "whoami"}
_BARE = {"durable", "env", "set_env", "cd", "pushd", "popd", "time"}
_KEEPS = {"append", "appendleft", "add", "insert", "extend", "update", "setdefault", "put", "push"}

Kind = Literal["python", "declares", "acts", "shows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A code cell: how a person names it, its text and its tags."""

    place: str
    source: str
    tags: Sequence[str] = ()

    @property
    def above(self) -> int:
        """How many blank lines stand before its first word; IPython drops them."""
        return self.source[: len(self.source) - len(self.source.lstrip())].count("\n")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statement:
    """One statement at the top of a cell, or several that share a line. Lines count in the transformed text, from 1.

    A lone `%durable` line, or a `%%durable` cell, `declares` (or opens a session) or `acts` with another verb.
    """

    cell: int
    first: int
    last: int
    kind: Kind
    names: UsedNames
    verb: str = ""
    sure: frozenset[str] = frozenset()
    """The names that it binds whatever happens, so that what they were before is gone."""
    held: dict[str, set[str]] = field(default_factory=dict)
    """Names that it binds, each with the names whose value it may share."""
    fixed: frozenset[str] = frozenset()
    """The names that it binds to a constant, which nobody changes in place."""
    whole: bool = False
    """It is an import of notebook_do and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A cell as IPython would run it: its lines, and its statements; `error` is why it cannot be read."""

    lines: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    error: str = ""


def parse(number: int, cell: Cell) -> Text:
    """Read one cell; raises CommandError for a `%durable` line that cannot be read."""
    try:
        text, tree = _read(cell.source)
    except (SyntaxError, ValueError) as error:
        return Text(error=f"{type(error).__name__}: {getattr(error, 'msg', error)}")
    statements = tuple(_statement(number, group) for group in _groups(tree.body))
    return Text(lines=tuple(text.split("\n")), statements=statements)


def _read(source: str) -> tuple[str, ast.Module]:
    """Transform and parse; a lone line that is no Python may be a magic without its `%`, as IPython allows."""
    # Only a shell knows whether automagic is on and no variable hides the magic; so a lone line is tried as Python
    # first.
    text = transformed(source)
    try:
        return text, ast.parse(text)
    except SyntaxError:
        lone = source.strip()
        if "\n" in lone or lone.partition(" ")[0] not in _BARE:
            raise
        text = transformed("%" + lone)
        return text, ast.parse(text)


def _groups(body: list[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """Yield the statements one by one, and together where they share a line."""
    group: list[ast.stmt] = []
    # IPython runs whole lines; of two statements on one line neither can be left out alone.
    for node in body:
        if group and _first(node) > (group[-1].end_lineno or group[-1].lineno):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _first(node: ast.stmt) -> int:
    # The lines of a function begin with its decorators, but its node does not.
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _statement(number: int, group: list[ast.stmt]) -> Statement:
    first, last = _first(group[0]), max(n.end_lineno or n.lineno for n in group)
    target, call = _magic_call(group[0]) if len(group) == 1 else ("", None)
    if call is not None and call[0] == "durable":
        return _durable(number, first, last, target, call)
    names = read(*group)
    if call is not None and names.shows:
        return Statement(cell=number, first=first, last=last, kind="shows", names=names)
    # An import runs for nearly every cell and costs little, but alone it is no reason to run one.
    whole = all(isinstance(n, ast.Import | ast.ImportFrom) for n in group)
    sure = frozenset(name for node in group for name in _sure(node))
    held: dict[str, set[str]] = {}
    for name, shared in (pair for node in group for pair in _held(node)):
        held[name] = held.get(name, set()) | shared
    constants = (n.targets for n in group if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant))
    fixed = frozenset(one.id for targets in constants for one in targets if isinstance(one, ast.Name))
    return Statement(
        cell=number,
        first=first,
        last=last,
        kind="python",
        names=names,
        sure=sure,
        held=held,
        fixed=fixed,
        whole=whole,
    )


def _magic_call(node: ast.stmt) -> tuple[str, tuple[str, ...] | None]:
    """Return the target and the words of `x = get_ipython().run_line_magic(NAME, LINE)`, or of its cell form."""
    match node:
        case ast.Assign(targets=[ast.Name(id=target)], value=value):
            pass
        case ast.Expr(value=value):
            target = ""
        case _:
            return "", None
    match value:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Call(func=ast.Name(id="get_ipython"), args=[]),
                attr="run_line_magic" | "run_cell_magic",
            ),
            args=parts,
            keywords=[],
        ):
            words = tuple(p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str))
            return target, words if len(words) == len(parts) >= 2 else None
    return "", None


def _durable(number: int, first: int, last: int, target: str, call: tuple[str, ...]) -> Statement:
    """Read a lone `%durable` line, or a `%%durable` cell."""
    words, body = split(uncommented(call[1])), call[2] if len(call) > 2 else None
    verb = words[0] if words and not words[0].startswith("-") else ""
    names = UsedNames(texts={*call[1:]})
    if target:
        names.binds.add(target)
    # The options are read roughly here: the verb's own parser would refuse a line that is never run.
    kept = next((after for word, after in itertools.pairwise(words) if word == "--as"), "")
    kept = kept or next((w[5:] for w in words if w.startswith("--as=")), "")
    if kept.isidentifier():
        names.binds.add(kept)
    asks = {"-h", "--help"} & set(words)
    declares = (verb in DECLARES or (not verb and body is not None)) and not asks
    if verb and not asks:
        verbs.find(verb)
    if declares and verb in {"session", ""}:
        names.loads |= {name.strip() for name in REFERENCE.findall(call[1] + (body or ""))}
    kind: Kind = "declares" if declares else "acts"
    return Statement(
        cell=number, first=first, last=last, kind=kind, names=names, verb=verb, sure=frozenset(names.binds)
    )


def _sure(node: ast.stmt) -> set[str]:
    match node:
        case ast.Assign(targets=targets):
            return {t.id for t in targets if isinstance(t, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import() | ast.ImportFrom():
            return read(node).binds
    return set()


def _held(node: ast.stmt) -> Iterator[tuple[str, set[str]]]:
    """Yield the names that a statement binds, each with those whose value it may share, or hold on to."""
    for one in ast.walk(node):
        match one:
            case ast.Assign(targets=targets, value=value):
                bound = read(*targets).binds
                yield from ((name, bound - {name}) for name in bound)
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                bound = read(target).binds
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                bound = read(target).binds
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                bound = read(target).binds
            case ast.Match(subject=value, cases=cases):
                bound = read(*(case.pattern for case in cases)).binds
            case ast.Call(func=ast.Attribute(value=target, attr=called), args=[*_, value]) if called in _KEEPS:
                bound = roots(target)
            case _:
                yield from _held_by_name(one)
                continue
        for name in bound:
            yield name, holds(value)


def _held_by_name(node: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Yield the same for a definition, which holds what it reads, and for an import under another name."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            inner = read(node)
            yield name, inner.loads | inner.later
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from ((a.asname, {a.name}) for a in aliases if a.asname)


def assigned(source: str) -> list[str]:
    """Return the names that plain assignments at the top of a cell set; none when it is no plain Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    return [name for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) for name in read(node).binds]


# --- the files beside a notebook that its cells run or write, as far as a plan rests on them: only read

_SOURCES = {".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"}


def run_and_ours(magic: str) -> Path | None:
    """Return the file that `%run FILE` runs, where it uses notebook_do."""
    words = [word for word in magic.split()[1:] if not word.startswith("-")]
    path = Path(words[0].strip("'\"")) if words else Path()
    try:
        return path if path.is_file() and MENTIONS.search(path.read_text(errors="replace")) else None
    except OSError:
        return None


def written_otherwise(writes: Mapping[str, str], texts: Iterable[str]) -> str:
    """Return a file that a cell writes and that is not there as the cell has it, where a declaration may read it.

    That is one of Worker source, or one whose name stands in `texts`: those of what is run.
    """
    read = "\n".join(texts)
    for name, body in writes.items():
        path = Path(name)
        # Esbuild follows imports that no cell names, so a source is always one that a declaration may read.
        if path.suffix not in _SOURCES and path.name not in read and path.stem not in read:
            continue
        try:
            there = path.read_text(errors="replace") if path.is_file() else None
        except OSError:
            there = None
        if there is None or there.rstrip("\n") != body.rstrip("\n"):
            return name
    return ""
