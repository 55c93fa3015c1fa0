"""Turns the name of a target into a connection: base URL, account, token, and the address where Workers answer.

The only file of the client side that knows that the local Cloudflare is a program of ours; it starts it, and from
then on talks to it over HTTP like to any other. The state file is bound to `origin`, so a state made on one target can
never be applied to another.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import objects_in
from notebook_do.display.formats import short_resource
from notebook_do.errors import ApiError, CommandError, DurableError, TargetError
from notebook_do.model.steps import MakeQueue
from notebook_do.state.observations import Observations

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from notebook_do.cloudflare.client import Client
    from notebook_do.cloudflare.rate import Rate
    from notebook_do.cloudflare.retry import Pace
    from notebook_do.credentials.token import Token
    from notebook_do.local.process.launch import LocalTarget
    from notebook_do.model import Target
    from notebook_do.plan.plan import Plan
    from notebook_do.state.file import StateFile


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one account. `workers_url` is where local Workers answer; None on Cloudflare."""

    target: Target
    base_url: str
    account_id: str
    origin: str
    token: Token
    workers_url: str | None = None
    rate: Rate | None = None
    cautions: tuple[str, ...] = ()
    """What a person should know before the token is used: one line each."""
    crons: bool = False
    """Whether the local Cloudflare runs the cron triggers of this session, or of all, by the clock."""
    makes_resources: bool = False
    """Whether KV, R2, D1 and queues that nobody made begin with their first use: a local Cloudflare, not strict."""
    _subdomain: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """The account's workers.dev name, once it is known: asked for each Worker it would be most of a deploy."""

    def client(self, pace: Pace | None = None) -> Client:
        """Open an API client, to be used with `async with`: one for each operation, so none outlives its loop."""
        from notebook_do.cloudflare.client import Client

        return Client(self.base_url, self.account_id, self.token, origin=self.origin, rate=self.rate, pace=pace)

    async def notes(self, plan: Plan, pace: Pace | None = None) -> tuple[str, ...]:
        """Return what is good to know of a plan's changes on this target, a sentence each."""
        if not self.makes_resources:
            return ()
        async with self.client(pace) as client:
            return await _first_uses(client, plan)

    async def url(self, script_name: str) -> str | None:
        """Return the public URL of a script; None when the account has no workers.dev name yet."""
        if self.workers_url is None and not self._subdomain:  # an account without one may get it at any time
            async with self.client() as client:
                self._subdomain.extend(filter(None, [await client.account_subdomain()]))
        return self._address(script_name)

    def _address(self, script_name: str) -> str | None:
        if self.workers_url is not None:
            return self.workers_url.replace("://127.0.0.1", f"://{script_name}.localhost").rstrip("/")
        return f"https://{script_name}.{self._subdomain[0]}.workers.dev" if self._subdomain else None

    def known_url(self, script_name: str) -> str | None:
        """Return the public URL of a script where no request is needed to know it."""
        if self.workers_url is None and not self._subdomain:
            return None
        return self._address(script_name)

    async def fetch(
        self, script_name: str, path: str, method: str, options: dict[str, Any], *, follow: bool = False
    ) -> httpx.Response:
        """Call a deployed Worker; raises TargetError when nothing answers. See `fetching.fetch`.

        Of one that it is to `follow`, answer and error have the id by which its log lines are found
        (`fetching.request_id_of`).
        """
        from notebook_do.live.fetching import FOLLOW, fetch, new_request_id

        url = await self.url(script_name)
        if url is None:
            raise TargetError(f"Worker {script_name} has no URL: the account has no workers.dev subdomain yet.")
        request_id = new_request_id()
        base, headers = url, dict(options.pop("headers", None) or {})
        if self.workers_url is not None:  # names under .localhost do not resolve everywhere
            base, headers["host"] = self.workers_url.rstrip("/"), url.removeprefix("http://")
            if follow:  # no Worker sees it: the local Cloudflare tells by it what this request logged
                headers[FOLLOW] = request_id
        asked = {**options, "headers": headers}
        answer: httpx.Response = await fetch(
            script_name, base + "/" + path.lstrip("/"), url, method, asked, request_id=request_id
        )
        return answer


def connect_local(
    progress: Callable[[int, int], None] | None = None, crons: str | None = None
) -> tuple[Connection, LocalTarget]:
    """Find or start the local Cloudflare. The second value keeps it alive until `release()` or this process ends.

    As long as it does, a clock runs the cron triggers of the Workers with a tag that begins with `crons`.
    """
    from notebook_do.credentials.token import Token
    from notebook_do.local.process.launch import ensure

    local = ensure(progress=progress, crons=crons)
    token = Token(local.token(), source=f"token file {local.token_file}")
    connection = Connection(
        target="local",
        base_url=local.api,
        account_id=local.account_id,
        # Not its URL: each start may have another port, and a state file outlives them all.
        origin=f"local:{local.account_id}",
        token=token,
        workers_url=local.url,
        makes_resources=not local.strict,
        crons=local.crons or crons is not None,
    )
    return connection, local


async def connect_cloudflare(account: str | None, token: Token) -> Connection:
    """Find the account of `token`, and what there is to warn of. Reads only, and each at most once a session."""
    from notebook_do.cloudflare.rate import rate_of
    from notebook_do.credentials.account import find_account
    from notebook_do.credentials.addresses import api_base_url

    base_url = api_base_url()
    account_id, origin = account or await find_account(base_url, token), base_url.split("/client/")[0]
    return Connection(
        target="cloudflare",
        base_url=base_url,
        account_id=account_id,
        origin=origin,
        token=token,
        rate=rate_of(origin),
        cautions=await _cautions(base_url, account_id, token),
    )


class Connecting:
    """The connection of one session, found when it is first needed. `progress` is told of the runtime's download."""

    def __init__(self, target: Target, account: str | None) -> None:
        self.target, self.account = target, account
        self.progress: Callable[[int, int], None] | None = None
        self.crons: str | None = None
        """What the tags of the Workers begin with whose cron triggers are on the local clock; None: no clock."""
        self._local: LocalTarget | None = None
        self._cloudflare: Connection | None = None
        self._token: Token | None = None

    async def connect(self) -> Connection:
        """Reach the target; the local one is looked up each time, so that a stopped server starts again."""
        if self.target == "local":
            connection, self._local = await asyncio.to_thread(connect_local, self.progress, self.crons)
            return connection
        if self._cloudflare is None:
            try:
                self._cloudflare = await connect_cloudflare(self.account, self._find_token())
            except DurableError:
                self._token = None  # it may be the wrong one: look, or ask, again
                raise
        return self._cloudflare

    async def reconnect(self) -> Connection:
        """Reach the target again for what goes on in the background: it does not start a local one that was ended."""
        if self.target == "local":
            from notebook_do.local.process.launch import status

            if await asyncio.to_thread(status) is None:
                raise TargetError("the local Cloudflare has ended; the next request starts it again.")
        return await self.connect()

    def ask_first(self) -> None:
        """Find the API token of a session on Cloudflare: a kernel can ask for it only on the thread of its cells."""
        if self.target == "cloudflare":
            self._find_token()

    def set_clock(self, crons: str | None) -> None:
        """Have the local target run cron triggers by the clock, see `connect_local`, from its next use on.

        Raises CommandError on Cloudflare, where they always run.
        """
        if crons is not None and self.target != "local":
            raise CommandError(
                "session: --crons is for the local target; on Cloudflare cron triggers run by themselves."
            )
        self.crons = crons

    def hold(self) -> None:
        """Use the local target again, if it was used: another session of this process has let go of it."""
        if self._local is not None:
            _, self._local = connect_local(self.progress, self.crons)

    def release(self) -> None:
        """Let go of the local target; it ends when its last user is gone."""
        if self._local is not None:
            self._local.release()
            self._local = None

    def _find_token(self) -> Token:
        if self._token is None:
            from notebook_do.credentials.token import find_token

            self._token, _ = find_token()
        return self._token


async def _cautions(base_url: str, account_id: str, token: Token) -> tuple[str, ...]:
    """Say who else can reach the token, and what more it may do; asked once, for a warning is not worth a wait."""
    from notebook_do.cloudflare.client import Client
    from notebook_do.cloudflare.retry import Pace
    from notebook_do.credentials.account import excess, shared_kernel

    async with Client(base_url, account_id, token, pace=Pace(attempts=1)) as client:
        return (*shared_kernel(os.environ), *await excess(client))


# --- how the account is called

_LONGEST_NAME = 60


class AccountName:
    """The name of one session's account, known from the note beside the state file, else asked for once."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._known: dict[str, str] = {}

    def noted(self, account_id: str) -> str:
        """Return the name where no request is needed to know it, else nothing."""
        return self._known.get(account_id) or Observations(self._state.observations_path).account(account_id)

    async def name(self, connection: Connection) -> str:
        """Return the name; empty on the local target, and where the token may not read it.

        It is one request more in the first plan that a session makes on Cloudflare, and in none after it: the next one
        writes it beside the state file, where later kernels find it.
        """
        account_id = connection.account_id
        if connection.target == "local":
            return ""
        if account_id not in self._known:
            self._known[account_id] = self.noted(account_id) or await _asked(connection)
        return self._known[account_id]


async def _asked(connection: Connection) -> str:
    """Ask once and without a second try: nothing rests on it, so that a plan neither fails nor waits for it."""
    from notebook_do.cloudflare.answer import NoAnswer, one_line
    from notebook_do.cloudflare.retry import Pace

    async with connection.client(Pace(attempts=1)) as client:
        try:
            return one_line(str((await client.get_account()).get("name") or ""), _LONGEST_NAME)
        except (ApiError, NoAnswer, TargetError):
            return ""  # a token for Workers alone may not read the account: 403


# --- what begins on a local Cloudflare with its first use

_SHOWN = 3
_RESOURCES: dict[str, tuple[str, tuple[str, ...], str | None, str]] = {
    "kv_namespace": ("KV namespace", ("storage", "kv", "namespaces"), None, "id"),
    "r2_bucket": ("R2 bucket", ("r2", "buckets"), "buckets", "name"),
    "d1": ("D1 database", ("d1", "database"), None, "uuid"),
    "queue": ("Queue", ("queues",), None, "queue_name"),
}
"""Binding type -> its words, the path of its list, where that stands in the answer, the field that a binding has."""


async def _first_uses(client: Client, plan: Plan) -> tuple[str, ...]:
    """Return one line a kind: the resources that bindings of `plan` are to reach first, and that nobody made by name.

    A local Cloudflare that is not strict makes them then; Cloudflare refuses the upload. Of each kind that a plan binds
    one list is read.
    """
    lines = []
    makes = {s.queue for s in plan.steps if isinstance(s, MakeQueue)}
    for kind, (words, path, key, name) in _RESOURCES.items():
        bound = {
            row["target"] for row in plan.binding_rows if row["type"] == kind and row["action"] in {"create", "update"}
        }
        bound -= makes if kind == "queue" else set()
        if not bound:
            continue
        made = {str(item.get(name)) for item in objects_in(await client.list_of(client.path(*path), key=key))}
        if absent := sorted(bound - made):
            more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
            named = ", ".join(map(short_resource, absent[:_SHOWN])) + more
            lines.append(f"{words} {named}: made here on first use; on Cloudflare it must exist.")
    return tuple(lines)
