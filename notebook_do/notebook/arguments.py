"""Reads the words of a line that are JSON, or else text: arguments, values of keys, parameters of statements."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from notebook_do.display import cut, one_line
from notebook_do.errors import CommandError

_SHOWN = 40


def argument(text: str, verb: str) -> Any:
    """Read a word: JSON, or else the text itself. Raises CommandError for one that only begins as JSON does."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        check(text, verb)
        return text


def parameter(text: str, verb: str) -> Any:
    """Read a parameter of a statement, which is a scalar: a JSON object or list is the text that it is."""
    value = argument(text, verb)
    return text if isinstance(value, dict | list) else value


def check(text: str, verb: str) -> None:
    """Refuse a word that begins as JSON does and is none."""
    # The shell rules of a line take the quotes of {"a":1} away: what is left would be sent or stored as a text.
    if text.lstrip()[:1] in {"{", "[", '"'} and not _is_json(text):
        raise CommandError(
            f"%durable {verb}: {cut(one_line(text), _SHOWN)} begins as JSON and is none: a line takes quotes away. "
            """Write JSON in single quotes, '{"a": 1}', and text that begins so as a JSON text in them, '"[text]"'."""
        )


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_number)
    except ValueError:
        return False
    return True


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON, though Python reads it")
