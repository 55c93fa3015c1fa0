"""Asks live objects on Cloudflare: signed requests to the inspector Worker of their host, which passes them on.

An op is signed anew only where the answer says that nothing was done: this machine's clock was apart, or the object
woke after it was signed. Whatever else becomes of a request, its ops are sent once.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.credentials import inspect_keys
from notebook_do.errors import CommandError, DurableError, TargetError
from notebook_do.inspector.signing import HEADER, audience_of, signed_head
from notebook_do.live.inspecting import SECONDS, Declined, NotKnown, batches, not_sent, outcome_of
from notebook_do.live.inventory import inspector_of
from notebook_do.plan.workers.inspected import inspector_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from notebook_do.inspector.signing import SigningKey
    from notebook_do.live.connection import Connection
    from notebook_do.live.inspecting import Batch, Op, Outcome
    from notebook_do.model import Inspector, Recorded

_MARGIN = 10.0
"""Seconds for the way there and back, beside those of the objects."""
_TRIES = 4
_MOST_APART = 24 * 3600 * 1000
_APART = "this machine's clock and the object's do not agree, so nothing was done; set the clock, then ask again"
_LOCAL = frozenset(("request", "follow"))
"""What marks a call in the log of a local target: here it would stand in the log of the user's Worker."""
_TWICE = "something on the way sent the request twice"

_skews: dict[str, int] = {}
"""By address, how many milliseconds its clock is ahead of this machine's, once that was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedWay:
    """Asks the objects of one namespace through the inspector of its host."""

    address: str
    audience: str
    key: SigningKey
    inspector: Inspector
    stable_id: str

    async def ask(self, ops: Sequence[Op], *, at_once: int = 8, seconds: float = SECONDS) -> list[Outcome]:
        """Ask; see `Inspecting`."""
        import httpx

        from notebook_do.cloudflare.http import tls_context

        how = {"namespace": self.stable_id, "atOnce": at_once, "timeout": round(seconds * 1000)}
        asked = [{**{name: op[name] for name in op if name not in _LOCAL}, **how} for op in ops]
        outcomes: list[Outcome] = []
        async with httpx.AsyncClient(trust_env=False, verify=tls_context(self.address.startswith("https:"))) as client:
            for batch in batches(asked):
                longest = max(-(-len(batch.texts) // at_once), batch.of_one) * seconds + _MARGIN
                try:
                    outcomes += await self._batch(client, batch, longest)
                except TargetError as error:
                    if not outcomes:
                        raise
                    # What was done is told all the same.
                    return [*outcomes, *[not_sent(error)] * (len(ops) - len(outcomes))]
        return outcomes

    async def _batch(self, client: httpx.AsyncClient, batch: Batch, longest: float) -> list[Outcome]:
        """Ask what fits into one request; ops of which nothing was done are signed anew."""
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(batch.texts)))
        for attempt in range(_TRIES):
            try:
                answers = await self._request(client, [batch.texts[at] for at in left], longest)
            except TargetError as error:
                if not attempt:
                    raise
                # Of those that are left nothing was done; what the others came to is told all the same.
                return [outcomes.get(at, not_sent(error)) for at in range(len(batch.texts))]
            if isinstance(answers, NotKnown):
                return [outcomes.get(at, answers) for at in range(len(batch.texts))]
            again = {at: one["again"] for at, one in zip(left, answers, strict=True) if _is_apart(one.get("again"))}
            outcomes |= {at: _outcome(one) for at, one in zip(left, answers, strict=True) if at not in again}
            if not again:
                break
            left = list(again)
            _skews[self.address] = round(max(again.values())) - _now() + 1
            await asyncio.sleep(0.005 * attempt)
        return [outcomes.get(at, Declined(why=_APART)) for at in range(len(batch.texts))]

    async def _request(
        self, client: httpx.AsyncClient, texts: list[str], longest: float
    ) -> list[dict[str, Any]] | NotKnown:
        """Send one signed request, twice where the first was refused for this machine's clock alone."""
        for _ in range(2):
            answer = await self._send(client, texts, longest)
            if isinstance(answer, NotKnown):
                return answer
            if answer.status_code == 404:
                raise TargetError(
                    f"Worker {inspector_name(self.inspector.script_name)} did not answer for namespace "
                    f"{self.stable_id}: it is gone, has another key than is recorded here, or was deployed only a "
                    "moment ago. The next plan shows which (%durable plan --refresh)."
                )
            if answer.status_code == 409:
                return NotKnown(why=_TWICE)
            if answer.status_code != 401:
                return _answers(answer, len(texts))
            skew = _skew(answer)
            if skew is None:
                raise TargetError(
                    f"HTTP 401 came from {self.address}, and not from the inspector: something in between (Cloudflare "
                    "Access, a proxy) asks for a sign-in, so nothing was done. Let it pass requests to Worker "
                    f"{inspector_name(self.inspector.script_name)}; who may ask is checked there by signature."
                )
            _skews[self.address] = skew
        raise TargetError(f"namespace {self.stable_id}: {_APART}.")

    async def _send(self, client: httpx.AsyncClient, texts: list[str], longest: float) -> httpx.Response | NotKnown:
        import httpx

        head = signed_head(
            self.key,
            self.audience,
            texts,
            time=_now() + _skews.get(self.address, 0),
            nonce=secrets.token_hex(16),
        )
        body = json.dumps(texts).encode()
        try:
            async with asyncio.timeout(longest):
                return await client.post(self.address, content=body, headers={HEADER: head}, timeout=None)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise TargetError(f"nothing answers at {self.address}: {type(error).__name__}; nothing was sent.") from None
        except (TimeoutError, httpx.HTTPError) as error:
            return NotKnown(why=f"no answer came from {self.address} ({type(error).__name__})")


def _is_apart(clock: Any) -> bool:
    """Say whether what an answer has as its clock can be one.

    Within a day of this machine's: else who stands in between could have a request signed for any later time.
    """
    return type(clock) in {int, float} and abs(clock - _now()) < _MOST_APART


def _skew(answer: httpx.Response) -> int | None:
    """Return how far the clock of the inspector is ahead, which a 401 of its own says."""
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("refused") != "clock" or type(found.get("now")) not in {int, float}:
        return None
    now = found["now"]
    # One that is further apart is told as what it is, without another try that could succeed.
    return round(now) - _now() if _is_apart(now) else 0


def _outcome(answer: dict[str, Any]) -> Outcome:
    """Read what one op was answered with; what cannot be read says nothing of it, nor of the others."""
    try:
        return outcome_of(answer)
    except DurableError as error:
        return NotKnown(why=f"its answer cannot be read: {error}")
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        return NotKnown(why=f"its answer cannot be read ({type(error).__name__})")


def _answers(answer: httpx.Response, count: int) -> list[dict[str, Any]] | NotKnown:
    """Read what an inspector answered; what is none of its answers came in its place, and says nothing."""
    try:
        found = answer.json() if answer.status_code == 200 else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and len(found) == count and all(isinstance(one, dict) for one in found):
        return found
    return NotKnown(why=f"HTTP {answer.status_code} came in place of an answer")


async def signed_way(
    connection: Connection, recorded: Recorded, stable_id: str, verb: str, *, storage: bool = False
) -> SignedWay:
    """Return the way to the objects of a namespace; raises CommandError that says what is lacking for it.

    `storage`: it is to reach what they stored, and not only their methods.
    """
    inspector = inspector_of(recorded, stable_id)
    if inspector is None:
        raise CommandError(
            f"{verb}: on Cloudflare the objects of namespace {stable_id} are asked through an inspector, which it was "
            f"deployed without; `%durable inspect {stable_id} --calls` declares one (without --calls it can look into "
            "them too), then plan and deploy. Or let its own Worker do it (fetch)."
        )
    if storage and not any(one.inspect is True for one in inspector.namespaces if one.stable_id == stable_id):
        raise CommandError(
            f"{verb}: of the objects of namespace {stable_id} only the methods can be called, as it was deployed; "
            f"`%durable inspect {stable_id}` declares that they can be looked into, then plan and deploy."
        )
    if (key := inspect_keys.held(inspector.key)) is None:
        raise CommandError(
            f"{verb}: what is asked of namespace {stable_id} must be signed, and its key is not on this machine: set "
            f"{inspect_keys.VARIABLE} to what {inspect_keys.file_of(inspector.key).name} has for whoever deployed the "
            f"inspector, or replace the key by a plan (%durable inspect {stable_id} --new-key)."
        )
    address = await connection.url(inspector_name(inspector.script_name))
    if address is None:
        raise CommandError(
            f"{verb}: Worker {inspector_name(inspector.script_name)} has no address, since the account has no "
            "workers.dev subdomain yet; open one on Cloudflare's dashboard (Workers & Pages), then deploy again."
        )
    return SignedWay(
        address=f"{address}/",
        audience=audience_of(connection.account_id, inspector.script_name),
        key=key,
        inspector=inspector,
        stable_id=stable_id,
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
