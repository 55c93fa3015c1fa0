"""One method an endpoint of Cloudflare's API: returns the decoded result, or raises ApiError or NoAnswer.

Reads are repeated by `Pace`; a mutation is sent exactly once a call. Redirects, proxies and foreign origins are never
followed, and no request, header or httpx exception can be reached from an error: httpx hides only `Authorization` in
what it prints, and its exceptions hold the whole request, with a secret's value in its body.

Cloudflare's own SDK is not used: it repeats mutations by itself, twice, and its errors hold request and response.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from notebook_do.cloudflare import refusing
from notebook_do.cloudflare.answer import Answer, NoAnswer, dict_of, list_of, pages, read, read_all
from notebook_do.cloudflare.retry import Pace
from notebook_do.credentials.addresses import PROXY_VARIABLE, allowed_base_url, origin_of, proxy_for
from notebook_do.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from types import TracebackType

    import httpx

    from notebook_do.cloudflare.rate import Rate
    from notebook_do.cloudflare.wire import Part, UploadForm
    from notebook_do.credentials.token import Sealed, Token

_PAGE = 1000
"""Items of one page: Cloudflare's default for objects, and more than an account may have namespaces (500)."""
_API_DATE = {"Cloudflare-Workers-Script-Api-Date": "2025-08-01"}
"""What wrangler sends with the workers.dev switch: since that day preview URLs follow the account's default."""
_NO_SUBDOMAIN, _INVALID_TOKEN = 10007, 1000
_IGNORED_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Client:
    """A client of one account at one base URL, used with `async with`. `requests_sent` counts every request.

    `origin` names the account's home for the state file; by default it is the base URL's own. `rate` is what all
    clients of a process share, so that together they stay under the API's limit.
    """

    def __init__(  # noqa: PLR0913 - where to, as whom, and two seams
        self,
        base_url: str,
        account_id: str,
        token: Token,
        *,
        origin: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        pace: Pace | None = None,
        rate: Rate | None = None,
    ) -> None:
        self.base_url = allowed_base_url(base_url)
        self.account_id = account_id
        token.bind(origin_of(self.base_url))
        self.origin = origin or origin_of(self.base_url)
        self.pace = pace or Pace()
        self._rate = rate
        self.requests_sent = 0
        self._token, self._proxy = token, proxy_for(self.base_url)
        self._http = transport  # else made for the first request: many an operation sends none

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()

    # --- scripts

    async def list_scripts(self) -> list[Any]:
        """List every script of the account."""
        return await read_all(self._read, self.path("workers", "scripts"))

    async def script_modules(self, script_name: str) -> tuple[Mapping[str, str], bytes]:
        """Download the modules of one script: the headers and the multipart body of the answer."""
        answer = await self.pace.repeat(lambda: self._download(self._script(script_name, "content", "v2")))
        return answer.headers, answer.body

    async def script_settings(self, script_name: str) -> dict[str, Any]:
        """Read bindings and settings of one script."""
        return dict_of(await self._get(self._script(script_name, "settings")))

    async def upload_script(self, script_name: str, form: UploadForm) -> dict[str, Any]:
        """Create or replace one script and deploy it, with its migration. Sent once."""
        # As wrangler sends them. With `strict` a binding to keep that is not there is refused (10057) and not dropped.
        query = {"excludeScript": "true", "bindings_inherit": "strict"}
        path, headers = self._script(script_name), dict(form.headers)
        result, _ = await self._once("PUT", path, form=form, params=query, headers=headers)
        return result if isinstance(result, dict) else {}

    async def script_references(self, script_name: str) -> dict[str, Any]:
        """Read who refers to one script (wrangler asks it too; no document describes it)."""
        return dict_of(await self._get(self._script(script_name, "references")))

    async def delete_script(self, script_name: str, *, force: bool = False) -> None:
        """Delete one script with every namespace that it hosts; with `force` whoever uses them. Sent once."""
        content: dict[str, Any] = {"params": {"force": "true"}} if force else {}
        await self._once("DELETE", self._script(script_name), **content)

    async def set_tags(self, script_name: str, tags: tuple[str, ...]) -> None:
        """Replace the script's tags; nothing else of it changes. Sent once."""
        await self._once("PATCH", self._script(script_name, "script-settings"), json={"tags": list(tags)})

    async def script_url(self, script_name: str) -> tuple[bool, bool]:
        """Say whether the script answers on workers.dev, and whether its versions do (preview URLs)."""
        switches = dict_of(await self._get(self._script(script_name, "subdomain")))
        return switches.get("enabled") is True, switches.get("previews_enabled") is True

    async def set_script_url(self, script_name: str, *, enabled: bool, previews: bool | None = None) -> None:
        """Switch the script's workers.dev address, and its preview URLs unless `previews` is None. Sent once."""
        switches = {"enabled": enabled} if previews is None else {"enabled": enabled, "previews_enabled": previews}
        await self._once("POST", self._script(script_name, "subdomain"), json=switches, headers=_API_DATE)

    async def schedules(self, script_name: str) -> list[Any]:
        """Read the script's cron triggers."""
        return await read_all(self._read, self._script(script_name, "schedules"), key="schedules")

    async def set_schedules(self, script_name: str, crons: tuple[str, ...]) -> None:
        """Replace the script's cron triggers. Sent once."""
        await self._once("PUT", self._script(script_name, "schedules"), json=[{"cron": c} for c in crons])

    async def list_deployments(self, script_name: str) -> list[Any]:
        """List the script's deployments, newest first: the first one is live."""
        return await read_all(self._read, self._script(script_name, "deployments"), key="deployments")

    # --- namespaces

    async def list_namespaces(self) -> list[Any]:
        """List every Durable Object namespace of the account, all pages."""
        return await read_all(self._read, self.path("workers", "durable_objects", "namespaces"), {"per_page": _PAGE})

    def list_objects(self, namespace_id: str, *, limit: int = _PAGE) -> AsyncGenerator[list[Any], None]:
        """List the objects of a namespace page by page, each of 10 to 10,000; read as many pages as are wanted."""
        path = self.path("workers", "durable_objects", "namespaces", namespace_id, "objects")
        return pages(self._read, path, {"limit": limit})

    async def stored_values(self, namespace_id: str, name: str | None, prefix: str = "") -> list[Any]:
        """Read what the objects of a namespace stored by key; a local Cloudflare alone can tell."""
        path = self.path("local", "namespaces", namespace_id, "values")
        return list_of((await self._once("POST", path, json={"object": name, "prefix": prefix}))[0])

    async def query_objects(self, namespace_id: str, sql: str, params: list[Any], name: str | None) -> list[Any]:
        """Run one SELECT on the objects of a namespace; a local Cloudflare alone can do it."""
        body = {"sql": sql, "params": params, "object": name}
        path = self.path("local", "namespaces", namespace_id, "query")
        return list_of((await self._once("POST", path, json=body))[0])

    async def ask_objects(self, namespace_id: str, asked: bytes, seconds: float) -> list[Any]:
        """Ask objects of a namespace, once, and wait so long at most; a local Cloudflare alone can do it."""
        path = self.path("local", "namespaces", namespace_id, "ask")
        return list_of((await self._once("POST", path, content=asked, timeout=seconds))[0])

    async def settled(self) -> bool:
        """Say whether all that was sent before is carried out; a local Cloudflare alone can tell, and only directly."""
        answer = dict_of(await self._get(self.path("local", "settled")))
        # Its own port, for what lies between (a proxy, a tunnel) may hold a request back that it never saw.
        return answer.get("settled") is True and self.base_url.startswith(f"http://127.0.0.1:{answer.get('port')}/")

    # --- account

    async def list_accounts(self) -> list[dict[str, Any]]:
        """List the accounts that the token can see."""
        return [a for a in await read_all(self._read, "/accounts") if isinstance(a, dict)]

    async def get_account(self) -> dict[str, Any]:
        """Read the account's name."""
        return dict_of(await self._get(self.path()))

    async def verify_token(self) -> dict[str, Any]:
        """Return what Cloudflare says of the token; it is asked as a user's token first, then as an account's own."""
        return (await self._verified())[1]

    async def token_policies(self) -> list[Any]:
        """Read what the token may do; refused (ApiError) for a token that may not read tokens, as most may not."""
        kept, verified = await self._verified()
        token_id = quote(str(verified.get("id")), safe="")
        return list_of(dict_of(await self._get(f"{kept}/{token_id}")).get("policies"))

    async def _verified(self) -> tuple[str, dict[str, Any]]:
        """Return the path where the token is kept, and what is said of it."""
        try:
            return "/user/tokens", dict_of(await self._get("/user/tokens/verify"))
        except ApiError as error:
            if error.code != _INVALID_TOKEN:  # what this endpoint says of an account-owned token, too
                raise
        kept = self.path("tokens")
        return kept, dict_of(await self._get(f"{kept}/verify"))

    async def account_subdomain(self) -> str | None:
        """Return the account's workers.dev name, None while it has none."""
        try:
            found = dict_of(await self._get(self.path("workers", "subdomain"))).get("subdomain")
        except ApiError as error:
            if error.code != _NO_SUBDOMAIN:
                raise
            return None
        return found if isinstance(found, str) else None

    # --- any path, for the endpoints of other files

    def path(self, *parts: str) -> str:
        """Return a path below this account; every part is quoted, so that no name of a user's leads out of it."""
        return "/".join(["/accounts", *(quote(part, safe="") for part in (self.account_id, *parts))])

    async def list_of(self, path: str, params: dict[str, Any] | None = None, key: str | None = None) -> list[Any]:
        """Read the list at one path, all its pages; `key` is where it stands in an answer that is an object."""
        return await read_all(self._read, path, params, key=key)

    async def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Carry out one mutation at one path. Sent once."""
        content: dict[str, Any] = {} if body is None else {"json": body}
        return (await self._once(method, path, **content))[0]

    async def bytes_of(self, path: str, params: Mapping[str, str]) -> bytes:
        """Read what is no JSON at one path."""
        return (await self._download(path, params)).body

    async def send_bytes(self, path: str, content: bytes, params: Mapping[str, str]) -> Any:
        """Send what is no JSON to one path, in one PUT. Sent once."""
        return (await self._once("PUT", path, content=content, params=params))[0]

    async def send_files(self, path: str, bearer: Sealed, files: list[Part]) -> Any:
        """Send files in base64, with a token that stands in for the account's. Sent once."""
        return (await self._once("POST", path, params={"base64": "true"}, files=files, bearer=bearer))[0]

    # --- one exchange

    def _script(self, script_name: str, *parts: str) -> str:
        return self.path("workers", "scripts", script_name, *parts)

    async def _get(self, path: str) -> Any:
        return (await self._read(path, None))[0]

    async def _read(self, path: str, params: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        return await self.pace.repeat(lambda: self._once("GET", path, params=params))

    async def _once(
        self, method: str, path: str, *, form: UploadForm | None = None, **content: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Send one request and read its answer; what httpx raised is left behind, with the request it holds.

        An error keeps this frame and those above it: none of them has a name for a secret.
        """
        answer = await self._send(method, path, form=form, **content)
        outcome = read(answer, (*(s.open() for s in (form.secrets if form else ())), self._token.reveal()))
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    async def _send(self, method: str, path: str, *, form: UploadForm | None = None, **content: Any) -> Answer:
        """Send one request, where it is allowed and its turn has come."""
        looks = (self.path("local") + "/", self.path("workers", "observability", "telemetry") + "/")
        if method != "GET" and not path.startswith(looks):  # a POST that only looks
            refusing.check(f"{method} {path}")
        if self._rate is not None:
            await self._rate.admit(self.pace)
        self.requests_sent += 1
        answer: Answer | NoAnswer | None = None
        try:
            answer = await self._exchange(method, path, form, content)
        finally:
            if self._rate is not None:
                status, headers = (answer.status, answer.headers) if isinstance(answer, Answer) else (0, {})
                self._rate.heed(status, headers, self.pace.clock())
        if isinstance(answer, NoAnswer):
            raise answer
        return answer

    async def _download(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Send one read whose good answer is no JSON."""
        # Read as JSON only where it is an error: a script's own source may look like anything.
        answer = await self._send("GET", path, params=params)
        if answer.status != 200 and isinstance(outcome := read(answer, (self._token.reveal(),)), ApiError):
            raise outcome
        return answer

    async def _exchange(
        self, method: str, path: str, form: UploadForm | None, content: dict[str, Any]
    ) -> Answer | NoAnswer:
        """Send one request and read all of its answer; return why there is none, with nothing of httpx in it."""
        import httpx

        from notebook_do.cloudflare.http import exchange, open_http

        if self._http is None:
            self._http = open_http(self.base_url, self._proxy)
        sign, url = partial(self._sign, content.pop("bearer", None)), self.base_url + path
        try:
            status, headers, body = await exchange(self._http, method, url, sign=sign, **_body(form, content))
            return Answer(method=method, path=path, status=status, headers=headers, body=body)
        # Returned and not raised, both by their type's name only: the message of a LocalProtocolError has the header.
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            return self._lost(method, path, type(error).__name__, sent=False)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:  # a WriteError too: a part may have arrived
            return self._lost(method, path, type(error).__name__, sent=True)
        except (asyncio.CancelledError, KeyboardInterrupt) as ended:
            raise ended.with_traceback(None) from None  # the frames below this one hold the request

    def _lost(self, method: str, path: str, what: str, *, sent: bool) -> NoAnswer:
        happened = f"the answer was lost ({what})" if sent else f"it cannot be reached ({what})"
        hint = "check the network"
        # Who has to go through a proxy has set these variables, and would look for the fault anywhere else.
        if not sent and self._proxy is None and any(os.environ.get(name) for name in _IGNORED_PROXIES):
            hint += f"; proxy variables are not heard: set {PROXY_VARIABLE} where a proxy is needed"
        return NoAnswer(f"{origin_of(self.base_url)}: {happened} at {method} {path}; {hint}.", sent=sent)

    def _sign(self, bearer: Sealed | None, request: httpx.Request) -> None:
        """Add the token, or the one that stands in for it, at the last moment, and only for our own origin."""
        # Asked of the very request that leaves: whatever built the URL, no token goes anywhere else.
        if not str(request.url).startswith(self.base_url + "/"):
            raise AssertionError("a request was about to leave the API's base URL")
        request.headers["Authorization"] = "Bearer " + (bearer.open() if bearer else self._token.reveal())


def _body(form: UploadForm | None, content: dict[str, Any]) -> dict[str, Any]:
    """Open the form at the last moment, in no frame that an error keeps."""
    if form is None:
        return content
    return {**content, "data": {"metadata": form.metadata.open()}, "files": list(form.parts)}
