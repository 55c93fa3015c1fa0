"""Any value of a verb -> plain JSON values, for `--json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from notebook_do.display import Table, in_json
from notebook_do.model import Json
from notebook_do.notebook.views.documents import View
from notebook_do.plan.plan import Plan


def written(value: Any) -> str:
    """Write any value of a verb as JSON that no terminal obeys."""
    return in_json(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:  # noqa: C901 - one case a kind of value
    """Reduce `value` to JSON values; sources and bodies of modules are left out."""
    match value:
        case Plan():
            return {"digest": value.digest, **json.loads(value.to_json())}
        case Table():
            return [plain(dict(row)) for row in value.rows]
        case View():
            return str(value) if value.data is None else plain(value.data)
        case Json():
            return value.value
        case Enum():
            return value.value
        case str() | int() | float() | bool() | None:
            return value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted(plain(item) for item in value)
    if hasattr(value, "to_json") and hasattr(value, "columns"):  # a DataFrame, without loading pandas to know it
        rows = json.loads(value.to_json(orient="records", date_format="iso", default_handler=str))
        return {"rows": rows, **plain(value.attrs)} if value.attrs.get("more") else rows
    if hasattr(value, "status_code"):
        return {"status": value.status_code, "headers": dict(value.headers), "body": value.text}
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.repr}
    return str(value)
