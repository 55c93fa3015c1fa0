"""The language of workerd's configuration, which is Cap'n Proto text.

Whatever a string of a user holds, it stays one string there: every byte that is not plain ASCII is escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PLAIN = {byte for byte in range(0x20, 0x7F) if chr(byte) not in "\"'\\"}
_WRITTEN = {byte: f"\\x{byte:02x}" for byte in range(0x100) if byte not in _PLAIN}


def string(value: str) -> str:
    """Write a string; what is not UTF-8 (a lone surrogate) becomes a question mark."""
    # Translated as a whole: byte by byte it was a quarter of what the server works for an upload.
    return f'"{value.encode("utf-8", "replace").decode("latin-1").translate(_WRITTEN)}"'


def struct(**fields: str | None) -> str:
    """Write a struct of fields that are written already; a field that is None is left out."""
    return "(" + ", ".join(f"{name} = {value}" for name, value in fields.items() if value is not None) + ")"


def listed(values: Iterable[str]) -> str:
    """Write a list of values that are written already."""
    return "[" + ",\n".join(values) + "]"


def embed(path: Path) -> str:
    """Refer to a file's bytes: as text they would take 3.5 times the room, and be parsed."""
    return f"embed {string(str(path.absolute()))}"
