"""Namespaces that no process may have for now, because their files are changed; who needs one waits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class Away:
    """The namespaces that are held now."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[str, asyncio.Event] = {}

    @contextlib.asynccontextmanager
    async def hold(self, namespace_id: str) -> AsyncIterator[None]:
        """Hold a namespace as long as the context lasts, one holder after the other."""
        while held := self._held.get(namespace_id):
            await held.wait()
        self._held[namespace_id] = over = asyncio.Event()
        try:
            yield
        finally:
            del self._held[namespace_id]
            over.set()

    async def waited(self, namespaces: Iterable[str]) -> bool:
        """Wait until a namespace of these is no longer held, and say so; False, at once, where none is."""
        held = next((self._held[one] for one in namespaces if one in self._held), None)
        if held is not None:
            await held.wait()
        return held is not None
