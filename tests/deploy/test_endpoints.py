"""Every fault at every method of the client, those that no deploy calls included: the right result or one error."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from account_model import ACCOUNT, BASE, TOKEN, Clock
from faults import FAULTS
from sharing import thinned

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.retry import Pace
from notebook_do.cloudflare.wire import UploadForm, decode_modules
from notebook_do.credentials.token import Sealed, Token
from notebook_do.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = tuple(
    name
    for name, _ in inspect.getmembers(Client, inspect.iscoroutinefunction)
    # What is read as bytes has no form of its own: who asks for it (a snapshot) checks what came.
    if not name.startswith("_") and name != "bytes_of"
)
ARGUMENTS: dict[str, Any] = {
    "script_name": "w",
    "namespace_id": "1" * 32,
    "enabled": True,
    "force": True,
    "previews": True,
    "crons": ("0 * * * *",),
    "tags": ("team:a",),
    "form": UploadForm(
        metadata=Sealed("{}"), parts=(("m.js", ("m.js", b"export {}", "text/plain")),), digest="", secrets=()
    ),
    "name": None,
    "sql": "SELECT 1",
    "params": [],
    "key": None,
    "prefix": "",
    "asked": b"[]",
    "seconds": 20.0,
    "content": b"x",
    "path": "/accounts/a/workers/domains",
    "method": "PUT",
    "body": {},
    "bearer": Sealed("a.b.c"),
    "files": [("h", ("h", b"eA==", "text/plain"))],
}
"""What each parameter is given; a new endpoint is in the matrix once its parameters are here."""
LISTS = ("/domains", "/scripts", "/namespaces", "/objects", "/accounts", "/values", "/query", "/ask")
MODULES = (
    b'--x\r\ncontent-disposition: form-data; name="index.js"; filename="index.js"\r\n'
    b"content-type: application/javascript+module\r\n\r\nexport default {}\r\n--x--\r\n"
)
STOP = frozenset({"429 for 30 years", "redirect to another host"})
"""The faults that end a read at once."""
UNTOLD = frozenset({"delivered twice", "empty after commit"})
"""The faults that a caller need not learn of: one does no harm to a read, the other is how a deletion is answered."""


def reply(request: httpx.Request) -> httpx.Response:
    """Answer each endpoint with something of its shape."""
    path = request.url.path
    if path.endswith("/content/v2"):
        kinds = {"content-type": "multipart/form-data; boundary=x", "cf-entrypoint": "index.js"}
        return httpx.Response(200, content=MODULES, headers=kinds)
    fields = {"deployments": [{"id": "d"}], "schedules": [{"cron": "* * * * *"}], "policies": [{"id": "p"}], "id": "t"}
    result = (
        [{"id": "x"}] if path.endswith(LISTS) else {**fields, "enabled": True, "subdomain": "me", "status": "active"}
    )
    return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": result})


class Wire(httpx.AsyncBaseTransport):
    """A transport on which the first `times` requests are spoiled by `fault`."""

    def __init__(self, fault: Any = None, times: int = 0) -> None:
        self.fault, self.left, self.sent = fault, times, list[httpx.Request]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or spoil it."""
        await request.aread()
        self.sent.append(request)
        if self.left:
            self.left -= 1
            spoiled: httpx.Response = await self.fault(request, lambda: reply(request))
            return spoiled
        return reply(request)


def call(method: str, wire: Wire, clock: Clock) -> Any:
    """Call one method and give what a caller makes of it."""

    async def inside() -> Any:
        pace = Pace(clock=clock, sleep=clock.sleep)
        async with Client(BASE, ACCOUNT, Token(TOKEN), transport=wire, pace=pace) as client:
            function: Callable[..., Any] = getattr(client, method)
            given = {name: ARGUMENTS[name] for name in inspect.signature(function).parameters}
            result = await function(**given)
            return decode_modules(*result) if method == "script_modules" else result

    return asyncio.run(inside())


@pytest.mark.parametrize(("fault", "method", "times"), thinned(FAULTS, METHODS, (1, 1000), of=7))
def test_f37_s25_every_fault_at_every_method(fault: str, method: str, times: int) -> None:
    """F36, F37, S03, S25: a read comes through one fault with the right result; else there is one typed line.

    Nothing is sent more than 4 times, a mutation once, and nothing to another host; no wait is longer than 5 minutes.
    """
    right, clock, wire = call(method, plain := Wire(), Clock()), Clock(), Wire(FAULTS[fault], times)
    told: Any = None
    try:
        result = call(method, wire, clock)
    except (ApiError, NoAnswer) as error:
        told = str(error)
        assert "\n" not in told
        assert TOKEN not in told
    else:
        assert result == right or (method, result) == ("delete_script", None)
    reads = plain.sent[0].method == "GET"
    assert len(wire.sent) <= (4 * len(plain.sent) if reads else 1)
    assert {request.url.host for request in wire.sent} == {"api.cloudflare.com"}
    assert clock.slept <= 300
    if reads and times == 1 and method != "script_modules":  # a good answer of that one is no JSON
        assert (told is None) == (fault not in STOP), told
    if times > 1 and fault not in UNTOLD:
        assert told is not None


def test_s31_a_source_that_is_cut_off_is_never_imported() -> None:
    """S31: wherever the download of a script breaks off, half a module is not taken for the whole."""
    headers = {"content-type": "multipart/form-data; boundary=x", "cf-entrypoint": "index.js"}
    (module,) = decode_modules(headers, MODULES)
    assert module.content == b"export default {}"
    assert decode_modules(headers, MODULES.removesuffix(b"\r\n")) == (module,)
    for size in range(len(MODULES) - 2):
        with pytest.raises(ApiError):
            decode_modules(headers, MODULES[:size])


def test_the_matrix_has_every_endpoint() -> None:
    """The matrix has each method of the client, and more than 240 cells."""
    assert {"list_scripts", "upload_script", "script_modules", "token_policies"} <= set(METHODS)
    assert len(METHODS) * len(FAULTS) >= 240
