"""`%durable inspect`, and the ways to declare the same: the line, TOML, Python, and what is written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.declare.options import line_of
from notebook_do.errors import CommandError, DeclarationError

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

WAYS = [
    ("--inspect", "true", True),
    ("--inspect on", "true", True),
    ("--inspect calls", '"calls"', "calls"),
    ("--inspect off", "false", False),
    ("", "false", False),
]


@pytest.mark.parametrize(("line", "toml", "value"), WAYS)
def test_three_ways_declare_the_same(line: str, toml: str, value: Any) -> None:
    """A line, a table of TOML and a keyword say the same, and the line that is written back says it too."""
    (by_line,) = parse_cell(f"namespace rooms --class Room {line}", None)
    (by_toml,) = parse_cell("", f'[namespaces.rooms]\nclass_name = "Room"\ninspect = {toml}\n')
    by_python = nd.DurableObjectNamespace("rooms", class_name="Room", inspect=value)
    assert by_line == by_toml
    assert (by_line.inspect, by_python.inspect) == (value, value)  # type: ignore[union-attr]
    written = line_of("namespace", by_line)  # type: ignore[arg-type]
    assert written is not None
    assert parse_cell(written, None) == (by_line,)


def test_any_other_value_is_refused() -> None:
    """What is neither on, off nor calls is an error of one line, in each way."""
    with pytest.raises(CommandError, match="--inspect all: "):
        parse_cell("namespace rooms --class Room --inspect all", None)
    with pytest.raises(DeclarationError, match="inspect must be true, false or \"calls\", not 'all'"):
        parse_cell("", '[namespaces.rooms]\nclass_name = "Room"\ninspect = "all"\n')
    with pytest.raises(DeclarationError, match='inspect must be true, false or "calls", not 1'):
        nd.DurableObjectNamespace("rooms", class_name="Room", inspect=1)  # type: ignore[arg-type]


def test_the_verb_changes_the_declaration(ip: InteractiveShell, cloud: Path) -> None:
    """It declares the namespace anew, says what that means and the line that does the same, and sends nothing."""
    del cloud
    ip.run_cell("%durable session tour").raise_error()
    ip.run_cell("%durable namespace rooms --class Room").raise_error()
    said = str(ip.run_cell("%durable inspect rooms --calls").result)
    assert "Methods of the objects of rooms can be called from here, once that is deployed." in said
    assert "%durable namespace rooms --class Room --inspect calls" in said
    assert "This session is local, where every object can be asked" in said
    assert "Nothing was sent." in said
    assert "--inspect\n" in str(ip.run_cell("%durable inspect rooms").result) + "\n"
    assert "another key" in str(ip.run_cell("%durable inspect rooms --new-key").result)
    off = str(ip.run_cell("%durable inspect rooms --off").result)
    assert "--inspect" not in off
    for wrong, why in (
        ("rooms --off --calls", "leave the other option out"),
        ("hall", "no namespace hall is declared"),
    ):
        with pytest.raises(CommandError, match=why):
            ip.run_cell(f"%durable inspect {wrong}").raise_error()
