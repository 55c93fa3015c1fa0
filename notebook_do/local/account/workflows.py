"""The workflows of the account: each has a name of its own in the account, and one script that hosts it.

Its id is what its instances are kept under. A workflow outlives its script: deleted, that leaves it inactive with its
instances, and a script of the same name has it again. At Cloudflare an upload that binds a workflow makes none (10200
after it, as somebody measured), `PUT workflows/{name}` does; here one that nobody has begins with the upload as well,
as other resources begin with their first use, unless the server is strict.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.spec import HostedWorkflow
from notebook_do.local.services.server import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

    from notebook_do.local.account.records import Version

OPTIONS = ("limits", "concurrency", "schedules", "default_retention", "jurisdiction")
"""What a workflow has besides its class; kept and returned, of which limits and retention change something here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One workflow; `version_id` changes with its class and its options."""

    id: str
    name: str
    script: str
    class_name: str
    created_on: str
    modified_on: str
    version_id: str
    options: dict[str, Any] = field(default_factory=dict)

    def changed(self, at: str, version_id: str, **values: Any) -> Workflow:
        """Return it with other values, as of a new version where they differ."""
        after = replace(self, **values)
        return self if after == self else replace(after, modified_on=at, version_id=version_id)


class Workflows:
    """The account's workflows by name, in its database and in memory."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._stale: set[str] = set()
        self._hosts: set[str] = set()
        self.by_name: dict[str, Workflow] = {}
        self.read()

    def read(self) -> None:
        """Take all of them from the database."""
        bodies = self._db.execute("SELECT body FROM workflow")
        self.by_name = {w.name: w for (body,) in bodies if (w := Workflow(**json.loads(body)))}

    def of(self, script: str) -> list[Workflow]:
        """List the workflows of one script."""
        return [workflow for workflow in self.by_name.values() if workflow.script == script]

    def put(self, workflows: Iterable[Workflow]) -> None:
        """Make or change workflows."""
        listed = list(workflows)
        with transaction(self._db) as db:
            self.write(db, listed)
        self.take_in(listed)

    def write(self, db: sqlite3.Connection, workflows: Iterable[Workflow]) -> None:
        """Write workflows, in a transaction of the caller, who calls `take_in` after it."""
        db.executemany(
            "INSERT OR REPLACE INTO workflow VALUES (?, ?)", [(w.name, json.dumps(asdict(w))) for w in workflows]
        )

    def take_in(self, workflows: Iterable[Workflow]) -> None:
        """Take note of what was written."""
        for workflow in workflows:
            before = self.by_name.get(workflow.name, workflow)
            self.by_name[workflow.name] = workflow
            self._note(before, workflow)

    def _note(self, *workflows: Workflow) -> None:
        self._stale.update(workflow.name for workflow in workflows)
        self._hosts.update(workflow.script for workflow in workflows)

    def drop(self, name: str) -> Workflow:
        """Remove a workflow; its instances are to be removed from now on, also by the server after a kill."""
        workflow = self.by_name[name]
        with transaction(self._db) as db:
            db.execute("INSERT OR IGNORE INTO doomed VALUES (?)", (workflow.id,))
            db.execute("DELETE FROM workflow WHERE name = ?", (name,))
        self._note(workflow)
        return self.by_name.pop(name)

    def moved(self, db: sqlite3.Connection, script: str, to: str) -> None:
        """Follow a script that is renamed, in its transaction; the caller calls `read` after it."""
        self.write(db, [replace(workflow, script=to) for workflow in self.of(script)])
        self._note(*self.of(script))

    def touched(self, serving: Mapping[str, Version]) -> set[str]:
        """Return the scripts that host, hosted or bind what changed since the last call: they are made ready anew."""
        stale, hosts = self._stale, self._hosts
        self._stale, self._hosts = set(), set()
        return hosts | {name for name, version in serving.items() if stale and stale & _bound(version)}


def _bound(version: Version) -> set[str]:
    return {str(b.get("workflow_name")) for b in version.bindings if b["type"] == "workflow"}


def declared(
    script: str, bindings: Iterable[Mapping[str, Any]], exports: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return what an upload says of its own workflows, by name: their class, and options where it gives them."""
    found: dict[str, dict[str, Any]] = {}
    for binding in bindings:
        own = binding["type"] == "workflow" and binding.get("script_name") in {None, "", script}
        if own and binding.get("class_name"):
            found[binding["workflow_name"]] = {"class_name": binding["class_name"]}
    for class_name, entry in (exports or {}).items():
        if entry.get("type") == "workflow" and entry.get("name"):
            options = {key: entry[key] for key in OPTIONS if entry.get(key) is not None}
            found[entry["name"]] = {"class_name": class_name, "options": options}
    return found


def after_upload(
    known: Mapping[str, Workflow], script: str, version: Version, *, at: str, new_id: Callable[[], str]
) -> list[Workflow]:
    """Return the workflows that an upload makes or changes (emulated): those that nobody has, and those of its script.

    That of another script stays with it until it is put.
    """
    found = []
    for name, values in declared(script, version.bindings, version.exports).items():
        there = known.get(name) or _begun(name, script, values["class_name"], at=at, new_id=new_id)
        after = there.changed(at, new_id(), **values) if there.script == script else there
        found += [after] if after is not known.get(name) else []
    return found


def _begun(name: str, script: str, class_name: str, *, at: str, new_id: Callable[[], str]) -> Workflow:
    return Workflow(
        id=new_id(),
        name=name,
        script=script,
        class_name=class_name,
        created_on=at,
        modified_on=at,
        version_id=new_id(),
    )


def as_put(  # noqa: PLR0913 - what a request says, and what is new with it
    known: Mapping[str, Workflow],
    name: str,
    script: str,
    values: Mapping[str, Any],
    *,
    at: str,
    new_id: Callable[[], str],
) -> Workflow:
    """Return a workflow as `PUT workflows/{name}` leaves it: a new one, or with another script, class or options."""
    there = known.get(name) or _begun(name, script, values["class_name"], at=at, new_id=new_id)
    return there.changed(at, new_id(), script=script, **values)


def hosted(known: Mapping[str, Workflow], script: str, version: Version) -> tuple[HostedWorkflow, ...]:
    """Return the workflows of a script that a version of it can run: those whose classes its code has.

    What code exports that was not looked at yet, the upload says itself.
    """
    report = version.code.report
    named = {values["class_name"] for values in declared(script, version.bindings, version.exports).values()}
    there = {export.name for export in report.exports if export.kind == "workflow"}
    classes = there if report.exports or report.default_handlers else named
    own = (w for w in known.values() if w.script == script and w.class_name in classes)
    return tuple(_hosted(workflow) for workflow in sorted(own, key=lambda w: w.name))


def _hosted(workflow: Workflow) -> HostedWorkflow:
    kept = workflow.options.get("default_retention") or {}
    retention = {key: kept[f"{key}_retention"] for key in ("success", "error") if kept.get(f"{key}_retention")}
    return HostedWorkflow(
        workflow_id=workflow.id,
        name=workflow.name,
        class_name=workflow.class_name,
        steps=(workflow.options.get("limits") or {}).get("steps"),
        retention=retention,
    )


def tied(bindings: Iterable[dict[str, Any]], script: str, known: Mapping[str, Workflow]) -> tuple[dict[str, Any], ...]:
    """Return bindings in which each workflow has the script that hosts it now; its name decides, as at Cloudflare."""
    return tuple(_tied(binding, script, known) for binding in bindings)


def _tied(binding: dict[str, Any], script: str, known: Mapping[str, Workflow]) -> dict[str, Any]:
    workflow = known.get(binding["workflow_name"]) if binding["type"] == "workflow" else None
    if workflow is None:
        return binding
    rest = {key: value for key, value in binding.items() if key != "script_name"}
    return rest if workflow.script == script else {**rest, "script_name": workflow.script}
