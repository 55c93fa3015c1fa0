"""What may stand in a field of a form, told for that field alone: a sentence, with an example made of its text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from notebook_do.declare.making import IDENTIFIER, RESERVED, STABLE_ID, WORKER_ID
from notebook_do.declare.options import secret_reference
from notebook_do.errors import DurableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SCRIPT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _plain(text: str, other: str, join: str) -> str:
    """Return `text` with everything that is not in the class `other` as one `join`, none at its ends."""
    return re.sub(rf"[^{other}]+", join, text.strip()).strip(join + "-_.")


def stable_id_fault(text: str) -> str:
    """Return what is wrong with a stable ID; empty for a good one."""
    example = _plain(text, "A-Za-z0-9_-", "-")[:64] or "counter"
    return _id_fault(text, STABLE_ID, "letters, digits, - or _", example)


def worker_fault(text: str) -> str:
    """Return what is wrong with a Worker's name in its session; empty for a good one."""
    return _id_fault(text, WORKER_ID, "letters, digits, -, _ or .", _plain(text, "A-Za-z0-9_.-", "-")[:64] or "api")


def _id_fault(text: str, form: re.Pattern[str], letters: str, example: str) -> str:
    if form.fullmatch(text):
        return ""
    if re.search(r"\s", text):
        return f"No spaces: use {letters}, for example {example}."
    if len(text) > 64 and form.fullmatch(text[:64]):
        return f"At most 64 characters: for example {text[:12]}."
    return f"Use {letters}, beginning with a letter or digit: for example {example}."


def script_name_fault(text: str) -> str:
    """Return what is wrong with a script name; empty for a good one."""
    example = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "api"
    good = _SCRIPT_NAME.fullmatch(text)
    return "" if good else f"Use lower-case letters, digits and -, at most 63: for example {example}."


def class_fault(text: str) -> str:
    """Return what is wrong with the name of a class; empty for a good one."""
    if text in RESERVED:
        return f"{text} is a word of JavaScript: choose another, for example {text.capitalize()}Object."
    words = re.findall(r"[A-Za-z0-9$]+", text)
    made = "".join(w[:1].upper() + w[1:] for w in words).lstrip("0123456789")
    return _identifier_fault(text, made[:1].upper() + made[1:] or "Counter")


def binding_fault(text: str) -> str:
    """Return what is wrong with the name of a binding; empty for a good one."""
    if text in RESERVED:
        return f"{text} is a word of JavaScript: choose another, for example {text.upper()}_BINDING."
    return _identifier_fault(
        text, _plain(text, "A-Za-z0-9_$", "_").lstrip("0123456789").strip("_").upper() or "COUNTER"
    )


def _identifier_fault(text: str, example: str) -> str:
    if IDENTIFIER.fullmatch(text):
        return ""
    return f"Use letters, digits and _, not beginning with a digit: for example {example}."


def date_fault(text: str) -> str:
    """Return what is wrong with a compatibility date whose field says that it is no day."""
    found = re.search(r"(\d{4})\D?(\d{1,2})\D?(\d{1,2})", text)
    example = f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}" if found else ""
    good = re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", example) and example != text
    return f"Write a day as {example if good else '2026-11-01'}."


def json_fault(text: str) -> str:
    """Return what is wrong with a text that is to be JSON; empty for JSON."""
    try:
        json.loads(text)
    except ValueError:
        quoted = json.dumps(text.strip("'\""), ensure_ascii=False)
        example = quoted if re.fullmatch(r"[^{}\[\]:,]*", text) else '{"max": 20}'
        return f"This is no JSON value: write a text in quotes, a number, a list or an object, for example {example}."
    return ""


def secret_fault(name: str, text: str) -> str:
    """Return what is wrong with where a secret is to come from; shows nothing of it, for it may be the value."""
    problem = ""
    try:
        secret_reference("form", name, text)
    except DurableError:
        problem = "Name where its value is, not the value: a VARIABLE in capitals, keyring, or prompt."
    return problem


FIELD_FAULTS: Mapping[tuple[str, str], Callable[[str], str]] = {
    ("namespace", "id"): stable_id_fault,
    ("namespace", "class_name"): class_fault,
    ("namespace", "renamed_from"): stable_id_fault,
    ("worker", "id"): worker_fault,
    ("worker", "name"): script_name_fault,
}
"""By kind and field, what tells a person what is wrong with a text; of any other field its row of the table does."""
