"""The three states: desired (what declarations resolve to), recorded (the state file), observed (what is live)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.model.declared import Json, PlainText, Resource, Secret, ServiceBinding, written
from notebook_do.model.words import LATER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from notebook_do.model.inspectors import Inspector
    from notebook_do.model.settings import StaticAssets
    from notebook_do.model.source import BundledSource
    from notebook_do.model.triggers import ObservedTrigger, Trigger
    from notebook_do.model.words import Inspect, Lifecycle, MigrationTag, Module, NamespaceId, StableId, Storage, Where

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

    def __repr__(self) -> str:
        return f"ValueBinding(name={self.name!r}, value={written(self.name, self.value)})"


ScriptBinding = ClassBinding | ValueBinding
# A GET never has a value of these, only their type and name.
_LIVE_SECRETS = frozenset({"secret_text", "secret_key"})


def is_secret(binding: ScriptBinding) -> bool:
    """Say whether a binding is a secret: a live one shows no source, and is known by its type alone."""
    if isinstance(binding, ClassBinding):
        return False
    value = binding.value
    return isinstance(value, Secret) or (isinstance(value, Resource) and value.type in _LIVE_SECRETS)


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
    inspect: Inspect = field(default=False, metadata={LATER: True})
    # Returns how it is declared with other values of some fields, in its form: a way out of a refusal.
    again: Callable[[Mapping[str, Any]], str] | None = field(default=None, compare=False, repr=False)
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
    previews: bool | None = None
    crons: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    assets: StaticAssets | None = None
    options: Json = field(default=Json({}))
    adopt: bool = False
    # A live Worker keeps its form unless it is asked to change: from `exports` there is no way back.
    lifecycle: Literal["auto", "exports", "migrations"] = "auto"
    inspector: Inspector | None = field(default=None, metadata={LATER: True})
    """Of whom it is the inspector; None for every Worker that somebody declared."""
    own_main: str | None = field(default=None, metadata={LATER: True})
    """The main module of its source, where one of ours stands before it."""
    again: Callable[[Mapping[str, Any]], str] | None = field(default=None, compare=False, repr=False)
    where: Where | None = field(default=None, compare=False, repr=False)
    # Both follow from the modules or are only told, so that no digest covers them.
    exports: tuple[str, ...] | None = field(default=None, compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    source: str = field(default="", compare=False, repr=False)
    """What its source is, in words: `12 lines of JavaScript`, `file desk.ts`."""
    bundled: bool = field(default=False, compare=False, repr=False)
    sources: tuple[BundledSource, ...] = field(default=(), compare=False, repr=False)
    """What it is bundled from, to show a diff of; never sent, and in no file."""


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
class MovedClass:
    """A class name that a namespace had on a Worker: it became `renamed_to` there, or moved to `to_script`.

    In the `exports` form every upload says what became of it, until Cloudflare knows that nobody binds it any more.
    """

    class_name: str
    namespace_id: NamespaceId
    renamed_to: str | None = None
    to_script: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWorker:
    """What the state file knows of a Worker."""

    id: str
    script_name: str
    etag: str | None = None
    lifecycle: Lifecycle | None = None
    # The tag that the next upload must name as the old one.
    migration_tag: MigrationTag | None = None
    content_digest: str | None = None
    settings_digest: str | None = None
    """Digest of everything else that was uploaded (bindings, compatibility, options, url, crons); planner's own."""
    triggers: tuple[Trigger, ...] = ()
    """The triggers that we set; no other one is ever removed."""
    secrets: tuple[tuple[str, str], ...] = ()
    """(binding, mark) of the secrets that were set, sorted: a keyed mark tells whether a value changed."""
    modified_on: str | None = None
    """When the script was last changed, as the last upload answered it; None where that is not known."""
    op: str | None = None
    """The operation that uploaded it last; None in records of the first edition."""
    settings: Json | None = None
    """The settings and cron triggers that we set, by name, with their values; no other one is ever taken away. None:
    written before these were recorded."""
    moved: tuple[MovedClass, ...] = ()
    """The class names that its namespaces had before, and that uploads in the `exports` form still tell of; sorted."""
    inspector: Inspector | None = field(default=None, metadata={LATER: True})

    @property
    def set_here(self) -> dict[str, Any]:
        """Return the settings that are known to be ours, by name."""
        found: dict[str, Any] = self.settings.value if self.settings else {}
        return found


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
class ObservedDeployment:
    """One deployment of a script: who made it, with what (`wrangler`, `dash`, `api`, ...) and when, if it is told."""

    id: str
    author: str | None = None
    source: str | None = None
    created_on: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedBinders:
    """Who binds the namespaces of a script: (namespace id, script) pairs; `problem` says why they could not be read."""

    pairs: tuple[tuple[NamespaceId, str], ...] = ()
    callers: tuple[str, ...] | None = None
    """The other scripts with a service binding to it; None where that was not told."""
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedScript:
    """A live script. `bindings` is None when its settings were not read (only lists were).

    `lifecycle` is "exports" when it was deployed so, "migrations" when it has a migration tag, None when neither.
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
    deployment: str | None = None
    """Id of its newest deployment; read together with the bindings."""
    has_assets: bool | None = None
    """Whether it has static assets; None where Cloudflare does not say."""
    bindings: tuple[ScriptBinding, ...] | None = None
    compatibility_date: str | None = None
    compatibility_flags: tuple[str, ...] = ()
    options: Json = field(default=Json({}))
    """Its other settings that are not at their default, in Cloudflare's words; read together with the bindings."""
    carried: Json = field(default=Json({}))
    """Every setting as an upload has to repeat it so that it stays as it is, those nobody here knows included."""
    url: bool | None = None
    previews: bool | None = None
    crons: tuple[str, ...] | None = None
    """Address and cron triggers; read together with the bindings, None where they were not."""
    triggers: tuple[Trigger, ...] = ()
    """Read only where the script is imported."""
    entries: Json = field(default=Json({}))
    """What `exports` has besides classes and their storage, by name: other kinds whole, of a class the rest."""
    expects: tuple[str, ...] = ()
    """The classes that it announced to take over from another script."""
    binders: ObservedBinders | None = None
    """Other scripts that bind its namespaces; None where that was not asked."""


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
class ObservedObject:
    """One object of a namespace. What the target does not tell is None: Cloudflare tells the first and the third."""

    object_id: str
    name: str | None
    stored: bool
    size: int | None = None
    last_write: datetime | None = None
    alarm: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is live in one account, sorted by name and by namespace id."""

    account_id: str
    api_origin: str
    scripts: tuple[ObservedScript, ...] = ()
    namespaces: tuple[ObservedNamespace, ...] = ()
    triggers: tuple[ObservedTrigger, ...] = ()
    """Those that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReading:
    """What can be told of a secret where the plan is made: the mark of its value, or why there is no value."""

    mark: str = ""
    problem: str = ""
