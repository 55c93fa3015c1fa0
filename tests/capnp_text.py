"""Configurations of workerd as it reads them from a file: what the messages are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from notebook_do.local.runtime.capnp import VOID, Struct, Usage


def file_of(config: Struct) -> str:
    """Write a configuration as a file of one."""
    return f'using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = {as_text(config)};\n'


def as_text(value: Any) -> str:
    """Write a value in the language of workerd's configuration files."""
    if value is VOID:
        return "void"
    if isinstance(value, Usage):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        return f"embed {as_text(str(value.absolute()))}"
    if isinstance(value, str):
        return '"' + "".join(f"\\x{byte:02x}" for byte in value.encode()) + '"'
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} = {as_text(one)}" for name, one in value.items()) + ")"
    return "[" + ", ".join(map(as_text, value)) + "]"
