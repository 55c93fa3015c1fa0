"""Reads lists that come in pages, by cursor or by number, to their end; a list that has none is an error.

`result_info` tells what comes next: `cursor` or `cursors.after` (both are in use), or `total_pages`, or `total_count`
with `per_page`. Where it tells nothing, a page of a size that was asked for is the last one when it is not full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import dict_of, list_of
from notebook_do.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    Read = Callable[[str, dict[str, Any] | None], Awaitable[tuple[Any, dict[str, Any]]]]

MOST_PAGES = 500
"""A list that still goes on is an error: what is compared with a list that was cut would look as if it were gone."""


async def pages(
    read: Read, path: str, params: Mapping[str, Any] | None = None, *, key: str | None = None
) -> AsyncGenerator[list[Any], None]:
    """Give one page after the other; `key` is where the list stands in an answer that is an object.

    Raises ApiError for a cursor that comes back, a page that was not asked for, and a list of more than `MOST_PAGES`.
    """
    asked: dict[str, Any] = dict(params or {})
    if "per_page" in asked:
        asked = {"page": 1, **asked}
    cursors: set[str] = set()
    for number in range(1, MOST_PAGES + 1):
        result, info = await read(path, asked or None)
        items = list_of(result if key is None else dict_of(result).get(key))
        yield items
        cursor = cursor_of(info)
        if cursor in cursors:
            raise ApiError(f"the list at {path} does not end: page {number} gives a cursor that was used before.")
        if cursor:
            cursors.add(cursor)
            asked = {**(params or {}), "cursor": cursor}
        elif items and _goes_on(path, info, len(items), number, asked):
            asked = {"page": number + 1, **(params or {})}
        else:
            return
    raise ApiError(f"the list at {path} has more than {MOST_PAGES} pages; nothing is done with a part of it.")


async def read_all(
    read: Read, path: str, params: Mapping[str, Any] | None = None, *, key: str | None = None
) -> list[Any]:
    """Read all pages of a list."""
    return [item async for items in pages(read, path, params, key=key) for item in items]


def cursor_of(info: Mapping[str, Any]) -> str:
    """Give what stands for the next page; empty where this one is the last, or pages have numbers."""
    cursors = info.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return next((c for c in (after, info.get("cursor")) if isinstance(c, str) and c), "")


def _goes_on(path: str, info: Mapping[str, Any], count: int, number: int, asked: Mapping[str, Any]) -> bool:
    """Say whether a numbered page has one behind it."""
    given = info.get("page")
    if type(given) is int and given != number:
        raise ApiError(f"the list at {path} does not end: page {number} was asked for, and page {given} came.")
    total, everything, size = (info.get(name) for name in ("total_pages", "total_count", "per_page"))
    if type(total) is int:
        return number < total
    if type(everything) is int and type(size) is int and size > 0:
        return number * size < everything
    return count == asked.get("per_page")
