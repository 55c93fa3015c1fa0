"""What Workers sent to services that are only at Cloudflare: data points, pipelines' records, emails. Only here.

`GET local/sent` lists it, the newest first; `?type=` and `?name=` choose, `?before=` is the id that a page ended with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.account.account import time_text
from notebook_do.local.api.envelope import answer, query_number
from notebook_do.local.api.resources import services_of
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request

    from notebook_do.local.services.sent import SentItem


async def list_sent(request: Request) -> Response:
    """List what was sent."""
    query, limit = request.query_params, query_number(request, "per_page", 100, 1, 1000)
    before = query_number(request, "before", 0, 0, 1 << 40) or None
    sent = services_of(request).sent
    found = await run_in_threadpool(sent.listed, query.get("type"), query.get("name"), before=before, limit=limit)
    return answer([_item(one) for one in found])


def _item(one: SentItem) -> dict[str, Any]:
    content = {"content": f"local/sent/{one.id}"} if one.has_content else {}
    return {"id": one.id, "type": one.type, "name": one.name, "sent": time_text(one.sent), "item": one.item, **content}


async def get_content(request: Request) -> Response:
    """Return an email as it would be sent, which a mail program can open."""
    content = await run_in_threadpool(services_of(request).sent.content, request.path_params["id"])
    if content is None:
        raise refuse("nothing_sent", id=request.path_params["id"])
    return Response(content, media_type="message/rfc822")


async def clear(request: Request) -> Response:
    """Forget what was sent."""
    await run_in_threadpool(services_of(request).sent.clear)
    return answer(None)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    sent = account + "/local/sent"
    return [
        Route(sent, list_sent, methods=["GET"]),
        Route(sent, clear, methods=["DELETE"]),
        Route(sent + "/{id:int}", get_content, methods=["GET"]),
    ]
