"""Rate limits: how often a key was seen in the present window of 10 or 60 seconds, in memory alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from notebook_do.local.services.server import ServiceAnswer, ServiceRequest, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable


class RateLimitService:
    """All rate limit namespaces; Workers that bind the same namespace id share its counters."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int, str], tuple[int, int]] = {}

    def close(self) -> None:
        """Forget everything."""
        self._seen.clear()

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Count one call; asked is `{namespace, key, limit, period}`."""
        asked = request.json()
        period, now = int(asked["period"]), self.clock()
        place, window = (str(asked["namespace"]), period, str(asked["key"])), int(now // period)
        with self._lock:
            self._seen = {k: v for k, v in self._seen.items() if v[0] == int(now // k[1])}
            count = self._seen.get(place, (window, 0))[1]
            allowed = count < int(asked["limit"])
            self._seen[place] = (window, count + allowed)
        return json_answer({"success": allowed})
