"""Frames of objects on the real local Cloudflare: name first, size, last write, alarm; and their dtypes when empty."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.bridge import bridge
from notebook_do.live.objects import RecentWrites, recent_writes

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = ["name", "object_id", "size", "last_write", "alarm", "stored", "stable_id"]
VALUES = ["name", "key", "value", "size", "object_id", "stable_id"]
SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  put(key, value) { return this.ctx.storage.put(key, value); }
  read(key) { return this.ctx.storage.get(key); }
  ring(at) { return this.ctx.storage.setAlarm(at); }
  alarm() {}
}
export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    const [method, ...args] = await request.json();
    const id = name.length === 64 ? env.ROOMS.idFromString(name) : env.ROOMS.idFromName(name);
    return Response.json((await env.ROOMS.get(id)[method](...args)) ?? null);
  },
};
"""


def deployed(source: str = SOURCE) -> nd.Session:
    """Deploy the rooms."""
    session = nd.session("frames")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("chat", script=source, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    return session


@pytest.mark.usefixtures("cloud")
def test_empty_frames_have_their_dtypes() -> None:
    """A namespace without objects gives the same columns and dtypes as one that has some."""
    session = deployed()
    empty = (session.objects("rooms"), session.values("rooms"))
    session.fetch("chat", "/kitchen", method="POST", json=["put", "topic", "cooking"])
    full = (session.objects("rooms"), session.values("rooms"))
    assert [list(one.columns) for one in full] == [OBJECTS, VALUES]
    for without, some in zip(empty, full, strict=True):
        assert (len(without), len(some)) == (0, 1)
        assert without.dtypes.to_dict() == some.dtypes.to_dict()
    kinds = {"size": "Int64", "last_write": "datetime64[ms, UTC]", "alarm": "datetime64[ms, UTC]", "stored": "bool"}
    assert {name: str(full[0][name].dtype) for name in kinds} == kinds
    assert full[1][["name", "key", "value", "size"]].to_numpy().tolist() == [["kitchen", "topic", "cooking", 11]]


@pytest.mark.usefixtures("cloud")
def test_size_alarm_and_what_is_not_known() -> None:
    """`size` is that of the database, `alarm` the one that is set; a name that nobody told is NA, as is no alarm."""
    session = deployed()
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=4)
    nameless = session.recorded().namespaces[0].namespace_id * 2
    session.fetch("chat", "/kitchen", method="POST", json=["put", "picture", "x" * 40_000])
    session.fetch("chat", "/kitchen", method="POST", json=["ring", round(at.timestamp() * 1000)])
    refused = session.fetch("chat", f"/{nameless}", method="POST", json=["put", "k", 1])
    assert refused.status_code == 500, "an id of another namespace is none of this one"
    session.fetch("chat", "/attic", method="POST", json=["put", "k", 1])
    found = session.objects("rooms").set_index("name")
    assert found["size"]["kitchen"] > 40_000 > found["size"]["attic"] >= 4096
    assert found["alarm"]["kitchen"] == at
    assert found["alarm"].isna().to_dict() == {"kitchen": False, "attic": True}
    assert found["stored"].all()


@pytest.mark.usefixtures("cloud")
def test_the_last_write_is_no_later_reading_and_no_end_of_a_process() -> None:
    """Neither a read, nor the end of the process that had the object open, is taken for a write."""
    session = deployed()
    before = datetime.now(UTC) - timedelta(milliseconds=100)
    session.fetch("chat", "/kitchen", method="POST", json=["put", "topic", "cooking"])
    written = session.objects("rooms")["last_write"].iloc[0]
    assert before < written < datetime.now(UTC)
    session.fetch("chat", "/kitchen", method="POST", json=["read", "topic"])
    assert session.objects("rooms")["last_write"].iloc[0] == written
    deployed(SOURCE + "// another version, so another process\n")
    assert session.objects("rooms")["last_write"].iloc[0] == written
    session.fetch("chat", "/kitchen", method="POST", json=["read", "topic"])
    assert session.objects("rooms")["last_write"].iloc[0] == written
    session.fetch("chat", "/kitchen", method="POST", json=["put", "topic", "gardening"])
    assert session.objects("rooms")["last_write"].iloc[0] > written


@pytest.mark.usefixtures("cloud")
def test_looking_leaves_a_sleeping_object_as_it_is(shared_data: Path) -> None:
    """No frame wakes an object or changes a byte of its file."""
    session = deployed()
    session.fetch("chat", "/kitchen", method="POST", json=["put", "topic", "cooking"])
    deployed(SOURCE + "// the process ends, and the object sleeps\n")
    id_ = session.objects("rooms")["object_id"].iloc[0]
    (file,) = (shared_data / "objects").glob(f"*/{id_}.sqlite")
    held = file.read_bytes()
    session.objects("rooms"), session.values("rooms"), session.query("rooms", "SELECT 1")
    assert file.read_bytes() == held
    assert isinstance(session.values("rooms"), pd.DataFrame)


@pytest.mark.usefixtures("cloud")
def test_what_was_written_lately_is_known_for_who_deletes() -> None:
    """How many objects were written within the hour, and the newest names, as a plan of a deletion may say."""

    async def asked(session: nd.Session) -> RecentWrites | None:
        connection = await session.connecting.connect()
        async with connection.client() as client:
            return await recent_writes(client, session.recorded().namespaces[0].namespace_id, most=2)

    session = deployed()
    assert bridge.run(asked(session)) is None
    for name in ("kitchen", "garden", "attic"):
        session.fetch("chat", f"/{name}", method="POST", json=["put", "topic", 1])
    session.fetch("chat", "/kitchen", method="POST", json=["put", "topic", 2])
    assert bridge.run(asked(session)) == RecentWrites(within_hour=3, newest=("kitchen", "attic"))


@pytest.mark.thorough
@pytest.mark.usefixtures("cloud")
def test_the_last_write_is_not_when_an_idle_object_was_closed() -> None:
    """Workerd closes an object ten seconds after its last use, and writes its file then: no write of the object."""
    session = deployed()
    session.fetch("chat", "/kitchen", method="POST", json=["put", "topic", "cooking"])
    written = session.objects("rooms")["last_write"].iloc[0]
    time.sleep(14)
    session.fetch("chat", "/kitchen", method="POST", json=["read", "topic"])
    assert session.objects("rooms")["last_write"].iloc[0] == written
