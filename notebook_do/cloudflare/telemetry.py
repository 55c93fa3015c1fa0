"""The endpoints of logs: past ones of Workers Logs, live tails, and what only a local Cloudflare can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import dict_of, list_of

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client


async def query_events(client: Client, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Read one page of the events that a query finds, newest first."""
    path = client.path("workers", "observability", "telemetry", "query")
    found = dict_of(dict_of(await client.change("POST", path, query)).get("events") or {})
    return [one for one in list_of(found.get("events") or []) if isinstance(one, dict)]


async def missing_logs(client: Client, script_name: str, since: int, until: int) -> list[dict[str, Any]]:
    """Read what is missing of a script's past logs between two milliseconds; a local Cloudflare alone can tell."""
    path = client.path("local", "scripts", script_name, "missing-logs")
    return list_of(await client.change("GET", f"{path}?from={since}&to={until}"))


async def followed_request(client: Client, request_id: str, wait: int) -> dict[str, Any]:
    """Read what a request did, waiting up to `wait` milliseconds for its end; a local Cloudflare alone can tell."""
    return dict_of(await client.change("GET", f"{client.path('local', 'requests', request_id)}?wait={wait}"))


async def open_tail(client: Client, script_name: str) -> dict[str, Any]:
    """Begin a live tail of a script; its `url` is the secret address of a websocket. Sent once."""
    return dict_of(
        await client.change("POST", client.path("workers", "scripts", script_name, "tails"), {"filters": []})
    )


async def close_tail(client: Client, script_name: str, tail_id: str) -> None:
    """End a live tail. Sent once."""
    await client.change("DELETE", client.path("workers", "scripts", script_name, "tails", tail_id))
