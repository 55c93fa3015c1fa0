"""What the account remembers: scripts, versions and deployments as frozen values, and how a version runs now."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.spec import Export, HostedNamespace, ModuleFile, ProbeReport, RunnableWorker, StaticSite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.local.account.files import Blobs
    from notebook_do.local.rules.namespaces import AccountNamespace

SECRET_TYPES = frozenset({"secret_text", "secret_key"})
NOT_PROBED = ProbeReport(exports=(), default_handlers=(), startup_ms=0)
DEFERRED = {"mode": "deferred", "max_delay": 300}
"""The strategy of a deployment that names none."""
_SECRET_FIELDS = frozenset({"text", "key_base64", "key_jwk"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModule:
    """One module of a version; its content lies in `blobs.Blobs` under its digest."""

    name: str
    content_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What runs: modules, entry, compatibility; and what a probe found in it."""

    main_module: str
    modules: tuple[StoredModule, ...]
    compatibility_date: str = "2021-11-02"
    compatibility_flags: tuple[str, ...] = ()
    report: ProbeReport = NOT_PROBED

    def content_digest(self) -> str:
        """One digest over the entry and all modules; `./` before a name changes nothing for those who import it."""
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
    """The script's count of class lifecycle changes when this was made: older ones cannot be deployed again."""
    assets: dict[str, Any] | None = None
    """Static assets: `files` by path (digest, type, hash) and their `config`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Everything else of the metadata that reads give back: limits, placement, annotations, usage_model, ..."""

    def to_json(self) -> str:
        """Encode for the database."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Version:
        """Decode from the database."""
        raw = json.loads(text)
        code = raw.pop("code")
        report = code.pop("report")
        exports = tuple(Export(**{**e, "handlers": tuple(e["handlers"])}) for e in report.pop("exports"))
        return cls(
            code=Code(
                main_module=code["main_module"],
                modules=tuple(StoredModule(**m) for m in code["modules"]),
                compatibility_date=code["compatibility_date"],
                compatibility_flags=tuple(code["compatibility_flags"]),
                report=ProbeReport(
                    exports=exports,
                    default_handlers=tuple(report["default_handlers"]),
                    startup_ms=report["startup_ms"],
                ),
            ),
            **{**raw, "bindings": tuple(raw["bindings"])},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Which versions serve, in percent; the newest of a script is the active one."""

    id: str
    created_on: str
    source: str
    versions: tuple[tuple[str, float], ...]
    annotations: dict[str, str] = field(default_factory=dict)
    code_update_strategy: dict[str, Any] = field(default_factory=lambda: dict(DEFERRED))
    """How running objects are handed over to new code; kept and given back, as here they are handed over at once."""

    @property
    def serving(self) -> str:
        """The version that runs here: the one with the largest share."""
        return max(self.versions, key=lambda share: share[1])[0]


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
    settings: dict[str, Any] = field(default_factory=dict)
    """Non-versioned settings: logpush, observability, tags, tail_consumers."""

    def to_json(self) -> str:
        """Encode for the database."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Script:
        """Decode from the database."""
        return cls(**json.loads(text))


def public_binding(binding: dict[str, Any]) -> dict[str, Any]:
    """Give a binding as reads show it: no secret text, ever."""
    if binding.get("type") in SECRET_TYPES:
        return {key: value for key, value in binding.items() if key not in _SECRET_FIELDS}
    return dict(binding)


def bound_namespaces(version: Version) -> list[str]:
    """Ids of the namespaces that a version binds."""
    return [
        b["namespace_id"] for b in version.bindings if b["type"] == "durable_object_namespace" and "namespace_id" in b
    ]


def bound_names(version: Version, script: str) -> list[tuple[str, str]]:
    """Give the (script, class) that a version binds, by the names that it was uploaded with."""
    bindings = (b for b in version.bindings if b["type"] == "durable_object_namespace")
    return [(b.get("script_name") or script, str(b.get("class_name"))) for b in bindings]


def runnable(blobs: Blobs, name: str, version: Version, namespaces: Iterable[AccountNamespace]) -> RunnableWorker:
    """Make a version with present labels ready to run, hosting `namespaces`."""
    hosted = tuple(
        HostedNamespace(namespace_id=n.id, class_name=n.class_name, sqlite=n.sqlite)
        for n in sorted(namespaces, key=lambda n: n.id)
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
    """Read what a version keeps of its static assets."""
    files = {path: blobs.path(file["digest"]) for path, file in assets["files"].items()}
    return StaticSite(files=files, config=assets["config"])


def followed(version: Version, script: str, namespaces: Mapping[str, AccountNamespace]) -> Version:
    """Give a version whose Durable Object bindings carry the present labels of their namespaces.

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
