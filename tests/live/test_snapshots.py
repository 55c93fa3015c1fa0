"""Snapshots of objects and their way back, on real workerd: content and alarm, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.errors import CommandError, ConsentRequired, DurableError, StaleChange, TargetError
from notebook_do.local.objects import snapshots, stored

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS messages (author TEXT)");
  }
  post(author) { this.ctx.storage.sql.exec("INSERT INTO messages VALUES (?)", author); }
  put(key, value) { return this.ctx.storage.put(key, value); }
  get(key) { return this.ctx.storage.get(key); }
  ring(at) { return this.ctx.storage.setAlarm(at); }
  async alarm() {
    if (await this.ctx.storage.get("endless")) {
      await this.ctx.storage.put("begun", true);
      await new Promise((done) => setTimeout(done, 600_000));
    }
    await this.ctx.storage.put("rang", true);
  }
}
export class Hut extends DurableObject { put(key, value) { return this.ctx.storage.put(key, value); } }
export default { async fetch() { return new Response("ok"); } };
"""
NAMESPACE = "0" * 32
FIVE = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)


def deployed() -> nd.Session:
    """Deploy rooms, and huts, which keep keys and values only."""
    session = nd.session("snapshots")
    bindings = {
        "ROOMS": nd.DurableObjectNamespace("rooms", class_name="Room"),
        "HUTS": nd.DurableObjectNamespace("huts", class_name="Hut", sqlite=False),
    }
    nd.Worker("chat", script=ROOM, bindings=bindings)
    session.deploy(session.plan())
    return session


@pytest.fixture
def session(cloud: Path) -> nd.Session:
    """Deploy, and fill the kitchen."""
    del cloud
    session = deployed()
    room = session.object("rooms", "kitchen")
    room.post("ada")
    room.call("put", "topic", {"big": 2**53 + 1, "raw": b"\x00"})
    room.ring(round(FIVE.timestamp() * 1000))
    return session


def _until(done: Callable[[], bool]) -> None:
    """Wait for what the local Cloudflare does by itself; a test fails after a minute."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_snapshot_is_put_back_whole(session: nd.Session, cloud: Path) -> None:
    """Rows, values and the alarm are as they were, also in an object that is awake; it is told what would be lost."""
    room = session.object("rooms", "kitchen")
    held = room.values()["value"].tolist()
    taken = room.snapshot(cloud / "kitchen.ndsnap")
    assert "1 table with 1 row, 1 key and the alarm of" in str(taken)
    assert "%durable restore rooms kitchen" in str(taken)
    assert re.search(r"messages +1 row\n", str(taken))
    room.post("grace")
    room.call("put", "topic", "new")
    room.ring(round((FIVE + timedelta(hours=1)).timestamp() * 1000))
    change = room.restore(taken)
    assert "1 table with 2 rows, 1 key" in str(change)
    assert re.search(r"replace +table messages +2 rows +1 row\n", str(change)), "each table by name, before and after"
    assert re.search(r"replace +keys +1 +1\n", str(change))
    assert re.search(r"replace +alarm +\S+ 0?\S+ UTC +\S+ \S+ UTC\n", str(change))
    assert change.phrase == f"delete kitchen {taken.object_id[-8:]}"
    with pytest.raises(ConsentRequired):
        session.apply(change)
    with pytest.raises(CommandError, match="the content is not that of the snapshot that was shown; nothing was sent"):
        session.apply(replace(room.restore(taken), content=b"another"), confirm=change.phrase)
    session.apply(change, confirm=change.phrase)
    assert room.query("SELECT author FROM messages")["author"].tolist() == ["ada"]
    assert (room.values()["value"].tolist(), room.alarm()) == (held, FIVE)
    assert room.call("get", "topic") == held[0], "the object itself has it too"
    stale = room.restore(cloud / "kitchen.ndsnap")
    room.post("late")
    with pytest.raises(StaleChange, match="kitchen moved"):
        session.apply(stale, confirm=stale.phrase or "")
    assert len(room.query("SELECT * FROM messages")) == 2


def test_a_restored_alarm_rings(session: nd.Session, cloud: Path) -> None:
    """An alarm that was due when its snapshot was taken is set again, and rings: it is no number in a file."""
    room = session.object("rooms", "kitchen")
    soon = datetime.now(UTC) + timedelta(seconds=6)
    room.ring(round(soon.timestamp() * 1000))
    taken = room.snapshot(cloud / "soon.ndsnap")
    change = room.wipe()
    session.apply(change, confirm=change.phrase or "")
    change = room.restore(taken)
    session.apply(change, confirm=change.phrase or "")
    _until(lambda: "rang" in room.values()["key"].tolist())
    _until(lambda: room.alarm() is None)  # it is gone when alarm() has come to its end
    assert room.values()["key"].tolist().count("rang") == 1


def test_a_snapshot_of_another_object_is_refused_or_said(session: nd.Session, cloud: Path) -> None:
    """It needs `other=True`; one of another kind of storage is never taken, and a file that is none is refused."""
    room, other = session.object("rooms", "kitchen"), session.object("rooms", "attic")
    other.post("bob")
    taken = room.snapshot(cloud / "kitchen.ndsnap")
    with pytest.raises(CommandError, match=r"the snapshot is of kitchen of rooms, another object; say other=True"):
        other.restore(taken)
    change = other.restore(taken, other=True)
    session.apply(change, confirm=change.phrase or "")
    assert other.query("SELECT author FROM messages")["author"].tolist() == ["ada"]
    assert other.alarm() == room.alarm() == FIVE
    session.object("huts", "one").call("put", "n", 1)
    with pytest.raises(CommandError, match="has sqlite storage; huts has kv, so it cannot take it"):
        session.object("huts", "one").restore(taken, other=True)
    for nowhere in (cloud / "kitchen.ndsnap" / "x", cloud / ("x" * 300)):
        with pytest.raises(CommandError, match="cannot be written"):
            room.snapshot(nowhere)
    there = r"kitchen\.ndsnap is there already and was left as it is; name another file: "
    (cloud / "kitchen-2.ndsnap").touch()
    with pytest.raises(CommandError, match=rf"{there}%durable snapshot rooms kitchen \S+/kitchen-3\.ndsnap$"):
        room.snapshot(cloud / "kitchen.ndsnap")
    with pytest.raises(CommandError, match="there is no file"):
        room.restore(cloud / "none.ndsnap")


def test_a_damaged_snapshot_is_refused(session: nd.Session, cloud: Path) -> None:
    """A file that is no snapshot, was changed, or was exchanged changes nothing, whatever it says of itself."""
    room = session.object("rooms", "kitchen")
    taken = room.snapshot(cloud / "kitchen.ndsnap")
    text = cloud / "text.ndsnap"
    text.write_text("no snapshot")
    with pytest.raises(CommandError, match="is no snapshot of an object that can be read"):
        room.restore(text)
    with zipfile.ZipFile(taken.path) as archive:
        about, content = json.loads(archive.read("snapshot.json")), archive.read("object.sqlite")

    def forged(name: str, content: bytes, **more: str) -> Path:
        with zipfile.ZipFile(cloud / name, "w") as archive:
            archive.writestr("snapshot.json", json.dumps({**about, **more}))
            archive.writestr("object.sqlite", content)
        return cloud / name

    with pytest.raises(CommandError, match="it is damaged"):
        room.restore(forged("cut.ndsnap", content[:-1]))
    with pytest.raises(CommandError, match=r"its version is 9"):
        room.restore(forged("later.ndsnap", content, version="9"))
    noise = b"noise" * 2000
    for name, none in (("noise", noise), ("empty", b"")):
        with pytest.raises(CommandError, match="its content is no SQLite file"):
            room.restore(forged(f"{name}.ndsnap", none, digest=hashlib.sha256(none).hexdigest()))
        # And the Cloudflare itself takes none, whoever sends it.
        change = room.restore(taken)
        op = json.dumps({**json.loads(change.edits[0].op), "content": hashlib.sha256(none).hexdigest()})
        change = replace(change, edits=(replace(change.edits[0], op=op),), content=none)
        with pytest.raises(DurableError, match="no SQLite file"):
            session.apply(replace(change, made=f"x {change.digest}"), confirm=change.phrase or "")
    assert room.query("SELECT author FROM messages")["author"].tolist() == ["ada"]
    shutil.copyfile(forged("other.ndsnap", noise, digest=hashlib.sha256(noise).hexdigest()), taken.path)
    with pytest.raises(CommandError, match="is not the snapshot that was taken there"):
        room.restore(taken)


def test_keys_and_values_alone_are_snapshot_too(session: nd.Session, cloud: Path) -> None:
    """An object of a class without SQL comes back as well."""
    hut = session.object("huts", "one")
    hut.call("put", "n", [1])
    taken = hut.snapshot(cloud / "hut.ndsnap")
    hut.call("put", "n", [2])
    change = hut.restore(taken)
    session.apply(change, confirm=change.phrase or "")
    assert hut.values()["value"].tolist() == [[1]]


def test_requests_wait_while_an_object_is_restored(session: nd.Session, cloud: Path) -> None:
    """A call that comes in the middle meets the restored object, or the one before; it is not lost."""
    room = session.object("rooms", "kitchen")
    taken = room.snapshot(cloud / "kitchen.ndsnap")
    change = room.restore(taken)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(room.call("get", "topic"))) for _ in range(8)]
    for thread in threads[:4]:
        thread.start()
    session.apply(change, confirm=change.phrase or "")
    for thread in threads[4:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"big": 2**53 + 1, "raw": b"\x00"}] * 8


KILLED = """
import sys
from pathlib import Path
from notebook_do.local.objects import snapshots, stored
path, copy = map(Path, sys.argv[1:])
print("begun", flush=True)
while True:
    snapshots.restore(path, copy, "kitchen")
"""


def test_a_kill_in_the_middle_of_a_restore_leaves_a_whole_object(session: nd.Session, cloud: Path) -> None:
    """Killed at any moment (SIGKILL), the object is as before or as the snapshot; the next start sets its alarm."""
    room = session.object("rooms", "kitchen")
    for number in range(40):
        room.call("put", f"key {number}", "x" * 20_000)
    room.snapshot(cloud / "large.ndsnap")
    session.close()
    with zipfile.ZipFile(cloud / "large.ndsnap") as archive:
        large = archive.read("object.sqlite")
    (cloud / NAMESPACE).mkdir()
    small, path = cloud / "small.sqlite", cloud / NAMESPACE / f"{'0' * 64}.sqlite"
    (cloud / "copy.sqlite").write_bytes(large)
    path.write_bytes(large)
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(small)) as other, database:
        database.execute("DELETE FROM _cf_KV WHERE key > 'key 0'")
        database.execute("UPDATE _cf_METADATA SET value = 7 WHERE key = 1")
        database.commit()
        database.backup(other)
    met = set()
    for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.05):
        with closing(sqlite3.connect(small)) as before, closing(sqlite3.connect(path)) as now:
            before.backup(now)
        running = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(cloud / "copy.sqlite")], stdout=subprocess.PIPE
        )
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(delay)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            keys = database.execute("SELECT count(*) FROM _cf_KV").fetchone()[0]
            (alarm,) = database.execute("SELECT value FROM _cf_METADATA WHERE key = 1").fetchone()
        assert (keys, alarm == 7) in {(1, True), (41, False)}
        met.add(keys)
        snapshots.finish(cloud)
        assert list(path.parent.glob("*.restoring")) == []
        row = next(iter(stored.alarms(cloud, NAMESPACE)), None)
        set_ = None if row is None else round(row.at * 1e9)
        assert set_ == pytest.approx(alarm, rel=1e-12) or (set_ is None and keys == 1)
    assert met, "some were killed before, some after"


@pytest.mark.thorough
def test_a_kill_of_the_process_in_the_middle_is_not_known_and_not_repeated(session: nd.Session) -> None:
    """The process is killed while alarm() runs: what became of it is not known, and the change is spent."""
    room = session.object("rooms", "kitchen")
    room.call("put", "endless", 1)
    change = room.run_alarm()
    errors: list[BaseException] = []

    def apply() -> None:
        try:
            session.apply(change)
        except DurableError as error:
            errors.append(error)

    thread = threading.Thread(target=apply)
    thread.start()
    _until(lambda: "begun" in room.values()["key"].tolist())
    assert errors == [], "alarm() is running"
    for pid in _workerds():
        os.kill(pid, signal.SIGKILL)
    thread.join(60)
    (error,) = errors
    assert isinstance(error, TargetError)
    assert "whether it was done is not known, and it was not repeated" in str(error)
    with pytest.raises(CommandError, match="was begun to be sent before, and whether it was is not known"):
        session.apply(change)
    assert room.call("get", "rang") is None
    session.apply(room.put("topic", "after"))
    assert room.call("get", "topic") == "after"


def _workerds() -> list[int]:
    """Return the workerd processes of the local Cloudflare of the tests."""
    data, found = os.environ["NOTEBOOK_DO_DATA"].encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            found += [int(process.name)] if b"workerd\0serve" in words and data in words else []
    return found
