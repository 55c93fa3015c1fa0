"""How each refusal is said: which thing, where it is declared, what to do next as a line that can be pasted; once.

Each code of the table is the outcome of a case; those plans are shown as a person sees them.
"""

from __future__ import annotations

import functools
import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import test_whole_plans

from notebook_do.declare.anew import declared_again
from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.display.rich import parts_of
from notebook_do.model import Where
from notebook_do.notebook.parsing import read_options, split
from notebook_do.plan.build import build_plan
from notebook_do.plan.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from notebook_do.model import Desired
    from notebook_do.plan.plan import Plan, Refusal

PLACEHOLDERS = re.compile(r"(?<!stable )\b(?:ID|NAME|WORKER|BINDING|SCRIPT)\b(?!=)|\bits cell\b")
_HEX = re.compile(r"(?<![\w…-])[0-9a-f]{12,}(?![\w-])")
WHOLE_IDS = ("--namespace-id ", "--account ", "namespace id ", "plan ", "AUDIENCE ")
"""Behind what an id stands in full: in a line to paste, where it proves something, and the digest of a plan. The last
one is a value of an inspector, which names the account that it is for."""
NAMED_ELSEWHERE = {
    "state-behind": "a Worker of the account, whatever is declared",
    "still-bound": "the place in it is that of the Worker that binds",
    "host-not-declared": "its Worker is not declared",
    "unmanaged-namespace": "the namespace is not declared",
    "forget-first": "what it names is gone",
    "unknown-destroy": "nothing of that name is known",
    "other-account": "a matter of the session",
}
"""The refusals that do not say where their subject is declared, with the reason."""


NAMES_OTHERS = {"forget-first", "other-account", "class-name-bound"}
"""The refusals that name what is in the way (what is gone, the place, an earlier class), and the thing in a choice."""


@functools.cache
def planned() -> dict[str, tuple[Desired, Plan]]:
    """Plan each case; give what is declared and the plan, by case."""
    cases, found = test_whole_plans._cases(), {}
    for path in test_whole_plans.PATHS:
        case = json.loads(path.read_text())
        desired, recorded, observed = cases.states_of(case)
        found[path.stem] = (
            desired,
            build_plan(
                desired,
                recorded,
                observed,
                target=case.get("target", "local"),
                default_compatibility_date="2026-01-01",
                secret_readings=cases.secret_readings_of(case),
            ),
        )
    return found


def refused(code: str) -> Iterator[tuple[Desired, Plan, Refusal]]:
    """Yield each refusal of a code, with what was declared and its plan."""
    for desired, plan in planned().values():
        yield from ((desired, plan, refusal) for refusal in plan.refusals if refusal.code == code)


def commands(choice: str) -> list[str]:
    """Give the lines of a choice that can be pasted."""
    return [part.text for part in parts_of(choice) if part.look == "code" and part.text.startswith("%")]


def read(line: str) -> Any:
    """Read a line as a cell does."""
    words = split(line.lstrip("%").removeprefix("durable "))
    if words[0] in {"namespace", "worker"}:
        body = "export default {}" if words[0] == "worker" else None
        return parse_cell(line.lstrip("%").removeprefix("durable "), body)
    return read_options(words[0], words[1:], None)


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_names_the_thing_and_where_it_is_declared(code: str) -> None:
    """Issue 16: what happened, to what named thing, and where; a refusal is one or two sentences, said once."""
    for desired, plan, refusal in refused(code):
        named = [part for part in re.split(r"[.,:]", refusal.subject) if part]
        short = [f"{part[:4]}…{part[-8:]}" for part in named]
        if code not in NAMES_OTHERS:
            assert any(part in refusal.message for part in (*named, *short)), refusal
        declared = {*(n.stable_id for n in desired.namespaces), *(w.id for w in desired.workers)}
        if named[0] in declared and code not in NAMED_ELSEWHERE:
            assert re.match(r"line \d+ of the cell that begins %", refusal.place), refusal
        shown = " ".join(str(plan).split())
        assert shown.count(" ".join(refusal.message[1:].rstrip(".").split())) == 1, shown


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_offers_lines_that_can_be_pasted(code: str) -> None:
    """Issue 16: each line that a choice offers is read by our own parser, with real names in it; none is a template."""
    for _, plan, refusal in refused(code):
        assert refusal.choices or code == "unknown-destroy", refusal
        for choice in refusal.choices:
            assert not PLACEHOLDERS.search(choice), choice
            for line in commands(choice):
                read(line)
        again = str(plan).partition("Nothing can be sent until you choose; then: ")[2].splitlines()[0]
        read(again)


@pytest.mark.parametrize("name", [path.stem for path in test_whole_plans.PATHS])
def test_no_plan_shows_a_long_id_but_where_it_proves_something(name: str) -> None:
    """Issue 16, section 5: ids are short in what is read, and whole in lines to paste, renames, moves and deletions."""
    shown = " ".join(str(planned()[name][1]).split())
    for found in _HEX.finditer(shown):
        before = shown[: found.start()]
        assert before.endswith(WHOLE_IDS) or set(found[0]) == {"a"}, shown[max(0, found.start() - 80) : found.end()]


def test_a_line_of_another_form_is_offered_in_that_form() -> None:
    """Who declared in TOML is told the key and its place, who declared in Python the call; a secret is in neither."""
    (namespace,) = parse_cell(
        "namespace counter --class Counter", None, where=Where(file="a.py", line=3, form="python")
    )
    again = declared_again(namespace, {"renamed_from": "count"})
    assert again == 'nd.DurableObjectNamespace("counter", class_name="Counter", renamed_from="count")'
    (worker,) = parse_cell("worker api", "export default {}", where=Where(file="a.py", line=3, form="python"))
    assert declared_again(worker, {"lifecycle": "exports"}) == 'write lifecycle="exports" for Worker api (a.py:3)'
    assert declared_again(worker, {"adopt": True}) == "write adopt=True for Worker api (a.py:3)"
    toml = Where(first="%%durable", form="toml")
    (namespace,) = parse_cell("", '[namespaces.counter]\nclass_name = "Counter"', where=toml)
    assert declared_again(namespace, {"script_name": "api"}) == (
        'write script_name = "api" for namespace counter (line 2 of the cell that begins %%durable)'
    )
    (worker,) = parse_cell("worker api --var API_KEY=planted --adopt", "export default {}", where=Where(run=5))
    assert declared_again(worker, {"name": "api-2"}) == "write --name api-2 for Worker api (line 1 of cell [5])"
    assert declared_again(worker, {"adopt": False}) == "leave out --adopt for Worker api (line 1 of cell [5])"


def test_the_source_is_named_by_the_line_of_its_cell(tmp_path: Path) -> None:
    """Issue 16: a class that is not exported points to the Worker's source, and the refusal to the namespace's cell."""
    del tmp_path
    catalog = Catalog()
    catalog.declare(*parse_cell("namespace counter --class Countr", None, where=Where(run=3)))
    source = "// a comment\nexport class Counter {}\nexport default {};\n"
    catalog.declare(*parse_cell("worker api --bind COUNTER=counter", source, where=Where(run=5, body_line=2)))
    cases = test_whole_plans._cases()
    desired = catalog.desired("s", "production", read=cases.reader())
    case: dict[str, Any] = {}
    plan = build_plan(
        desired,
        cases.recorded_of(case, desired),
        cases.observed_of(case),
        target="local",
        default_compatibility_date="2026-01-01",
    )
    shown = " ".join(str(plan).split())
    assert (
        "! Class Countr of namespace counter is not exported by the source of Worker api (line 3 of cell [5])." in shown
    )
    assert "Declared in line 1 of cell [3]." in shown


def test_the_parser_reads_what_it_is_asked() -> None:
    """The check above can fail: an unknown option of a line is an error."""
    with pytest.raises(Exception, match="unknown option"):
        read("%durable destroy counter --frce")
    assert isinstance(read("%durable destroy counter"), SimpleNamespace)
