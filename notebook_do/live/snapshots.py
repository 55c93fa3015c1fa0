"""Snapshots: all that one object has stored, as a file that says whose it is. `restore` takes it."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import lzma
import os
import shlex
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import LARGEST_ANSWER
from notebook_do.declare.line import as_argument, is_like_option
from notebook_do.display import Shown, one_line
from notebook_do.display.formats import size
from notebook_do.errors import CommandError
from notebook_do.live.snapshot_contents import checked_contents
from notebook_do.live.storage import storage_of
from notebook_do.model.changes import ObjectContents
from notebook_do.state import disk

if TYPE_CHECKING:
    from notebook_do.live.connection import Connection
    from notebook_do.live.stored import Form, TakenObject
    from notebook_do.model import Recorded
    from notebook_do.model.states import RecordedNamespace

_ABOUT = "snapshot.json"
_CONTENTS: dict[Form, str] = {"file": "object.sqlite", "rows": "object.json"}
_VERSION = 1
_LARGEST_ABOUT = 4 << 20
_LARGEST: dict[Form, int] = {"file": LARGEST_ANSWER, "rows": LARGEST_ANSWER}
_UNREADABLE = (
    ArithmeticError,  # OverflowError: a time outside of the calendar
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # an encrypted file, a method that is not known, JSON that is nested too deep
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a file that is none, is damaged, or was made by hand lets the standard library raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Shown):
    """A snapshot of one object, in the file at `path`: whose it is, when it was taken, and how much it holds."""

    path: Path
    stable_id: str
    namespace_id: str
    object_id: str
    name: str | None
    storage: str
    taken: datetime
    contents: ObjectContents
    digest: str
    form: Form = "file"
    bookmark: str | None = None
    """Of an object on Cloudflare: with it `onNextSessionRestoreBookmark` of its class goes back there, for 30 days."""

    @property
    def spoken(self) -> str:
        """Return whose it is, as a sentence says it."""
        return f"{one_line(self.name or self.object_id[:8] + '…')} of {self.stable_id}"

    def check_for(self, namespace: RecordedNamespace, object_id: str, target: str, *, other: bool) -> None:
        """Raise CommandError where it cannot be put back there, or is of another object and nobody said it is meant."""
        if self.form == "file" and target != "local":
            raise CommandError(
                f"restore: the snapshot is the file of {self.spoken} of a local Cloudflare, and on Cloudflare nothing "
                "puts a file in place of an object's; write its rows and values there with execute and put (map)."
            )
        if self.storage != str(namespace.storage):
            raise CommandError(
                f"restore: the snapshot is of {self.spoken}, which has {self.storage} storage; "
                f"{namespace.stable_id} has {namespace.storage}, so it cannot take it."
            )
        if not other and (self.namespace_id, self.object_id) != (namespace.namespace_id, object_id):
            raise CommandError(
                f"restore: the snapshot is of {self.spoken}, another object; "
                "say other=True (%durable restore: --other) where this is meant."
            )


async def take(
    connection: Connection, recorded: Recorded, stable_id: str, name_or_id: str, path: str | Path
) -> Snapshot:
    """Write a snapshot of one object to a new file."""
    async with connection.client() as client:
        storage = storage_of(connection, client, recorded, stable_id, "snapshot")
        return write_snapshot(path, storage.namespace, await storage.taken(name_or_id))


def write_snapshot(path: str | Path, namespace: RecordedNamespace, taken: TakenObject) -> Snapshot:
    """Write a snapshot to a new file. Raises CommandError where there is one already, or it cannot be written."""
    made = Snapshot(
        path=Path(path),
        stable_id=namespace.stable_id,
        namespace_id=namespace.namespace_id,
        object_id=taken.one.object_id,
        name=taken.one.name,
        storage=str(namespace.storage),
        taken=datetime.now(UTC).replace(microsecond=0),
        contents=taken.holds,
        digest=hashlib.sha256(taken.content).hexdigest(),
        form=taken.form,
        bookmark=taken.bookmark,
    )
    about = json.dumps(_about(made), indent=1)
    if len(about) > _LARGEST_ABOUT:  # `read_snapshot` takes no more
        raise CommandError(f"snapshot: {made.spoken} has more tables than a snapshot can tell of; nothing was written.")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_ABOUT, about)
        archive.writestr(_CONTENTS[taken.form], taken.content)
    _write(made, packed.getvalue())
    return made


def _write(made: Snapshot, packed: bytes) -> None:
    path = made.path
    try:
        disk.create(path, packed)
    except FileExistsError:
        line = f"%durable snapshot {snapshot_words(made, _free(path))}"
        raise CommandError(
            f"snapshot: {path} is there already and was left as it is; name another file: {line}"
        ) from None
    except ValueError:  # UnicodeEncodeError is one
        raise CommandError(f"snapshot: {str(path)!r}: no file can have this name; name another one.") from None
    except OSError as error:
        raise CommandError(f"snapshot: {path} cannot be written: {error.strerror}.") from None


def _free(path: Path) -> Path:
    """Return the path with the first number behind its name that no file has: `kitchen-2.ndsnap`."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(one for one in numbered if not os.path.lexists(one))


def snapshot_words(made: Snapshot, path: Path) -> str:
    """Return the words that name an object and a file on a line: of `snapshot`, or of `restore`."""
    name = made.name or made.object_id
    # Behind the -- of a name that is like an option the path needs none.
    file = shlex.quote(str(path)) if is_like_option(name) else as_argument(str(path))
    return f"{made.stable_id} {as_argument(name)} {file}"


def _about(made: Snapshot) -> dict[str, Any]:
    held = made.contents
    return {
        "version": _VERSION,
        **{
            name: getattr(made, name)
            for name in ("stable_id", "namespace_id", "object_id", "name", "storage", "digest")
        },
        "taken": made.taken.isoformat(),
        "tables": held.tables,
        "keys": held.keys,
        "size": held.size,
        "alarm": None if held.alarm is None else held.alarm.isoformat(),
        **({} if made.bookmark is None else {"bookmark": made.bookmark}),
    }


def read_snapshot(given: str | Path | Snapshot) -> tuple[Snapshot, bytes]:
    """Read a snapshot: whose it is, as it says, what its content has, and that. Raises CommandError for others."""
    path = _path_of(given)
    try:
        about, content, form = _unpacked(path)
        found = _read(path, about, form)
    except FileNotFoundError:
        raise CommandError(f"restore: there is no file {path}.") from None
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    if hashlib.sha256(content).hexdigest() != found.digest:
        raise CommandError(f"restore: the content of {path} is not the one that was saved; it is damaged.")
    if isinstance(given, Snapshot) and given.digest != found.digest:
        raise CommandError(f"restore: {path} is not the snapshot that was taken there; another one is in its place.")
    try:
        return replace(found, contents=checked_contents(content, form, found.contents)), content
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def _path_of(given: str | Path | Snapshot) -> Path:
    if isinstance(given, Snapshot):
        return given.path
    if not isinstance(given, str | Path):
        raise CommandError(f"restore: takes the path of a snapshot, or a snapshot, not a {type(given).__name__}.")
    return Path(given)


def _unreadable(path: Path, error: Exception) -> CommandError:
    why = one_line(str(error)) or type(error).__name__
    return CommandError(f"restore: {path} is no snapshot of an object that can be read: {why.removesuffix('.')}.")


def _unpacked(path: Path) -> tuple[Any, bytes, Form]:
    with zipfile.ZipFile(path) as archive:
        form: Form = "rows" if _CONTENTS["rows"] in archive.namelist() else "file"
        # What a file unpacks to is bounded before it is unpacked: a megabyte of it can be a gigabyte.
        for name, most in ((_ABOUT, _LARGEST_ABOUT), (_CONTENTS[form], _LARGEST[form])):
            if archive.getinfo(name).file_size > most:
                raise ValueError(f"its {name} is larger than {size(most)}")
        return json.loads(archive.read(_ABOUT)), archive.read(_CONTENTS[form]), form


def _read(path: Path, about: dict[str, Any], form: Form) -> Snapshot:
    if about["version"] != _VERSION:
        raise ValueError(f"its version is {about['version']}")
    texts = {name: _text(about, name) for name in ("stable_id", "namespace_id", "object_id", "storage", "digest")}
    alarm = None if about["alarm"] is None else _moment(about["alarm"])
    tables = tuple((_text([name], 0), None if rows is None else _whole(rows)) for name, rows in about["tables"])
    held = ObjectContents(tables=tables, keys=_whole(about["keys"]), size=_whole(about["size"]), alarm=alarm)
    return Snapshot(
        path=path,
        name=None if about["name"] is None else _text(about, "name"),
        taken=_moment(about["taken"]),
        contents=held,
        form=form,
        bookmark=None if about.get("bookmark") is None else _text(about, "bookmark"),
        **texts,
    )


def _text(about: Any, at: Any) -> str:
    if not isinstance(about[at], str):
        raise ValueError(f"its {at} is no text")  # noqa: TRY004 - what is read is wrong, not what is called
    return str(about[at])


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"it counts {one_line(str(value))[:40]}")
    return value


def _moment(text: Any) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"it tells a time without its zone: {found}")
    return found.astimezone(UTC)
