"""The account's database: upgraded, all or nothing, bounded; modules under their digests only."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from notebook_do.errors import TargetError
from notebook_do.local.account import records as module
from notebook_do.local.account.account import Account, AccountChange, new_hex_id, new_version_id, now
from notebook_do.local.account.blobs import Blobs
from notebook_do.local.account.records import Deployment, Script, ScriptCode, StoredModule, Version
from notebook_do.local.rules.namespaces import AccountNamespace
from notebook_do.local.runtime.spec import Export, ProbeReport

if TYPE_CHECKING:
    from pathlib import Path

REPORT = ProbeReport(
    exports=(Export(name="Counter", kind="durable-object", handlers=("fetch",)),),
    default_handlers=("fetch",),
    startup_ms=3,
)


def change(account: Account, name: str, content: bytes = b"code", **more: object) -> AccountChange:
    """Make a change that uploads one module."""
    script = account.scripts.get(name) or Script(name=name, tag=new_hex_id(), created_on=now(), modified_on=now())
    digest = account.blobs.store(content)
    version = Version(
        id=new_version_id(),
        number=script.next_number,
        created_on=now(),
        source="api",
        code=ScriptCode(
            main_module="index.js",
            modules=(StoredModule(name="index.js", content_type="text/plain", digest=digest, size=len(content)),),
            report=REPORT,
        ),
        etag=digest,
        bindings=({"type": "secret_text", "name": "K", "text": "t"},),
        exports={"A": {"type": "worker"}},
        options={"limits": {"cpu_ms": 1}},
    )
    deployment = Deployment(id=new_version_id(), created_on=now(), source="api", versions=((version.id, 100.0),))
    script = replace(script, next_number=script.next_number + 1)
    return AccountChange(script=script, version=version, deployment=deployment, **more)  # type: ignore[arg-type]


def test_everything_comes_back(tmp_path: Path) -> None:
    """What was applied is the same after the database was opened again, to the last field."""
    account = Account(tmp_path)
    namespace = AccountNamespace(id=new_hex_id(), script="a", class_name="Counter", sqlite=True)
    made = change(account, "a", namespaces=(namespace,))
    account.apply(made)
    account.set_schedules("a", ["* * * * *"])
    account.close()
    again = Account(tmp_path)
    assert (again.id, again.scripts) == (account.id, {"a": made.script})
    assert (again.serving, again.active) == ({"a": made.version}, {"a": made.deployment})
    assert again.namespaces == {namespace.id: namespace}
    assert [cron for cron, _ in again.schedules("a")] == ["* * * * *"]
    (worker,) = again.runnable()
    assert worker.modules[0].path.read_bytes() == b"code"
    assert "K" not in repr(worker)
    again.close()


def test_a_change_is_all_or_nothing(tmp_path: Path) -> None:
    """A change that fails half way leaves the database and the memory as they were."""
    account = Account(tmp_path)
    account.apply(change(account, "a"))
    one = AccountNamespace(id=new_hex_id(), script="a", class_name="Counter", sqlite=True)
    two = AccountNamespace(id=new_hex_id(), script="a", class_name="Counter", sqlite=True)
    before = (dict(account.scripts), dict(account.serving), account.versions("a"), dict(account.namespaces))
    with pytest.raises(sqlite3.IntegrityError):
        account.apply(change(account, "a", b"more", namespaces=(one, two)))
    assert (dict(account.scripts), dict(account.serving), account.versions("a"), dict(account.namespaces)) == before
    account.close()
    again = Account(tmp_path)
    assert again.versions("a") == before[2]
    assert [p.read_bytes() for p in (tmp_path / "modules").glob("*/*")] == [b"code"], "the leftover was swept"
    again.close()


def test_swapped_labels_are_one_change(tmp_path: Path) -> None:
    """Two namespaces can exchange their classes in one transaction."""
    account = Account(tmp_path)
    first = AccountNamespace(id="1", script="a", class_name="A", sqlite=True)
    second = AccountNamespace(id="2", script="a", class_name="B", sqlite=False)
    account.apply(change(account, "a", namespaces=(first, second)))
    swapped = (replace(first, class_name="B"), replace(second, class_name="A"))
    account.apply(change(account, "a", namespaces=swapped))
    account.close()
    again = Account(tmp_path)
    assert set(again.namespaces.values()) == set(swapped)
    again.close()


def test_an_older_database_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step runs once, in order, and the number of steps is the version; an unknown version is refused."""
    account = Account(tmp_path)
    account.apply(change(account, "a"))
    account.close()
    steps = (*module.UPGRADES, "CREATE TABLE extra (x INTEGER); INSERT INTO extra VALUES (1);")
    monkeypatch.setattr(module, "UPGRADES", steps)
    for _ in range(2):
        upgraded = Account(tmp_path)
        assert list(upgraded.scripts) == ["a"]
        assert upgraded._db.execute("SELECT count(*) FROM extra").fetchone() == (1,)
        upgraded.close()
    monkeypatch.setattr(module, "UPGRADES", module.UPGRADES[:1])
    with pytest.raises(TargetError, match="newer notebook_do"):
        Account(tmp_path)


def test_a_failed_upgrade_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that breaks is rolled back, so that the next program can do it again."""
    Account(tmp_path).close()
    steps = (*module.UPGRADES, "CREATE TABLE extra (x INTEGER); INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr(module, "UPGRADES", steps)
    with pytest.raises(sqlite3.OperationalError):
        Account(tmp_path)
    with sqlite3.connect(tmp_path / "account.sqlite") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(steps) - 1,)
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (0,)


def test_shared_modules_live_until_the_last_version_goes(tmp_path: Path) -> None:
    """Equal contents are stored once; a delete removes only what nobody else uses."""
    account = Account(tmp_path)
    account.apply(change(account, "a", b"same"))
    account.apply(change(account, "b", b"same"))
    account.apply(change(account, "b", b"other"))
    files = tmp_path / "modules"
    assert sorted(p.read_bytes() for p in files.glob("*/*")) == [b"other", b"same"]
    account.delete_script("b")
    assert [p.read_bytes() for p in files.glob("*/*")] == [b"same"]
    account.close()


def test_contents_are_on_the_disk_under_their_digest_only(tmp_path: Path) -> None:
    """A kept file is named by its digest; a discarded or half-received one leaves nothing."""
    blobs = Blobs(tmp_path)
    kept, lost = blobs.receive(), blobs.receive()
    kept.write(b"abc")
    lost.write(b"abc")
    digest = blobs.keep(kept)
    lost.discard()
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert blobs.path(digest).read_bytes() == b"abc"
    assert not list((tmp_path / "incoming").iterdir())
    assert blobs.keep(again := blobs.receive()) != digest
    assert not again.path.exists()
