"""Tells which resources begin here with their first use: the local Cloudflare takes what nobody made by name.

Read only where a plan on the local target sets such a binding: one list of each kind that is concerned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do.model.steps import MakeQueue

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.plan.plan import Plan

_SHOWN = 3
_NAMES = {"kv_namespace": "KV namespace", "r2_bucket": "R2 bucket", "d1": "D1 database", "queue": "Queue"}
_LISTS = {
    "kv_namespace": ("storage/kv/namespaces", "id"),
    "d1": ("d1/database", "uuid"),
    "queue": ("queues", "queue_name"),
}


async def first_uses(client: Client, plan: Plan) -> tuple[str, ...]:
    """Give one line a kind: the resources that bindings of `plan` are to reach first, and that nobody made by name."""
    lines = []
    makes = {s.queue for s in plan.steps if isinstance(s, MakeQueue)}
    for kind, what in _NAMES.items():
        bound = {
            row["target"] for row in plan.binding_rows if row["type"] == kind and row["action"] in {"create", "update"}
        }
        bound -= makes if kind == "queue" else set()
        if bound and (absent := sorted(bound - await _made(client, kind))):
            more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
            named = ", ".join(absent[:_SHOWN]) + more
            lines.append(f"{what} {named}: made here on first use; on Cloudflare it must exist.")
    return tuple(lines)


async def _made(client: Client, kind: str) -> set[str]:
    """List what was made by name, as a binding names it."""
    account = f"/accounts/{quote(client.account_id, safe='')}"
    if kind == "r2_bucket":
        return _of(await client.list_buckets(), "name")
    path, key = _LISTS[kind]
    return _of(await client.list_of(f"{account}/{path}"), key)


def _of(items: Any, key: str) -> set[str]:
    return {str(item.get(key)) for item in items or () if isinstance(item, dict)}
