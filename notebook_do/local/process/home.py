"""The data directory as a meeting place: who serves it, who uses it, where the server listens, and the API's token.

Three locks, all dropped by the kernel when their process dies, so nothing here can be left stale by a kill -9:
`server.lock` is held by the one server for its life, `launch.lock` by whoever starts, joins or ends a server, and
each user holds a lock on a file of its own in `users/`. The token's file is used only where nobody else could have
written or read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from notebook_do.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TOKEN = re.compile(r"[0-9a-f]{64}\n?")
_MOST = 4096
_KEEP = "keep"
_CRONS = ".crons"
_PARTIAL = re.compile(r"(?:token|server\.json)\.[0-9a-f]{16}")


def read_token(path: Path) -> str:
    """Return the token in `path`; raises TargetError, which says why the file is not used and what to do."""
    text, why = _read(path)
    if why:
        raise TargetError(
            f"the token file {path} is not used: it {why}; end this local Cloudflare (notebook-do local stop) "
            "and start it again: it then makes a token of its own."
        )
    return text


def is_sound(path: Path) -> bool:
    """Say whether `path` holds a token that only its owner can read."""
    return not _read(path)[1]


def _read(path: Path) -> tuple[str, str]:
    """Return (token, "") or ("", why it is not used)."""
    try:
        # Not blocking: what lies there may be a pipe, whose opening would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return "", "is a symbolic link" if path.is_symlink() else f"cannot be read ({error.strerror})"
    try:
        found = os.fstat(descriptor)  # of what was opened: the path may lead elsewhere a moment later
        if not stat.S_ISREG(found.st_mode):
            return "", "is no ordinary file"
        if found.st_uid != os.getuid():
            return "", "belongs to another user"
        if found.st_mode & 0o077:
            return "", "can be read or changed by other users"
        text = os.read(descriptor, _MOST).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    if not text.strip():
        return "", "is empty"
    return (text.strip(), "") if _TOKEN.fullmatch(text) else ("", "does not hold a token")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTarget:
    """A running local Cloudflare: `api` and `url` are where its API and its Workers answer."""

    api: str
    url: str
    account_id: str
    token_file: Path
    data: Path
    pid: int
    workers_port: int
    strict: bool = False
    """Whether KV, R2, D1 and queues must have been made before they are bound, as on Cloudflare."""
    crons: bool = False
    """Whether the cron triggers of all Workers are run by a clock."""

    def token(self) -> str:
        """Read the API token; raises TargetError when its file is not safely ours."""
        return read_token(self.token_file)

    def release(self) -> None:
        """Stop using the server; it ends a few seconds after its last user left."""
        for lock in _user_locks.pop(self.data, []):
            lock.release()

    def to_json(self) -> dict[str, Any]:
        """Return all of it for JSON, with the environment that other clients read; the token included."""
        return {
            "url": self.url,
            "api": self.api,
            "account_id": self.account_id,
            "token_file": str(self.token_file),
            "data": str(self.data),
            "pid": self.pid,
            "strict": self.strict,
            "crons": self.crons,
            "env": {
                "CLOUDFLARE_API_BASE_URL": self.api,
                "CLOUDFLARE_BASE_URL": self.api,
                "CLOUDFLARE_API_TOKEN": self.token(),
                "CLOUDFLARE_ACCOUNT_ID": self.account_id,
            },
        }


class UserLock:
    """What makes this process a user: a file that it holds a lock on until it leaves or dies.

    `crons` is what the tags of the Workers begin with whose cron triggers it wants run by a clock; empty: all Workers.
    """

    def __init__(self, path: Path, crons: str | None = None) -> None:
        self._path, self.crons = path, crons
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.write(self._file, (crons or "").encode())
        # A record lock: unlike flock it is not inherited by a forked child that outlives this process.
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Stop being a user."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)


_user_locks: dict[Path, list[UserLock]] = {}


class Home:
    """One data directory."""

    def __init__(self, data: Path) -> None:
        """Make the directory if there is none; raises TargetError when it is not safely ours."""
        if fcntl is None:
            raise TargetError("the local Cloudflare needs Linux or macOS (on Windows: WSL)")
        self.data = data.expanduser().absolute()
        self.token_file = self.data / "token"
        self._users = self.data / "users"
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.data.stat()
            if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise TargetError(
                    f"{self.data} belongs to or can be changed by other users: use a directory of your own"
                )
            self.data.chmod(0o700)
            self._users.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise TargetError(f"the data directory {self.data} cannot be used: {error.strerror}") from None

    # --- the server's side

    @contextlib.contextmanager
    def server_lock(self) -> Iterator[None]:
        """Be the one server of this directory; raises TargetError when there is one."""
        lock = self._open("server.lock")
        try:
            # Whoever looks whether the directory is served holds the lock for an instant.
            if not _try_lock(lock, patience=0.5):
                raise TargetError(f"a local Cloudflare already runs on {self.data}")
            yield
        finally:
            os.close(lock)

    def token(self) -> str:
        """Return the API token: 32 random bytes, made once, and anew where the file could be somebody else's."""
        if not is_sound(self.token_file):
            try:
                self._write(self.token_file, secrets.token_hex(32) + "\n")
            except OSError as error:
                raise TargetError(f"the token file {self.token_file} cannot be made: {error.strerror}") from None
        return read_token(self.token_file)

    def tidy(self) -> None:
        """Remove the half-written files of a server that was killed; only its successor calls this."""
        for path in self.data.iterdir():
            if _PARTIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)

    def write_target(self, target: LocalTarget) -> None:
        """Write down, for those who look for it, where the server listens."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(self.data / "server.json", json.dumps({"started": started, **asdict(target)}, default=str))

    def forget_target(self) -> None:
        """Remove what `write_target` wrote."""
        (self.data / "server.json").unlink(missing_ok=True)

    def users(self) -> int:
        """Count the users there are now; `keep` counts as one."""
        return sum(path.name == _KEEP or _is_held(path) for path in self._users.iterdir())

    def clocked(self) -> list[str]:
        """List what the users want run by a clock: the beginnings of tags, an empty one for all Workers."""
        wanted = []
        for path in self._users.glob(f"*{_CRONS}"):
            with contextlib.suppress(FileNotFoundError):  # its user may leave at any moment
                if _is_held(path):
                    wanted.append(path.read_text())
        return wanted

    def close_if_unused(self) -> bool:
        """Stop being findable if there are no users; False when somebody came meanwhile."""
        with self.launch_lock():  # whoever joins sits down under this lock, so nobody is overlooked
            if self.users():
                return False
            for path in self._users.iterdir():
                path.unlink()
            self.forget_target()
            return True

    # --- the users' side

    @contextlib.contextmanager
    def launch_lock(self) -> Iterator[None]:
        """Start, join or end a server, one at a time."""
        lock = self._open("launch.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def is_served(self) -> bool:
        """Say whether a server holds this directory."""
        lock = self._open("server.lock")
        try:
            return not _try_lock(lock)
        finally:
            os.close(lock)

    def read_target(self) -> LocalTarget | None:
        """Return where the running server listens; None when there is none, or it is ending."""
        if not self.is_served():
            return None  # one that was killed leaves its `server.json`
        try:
            raw = json.loads((self.data / "server.json").read_text())
            del raw["started"]
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return LocalTarget(**{**raw, "token_file": Path(raw["token_file"]), "data": Path(raw["data"])})

    def join(self) -> None:
        """Register this process as a user, once."""
        if not _user_locks.get(self.data):
            _user_locks[self.data] = [UserLock(self._own_place())]

    def wind(self, crons: str | None) -> None:
        """Have the cron triggers that `crons` means run by a clock as long as this process is a user, or none."""
        held = _user_locks.setdefault(self.data, [])
        wound = [lock for lock in held if lock.crons is not None]
        if [lock.crons for lock in wound] == ([] if crons is None else [crons]):
            return
        for lock in wound:
            lock.release()
            held.remove(lock)
        if crons is not None:
            held.append(UserLock(self._own_place(_CRONS), crons))

    def _own_place(self, ending: str = "") -> Path:
        return self._users / f"{os.getpid()}-{secrets.token_hex(8)}{ending}"

    def keep(self, *, on: bool) -> None:
        """Let the server run without users, or no longer."""
        if on:
            (self._users / _KEEP).touch(mode=0o600)
        else:
            (self._users / _KEEP).unlink(missing_ok=True)

    def open_private(self, name: str) -> BinaryIO:
        """Open an emptied file that only this user can read."""
        return os.fdopen(os.open(self.data / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")

    def _open(self, name: str) -> int:
        return os.open(self.data / name, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)

    def _write(self, path: Path, text: str) -> None:
        """Replace a private file as a whole."""
        partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def _try_lock(lock: int, *, patience: float = 0.0) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _is_held(path: Path) -> bool:
    """Say whether the process that made a user's file still lives."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
