"""What a class lifecycle is decided from and what it decides: the account's namespaces before and after one upload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notebook_do.local.runtime.spec import ProbeReport

CLASS_KINDS = frozenset({"durable-object", "class"})
"""What can implement a namespace: a plain class too, as Cloudflare still accepts classes that extend nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNamespace:
    """One Durable Object namespace; `id` is its identity, the rest are labels."""

    id: str
    script: str
    class_name: str
    sqlite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFacts:
    """What the rules need to know about one script as it is deployed now."""

    migration_tag: str | None = None
    declarative: bool = False
    exports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()
    """Ids of the namespaces that its deployed version binds."""
    names: frozenset[tuple[str, str]] = frozenset()
    """The (script, class) that it binds, by the names that it was uploaded with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Account properties that change what is allowed."""

    free_plan: bool = False
    kv_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """The account as it is now."""

    scripts: Mapping[str, ScriptFacts]
    namespaces: tuple[AccountNamespace, ...] = ()
    switches: Switches = Switches()

    def of(self, script: str) -> dict[str, AccountNamespace]:
        """Give the namespaces that one script hosts, by class name."""
        return {n.class_name: n for n in self.namespaces if n.script == script}

    def binders(self, namespace_id: str, *, besides: str) -> list[str]:
        """Give the other scripts whose deployed version binds a namespace."""
        return sorted(name for name, facts in self.scripts.items() if namespace_id in facts.bound and name != besides)

    def namers(self, script: str, class_name: str) -> list[str]:
        """Give the other scripts whose deployed version was uploaded with a binding to a class by this name."""
        return sorted(n for n, facts in self.scripts.items() if (script, class_name) in facts.names and n != script)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """What an upload does to the account's namespaces; `touched` are the scripts whose namespaces differ now."""

    namespaces: tuple[AccountNamespace, ...]
    migration_tag: str | None
    declarative: bool
    deleted: tuple[str, ...] = ()
    reconciliation: dict[str, Any] | None = None

    def of(self, script: str) -> dict[str, AccountNamespace]:
        """Give the namespaces that one script will host, by class name."""
        return {n.class_name: n for n in self.namespaces if n.script == script}


def exported_classes(report: ProbeReport) -> frozenset[str]:
    """Names of the exports that can implement a Durable Object namespace."""
    return frozenset(export.name for export in report.exports if export.kind in CLASS_KINDS)


NewId = Callable[[], str]
