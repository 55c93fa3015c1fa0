"""The tables of what a plan says: the logic names a row, its reason and its facts, and writes no sentence of its own.

The calls are read from the source, so that each of them is checked, those included that no plan of a test reaches.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.plan.refusals import REFUSALS, rows_of
from notebook_do.plan.sentences import SENTENCES, Again, Each, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).parent
PLAN = HERE.parent.parent / "notebook_do" / "plan"
TABLES = {
    *("refusals.py", "namespace_refusals.py", "destroy_refusals.py", "source_refusals.py", "inspect_refusals.py"),
    "sentences.py",
}
LOGIC = sorted(path for path in PLAN.rglob("*.py") if path.name not in TABLES)
ROWS: dict[str, dict[str, tuple[Row, ...]]] = {
    "refusals": {code: rows_of(code) for code in REFUSALS},
    "sentences": {name: (row,) for name, row in SENTENCES.items()},
}
TABLE_OF = {"refuse": "refusals", "warn": "sentences", "say": "sentences"}
NO_FACTS = {"reason", "where"}


@dataclass(frozen=True)
class Call:
    """A place where the logic names rows: which names and reasons it may name there, and which facts it gives."""

    table: str
    place: str
    names: frozenset[str]
    reasons: frozenset[str]
    facts: frozenset[str]

    def rows(self) -> Iterator[tuple[str, str, Row | None]]:
        """Give each row that it may name, with name and reason; None for one that is not in the table."""
        for name in self.names:
            for reason in self.reasons:
                found = (row for row in ROWS[self.table].get(name, ()) if reason in row.reasons)
                yield name, reason, next(found, None)


def values(node: ast.expr, within: ast.AST) -> set[str]:
    """Give the words that an expression may be: a constant, either branch of a condition, or a variable of those."""
    match node:
        case ast.Constant(value=str(word)):
            return {word}
        case ast.IfExp(body=body, orelse=orelse):
            return values(body, within) | values(orelse, within)
        case ast.Name(id=name):
            assigned = [pick for part in ast.walk(within) for pick in _assigned(part, name)]
            assert assigned, f"{ast.unparse(node)} is assigned nowhere"
            return {word for one in assigned for word in values(one, within)}
    raise AssertionError(f"{ast.unparse(node)} does not say which words it may be")


def _assigned(part: ast.AST, name: str) -> Iterator[ast.expr]:
    """Give what a statement assigns to a variable."""
    if isinstance(part, ast.Assign):
        for target in part.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield part.value
            elif isinstance(target, ast.Tuple):
                for number, one in enumerate(target.elts):
                    if isinstance(one, ast.Name) and one.id == name:
                        yield from _nth(part.value, number)


def _nth(value: ast.expr, number: int) -> Iterator[ast.expr]:
    if isinstance(value, ast.Tuple):
        yield value.elts[number]
    elif isinstance(value, ast.IfExp):
        yield from (*_nth(value.body, number), *_nth(value.orelse, number))


def calls() -> Iterator[Call]:
    """Give each call that names a row."""
    for path in LOGIC:
        tree = ast.parse(path.read_text())
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            if path.name == "facts.py" and function.name in TABLE_OF:
                continue  # there a name is handed on
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and (called := _called(node)) in TABLE_OF:
                    yield _call(node, TABLE_OF[called], function, f"{path.relative_to(PLAN)}:{node.lineno}")


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _call(node: ast.Call, table: str, within: ast.AST, place: str) -> Call:
    given = {k.arg: k.value for k in node.keywords}
    assert None not in given, f"{place}: facts are given by name"
    second = node.args[1:2] if table == "sentences" else [given["reason"]] if "reason" in given else []
    return Call(
        table=table,
        place=place,
        names=frozenset(values(node.args[0], within)),
        reasons=frozenset(values(second[0], within)) if second else frozenset({""}),
        facts=frozenset(k for k in given if k) - NO_FACTS,
    )


CALLS = sorted(set(calls()), key=lambda call: call.place)


def fields(row: Row, reason: str) -> set[str]:
    """Give the facts that a row needs."""
    found = _fields(row.text) | _fields(row.reasons[reason])
    for choice in row.choices:
        if isinstance(choice, Again):
            texts_of = (choice.text, choice.otherwise, *(v for v in choice.changes.values() if isinstance(v, str)))
            found |= {choice.of, choice.each} - {""} | (set().union(*map(_fields, texts_of)) - {"it"})
        elif isinstance(choice, Each):
            found |= {choice.of} | ((_fields(choice.text) | _fields(choice.unnamed)) - {"it"})
        else:
            found |= _fields(choice)
    return found - {"reason"}


def _fields(text: str) -> set[str]:
    return {re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(text) if name}


def test_the_source_is_read() -> None:
    """The calls are found, of both tables and in each room."""
    assert len([call for call in CALLS if call.table == "refusals"]) >= 40
    assert len([call for call in CALLS if call.table == "sentences"]) >= 50
    assert {call.place.split("/")[0] for call in CALLS if "/" in call.place} == {"workers", "namespaces"}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.place)
def test_a_call_names_rows_and_gives_their_facts(call: Call) -> None:
    """Every row that a call may name is in the table; each of its facts is given, and no other one."""
    needed: set[str] = set()
    for name, reason, row in call.rows():
        assert row is not None, f"{call.table} has no row {name!r} for the reason {reason!r}"
        needed |= fields(row, reason)
    known = {"subject"} if call.table == "refusals" else set()
    assert needed - known == call.facts


@pytest.mark.parametrize("table", sorted(ROWS))
def test_every_row_is_named(table: str) -> None:
    """No row and no reason stands in a table that the logic never names."""
    named = {(name, reason) for call in CALLS if call.table == table for name, reason, _ in call.rows()}
    rows = {(name, reason) for name, found in ROWS[table].items() for row in found for reason in row.reasons}
    assert rows - named == set()


def test_a_reason_stands_once() -> None:
    """A code with several rows has each reason in one of them."""
    for code in REFUSALS:
        reasons = [reason for row in rows_of(code) for reason in row.reasons]
        assert len(reasons) == len(set(reasons)), code


WORDS = 6
"""A text of so many words, places for a value included, is a sentence."""


def texts(tree: ast.AST) -> Iterator[str]:
    """Give the texts of a file, but for docstrings and errors of ours; a place for a value counts as a word."""
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    apart = {id(s.value) for body in bodies for s in body if isinstance(s, ast.Expr)}
    apart |= {id(part) for n in ast.walk(tree) if isinstance(n, ast.Raise) for part in ast.walk(n)}
    parts = {id(part) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for part in ast.walk(n) if part is not n}
    for node in ast.walk(tree):
        if id(node) in apart | parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "_" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("path", LOGIC, ids=lambda path: str(path.relative_to(PLAN)))
def test_the_logic_writes_no_sentence(path: Path) -> None:
    """What a plan says stands in its tables. The logic writes names, lines to type, and the code of a module."""
    found = [text for text in texts(ast.parse(path.read_text())) if not text.startswith("%durable ")]
    assert [text for text in found if sum(bool(re.search(r"\w", word)) for word in text.split()) >= WORDS] == []


# --- each row is shown


def pattern(text: str, reason: str) -> str:
    """Give the regular expression of a row's text."""
    made = ""
    for literal, name, _, _ in Formatter().parse(text):
        made += re.escape(literal.replace("`", ""))  # they say what is code, and are no part of the words
        made += "" if name is None else f"(?:{pattern(reason, '')})" if name == "reason" else ".+?"
    return made


PLANS: dict[str, Any] = json.loads((HERE / "whole_plans.json").read_text())


def shown(row: Row, reason: str, refused: Iterable[dict[str, Any]]) -> bool:
    """Say whether a refusal says the sentence of a row and offers its choices."""
    choices = [pattern(c, row.reasons[reason]) for c in row.choices if isinstance(c, str)]
    said = pattern(row.text, row.reasons[reason])
    return any(
        re.fullmatch(said, one["message"])
        and all(any(re.fullmatch(choice, text) for text in one["choices"]) for choice in choices)
        for one in refused
    )


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_shown(code: str) -> None:
    """Each row of a refusal, for each of its reasons, is the outcome of a case; so its facts have what it says."""
    refused = [one for plan in PLANS.values() for one in plan.get("refusals", ()) if one["code"] == code]
    missing = [reason for row in rows_of(code) for reason in row.reasons if not shown(row, reason, refused)]
    assert missing == []


def said() -> list[str]:
    """Give all that is said in the plans of the cases, and what the tests of the planner write out."""
    found = []
    for plan in PLANS.values():
        found += [row["detail"] for rows in ("changes", "drift") for row in plan.get(rows, ()) if "detail" in row]
        found += [*plan.get("warnings", ()), *plan.get("notes", ()), *plan.get("objections", ())]
        found += [row["target"] for row in plan.get("binding_rows", ()) if "target" in row]
    for path in sorted((HERE / "cases").glob("*.json")):
        found += json.loads(path.read_text()).get("undeclared", ())
    for path in sorted(HERE.glob("test_*.py")):
        found += texts(ast.parse(path.read_text())) if path != Path(__file__) else ()
    return found


def test_every_sentence_is_shown() -> None:
    """Each sentence, for each of its reasons, is said in the plan of a case or written out in a test."""
    everything = said()
    rows = {
        (name, reason): pattern(row.text, row.reasons[reason])
        for name, row in SENTENCES.items()
        for reason in row.reasons
    }
    missing = {key for key, text in rows.items() if not any(re.search(text, one) for one in everything)}
    assert missing == set()
