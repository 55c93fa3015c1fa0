"""What every route stands on: what it works on, what a request carries, and the envelope of an answer.

An answer is always `{success, errors, messages, result}`, never a traceback. Multipart bodies are streamed to the disk
part by part, with caps on everything that a client could make large. The parser is python-multipart's. Starlette's
`request.form()` stands on the same one and is not used: it spools each part to a temporary file, which would then be
read, hashed and written again (60 MB: 1.65 s against 0.93 s here).
"""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from notebook_do.local.account.publish import RunningAccount
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from notebook_do.local.account.blobs import Blobs, IncomingFile
    from notebook_do.local.account.records import Script
    from notebook_do.local.account.zones import Zones
    from notebook_do.local.api.assets import AssetUploads
    from notebook_do.local.api.tails import Tails

AUTHOR = "local@localhost"
"""The token's owner, who made everything."""
JSON_BYTES = 8 << 20
MOST_PARTS = 1000
MOST_BYTES = 100 << 20
MOST_FIELD = 4 << 20
MOST_HEADER = 8 << 10
_FIELDS = ("metadata", "settings")


@dataclass(slots=True, kw_only=True)
class Cloud(RunningAccount):
    """Everything that the routes work on."""

    tails: Tails
    zones: Zones
    uploads: AssetUploads
    api_port: int
    workers_port: int
    settled: Callable[[], Awaitable[bool]] | None = None
    """Waits until all that was sent to the API before is carried out, and says whether it is."""


def cloud_of(request: Request) -> Cloud:
    """Return what the routes work on."""
    cloud = request.app.state.cloud
    assert isinstance(cloud, Cloud)  # noqa: S101 - for the type checker
    return cloud


def existing(request: Request, rule: str = "no_script") -> tuple[Cloud, Script]:
    """Return the script that the path names; raises the refusal of `rule` where there is none."""
    cloud, name = cloud_of(request), request.path_params["script_name"]
    script = cloud.account.scripts.get(name)
    if script is None:
        raise refuse(rule)
    return cloud, script


@asynccontextmanager
async def alone(
    request: Request, find: Callable[[Request], tuple[Cloud, Script]] = existing
) -> AsyncIterator[tuple[Cloud, Script]]:
    """Hold the lock of the account, with the script that the path names.

    It is looked up again under the lock: another request may have removed it while this one waited.
    """
    cloud, _ = find(request)
    async with cloud.lock:
        yield find(request)


def source_of(request: Request) -> str:
    """Return the kind of client, as `last_deployed_from` names it."""
    agent = request.headers.get("user-agent", "").lower()
    return "wrangler" if "wrangler" in agent else "terraform" if "terraform" in agent else "api"


# --- answers


def answer(
    result: Any, *, info: dict[str, Any] | None = None, messages: list[Any] | None = None, status: int = 200
) -> Response:
    """Answer a request that was carried out."""
    body = {"success": True, "errors": [], "messages": messages or [], "result": result}
    return _response(status, body if info is None else {**body, "result_info": info})


def no(refused: Refused) -> Response:
    """Answer a request that is refused."""
    return _response(refused.status, {"success": False, "errors": refused.errors, "messages": [], "result": None})


def _response(status: int, body: dict[str, Any]) -> Response:
    # `connection: close` on what was not read to its end: the rest of the body must not be taken for a request.
    headers = {"connection": "close"} if status in (408, 413, 415) else {}
    return Response(json.dumps(body), status_code=status, media_type="application/json", headers=headers)


def paged(request: Request, items: list[Any], *, per_page: int = 100) -> tuple[list[Any], dict[str, Any]]:
    """Return one page of a list, and its `result_info`."""
    size = query_number(request, "per_page", per_page, 1, 1000)
    page = query_number(request, "page", 1, 1, 1_000_000)
    shown = items[(page - 1) * size : page * size]
    pages = -(-len(items) // size)
    info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(items), "total_pages": pages}
    return shown, info


def cursor_of(key: str) -> str:
    """Return an opaque cursor that stands after `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def cursor_key(cursor: str) -> str:
    """Read a cursor back."""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise refuse("bad_page", name="cursor", value=cursor[:40]) from None


# --- queries and JSON


def query_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the query; out of range is an error, as it is on Cloudflare."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
        raise refuse("bad_page", name=name, value=text[:40])
    return int(text)


def query_flag(request: Request, name: str) -> bool:
    """Return a boolean of the query."""
    return request.query_params.get(name, "").lower() in ("true", "1")


async def chunks(request: Request, *, encoded: bool = False) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; refuses a client that falls silent, and an encoding unless it is the content's."""
    encoding = request.headers.get("content-encoding", "").replace("identity", "").strip()
    if encoding and not encoded:
        raise refuse("encoded_body", encoding=encoding)  # a few compressed bytes could be a gigabyte
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


async def read_body(request: Request, *, most: int = JSON_BYTES) -> bytes:
    """Read a whole small body."""
    received = bytearray()
    async for chunk in chunks(request):
        received += chunk
        if len(received) > most:
            raise refuse("too_large")
    return bytes(received)


async def read_json(request: Request, *, empty: Any = None) -> Any:
    """Read a JSON body; `empty` stands for no body at all."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_body(request)
    if not body.strip() and empty is not None:
        return empty
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):  # what pages may send unasked
        raise refuse("content_type", wanted="application/json")
    return parse_json(body, "The request body")


def parse_json(body: bytes, what: str) -> Any:
    """Read JSON that a client wrote; `NaN` and `Infinity`, which Python would take, are none."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refuse("bad_json", what=what, why=error) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


async def read_object(request: Request) -> dict[str, Any]:
    """Read a JSON body that must be an object."""
    return as_object(await read_json(request), "body")


# --- multipart


@dataclass(slots=True)
class Part:
    """One file of an upload."""

    name: str
    content_type: str
    file: IncomingFile = field(repr=False)
    charset: str | None = None


@dataclass(slots=True)
class ReceivedForm:
    """A whole upload: the JSON fields in memory, the files on the disk."""

    fields: dict[str, bytes] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[ReceivedForm]:
    """Read a multipart body; its files that nobody kept are removed with the context."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise refuse("content_type", wanted="multipart/form-data")
    form = ReceivedForm()
    try:
        await _read_into(form, request, boundary)
        yield form
    finally:
        for part in form.parts:
            part.file.discard()


async def _read_into(form: ReceivedForm, request: Request, boundary: bytes) -> None:
    reader, total = _FormReader(form, cloud_of(request).account.blobs), 0
    parser = _parser(boundary, reader)
    async for chunk in chunks(request):
        total += len(chunk)
        if total > MOST_BYTES:
            raise refuse("too_large")
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise refuse("bad_multipart", why=str(error).split(",")[0]) from None  # then follows a position
    if not reader.ended:
        raise refuse("bad_multipart", why="it ends before its closing boundary")


def _parser(boundary: bytes, reader: _FormReader) -> MultipartParser:
    names = [name for name in dir(reader) if name.startswith("on_")]
    try:
        return MultipartParser(boundary, {name: getattr(reader, name) for name in names})  # type: ignore[arg-type]
    except FormParserError as error:
        raise refuse("bad_multipart", why=str(error)) from None


class _FormReader:
    """Callbacks of the parser; python-multipart calls these in the order of the stream."""

    def __init__(self, form: ReceivedForm, blobs: Blobs) -> None:
        self._form, self._blobs = form, blobs
        self._headers: dict[str, str] = {}
        self._name, self._value, self._bytes, self._count = bytearray(), bytearray(), 0, 0
        self._field: bytearray | None = None
        self._field_name = ""
        self.ended = False

    def on_part_begin(self) -> None:
        self._headers, self._bytes = {}, 0
        self._count += 1
        if self._count > MOST_PARTS:
            raise refuse("too_many_parts", most=MOST_PARTS)

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += self._header(data, start, end)

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._header(data, start, end)

    def _header(self, data: bytes, start: int, end: int) -> bytes:
        self._bytes += end - start
        if self._bytes > MOST_HEADER:
            raise refuse("bad_multipart", why="the headers of a part are too long")
        return data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        options = parse_options_header(self._headers.get("content-disposition", ""))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._field = None
        if not name:
            raise refuse("bad_multipart", why="a part has no name")
        if name in _FIELDS:
            if name in self._form.fields:
                raise refuse("bad_multipart", why=f"there are two `{name}` parts")
            self._field, self._field_name = bytearray(), name
            return
        # The official SDKs call every part `files[]` and put the module's name where a file's name goes.
        module = options.get(b"filename", b"").decode("utf-8", "replace") or name
        kind = _media_type(self._headers)
        part = Part(module, kind.get_content_type(), self._blobs.receive(), kind.get_content_charset())
        self._form.parts.append(part)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._form.parts[-1].file.write(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > MOST_FIELD:
            raise refuse("too_large")

    def on_part_end(self) -> None:
        if self._field is None:
            self._form.parts[-1].file.finish()
        else:
            self._form.fields[self._field_name] = bytes(self._field)

    def on_end(self) -> None:
        self.ended = True


def _media_type(headers: dict[str, str]) -> Message:
    message = Message()
    message["content-type"] = (
        headers.get("content-type", "application/octet-stream").replace("\r", "").replace("\n", "")
    )
    return message
