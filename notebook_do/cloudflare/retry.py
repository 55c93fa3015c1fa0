"""Which failed request may be sent again, and when: bounded, cancellable, and seen by the user.

A read may always be repeated. A mutation is repeated only by the deployer, after it has looked at what is live. No
wall clock takes part: waits are measured with the injected monotonic clock.

tenacity is not used: of `repeat` it could take over the loop (ten lines), while what this is about would stay here:
which answer proves what, and waits that count down, end within a tick of a cancel and are shared by a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.errors import ApiError, DeployError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")
ATTEMPTS = 4
LONGEST_WAIT = 300.0
"""Seconds; whoever exceeds Cloudflare's limit is blocked for 5 minutes, so that no longer wait can be worth it."""
_ASK_AGAIN = frozenset({408, 409, 425, 429})
"""4xx that speak of this moment and not of the request: they prove nothing about a mutation."""
RATE_LIMIT = "Cloudflare's rate limit"
"""The first words of every wait that is due to it."""
_UNKNOWN = 10013
"""`workers.api.error.unknown`: Cloudflare's word for a failure of its own that passes, whatever the status."""
_TICK, _SHORT = 0.1, 0.01


def is_definite(error: ApiError | NoAnswer) -> bool:
    """Say whether the error proves that a mutation was not carried out.

    Only a request that never left, or a 4xx in Cloudflare's own envelope, proves it; a timeout, a 5xx, an unreadable
    answer and the "try again" statuses prove nothing.
    """
    if isinstance(error, NoAnswer):
        return not error.sent
    # Without a code it is nobody's refusal: a proxy, a firewall or an error page answered, before or after the server.
    return bool(error.code) and 400 <= error.status < 500 and error.status not in _ASK_AGAIN


def is_transient(error: ApiError | NoAnswer) -> bool:
    """Say whether the same read may succeed when it is sent again."""
    if isinstance(error, NoAnswer):
        return True
    # A 2xx that cannot be read was cut off on its way; a 3xx or 4xx without a code would come again.
    unreadable = error.code == 0 and 200 <= error.status < 300
    return unreadable or error.status >= 500 or error.status in _ASK_AGAIN or error.code == _UNKNOWN


class Cancelled(DeployError):  # noqa: N818 - what happened
    """The user cancelled while a wait was going on."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """How often and how long to wait. `emit` is shown what is waited for; `cancel` ends a wait within a tick."""

    attempts: int = ATTEMPTS
    longest: float = LONGEST_WAIT
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    emit: Callable[[str], None] = lambda _: None
    cancel: Callable[[], bool] = lambda: False

    @contextlib.contextmanager
    def shown(self, emit: Callable[[str], None], cancel: Callable[[], bool]) -> Iterator[None]:
        """Show waits through `emit` and end them on `cancel`, for the time of one operation."""
        before = self.emit, self.cancel
        self.emit, self.cancel = emit, cancel
        try:
            yield
        finally:
            self.emit, self.cancel = before

    async def repeat(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send a read until it is answered, at most `attempts` times and `longest` seconds of waiting."""
        waited = 0.0
        for attempt in range(1, self.attempts + 1):
            try:
                return await send()
            except (ApiError, NoAnswer) as error:
                pause = self.pause(error, attempt)
                # A wait that is too long is not shortened: before Retry-After is over the answer would be the same.
                if attempt == self.attempts or not is_transient(error) or waited + pause > self.longest:
                    raise
                reason = str(error.status) if isinstance(error, ApiError) else "no answer"
            why = "Cloudflare asks for a pause (429)" if reason == "429" else f"no use of the answer ({reason})"
            why = "no answer came" if reason == "no answer" else why
            await self.wait(pause, f"{why}, then it is asked again ({attempt + 1} of {self.attempts})")
            waited += pause
        raise AssertionError("unreachable")

    def pause(self, error: ApiError | NoAnswer, attempt: int) -> float:
        """Return the seconds before the next attempt: what the server asks for, else 1, 2, 4, ..."""
        asked = error.retry_after if isinstance(error, ApiError) else None
        return asked if asked is not None else float(2 ** (attempt - 1))

    async def wait(self, seconds: float, why: str) -> None:
        """Sleep in short ticks with a countdown; raises Cancelled when the user cancels meanwhile."""
        end, shown = self.clock() + seconds, -1
        while (left := end - self.clock()) > 0:
            self._end_if_cancelled(why)
            if (whole := math.ceil(left)) != shown:
                shown = whole
                self.emit(f"waits {whole} s: {why}")
            await self.sleep(min(_TICK, left))  # in ticks: nothing wakes a sleep when Cancel is pressed

    async def tick(self, why: str = "for the answer before") -> None:
        """Wait for a moment that is too short to be shown; raises Cancelled like `wait`."""
        self._end_if_cancelled(why)
        await self.sleep(_SHORT)

    def _end_if_cancelled(self, why: str) -> None:
        if self.cancel():
            raise Cancelled(f"cancelled while waiting: {why}.")
