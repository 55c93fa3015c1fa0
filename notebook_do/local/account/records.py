"""What the account keeps: scripts, versions and deployments as frozen values, and its files.

The bytes of modules and assets lie under their digest, never under a name that a user wrote, and are on the disk before
any record refers to them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.errors import TargetError
from notebook_do.local.runtime.spec import (
    OLDEST_DATE,
    Export,
    HostedNamespace,
    ModuleFile,
    ProbeReport,
    RunnableWorker,
    StaticSite,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from notebook_do.local.rules.namespaces import AccountNamespace


SECRET_TYPES = frozenset({"secret_text", "secret_key"})
NOT_PROBED = ProbeReport(exports=(), default_handlers=(), startup_ms=0)
DEFERRED = {"mode": "deferred", "max_delay": 300}  # the strategy of a deployment that names none
_SECRET_FIELDS = frozenset({"text", "key_base64", "key_jwk"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModule:
    """One module of a version; `Blobs` has its content under its digest."""

    name: str
    content_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What runs: modules, entry, compatibility; and what a probe found in it."""

    main_module: str
    modules: tuple[StoredModule, ...]
    compatibility_date: str = OLDEST_DATE
    compatibility_flags: tuple[str, ...] = ()
    report: ProbeReport = NOT_PROBED

    def content_digest(self) -> str:
        """Return one digest over the entry and all modules; `./` before a name changes nothing for who imports it."""
        modules = sorted((m.name.removeprefix("./"), m.content_type, m.digest) for m in self.modules)
        text = json.dumps([self.main_module.removeprefix("./"), modules])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One immutable version of a script."""

    id: str
    number: int
    created_on: str
    source: str
    code: Code
    etag: str
    bindings: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    exports: dict[str, Any] | None = None
    migration_tag: str | None = None
    lifecycle: int = 0
    """The script's count of class lifecycle changes when this was made: one with another count cannot be deployed."""
    assets: dict[str, Any] | None = None  # `files` by path (digest, type, hash), and their `config`
    options: dict[str, Any] = field(default_factory=dict)
    """Everything else of the metadata that reads return: limits, placement, annotations, usage_model, ..."""

    def to_json(self) -> str:
        """Encode for the database."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Version:
        """Decode from the database."""
        raw = json.loads(text)
        code, report = raw["code"], raw["code"]["report"]
        report["exports"] = tuple(Export(**{**e, "handlers": tuple(e["handlers"])}) for e in report["exports"])
        report["default_handlers"] = tuple(report["default_handlers"])
        code["modules"] = tuple(StoredModule(**module) for module in code["modules"])
        code["compatibility_flags"] = tuple(code["compatibility_flags"])
        code["report"] = ProbeReport(**report)
        return cls(**{**raw, "code": Code(**code), "bindings": tuple(raw["bindings"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Which versions serve, in percent; the newest of a script is the active one."""

    id: str
    created_on: str
    source: str
    versions: tuple[tuple[str, float], ...]
    annotations: dict[str, str] = field(default_factory=dict)
    code_update_strategy: dict[str, Any] = field(default_factory=lambda: dict(DEFERRED))
    """How running objects are handed over to new code; kept and returned, as here they are handed over at once."""

    @property
    def serving(self) -> str:
        """The version that runs here, where nothing is split: the one with the largest share, the first of several."""
        return max(self.versions, key=lambda share: share[1])[0]

    def to_json(self) -> str:
        """Encode for the database."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """Decode from the database."""
        raw = json.loads(text)
        return cls(**{**raw, "versions": tuple((version, share) for version, share in raw["versions"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a script is besides its versions."""

    name: str
    tag: str
    created_on: str
    modified_on: str
    last_deployed_from: str = "api"
    declarative: bool = False
    migration_tag: str | None = None
    lifecycle: int = 0
    next_number: int = 1
    subdomain: bool = False
    previews: bool = False
    settings: dict[str, Any] = field(default_factory=dict)  # logpush, observability, tags, tail_consumers

    def to_json(self) -> str:
        """Encode for the database."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Script:
        """Decode from the database."""
        return cls(**json.loads(text))


def public_binding(binding: dict[str, Any]) -> dict[str, Any]:
    """Return a binding as reads show it: no secret text, ever."""
    if binding.get("type") in SECRET_TYPES:
        return {key: value for key, value in binding.items() if key not in _SECRET_FIELDS}
    return dict(binding)


UPGRADES = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE script (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE version (id TEXT PRIMARY KEY, script TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL)
        WITHOUT ROWID;
    CREATE UNIQUE INDEX version_of ON version (script, number);
    CREATE TABLE module (version TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (version, digest)) WITHOUT ROWID;
    CREATE INDEX module_digest ON module (digest);
    CREATE TABLE deployment (serial INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, script TEXT NOT NULL,
        body TEXT NOT NULL);
    CREATE INDEX deployment_of ON deployment (script, serial);
    CREATE TABLE namespace (id TEXT PRIMARY KEY, script TEXT NOT NULL, class_name TEXT NOT NULL,
        sqlite INTEGER NOT NULL, UNIQUE (script, class_name)) WITHOUT ROWID;
    CREATE TABLE doomed (namespace_id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE schedule (script TEXT NOT NULL, cron TEXT NOT NULL, created_on TEXT NOT NULL,
        PRIMARY KEY (script, cron)) WITHOUT ROWID;
    """,
)
"""The schema, step by step; the number of steps that were taken is the file's `user_version`."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database and bring its schema up to date; a file of a newer program is left alone."""
    db = sqlite3.connect(path, isolation_level=None)
    path.chmod(0o600)  # secrets are in it
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # what was answered outlives a power cut too
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        db.close()
        raise TargetError(f"{path} cannot be read ({error}): move it away to start with an empty account") from None
    if found > len(UPGRADES):  # left as it is: an older program would not keep what it does not know
        db.close()
        raise TargetError(
            f"{path} was written by a newer notebook_do: update notebook_do or use another data directory"
        )
    for number, script in enumerate(UPGRADES[found:], start=found + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
    return db


_CHUNK = 1 << 20


class IncomingFile:
    """One part of an upload on its way to the disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._digest = hashlib.sha256()
        # O_EXCL: a planted link of the same name is never followed.
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._digest.update(data)
        self._file.write(data)
        self.size += len(data)

    def finish(self) -> str:
        """Bring the bytes to the disk and return their digest."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the file; one that was kept meanwhile has another name."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Blobs:
    """The directory of module contents, `modules/<first two hex digits>/<digest>`."""

    def __init__(self, data: Path) -> None:
        self._root, self._incoming = data / "modules", data / "incoming"
        for directory in (self._root, self._incoming):
            directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return the file of one content."""
        return self._root / digest[:2] / digest

    def receive(self) -> IncomingFile:
        """Begin a file whose digest is not known yet."""
        return IncomingFile(self._incoming / secrets.token_hex(16))

    def keep(self, incoming: IncomingFile) -> str:
        """Move a received file to its lasting name; returns the digest."""
        digest = incoming.finish()
        path = self.path(digest)
        if path.exists():
            incoming.discard()
            return digest
        path.parent.mkdir(mode=0o700, exist_ok=True)
        incoming.path.rename(path)
        _sync_directory(path.parent)  # the new name, and the name of its folder, which may be new as well
        _sync_directory(self._root)
        return digest

    def store(self, content: bytes) -> str:
        """Keep bytes that are in memory already."""
        incoming = self.receive()
        incoming.write(content)
        return self.keep(incoming)

    def sweep(self, wanted: Iterable[str], *, incoming: bool = False) -> int:
        """Remove contents that no record refers to, and with `incoming` half-received files; returns how many.

        Only while no upload keeps contents, and `incoming` only while none receives any.
        """
        keep = set(wanted)
        unknown = [path for path in self._root.glob("*/*") if path.name not in keep]
        gone = [*unknown, *(self._incoming.iterdir() if incoming else ())]
        for path in gone:
            path.unlink()
        return len(gone)

    def drop(self, digests: Iterable[str]) -> None:
        """Remove contents that no record refers to any more."""
        for digest in digests:
            self.path(digest).unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def runnable(blobs: Blobs, name: str, version: Version, namespaces: Iterable[AccountNamespace]) -> RunnableWorker:
    """Make a version with present labels ready to run, hosting `namespaces`.

    Its name for the runtime covers these and its bindings: a rename or transfer makes no new version, and yet another
    process must run.
    """
    hosted = tuple(
        HostedNamespace(namespace_id=n.id, class_name=n.class_name, sqlite=n.sqlite)
        for n in sorted(namespaces, key=lambda n: n.id)  # another order is not another Worker
    )
    identity = json.dumps([version.id, [(h.namespace_id, h.class_name) for h in hosted], version.bindings])
    return RunnableWorker(
        name=name,
        version=f"{version.id}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
        main_module=version.code.main_module,
        modules=tuple(
            ModuleFile(name=m.name, content_type=m.content_type, path=blobs.path(m.digest))
            for m in version.code.modules
        ),
        bindings=version.bindings,
        namespaces=hosted,
        compatibility_date=version.code.compatibility_date,
        compatibility_flags=version.code.compatibility_flags,
        assets=None if version.assets is None else _site(blobs, version.assets),
    )


def _site(blobs: Blobs, assets: Mapping[str, Any]) -> StaticSite:
    """Make what a version keeps of its static assets ready to be served."""
    files = {path: blobs.path(file["digest"]) for path, file in assets["files"].items()}
    return StaticSite(files=files, config=assets["config"])


def followed(version: Version, script: str, namespaces: Mapping[str, AccountNamespace]) -> Version:
    """Return a version whose Durable Object bindings carry the present labels of their namespaces.

    A rename or transfer does not touch the versions of the Workers that bind the namespace; their bindings follow it.
    One whose namespace is gone stays as it was uploaded.
    """
    return replace(version, bindings=tuple(_follow(b, script, namespaces) for b in version.bindings))


def _follow(binding: dict[str, Any], script: str, namespaces: Mapping[str, AccountNamespace]) -> dict[str, Any]:
    namespace = namespaces.get(binding.get("namespace_id", ""))
    if binding["type"] != "durable_object_namespace" or namespace is None:
        return binding
    rest = {key: value for key, value in binding.items() if key != "script_name"}
    host = {} if namespace.script == script else {"script_name": namespace.script}
    return {**rest, "class_name": namespace.class_name, **host}
