"""Reads what stands around a script: its deployments, who made them, and who refers to it."""

from __future__ import annotations

from typing import Any

from notebook_do.errors import ApiError
from notebook_do.model import NamespaceId, ObservedBinders, ObservedDeployment


def decode_split(deployments: list[Any]) -> bool:
    """Say whether the newest deployment sends part of the traffic to another version."""
    newest = deployments[0] if deployments and isinstance(deployments[0], dict) else {}
    versions = newest.get("versions")
    return isinstance(versions, list) and len(versions) > 1


def decode_deployments(deployments: list[Any]) -> tuple[ObservedDeployment, ...]:
    """Return the deployments of a script, newest first."""
    if not all(isinstance(item, dict) for item in deployments):
        raise ApiError("Cloudflare's answer has an unexpected shape: a deployment is no object.")
    return tuple(
        ObservedDeployment(
            id=_text(fields, "id") or "",
            author=_text(fields, "author_email"),
            source=_text(fields, "source"),
            created_on=_text(fields, "created_on"),
        )
        for fields in deployments
    )


def decode_binders(references: dict[str, Any]) -> ObservedBinders:
    """Return who binds the namespaces of a script, from what refers to it.

    wrangler asks `references` before it deletes a script; no document describes it.
    """
    found = references.get("durable_objects")
    items = [i for i in found if isinstance(i, dict)] if isinstance(found, list) else []
    pairs = {(i.get("durable_object_namespace_id"), i.get("service")) for i in items}
    known = [(NamespaceId(n), s) for n, s in pairs if isinstance(n, str) and isinstance(s, str) and n and s]
    return ObservedBinders(pairs=tuple(sorted(known)))


def _text(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) and value else None
