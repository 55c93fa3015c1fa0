"""The account: scripts, versions, deployments, namespaces, in one SQLite database under the data directory.

Every change is one transaction (WAL, synchronous=FULL): what was answered is on the disk, what was not answered is
either whole or absent. What reads need of the deployed state is also held in memory, so that a thousand idle
Workers cost a few megabytes and no queries.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.local.account.blobs import Blobs
from notebook_do.local.account.records import (
    Deployment,
    Script,
    Version,
    bound_names,
    bound_namespaces,
    content_digests,
    followed,
    open_database,
    runnable,
)
from notebook_do.local.account.workflows import Workflow, Workflows
from notebook_do.local.rules.namespaces import AccountFacts, AccountNamespace, ScriptFacts, Switches
from notebook_do.local.services.server import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from notebook_do.local.account.blobs import Incoming
    from notebook_do.local.runtime.spec import RunnableWorker

KEPT_VERSIONS = 100
"""How many versions and deployments of a script are kept, besides those that serve."""


def now() -> str:
    """Return the time as the API writes it."""
    return time_text(time.time())


def time_text(seconds: float) -> str:
    """Return a Unix time as the API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """One transaction: a script as it is afterwards, and what is new with it."""

    script: Script
    version: Version | None = None
    deployment: Deployment | None = None
    namespaces: tuple[AccountNamespace, ...] | None = None
    deleted: tuple[str, ...] = ()
    others: tuple[Script, ...] = ()
    workflows: tuple[Workflow, ...] = ()


class Account:
    """The account's state; to be used from one thread."""

    def __init__(self, data: Path) -> None:
        self.blobs = Blobs(data)
        self._db = open_database(data / "account.sqlite")
        self.id = self._meta("account_id", secrets.token_hex(16))
        self.created_on = self._meta("created_on", now())
        self.scripts = {s.name: s for (b,) in self._db.execute("SELECT body FROM script") if (s := Script.from_json(b))}
        self.active: dict[str, Deployment] = {}
        self.serving: dict[str, Version] = {}
        for name in self.scripts:
            self._reload_active(name)
        self.namespaces: dict[str, AccountNamespace] = {}
        self._hosted: dict[str, list[AccountNamespace]] = {}
        self._runnable: dict[str, RunnableWorker] = {}
        self.workflows = Workflows(self._db)
        self._reload_namespaces()
        self.blobs.sweep(self._digests(), incoming=True)  # what a killed server received or kept for no record

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # --- reading

    def _meta(self, key: str, default: str) -> str:
        with transaction(self._db) as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, default))
        return self.setting(key) or default

    def setting(self, key: str) -> str | None:
        """Return one property of the account; None where it was never set."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def set_setting(self, key: str, value: str) -> None:
        """Remember one property of the account."""
        with transaction(self._db) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def version(self, script: str, version_id: str) -> Version | None:
        """Return one version of a script."""
        query = "SELECT body FROM version WHERE id = ? AND script = ?"
        row = self._db.execute(query, (version_id, script)).fetchone()
        return Version.from_json(row[0]) if row else None

    def versions(self, script: str, *, newest: int = -1) -> list[Version]:  # -1 is SQLite's "no limit"
        """List the versions of a script, newest first."""
        query = "SELECT body FROM version WHERE script = ? ORDER BY number DESC LIMIT ?"
        return [Version.from_json(body) for (body,) in self._db.execute(query, (script, newest))]

    def latest(self, script: str) -> Version | None:
        """Return the newest version, deployed or not, with the present labels of what it binds."""
        newest = next(iter(self.versions(script, newest=1)), None)
        return newest and followed(newest, script, self.namespaces)

    def current(self, script: str) -> Version | None:
        """Return the version that runs, with the present labels of what it binds."""
        version = self.serving.get(script)
        return version and followed(version, script, self.namespaces)

    def deployments(self, script: str) -> list[Deployment]:
        """List the deployments of a script, newest first."""
        query = "SELECT body FROM deployment WHERE script = ? ORDER BY serial DESC"
        return [Deployment.from_json(body) for (body,) in self._db.execute(query, (script,))]

    def schedules(self, script: str) -> list[tuple[str, str]]:
        """List the cron triggers of a script with the time they were made."""
        query = "SELECT cron, created_on FROM schedule WHERE script = ? ORDER BY cron"
        return list(self._db.execute(query, (script,)))

    def deleted_namespaces(self) -> list[str]:
        """List the deleted namespaces whose objects may still lie on the disk."""
        return [i for (i,) in self._db.execute("SELECT namespace_id FROM doomed")]

    def facts(self) -> AccountFacts:
        """Return what the lifecycle rules decide from."""
        scripts = {}
        for name, script in self.scripts.items():
            version = self.serving.get(name)
            scripts[name] = ScriptFacts(
                migration_tag=script.migration_tag,
                declarative=script.declarative,
                exports=(version and version.exports) or {},
                bound=frozenset(bound_namespaces(version)) if version else frozenset(),
                names=frozenset(bound_names(version, name)) if version else frozenset(),
            )
        switches = Switches(free_plan=self.setting("free_plan") == "yes", kv_closed=self.setting("kv_closed") == "yes")
        return AccountFacts(scripts=scripts, namespaces=tuple(self.namespaces.values()), switches=switches)

    def hosted(self, script: str) -> list[AccountNamespace]:
        """List the namespaces of one script."""
        return list(self._hosted.get(script, ()))

    def runnable(self) -> list[RunnableWorker]:
        """Return everything that is deployed, ready to run; only what changed since the last call is made anew."""
        for name in self.workflows.touched(self.serving):
            self._runnable.pop(name, None)
        for name in self.serving.keys() - self._runnable.keys():
            version, flows = followed(self.serving[name], name, self.namespaces), self.workflows.by_name
            self._runnable[name] = runnable(self.blobs, name, version, self.hosted(name), flows)
        return list(self._runnable.values())

    # --- changing

    def apply(self, change: AccountChange) -> None:
        """Make one change, all of it or nothing."""
        name = change.script.name
        with transaction(self._db) as db:
            scripts = [(s.name, s.to_json()) for s in (change.script, *change.others)]
            db.executemany("INSERT OR REPLACE INTO script VALUES (?, ?)", scripts)
            if change.version is not None:
                self._insert_version(db, name, change.version)
            if change.deployment is not None:
                row = (change.deployment.id, name, change.deployment.to_json())
                db.execute("INSERT INTO deployment (id, script, body) VALUES (?, ?, ?)", row)
            if change.namespaces is not None:
                self._replace_namespaces(db, change.namespaces)
            db.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", [(i,) for i in change.deleted])
            self.workflows.write(db, change.workflows)
            freed = self._prune(db, name)
        # Memory follows only now: after a failed transaction it is as the disk is.
        self.scripts.update({s.name: s for s in (change.script, *change.others)})
        self._reload_active(name)
        self._runnable.pop(name, None)
        self.workflows.take_in(change.workflows)
        if change.namespaces is not None:
            self._set_namespaces(change.namespaces)
        self.blobs.drop(freed)

    def delete_script(self, name: str) -> list[str]:
        """Remove a script with its namespaces; returns their ids, whose objects are to be removed from now on."""
        gone = [n.id for n in self.hosted(name)]  # noted as deleted with the rest: a kill leaves the files for the next
        with transaction(self._db) as db:
            db.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", [(i,) for i in gone])
            db.execute("DELETE FROM namespace WHERE script = ?", (name,))
            freed = self._delete_versions(db, [v.id for v in self.versions(name)])
            for table, column in (("deployment", "script"), ("schedule", "script"), ("script", "name")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608 - constants above
        self.scripts.pop(name)
        self.active.pop(name, None)
        self.serving.pop(name, None)
        self._runnable.pop(name, None)
        self._set_namespaces(n for n in self.namespaces.values() if n.script != name)
        self.blobs.drop(freed)
        return gone

    def delete_version(self, version_id: str) -> None:
        """Remove one version that does not serve."""
        with transaction(self._db) as db:
            freed = self._delete_versions(db, [version_id])
        self.blobs.drop(freed)

    def delete_deployment(self, deployment_id: str) -> None:
        """Remove one deployment from the history."""
        with transaction(self._db) as db:
            db.execute("DELETE FROM deployment WHERE id = ?", (deployment_id,))

    def rename_script(self, name: str, to: str) -> None:
        """Give a script another name; ids, versions and namespaces stay."""
        with transaction(self._db) as db:
            body = json.dumps({**json.loads(self.scripts[name].to_json()), "name": to, "modified_on": now()})
            db.execute("DELETE FROM script WHERE name = ?", (name,))
            db.execute("INSERT INTO script VALUES (?, ?)", (to, body))
            for table in ("version", "deployment", "namespace", "schedule"):
                db.execute(f"UPDATE {table} SET script = ? WHERE script = ?", (to, name))  # noqa: S608 - constants above
            self.workflows.moved(db, name, to)
        self.workflows.read()
        self.scripts.pop(name)
        self.scripts[to] = Script.from_json(body)
        self.active.pop(name, None)
        self.serving.pop(name, None)
        self._reload_active(to)
        self._runnable.pop(name, None)
        self._reload_namespaces()

    def set_schedules(self, script: str, crons: Iterable[str]) -> None:
        """Replace the cron triggers of a script; those that stay keep their time."""
        wanted = list(crons)
        with transaction(self._db) as db:
            known = {cron for cron, _ in self.schedules(script)}
            db.executemany(
                "DELETE FROM schedule WHERE script = ? AND cron = ?", [(script, c) for c in known - set(wanted)]
            )
            made = [(script, cron, now()) for cron in wanted]
            db.executemany("INSERT OR IGNORE INTO schedule VALUES (?, ?, ?)", made)

    def forgotten(self, namespace_id: str) -> None:
        """Note that the objects of a deleted namespace are gone from the disk."""
        with transaction(self._db) as db:
            db.execute("DELETE FROM doomed WHERE namespace_id = ?", (namespace_id,))

    def incoming(self) -> AbstractContextManager[Incoming]:
        """Let an upload keep contents; in the end those go again that no record refers to, as after a failure."""
        return self.blobs.incoming(self._refers_to)

    def _refers_to(self, digest: str) -> bool:
        return self._db.execute("SELECT 1 FROM module WHERE digest = ?", (digest,)).fetchone() is not None

    def _digests(self) -> list[str]:
        return [digest for (digest,) in self._db.execute("SELECT DISTINCT digest FROM module")]

    def _insert_version(self, db: sqlite3.Connection, script: str, version: Version) -> None:
        db.execute("INSERT INTO version VALUES (?, ?, ?, ?)", (version.id, script, version.number, version.to_json()))
        rows = [(version.id, digest) for digest in content_digests(version.code, version.assets)]
        db.executemany("INSERT INTO module VALUES (?, ?)", rows)

    def _replace_namespaces(self, db: sqlite3.Connection, after: Iterable[AccountNamespace]) -> None:
        wanted = {n.id: n for n in after}
        changed = [i for i, n in self.namespaces.items() if wanted.get(i) != n]
        # All changed ones first: two that exchange their names would break the uniqueness of names in between.
        db.executemany("DELETE FROM namespace WHERE id = ?", [(i,) for i in changed])
        fresh = [n for i, n in wanted.items() if self.namespaces.get(i) != n]
        rows = [(n.id, n.script, n.class_name, int(n.sqlite)) for n in fresh]
        db.executemany("INSERT INTO namespace VALUES (?, ?, ?, ?)", rows)

    def _prune(self, db: sqlite3.Connection, script: str) -> list[str]:
        """Delete the oldest history of a script; returns the digests that no version refers to any more."""
        query = "SELECT serial, body FROM deployment WHERE script = ? ORDER BY serial DESC"
        rows = list(db.execute(query, (script,)))
        db.executemany("DELETE FROM deployment WHERE serial = ?", [(serial,) for serial, _ in rows[KEPT_VERSIONS:]])
        serving = {version for _, body in rows[:1] for version, _ in Deployment.from_json(body).versions}
        numbered = db.execute("SELECT id FROM version WHERE script = ? ORDER BY number DESC", (script,))
        old = [i for (i,) in list(numbered)[KEPT_VERSIONS:] if i not in serving]
        return self._delete_versions(db, old)

    def _delete_versions(self, db: sqlite3.Connection, ids: list[str]) -> list[str]:
        freed: list[str] = []
        for version_id in ids:
            digests = [d for (d,) in db.execute("SELECT digest FROM module WHERE version = ?", (version_id,))]
            db.execute("DELETE FROM version WHERE id = ?", (version_id,))
            db.execute("DELETE FROM module WHERE version = ?", (version_id,))
            freed += [d for d in digests if not self._refers_to(d)]
        return freed

    def _reload_namespaces(self) -> None:
        rows = self._db.execute("SELECT id, script, class_name, sqlite FROM namespace")
        self._set_namespaces(AccountNamespace(id=i, script=s, class_name=c, sqlite=bool(q)) for i, s, c, q in rows)

    def _set_namespaces(self, namespaces: Iterable[AccountNamespace]) -> None:
        """Replace the account's namespaces; what hosts or binds a changed one must be made ready to run again."""
        before, self.namespaces = self.namespaces, {n.id: n for n in namespaces}
        self._hosted = {}
        for namespace in self.namespaces.values():
            self._hosted.setdefault(namespace.script, []).append(namespace)
        changed = {i for i in before.keys() | self.namespaces.keys() if before.get(i) != self.namespaces.get(i)}
        hosts = {n.script for side in (before, self.namespaces) for i, n in side.items() if i in changed}
        for name, version in self.serving.items():
            if name in hosts or not changed.isdisjoint(bound_namespaces(version)):
                self._runnable.pop(name, None)

    def _reload_active(self, name: str) -> None:
        query = "SELECT body FROM deployment WHERE script = ? ORDER BY serial DESC LIMIT 1"
        row = self._db.execute(query, (name,)).fetchone()
        if row is None:
            return
        deployment = Deployment.from_json(row[0])
        self.active[name] = deployment
        version = self.version(name, deployment.serving)
        if version is not None:
            self.serving[name] = version


def new_version_id() -> str:
    """Return a fresh version or deployment id."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """Return a fresh namespace id or script tag: 32 random hex digits.

    Random and not made of names: a namespace keeps its id when its labels change, and a name may be used again.
    """
    return secrets.token_hex(16)
