"""Reads the deployments of a script: who made them, and whether the newest one runs two versions at once."""

from __future__ import annotations

from typing import Any

from notebook_do.errors import ApiError
from notebook_do.model import ObservedDeployment


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


def _text(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) and value else None
