"""The steps of a plan, about one API call each, and the class migrations that an upload carries. Values only.

A step also holds what the state file holds after it, so that the deployer decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from notebook_do.model.declared import Json, Resource
from notebook_do.model.states import ValueBinding
from notebook_do.model.words import later

if TYPE_CHECKING:
    from notebook_do.model.settings import StaticAssets
    from notebook_do.model.states import MovedClass, RecordedNamespace, RecordedWorker, ScriptBinding
    from notebook_do.model.triggers import Trigger
    from notebook_do.model.words import Lifecycle, MigrationTag, Module, NamespaceId, StableId, Storage

# --- what happens to the namespaces of one script in one upload


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
    # Told anew with every upload in the `exports` form: a provisioned class that is missing there is refused (100402).
    classes: tuple[tuple[str, Storage], ...] = ()
    # Must be the tag that is live, or the upload is refused with 10079, also where a lost answer applied it already.
    old_tag: MigrationTag | None = None
    new_tag: MigrationTag | None = None
    told: bool = False
    """`new_tag` is sent as the plan tells it, since another project must know it; else the deployer completes it."""


_NAMED = 4
"""How many class migrations the words of an upload name; of more they count the rest."""


def _words(migration: ClassMigration) -> str:
    """Return in a few words what becomes of a class."""
    match migration:
        case CreateClass(class_name=name, storage=storage, stable_id=stable_id):
            kind = "SQLite" if storage == "sqlite" else "key-value"
            return f"create class {name} ({kind}) for namespace {stable_id}"
        case RenameClass(from_class=before, to_class=after):
            return f"rename class {before} to {after}"
        case TransferClass(from_script=script, from_class=before, to_class=after):
            return f"take class {before} over from {script}" + (f" as {after}" if before != after else "")
        case TransferredAway(class_name=name, to_script=script):
            return f"hand class {name} over to {script}"
        case DeleteClass(class_name=name, stable_id=stable_id):
            return f"delete class {name} with namespace {stable_id}"
    assert_never(migration)


# --- the steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Put one script with its migration: one multipart request. `worker` is the Worker id.

    `worker_record` and `namespace_records` are what the state file holds after this step; a namespace that this
    very step creates is recorded with an empty namespace_id, to be filled from what is live afterwards; the record's
    etag is the one that the upload answers. Records replace those of the same id. `forgotten` stable IDs leave the
    state file; a tombstone follows only when no record keeps their namespace id under another stable ID.
    """

    worker: str
    script_name: str
    main_module: str
    modules: tuple[Module, ...]
    # All of them: an upload replaces the bindings as a whole, but for those that it says are kept.
    bindings: tuple[ScriptBinding, ...]
    # An upload without one runs as of 2021-11-02, the oldest day there is, whatever was live before.
    compatibility_date: str | None
    compatibility_flags: tuple[str, ...]
    options: Json
    tags: tuple[str, ...]
    migration: Migration | None
    creates: bool
    moved: tuple[MovedClass, ...] = ()
    """The earlier class names that this upload still tells of, in the `exports` form."""
    entries: Json = field(default=Json({}))
    """What `exports` has besides classes and their storage, and that stays; as in ObservedScript."""
    assets: StaticAssets | None = None
    keeps_assets: bool = False
    """The live static assets are somebody else's, and stay."""
    named_secrets: tuple[str, ...] | None = later(None)
    """The live secrets that stay, by name, where one of ours is removed; None: every live secret stays."""
    line: int | None = field(default=None, compare=False)
    body_line: int | None = field(default=None, compare=False)
    worker_record: RecordedWorker | None = None
    namespace_records: tuple[RecordedNamespace, ...] = ()
    forgotten: tuple[StableId, ...] = ()

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        steps = [_words(m) for m in self.migration.class_migrations] if self.migration else []
        more = [f"{len(steps) - _NAMED} more class migrations"] if len(steps) > _NAMED + 1 else []
        extra = f": {', '.join([*steps[: _NAMED if more else None], *more])}" if steps else ""
        return f"{'create' if self.creates else 'upload'} Worker {self.script_name}{extra}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUrl:
    """Switch a script's workers.dev address on or off, and its preview URLs; None leaves those as they are."""

    worker: str
    script_name: str
    enabled: bool
    previews: bool | None = None
    settings_digest: str | None = None
    """What the Worker's record holds after this step, everything else in it unchanged."""

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        and_previews = "" if self.previews is None else f", previews {'on' if self.previews else 'off'}"
        return f"{'open' if self.enabled else 'close'} the URL of Worker {self.script_name}{and_previews}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSchedules:
    """Replace a script's cron triggers."""

    worker: str
    script_name: str
    # The request replaces the whole list, and an empty one takes all away.
    crons: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Those of `crons` that somebody else set, and that stay."""
    settings_digest: str | None = None
    """What the Worker's record holds after this step, everything else in it unchanged."""

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        return f"set {len(self.crons)} cron trigger{'s' * (len(self.crons) != 1)} of Worker {self.script_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteScript:
    """Delete a script; every namespace in `namespace_ids` goes with it. Forced only where nothing else holds it."""

    worker: str
    script_name: str
    # Without force a script stays that consumes a queue or that another Worker binds (10064, 10142).
    namespace_ids: tuple[NamespaceId, ...] = ()
    forgotten: tuple[StableId, ...] = ()

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        ids = ", ".join(self.forgotten)
        return f"delete Worker {self.script_name}" + (f" with namespace {ids}" if ids else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop records of what is no longer live; changes the state file only and sends nothing.

    `stable_ids` leave with a tombstone, `workers` (Worker ids) without one.
    """

    stable_ids: tuple[StableId, ...] = ()
    workers: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Return in a few words what this step does."""
        return f"forget {', '.join((*self.stable_ids, *self.workers))}, which is no longer live"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeQueue:
    """Make the queue that a script is to consume; sends nothing when there is one of that name."""

    worker: str
    script_name: str
    queue: str

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        return f"make queue {self.queue}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTrigger:
    """Let a script serve a route or a custom domain, or consume a queue, which must be there."""

    worker: str
    script_name: str
    trigger: Trigger

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        return f"set {self.trigger.label} of Worker {self.script_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTrigger:
    """Take a trigger of ours away; sends nothing when the script no longer holds it."""

    worker: str
    script_name: str
    trigger: Trigger

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        return f"remove {self.trigger.label} of Worker {self.script_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMark:
    """Put the namespace ids of `stable_ids` into a script's tags, which say who made it; nothing else changes.

    An upload that creates a namespace cannot know its id. The deployer completes `tags`, from those that are live.
    """

    worker: str
    script_name: str
    stable_ids: tuple[StableId, ...]
    tags: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Return in a few words what this step sends."""
        ids = f"the id{'s' * (len(self.stable_ids) != 1)} of {', '.join(self.stable_ids)}"
        return f"note {ids} in the tags of Worker {self.script_name}"


Step = Upload | SetMark | SetUrl | SetSchedules | MakeQueue | SetTrigger | RemoveTrigger | DeleteScript | Forget


KEPT = Resource(type="secret_text", fields=Json({}))
"""What an upload binds where the live value stays, as a live secret is read: without a value. It is not sent."""


def is_kept(binding: ScriptBinding) -> bool:
    """Say whether a binding of an upload stands for a live secret that stays."""
    return isinstance(binding, ValueBinding) and binding.value == KEPT
