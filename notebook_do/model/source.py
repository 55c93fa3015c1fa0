"""What is read for a Worker: the modules that go up, and the files that they were made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.model.settings import StaticAssets
    from notebook_do.model.words import Module


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledSource:
    """One file that a bundle is made of: `path` as its source map has it, `name` as a person knows it.

    `text` is None for a file of a package, of which only size and mark are kept.
    """

    path: str
    name: str
    text: str | None = field(repr=False)
    size: int
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is read for a Worker: its modules, the main one by name, a digest of them, and its static assets.

    `exports` are the names that the main module exports, None where that cannot be told; `notes` are what a person
    should know of it.
    """

    main_module: str
    modules: tuple[Module, ...] = field(repr=False)
    digest: str
    assets: StaticAssets | None = None
    exports: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    bundled: bool = False
    """Whether esbuild made the main module: its lines are no lines of the source."""
    sources: tuple[BundledSource, ...] = field(default=(), compare=False, repr=False)
