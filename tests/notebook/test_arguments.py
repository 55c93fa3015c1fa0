"""Words of a line that are JSON, or else text: JSON whose quotes the line took is refused, in every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import CommandError
from notebook_do.notebook.arguments import argument, parameter
from notebook_do.notebook.parsing import read_options, split
from notebook_do.notebook.verbs import find
from notebook_do.notebook.verbs.help import usage

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def shell(home: Path, ip: InteractiveShell) -> InteractiveShell:
    """Open a session with a namespace that is declared, and not deployed: nothing can be sent."""
    del home
    nd.session("shop")
    nd.DurableObjectNamespace("rooms", class_name="Room")
    return ip


@pytest.mark.parametrize("word", ['{"a":1}', '["a"]', """'{"a":1'""", """'"a'""", '{"a": 1}', "[draft]"])
@pytest.mark.parametrize(
    "line",
    [
        "put rooms kitchen topic WORD",
        "call rooms kitchen post WORD",
        "execute rooms kitchen 'DELETE FROM t WHERE a = ?' --param WORD",
        "query rooms 'SELECT ?' --param WORD",
    ],
)
def test_json_without_its_quotes_is_refused(shell: InteractiveShell, line: str, word: str) -> None:
    """A word that begins as JSON does, and is none, is neither sent nor stored as text; it says how to quote."""
    if " " in word and "--param" in line:
        word = word.replace(" ", "")
    with pytest.raises(CommandError, match="begins as JSON and is none") as caught:
        shell.run_cell(f"%durable {line.replace('WORD', word)}").raise_error()
    message = str(caught.value)
    assert f"%durable {line.partition(' ')[0]}: " in message
    assert """'{"a": 1}'""" in message


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": 1}', {"a": 1}), ("41", 41), ('"41"', "41"), ('"[draft]"', "[draft]"), ("a{", "a{")]
)
def test_text_that_begins_as_json_is_written_as_json_text(text: str, value: Any) -> None:
    """What the error says to write is read as what was meant, also as a parameter."""
    assert argument(text, "put") == value
    assert parameter(text, "query") == (text if isinstance(value, dict) else value)


def test_the_help_says_how_json_is_quoted() -> None:
    """Each verb that reads such a word says it."""
    for name in ("call", "put", "execute", "query"):
        verb = find(name)
        assert verb is not None
        assert """JSON with quotes stands in single quotes: '["a"]'. "41" without them is the number""" in usage(verb)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ('--data {"a":1}', '{"a":1}'),
        ('--data={"a":1}', '{"a":1}'),
        ('--data {"a": [1, "two words"], "b": "it\'s"} --method PUT', '{"a": [1, "two words"], "b": "it\'s"}'),
        ('--data ["a"];', '["a"]'),
        ("""--data '{"a":1}'""", '{"a":1}'),
        ("""--data='{"a": 1}'""", '{"a": 1}'),
        ('--data "{\\"a\\": 1}"', '{"a": 1}'),
        ("""--header 'x: --data {"a":1}' --data {"b":2}""", '{"b":2}'),
        ("--data {a}", "{a}"),
        ("--data 'plain text'", "plain text"),
    ],
)
def test_the_body_of_a_request_is_sent_as_it_is_typed(typed: str, sent: str) -> None:
    """JSON behind --data keeps its quotes and blanks, whether it stands in quotes or not; all else is as before."""
    name, *words = split(f"fetch chat / {typed}")
    options = read_options(name, words, None)
    assert (options.worker, options.path, options.data) == ("chat", "/", sent)
    assert options.method == ("PUT" if "PUT" in typed else None)


def test_a_worker_gets_the_body_as_it_was_typed(ip: InteractiveShell, cloud: Path) -> None:
    """Unquoted JSON arrives with its quotes, and with its content type."""
    del cloud
    session = nd.session("echo")
    echo = "async fetch(r) { return new Response(r.headers.get('content-type') + ' ' + await r.text()); }"
    nd.Worker("echo", script=f"export default {{ {echo} }};")
    session.deploy(session.plan())
    done = ip.run_cell('answer = %durable fetch echo / --data {"a":1}\nanswer.text')
    done.raise_error()
    assert done.result == 'application/json {"a":1}'
