"""Routes of the beta `workers/workers` API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import Route


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    del account
    return []
