"""The words: what a user declares, what it resolves to, what is recorded and what is observed.

Only frozen values without behaviour that reaches outside. `Namespace` and `Worker` are what a person writes;
`Desired` is what they resolve to; `Recorded` is the state file; `Observed` is what the target answered.
The rule kept here: a namespace is its namespace id. Class names, binding names and Worker names are labels.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NewType

from notebook_do.errors import CredentialError, DeclarationError

StableId = NewType("StableId", str)
NamespaceId = NewType("NamespaceId", str)
MigrationTag = NewType("MigrationTag", str)

Lifecycle = Literal["exports", "migrations"]
Target = Literal["local", "cloudflare"]


class Storage(StrEnum):
    """How the objects of a namespace are stored; fixed for its life."""

    SQLITE = "sqlite"
    KV = "kv"


class ModuleKind(StrEnum):
    """What a module of a Worker is; the value is only our word, wire.py knows the content type."""

    ESM = "esm"
    COMMONJS = "commonjs"
    PYTHON = "python"
    WASM = "wasm"
    TEXT = "text"
    DATA = "data"
    JSON = "json"
    SOURCE_MAP = "source-map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file of a Worker."""

    name: str
    content: bytes = field(repr=False)
    kind: ModuleKind = ModuleKind.ESM


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place in a notebook that a declaration came from; it never takes part in equality."""

    cell: str | None = None
    line: int = 1
    body_line: int | None = None
    """The cell's 1-based line on which the script's first line stands, or None when it is not in the cell."""


# --- what a binding can be declared as -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceBinding:
    """A Durable Object namespace; `through` is the Worker id it was taken from (`worker.bindings.NAME`)."""

    stable_id: StableId
    through: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainText:
    """A string in `env`."""

    text: str


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value in `env`; kept as canonical text, so that equal values are equal bindings."""

    text: str

    def __init__(self, value: Any) -> None:
        """Take any JSON value; raises DeclarationError for one that JSON cannot carry (NaN included)."""
        try:
            text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise DeclarationError(f"this is not a JSON value: {error}") from None
        object.__setattr__(self, "text", text)

    @property
    def value(self) -> Any:
        """Give the value back."""
        return json.loads(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret binding's value comes from at deploy time; the value itself is never held.

    Use `Secret.from_env("NAME")`.
    """

    source: Literal["env"]
    key: str

    @classmethod
    def from_env(cls, key: str) -> Secret:
        """Read the value from the environment variable `key` when the Worker is uploaded."""
        return cls(source="env", key=key)

    def reveal(self) -> str:
        """Read the value; only cloudflare/wire.py calls this. Raises CredentialError if it is not set."""
        value = os.environ.get(self.key)
        if value is None:
            raise CredentialError(f"secret binding: the environment variable {self.key} is not set; set it and plan again.")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBinding:
    """Another Worker; `worker` is a declared Worker's id or the name of a live script."""

    worker: str
    entrypoint: str | None = None
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Any other resource, by Cloudflare's own binding type and fields (kept as canonical JSON)."""

    type: str
    fields: Json


BindingValue = NamespaceBinding | PlainText | Json | Secret | ServiceBinding | Resource


def KV(namespace_id: str) -> Resource:  # noqa: N802 - reads like the binding it declares
    """Bind a KV namespace by its id."""
    return Resource(type="kv_namespace", fields=Json({"namespace_id": namespace_id}))


def R2(bucket_name: str, *, jurisdiction: str | None = None) -> Resource:  # noqa: N802
    """Bind an R2 bucket by its name."""
    extra = {"jurisdiction": jurisdiction} if jurisdiction else {}
    return Resource(type="r2_bucket", fields=Json({"bucket_name": bucket_name, **extra}))


def D1(database_id: str) -> Resource:  # noqa: N802
    """Bind a D1 database by its id."""
    return Resource(type="d1", fields=Json({"id": database_id}))


def Queue(queue_name: str) -> Resource:  # noqa: N802
    """Bind a queue as a producer, by its name."""
    return Resource(type="queue", fields=Json({"queue_name": queue_name}))


# --- what a person declares ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Namespace:
    """A declared Durable Object namespace; `id` is the stable ID, its permanent name.

    `sqlite=None` is SQLite for a new namespace and "as it is" for a live one. `protect` must be lifted before
    the namespace can be destroyed.
    """

    id: StableId
    class_name: str = field(kw_only=True)
    sqlite: bool | None = field(default=None, kw_only=True)
    script_name: str | None = field(default=None, kw_only=True)
    environment: str | None = field(default=None, kw_only=True)
    namespace_id: NamespaceId | None = field(default=None, kw_only=True)
    renamed_from: StableId | None = field(default=None, kw_only=True)
    transferred_from: str | None = field(default=None, kw_only=True)
    protect: bool = field(default=True, kw_only=True)
    where: Where | None = field(default=None, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBinding:
    """`worker.bindings.NAME`: a binding of one Worker, to be used in another."""

    worker: str
    name: str
    value: BindingValue


class Bindings(Mapping[str, BindingValue]):
    """A Worker's bindings by name; attribute access gives a binding to share with another Worker."""

    __slots__ = ("_items", "_worker")

    def __init__(self, worker: str, items: Mapping[str, BindingValue]) -> None:
        """Hold `items` sorted by name."""
        self._worker = worker
        self._items = dict(sorted(items.items()))

    def __getitem__(self, name: str) -> BindingValue:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getattr__(self, name: str) -> SharedBinding:
        if name.startswith("__") or name not in self._items:
            known = ", ".join(self._items) or "none"
            raise AttributeError(f"Worker {self._worker!r} has no binding {name!r}; its bindings: {known}.")
        return SharedBinding(worker=self._worker, name=name, value=self._items[name])

    def __dir__(self) -> list[str]:
        return [*self._items, *super().__dir__()]

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


@dataclass(frozen=True, slots=True)
class Worker:
    """A declared Worker. `script` is the source of its main module, `entrypoint` a file instead of it.

    `name` is the script name on Cloudflare; default: the id, with `-<stage>` appended for any stage but
    `production`. `options` holds what is passed through: observability, placement, limits, logpush.
    """

    id: str
    name: str | None = field(default=None, kw_only=True)
    script: str | None = field(default=None, kw_only=True, repr=False)
    entrypoint: str | None = field(default=None, kw_only=True)
    modules: tuple[Module, ...] = field(default=(), kw_only=True, repr=False)
    lang: Literal["js", "ts", "py"] = field(default="js", kw_only=True)
    bindings: Bindings = field(kw_only=True)
    compatibility_date: str | None = field(default=None, kw_only=True)
    compatibility_flags: tuple[str, ...] = field(default=(), kw_only=True)
    url: bool = field(default=True, kw_only=True)
    crons: tuple[str, ...] = field(default=(), kw_only=True)
    options: Json = field(default=Json({}), kw_only=True)
    adopt: bool = field(default=False, kw_only=True)
    lifecycle: Literal["auto", "exports", "migrations"] = field(default="auto", kw_only=True)
    where: Where | None = field(default=None, kw_only=True, compare=False, repr=False)


Declaration = Namespace | Worker


# --- bindings of one script, names resolved --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassBinding:
    """A Durable Object binding of a script. `script_name` is None when the script itself hosts the class."""

    name: str
    class_name: str
    script_name: str | None = None
    environment: str | None = None
    namespace_id: NamespaceId | None = None
    stable_id: StableId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueBinding:
    """Any other binding of a script: plain text, JSON, secret, service or resource."""

    name: str
    value: PlainText | Json | Secret | ServiceBinding | Resource


ScriptBinding = ClassBinding | ValueBinding


# --- desired ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredNamespace:
    """A namespace that should exist, its host resolved.

    `host` is the id of the declared Worker that hosts it; None when `script_name` names a script that is not
    declared here (it then must be live). `script_name` is always the host's script name.
    """

    stable_id: StableId
    class_name: str
    script_name: str
    host: str | None
    storage: Storage | None = None
    environment: str | None = None
    namespace_id: NamespaceId | None = None
    renamed_from: StableId | None = None
    transferred_from: str | None = None
    protect: bool = True
    where: Where | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredWorker:
    """A Worker that should exist. `script_name` is its name on Cloudflare; bindings are sorted by name."""

    id: str
    script_name: str
    main_module: str
    modules: tuple[Module, ...] = field(repr=False)
    bindings: tuple[ScriptBinding, ...]
    content_digest: str
    compatibility_date: str | None = None
    compatibility_flags: tuple[str, ...] = ()
    url: bool = True
    crons: tuple[str, ...] = ()
    options: Json = field(default=Json({}))
    adopt: bool = False
    lifecycle: Literal["auto", "exports", "migrations"] = "auto"
    where: Where | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything declared, in one order whatever the order of the cells: by stable ID, by Worker id.

    `destroy` holds the stable IDs and Worker ids that the user asked to delete, explicitly.
    """

    session: str
    stage: str
    namespaces: tuple[DesiredNamespace, ...] = ()
    workers: tuple[DesiredWorker, ...] = ()
    destroy: tuple[str, ...] = ()


# --- recorded --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWorker:
    """What the state file knows of a Worker."""

    id: str
    script_name: str
    etag: str | None = None
    lifecycle: Lifecycle | None = None
    migration_tag: MigrationTag | None = None
    content_digest: str | None = None
    settings_digest: str | None = None
    """Digest of everything else that was uploaded (bindings, compatibility, options, url, crons); planner's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedNamespace:
    """What the state file knows of a namespace; `class_history` lists its class names, oldest first."""

    stable_id: StableId
    namespace_id: NamespaceId
    script_name: str
    class_name: str
    storage: Storage
    protected: bool = True
    class_history: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """A namespace that was destroyed; kept for ever. `at` is display only (ISO 8601, UTC)."""

    stable_id: StableId
    namespace_id: NamespaceId
    class_name: str
    script_name: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The state file's content. `account_id` and `api_origin` bind it to one target; None until first used."""

    lineage: str
    serial: int = 0
    account_id: str | None = None
    api_origin: str | None = None
    workers: tuple[RecordedWorker, ...] = ()
    namespaces: tuple[RecordedNamespace, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()


# --- observed --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedScript:
    """A live script. `bindings` is None when its settings were not read (only lists were).

    `lifecycle` is "exports" when the script was deployed with `exports`, "migrations" when it has a migration
    tag, None when it shows neither.
    """

    name: str
    etag: str | None = None
    tag: str | None = None
    lifecycle: Lifecycle | None = None
    migration_tag: MigrationTag | None = None
    tags: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    modified_on: str | None = None
    last_deployed_from: str | None = None
    split: bool = False
    bindings: tuple[ScriptBinding, ...] | None = None
    compatibility_date: str | None = None
    compatibility_flags: tuple[str, ...] = ()
    url: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNamespace:
    """A live namespace: what Cloudflare's namespace list says of it today."""

    namespace_id: NamespaceId
    script_name: str
    class_name: str
    storage: Storage
    objects: int | None = None
    """How many objects are stored, where that was asked; None: not asked or not known."""
    objects_more: bool = False
    """True when `objects` is only a lower bound (the list went on)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is live in one account, sorted by name and by namespace id."""

    account_id: str
    api_origin: str
    scripts: tuple[ObservedScript, ...] = ()
    namespaces: tuple[ObservedNamespace, ...] = ()


# --- class migrations: data ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClass:
    """A namespace begins."""

    stable_id: StableId
    class_name: str
    storage: Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameClass:
    """A namespace gets another class name and keeps its objects."""

    stable_id: StableId
    namespace_id: NamespaceId
    from_class: str
    to_class: str
    storage: Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferClass:
    """A namespace moves to another script and keeps its objects; sent with the destination's upload.

    In the `exports` form the source script's upload commits it: see `TransferredAway`.
    """

    stable_id: StableId
    namespace_id: NamespaceId
    from_script: str
    from_class: str
    to_class: str
    storage: Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferredAway:
    """The source side of a transfer in the `exports` form."""

    stable_id: StableId
    namespace_id: NamespaceId
    class_name: str
    to_script: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteClass:
    """A namespace ends, with all its objects."""

    stable_id: StableId
    namespace_id: NamespaceId
    class_name: str
    storage: Storage


ClassMigration = CreateClass | RenameClass | TransferClass | TransferredAway | DeleteClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """The class migrations of one upload, in the order in which they apply, and how they go on the wire.

    `classes` are the (class name, storage) pairs that the script hosts after the upload, sorted: the `exports`
    form declares them all each time. Tags belong to the `migrations` form only.
    """

    wire: Lifecycle
    class_migrations: tuple[ClassMigration, ...] = ()
    classes: tuple[tuple[str, Storage], ...] = ()
    old_tag: MigrationTag | None = None
    new_tag: MigrationTag | None = None
