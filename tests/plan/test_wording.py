"""The words of a plan and of its records, row for row: what a person reads is the new wording, and never the old one.

The rows are those of the table of wordings (section 14 of the design of the views). Rows of declarations, forms,
requests and the panel stand in the tests of those views; the ones here are of plans, so that no server is needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from plan_world import Book, body
from test_refusal_form import planned

if TYPE_CHECKING:
    from collections.abc import Callable


def case(name: str) -> Callable[[], str]:
    """Give what shows the plan of a case."""
    return lambda: " ".join(str(planned()[name][1]).split())


def after(line: str, again: str) -> Callable[[], str]:
    """Give what shows the plan for a Worker that is deployed, and then declared otherwise."""

    def plan() -> str:
        book = Book()
        book.cell("namespace counter --class Counter")
        book.cell(f"worker api --bind COUNTER=counter {line}", body(Counter="counter"))
        book.deploy()
        book.cell(f"worker api --bind COUNTER=counter {again}", body(Counter="counter"))
        return " ".join(str(book.plan()).split())

    return plan


_ID = "[0-9a-f]{32}"
ROWS: dict[int, tuple[Callable[[], str], str]] = {
    1: (case("destroy-by-the-marked-id"), r"^Plan for production on local: .* session: s "),
    2: (case("other-account-on-cloudflare"), r"^! LIVE PRODUCTION Plan for production on Cloudflare: .* aaaa…aaaa "),
    4: (case("first-deploy"), r"\+ create Worker is created with \d lines? of JavaScript"),
    5: (case("first-deploy"), r"\+ create namespace counter starts empty: class Counter, SQLite storage"),
    6: (case("first-deploy"), r"\+ create binding COUNTER namespace counter "),
    7: (after("--var MODE=fast", "--var MODE=slow"), r"~ update binding MODE of Worker api fast → slow"),
    8: (
        after("""--json L='{"max": 20, "b": 1}'""", """--json L='{"max": 50, "b": 1}'"""),
        r"~ update binding L of Worker api JSON, 1 of 2 values: \.max 20 → 50",
    ),
    9: (after("", "--var X=1"), r"\+ create binding X of Worker api 1 "),
    10: (after("--var MODE=fast", ""), r"- delete binding MODE of Worker api was fast "),
    14: (case("inspect-of-a-foreign-host"), r"\+ create URL opens "),
    15: (case("settings-and-crons-of-ours-left-out"), r"~ update crons 0 \* \* \* \*, 5 \* \* \* \* → 5 \* \* \* \* "),
    17: (case("adopted-by-id-and-renamed"), r"~ update Worker taken over(?: from session \w+, stage \w+)?; its namesp"),
    18: (case("secret-of-a-new-worker"), r"\+ create secret KEY from environment variable KEY"),
    19: (case("secret-changed"), r"~ update secret KEY .*variable KEY holds another value than at the last deploy"),
    20: (case("secret-of-another-machine"), r"~ update secret KEY .*set again: it was last set elsewhere"),
    21: (
        case("adopted-by-id-and-renamed"),
        rf"~ rename namespace counter class Old → Counter; its objects stay, namespace id {_ID}",
    ),
    22: (
        case("transferred-from-a-worker-id"),
        rf"transfer namespace counter Worker old → api; its objects stay, namespace id {_ID}",
    ),
    23: (
        case("destroy-a-worker"),
        rf"! delete namespace counter class \w+ of api, namespace id {_ID}.*be undone",
    ),
    24: (
        case("destroy-a-worker-that-is-gone"),
        r"- delete namespace counter no longer in the account; only its entry in the state file is removed",
    ),
    25: (case("binding-changed-outside"), r"~ Changed outside since the last deploy.*: \d things?\. A deploy puts"),
    27: (case("destroy-what-is-protected"), r"^Plan for production on local: refused, \d decisions? (?:is|are) yours"),
    28: (
        case("destroy-what-is-protected"),
        r"! Namespace counter is protected against destroy \(line 1 of the cell that begins %durable namespace c",
    ),
    29: (
        case("destroy-what-is-protected"),
        r"Allow it, then destroy again: %durable namespace counter --class Counter .*--unprotect",
    ),
    30: (
        case("destroy-while-declared-as-bound"),
        r"! Namespace counter is still bound by COUNTER of Worker api \(",
    ),
    31: (case("destroy-while-declared-as-bound"), r"- Take binding COUNTER out of the declaration of Worker api "),
    32: (case("destroy-a-worker"), r"! counter: .*stored objects? would be deleted for ever\."),
    36: (case("first-deploy"), r" create Worker api: create class Counter \(SQLite\) for namespace counter"),
    37: (case("first-deploy"), r"counter · class Counter"),
    39: (case("first-deploy"), r"plan [0-9a-f]{16} · next: %durable deploy$"),
    40: (case("unchanged"), r"^= Plan for production on local: nothing to do\. .* live as declared\."),
}
OLD = (
    *("(LIVE)", " to create, ", "begins empty:", "is added", "Digest ", "Next: %durable", "Nothing to do:", "Warnings"),
    *(
        "Class migrations:",
        "Stored data would be lost",
        "of its cell",
        "state serial",
        "its namespaces are kept (",
        "Drift:",
    ),
)
"""Words that stood in plans once."""
OTHERWISE = {
    17: "whose it was is said where its mark tells; a Worker without one is only taken over",
    29: "the line is all that is declared of the namespace, so that it loses nothing by it",
    31: "a binding is named as it is called, with its cell: in TOML and in Python there is no --bind",
}
"""The rows whose words differ from the design deliberately, with the reason."""


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_a_plan_has_its_new_words(row: int) -> None:
    """Issue 16, section 14: each row as it is to be read."""
    made, words = ROWS[row]
    shown = made()
    assert re.search(words, shown), shown


@pytest.mark.parametrize("name", planned())
def test_no_plan_has_the_old_words(name: str) -> None:
    """Issue 16, section 14: of the words of before none is left in any plan."""
    shown = " ".join(str(planned()[name][1]).split())
    assert [words for words in OLD if words in shown] == []


def test_the_rows_that_differ_are_rows_of_the_table() -> None:
    """A difference is deliberate only where it is said of a row that is checked here."""
    assert OTHERWISE.keys() <= ROWS.keys()
