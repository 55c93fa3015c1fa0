"""A namespace with more than 1,000 objects, on the real local Cloudflare: what is cut says so, and can go on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

OURS = {"notebook_do": "frame"}
"""What tells a frame of ours from another one, where it is shown."""
N = 1012
SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject { enter() { return this.ctx.storage.put("n", 1); } }
export default {
  async fetch(request, env) {
    await env.ROOMS.getByName("first").enter();
    return new Response("ok");
  },
};
"""


@pytest.fixture
def crowd(own_cloud: Path) -> nd.Session:
    """Deploy a Worker, enter a room, and put its file there for 1,011 more: to enter them all takes a minute."""
    session = nd.session("crowd")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room", protect=False)
    nd.Worker("chat", script=SOURCE, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    assert session.fetch("chat").text == "ok"
    (stored,) = (own_cloud / "local-data" / "objects").glob(f"*/{'[0-9a-f]' * 64}.sqlite")
    with closing(sqlite3.connect(stored)) as room, closing(sqlite3.connect(own_cloud / "copy.sqlite")) as copy:
        room.backup(copy)
    for number in range(1, N):
        shutil.copyfile(own_cloud / "copy.sqlite", stored.with_name(f"{number:064x}.sqlite"))
    return session


@pytest.mark.thorough
def test_more_than_a_thousand_is_said_everywhere(crowd: nd.Session, ip: InteractiveShell) -> None:
    """Table, frame, JSON, consent and `objects`: nowhere does 1,000 stand for all; `objects` reads on to the end."""
    assert "more than 1,000" in crowd.show("namespaces")._repr_mimebundle_()["text/html"]
    frame = crowd.namespaces()
    assert frame["objects"].tolist() == [1000]
    assert frame.attrs["more_objects"] == ["rooms"]
    assert "More objects than that: rooms." in repr(frame)
    plan = crowd.destroy("rooms", "chat")
    assert "rooms: more than 1,000 stored objects would be deleted for ever" in str(plan)
    assert '"objects_more": true' in json.dumps(json.loads(plan.to_json()))
    everything = crowd.objects("rooms", limit=None)
    assert (len(everything), everything.attrs) == (N, {**OURS, "read": N, "more": False})
    assert "there are more" not in repr(everything)
    assert sorted(crowd.values("rooms")["object_id"]) == sorted(everything["object_id"]), (
        "of all, and not of the first page"
    )
    _go_on(crowd, everything["object_id"].tolist())
    _by_magic(ip, everything["object_id"].tolist())


def _go_on(crowd: nd.Session, ids: list[str]) -> None:
    """Read in parts; each part says that there are more, and where to go on."""
    first = crowd.objects("rooms")
    assert first.attrs == {**OURS, "read": 1000, "more": True, "after": ids[999]}
    for shown in (repr(first), first._repr_html_()):
        assert "1,000 were read, and there are more: go on with after=" in shown
        assert ids[999] in shown
    assert "there are more" not in repr(first.head(3)), "what is made of it is a plain frame"
    rest = crowd.objects("rooms", after=first.attrs["after"])
    assert [*first["object_id"], *rest["object_id"]] == ids
    assert not rest.attrs["more"]
    with pytest.raises(CommandError, match="a limit is at least 1, not 0"):
        crowd.objects("rooms", limit=0)
    with pytest.raises(CommandError, match=r"no object 0+ is listed"):
        crowd.objects("rooms", after="0" * 64)


def _by_magic(ip: InteractiveShell, ids: list[str]) -> None:
    """Read by the magic as well, and as JSON, where what is cut is said beside the rows."""

    def ran(line: str) -> Any:
        """Give the value of a line."""
        result = ip.run_cell(line)
        result.raise_error()
        return result.result

    part = ran("%durable objects rooms --limit 7")
    assert (len(part), part.attrs["after"]) == (7, ids[6])
    assert ran(f"%durable objects rooms --after {ids[6]} --limit 5")["object_id"].tolist() == ids[7:12]
    assert len(ran(f"%durable objects rooms --after {ids[-8]} --all")) == 7
    told = json.loads(ran("%durable objects rooms --limit 2 --json"))
    assert ([row["object_id"] for row in told["rows"]], told["more"], told["after"]) == (ids[:2], True, ids[1])
    for wrong, why in (("--limit 3 --all", "leave out --limit"), ("--limit many", "takes a whole number")):
        with pytest.raises(CommandError, match=why):
            ran(f"%durable objects rooms {wrong}")
