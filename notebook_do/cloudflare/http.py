"""The HTTP of one operation: what it heeds and trusts, how long it waits, and how much of an answer it reads.

Requests and answers are httpx's, and so are its errors. Its client is not used: what that adds to a request (cookies,
redirects, hooks, the sign of a user's .netrc) is not wanted here, and takes as long as sending does.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import httpcore
import httpx

from notebook_do.cloudflare.answer import LARGEST_ANSWER

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import TracebackType

_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0
_HEADERS = {
    "User-Agent": "notebook-do",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}

_MOST = 100
"""How many requests are under way at once; the others wait for their turn."""
KEPT_SECONDS = 2.0
"""How long a connection that nobody uses may be used again: well below the time after which a server closes it, as a
request that meets that end may have been lost, and a mutation is not repeated."""


def open_http(base_url: str, proxy: str | None) -> httpx.AsyncBaseTransport:
    """Return what carries requests to an API; it hears of no proxy but the one that is given."""
    # Else HTTP_PROXY and .netrc, which a user set for something else, would decide where a token is sent.
    if proxy:
        return httpx.AsyncHTTPTransport(verify=_trusted(base_url), proxy=proxy, trust_env=False)
    kept = _kept.setdefault(asyncio.get_running_loop(), {})
    if base_url not in kept:
        kept[base_url] = Connections(_trusted(base_url))
    return kept[base_url].lend()


def _trusted(base_url: str) -> ssl.SSLContext:
    return tls_context(base_url.startswith("https:"))


async def exchange(  # noqa: PLR0913 - a request
    transport: httpx.AsyncBaseTransport,
    method: str,
    url: str,
    *,
    sign: Callable[[httpx.Request], None],
    params: Mapping[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = _ANSWER_SECONDS,  # noqa: ASYNC109 - httpx's own word
    **content: Any,
) -> tuple[int, dict[str, str], bytes]:
    """Send a request and read all of its answer: status, headers and body.

    `sign` adds the token, last of all; `timeout` is for the answer to begin; `content` is what httpx takes for a body.
    """
    # The query here: httpx would take the URL apart twice for it.
    place = _url(f"{url}?{urlencode(params)}" if params else url)
    if "json" in content:
        headers = {"Content-Type": "application/json"} | (headers or {})
        content["content"] = json_body(content.pop("json"))
    waits = {"timeout": httpx.Timeout(timeout, connect=_CONNECT_SECONDS).as_dict()}
    request = httpx.Request(method, place, headers=_HEADERS | (headers or {}), extensions=waits, **content)
    # As a whole: httpx would write the heads and parts of a form one by one, each a packet of its own.
    await request.aread()
    sign(request)
    response = await transport.handle_async_request(request)
    try:
        return response.status_code, dict(response.headers), await _read_capped(response)
    finally:
        await response.aclose()


def json_body(value: Any) -> bytes:
    """Write a JSON body as httpx does; where a text has half of a character, with escapes, which JSON has for it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


async def _read_capped(response: httpx.Response) -> bytes:
    """Read the body, decompressed, up to the cap; what is cut off there cannot be parsed and proves nothing."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            return b""
    return bytes(body)


@lru_cache(maxsize=4096)
def _url(text: str) -> httpx.URL:
    """Take a URL apart: the same ones are asked in each plan and deploy of a session."""
    return httpx.URL(text)


@cache
def tls_context(is_spoken: bool) -> ssl.SSLContext:  # noqa: FBT001 - the one question
    """Load the certificates, once, and only where TLS is spoken: it takes 30 ms."""
    import ssl

    return httpx.create_ssl_context(trust_env=False) if is_spoken else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


# --- connections

_kept: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Connections]] = WeakKeyDictionary()
"""By event loop, which owns them, and by API."""


class Connections(httpx.AsyncBaseTransport):
    """Carries the requests of one event loop to one API; each connection one at a time, and then the next.

    httpcore's connections without its pool: that one looks at every connection twice for each request, asks the system
    about each of them, and gives one connection to two requests of which one has to try again. With eight requests at
    once that took a fifth of the time of a deploy.

    They are lent to one operation after the other, and each gives them back by `aclose`: a plan that is deployed at
    once goes on with the connections that it was made with. Those that nobody used for a while are closed, and so are
    all when the loop ends its tasks.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls, self._network = tls, _Network()
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        self._turn = asyncio.Semaphore(_MOST)
        self._users = 0
        self._ending: asyncio.Task[None] | None = None

    def lend(self) -> Connections:
        """Return these connections, for one operation more."""
        self._users += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer; its body is still to be read, and closed."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        await self._turn.acquire()
        try:
            with _of_httpx:
                connection = await self._free(asked.url.origin)
                answer = await connection.handle_async_request(asked)
        except BaseException:  # a connection closes itself where a request fails or is ended on it
            self._turn.release()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_ArrivingBody(self, connection, answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Give them back; a while after the last operation they are closed."""
        self._users -= 1
        if not self._users:
            self._ending = asyncio.create_task(self._end())
            await asyncio.sleep(0)  # a task that is cancelled before it began would close nothing

    async def _end(self) -> None:
        try:
            await asyncio.sleep(KEPT_SECONDS)
        finally:  # an end of the loop too, which cancels its tasks
            while self._idle and not self._users:
                await self._idle.pop().aclose()

    def ended(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """Keep a connection for the next request, where all of the last answer was read."""
        self._turn.release()
        if connection.is_idle():
            self._idle.append(connection)

    async def _free(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """Return the connection that was used last, or a new one; drop those that the other side has closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.can_handle_request(origin) and not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._tls, keepalive_expiry=KEPT_SECONDS, network_backend=self._network
        )


class _ArrivingBody(httpx.AsyncByteStream):
    """The body of one answer; once it is closed its connection is free."""

    def __init__(
        self, connections: Connections, connection: httpcore.AsyncHTTPConnection, answer: httpcore.Response
    ) -> None:
        self._connections, self._connection, self._answer = connections, connection, answer
        self._is_open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _of_httpx:
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            try:
                await self._answer.aclose()
            finally:
                self._connections.ended(self._connection)


class _Network(httpcore.AsyncNetworkBackend):
    """Connects as httpcore does."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_tcp(*args, **options))


class _Stream(httpcore.AsyncNetworkStream):
    """Sends what is written once an answer is to be read, so that head and body of a request leave together."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner, self._waiting = inner, bytearray()
        self._timeout: float | None = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's name
        self._waiting += buffer
        self._timeout = timeout

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        if self._waiting:
            waiting, self._waiting = bytes(self._waiting), bytearray()
            # A server may answer, a refusal say, before it has read all; that answer is what counts.
            with suppress(httpcore.WriteError):
                await self._inner.write(waiting, self._timeout)
        return await self._inner.read(max_bytes, timeout)

    async def start_tls(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(*args, **options))

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _OfHttpx:
    """Raises an error of httpcore as httpx's of the same name, as httpx does."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        kinds = httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol
        if isinstance(error, kinds):
            raise getattr(httpx, type(error).__name__)(str(error)) from error


_of_httpx = _OfHttpx()
