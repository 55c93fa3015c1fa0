"""Joins declared, recorded and observed for a person: where a session is, what there is, and how it stands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, NotDeployed, nearest
from notebook_do.model import NamespaceId, RecordedNamespace, Storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from notebook_do.declare.catalog import Catalog
    from notebook_do.model import Inspector, Namespace, Observed, Recorded


def _status(declared: bool, *, recorded: bool, live: bool) -> str:  # noqa: FBT001 - the row's own fact
    """Return `live`, `orphan` (recorded and live, not declared), `unmanaged` (live only), `gone` or `declared`."""
    if live:
        return ("live" if declared else "orphan") if recorded else "unmanaged"
    return "gone" if recorded else "declared"


def must_be_deployed(declared: Namespace | None, recorded: Recorded) -> None:
    """Raise NotDeployed for a declared namespace that a Worker of this session is to host and never was deployed."""
    if declared is None or declared.script_name is not None:
        return
    if declared.id not in {n.stable_id for n in recorded.namespaces}:
        raise NotDeployed.of(f"namespace {declared.id}")


def deployed_namespace(recorded: Recorded, stable_id: str, *, with_id: bool = False) -> RecordedNamespace:
    """Return what is recorded of a namespace; raises CommandError for one that was never deployed.

    Of one that another session's script hosts, only its inspector is recorded: its id and storage are not known here,
    and `with_id` it is none.
    """
    found = {str(one.stable_id): one for one in recorded.namespaces}
    if stable_id in found:
        return found[stable_id]
    if not with_id and (inspector := inspector_of(recorded, stable_id)):
        (one,) = (n for n in inspector.namespaces if n.stable_id == stable_id)
        return RecordedNamespace(
            stable_id=one.stable_id,
            namespace_id=NamespaceId(""),
            script_name=inspector.script_name,
            class_name=one.class_name,
            storage=Storage.SQLITE,
        )
    hint = nearest(stable_id, list(found)) if found else "deploy it first."
    raise CommandError(f"no namespace {stable_id} is deployed; {hint}")


def inspector_of(recorded: Recorded, stable_id: str) -> Inspector | None:
    """Return the inspector that was deployed for a namespace."""
    inspectors = (worker.inspector for worker in recorded.workers if worker.inspector)
    return next((i for i in inspectors if any(one.stable_id == stable_id for one in i.namespaces)), None)


def namespace_rows(catalog: Catalog, recorded: Recorded, observed: Observed) -> tuple[dict[str, Any], ...]:
    """Join declared, recorded and live namespaces: recorded ones by namespace id, declared ones by stable ID."""
    live = {n.namespace_id: n for n in observed.namespaces}
    rows = []
    for known in recorded.namespaces:
        # Where it is now, not where it was when it was recorded: another tool may have moved it.
        now = live.get(known.namespace_id)
        declared = catalog.namespaces.get(known.stable_id)
        rows.append(
            {
                "stable_id": known.stable_id,
                "namespace_id": known.namespace_id,
                "worker": now.script_name if now else known.script_name,
                "class_name": now.class_name if now else known.class_name,
                "storage": str(known.storage),
                # As a destroy reads it: the record has what was declared at the last deploy.
                "protected": declared.protect if declared else known.protected,
                "objects": now.objects if now else None,
                "objects_more": now is not None and now.objects_more,
                "status": _status(declared is not None, recorded=True, live=now is not None),
            }
        )
    seen = {n.stable_id for n in recorded.namespaces}
    rows += [
        {
            "stable_id": new.id,
            "class_name": new.class_name,
            "storage": "kv" if new.sqlite is False else "sqlite",
            "protected": new.protect,
            "status": "declared",
        }
        for new in catalog.namespaces.values()
        if new.id not in seen
    ]
    # Namespaces of other scripts are left out: they are not this session's.
    recorded_scripts = {w.script_name for w in recorded.workers}
    ids = {n.namespace_id for n in recorded.namespaces}
    rows += [
        {
            "namespace_id": now.namespace_id,
            "worker": now.script_name,
            "class_name": now.class_name,
            "storage": str(now.storage),
            # Nothing declares it, and what nothing declares is protected.
            "protected": True,
            "objects": now.objects,
            "objects_more": now.objects_more,
            "status": "unmanaged",
        }
        for now in observed.namespaces
        if now.script_name in recorded_scripts and now.namespace_id not in ids
    ]
    # "~" sorts behind every stable ID: what has none comes last.
    return tuple(sorted(rows, key=lambda row: (row.get("stable_id") or "~", row.get("namespace_id") or "")))


def more_objects(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a frame of namespaces says below these rows, and has in its `attrs`, of counts that went on."""
    more = [row["stable_id"] or row["namespace_id"] for row in rows if row.get("objects_more")]
    return {"said": f"More objects than that: {', '.join(more)}." if more else "", "more_objects": more}


def state_rows(recorded: Recorded) -> tuple[dict[str, Any], ...]:
    """Return the rows of the state file's namespaces, class history included."""
    return tuple(
        {
            "stable_id": n.stable_id,
            "namespace_id": n.namespace_id,
            "worker": n.script_name,
            "class_name": n.class_name,
            "class_history": " → ".join(n.class_history or (n.class_name,)),
            "storage": str(n.storage),
            "serial": recorded.serial,
        }
        for n in recorded.namespaces
    )


def worker_rows(
    catalog: Catalog,
    names: Mapping[str, str],
    recorded: Recorded,
    observed: Observed,
    urls: Mapping[str, str | None],
) -> tuple[dict[str, Any], ...]:
    """Join Workers by script name; `names` maps Worker id to script name, `urls` script name to URL."""
    live = {s.name: s for s in observed.scripts}
    known = {w.id for w in recorded.workers}
    # An inspector is declared by its namespaces, and nobody has to declare it once more.
    declared = catalog.workers.keys() | {w.id for w in recorded.workers if w.inspector}
    return tuple(
        {
            "id": id_,
            "name": name,
            "url": urls.get(name),
            "etag": live[name].etag if name in live else None,
            "modified_on": live[name].modified_on if name in live else None,
            "lifecycle": live[name].lifecycle if name in live else None,
            "migration_tag": live[name].migration_tag if name in live else None,
            "status": _status(id_ in declared, recorded=id_ in known, live=name in live),
        }
        for id_, name in sorted(names.items())
    )
