"""The words of a plan and of its records, row for row: what a person reads is the new wording, and never the old one.

The rows are those of the table of wordings (section 14 of the design of the views). Rows of declarations, forms,
requests and the panel stand in the tests of those views; the ones here are of plans, so that no server is needed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from plan_world import Book, body
from test_refusal_form import PLACEHOLDERS, planned

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
    13: (case("adopted-by-id-and-renamed"), r"\+ create code 2 lines of JavaScript"),
    14: (case("inspect-of-a-foreign-host"), r"\+ create URL opens "),
    15: (case("settings-and-crons-of-ours-left-out"), r"~ update crons 0 \* \* \* \*, 5 \* \* \* \* → 5 \* \* \* \* "),
    16: (
        after("", """--setting observability='{"enabled": true}'"""),
        r"~ update setting observability of Worker api off → on",
    ),
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
    26: (
        case("code-replaced-outside"),
        r"action what declared live now .* ~ update code as deployed last uploaded by wrangler To keep what is live",
    ),
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
_RECORD, _PANEL = "notebook/test_record.py", "notebook/test_panel.py"
_CONTRACT, _STATES = "notebook/test_plan_contract.py", "notebook/test_contract_words.py"
_FORMS, _DECLARED = "notebook/test_forms.py", "notebook/test_declared_views.py"
ELSEWHERE = {
    3: "notebook/test_plan_view.py::test_the_title_says_what_happens_and_where",
    11: f"{_CONTRACT}::test_a_rename_says_that_objects_stay",
    12: f"{_CONTRACT}::test_code_json_and_settings_show_what_differs",
    33: "notebook/test_plan_view.py::test_warnings_are_lines_with_a_symbol",
    34: "deploy/test_session.py::test_f58_a_copied_notebook",
    35: "plan/test_wording.py::test_no_plan_has_the_old_words",
    38: "notebook/test_diagram.py::test_values_are_counted_not_drawn",
    41: f"{_RECORD}::test_done_has_addresses_namespaces_and_folded_steps",
    42: f"{_PANEL}::test_the_button_says_what_it_does_and_where",
    43: f"{_RECORD}::test_before_the_press_it_waits",
    44: f"{_PANEL}::test_the_button_waits_for_the_typed_phrase",
    45: f"{_PANEL}::test_cancel_is_there_while_it_runs_and_only_then",
    46: f"{_PANEL}::test_a_press_deploys_once_and_the_widget_ends_empty",
    47: f"{_RECORD}::test_done_has_addresses_namespaces_and_folded_steps",
    48: f"{_RECORD}::test_destroyed_says_what_is_gone",
    49: f"{_RECORD}::test_a_failure_counts_says_the_message_once_and_lists_the_steps",
    50: f"{_RECORD}::test_a_failure_counts_says_the_message_once_and_lists_the_steps",
    51: "notebook/test_magics.py::test_a_stopped_deploy_lists_no_address_of_before",
    52: "notebook/test_controller.py::test_a_stale_plan_is_replaced_and_needs_its_own_press",
    53: "notebook/test_controller.py::test_an_older_panel_is_switched_off",
    54: f"{_RECORD}::test_where_nobody_can_press_the_line_that_approves_is_said",
    55: f"{_DECLARED}::test_a_namespace_says_what_it_is_and_what_is_missing",
    56: f"{_DECLARED}::test_a_worker_says_script_source_exports_and_its_bindings_in_order",
    57: f"{_CONTRACT}::test_code_json_and_settings_show_what_differs",
    58: f"{_STATES}::test_a_namespace_without_protection_may_be_destroyed",
    59: f"{_FORMS}::test_a_pristine_form_is_not_red_and_says_what_is_to_be_filled_in",
    60: f"{_FORMS}::test_a_mistake_in_a_folded_field_opens_it",
    61: f"{_FORMS}::test_a_press_judges_every_field_and_declares_nothing_that_is_wrong",
    62: f"{_FORMS}::test_a_row_is_judged_by_the_field_that_was_left",
    63: f"{_STATES}::test_the_form_calls_its_rare_fields_by_what_they_mean",
    64: f"{_STATES}::test_the_status_is_a_table_of_what_is_declared_and_deployed",
    65: "notebook/test_fetched.py::test_json_is_indented_with_the_lines_of_this_request",
    66: f"{_STATES}::test_a_table_without_rows_says_which_where_and_what_makes_one",
}
"""The rows that are of other views, or gone: the test that holds each."""
OLD = (
    *("(LIVE)", " to create, ", "begins empty:", "is added", "Digest ", "Next: %durable", "Nothing to do:", "Warnings"),
    *(
        "Class migrations:",
        "Stored data would be lost",
        "of its cell",
        "state serial",
        "its namespaces are kept (",
        "Drift:",
        "Finished:",
        "its cell",
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


def test_every_row_of_the_table_is_held_by_a_test_that_exists() -> None:
    """Issue 16, section 14: 66 rows, each with its words above or a test of another view."""
    assert sorted([*ROWS, *ELSEWHERE]) == list(range(1, 67))
    for held in ELSEWHERE.values():
        file, _, name = held.partition("::")
        assert f"\ndef {name}(" in (Path(__file__).parent.parent / file).read_text(), held


@pytest.mark.parametrize("name", planned())
def test_a_warning_is_said_once_with_real_names(name: str) -> None:
    """Issue 16: what a plan warns of, notes or asks consent for stands in it once, and holds no placeholder."""
    plan = planned()[name][1]
    shown = " ".join(str(plan).split()).lower()
    for told in (*plan.warnings, *plan.notes):
        words = " ".join(told.replace("`", "").split()).lower()
        assert shown.count(words) == 1, told
        assert not PLACEHOLDERS.search(told), told
    assert not any(PLACEHOLDERS.search(consent.phrase) for consent in plan.consents)


def test_the_rows_that_differ_are_rows_of_the_table() -> None:
    """A difference is deliberate only where it is said of a row that is checked here."""
    assert OTHERWISE.keys() <= ROWS.keys()
