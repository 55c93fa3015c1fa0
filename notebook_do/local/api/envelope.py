"""The API's answers: always `{success, errors, messages, result}`, never a traceback; and what requests carry."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from notebook_do.local.rules.refusals import Refused, refuse

JSON_BYTES = 8 << 20


def answer(
    result: Any, *, info: dict[str, Any] | None = None, messages: list[Any] | None = None, status: int = 200
) -> Response:
    """Say yes."""
    body = {"success": True, "errors": [], "messages": messages or [], "result": result}
    return _response(status, body if info is None else {**body, "result_info": info})


def no(refused: Refused) -> Response:
    """Say no."""
    return _response(refused.status, {"success": False, "errors": refused.errors, "messages": [], "result": None})


def _response(status: int, body: dict[str, Any]) -> Response:
    # `connection: close` on what was not read to its end: the rest of the body must not be taken for a request.
    headers = {"connection": "close"} if status in (408, 413, 415) else {}
    return Response(json.dumps(body), status_code=status, media_type="application/json", headers=headers)


async def read_body(request: Request, *, most: int = JSON_BYTES) -> bytes:
    """Read a whole small body."""
    received = bytearray()
    async for chunk in chunks(request):
        received += chunk
        if len(received) > most:
            raise refuse("too_large")
    return bytes(received)


async def chunks(request: Request) -> Any:
    """Give the body as it arrives; a client that falls silent is refused."""
    if encoding := request.headers.get("content-encoding", "").replace("identity", "").strip():
        raise refuse("encoded_body", encoding=encoding)
    stream = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), request.app.state.patience)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise refuse("too_slow") from None
        except ClientDisconnect:
            raise refuse("bad_multipart", why="the client went away") from None
        yield chunk


async def read_json(request: Request, *, what: str = "The request body", empty: Any = None) -> Any:
    """Read a JSON body; `empty` stands for no body at all."""
    kind = content_type(request)
    body = await read_body(request)
    if not body.strip() and empty is not None:
        return empty
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise refuse("content_type", wanted="application/json")
    return parse_json(body, what)


def parse_json(body: bytes, what: str) -> Any:
    """Read JSON that a client wrote."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refuse("bad_json", what=what, why=error) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


async def read_object(request: Request) -> dict[str, Any]:
    """Read a JSON body that must be an object."""
    return as_object(await read_json(request), "body")


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Refuse anything but a JSON object."""
    if not isinstance(value, dict):
        raise refuse("bad_field", where=where, why="must be an object")
    return value


def content_type(request: Request) -> str:
    """Give the media type of a body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def query_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Give a whole number in the query; out of range is an error, as it is on Cloudflare."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
        raise refuse("bad_page", name=name, value=text[:40])
    return int(text)


def query_flag(request: Request, name: str) -> bool:
    """Give a boolean in the query."""
    return request.query_params.get(name, "").lower() in ("true", "1")


def paged(request: Request, items: list[Any], *, per_page: int = 100) -> tuple[list[Any], dict[str, Any]]:
    """One page of a list and its `result_info`."""
    size = query_number(request, "per_page", per_page, 1, 1000)
    page = query_number(request, "page", 1, 1, 1_000_000)
    shown = items[(page - 1) * size : page * size]
    pages = -(-len(items) // size)
    info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(items), "total_pages": pages}
    return shown, info


def cursor_of(key: str) -> str:
    """Give an opaque cursor that stands after `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def cursor_key(cursor: str) -> str:
    """Read a cursor back."""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise refuse("bad_page", name="cursor", value=cursor[:40]) from None
