"""The plan: what would be sent, why, and what it was computed from. Types only; nothing is decided here.

`Plan.steps` is the one list of steps: the table shows it, the deployer runs it, the button holds this very value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from notebook_do.display import Shown, frame
from notebook_do.model import Json
from notebook_do.plan.canonical import canonical, later, plain
from notebook_do.plan.mark_step import SetMark
from notebook_do.plan.trigger_step import MakeQueue, RemoveTrigger, SetTrigger

if TYPE_CHECKING:
    import pandas as pd

    from notebook_do.model import (
        Migration,
        Module,
        MovedClass,
        NamespaceId,
        Observed,
        Recorded,
        RecordedNamespace,
        RecordedWorker,
        ScriptBinding,
        StableId,
        StaticAssets,
        Storage,
        Target,
    )
    from notebook_do.plan.undecided import Undecided


class Action(StrEnum):
    """What happens to a thing."""

    NOOP = "noop"
    CREATE = "create"
    UPDATE = "update"
    RENAME = "rename"
    TRANSFER = "transfer"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the plan. `kind` is worker, namespace, binding, code, setting, url, cron, or a trigger's.

    `detail` is one sentence for a person. `destructive` means that stored objects would be lost.
    """

    action: Action
    kind: str
    id: str
    worker: str = ""
    name: str = ""
    field: str = ""
    before: str = ""
    after: str = ""
    detail: str = ""
    destructive: bool = False
    namespace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A reason for which the plan cannot be deployed, with what the user can choose instead.

    `code` is a stable word such as `ambiguous-rename`; tests and tables use it. `line` is the cell's line.
    """

    code: str
    subject: str
    message: str
    choices: tuple[str, ...] = ()
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Something would be lost: the phrase that must be typed, and what it gives up.

    `objects` is the live count of stored objects, None when it is not known (never shown as 0).
    """

    phrase: str
    stable_id: StableId
    namespace_id: NamespaceId
    class_name: str
    worker: str
    objects: int | None = None
    objects_more: bool = False


# --- steps: about one API call each ----------------------------------------------------------------------


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
    bindings: tuple[ScriptBinding, ...]
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
        """Say in a few words what this step sends."""
        count = len(self.migration.class_migrations) if self.migration else 0
        extra = f" with {count} class migration{'s' * (count != 1)}" if count else ""
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
        """Say in a few words what this step sends."""
        and_previews = "" if self.previews is None else f", previews {'on' if self.previews else 'off'}"
        return f"{'open' if self.enabled else 'close'} the URL of Worker {self.script_name}{and_previews}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSchedules:
    """Replace a script's cron triggers."""

    worker: str
    script_name: str
    crons: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Those of `crons` that somebody else set, and that stay."""
    settings_digest: str | None = None
    """What the Worker's record holds after this step, everything else in it unchanged."""

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        return f"set {len(self.crons)} cron trigger{'s' * (len(self.crons) != 1)} of Worker {self.script_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteScript:
    """Delete a script; every namespace in `namespace_ids` goes with it. Forced only where nothing else holds it."""

    worker: str
    script_name: str
    namespace_ids: tuple[NamespaceId, ...] = ()
    forgotten: tuple[StableId, ...] = ()

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        return f"delete Worker {self.script_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop records of what is no longer live; changes the state file only and sends nothing.

    `stable_ids` leave with a tombstone, `workers` (Worker ids) without one.
    """

    stable_ids: tuple[StableId, ...] = ()
    workers: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Say in a few words what this step does."""
        return f"forget {', '.join((*self.stable_ids, *self.workers))}, which is no longer live"


Step = Upload | SetMark | SetUrl | SetSchedules | MakeQueue | SetTrigger | RemoveTrigger | DeleteScript | Forget


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The facts that a plan was computed from; the deployer observes again and refuses if they differ."""

    lineage: str
    serial: int
    account_id: str
    api_origin: str
    scripts: tuple[tuple[str, str | None, str | None, str | None, str | None], ...]
    """(name, etag, lifecycle, migration tag, modified on) of the scripts concerned that are live, sorted."""
    namespaces: tuple[tuple[NamespaceId, str, str, Storage], ...]
    """(namespace id, script, class, storage) of the live namespaces concerned, sorted."""


def take_baseline(
    recorded: Recorded, observed: Observed, scripts: frozenset[str], namespace_ids: frozenset[str]
) -> Baseline:
    """Reduce what was recorded and observed to the facts about `scripts` and `namespace_ids`."""
    return Baseline(
        lineage=recorded.lineage,
        serial=recorded.serial,
        account_id=observed.account_id,
        api_origin=observed.api_origin,
        scripts=tuple(
            sorted(
                (s.name, s.etag, s.lifecycle, s.migration_tag, s.modified_on)
                for s in observed.scripts
                if s.name in scripts
            )
        ),
        namespaces=tuple(
            sorted(
                (n.namespace_id, n.script_name, n.class_name, n.storage)
                for n in observed.namespaces
                if n.script_name in scripts or n.namespace_id in namespace_ids
            )
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Plan(Shown):
    """What a deploy would do, exactly. Shows itself as a table; `df`, `bindings`, `migrations` are DataFrames.

    `changes` explain, `steps` are sent, `drift` is what changed outside, `refusals` forbid, `consents` must be typed.
    `scripts` and `namespace_ids` say which live facts `baseline` covers.
    """

    session: str
    stage: str
    target: Target
    changes: tuple[Change, ...] = ()
    drift: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    consents: tuple[Consent, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is good to know of the changes; the result of their deploy says it again."""
    baseline: Baseline
    scripts: frozenset[str] = frozenset()
    namespace_ids: frozenset[str] = frozenset()
    undecided: tuple[Undecided, ...] = ()
    """What this plan leaves out, because an interrupted step of it is not known yet; the digest covers it."""
    deployments: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """(script, id of its newest deployment) as they were read: it tells whom an upload of ours overwrote."""
    binding_rows: tuple[dict[str, str], ...] = field(default=(), compare=False)
    """One row a declared binding, with the columns of `plan.bindings`."""
    migration_rows: tuple[dict[str, str], ...] = field(default=(), compare=False)
    """One row a class migration, with the columns of `plan.migrations`."""

    @property
    def empty(self) -> bool:
        """True when nothing would be sent."""
        return not self.steps

    @property
    def can_deploy(self) -> bool:
        """True when there is something to send and nothing forbids it; consents may still have to be typed."""
        return bool(self.steps) and not self.refusals

    @cached_property
    def digest(self) -> str:
        """Name this very plan: 16 hex digits over everything in it, code included, but its warnings and notes.

        Those tell of the place where it was made too, and a plan may be approved in another.
        """
        body = {key: value for key, value in self._body().items() if key not in {"warnings", "notes"}}
        return hashlib.sha256(canonical(body).encode()).hexdigest()[:16]

    @property
    def df(self) -> pd.DataFrame:
        """All changes, drift after them, as a DataFrame: one row a change, text columns, `destructive` bool."""
        return frame("plan", (*self.changes, *self.drift))

    @property
    def bindings(self) -> pd.DataFrame:
        """Every declared binding as a DataFrame, with what it is bound to and what happens to it."""
        return frame("bindings", self.binding_rows)

    @property
    def migrations(self) -> pd.DataFrame:
        """Every class migration as a DataFrame, in the order in which they are sent."""
        return frame("migrations", self.migration_rows)

    def to_json(self) -> str:
        """Write the plan as canonical JSON; a module's content appears as its sha256, a secret as its source."""
        return canonical(self._body())

    def _body(self) -> dict[str, Any]:
        body = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.compare}
        if self.baseline.serial == 0:  # never written: its lineage is new in every process, and tells nothing
            del body["baseline"]["lineage"]
        if not self.undecided:
            del body["undecided"]
        return body
