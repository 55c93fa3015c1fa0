"""Sorts scripts so that what must be first is first, and what should be first is first where that is possible."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class CrossedTransfer(Exception):  # noqa: N818 - caught at once and turned into a refusal
    """Scripts hand namespaces to each other in a circle."""

    def __init__(self, scripts: tuple[str, ...]) -> None:
        super().__init__(scripts)
        self.scripts = scripts


def order_of(hard: Mapping[str, set[str]], soft: Mapping[str, set[str]]) -> list[str]:
    """Sort by both kinds of edges (node -> what comes before it); a circle of soft ones is broken by name."""
    waiting = {node: hard[node] | soft.get(node, set()) for node in hard}
    followers: dict[str, list[str]] = {node: [] for node in hard}
    for node, before in waiting.items():
        for earlier in before:
            followers[earlier].append(node)
    ready = [node for node, before in waiting.items() if not before]
    heapify(ready)
    order: list[str] = []
    done: set[str] = set()
    while len(order) < len(waiting):
        if not ready:
            able = [n for n in sorted(waiting) if n not in done and hard[n] <= done]
            if not able:
                raise CrossedTransfer(tuple(n for n in sorted(waiting) if n not in done and hard[n] - done))
            heappush(ready, able[0])
        node = heappop(ready)
        if node in done:
            continue
        done.add(node)
        order.append(node)
        for follower in followers[node]:
            waiting[follower].discard(node)
            if not waiting[follower] and follower not in done:
                heappush(ready, follower)
    return order
