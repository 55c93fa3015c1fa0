"""Class migrations as data: what happens to the namespaces of one script in one upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.model.words import Lifecycle, MigrationTag, NamespaceId, StableId, Storage


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
    told: bool = False
    """`new_tag` is sent as the plan tells it, since another project must know it; else the deployer completes it."""
