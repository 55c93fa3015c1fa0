"""How fast one process asks one API: by what its answers say is left, else by a bound of our own.

Cloudflare says with each answer what is left: `Ratelimit: "default";r=50;t=30` (50 requests in the 30 s to come), of
`Ratelimit-Policy: "default";q=1200;w=300` (1,200 in 5 minutes). The limit is the user's, for all that they do, the
dashboard and other programs included; whoever exceeds it is refused (429) for minutes. So the last requests of a
window are never spent, and the first one of a new window goes alone: its answer says how much others took of it.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.cloudflare.answer import retry_after
from notebook_do.cloudflare.retry import RATE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.cloudflare.retry import Pace

RATE_SECONDS, RATE_REQUESTS = 300.0, 400
"""Our own bound where no answer says what is left: a third of Cloudflare's 1,200 requests in 5 minutes."""
RESERVE = 0.25
"""The share of a window that is left to whatever else the user does; a busy program beside us needs it for what is
under way when we stop."""
_ITEM = re.compile(r'"(?P<name>[^"]*)"(?P<parameters>(?:\s*;\s*[a-z]+=\d+)*)')
_PARAMETER = re.compile(r"([a-z]+)=(\d+)")


@dataclass(slots=True, kw_only=True)
class _Window:
    """What is left of one quota until it is filled up again."""

    left: int
    ends: float
    quota: int

    @property
    def is_spent(self) -> bool:
        return self.left <= RESERVE * self.quota


class Rate:
    """The requests of this process to one API, whichever client sends them."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque()
        self._open = 0
        self._windows: dict[str, _Window] = {}
        self._refused_until = 0.0
        self._is_known = False
        """Whether an answer said what is left now; until then one request goes at a time."""

    async def admit(self, pace: Pace) -> None:
        """Wait for the turn of one request, whose answer goes to `heed`. A wait is shown and can be cancelled."""
        while True:
            now = pace.clock()
            if (wait := self._wait(now)) is not None:
                await pace.wait(*wait)
            elif not self._is_known and self._open:
                await pace.tick()
            else:
                break
        self._sent.append(now)
        self._open += 1
        for window in self._windows.values():
            window.left -= 1

    def heed(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """Take what an answer says; status 0 where none arrived. Each call ends the turn of one `admit`."""
        self._open = max(0, self._open - 1)
        if status == 429 and (seconds := retry_after(headers)) is not None:
            self._refused_until, self._is_known = max(self._refused_until, now + seconds), False
        elif status:
            self._windows = self._told(headers, now)
            self._is_known = True

    def _told(self, headers: Mapping[str, str], now: float) -> dict[str, _Window]:
        policies = dict(_items(headers.get("ratelimit-policy", "")))
        found = {}
        for name, item in _items(headers.get("ratelimit", "")):
            policy, before = policies.get(name, {}), self._windows.get(name)
            quota = max(policy.get("q", 0), item.get("r", 0), before.quota if before else 0)
            seconds = item.get("t", policy.get("w", RATE_SECONDS)) + 1  # told in whole ones, perhaps rounded down
            # What is under way may not be counted yet in what the answer says.
            found[name] = _Window(left=item.get("r", 0) - self._open, ends=now + seconds, quota=quota)
        return found

    def _wait(self, now: float) -> tuple[float, str] | None:
        """Say for how long nothing may be sent, and why."""
        if now < self._refused_until:
            return self._refused_until - now, f"{RATE_LIMIT}, which refused a request (429) and asks for that"
        for window in self._windows.values():
            if now >= window.ends:
                self._is_known = False
            elif window.is_spent:
                rest = f"{max(0, window.left):,} of {window.quota:,} requests"
                return window.ends - now, f"{RATE_LIMIT}: the last {rest} are left to what else you do"
        if self._windows or not self._is_known:
            return None
        while self._sent and self._sent[0] <= now - RATE_SECONDS:
            self._sent.popleft()
        if len(self._sent) < RATE_REQUESTS:
            return None
        why = f"{RATE_LIMIT}, to stay at {RATE_REQUESTS} requests in {RATE_SECONDS / 60:.0f} minutes"
        return self._sent[0] + RATE_SECONDS - now, why


def _items(header: str) -> list[tuple[str, dict[str, int]]]:
    return [(m["name"], {k: int(v) for k, v in _PARAMETER.findall(m["parameters"])}) for m in _ITEM.finditer(header)]


_rates: dict[str, Rate] = {}
"""By API and not by account or token: Cloudflare counts a user's requests, whatever they are made with."""


def rate_of(origin: str) -> Rate:
    """Return the one `Rate` that all clients of an API share in this process."""
    return _rates.setdefault(origin, Rate())
