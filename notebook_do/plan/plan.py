"""The plan: what would be sent, why, and what it was computed from; its digest, and the one way to write it as JSON.

`Plan.steps` is the one list of steps: the table shows it, the deployer runs it, the button holds this very value.
Nothing is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.display import Shown, frame
from notebook_do.errors import CommandError
from notebook_do.model.plain import canonical
from notebook_do.plan.digest import digest_of
from notebook_do.plan.shown import shown_step

if TYPE_CHECKING:
    import pandas as pd

    from notebook_do.model import (
        NamespaceId,
        Observed,
        Recorded,
        StableId,
        Storage,
        Target,
    )
    from notebook_do.model.steps import Step
    from notebook_do.plan.code import CodeDiff


class Action(StrEnum):
    """What happens to a thing."""

    NOOP = "noop"
    CREATE = "create"
    UPDATE = "update"
    RENAME = "rename"
    TRANSFER = "transfer"
    DELETE = "delete"


# Made here, since a change has a field that is called `field`.
_IN_A_ROW: str = field(default="", compare=False)


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
    happens: str = _IN_A_ROW
    """The same in the words of a row, under heads that name the Worker and the thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A reason for which the plan cannot be deployed, with what the user can choose instead.

    `code` is a stable word such as `ambiguous-rename`, a key of the table of refusals. `line` is the cell's line.
    """

    code: str
    subject: str
    message: str
    choices: tuple[str, ...] = ()
    line: int | None = None
    place: str = field(default="", compare=False)
    """The line and its cell, as a person finds it: `line 1 of cell [7]`, `file.py:12`."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLately:
    """Of a namespace that would be lost: how many of its objects were written in the hour before `at`, and the newest.

    Nothing of it is what a person consents to: the same plan, a minute later, may tell another hour.
    """

    namespace_id: NamespaceId
    within_hour: int
    newest: tuple[str, ...]
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A Worker that a plan leaves out, why, and until when; `ids` are its own and those of its namespaces."""

    worker: str
    script_name: str
    detail: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a plan is not to be sent before a person has read it; `text` is a sentence, or of a phrase that phrase."""

    kind: Literal["refusal", "phrase", "deletion", "take-over", "put-back"]
    text: str


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
    """(script, id of its newest deployment) as they were read: it tells whom an upload of ours overwrote.

    As all below, it is no part of what the plan is: two that differ in it alone are equal."""
    binding_rows: tuple[dict[str, str], ...] = field(default=(), compare=False)
    """One row a declared binding, with the columns of `plan.bindings`."""
    migration_rows: tuple[dict[str, str], ...] = field(default=(), compare=False)
    """One row a class migration, with the columns of `plan.migrations`."""
    outside: tuple[Objection, ...] = field(default=(), compare=False)
    """What it takes over of others, or undoes of theirs, and of which `drift` does not tell."""
    lasting: tuple[str, ...] = field(default=(), compare=False)
    """Those of `warnings` that the result of the deploy says again."""
    asked: tuple[str, ...] = field(default=(), compare=False)
    """The ids whose destruction was asked for."""
    code: tuple[CodeDiff, ...] = field(default=(), compare=False)
    """What differs in the code of each Worker whose code is replaced, by Worker id; see `diff`."""
    addresses: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """(script, URL) of the Workers whose address is known without a request."""
    account: str = field(default="", compare=False)
    """How the account is called; empty on the local target, and where the token may not read it."""
    unread: str = field(default="", compare=False)
    """The one of `notes` that says what was not read again."""
    read_at: str = field(default="", compare=False)
    """When what is live was read (ISO 8601, UTC)."""
    deployed_at: str = field(default="", compare=False)
    """When this session deployed last, as far as the state file tells (ISO 8601, UTC)."""
    undeclared: tuple[str, ...] | None = field(default=None, compare=False)
    """Where nothing at all is declared, a few words each on what is live or recorded all the same; else None."""
    written: tuple[WrittenLately, ...] = field(default=(), compare=False)
    """Which objects of the namespaces in `consents` were written lately, where the target tells."""

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
        """Name this very plan: 16 hex digits over all that it sends and rests on, code included."""
        return digest_of(self)

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

    def diff(self, worker: str) -> CodeDiff:
        """Return what differs in the code of one Worker, as a unified diff; raises CommandError where none does."""
        found = {diff.worker: diff for diff in self.code} | {diff.script_name: diff for diff in self.code}
        if worker not in found:
            known = ", ".join(diff.worker for diff in self.code) or "none"
            raise CommandError(f"diff: this plan replaces no code of a Worker {worker}; it does of: {known}.")
        return found[worker]

    def to_json(self) -> str:
        """Write the plan as canonical JSON: a module's content as its sha256, a secret as its source, no hidden value.

        It is what is shown and not what a digest covers: two plans that differ in a hidden value are written alike.
        """
        return canonical(self._body())

    def _body(self) -> dict[str, Any]:
        body = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        body["steps"] = tuple(map(shown_step, self.steps))
        if self.baseline.serial == 0:  # never written: its lineage is new in every process, and tells nothing
            told = {f.name: getattr(self.baseline, f.name) for f in fields(Baseline) if f.name != "lineage"}
            body["baseline"] = {"is": Baseline.__name__, **told}
        if not self.undecided:  # plans without it are written as they were before there was such a field
            del body["undecided"]
        return body
