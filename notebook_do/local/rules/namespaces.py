"""The account's namespaces before and after one upload, and what the legacy `migrations` of an upload do to them.

Pure. A namespace keeps its id through rename and transfer; only a delete ends it. The first broken rule is raised, as
Cloudflare reports one at a time (the declarative `exports` beside this report all). The rules and their codes are those
of Cloudflare's page "Durable Objects migrations" and of answers that were reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.local.runtime.spec import ProbeReport


CLASS_KINDS = frozenset({"durable-object", "class"})
"""What can implement a namespace: a plain class too, as Cloudflare still accepts classes that extend nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNamespace:
    """One Durable Object namespace; `id` is its identity, the rest are labels, but `sqlite` never changes."""

    id: str
    script: str
    class_name: str
    sqlite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFacts:
    """What the rules need to know of one script as it is deployed now."""

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
    """No new key-value backed namespaces (10099): so it is, since July 2026, where an account has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """The account as it is now."""

    scripts: Mapping[str, ScriptFacts]
    namespaces: tuple[AccountNamespace, ...] = ()
    switches: Switches = Switches()

    def of(self, script: str) -> dict[str, AccountNamespace]:
        """Return the namespaces that one script hosts, by class name."""
        return {n.class_name: n for n in self.namespaces if n.script == script}

    def binders(self, namespace_id: str, *, besides: str) -> list[str]:
        """List the other scripts whose deployed version binds a namespace."""
        return sorted(name for name, facts in self.scripts.items() if namespace_id in facts.bound and name != besides)

    def namers(self, script: str, class_name: str) -> list[str]:
        """List the other scripts whose deployed version was uploaded with a binding to a class by this name."""
        return sorted(n for n, facts in self.scripts.items() if (script, class_name) in facts.names and n != script)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """What an upload makes of the account's namespaces: all of them afterwards, and the ids of those that are gone."""

    namespaces: tuple[AccountNamespace, ...]
    migration_tag: str | None
    declarative: bool
    deleted: tuple[str, ...] = ()
    reconciliation: dict[str, Any] | None = None

    def of(self, script: str) -> dict[str, AccountNamespace]:
        """Return the namespaces that one script will host, by class name."""
        return {n.class_name: n for n in self.namespaces if n.script == script}


def exported_classes(report: ProbeReport) -> frozenset[str]:
    """Return the names of the exports that can implement a Durable Object namespace."""
    return frozenset(export.name for export in report.exports if export.kind in CLASS_KINDS)


NewId = Callable[[], str]
_LISTS = ("deleted_classes", "renamed_classes", "transferred_classes", "new_classes", "new_sqlite_classes")
_MOVES = {"renamed_classes": ("from", "to"), "transferred_classes": ("from", "from_script", "to")}


@dataclass(slots=True)
class _Migration:
    """The namespaces while the steps of one upload are applied, and why each class of the script is there."""

    account: AccountFacts
    script: str
    new_id: NewId
    namespaces: dict[str, AccountNamespace]
    made_by: dict[str, str] = field(default_factory=dict)

    def own(self, class_name: str, script: str | None = None) -> AccountNamespace | None:
        wanted = (script or self.script, class_name)
        return next((n for n in self.namespaces.values() if (n.script, n.class_name) == wanted), None)


def migrate(
    account: AccountFacts, script: str, *, exported: frozenset[str], migrations: Mapping[str, Any] | None, new_id: NewId
) -> Lifecycle:
    """Apply the migrations of one upload and check that what is left is exported."""
    current = account.scripts.get(script, ScriptFacts()).migration_tag
    work = _Migration(account, script, new_id, {n.id: n for n in account.namespaces})
    for step in _steps(migrations, current):
        _apply(work, step)
    _check_exported(work, exported)
    tag = (migrations or {}).get("new_tag") or current
    gone = tuple(n.id for n in account.namespaces if n.id not in work.namespaces)
    return Lifecycle(namespaces=tuple(work.namespaces.values()), migration_tag=tag, declarative=False, deleted=gone)


def _steps(migrations: Mapping[str, Any] | None, current: str | None) -> list[dict[str, list[Any]]]:
    """Return the steps in order, after the compare-and-set of the tag.

    A resent upload whose first copy was carried out must fail here (10079) and not apply its steps twice.
    """
    if migrations is None:
        return []
    for key in ("old_tag", "new_tag"):  # both may be null, or absent: a Worker without a tag needs none
        if not isinstance(migrations.get(key, ""), str | None):
            raise refuse("migration_form", why=f"`{key}` must be a string")
    old = migrations.get("old_tag") or None
    if old != current:
        raise refuse("tag", current=current, got=old or "") if current else refuse("no_tag_yet", got=old)
    # Both published forms: wrangler always sends `steps`; a single step stands in the object itself.
    raw = migrations.get("steps", [{k: v for k, v in migrations.items() if k in _LISTS}])
    if not isinstance(raw, list) or not all(isinstance(step, dict) for step in raw):
        raise refuse("migration_form", why="`steps` must be a list of objects")
    if unknown := set(migrations) - {"old_tag", "new_tag", "steps", *_LISTS}:
        raise refuse("migration_form", why=f"unknown key `{min(unknown)}`")
    if "steps" in migrations and any(migrations.get(key) for key in _LISTS):
        raise refuse("migration_form", why="`steps` cannot stand beside class lists")
    steps = [_read_step(step) for step in raw]
    # "Once a tag is set all future deployments must include a tag" (the page of migrations); empty lists do nothing.
    if current and any(any(step.values()) for step in steps) and not migrations.get("new_tag"):
        raise refuse("tag_dropped", current=current)
    return steps


def _read_step(step: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Check the shape of one step; every list is there afterwards."""
    if unknown := set(step) - set(_LISTS):
        raise refuse("migration_form", why=f"unknown key `{min(unknown)}`")
    read = {key: step.get(key) or [] for key in _LISTS}
    for key, items in read.items():
        wanted = _MOVES.get(key)
        for item in items if isinstance(items, list) else [None]:
            parts = [item] if wanted is None else [item.get(p) for p in wanted] if isinstance(item, dict) else [None]
            if not all(isinstance(part, str) and part for part in parts):
                raise refuse(
                    "migration_form", why=f"`{key}` must be a list of {'names' if wanted is None else 'moves'}"
                )
    return read


def _targets(step: Mapping[str, list[Any]]) -> Iterable[str]:
    yield from step["deleted_classes"]
    for key in _MOVES:
        yield from (move["to"] for move in step[key])
    yield from (move["from"] for move in step["renamed_classes"])
    yield from step["new_classes"]
    yield from step["new_sqlite_classes"]


def _apply(work: _Migration, step: Mapping[str, list[Any]]) -> None:
    """Apply one step: deletions first, then moves, then creations, so that a name that is left can be taken again."""
    seen: set[str] = set()
    for name in _targets(step):  # the lists of one step have no order, so a name may have one meaning only
        if name in seen:
            raise refuse("target_twice", name=name)
        seen.add(name)
    for name in step["deleted_classes"]:
        _delete(work, name)
    for move in step["renamed_classes"]:
        _rename(work, move["from"], move["to"])
    for move in step["transferred_classes"]:
        _transfer(work, move["from"], move["from_script"], move["to"])
    for name in step["new_classes"]:
        _create(work, name, sqlite=False)
    for name in step["new_sqlite_classes"]:
        _create(work, name, sqlite=True)


def _delete(work: _Migration, name: str) -> None:
    namespace = work.own(name)
    if namespace is None:  # the version before exported every class that has one (10064)
        raise refuse("no_previous", migration="delete", name=name)
    # Emulated: Cloudflare documents no such refusal for `migrations`, only for `exports`. Those bindings would break.
    if others := work.account.binders(namespace.id, besides=work.script):
        raise refuse("deleted_yet_used", name=name, scripts=", ".join(others))
    del work.namespaces[namespace.id]


def _rename(work: _Migration, source: str, to: str) -> None:
    namespace = work.own(source)
    if source == to:
        raise refuse("same_name", migration="rename", name=source)
    if namespace is None:
        raise refuse("no_previous", migration="rename", name=source)
    if work.own(to):  # the migration itself makes the destination: one that is there would lose its own objects
        raise refuse("occupied", migration="rename", name=source, to=to)
    work.namespaces[namespace.id] = replace(namespace, class_name=to)
    work.made_by[to] = "rename"


def _transfer(work: _Migration, source: str, from_script: str, to: str) -> None:
    words: dict[str, object] = {"migration": "transfer", "name": source, "script": from_script}
    if from_script == work.script:
        raise refuse("same_name", **words)
    if from_script not in work.account.scripts:
        raise refuse("transfer_script", **words)
    # Else its next upload would make an empty namespace for the entry that it still has.
    if work.account.scripts[from_script].declarative:
        raise refuse("transfer_declared", **words)
    namespace = work.own(source, from_script)
    if namespace is None:
        raise refuse("transfer_class", **words)
    if work.own(to):
        raise refuse("occupied", to=to, **words)
    work.namespaces[namespace.id] = replace(namespace, script=work.script, class_name=to)
    work.made_by[to] = "transfer"


def _create(work: _Migration, name: str, *, sqlite: bool) -> None:
    migration = "new-sqlite" if sqlite else "new"
    if work.own(name):
        raise refuse("exists", migration=migration, name=name)
    if not sqlite and work.account.switches.free_plan:
        raise refuse("sqlite_only")
    if not sqlite and work.account.switches.kv_closed and all(n.sqlite for n in work.account.namespaces):
        raise refuse("no_more_kv")
    # A name that was deleted before gets a new id: nothing leads back to the objects that are gone.
    namespace_id = work.new_id()
    work.namespaces[namespace_id] = AccountNamespace(
        id=namespace_id, script=work.script, class_name=name, sqlite=sqlite
    )
    work.made_by[name] = migration


def _check_exported(work: _Migration, exported: frozenset[str]) -> None:
    """Refuse classes that are depended on after the last step but not exported.

    Only the last step's names count: a history of migrations replayed on a new script passes through names that
    its present code no longer has.
    """
    for namespace in work.namespaces.values():
        name = namespace.class_name
        if namespace.script != work.script or name in exported:
            continue
        match work.made_by.get(name):
            case None:  # 10064, Cloudflare's safety net: the objects of a class without code cannot be reached
                raise refuse("dropped", name=name)
            case ("rename" | "transfer") as migration:
                raise refuse("moved_unexported", migration=migration, name=name)
            case migration:
                raise refuse("new_unexported", migration=migration, name=name)


def check_bindings(
    after: Lifecycle,
    script: str,
    *,
    account: AccountFacts,
    exported: frozenset[str],
    bindings: Iterable[Mapping[str, Any]],
) -> None:
    """Refuse Durable Object bindings of one upload that refer to no namespace."""
    own, before = after.of(script), account.of(script)
    for binding in bindings:
        if binding.get("type") != "durable_object_namespace":
            continue
        name, host = binding.get("class_name"), binding.get("script_name") or script
        if name in before and before[name].id in after.deleted and name not in own:
            # By class name alone: Cloudflare does not look at `script_name` here.
            raise refuse("deleted_yet_bound", name=name)
        if host != script:
            if host not in account.scripts:
                raise refuse("binding_host", script=host)
            if name not in after.of(host):
                raise refuse("unmigrated_binding", name=name)
        elif name not in own:  # two texts of one code: the class is there without a namespace, or not at all
            raise refuse("unmigrated_binding" if name in exported else "unexported_binding", name=name)
