"""Lists of several pages: read to their end by every form of page that Cloudflare has, and never cut in silence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.cloudflare.answer import MOST_PAGES, pages
from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.triggers import list_triggers, read_triggers
from notebook_do.credentials.token import Token
from notebook_do.errors import ApiError, CommandError
from notebook_do.live.observe import observe, observe_objects
from notebook_do.model import NamespaceId, Trigger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ACCOUNT = "a" * 32
WORKERS = f"/accounts/{ACCOUNT}/workers"


def ask(answer: Callable[[str, dict[str, str]], tuple[Any, dict[str, Any]]], call: Callable[[Client], Any]) -> Any:
    """Make a call on a Cloudflare that answers (result, result_info) by path and query."""

    def handler(request: httpx.Request) -> httpx.Response:
        result, info = answer(request.url.path.removeprefix("/client/v4"), dict(request.url.params))
        body = {"success": True, "errors": [], "messages": [], "result": result, "result_info": info}
        return httpx.Response(200, json=body)

    async def inside() -> Any:
        transport = httpx.MockTransport(handler)
        async with Client("https://api.cloudflare.com/client/v4", ACCOUNT, Token("t" * 40), transport=transport) as one:
            return await call(one)

    return asyncio.run(inside())


def cursor(items: list[Any], start: int, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Answer one page with `cursor`, the form of the published schema."""
    after = str(start + size) if start + size < len(items) else ""
    return items[start : start + size], {"count": size, "cursor": after}


def cursors(items: list[Any], start: int, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Answer one page with `cursors.after`, the form that the official SDK reads."""
    shown, info = cursor(items, start, size)
    return shown, {"cursors": {"after": info["cursor"] or None}}


def counted(items: list[Any], start: int, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Answer one numbered page, with the number of all items and not of all pages."""
    return items[start : start + size], {"page": start // size + 1, "per_page": size, "total_count": len(items)}


def numbered(items: list[Any], start: int, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Answer one numbered page, with the number of all pages."""
    return items[start : start + size], {"page": start // size + 1, "total_pages": -(-len(items) // size)}


FORMS = [cursor, cursors, counted, numbered]
N = 7
DATA: dict[str, list[Any]] = {
    f"{WORKERS}/scripts": [{"id": f"s{i}"} for i in range(N)],
    f"{WORKERS}/durable_objects/namespaces": [{"id": f"{i}"} for i in range(N)],
    f"{WORKERS}/durable_objects/namespaces/n/objects": [{"id": f"{i}" * 64, "hasStoredData": True} for i in range(N)],
    f"{WORKERS}/domains": [{"id": f"d{i}", "hostname": f"d{i}.example.com", "service": "w"} for i in range(N)],
    "/zones": [{"id": f"z{i}", "name": f"z{i}.com"} for i in range(N)],
    "/accounts": [{"id": f"{i}"} for i in range(N)],
    f"/accounts/{ACCOUNT}/queues": [
        {"queue_id": f"q{i}", "queue_name": f"q{i}", "consumers": [{"script": "w"}]} for i in range(N)
    ],
    **{f"/zones/z{i}/workers/routes": [{"id": f"r{i}", "pattern": f"z{i}.com/*", "script": "w"}] for i in range(N)},
}
WRAPPED = {"deployments": "deployments", "schedules": "schedules"}


def paged(form: Any, size: int = 3) -> Callable[[str, dict[str, str]], tuple[Any, dict[str, Any]]]:
    """Answer every list in pages of one form."""

    def answer(path: str, query: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        start = int(query.get("cursor") or (int(query.get("page", 1)) - 1) * size)
        if (key := WRAPPED.get(path.rpartition("/")[2])) is not None:
            shown, info = form([{"n": i} for i in range(N)], start, size)
            return {key: shown}, info
        return form(DATA[path], start, size)

    return answer


async def objects(client: Client) -> list[Any]:
    """Read all objects of a namespace."""
    found, more = await observe_objects(client, NamespaceId("n"))
    assert not more
    return list(found)


async def trigger_keys(client: Client) -> list[Any]:
    """Read what calls the Worker w: zones, routes, domains and queues; one key a zone, domain and queue."""
    found, _ = await list_triggers(client)
    keys = sorted(t.key for t in found["w"])
    assert len(keys) == 3 * N
    return keys[:N]


async def one_trigger_of_the_last_page(client: Client) -> list[Any]:
    """Find the holder of the last custom domain."""
    (one,) = await read_triggers(client, [Trigger(kind="domain", key=f"d{N - 1}.example.com")])
    return [one.script] * N


LISTS: dict[str, Callable[[Client], Awaitable[list[Any]]]] = {
    "scripts": Client.list_scripts,
    "namespaces": Client.list_namespaces,
    "accounts": Client.list_accounts,
    "objects": objects,
    "triggers": trigger_keys,
    "one trigger": one_trigger_of_the_last_page,
    "deployments": lambda client: client.list_deployments("w"),
    "schedules": lambda client: client.schedules("w"),
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("what", LISTS)
def test_every_list_is_read_to_its_end(what: str, form: Any) -> None:
    """Cursors in either place, page counts and item counts lead to all seven items, of every list that is read."""
    assert len(ask(paged(form), LISTS[what])) == N


@pytest.mark.parametrize("what", [w for w in LISTS if w != "one trigger"])
@pytest.mark.parametrize("info", [{"cursor": "same"}, {"cursors": {"after": "same"}}, {"page": 1, "total_pages": 9}])
def test_a_list_that_does_not_end_is_an_error(what: str, info: dict[str, Any]) -> None:
    """A cursor that comes back, or page 1 for every page, is said in one line instead of being read for ever."""

    def answer(path: str, _: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        shown, _ = paged(cursor)(path, {})
        return shown, info

    with pytest.raises(ApiError, match=r"the list at \S+ does not end: page \d ") as refused:
        ask(answer, LISTS[what])
    assert "\n" not in str(refused.value)


def test_a_list_of_too_many_pages_is_never_a_part() -> None:
    """What goes on behind the last page that is read is an error: a part would look as if the rest were gone."""

    async def read(_: str, params: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        return [1], {"cursor": str(int((params or {}).get("cursor", 0)) + 1)}

    async def all_of() -> list[Any]:
        return [item async for items in pages(read, "/x") for item in items]

    with pytest.raises(ApiError, match=f"the list at /x has more than {MOST_PAGES} pages; nothing is done with a part"):
        asyncio.run(all_of())


def test_an_empty_page_with_a_cursor_is_not_the_end() -> None:
    """Cloudflare may filter a page empty; only an empty cursor ends a list."""
    told = {"": ([], "a"), "a": ([{"id": "s"}], "b"), "b": ([], "")}

    def answer(_: str, query: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        items, after = told[query.get("cursor", "")]
        return items, {"cursor": after}

    assert ask(answer, Client.list_scripts) == [{"id": "s"}]


def many(count: int, *, stored: int | None = None) -> Callable[[str, dict[str, str]], tuple[Any, dict[str, Any]]]:
    """Answer the objects of a namespace in pages of what is asked for, ids in no order."""
    ids = [f"{(i * 7919) % 100_003:064x}" for i in range(count)]
    rows = [{"id": id_, "hasStoredData": stored is None or i < stored} for i, id_ in enumerate(ids)]

    def answer(path: str, query: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        if not path.endswith("/objects"):
            return [{"id": "n", "script": "w"} if path.endswith("namespaces") else {"id": "w"}], {}
        assert 10 <= int(query["limit"]) <= 10_000
        return cursors(rows, int(query.get("cursor") or 0), int(query["limit"]))

    return answer


@pytest.mark.parametrize(
    ("count", "stored", "told"),
    [(999, None, (999, False)), (1000, None, (1000, False)), (1001, None, (1000, True)), (25_000, 40, (40, False))],
)
def test_a_count_is_exact_or_says_more(count: int, stored: int | None, told: tuple[int, bool]) -> None:
    """Up to 1,000 stored objects are counted, on as many pages as it takes; above, it is "more than 1,000"."""
    seen = ask(
        many(count, stored=stored),
        lambda client: observe(client, scripts=None, settings=False, objects_of=[NamespaceId("n")]),
    )
    assert (seen.namespaces[0].objects, seen.namespaces[0].objects_more) == told


@pytest.mark.parametrize("limit", [1, 9, 10, 2499, 2500, 4999])
def test_going_on_behind_an_object_meets_each_once(limit: int) -> None:
    """Page after page by the id of the last one: all objects once, in the account's order, and the end is said."""
    total = 5 if limit == 1 else 5000
    found: list[str] = []
    more, after = True, None
    while more:
        part, more = ask(many(total), lambda c, a=after: observe_objects(c, NamespaceId("n"), most=limit, after=a))
        found += [one.object_id for one in part]
        after = found[-1]
        if len(found) > 200 and limit < 100:
            break
    expected = [f"{(i * 7919) % 100_003:064x}" for i in range(total)]
    assert found == expected[: len(found)]
    assert more or found == expected


def test_going_on_behind_an_unknown_object_is_one_line() -> None:
    """An id that is not listed is no place to go on from: nothing is left out in silence."""
    with pytest.raises(CommandError, match=r"no object f+ is listed"):
        ask(many(20), lambda client: observe_objects(client, NamespaceId("n"), after="f" * 64))
