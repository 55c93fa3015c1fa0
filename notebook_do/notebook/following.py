"""Follows what a Worker logs: the lines so far, which of them are shown, and the thread that collects and draws them.

A cell that waited for its own end would keep every other cell from running; so where there are buttons a thread reads
the tail. Nothing may escape from it: what ends it is said in the output that it leaves.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from notebook_do.errors import DurableError
from notebook_do.notebook.views.logged import SHOWN, LiveLogs, live_document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from notebook_do.live.logs import LogsAsked
    from notebook_do.live.records import LogRecord
    from notebook_do.live.tailing import LogTail
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.sessions.logs import LocatedRecord
    from notebook_do.sessions.session import Session

OFTEN = 0.5
"""Seconds between two pictures of a live tail, at least."""


class FollowedLogs:
    """What a live tail has told so far, and what of it is to be seen. Its switches may be used from any thread."""

    def __init__(self, session: Session, tail: LogTail, asked: LogsAsked, *, buttons: bool = False) -> None:
        self.session, self.tail, self._asked, self._buttons = session, tail, asked, buttons
        self._last: deque[LocatedRecord] = deque(maxlen=SHOWN)
        self._last_errors: deque[LocatedRecord] = deque(maxlen=SHOWN)
        self.lines = self.errors = 0
        self.only_errors = False
        self._held: LiveLogs | None = None
        self._lock = threading.Lock()

    @property
    def paused(self) -> bool:
        """Whether what comes waits, and is not shown."""
        return self._held is not None

    def take(self, records: list[LogRecord]) -> tuple[LocatedRecord, ...]:
        """Take new records in, and return those of them that are wanted."""
        located = self.session.located([record for record in records if self._asked.passes(record)])
        errors = [one for one in located if one.record.level == "error"]
        with self._lock:
            self._last.extend(located)
            self._last_errors.extend(errors)
            self.lines += len(located)
            self.errors += len(errors)
        return located

    def pause(self) -> None:
        """Keep what is shown as it is; what comes is collected."""
        self._held = self._now()

    def go_on(self) -> None:
        """Show what came meanwhile, and what comes."""
        self._held = None

    def shown(self) -> LiveLogs:
        """Return what is to be seen now."""
        held, now = self._held, self._now()
        if held is None:
            return now
        return replace(
            held, waiting=now.lines - held.lines, only_errors=self.only_errors, broken_since=now.broken_since
        )

    def ended(self, why: str, details: str) -> LiveLogs:
        """Return what stays when it is over: what waited too."""
        why = why or self.tail.ended
        return replace(self._now(), ended=datetime.now(UTC), why=why, details=details, broken_since=None)

    def _now(self) -> LiveLogs:
        with self._lock:
            return LiveLogs(
                worker=self.tail.worker,
                since=self.tail.since,
                records=tuple(self._last),
                last_errors=tuple(self._last_errors),
                lines=self.lines,
                errors=self.errors,
                only_errors=self.only_errors,
                missing=tuple(self.tail.missing),
                deployed=tuple(self.tail.deployed),
                broken_since=self.tail.broken_since,
                buttons=self._buttons,
            )


def follow_until(logs: FollowedLogs, show: Callable[[Sequence[LocatedRecord]], None], over: Callable[[], bool]) -> None:
    """Collect what comes, and show it at most twice a second, until the tail ends or it is `over`."""
    while not logs.tail.over and not over():
        show(logs.take(_some(logs.tail)))


def _some(tail: LogTail) -> list[LogRecord]:
    """Return the records of the next half second, or none."""
    ends = time.monotonic() + OFTEN
    found = []
    while (left := ends - time.monotonic()) > 0 and not tail.over:
        record = tail.next(left)
        if record is not None:
            found.append(record)
    return found


class TailPicture:
    """One output that shows a live tail; `put` replaces what stands there, by what is another picture."""

    def __init__(self, logs: FollowedLogs, put: Callable[[Document], None]) -> None:
        self._logs, self._put = logs, put
        self._drawn: LiveLogs | None = None

    def show(self, new: Sequence[LocatedRecord] = ()) -> None:
        """Draw the tail as it is now."""
        del new
        shown = self._logs.shown()
        if shown != self._drawn:
            self._drawn = shown
            self._put(live_document(shown))

    def end(self, why: str = "", details: str = "") -> None:
        """Draw what stays."""
        self._put(live_document(self._logs.ended(why, details)))


class Following:
    """The thread of one live tail; what is in `ended` is called once, after the last picture."""

    def __init__(self, logs: FollowedLogs, put: Callable[[Document], None]) -> None:
        self.logs, self.picture = logs, TailPicture(logs, put)
        self.ended: list[Callable[[], None]] = []
        self._stopping = False
        # A daemon: a kernel that is shut down does not wait for it.
        self._thread = threading.Thread(target=self._run, name="notebook-do-follow", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end; it comes within half a second. A handler of a signal may ask, so that no lock is taken."""
        self._stopping = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; True when it is over."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        why = details = ""
        try:
            follow_until(self.logs, self.picture.show, lambda: self._stopping)
            self.logs.tail.close()
        except DurableError as error:
            why = error.message
        except asyncio.CancelledError:
            why = "the extension was unloaded"
        except BaseException as error:  # noqa: BLE001 - an exception in a thread is seen by nobody
            if not self.logs.tail.ended:  # else what it meets is the end
                why, details = f"unexpected {type(error).__name__}: {error}", traceback.format_exc()
        self.picture.end(why, details)
        for told in self.ended:
            told()


# --- what ends it beside its button

_live: WeakSet[Following] = WeakSet()


def end_at_interrupt(ip: Any, following: Following) -> None:
    """Have the interrupt of a kernel that runs no cell end it: one that comes while a cell runs is that cell's."""
    kernel = ip.kernel
    # ipykernel ignores an interrupt between two cells, by the handler that it keeps here (ipykernel 6 and 7).
    if hasattr(kernel, "saved_sigint_handler") and threading.current_thread() is threading.main_thread():
        _live.add(following)
        kernel.saved_sigint_handler = _interrupted


def _interrupted(number: int, frame: Any) -> None:
    del number, frame
    for one in tuple(_live):
        one.stop()


def end_when_run_again(ip: Any, following: Following, cell: str | None) -> None:
    """End it when its cell is run again, which takes its output away."""

    def runs(info: Any) -> None:
        if cell is not None and getattr(info, "cell_id", None) == cell:
            following.stop()

    ip.events.register("pre_run_cell", runs)
    following.ended.append(lambda: ip.events.unregister("pre_run_cell", runs))
