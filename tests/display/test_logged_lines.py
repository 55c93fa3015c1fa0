"""What is shown of a line that a Worker logged: no secret by shape, and none of JSON by its name."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.display.logged import LONGEST, shown_line

SECRET = "hunter2x"


@pytest.mark.parametrize(
    "line",
    [
        'answer: {"password": "%", "a": "kept"} kept',
        '{"secrets": {"a": ["%", "]}\\"%"]}, "a": "kept"}',
        '[1, {"apiKey": "%"}, "kept"]',
        '"kept" {"p\\u0061ssword": "%"}',
        '"kept" {"authorization": "Bearer %"}',
        'kept {"password": "%',
        'kept {"password": ["%',
        "kept postgres://admin:%@db/shop",
        "kept -----BEGIN PRIVATE KEY-----\n%\n-----END PRIVATE KEY----- kept",
        "kept -----BEGIN PRIVATE KEY-----\n%\n",
    ],
)
def test_what_is_a_secret_in_a_line_is_hidden_and_all_else_stays(line: str) -> None:
    """A value by its name in JSON, also a table, a list and what is cut off; an address with a password; a key."""
    shown = shown_line(line.replace("%", SECRET))
    assert SECRET not in shown
    assert "kept" in shown
    assert "hidden because" in shown


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 3))
def test_json_in_json_hides_by_name_at_each_depth(before: str, after: str, depth: int) -> None:
    """However often it is quoted; what comes behind the value is still what it was."""
    secret = f"Zq{SECRET}"
    value: object = {"note": "shown", "dbPassword": f"{before}{secret}{after}", "n": 1}
    for _ in range(depth):
        value = {"in": json.dumps(value), "n": 1}
    shown: object = json.loads(shown_line(json.dumps(value)))
    for _ in range(depth):
        assert isinstance(shown, dict)
        assert shown["n"] == 1
        shown = json.loads(shown["in"])
    assert isinstance(shown, dict)
    assert shown["note"] == "shown"
    assert str(shown["dbPassword"]).startswith("hidden because of its name (")


def test_a_number_is_hidden_by_its_name_and_nothing_is_not() -> None:
    """As in JSON that is a value: null and an empty text say that there is none."""
    shown = shown_line('{"pin_secret": 12345678, "token": null, "password": "", "n": 12}')
    assert shown == '{"pin_secret": "hidden because of its name", "token": null, "password": "", "n": 12}'


@pytest.mark.parametrize(
    "line",
    [
        "2 rows",
        'slow query: {"ms": 26}',
        f"object {'a1' * 32}",
        "the token: none",
        '"a": "b"',
        '{"a": {"b": [1, "x"]}}',
    ],
)
def test_another_line_is_shown_as_it_is(line: str) -> None:
    """Ids of objects too: they are what a person looks for in logs."""
    assert shown_line(line) == line


def test_a_long_line_is_cut_behind_what_is_hidden() -> None:
    """The cut parts no secret from what tells that it is one; how much more there is is said."""
    assert shown_line("x" * (LONGEST + 5)) == "x" * LONGEST + "… 5 more characters"
    for before in range(LONGEST - 40, LONGEST + 3):
        for secret in (f"postgres://admin:{SECRET}@db/shop", json.dumps({"password": SECRET})):
            assert "hunt" not in shown_line("x" * before + " " + secret)
    long = "{" + f'"password": "{SECRET * 10_000}", "a": 1' + "}"
    assert SECRET not in shown_line(long)
    assert "hunt" not in shown_line(f'{"{"}"password": "{"x" * 21_900}", "url": "postgres://a:{SECRET * 9_000}@h"')


@pytest.mark.parametrize(
    "piece",
    ['"password": "', "\\", '"', '{"key":[', '"a":', "-----BEGIN A-----\n", "eyJ-", "a-", '"\\\\', "://a:", "\\u0061"],
)
def test_a_line_that_is_made_to_take_long_takes_little(piece: str) -> None:
    """A guard against minutes: whoever can have a Worker log something could hold up the notebook else."""
    began = time.process_time()
    shown_line(piece * 40_000)
    assert time.process_time() - began < 10
