"""The server of the Workers port: the connections of `listening`, with the short way before the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from notebook_do.local.gateway.gateway import BEGUN, workers_app
from notebook_do.local.gateway.requests import nowhere
from notebook_do.local.gateway.short import Begun, ShortWay, written
from notebook_do.local.process.listening import PATIENCE, HttpConnection, server_of

if TYPE_CHECKING:
    from notebook_do.local.gateway.requests import ScriptAt
    from notebook_do.local.process.listening import Server
    from notebook_do.local.runtime.runtime import Runtime
    from notebook_do.local.runtime.upstream import WholeAnswer


def workers_server(runtime: Runtime, script_at: ScriptAt = nowhere, *, patience: float = PATIENCE) -> Server:
    """Return the server of the Workers of a runtime; `script_at` as for `workers_app`."""
    kind = type("WorkersConnection", (_Connection,), {"way": ShortWay(runtime, script_at)})
    return server_of(workers_app(runtime, script_at), connection=kind, patience=patience)


class _Connection(HttpConnection):
    """A client's connection. While a request is on the short way, h11 does not know of it and sees nothing."""

    way: ShortWay
    _begun: Begun | None = None
    _held = b""
    _ending = False
    _answered_one = False

    def data_received(self, data: bytes) -> None:
        """Send a request the short way where it can go it; what arrives meanwhile waits for its answer."""
        if self._begun is not None:
            self._held += data
            self._wire.pause_reading()
        elif not self._begin(data):
            super().data_received(data)

    def _begin(self, data: bytes) -> bool:
        if self.lingering or self._ending or self.flow.write_paused or not self._between_requests():
            return False
        self._begun = self.way.begin(data, self.client, self.server, self._answered)
        if self._begun is None:
            return False
        self._unset_keepalive_if_required()
        self._last_received = self._head_since = self.loop.time()
        return True

    def _between_requests(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete
        idle = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
        return answered and idle and not self._within_head()

    def _answered(self, begun: Begun, answer: WholeAnswer | None) -> None:
        """Hand the answer on; go on the usual way where it did not come in one piece."""
        if begun is not self._begun:  # the client left meanwhile
            return
        self._begun = None
        if answer is None:
            self._go_on(begun)
        else:
            begun.done()
            self._wire.write(written(answer, self.server_state.default_headers))
            self._complete()
        self._resume()

    def _complete(self) -> None:
        self.server_state.total_requests += 1
        if self._ending:
            self._wire.close()
            return
        self._answered_one = True
        self._head_since = self.loop.time()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _go_on(self, begun: Begun) -> None:
        """Let uvicorn read the request, which was sent already; its application finds it in the scope's `state`."""
        before, usual = self.cycle, self.app_state
        self.app_state = {**usual, BEGUN: begun}
        super().data_received(begun.data)
        self.app_state = usual
        if self.cycle is before:
            begun.drop()
        elif self._ending:
            self.cycle.keep_alive = False

    def _resume(self) -> None:
        held, self._held = self._held, b""
        if held and not self._wire.is_closing():
            self._wire.resume_reading()
            self.data_received(held)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the Worker's work for a client that left."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.drop()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End with the server, after the answer that is awaited."""
        if self._begun is not None:
            self._ending = True
        else:
            super().shutdown()

    def _time_left(self) -> float:
        # One that is kept ends by uvicorn's own timer, as on the usual way: h11 knows of no request before.
        kept = self._answered_one and self._between_requests()
        return self.patience if kept or self._begun is not None else super()._time_left()
