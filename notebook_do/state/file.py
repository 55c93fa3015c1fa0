"""The state file on disk: strict load, atomic save, a ring of backups, restore.

Nothing is written before the first save; what cannot be read is refused with the next command and left untouched, and
a file that is not there is never confused with one that is empty.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import StateCorrupt, StateError
from notebook_do.model import Recorded
from notebook_do.state import disk
from notebook_do.state import lock as locks
from notebook_do.state.document import Document, NewerSchema, decode, encode, read_document, write_document
from notebook_do.state.elsewhere import LOCAL_ORIGIN, Place, elsewhere
from notebook_do.state.journal import Journal
from notebook_do.state.sent import SentChanges
from notebook_do.state.strict import Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from notebook_do.state.lock import Locking

KEPT_BACKUPS = 20
"""How the origin of a local target's state begins."""

_ON_LOCAL = """# Written by notebook_do at the first deploy, and never again.
# This state is of the local Cloudflare: its ids are those of this machine, so nothing here is to be committed."""
_ON_CLOUDFLARE = """# Written by notebook_do at the first deploy, and never again.
# Commit {state}: it has the ids of what is live, and no secret. The rest is of this machine."""
_BACKUP_NAME = re.compile(r"(\d{1,12})(?:\.[0-9a-f]{8})?\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """An earlier state file. `serial` is what `%durable state restore` names it by."""

    serial: int
    path: Path

    @property
    def readable(self) -> bool:
        """True when it is whole and of a schema that we read."""
        try:
            decode(read_document(disk.read(self.path) or b""))
        except (Damage, NewerSchema, StateError):
            return False
        return True


class StateFile:
    """One state file, with its lock, journal and backups beside it. Making the object touches nothing on the disk."""

    def __init__(self, path: str | Path, *, locking: Locking = "exclusive") -> None:
        self.path, self.locking = Path(path).absolute(), locking
        self._fresh: Recorded | None = None
        self._read: tuple[bytes, Recorded, Document] | None = None
        self._journal: Journal | None = None
        self._locked: Path | None = None
        """The file itself, as long as its lock is held."""
        self.rebuilding = False
        """Whether a file that is written where none is holds what was deployed with another one, which is lost."""

    # --- where things are

    @property
    def exists(self) -> bool:
        """True when there is a file, whatever is in it."""
        return self._real.exists()

    @property
    def journal_path(self) -> Path:
        """Where the journal of deploys is."""
        return self._beside("journal.jsonl")

    @property
    def journal(self) -> Journal:
        """The journal of deploys: one object, for it reads every line once."""
        if self._journal is None or self._journal.path != self.journal_path:
            self._journal = Journal(self.journal_path)
        return self._journal

    @property
    def lock_path(self) -> Path:
        """Where the lock is; the file is never replaced by a save."""
        return self._beside("state.lock")

    @property
    def observations_path(self) -> Path:
        """Where the note of what was read is."""
        return self._beside("observations.json")

    @property
    def sent_changes(self) -> SentChanges:
        """The record of the changes of stored objects that were sent."""
        return SentChanges(self._beside("changes.log"))

    @property
    def backup_directory(self) -> Path:
        """Where the backups are."""
        return self._beside("backups")

    # --- load and save

    def load(self, *, account_id: str | None = None, api_origin: str | None = None) -> Recorded:
        """Read the state file; return an empty Recorded of a new lineage, and write nothing, where there is none.

        With `account_id` and `api_origin`, a file that is bound to another account or API is refused. Raises
        StateCorrupt, which names the place and the newest good backup, or StateError.
        """
        content = disk.read(self._real)
        if content is None:
            # Drawn once: a plan names the lineage that it was made with, and the deploy of it must find the same.
            self._fresh = self._fresh or Recorded(lineage=secrets.token_hex(16))
            return self._fresh
        self._fresh = None
        recorded, _ = self._decoded(content)
        was = Place(account=recorded.account_id, origin=recorded.api_origin)
        now = Place(account=account_id, origin=api_origin)
        if any(a is not None and b is not None and a != b for a, b in zip(was, now, strict=True)):
            raise StateError(elsewhere(str(self.path), was, now))
        return recorded

    def save(self, recorded: Recorded, *, above: int = 0) -> Recorded:
        """Write `recorded` with the next serial, over the very file it was loaded from; return what was written.

        The serial is also higher than `above`, and than that of every backup: it never repeats within a lineage.

        The lock must be held. Raises StateError when the file is not the one that `recorded` came from.
        """
        # Both are asked: a lock that somebody broke or that keeps nobody out (cas-only) leaves the serial to tell.
        if not locks.is_held(self.lock_path):
            raise StateError(
                f"{self.lock_path}: the lock was taken away during this deploy; nothing was saved. Plan again."
            )
        content = disk.read(self._real)
        before: Document = {}
        if content is not None:
            there, before = self._decoded(content)
            if (there.lineage, there.serial) != (recorded.lineage, recorded.serial):
                other = f"serial {there.serial}, not {recorded.serial}"
                raise StateError(f"{self.path} was changed by somebody else ({other}); plan again.")
        newest = max((b.serial for b in self._backup_files()), default=0)
        return self._write(replace(recorded, serial=max(recorded.serial, newest, above) + 1), before, content)

    def prepare(self) -> None:
        """Make the directory and back up the current file, or raise StateError now, before anything is sent."""
        disk.private_directory(self._real.parent)
        disk.remove_leftovers(self._real)
        if (content := disk.read(self._real)) is not None:
            self._back_up(content)

    @contextlib.contextmanager
    def lock(self) -> Iterator[locks.Holder]:
        """Hold the lock; raises StateLocked at once, naming the holder, when another deploy runs.

        Raises StateError beside a conflicting copy, and, unless `locking` is cas-only, where locks exclude nobody.
        """
        real = self._real
        disk.private_directory(real.parent)
        # Dropbox and its like leave "state (... conflicted copy ...).json" where two machines wrote.
        if copies := sorted(p.name for p in real.parent.glob(f"{real.stem}*conflict*{real.suffix}")):
            raise StateError(
                f"{self.path.parent} holds a conflicting copy of the state file ({copies[0]}): a synchronised folder "
                "is no place for it. Decide for one, remove the other, and move it with --state PATH."
            )
        with locks.hold(self.lock_path, self.locking) as holder:
            self._locked = real
            try:
                yield holder
            finally:
                self._locked = None

    @property
    def is_rebuilt(self) -> bool:
        """Whether it began with what another state file had deployed, which was lost: it was made anew from that."""
        content = disk.read(self._real)
        return content is not None and read_document(content).get("rebuilt") is True

    def last_notebook(self) -> str:
        """Name the notebook that saved this file last; empty where that is not known."""
        content = disk.read(self._real)
        name = read_document(content).get("notebook") if content else None
        return name if isinstance(name, str) else ""

    def other_notebook(self) -> str | None:
        """Name the notebook that saved this file last, where it is known and another one than this kernel's."""
        this = locks.notebook()
        other = self.last_notebook() if this else ""
        return other if other != this and other else None

    # --- backups

    def backups(self) -> tuple[Backup, ...]:
        """List the backups, newest first."""
        return tuple(sorted(self._backup_files(), key=lambda b: -b.serial))

    def restore(self, serial: int) -> Recorded:
        """Make a backup the state file again, under a serial higher than any before; what is replaced is kept.

        Live names still win: the next plan compares by namespace id. Raises StateError when there is no such backup.
        """
        wanted = next((b for b in self.backups() if b.serial == serial and b.readable), None)
        if wanted is None:
            known = ", ".join(str(b.serial) for b in self.backups() if b.readable) or "none"
            raise StateError(f"there is no readable backup {serial} of {self.path}; there are: {known}.")
        content = disk.read(wanted.path) or b""
        recorded, document = decode_or_refuse(wanted.path, content, lambda: "choose another backup.")
        with self.lock():
            current = disk.read(self._real)
            if current is not None:  # kept under a name that is no serial's: it may be damaged, and it is not pruned
                disk.private_directory(self.backup_directory)
                disk.replace(self.backup_directory / f"replaced-{secrets.token_hex(4)}.json", current)
            highest = max([b.serial for b in self.backups()] + [_serial_of(current)])
            return self._write(replace(recorded, serial=highest + 1), document, None)

    def unlock(self, lock_id: str) -> str:
        """Release the lock of a holder that is gone; return what was done, in words."""
        return locks.break_lock(self.lock_path, lock_id)

    def is_deploying(self) -> bool:
        """Say whether a deploy with this file may be running now."""
        return locks.may_be_held(self.lock_path)

    def holder(self) -> locks.Holder | None:
        """Say who holds the lock, None when nobody does."""
        return locks.holder_of(self.lock_path)

    # --- inside

    @property
    def _real(self) -> Path:
        """The file itself where `path` is a link: the link stays, and two links to one file have one lock."""
        # A link that is led elsewhere meanwhile leads nobody away from the file that is locked.
        return self._locked or disk.resolved(self.path)

    def _beside(self, name: str) -> Path:
        """Name a companion file; a state file with a name of its own has companions of its own."""
        real = self._real
        return real.with_name(name if real.name == "state.json" else f"{real.stem}.{name}")

    def _write(self, recorded: Recorded, before: Document, current: bytes | None) -> Recorded:
        if current is not None:
            self._back_up(current)
        self._fresh = None  # should this file be lost, what comes after it is another lineage
        self._write_ignored(recorded)
        notebook = {"notebook": name} if (name := locks.notebook()) else {}
        rebuilt = {"rebuilt": True} if self.rebuilding and current is None and not before else {}
        disk.replace(self._real, write_document({**encode(recorded, before), **notebook, **rebuilt}))
        return recorded

    def _write_ignored(self, recorded: Recorded) -> None:
        """Tell git which of the files here are this machine's; a file that is there already is the user's own."""
        path = self._real.with_name(".gitignore")
        if path.exists():
            return
        companions = [self.lock_path.name, self.journal_path.name, f"{self.backup_directory.name}/"]
        companions.append(self.observations_path.name)
        if (recorded.api_origin or "").startswith(LOCAL_ORIGIN):
            said, names = _ON_LOCAL, [self._real.name, *companions, path.name]
        else:
            said, names = _ON_CLOUDFLARE.format(state=self._real.name), companions
        # Names and no *: `--state` may put the file beside others, which are none of our business.
        disk.replace(path, "\n".join([said, *(f"/{name}" for name in names), ""]).encode(), synced=False)

    def _decoded(self, content: bytes) -> tuple[Recorded, Document]:
        """Read the file's content, once as long as it stays the same."""
        if self._read is None or self._read[0] != content:
            self._read = content, *decode_or_refuse(self.path, content, self._advice)
        return self._read[1], self._read[2]

    def _back_up(self, content: bytes) -> None:
        """Keep the current content under its serial, and drop the oldest backups beyond `KEPT_BACKUPS`."""
        serial = _serial_of(content)
        path = self.backup_directory / f"{serial}.json"
        disk.private_directory(self.backup_directory)
        there = disk.read(path)
        if there == content:  # `prepare` did it already
            return
        if there is not None:  # an older file was put back and went on: both lines are kept
            path = path.with_name(f"{serial}.{secrets.token_hex(4)}.json")
        disk.replace(path, content)
        for old in sorted(self._backup_files(), key=lambda b: -b.serial)[KEPT_BACKUPS:]:
            disk.remove(old.path)

    def _backup_files(self) -> list[Backup]:
        directory = self.backup_directory
        if not directory.is_dir():
            return []
        with os.scandir(directory) as entries:
            return [
                Backup(serial=int(name[1]), path=directory / entry.name)
                for entry in entries
                if (name := _BACKUP_NAME.fullmatch(entry.name)) and entry.is_file()
            ]

    def _advice(self) -> str:
        good = next((b for b in self.backups() if b.readable), None)
        if good is None:
            return "there is no good backup; move it away and use %durable import to rebuild it from what is live."
        return f"the newest good backup is {good.serial}: %durable state restore {good.serial}."


def decode_or_refuse(path: Path, content: bytes, advice: Callable[[], str]) -> tuple[Recorded, Document]:
    """Read a state file's content; raises StateCorrupt or StateError with what to do next."""
    try:
        document = read_document(content)
        return decode(document), document
    except Damage as damage:
        raise StateCorrupt(f"{path} cannot be used: {damage}. It was left untouched; {advice()}") from None
    except NewerSchema as newer:
        raise StateError(
            f"{path} was written by a newer notebook_do ({newer}); it was left untouched. "
            "Run: pip install -U notebook-do"
        ) from None


def _serial_of(content: bytes | None) -> int:
    """Find the serial even in a damaged file, so that a restored one never repeats it."""
    found = re.search(rb'"serial":\s*(\d{1,12})\b', content or b"")
    return int(found[1]) if found else 0
