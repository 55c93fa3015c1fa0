"""What every service stands on: requests and answers, a database, and the HTTP server that workerd asks.

The server listens on a unix socket, for workerd alone. A body waits in a temporary file until it is whole, then the
service handles it in a thread; so a service is plain blocking code, and neither a large object nor a slow query holds
up the others. Which resource is meant comes from workerd's configuration and never from a Worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import parse_qsl, unquote

import h11

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SERVICE_HEADER = "notebook-do-service"
RESOURCE_HEADER = "notebook-do-resource"
PROTOCOL_HEADER = "notebook-do-protocol"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """One request. `path` is as it was sent (percent-encoded); header names are in lower case."""

    method: str
    path: str
    query_text: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: BinaryIO
    size: int
    resource: str

    def json(self) -> Any:
        """Read the whole body as JSON."""
        return json.loads(self.body.read())


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAnswer:
    """One answer: `body`, and `file_size` bytes of `file` behind it. The file is closed once it was sent."""

    status: int = 200
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    file: BinaryIO | None = None
    file_size: int = 0


class ServiceRefusal(Exception):  # noqa: N818 - an answer, not a failure
    """The request asks for what cannot be; workerd shows status and text to the Worker."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    def answer(self) -> ServiceAnswer:
        """Return it as an answer; the text is its reason phrase too, where workerd's KV and queues look for it."""
        return ServiceAnswer(status=self.status, reason=self.text, body=self.text.encode())


Handler = Callable[[ServiceRequest], ServiceAnswer]


def json_answer(value: Any, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> ServiceAnswer:
    """Answer with a JSON value."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return ServiceAnswer(status=status, headers=(("content-type", "application/json"), *headers), body=body)


_CHUNK = 1 << 18
_IN_MEMORY = 1 << 20
_LARGEST = 5 << 30  # of an object in R2 that is put at once
_BACKLOG = 4096
"""A Worker may ask a thousand things at once; a unix socket whose queue is full refuses, and does not wait."""
_LOG = logging.getLogger(__name__)


class ServiceServer:
    """Listens at `path` and hands every request to the handler of the service that workerd's configuration named."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._accept, self.path, limit=_CHUNK, backlog=_BACKLOG)
        # The socket asks for no token: whoever may connect has the data of every Worker.
        self.path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening; what is being answered is dropped."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_IN_MEMORY)
        # A workerd that is replaced ends in the midst of requests: that is no failure of a service.
        with contextlib.suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            while await self._exchange(http, reader, writer):
                http.start_next_cycle()
        writer.close()

    async def _exchange(self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request; False when the connection is over."""
        head = await _event(http, reader)
        if not isinstance(head, h11.Request):
            return False
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
            size = 0
            async for piece in _body(http, reader):
                size += len(piece)
                # Closed without an answer: to give one, the rest would have to be read first.
                if size > _LARGEST:
                    return False
                body.write(piece)
            body.seek(0)
            answer = await asyncio.to_thread(self._answer, head, cast("BinaryIO", body), size)
            await _send(http, writer, answer)
        return http.our_state is h11.DONE

    def _answer(self, head: h11.Request, body: BinaryIO, size: int) -> ServiceAnswer:
        headers = {name.decode(): value.decode("utf-8", "replace") for name, value in head.headers}
        path, _, query = head.target.decode("latin-1").partition("?")
        service, resource = headers.get(SERVICE_HEADER, ""), unquote(headers.get(RESOURCE_HEADER, ""))
        try:
            return self._handlers[service](
                ServiceRequest(
                    method=head.method.decode(),
                    path=path,
                    query_text=query,
                    query=dict(parse_qsl(query, keep_blank_values=True)),
                    headers=headers,
                    body=body,
                    size=size,
                    resource=resource,
                )
            )
        except ServiceRefusal as refusal:
            return refusal.answer()
        except Exception:  # noqa: BLE001 - a service must not take the others with it
            # A bug of ours: the Worker sees a failure, and the log the traceback.
            _LOG.exception("the local %s service failed", service)
            return ServiceAnswer(status=500, reason="the local service failed; its terminal says why")


async def _event(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Event | None:
    """Wait for the next event; None when nothing more can come."""
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(_CHUNK))
    return event if isinstance(event, h11.Event) else None


async def _body(http: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while isinstance(event := await _event(http, reader), h11.Data):
        yield bytes(event.data)
    if not isinstance(event, h11.EndOfMessage):
        raise ConnectionResetError


async def _send(http: h11.Connection, writer: asyncio.StreamWriter, answer: ServiceAnswer) -> None:
    size = len(answer.body) + answer.file_size
    own = [(name.encode(), value.encode()) for name, value in answer.headers if name.lower() != "content-length"]
    reason = answer.reason.encode("ascii", "replace").replace(b"\n", b" ")  # it can hold a user's key, and is one line
    head = h11.Response(
        status_code=answer.status, reason=reason, headers=[*own, (b"content-length", str(size).encode())]
    )
    writer.write((http.send(head) or b"") + (http.send(h11.Data(data=answer.body)) or b""))
    with contextlib.ExitStack() as stack:
        if answer.file is not None:
            file = stack.enter_context(answer.file)
            rest = answer.file_size
            while rest > 0 and (piece := await asyncio.to_thread(file.read, min(_CHUNK, rest))):
                rest -= len(piece)
                writer.write(http.send(h11.Data(data=piece)) or b"")
                await writer.drain()
    writer.write(http.send(h11.EndOfMessage()) or b"")
    await writer.drain()


def header_span(header: str, size: int) -> tuple[int, int] | None:
    """Read a `Range` header of one range as (offset, length); None for any other."""
    unit, _, rest = header.partition("=")
    first, dash, last = (part.strip() for part in rest.partition("-"))
    if unit.strip().lower() != "bytes" or not dash or not all(p.isascii() and p.isdigit() for p in (first, last) if p):
        return None
    if first:
        end = min(int(last) + 1 if last else size, size)
        return (int(first), end - int(first)) if int(first) < end else None
    length = min(int(last or 0), size)
    return (size - length, length) if length else None


class Database:
    """A SQLite database, used by one thread at a time; its tables are made by `schema`, which is safe to run again."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        # Without Python's own transactions, which begin as a reader: see `transaction`.
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing; only a power cut may lose the last moments. Objects are synced by workerd.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(schema)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection, to one at a time."""
        with self._lock:
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection inside a transaction; an exception undoes it."""
        with self._lock, transaction(self._db) as db:
            yield db

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Make all changes of the context or none; begun as a writer, so that it never fails half way for another one."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def after(prefix: bytes) -> bytes | None:
    """Return the first bytes that sort behind everything that begins with `prefix`; None when nothing does."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
