"""What the account keeps: scripts, versions and deployments as frozen values, and the database that they lie in."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.errors import TargetError
from notebook_do.local.account.workflows import hosted as hosted_workflows
from notebook_do.local.account.workflows import tied
from notebook_do.local.runtime.spec import (
    OLDEST_DATE,
    Export,
    HostedNamespace,
    ModuleFile,
    ProbeReport,
    RunnableWorker,
    StaticSite,
    is_of_account,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from notebook_do.local.account.blobs import Blobs
    from notebook_do.local.account.workflows import Workflow
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
class ScriptCode:
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
    code: ScriptCode
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
        return cls(**{**raw, "code": ScriptCode(**code), "bindings": tuple(raw["bindings"])})


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


def content_digests(code: ScriptCode, assets: Mapping[str, Any] | None) -> set[str]:
    """Return the digests of all contents of a version: its modules, and its static assets."""
    files = {} if assets is None else assets["files"]
    return {module.digest for module in code.modules} | {file["digest"] for file in files.values()}


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
    "CREATE TABLE workflow (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;",
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


def runnable(
    blobs: Blobs,
    name: str,
    version: Version,
    namespaces: Iterable[AccountNamespace],
    workflows: Mapping[str, Workflow] | None = None,
) -> RunnableWorker:
    """Make a version with present labels ready to run, hosting `namespaces`; `workflows` are those of the account.

    Its name for the runtime covers these and its bindings: a rename or transfer makes no new version, and yet another
    process must run.
    """
    without = {export.name for export in version.code.report.exports if export.kind in {"class", "function"}}
    hosted = tuple(
        HostedNamespace(namespace_id=n.id, class_name=n.class_name, sqlite=n.sqlite, rpc=n.class_name not in without)
        for n in sorted(namespaces, key=lambda n: n.id)  # another order is not another Worker
    )
    flows = hosted_workflows(workflows or {}, name, version)
    bindings = tied(version.bindings, name, workflows or {})
    spaces, engines = [(h.namespace_id, h.class_name) for h in hosted], [asdict(flow) for flow in flows]
    identity = json.dumps([version.id, spaces, engines, bindings])
    return RunnableWorker(
        name=name,
        version=f"{version.id}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
        main_module=version.code.main_module,
        modules=tuple(
            ModuleFile(name=m.name, content_type=m.content_type, path=blobs.path(m.digest))
            for m in version.code.modules
        ),
        bindings=bindings,
        namespaces=hosted,
        workflows=flows,
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
    if not is_of_account(binding) or namespace is None:
        return binding
    rest = {key: value for key, value in binding.items() if key != "script_name"}
    host = {} if namespace.script == script else {"script_name": namespace.script}
    return {**rest, "class_name": namespace.class_name, **host}


def bound_namespaces(version: Version) -> list[str]:
    """List the ids of the namespaces that a version binds."""
    return [b["namespace_id"] for b in _object_bindings(version) if "namespace_id" in b]


def bound_names(version: Version, script: str) -> list[tuple[str, str]]:
    """List the (script, class) that a version binds, by the names that it was uploaded with."""
    return [(b.get("script_name") or script, str(b.get("class_name"))) for b in _object_bindings(version)]


def _object_bindings(version: Version) -> list[dict[str, Any]]:
    return [binding for binding in version.bindings if is_of_account(binding)]
