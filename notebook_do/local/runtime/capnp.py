"""Writes values as Cap'n Proto text, the language of workerd's configuration.

The rule kept here: whatever a string holds, it stays one string; every byte that is not plain ASCII is escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = {byte for byte in range(0x20, 0x7F) if chr(byte) not in "\"'\\"}


def text(value: str) -> str:
    """Quote a string; what is not UTF-8 (a lone surrogate) becomes a question mark."""
    return quoted(value.encode("utf-8", "replace"))


def quoted(value: bytes) -> str:
    """Quote bytes."""
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in value) + '"'


def struct(**fields: str | None) -> str:
    """Write a struct of fields that are written already; a field that is None is left out."""
    return "(" + ", ".join(f"{name} = {value}" for name, value in fields.items() if value is not None) + ")"


def items(values: Iterable[str]) -> str:
    """Write a list of values that are written already."""
    return "[" + ",\n".join(values) + "]"
