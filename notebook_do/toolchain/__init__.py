"""Finds or fetches what is not Python: workerd, which runs Workers, esbuild, and npm packages that go into a bundle.

Order: the environment variable, this package's own cache, one download from the npm registry. The rule kept
here: nothing is unpacked before its bytes have the sha512 that is pinned, and nothing is put under its
final name before it is whole. No import downloads anything.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import platformdirs

from notebook_do.errors import ToolchainError
from notebook_do.toolchain.pins import (
    ESBUILD_INTEGRITY,
    ESBUILD_VERSION,
    NEWEST_COMPATIBILITY_DATE,
    PACKAGES,
    WORKERD_INTEGRITY,
    WORKERD_VERSION,
    Pin,
    esbuild_pin,
    package_pin,
    workerd_pin,
)

__all__ = [
    "ESBUILD_INTEGRITY",
    "ESBUILD_VERSION",
    "NEWEST_COMPATIBILITY_DATE",
    "PACKAGES",
    "WORKERD_INTEGRITY",
    "WORKERD_VERSION",
    "Pin",
    "esbuild_pin",
    "find_esbuild",
    "find_package",
    "find_programs",
    "find_workerd",
    "has_esbuild",
    "registry_for",
    "workerd_pin",
]

Progress = Callable[[int, int], None]

PUBLIC_REGISTRY = "https://registry.npmjs.org"
TARBALL_LIMIT = 256 * 2**20
BINARY_LIMIT = 512 * 2**20
_CHUNK = 1 << 20


_verified: dict[Path, tuple[int, int, int]] = {}


def find_workerd(progress: Progress | None = None) -> Path:
    """Return the path of workerd, downloading it once if it must be; raises ToolchainError."""
    return _find(workerd_pin(), progress)


def find_esbuild(progress: Progress | None = None) -> Path:
    """Return the path of esbuild, downloading it once if it must be; raises ToolchainError."""
    return _find(esbuild_pin(), progress)


def has_esbuild() -> bool:
    """Say whether esbuild is on this machine, so that finding it downloads nothing."""
    pin = esbuild_pin()
    return bool(os.environ.get(pin.variable)) or _is_whole(_place(pin))


def find_programs(progress: Progress | None = None) -> Path:
    """Return the path of workerd; where that must be downloaded, esbuild is fetched with it.

    So the first cell's source can be checked. Without esbuild all else works, and whoever needs it is told why it
    cannot be had. Raises ToolchainError for workerd alone.
    """
    pin = workerd_pin()
    is_first = not os.environ.get(pin.variable) and not _is_whole(_place(pin))
    path = find_workerd(progress)
    if is_first:
        with contextlib.suppress(ToolchainError):
            find_esbuild()
    return path


def find_package(name: str, progress: Progress | None = None) -> Path:
    """Return the path of a pinned npm package's tarball, downloading it once if it must be; raises ToolchainError."""
    return _find(package_pin(name), progress)


def registry_for(package: str) -> str:
    """Return which npm registry `package` comes from, as npm itself would: environment, ./.npmrc, ~/.npmrc."""
    # Companies mirror the registry; where npm works, this should.
    for variable in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        if value := os.environ.get(variable, "").strip():
            return value
    scope = package.partition("/")[0]
    for npmrc in (Path(".npmrc"), Path.home() / ".npmrc"):
        settings = _npmrc(npmrc)
        if found := settings.get(f"{scope}:registry") or settings.get("registry"):
            return found
    return PUBLIC_REGISTRY


def cache_dir() -> Path:
    """Return where downloaded programs are kept."""
    return platformdirs.user_cache_path("notebook-do", appauthor=False)


def _npmrc(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}  # npm too goes on without a file that it cannot read
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and line.lstrip()[0] not in "#;")
    return {key.strip(): os.path.expandvars(value.strip().strip("\"'")) for key, _, value in pairs}


def _find(pin: Pin, progress: Progress | None) -> Path:
    if override := os.environ.get(pin.variable):
        return _usable(Path(override).expanduser(), pin)
    binary = _place(pin)
    folder = binary.parent
    if _is_whole(binary):
        return binary
    # Before the download: what does not start on this system need not be fetched.
    _check_glibc(pin)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Asked again under the lock: another process may have fetched it meanwhile.
        with _exclusive(folder / "lock"):
            if not _is_whole(binary):
                _install(pin, binary, progress)
    except OSError as error:
        raise ToolchainError(
            f"{pin.program} {pin.version} cannot be kept in {folder}: {error.strerror or error};"
            f" set {pin.variable} to a {pin.what}."
        ) from None
    return binary


def _place(pin: Pin) -> Path:
    """Return where in the cache a program is, or will be."""
    return cache_dir() / f"{pin.program}-{pin.version}-{pin.package.rpartition('/')[2]}" / pin.file_name


def _usable(path: Path, pin: Pin) -> Path:
    if not path.is_file() or not os.access(path, os.X_OK if pin.member else os.R_OK):
        what = "an executable file" if pin.member else "a file"
        raise ToolchainError(f"{pin.variable} is {str(path)!r}, which is not {what}; correct or unset it.")
    return path.resolve()


def _check_glibc(pin: Pin) -> None:
    if pin.glibc is None:
        return
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except ValueError:
        name, version = "", ""
    needed = ".".join(map(str, pin.glibc))
    advice = (
        f"use a newer system (Debian 12, Ubuntu 22.04) or set {pin.variable} to a {pin.program} built for this one."
    )
    if name != "glibc":
        raise ToolchainError(
            f"{pin.program} {pin.version} needs glibc {needed} and this system has another C library; {advice}"
        )
    if tuple(map(int, version.split(".")[:2])) < pin.glibc:
        raise ToolchainError(
            f"{pin.program} {pin.version} needs glibc {needed} and this system has {version}; {advice}"
        )


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time download; the second finds the first one's work."""
    with path.open("w") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _stamp(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ino


def _is_whole(binary: Path) -> bool:
    """Say whether the cached binary is still what was unpacked.

    Hashing takes up to half a second for workerd, so the hash is only compared when size, time or inode changed.
    """
    note = binary.with_name(f"{binary.name}.json")
    try:
        # Size, time and inode together: a copy in place of the file changes the inode even where the time was kept.
        stamp = _stamp(binary)
        if _verified.get(binary) == stamp:
            return True
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] != list(stamp):
            if known["sha256"] != _sha256(binary):
                return False
            _write(note, json.dumps({"sha256": known["sha256"], "stamp": stamp}).encode())
    except (OSError, ValueError, KeyError, TypeError):
        return False  # not there, or its note is unreadable: it is fetched anew
    _verified[binary] = stamp
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Put a small file in place at once."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def _install(pin: Pin, binary: Path, progress: Progress | None) -> None:
    with tempfile.TemporaryFile(dir=binary.parent) as tarball:
        _download(pin, tarball, progress)
        tarball.seek(0)
        with tempfile.NamedTemporaryFile(dir=binary.parent, delete=False) as file:
            fresh = Path(file.name)
            try:
                _unpack(pin, tarball, file)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                fresh.unlink()
                raise
    fresh.chmod(0o755)
    # The note is written last: without it, or with another hash in it, the binary is fetched anew.
    digest = _sha256(fresh)
    fresh.replace(binary)
    _write(binary.with_name(f"{binary.name}.json"), json.dumps({"sha256": digest, "stamp": _stamp(binary)}).encode())
    _verified[binary] = _stamp(binary)


def _download(pin: Pin, target: IO[bytes], progress: Progress | None) -> None:
    """Fetch the tarball into `target`; raises ToolchainError unless it is exactly the pinned one."""
    import httpx  # a quarter of what a server loads when it starts; it is there for this download alone

    registry = registry_for(pin.package)
    place = urlsplit(registry).hostname or registry
    digest = hashlib.sha512()
    done = 0
    try:
        with httpx.stream("GET", pin.url(registry), follow_redirects=True, timeout=30) as answer:
            if not answer.is_success:
                raise _unreachable(pin, place, f"answered {answer.status_code} for {pin.package} {pin.version}")
            # iter_raw: npm's tarballs are gzip by themselves, and must not be unpacked by the client as an encoding.
            total = int(answer.headers.get("content-length", 0))
            for chunk in answer.iter_raw(_CHUNK):
                done += len(chunk)
                if done > TARBALL_LIMIT:
                    raise _unreachable(pin, place, "sent more than this tarball can be")
                digest.update(chunk)
                target.write(chunk)
                if progress is not None:
                    progress(done, total)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise _unreachable(pin, place, f"cannot be reached: {str(error) or type(error).__name__}") from None
    if "sha512-" + base64.b64encode(digest.digest()).decode() != pin.integrity:
        raise _unreachable(pin, place, "sent other bytes than the pinned ones; nothing was unpacked")


def _unreachable(pin: Pin, place: str, what: str) -> ToolchainError:
    return ToolchainError(
        f"{pin.program} {pin.version} is needed once and could not be downloaded: the npm registry {place} {what};"
        f" connect and try again, or set {pin.variable} to a {pin.what}."
    )


def _unpack(pin: Pin, tarball: IO[bytes], target: IO[bytes]) -> None:
    """Copy the one member that is wanted, or all of it; no name in the archive is ever used as a path."""
    if not pin.member:
        shutil.copyfileobj(tarball, target, _CHUNK)
        return
    with tarfile.open(fileobj=tarball, mode="r:gz") as archive:
        for member in archive:
            if member.name == pin.member and member.isreg() and member.size <= BINARY_LIMIT:
                source = archive.extractfile(member)
                if source is not None:
                    shutil.copyfileobj(source, target, _CHUNK)
                    return
    raise ToolchainError(f"the package {pin.package} {pin.version} holds no {pin.member}; set {pin.variable}.")
