"""What people who know Jupyter expect of a toolkit like this: 45 sentences, and for each the tests that hold it.

`EXPECTATIONS` is the map; it names tests of the whole tree, so that whoever renames or removes one is told here. The
tests below are of sentences that have no home elsewhere.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do import cli, toolchain
from notebook_do.errors import CommandError
from notebook_do.local.process import launch
from notebook_do.notebook import commands, verbs
from notebook_do.notebook.verbs.help import usage

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from notebook_do.notebook.verbs.verb import Verb

TESTS = Path(__file__).parent.parent
EXPECTATIONS = {
    1: (
        "one table of verbs makes parser, help, completion and pages",
        "notebook/test_verbs.py::test_help_names_every_option_and_an_example",
        "notebook/test_magics.py::test_the_docstring_lists_every_verb",
        "notebook/test_completion.py::test_what_can_be_completed",
        "notebook/test_uniform_lines.py::test_the_pages_are_made_of_the_tables",
    ),
    2: (
        "-h on every verb prints, and the cell is fine",
        "notebook/test_expectations.py::test_the_help_of_every_verb_is_printed_without_a_session",
    ),
    3: ("quoted words as in a shell", "notebook/test_verbs.py::test_words_follow_posix_shell_rules"),
    4: (
        "the bare magic shows where one is and what to type",
        "notebook/test_magics.py::test_without_a_session_the_bare_magic_shows_how_to_begin",
        "notebook/test_status.py::test_nothing_at_all_offers_the_two_lines_that_declare",
        "notebook/test_status.py::test_all_as_declared_offers_to_look_at_it_with_real_names",
    ),
    5: (
        "did-you-mean for verbs, options, names and keys",
        "notebook/test_verbs.py::test_a_mistyped_verb_is_answered_with_the_nearest",
        "notebook/test_verbs.py::test_a_mistake_is_one_clear_line",
        "notebook/test_magics.py::test_destroy_of_an_unknown_thing_is_answered_with_the_nearest",
        "declare/test_cell.py::test_table_errors",
    ),
    6: (
        "no traceback for a user's mistake; a bug of ours keeps its own",
        "notebook/test_magics.py::test_a_mistake_is_one_line",
        "notebook/test_expectations.py::test_a_bug_keeps_its_traceback",
    ),
    7: (
        "the traceback of a mistake on demand",
        "notebook/test_magics.py::test_short_errors_can_be_switched_off",
    ),
    8: (
        "an error points at file, cell and line",
        "notebook/test_magics.py::test_errors_count_lines_as_a_person_does",
        "notebook/test_expectations.py::test_a_mistake_in_a_toml_file_has_its_line_and_the_nearest_key",
        "declare/test_source_mistakes.py::test_a_syntax_error_fails_its_cell_and_leaves_the_earlier_declaration",
    ),
    9: (
        "an error stops nbclient and papermill",
        "notebook/test_headless.py::test_a_mistake_stops_the_run_with_one_line",
        "test_papermill.py::test_a_refused_plan_stops_the_run_without_telling_a_secret",
    ),
    10: (
        "Tab gives verbs, options, choices and names, and nothing else",
        "notebook/test_completion.py::test_what_can_be_completed",
        "notebook/test_completion.py::test_other_completions_are_left_alone",
        "notebook/test_completion.py::test_where_nothing_is_known_nothing_is_offered",
    ),
    11: (
        "Tab inside of a cell's body: TOML keys, classes, values",
        "notebook/test_completion.py::test_what_can_be_completed",
    ),
    12: (
        "a line acts or shows, a cell declares",
        "notebook/test_expectations.py::test_a_verb_that_takes_no_body_says_so",
        "notebook/test_uniform_lines.py::test_a_cell_of_one_line_needs_no_body_where_it_names_a_file",
        "notebook/test_exploring.py::test_a_cell_of_sql",
    ),
    13: (
        "an option means the same wherever it is taken",
        "notebook/test_verbs.py::test_every_verb_has_the_common_options",
        "notebook/test_expectations.py::test_an_option_takes_the_same_wherever_it_is_taken",
        "notebook/test_json_forms.py::test_every_verb_that_shows_something_takes_json",
    ),
    14: (
        "only ${py:name} in values is filled; braces, dollars and sources are left alone",
        "notebook/test_magics.py::test_braces_and_dollars_arrive_untouched",
        "notebook/test_magics.py::test_only_py_references_in_toml_values_are_filled",
        "declare/test_cell.py::test_python_values_keep_their_type_and_leave_scripts_alone",
    ),
    15: (
        "what a verb gives is a value with its frames",
        "notebook/test_expectations.py::test_what_a_verb_gives_is_a_value_and_an_assignment_shows_nothing",
        "notebook/test_frames.py::test_a_plan_gives_its_three_frames",
    ),
    16: (
        "--as keeps it in a variable; an assignment shows nothing",
        "notebook/test_magics.py::test_as_keeps_json_writes_and_quiet_hides",
        "notebook/test_expectations.py::test_what_a_verb_gives_is_a_value_and_an_assignment_shows_nothing",
    ),
    17: (
        "text of 100 columns and HTML of one document, no ANSI",
        "notebook/test_plan_contract.py::test_each_view_keeps_the_contract",
        "notebook/test_text.py::test_no_line_is_wider_than_100_columns",
        "notebook/test_same.py::test_every_cell_of_a_table_is_in_all_three",
        "test_notebooks.py::test_no_colour_is_written_into_a_file",
    ),
    18: (
        "readable without a kernel: static outputs before the widget",
        "notebook/test_kernel.py::test_the_plan_and_the_record_are_outputs_of_their_own_before_the_panel",
        "notebook/test_same.py::test_a_converted_page_keeps_the_view",
        "lab/test_deploy_cell.py::test_the_record_stays_in_the_saved_notebook_and_the_cell_is_short",
    ),
    19: (
        "an untrusted notebook loses nothing of a view",
        "notebook/test_html.py::test_an_attribute_outside_the_list_is_a_bug",
        "notebook/test_plan_contract.py::test_each_view_keeps_the_contract",
        "lab/test_untrusted.py::test_an_untrusted_view_keeps_its_words_tints_and_symbols",
    ),
    20: (
        "dark mode: translucent tints, no text colour",
        "notebook/test_html.py::test_tints_are_on_cells_and_text_has_no_colour",
    ),
    21: (
        "a symbol and a word beside every colour, and a count",
        "notebook/test_same.py::test_every_change_of_a_plan_is_in_all_three",
        "notebook/test_text.py::test_a_band_and_a_look_are_words",
        "notebook/test_plan_view.py::test_the_title_says_what_happens_and_where",
    ),
    22: (
        "a plan before anything is sent; what is new or changed is told without a request",
        "notebook/test_headless.py::test_run_all_sends_nothing_and_builds_no_widget",
        "notebook/test_status.py::test_a_status_asks_the_api_nothing",
    ),
    23: (
        "exactly the plan that was shown is sent; a stale one is refused",
        "deploy/test_run.py::test_f43_a_stale_plan_is_refused",
        "deploy/test_stored_plan.py::test_a_changed_copy_is_stale",
        "notebook/test_headless.py::test_an_approved_digest_deploys_in_the_next_run",
    ),
    24: (
        "nothing is destroyed by accident: protection, a press, a typed phrase",
        "test_main_job.py::test_destroy_needs_the_typed_phrase",
        "notebook/test_panel.py::test_the_button_waits_for_the_typed_phrase",
        "lab/test_deploy_cell.py::test_destroying_says_destroy_and_asks_for_the_phrase",
    ),
    25: (
        "Run All sends nothing",
        "test_notebooks.py::test_no_cell_but_an_approval_sends",
        "notebook/test_headless.py::test_run_all_sends_nothing_and_builds_no_widget",
    ),
    26: (
        "a double click deploys once",
        "notebook/test_panel.py::test_a_hundred_clicks_at_once_send_one_plan",
        "lab/test_jupyterlab.py::test_declare_plan_press_and_a_live_answer",
    ),
    27: (
        "headless: no widget, a summary with the line that approves",
        "notebook/test_headless.py::test_run_all_sends_nothing_and_builds_no_widget",
        "notebook/test_headless.py::test_the_press_in_advance_deploys",
    ),
    28: (
        "progress: a line that is replaced, a bar and a row a step",
        "notebook/test_kernel.py::test_the_plan_and_the_record_are_outputs_of_their_own_before_the_panel",
        "notebook/test_panel.py::test_a_wait_that_cloudflare_asks_for_counts_down_in_its_row",
        "deploy/test_run.py::test_events_of_a_deploy",
    ),
    29: (
        "cancel between steps, Ctrl-C during one; what was done is recorded",
        "notebook/test_panel.py::test_cancel_is_there_while_it_runs_and_only_then",
        "deploy/test_run.py::test_cancel_between_steps",
        "deploy/test_interrupt.py::test_f42_the_step_under_way_finishes",
        "deploy/test_run.py::test_f38_partial_success",
    ),
    30: (
        "an error of a callback is seen where the button was",
        "notebook/test_panel.py::test_an_error_is_seen_in_the_record",
        "notebook/test_controller.py::test_every_error_is_recorded",
        "notebook/test_expectations.py::test_a_bug_in_a_form_is_seen_in_the_form",
        "notebook/test_record.py::test_a_secret_in_an_answer_is_in_no_record",
    ),
    31: (
        "settings: option > %config > environment > pyproject.toml",
        "test_settings.py::test_the_nearest_place_counts",
        "test_settings.py::test_a_line_beats_config_beats_the_environment",
        "test_settings.py::test_what_cannot_be_right_names_its_place",
        "test_settings.py::test_a_wrong_config_is_never_silently_the_value_of_before",
    ),
    32: (
        "a token is in no file, option, widget or parameter",
        "credentials/test_credentials.py::test_s27_order_of_sources",
        "credentials/test_credentials.py::test_s01_a_token_is_masked",
        "notebook/test_panel.py::test_no_trait_of_any_widget_holds_a_token",
        "notebook/test_expectations.py::test_nothing_takes_a_token_as_a_value",
    ),
    33: (
        "every plan and deploy says where: stage, target, account, live or not",
        "notebook/test_plan_view.py::test_the_title_says_what_happens_and_where",
        "notebook/test_plan_view.py::test_a_live_target_is_a_band",
        "notebook/test_panel.py::test_only_production_and_destruction_are_red",
    ),
    34: (
        "a state file: JSON, serial, lineage, lock, whole after a crash, .gitignore",
        "state/test_file.py::test_round_trip",
        "state/test_power.py::test_f50_power_loss",
        "state/test_lock.py::test_f44_the_loser_is_told_who_holds_it",
        "state/test_file.py::test_git_is_told_which_files_are_this_machines",
    ),
    35: (
        "a cell run again, or in a new kernel, declares the same thing",
        "test_main_job.py::test_a_kernel_restart_keeps_objects_and_identity",
        "declare/test_catalog.py::test_replacing_and_forgetting",
        "notebook/test_declared_views.py::test_nothing_changed_is_one_line",
    ),
    36: (
        "cells in any order; what a cell no longer declares is told",
        "test_main_job.py::test_cells_in_any_order_give_the_same_plan",
        "notebook/test_kernel.py::test_a_plan_tells_of_what_a_cell_no_longer_declares",
        "notebook/test_headless.py::test_a_declaration_knows_its_cell",
    ),
    37: (
        "frames of fixed columns and dtypes",
        "notebook/test_frames.py::test_columns_and_dtypes_never_change",
        "notebook/test_frames.py::test_a_plan_gives_its_three_frames",
        "notebook/test_json_forms.py::test_the_result_of_every_verb_has_its_fields",
    ),
    38: ("loading is cheap", "golden/test_surface.py::test_loading_brings_no_heavy_library"),
    39: (
        "works without widgets, and asks in a terminal",
        "notebook/test_expectations.py::test_all_of_it_works_without_widgets",
        "notebook/test_headless.py::test_a_terminal_asks_and_deploys_only_what_was_typed",
    ),
    40: (
        "no CDN, no JavaScript of our own",
        "lab/test_jupyterlab.py::test_declare_plan_press_and_a_live_answer",
        "notebook/test_html.py::test_a_tag_outside_the_list_is_a_bug",
    ),
    41: (
        "synchronous and to be awaited, in one kernel",
        "notebook/test_expectations.py::test_the_coroutines_are_awaited_in_a_cell",
        "notebook/test_kernel.py::test_queued_cells_all_end",
        "test_bridge.py::test_a_caller_on_a_running_loop_gets_its_answer",
    ),
    42: (
        "reload and unload leave one of everything, and nothing",
        "notebook/test_magics.py::test_unloading_leaves_nothing_behind",
        "notebook/test_completion.py::test_reload_and_unload_leave_one_matcher_and_none",
    ),
    43: (
        "a way out: wrangler's files, and JSON of what is shown",
        "test_exchange.py::test_export_for_wrangler_is_what_is_live",
        "notebook/test_json_forms.py::test_every_verb_that_shows_something_takes_json",
    ),
    44: (
        "a runbook: parameters, `require`, nothing sent by default, a record with time and plan",
        "test_papermill.py::test_a_runbook_changes_nothing_until_it_is_approved",
        "notebook/test_magics.py::test_require_names_what_is_missing_and_shows_no_value",
        "notebook/test_record.py::test_done_has_addresses_namespaces_and_folded_steps",
        "test_notebooks.py::test_parameters_are_injected",
    ),
    45: (
        "no telemetry: nothing but the target is connected to",
        "notebook/test_expectations.py::test_nothing_but_this_machine_is_connected_to",
    ),
}
"""By number: the sentence in short, then the tests that hold it, as `FILE::NAME` below tests/."""


def names_of(file: str) -> dict[str, set[str]]:
    """Read which tests a file has, each with the marks that every case of it has."""
    tree = ast.parse((TESTS / file).read_text())
    found = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))
    return {one.name: {m.attr for m in one.decorator_list if isinstance(m, ast.Attribute)} for one in found}


def test_the_expectations_are_numbered_without_a_gap() -> None:
    """There are 45, and none is said without a test."""
    assert list(EXPECTATIONS) == list(range(1, 46))
    assert all(len(tests) >= 1 for _, *tests in EXPECTATIONS.values())
    sentences = [sentence for sentence, *_ in EXPECTATIONS.values()]
    assert len(set(sentences)) == 45


@pytest.mark.parametrize("number", EXPECTATIONS)
def test_each_expectation_names_tests_that_exist(number: int) -> None:
    """Every test that is named is in its file, and one at least is a part of the default run."""
    _, *tests = EXPECTATIONS[number]
    marks = []
    for test in tests:
        file, _, name = test.partition("::")
        assert name in names_of(file), test
        marks.append(names_of(file)[name])
    assert any("thorough" not in of for of in marks)


def printed(ip: InteractiveShell, capsys: pytest.CaptureFixture[str], code: str) -> str:
    """Run a cell that must not fail, and give what it shows."""
    capsys.readouterr()
    ip.run_cell(code).raise_error()
    return capsys.readouterr().out


def test_the_help_of_every_verb_is_printed_without_a_session(
    ip: InteractiveShell, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Expectation 2: `-h` and `--help`, of the magic and of each verb: text, and no error."""
    for flag in ("-h", "--help"):
        shown = printed(ip, capsys, f"%durable {flag}")
        assert all(f"  {verb.name}  " in shown and (verb.brief or verb.summary) in shown for verb in verbs.VERBS)
        for verb in verbs.VERBS:
            assert printed(ip, capsys, f"%durable {verb.name} {flag}").strip() == usage(verb).strip()
    assert not (home / ".notebook_do").exists()


def test_a_bug_keeps_its_traceback(
    ip: InteractiveShell, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Expectation 6: what is no DurableError is shown by IPython as ever, with where it happened."""

    def fail(call: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setitem(commands.RUN, "plan", fail)
    result = ip.run_cell("%durable plan")
    assert isinstance(result.error_in_exec, KeyError)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "Traceback (most recent call last)" in shown
    assert "test_expectations.py" in shown


def test_a_mistake_in_a_toml_file_has_its_line_and_the_nearest_key(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Expectation 8: `durable.toml`, line 4: unknown key, did you mean."""
    (home / "durable.toml").write_text("[workers.api]\nscript = 'export default {}'\nurl = false\nbindngs = {}\n")
    assert cli.main(["plan", "durable.toml"]) != 0
    said = capsys.readouterr().err.strip()
    assert said == "notebook-do: durable.toml, line 4: worker api: unknown key bindngs; did you mean bindings?"


@pytest.mark.parametrize("verb", [v for v in verbs.VERBS if v.form == "line"], ids=lambda v: v.name)
def test_a_verb_that_takes_no_body_says_so(ip: InteractiveShell, home: Path, verb: Verb) -> None:
    """Expectation 12: a cell that acts would act at every Run All; it is told to be a line."""
    with pytest.raises(CommandError, match=f"write %durable {verb.name} on a line of its own"):
        ip.run_cell(f"%%durable {verb.name}\nx").raise_error()


TWO_READINGS = {"--build", "--assets", "--object", "--json"}
"""A Worker's own command against "run it", an asset directory of one Worker or of several, a column in place of an
object, and the binding of a declaring line: each is told by the value that it takes."""


def test_an_option_takes_the_same_wherever_it_is_taken() -> None:
    """Expectation 13: a value or none, once or often, as for every other verb that has the option."""
    readings: dict[str, set[tuple[bool, bool]]] = {}
    for verb in verbs.VERBS:
        for option in (*verb.own, *verb.common):
            readings.setdefault(option.name, set()).add((bool(option.value), option.many))
    of_verbs = {name: found for name, found in readings.items() if name.startswith("-") and name not in TWO_READINGS}
    assert len(of_verbs) > 20
    assert {name: found for name, found in of_verbs.items() if len(found) > 1} == {}


def test_what_a_verb_gives_is_a_value_and_an_assignment_shows_nothing(
    ip: InteractiveShell, cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Expectations 15 and 16: a plan, a declaration and a result are values of public types, and data classes."""
    for cell in DECLARE[1:]:
        assert printed(ip, capsys, f"{cell}")
    assert printed(ip, capsys, "p = %durable plan") == ""
    assert printed(ip, capsys, "%durable plan --as again") == ""
    plan, again = ip.user_ns["p"], ip.user_ns["again"]
    assert isinstance(plan, nd.Plan)
    assert plan.digest == again.digest
    printed(ip, capsys, f"r = %durable deploy --approve {plan.digest}")
    printed(ip, capsys, "s = %durable\nw = %durable show workers\nn = %durable namespace counter --class Counter")
    assert isinstance(ip.user_ns["r"], nd.DeployResult)
    assert isinstance(ip.user_ns["n"], nd.DurableObjectNamespace)
    assert all(dataclasses.is_dataclass(ip.user_ns[name]) for name in "prsn")
    assert list(ip.user_ns["w"].df["id"]) == ["my-worker"]
    assert json.loads(printed(ip, capsys, "%durable plan --json").partition("Out[")[2].partition(":")[2])["digest"]


def test_a_bug_in_a_form_is_seen_in_the_form(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expectation 30: a callback's exception would be invisible; the form shows it, with where it happened."""
    from notebook_do.notebook.widgets.drafts import Draft
    from notebook_do.notebook.widgets.forms import Form

    def fail(*_: Any) -> Any:
        raise KeyError("a <b>bug</b>")

    session = nd.session("forms")
    form = Form(session, Draft.new("namespace", id="counter", class_name="Counter"))
    monkeypatch.setattr(session, "declare", fail)
    form.save.click()
    assert 'role="alert"' in form.outcome.value
    assert "Unexpected KeyError" in form.outcome.value
    assert "Details" in form.outcome.value
    assert "<b>" not in form.outcome.value


SECRETIVE = re.compile("token|password|credential|api.?key", re.IGNORECASE)


def test_nothing_takes_a_token_as_a_value() -> None:
    """Expectation 32: no option, keyword or setting has a place for one, so that none is written into a notebook."""
    named = {option.name for verb in verbs.VERBS for option in (*verb.options, *verb.common)}
    called = (nd.session, nd.Worker, nd.DurableObjectNamespace, nd.Session.plan, nd.Session.deploy)
    named |= {name for one in called for name in inspect.signature(one).parameters}
    assert len(named) > 80
    assert [name for name in named if SECRETIVE.search(name)] == []


# --- one way from a declaration to an answer, in a process of its own

BODY = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch() { return new Response("counted"); }
}
export default { fetch(request, env) { return env.COUNTER.getByName("a").fetch(request); } };
"""
DECLARE = (
    "%load_ext notebook_do",
    "%durable session tour",
    "%durable namespace counter --class Counter",
    f"%%durable worker my-worker --bind COUNTER=counter\n{BODY}",
)
WAY = (
    *DECLARE,
    "%durable",
    "%durable plan",
    "%durable deploy",
    "import notebook_do as nd\nplan = await nd.current().aplan()\nresult = await nd.current().adeploy(plan)\nresult.ok",
    "answer = await nd.current().afetch('my-worker')\nanswer.text",
    "%durable fetch my-worker /",
    "%durable show namespaces",
    "%durable objects counter",
    "%durable logs my-worker",
    "%durable form namespace",
)
SHELL = """import json, sys
sys.modules["ipywidgets"] = None  # as where it is not installed: an import of it fails
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
ip = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
told = []
for cell in json.loads(sys.argv[1]):
    result = ip.run_cell(cell)
    error = result.error_before_exec or result.error_in_exec
    told.append([cell, repr(error) if error else "", str(result.result)])
ip.run_line_magic("unload_ext", "notebook_do")
print("told", json.dumps(told))
"""
NOTED = """import os, sys
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        to = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        with open({noted!r}, "a") as file:
            print(os.getpid(), event, to if isinstance(to, (str, bytes)) else to[0], file=file)
sys.addaudithook(note)
"""
"""A sitecustomize: every process of Python that is started notes whom it connects to, and what name it looks up."""


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Go from a declaration to a live answer in a process without widgets, with a local Cloudflare of its own."""
    home = tmp_path_factory.mktemp("way")
    toolchain.find_workerd()
    toolchain.find_esbuild()  # what is not on this machine yet is not fetched by the processes that are watched
    (home / "watching").mkdir()
    (home / "watching" / "sitecustomize.py").write_text(NOTED.format(noted=str(home / "noted")))
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CLOUDFLARE_", "CF_", "NOTEBOOK_DO_"))}
    places = {"NOTEBOOK_DO_DATA": str(home / "data"), "NOTEBOOK_DO_KEYS": str(home / "keys")}
    path = os.pathsep.join([str(home / "watching"), *sys.path])
    environment = {**kept, **places, "PYTHONPATH": path}
    command = [sys.executable, "-c", SHELL, json.dumps(WAY)]
    try:
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    finally:
        launch.stop(home / "data")
    assert done.returncode == 0, done.stderr
    told = {cell: (error, value) for cell, error, value in json.loads(done.stdout.rpartition("\ntold ")[2])}
    return {"told": told, "printed": done.stdout, "noted": (home / "noted").read_text().splitlines()}


def test_all_of_it_works_without_widgets(way: dict[str, Any]) -> None:
    """Expectation 39: ipywidgets cannot be imported; what is a form elsewhere says what to type instead."""
    assert {cell: error for cell, (error, _) in way["told"].items() if error} == {}
    assert "Plan for dev on local: 4 changes" in way["printed"]
    assert "%durable deploy --approve " in way["printed"]
    assert "200 OK" in way["told"]["%durable fetch my-worker /"][1]
    assert "Declare with a line: %durable namespace -h" in way["told"]["%durable form namespace"][1]


def test_the_coroutines_are_awaited_in_a_cell(way: dict[str, Any]) -> None:
    """Expectation 41: `await session.aplan()`, `adeploy`, `afetch` at the top of a cell, beside the magic's own."""
    assert [value for cell, (_, value) in way["told"].items() if "await" in cell] == ["True", "counted"]


def test_nothing_but_this_machine_is_connected_to(way: dict[str, Any]) -> None:
    """Expectation 45: neither the kernel nor the local Cloudflare connects to, or looks up, anything else."""
    noted = [line.split(maxsplit=2) for line in way["noted"]]
    assert len({process for process, _, _ in noted}) > 1, "the kernel's process and the server's"
    assert {event for _, event, _ in noted} >= {"socket.connect"}
    here = re.compile(r"127\.0\.0\.1|::1|localhost|[\w.-]+\.localhost|b?'?/.*|/.*")
    assert [line for line in noted if not here.fullmatch(line[2])] == []
