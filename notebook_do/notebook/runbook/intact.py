"""Tells whether code of a notebook put something of its own in the place of a function or class of notebook_do."""

from __future__ import annotations

import sys
from types import FunctionType, MethodType
from typing import Any

from notebook_do.errors import CommandError
from notebook_do.sessions.opening import current

_KINDS = (type, FunctionType, MethodType, property, staticmethod, classmethod)


def seen() -> dict[str, Any]:
    """Give every function and class of the modules that are loaded now, by where it stands."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] != "notebook_do":
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, _KINDS):
                found[f"{name}.{key}"] = value
            if isinstance(value, type) and value.__module__ == name:
                found |= {f"{name}.{key}.{k}": v for k, v in vars(value).items() if isinstance(v, _KINDS)}
            if isinstance(value, dict) and key.isupper():
                found |= {f"{name}.{key}[{k!r}]": v for k, v in value.items() if callable(v)}
    return found


def changed(before: dict[str, Any]) -> str:
    """Give the first place that holds something else than `before`, or code of the notebook; empty when none does."""
    now = seen()
    for place, value in before.items():
        if now.get(place) is not value:
            return place
    foreign = next((place for place, value in now.items() if _is_of_notebook(value)), "")
    return foreign or _hidden_methods()


def _is_of_notebook(value: Any) -> bool:
    return getattr(value, "__module__", "") == "__main__"


def _hidden_methods() -> str:
    """Give a method of the open session that a value of its own hides."""
    try:
        session = current()
    except CommandError:
        return ""
    hidden = vars(session).keys() & {name for name, value in vars(type(session)).items() if isinstance(value, _KINDS)}
    return f"Session.{min(hidden)}" if hidden else ""
