"""One request to a deployed Worker: its answer within a time that counts for the whole of it, or read as it comes."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import TYPE_CHECKING, Any, Self, TypeVar

from notebook_do.bridge import bridge
from notebook_do.cloudflare.http import json_body
from notebook_do.errors import CommandError, TargetError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    import httpx

FOLLOW = "notebook-do-request"
"""The header that tells the local Cloudflare the id of a request, which it follows."""
_FOLLOWED = "d0d0"
"""How an id begins that it follows."""
_SECONDS = 60.0
T = TypeVar("T", str, bytes)


def new_request_id() -> str:
    """Return an id for one request, in the form of a ray of Cloudflare."""
    return _FOLLOWED + secrets.token_hex(6)


def request_id_of(answer: httpx.Response | Stream | TargetError) -> str | None:
    """Return the id by which the log lines of a request are found: of its answer, or of the error in its place."""
    if isinstance(answer, TargetError):
        return answer.request_id
    if FOLLOW in answer.request.headers:
        return str(answer.request.headers[FOLLOW])
    return answer.headers.get("cf-ray", "").partition("-")[0] or None


async def fetch(  # noqa: PLR0913, PLR0917 - whom, where and how
    script_name: str, url: str, address: str, method: str, options: dict[str, Any], request_id: str = ""
) -> Any:
    """Send one request to `url`, shown as `address`; return its httpx.Response, or with `stream` a Stream.

    `timeout` counts until the answer has ended, with `stream` until it begins; it is 60 seconds, None for ever. Raises
    TargetError when nothing answers in that time.
    """
    import httpx

    timeout, stream = options.pop("timeout", _SECONDS), options.pop("stream", False)
    total, phases = (timeout, None) if isinstance(timeout, int | float | None) else (None, timeout)
    client = httpx.AsyncClient(trust_env=False, verify=url.startswith("https:"), timeout=phases)
    began = False
    try:
        # httpx counts the time between two pieces of an answer, so that one that drips would never end.
        async with asyncio.timeout(total):
            sending = {key: options.pop(key) for key in _OF_SENDING if key in options}
            response = await client.send(_request(client, method, url, options), stream=True, **sending)
            began = True
            if not stream:
                await response.aread()
    except TimeoutError:
        what = "ended its answer" if began else "answered"
        hint = "" if stream else ", or stream=True to read the answer as it comes"
        raise _no_answer(
            f"Worker {script_name} has not {what} in {total:g} s at {address}: give it longer (timeout=SECONDS){hint}.",
            request_id,
        ) from None
    except httpx.HTTPError as error:
        text = f"Worker {script_name} did not answer at {address}: {type(error).__name__}."
        raise _no_answer(text, request_id) from None
    finally:
        if not (stream and began):
            await client.aclose()
    return Stream(client, response, script_name) if stream else response


_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER = re.compile(r"[^\0\r\n]*")


def _request(client: httpx.AsyncClient, method: str, url: str, options: dict[str, Any]) -> httpx.Request:
    """Make the request. Raises CommandError that names what of it no request can have."""
    import httpx

    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise _unsendable(f"{method!r} is no method of HTTP (GET, POST, ...)")
    try:
        httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise _unsendable(f"the path of {url!r} has a character that no address can have; write it as %XX") from None
    headers = options.get("headers") or {}
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        _check_header(name, value)
    try:
        return client.build_request(method, url, **options)
    except UnicodeError:
        if "json" not in options:
            raise _unsendable("its body has half of a character (a lone surrogate); send bytes, or JSON") from None
    # As JSON it can be sent: JSON has an escape for it.
    body, more = json_body(options["json"]), {k: v for k, v in options.items() if k not in {"json", "headers"}}
    typed = httpx.Headers({"content-type": "application/json"})
    typed.update(headers)
    return client.build_request(method, url, content=body, headers=typed, **more)


def _check_header(name: Any, value: Any) -> None:
    for what, text, form in (("name", name, _METHOD), ("value", value, _HEADER)):
        shown = f"header {name!r}" if what == "value" else f"the name of header {name!r}"
        if isinstance(text, str) and not (text.isascii() and form.fullmatch(text)):
            raise _unsendable(f"{shown} has a character that no header can have")


def _unsendable(why: str) -> CommandError:
    return CommandError(f"fetch: {why}. Nothing was sent.")


def _no_answer(text: str, request_id: str) -> TargetError:
    error = TargetError(text)
    error.request_id = request_id or None
    return error


_OF_SENDING = frozenset(("auth", "follow_redirects"))
"""What httpx takes where a request is sent, and not where it is made."""


class Stream:
    """An answer that is read as it comes; `with` (or `async with`) ends the request. All else is httpx.Response's.

    From `session.fetch` use `iter_lines()` and its like, from `await session.afetch` their twins `aiter_lines()`, ...
    """

    def __init__(self, client: httpx.AsyncClient, response: httpx.Response, script_name: str) -> None:
        """Take over a client and the answer that it has begun."""
        self._client, self._response, self._script_name = client, response, script_name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def __repr__(self) -> str:
        return f"<Stream [{self._response.status_code} {self._response.reason_phrase}] of Worker {self._script_name}>"

    def iter_lines(self) -> Iterator[str]:
        """Yield the lines as they come."""
        return self._pull(self._response.aiter_lines())

    def iter_text(self) -> Iterator[str]:
        """Yield pieces of text as they come."""
        return self._pull(self._response.aiter_text())

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield pieces as they come, decompressed."""
        return self._pull(self._response.aiter_bytes())

    def read(self) -> bytes:
        """Read the rest, however long that takes."""
        return bridge.run(self._response.aread())

    def close(self) -> None:
        """End the request."""
        bridge.run(self.aclose())

    async def aclose(self) -> None:
        """End the request."""
        await self._response.aclose()
        await self._client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _pull(self, pieces: AsyncIterator[T]) -> Iterator[T]:
        import httpx

        async def piece() -> T | None:
            return await anext(pieces, None)

        try:
            while (found := bridge.run(piece())) is not None:
                yield found
        except httpx.HTTPError as error:
            raise TargetError(f"Worker {self._script_name} broke its answer off: {type(error).__name__}.") from None
