"""A live tail of one Worker: its records as they come, over the websocket that the API opens.

Cloudflare ends a tail after some hours and whenever the connection breaks: another one is begun then, and what came
between is said, since nobody can tell it any more. A tail's address is a secret, and stands in no error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from notebook_do.bridge import bridge
from notebook_do.cloudflare.retry import Pace
from notebook_do.cloudflare.telemetry import close_tail, open_tail
from notebook_do.errors import ApiError, DurableError, TargetError
from notebook_do.live.logs import MissingLines
from notebook_do.live.records import moment_of, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from websockets.asyncio.client import ClientConnection

    from notebook_do.live.connection import Connection
    from notebook_do.live.records import LogRecord

PROTOCOL = "trace-v1"
_PING = 10.0
_CLOSE = 0.5
"""Seconds to wait for the other side's goodbye: behind many lines that are not read any more it comes late."""
_AT_ONCE = 0.2
"""Seconds at most in which messages that are there are read before they are looked at."""
_BEFORE_THE_END = 60.0
"""Seconds before a tail expires in which another one is begun."""
_SAMPLED = "Cloudflare sent only a sample, because there were too many requests"
_TOO_MANY = "more came than could be taken in time"
_UNREAD = "what Cloudflare sent could not be read"
_MOST_MISSING = 20
"""How often one reason is said apart; from then on it is one with the last of them."""
_WAITS = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each attempt to come back."""


class LogTail:
    """Records of one Worker from now on: `with session.tail("chat") as tail: for record in tail: ...`.

    `missing` says which lines are not there, and why. `next(timeout)` returns None where none came in time.
    """

    def __init__(
        self, connect: Callable[[], Any], script: str, worker: str, reconnect: Callable[[], Any] | None = None
    ) -> None:
        """Open nothing yet; `connect` gives the connection of a session, `reconnect` what is left of it later."""
        self._connect, self.script, self.worker = connect, script, worker
        self._reconnect = reconnect or connect
        self._connection: Connection | None = None
        self._tail: dict[str, Any] = {}
        self._socket: ClientConnection | None = None
        self._waiting: deque[LogRecord] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._versions: set[str] = set()
        self.closed = False
        self.ended = ""
        """Why it ends, where that is not its user's wish."""
        self.broken_since: datetime | None = None
        """Since when nothing can come, while another connection is looked for."""
        self.since = datetime.now(UTC)
        self.missing: list[MissingLines] = []
        self.deployed: list[datetime] = []
        """When the first line of another version of the Worker came; one that answered before is no other."""

    def __enter__(self) -> Self:
        bridge.run(self._open(self._connect))
        self.since = datetime.now(UTC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[LogRecord]:
        """Yield records until the tail is closed."""
        while not self.over:
            record = self.next(1.0)  # no longer: an interrupt is noticed between two waits in every shell
            if record is not None:
                yield record

    def next(self, timeout: float | None = None) -> LogRecord | None:
        """Return the next record; None where none came in `timeout` seconds, or the tail is closed."""
        if self._waiting:
            return self._waiting.popleft()
        return None if self.over else bridge.run(self.anext(timeout))

    async def anext(self, timeout: float | None = None) -> LogRecord | None:  # noqa: ASYNC109 - None is a good answer
        """Return the next record; see `next`."""
        if self.ended and not self.closed:
            await self.aclose()
        if not self._waiting and (self._reading or not self.closed):
            # A task of its own: coming back takes longer than the time-out of who only looks what came.
            reading = self._reading = self._reading or asyncio.create_task(self._read_on())
            await asyncio.wait({reading}, timeout=timeout)
            if reading.done():
                self._reading = None
                if not reading.cancelled():  # by `aclose`
                    reading.result()
        return self._waiting.popleft() if self._waiting else None

    @property
    def over(self) -> bool:
        """Whether it is closed, and all that came, an error too, was told."""
        return self.closed and not self._waiting and self._reading is None

    def close(self) -> None:
        """End the tail; the API forgets it."""
        if not self.closed:
            bridge.run(self.aclose())
            self._waiting.clear()

    def end(self, why: str) -> None:
        """Have the tail closed by who reads it, because nothing can come any more: another loop cannot close it."""
        if not self.closed:
            self.ended = why

    async def aclose(self) -> None:
        """End the tail; see `close`."""
        self.closed = True
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
        await self._forget(self._tail)

    async def _read_on(self) -> None:
        while not self._waiting and not self.closed:
            await self._read()
        # What is there already comes along: to go to and fro for each event takes longer than to read it.
        ends = time.monotonic() + _AT_ONCE
        while self._socket is not None and not self.closed and time.monotonic() < ends:
            if not await self._read_at_once(self._socket):
                return

    async def _read_at_once(self, socket: ClientConnection) -> bool:
        """Take a message in that is there; False where none is, or the connection ended, which the next read meets."""
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(0):
                message = await socket.recv()
        except (TimeoutError, ConnectionClosed):
            return False
        self._take(message)
        await asyncio.sleep(0)  # the next ones arrive
        return True

    async def _open(self, connect_to: Callable[[], Any]) -> None:
        """Begin a tail and listen to it. Raises DurableError with what the API said, or TargetError."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException
        from websockets.typing import Subprotocol

        self._connection = await connect_to()
        async with self._connection.client() as client:
            try:
                self._tail = await open_tail(client, self.script)
            except ApiError as error:
                raise _not_allowed(error, self.worker) from None
        problem = ""
        try:
            self._socket = await connect(
                str(self._tail.get("url")),
                subprotocols=[Subprotocol(PROTOCOL)],
                ping_interval=_PING,
                close_timeout=_CLOSE,
                max_size=None,
            )
            await self._socket.send(json.dumps({"debug": False}))
        # ValueError is of an address that is none, ImportError of a proxy that needs a package.
        except (OSError, WebSocketException, ValueError, ImportError) as error:
            problem = type(error).__name__  # its message may have the address, or a proxy's with its password
        if problem:
            await self._forget(self._tail)
            raise TargetError(f"the live logs of Worker {self.worker} cannot be reached ({problem}); try again.")

    async def _read(self) -> None:
        """Wait for one message and take its records in; where the connection ended, come back."""
        from websockets.exceptions import ConnectionClosed

        if self._socket is None:
            await self._come_back("the connection broke")
            return
        try:
            async with asyncio.timeout(self._left()):
                message = await self._socket.recv()
        except ConnectionClosed:
            self._socket = None
            return
        except TimeoutError:
            if self._left() > 0:
                raise
            await self._come_back("a tail ends after some hours, and another one was begun")
            return
        self._take(message)

    def _left(self) -> float:
        """Return the seconds until another tail should be begun."""
        ends = datetime.fromisoformat(self._tail["expires_at"]) if self._tail.get("expires_at") else None
        return 86400.0 if ends is None else (ends - datetime.now(UTC)).total_seconds() - _BEFORE_THE_END

    async def _come_back(self, why: str) -> None:
        """Begin another tail; what came meanwhile is said to be missing. Raises what the last attempt did."""
        self.broken_since, old, socket = datetime.now(UTC), self._tail, self._socket
        if socket is not None:
            await socket.close()
        for at, pause in enumerate(_WAITS):
            await asyncio.sleep(pause)
            try:
                await self._open(self._reconnect)
                break
            except DurableError as error:
                if at == len(_WAITS) - 1 or (isinstance(error, ApiError) and error.status == 404):
                    self.closed = True
                    raise
        self._miss(MissingLines(since=self.broken_since, until=datetime.now(UTC), lost=None, why=why))
        self.broken_since = None
        await self._forget(old)  # not before: a server that is gone would be asked again and again

    def _take(self, message: str | bytes) -> None:
        """Take the records of one event in, or what it says of lines that are not sent.

        One that cannot be read is said to be missing: Cloudflare documents the form of none, and the next may be well.
        """
        try:
            self._take_event(json.loads(message))
        # All that another form of it could raise; OSError and OverflowError are those of a time that is none.
        except (ValueError, TypeError, LookupError, AttributeError, OSError, OverflowError, RecursionError):
            now = datetime.now(UTC)
            again = bool(self.missing) and self.missing[-1].why == _UNREAD
            self._miss(MissingLines(since=now, until=now, lost=1, why=_UNREAD), goes_on=again)

    def _take_event(self, event: dict[str, Any]) -> None:
        about = event.get("event") or {}
        if about.get("type") == "overload" and type(about.get("lost")) is int:
            now = datetime.now(UTC)
            again = bool(self.missing) and self.missing[-1].why == _TOO_MANY
            self._miss(MissingLines(since=now, until=now, lost=about["lost"], why=_TOO_MANY, of="line"), goes_on=again)
            return
        if about.get("type") in {"overload", "overload-stop"}:
            now = datetime.now(UTC)
            again = bool(self.missing) and self.missing[-1].why == _SAMPLED
            if about["type"] == "overload" or again:
                one = MissingLines(since=now, until=now, lost=None, why=_SAMPLED)
                self._miss(one, goes_on=again and about["type"] == "overload-stop")
            return
        records = list(records_of(event, self.worker))
        version = str((event.get("scriptVersion") or {}).get("id") or "")
        # Of a deployment by percent two versions answer by turns: only one that never did before is another.
        if version and self._versions and version not in self._versions:
            self.deployed.append(moment_of(event.get("eventTimestamp") or time.time() * 1000))
        self._versions |= {version} - {""}
        self._waiting.extend(records)

    def _miss(self, one: MissingLines, *, goes_on: bool = False) -> None:
        """Say that lines are missing; what `goes_on`, or happens again and again, is one with what was said last."""
        same = [at for at, had in enumerate(self.missing) if had.why == one.why]
        if not same or not (goes_on or len(same) >= _MOST_MISSING):
            self.missing.append(one)
            return
        had = self.missing[same[-1]]
        lost = None if one.lost is None or had.lost is None else one.lost + had.lost
        self.missing[same[-1]] = replace(one, since=had.since, lost=lost)

    async def _forget(self, tail: dict[str, Any]) -> None:
        self._tail = {} if tail is self._tail else self._tail
        if not tail or self._connection is None:
            return
        with contextlib.suppress(DurableError):  # it is gone already, or ends by itself
            async with self._connection.client(Pace(attempts=1)) as client:
                await close_tail(client, self.script, tail["id"])


def _not_allowed(error: ApiError, worker: str) -> DurableError:
    if error.status not in {401, 403}:
        return error
    return TargetError(
        f"the token may not read the live logs of Worker {worker} ({error.message}); give it the permission "
        "Workers Tail, Read."
    )
