"""What an error of a declaration says to do next, where the plan was asked for something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sharing import COUNTER

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import CommandError, DeclarationError, SourceError
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


CART = "export class Cart {} export default { fetch() { return new Response(); } };"


def carts(session: nd.Session) -> None:
    """Deploy namespace carts as class Cart, which is not what its ID alone would suggest."""
    for declared in parse_cell("namespace carts --class Cart --unprotect", None):
        session.declare(declared)
    nd.Worker("shop", script=CART, bindings={"CARTS": session.catalog.namespaces[StableId("carts")]})
    session.deploy(session.plan())


def offered(error: pytest.ExceptionInfo[DeclarationError]) -> str:
    """Return the first line to paste of an error."""
    return re.findall(r"`%durable ([^`]+)`", error.value.message)[0]


def test_the_lines_for_a_live_namespace_name_the_class_that_it_is_live_as(cloud: Path) -> None:
    """Its declaration forgotten, then declared with a class that it never had: both lines say Cart."""
    del cloud
    session = nd.session("shop")
    carts(session)
    session.forget("namespace", "carts")
    with pytest.raises(DeclarationError, match="run its cell") as caught:
        session.plan()
    assert offered(caught) == "namespace carts --class Cart"
    nd.Worker("shop", script=CART)
    session.declare(*parse_cell("namespace carts --class Carts", None))
    with pytest.raises(DeclarationError, match="name its host") as caught:
        session.plan()
    assert offered(caught) == "namespace carts --class Cart --script shop-dev"
    session.declare(*parse_cell(offered(caught), None))
    assert not session.plan().refusals


def test_a_class_that_is_gone_from_the_source_is_offered_both_ways(cloud: Path) -> None:
    """The line that one refusal offers leads to one that still offers the destroy, which can be planned."""
    del cloud
    session = nd.session("shop")
    carts(session)
    session.forget("namespace", "carts")
    nd.Worker("shop", script="export default { fetch() { return new Response(); } };")
    (refusal,) = session.plan().refusals
    declare = next(str(one) for one in refusal.choices if one.startswith("declare it: "))
    session.declare(*parse_cell(declare.removeprefix("declare it: %durable "), None))
    (refusal,) = session.plan().refusals
    assert refusal.code == "class-not-exported"
    assert list(map(str, refusal.choices)) == [
        "the class is Cart: write export class Cart extends DurableObject there",
        "lose its objects: %durable destroy carts",
    ]
    assert "class-not-exported" not in {one.code for one in session.destroy("carts").refusals}


def test_a_line_of_a_worker_whose_source_is_in_its_cell_says_where_it_stands(cloud: Path) -> None:
    """Pasted alone `%%durable worker` has no body; a Worker of a file is pasted as it is."""
    (cloud / "w.js").write_text(CART)
    nd.session("one")
    nd.Worker("shop", script=CART, name="shared", compatibility_date="2026-01-01")
    nd.current().deploy(nd.current().plan())
    session = nd.session("two")
    where = Where(cell="a", run=214)
    session.declare(*parse_cell("worker shop --name shared", CART, where=where))
    (refusal,) = session.plan().refusals
    assert str(refusal.choices[0]) == (
        "take it over, its namespaces are kept: as the first line of cell [214] write "
        "%%durable worker shop --name shared --adopt"
    )
    session.declare(*parse_cell("worker shop --name shared --entrypoint w.js", None, where=where))
    (refusal,) = session.plan().refusals
    assert str(refusal.choices[0]).startswith("take it over, its namespaces are kept: %%durable worker shop ")


def test_a_worker_of_another_session_is_known_to_logs_and_the_own_one_is_meant_by_fetch(cloud: Path) -> None:
    """`logs` takes a live script's name, as `fetch` does; `shp` in a new kernel means the Worker shop of the state."""
    del cloud
    talk = nd.session("talk")
    nd.Worker("talk", script="export default { fetch() { console.log('hello'); return new Response(); } };")
    talk.deploy(talk.plan())
    session = nd.session("shop")
    carts(session)
    session.fetch("talk-dev")
    assert list(session.logs("talk-dev")["message"]) == ["hello"]
    with pytest.raises(CommandError, match=r"^logs: no Worker tlk-dev is deployed; did you mean talk-dev\?$"):
        session.logs("tlk-dev")
    assert session.forget("worker", "shop")
    with pytest.raises(CommandError, match=r"did you mean shop\?$"):
        session.fetch("shp")
