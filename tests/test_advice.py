"""What an error of a declaration says to do next, where the plan was asked for something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sharing import COUNTER

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import DeclarationError, SourceError
from notebook_do.model import Namespace, StableId, Where

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_that_cannot_be_bundled_names_the_way_to_plan_without_it(cloud: Path) -> None:
    """A destroy of another Worker says that nothing was sent, and the line that it gives makes the plan possible."""
    del cloud
    session = nd.session("shop")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter", protect=False)
    nd.Worker("api", script=COUNTER, bindings={"COUNTER": counter})
    session.deploy(session.plan())
    nd.Worker("api2", script='import x from "lodash"; export default { fetch() { return x; } };')
    with pytest.raises(SourceError, match=r"^Worker api2: .*lodash") as caught:
        session.destroy("api")
    below = caught.value._render_traceback_()[-1]
    assert below.startswith("Nothing was sent. ")
    assert "`%durable rm worker api2`" in below
    assert session.forget("worker", "api2")
    assert [consent.stable_id for consent in session.destroy("api").consents] == ["counter"]


ROOM = "export class Room {} export default { fetch() { return new Response(); } };"


def chat(stable_id: str, session: nd.Session, run: int = 2) -> None:
    """Declare the namespace in one cell, which is run again with another stable ID, and the Worker that binds it."""
    session.declare(Namespace(StableId(stable_id), class_name="Room", where=Where(cell="a", run=run)))
    nd.Worker("chat", script=ROOM, bindings={"ROOMS": session.catalog.namespaces[StableId(stable_id)]})


def test_a_changed_stable_id_is_answered_with_both_ways_in_one_kernel(cloud: Path) -> None:
    """The cell, the host that has the objects, and lines that can be pasted: the first way keeps the namespace id."""
    del cloud
    session = nd.session("shop")
    chat("rooms", session)
    session.deploy(session.plan())
    (before,) = session.recorded().namespaces
    chat("chambers", session, run=5)
    with pytest.raises(DeclarationError) as caught:
        session.plan()
    said = caught.value.message
    assert "namespace rooms, declared in cell [2], is bound by no Worker" in said
    assert "live as class Room of chat-dev" in said
    assert "--bind NAME=rooms" in said
    forget, rename, keep = re.findall(r"`%durable ([^`]+)`", said)
    assert (forget, keep) == ("rm namespace rooms", "rm namespace chambers")
    session.forget("namespace", forget.split()[-1])
    session.declare(*parse_cell(rename, None))
    session.deploy(session.plan())
    (after,) = session.recorded().namespaces
    assert (after.stable_id, after.namespace_id) == ("chambers", before.namespace_id)


def test_a_live_namespace_that_nothing_binds_is_told_where_it_lives(cloud: Path) -> None:
    """Without a likely successor the whole line with its host is offered, and that line can be planned."""
    del cloud
    session = nd.session("shop")
    chat("rooms", session)
    session.deploy(session.plan())
    nd.Worker("chat", script=ROOM)
    with pytest.raises(DeclarationError, match="To keep it, bind it again") as caught:
        session.plan()
    (line,) = re.findall(r"`%durable ([^`]+)`", caught.value.message)
    session.declare(*parse_cell(line, None))
    assert not session.plan().refusals
