"""The smallest words: ids, enumerations, a module, a place in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field

StableId = NewType("StableId", str)
NamespaceId = NewType("NamespaceId", str)
MigrationTag = NewType("MigrationTag", str)

Lifecycle = Literal["exports", "migrations"]
Target = Literal["local", "cloudflare"]

TAG_PREFIX = "ndo-"
"""How every migration tag of ours begins."""

UPDATE_DEFAULT: Mapping[str, Any] = MappingProxyType({"mode": "deferred", "max_delay": 300})
"""The `code_update_strategy` of a Worker that declares none; the delay is in seconds."""

BINDING_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "durable_object_namespace": "Durable Object",
        "plain_text": "text",
        "json": "JSON",
        "secret_text": "secret",
        "secret_key": "secret key",
        "kv_namespace": "KV",
        "r2_bucket": "R2 bucket",
        "d1": "D1 database",
        "ai": "AI",
        "ai_search": "AI Search instance",
        "ai_search_namespace": "AI Search namespace",
        "analytics_engine": "Analytics Engine dataset",
        "artifacts": "Artifacts namespace",
        "assets": "static assets",
        "browser": "Browser Rendering",
        "flagship": "Flagship app",
        "hyperdrive": "Hyperdrive",
        "images": "Images",
        "media": "Media Transformations",
        "mtls_certificate": "mTLS certificate",
        "pipelines": "pipeline",
        "ratelimit": "rate limit",
        "secrets_store_secret": "Secrets Store secret",
        "send_email": "email",
        "service": "Worker",
        "vectorize": "Vectorize index",
        "vpc_network": "VPC network",
        "vpc_service": "VPC service",
    }
)
"""Cloudflare's word for a kind of binding -> a person's; a word that is not here is said with blanks."""


def binding_word(kind: str) -> str:
    """Give a person's word for a kind of binding."""
    return BINDING_WORDS.get(kind, kind.replace("_", " "))


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
    run: int = 0
    """Which of the kernel's runs of cells declared it: a cell that is run again has the same `cell` and a later run."""


OP_TAG = "ndo:op:"
"""The script tag that says which operation of ours uploaded what is live: it makes a lost answer decidable."""

LATER = "later"


def later(default: Any) -> Any:
    """Return a field that was added later: at its default a digest leaves it out, so that older ones stay."""
    return field(default=default, metadata={LATER: True})


def counts(one: Field[Any], value: Any) -> bool:
    """Return whether a field with this value is part of what a digest covers."""
    return one.compare and not (one.metadata.get(LATER) and value == one.default)
