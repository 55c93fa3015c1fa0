"""Reads who refers to a script. wrangler asks it before it deletes one; no document describes it."""

from __future__ import annotations

from typing import Any

from notebook_do.model import NamespaceId, ObservedBinders


def decode_binders(references: dict[str, Any]) -> ObservedBinders:
    """Return who binds the namespaces of a script, from what refers to it."""
    found = references.get("durable_objects")
    items = [i for i in found if isinstance(i, dict)] if isinstance(found, list) else []
    pairs = {(i.get("durable_object_namespace_id"), i.get("service")) for i in items}
    known = [(NamespaceId(n), s) for n, s in pairs if isinstance(n, str) and isinstance(s, str) and n and s]
    return ObservedBinders(pairs=tuple(sorted(known)))
