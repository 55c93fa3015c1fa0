"""Legacy `migrations`: (the account now, what the upload exports, its migrations) -> the account's namespaces after it.

Pure. A namespace keeps its id through rename and transfer; only a delete ends it. The first broken rule is raised,
as Cloudflare reports one at a time; the table of texts and their sources is `refusals.RULES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.rules.namespaces import AccountFacts, AccountNamespace, Lifecycle, NewId, ScriptFacts
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LISTS = ("deleted_classes", "renamed_classes", "transferred_classes", "new_classes", "new_sqlite_classes")
_MOVES = {"renamed_classes": ("from", "to"), "transferred_classes": ("from", "from_script", "to")}


@dataclass(slots=True)
class _Work:
    """The namespaces while the steps of one upload are applied, and why each class of the script is there."""

    account: AccountFacts
    script: str
    new_id: NewId
    namespaces: dict[str, AccountNamespace]
    made_by: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)

    def own(self, class_name: str, script: str | None = None) -> AccountNamespace | None:
        wanted = (script or self.script, class_name)
        return next((n for n in self.namespaces.values() if (n.script, n.class_name) == wanted), None)


def migrate(
    account: AccountFacts, script: str, *, exported: frozenset[str], migrations: Mapping[str, Any] | None, new_id: NewId
) -> Lifecycle:
    """Apply the migrations of one upload and check that what is left is exported."""
    current = account.scripts.get(script, ScriptFacts()).migration_tag
    work = _Work(account, script, new_id, {n.id: n for n in account.namespaces})
    for step in _steps(migrations, current):
        _apply(work, step)
    _check_exported(work, exported)
    tag = (migrations or {}).get("new_tag") or current
    gone = tuple(n.id for n in account.namespaces if n.id not in work.namespaces)
    return Lifecycle(namespaces=tuple(work.namespaces.values()), migration_tag=tag, declarative=False, deleted=gone)


def _steps(migrations: Mapping[str, Any] | None, current: str | None) -> list[dict[str, list[Any]]]:
    """Give the steps in order, after the compare-and-set of the tag."""
    if migrations is None:
        return []
    for key in ("old_tag", "new_tag"):
        if not isinstance(migrations.get(key, ""), str | None):
            raise refuse("migration_form", why=f"`{key}` must be a string")
    old = migrations.get("old_tag") or None
    if old != current:
        raise refuse("tag", current=current, got=old or "") if current else refuse("no_tag_yet", got=old)
    raw = migrations.get("steps", [{k: v for k, v in migrations.items() if k in _LISTS}])
    if not isinstance(raw, list) or not all(isinstance(step, dict) for step in raw):
        raise refuse("migration_form", why="`steps` must be a list of objects")
    if unknown := set(migrations) - {"old_tag", "new_tag", "steps", *_LISTS}:
        raise refuse("migration_form", why=f"unknown key `{min(unknown)}`")
    if "steps" in migrations and any(migrations.get(key) for key in _LISTS):
        raise refuse("migration_form", why="`steps` cannot stand beside class lists")
    steps = [_read_step(step) for step in raw]
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


def _apply(work: _Work, step: Mapping[str, list[Any]]) -> None:
    """Apply one step: deletions first, then moves, then creations."""
    seen: set[str] = set()
    for name in _targets(step):
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


def _delete(work: _Work, name: str) -> None:
    namespace = work.own(name)
    if namespace is None:
        raise refuse("no_previous", migration="delete", name=name)
    if others := work.account.binders(namespace.id, besides=work.script):
        raise refuse("deleted_yet_used", name=name, scripts=", ".join(others))
    del work.namespaces[namespace.id]
    work.deleted[name] = namespace.id


def _rename(work: _Work, source: str, to: str) -> None:
    namespace = work.own(source)
    if source == to:
        raise refuse("same_name", migration="rename", name=source)
    if namespace is None:
        raise refuse("no_previous", migration="rename", name=source)
    if work.own(to):
        raise refuse("occupied", migration="rename", name=source, to=to)
    work.namespaces[namespace.id] = replace(namespace, class_name=to)
    work.made_by[to] = "rename"


def _transfer(work: _Work, source: str, from_script: str, to: str) -> None:
    words: dict[str, object] = {"migration": "transfer", "name": source, "script": from_script}
    if from_script == work.script:
        raise refuse("same_name", **words)
    if from_script not in work.account.scripts:
        raise refuse("transfer_script", **words)
    if work.account.scripts[from_script].declarative:
        raise refuse("transfer_declared", **words)
    namespace = work.own(source, from_script)
    if namespace is None:
        raise refuse("transfer_class", **words)
    if work.own(to):
        raise refuse("occupied", to=to, **words)
    work.namespaces[namespace.id] = replace(namespace, script=work.script, class_name=to)
    work.made_by[to] = "transfer"


def _create(work: _Work, name: str, *, sqlite: bool) -> None:
    migration = "new-sqlite" if sqlite else "new"
    if work.own(name):
        raise refuse("exists", migration=migration, name=name)
    if not sqlite and work.account.switches.free_plan:
        raise refuse("sqlite_only")
    if not sqlite and work.account.switches.kv_closed and all(n.sqlite for n in work.account.namespaces):
        raise refuse("no_more_kv")
    namespace_id = work.new_id()
    work.namespaces[namespace_id] = AccountNamespace(
        id=namespace_id, script=work.script, class_name=name, sqlite=sqlite
    )
    work.made_by[name] = migration


def _check_exported(work: _Work, exported: frozenset[str]) -> None:
    """Refuse classes that are depended on after the last step but not exported.

    Only the last step's names count: a history of migrations replayed on a new script passes through names that
    its present code no longer has.
    """
    for namespace in work.namespaces.values():
        name = namespace.class_name
        if namespace.script != work.script or name in exported:
            continue
        match work.made_by.get(name):
            case None:
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
        elif name not in own:
            raise refuse("unmigrated_binding" if name in exported else "unexported_binding", name=name)
