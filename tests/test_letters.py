"""What is shown of other people's texts: never a character that a terminal obeys, always that it was there."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import nbformat
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from notebook_do import cli, errors
from notebook_do import display as letters
from notebook_do import frames as frame_text
from notebook_do.frames import frame, selected
from notebook_do.notebook.completion import _shown
from notebook_do.notebook.exploring import Fetched
from notebook_do.notebook.views.documents import written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVIL = "a\x1b]0;title\x07\x1b[2Jb\x9b31m\u202ec\u2066\u200b\x00\x7f\rd"
SHOWN = r"a\x1b]0;title\x07\x1b[2Jb\x9b31m\u202ec\u2066\u200b\x00\x7f\rd".replace(r"\r", r"\x0d")
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def test_what_a_terminal_would_obey_is_written_out() -> None:
    """Escape sequences, other controls, bidirectional and invisible characters stay readable, and do nothing."""
    assert letters.clean(EVIL) == SHOWN
    assert letters.one_line(f"{EVIL}\n\tx  y") == SHOWN.replace(r"\x0d", " ") + " x y"
    assert letters.clean("two\r\nlines\n\tüñ 日本 e\u0301 👍") == "two\nlines\n\tüñ 日本 e\u0301 👍"
    assert letters.clean("\ud800\U000e0041").encode() == rb"\ud800\U000e0041"


@given(st.text(max_size=60))
def test_no_text_gets_through_raw(text: str) -> None:
    """Of any text: what is shown holds no control, format or surrogate character but lines, tabs and word joiners."""
    shown = letters.clean(text)
    assert not RAW.search(shown)
    assert all(c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in shown)
    assert letters.clean(shown) == shown
    assert "\n" not in letters.one_line(text)


@given(st.recursive(st.text(max_size=20), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_json_says_the_same(value: Any) -> None:
    """A JSON document is cleaned without a change of what it says."""
    document = letters.in_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert not RAW.search(document)
    assert not RAW.search(written({"value": value, "also": EVIL}))


def test_colours_of_a_program_stay_and_nothing_else() -> None:
    """What a cell printed keeps its colours; titles, cursor movements and overwritten lines are seen."""
    assert letters.coloured("\x1b[0;31mred\x1b[0m\x1b[2J\x1b]0;t\x07") == "\x1b[0;31mred\x1b[0m\\x1b[2J\\x1b]0;t\\x07"
    assert letters.coloured("10 %\r20 %\r\nend") == "10 %\n20 %\nend"


def kinds(root: type[errors.DurableError]) -> Iterator[type[errors.DurableError]]:
    """Give a class and all below it."""
    yield root
    for below in root.__subclasses__():
        yield from kinds(below)


@pytest.mark.parametrize("kind", sorted(set(kinds(errors.DurableError)), key=lambda k: k.__name__))
def test_errors_show_it_and_keep_it(kind: type[errors.DurableError]) -> None:
    """The text of every error, in a notebook or a plain traceback, is clean; its `message` is exact."""
    more: dict[str, Any] = {"NoAnswer": {"sent": True}, "JSError": {"name": EVIL}}.get(kind.__name__, {})
    error = kind(message=EVIL, **more) if more else kind(EVIL)
    assert SHOWN in str(error)
    assert not RAW.search("".join(error._render_traceback_()) + str(error))
    assert error.message == EVIL


def test_the_command_line_prints_errors_cleaned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that quotes a name is printed without what the name would do to the terminal."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", "no\x1b[31m\u202e.toml"]) == 2
    said = capsys.readouterr().err
    assert r"no\x1b[31m\u202e.toml" in said
    assert not RAW.search(said)


@pytest.mark.thorough
def test_a_runbook_prints_what_its_cells_show_cleaned(tmp_path: Path) -> None:
    """`notebook-do run`: printed text, results and tracebacks reach the terminal without a sequence but colours."""
    cells = [
        nbformat.v4.new_code_cell(f"evil = {EVIL!r}\nprint(evil)"),
        nbformat.v4.new_code_cell("class R:\n    def __repr__(self): return 'is ' + evil\nR()"),
        nbformat.v4.new_code_cell("raise ValueError(evil)"),
    ]
    path = tmp_path / "book.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    code = "import sys; from notebook_do.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert r"is a\x1b]0;title" in done.stdout
    assert not RAW.search(re.sub("\x1b\\[[0-9;]*m", "", done.stdout))


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """Give a shell without a kernel."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def plain(shell: InteractiveShell, value: object) -> str:
    """Give the text that the shell shows of a value."""
    data, _ = shell.display_formatter.format(value)
    return str(data["text/plain"])


def test_a_frame_keeps_its_values_and_shows_them_cleaned(shell: InteractiveShell) -> None:
    """Values in a frame are exact; IPython's text of it, of its columns and of what is taken from it is clean."""
    objects = frame("objects", ({"stable_id": "x", "object_id": "1", "name": EVIL},))
    rows = selected(("n", EVIL), [[1, EVIL], [2, "y"]])
    assert objects.loc[0, "name"] == EVIL
    assert rows[EVIL][0] == EVIL
    for value in (objects, objects["name"], objects.head(1), objects[objects["stable_id"] == "x"], rows, rows.loc[0]):
        assert r"\x1b[2J" in plain(shell, value)
        assert not RAW.search(plain(shell, value))
        assert not RAW.search(str(value)), "print(value), in any Python"
        assert r"\x1b[2J" in str(value)


def test_a_frame_is_written_cleaned_and_pickled_plain(tmp_path: Path) -> None:
    """Into a file or a buffer its text is clean too; a pickle of it is pandas' own, with its values as they are."""
    rows = selected(("x",), [[EVIL]])
    rows.to_string(tmp_path / "rows.txt")
    with io.StringIO() as buffer:
        rows.to_string(buffer)
        written_texts = (buffer.getvalue(), (tmp_path / "rows.txt").read_text(encoding="utf-8"))
    assert [r"\x1b[2J" in text and not RAW.search(text) for text in written_texts] == [True, True]
    for value, kind in ((rows, pd.DataFrame), (rows["x"], pd.Series)):
        back = pickle.loads(pickle.dumps(value))
        assert type(back) is kind
        assert back.to_numpy().ravel().tolist() == [EVIL]


def test_other_frames_are_shown_as_pandas_does(shell: InteractiveShell) -> None:
    """A frame of the user's own, and a formatter that the user has set, are left alone."""
    frame("objects", ())
    own = pd.DataFrame({"a": ["\x1b[31mred"], "b": [1]})
    assert plain(shell, own) == repr(own)
    formatter = shell.display_formatter.formatters["text/plain"]
    formatter.pop(pd.DataFrame)
    formatter.for_type(pd.DataFrame, lambda _frame, printer, _cycle: printer.text("mine"))
    frame_text.install(shell)
    assert plain(shell, frame("objects", ())) == "mine"


def test_a_workers_answer_is_shown_cleaned() -> None:
    """Text, JSON and the reason of an answer, in every form that shows it."""
    for kind, content in (("text/plain", EVIL.encode()), ("application/json", json.dumps([EVIL]).encode())):
        response = httpx.Response(
            200,
            content=content,
            headers={"content-type": kind},
            extensions={"reason_phrase": b"\x1b[31mOK"},
            request=httpx.Request("GET", "http://chat-dev.localhost:1/\u202e"),
        )
        response.elapsed = timedelta(milliseconds=3)
        answer = Fetched.of(response)
        shown = [str(answer), repr(answer), *answer._repr_mimebundle_().values()]
        assert not RAW.search("".join(shown))
        assert EVIL in (answer.text, answer.json()[0] if "json" in kind else "")


def test_a_name_that_a_terminal_obeys_is_not_completed() -> None:
    """Words that are offered go to the terminal as they are: such a word is left out."""
    assert _shown(["page", "pa\x1b[31mge", "pa\u202ege"]) == ["page"]
