"""The bindings diagram: every Worker, every arrow, every target, as SVG and as text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

import notebook_do as nd
from notebook_do import display as letters
from notebook_do.notebook.views import diagram, html, text
from notebook_do.notebook.views.bindings import bindings_diagram
from notebook_do.notebook.views.blocks import Diagram, Edge, Table, Tone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"
WORDS = st.text(min_size=1, max_size=60)
EDGES = st.lists(
    st.builds(
        Edge,
        WORDS,
        WORDS,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([None, *Tone]),
        about=st.sampled_from(["", "class A of x"]),
        role=st.sampled_from(["", "host", "client"]),
    ),
    min_size=1,
    max_size=12,
)


def rows(workers: int) -> list[Mapping[str, str]]:
    """Give a host and its clients, one binding each."""
    shared = {"type": "durable_object_namespace", "class_name": "Counter", "script_name": "w0-dev", "action": "create"}
    return [
        {**shared, "worker": f"w{n}", "binding": f"B{n}", "target": "counter", "role": "client" if n else "host"}
        for n in range(workers)
    ]


@pytest.mark.parametrize("workers", [1, 5, 8])
def test_boxes_do_not_overlap_and_every_arrow_ends_at_its_box(workers: int) -> None:
    """One box a Worker, one for the namespace they share, one arrow each; nothing lies on anything else."""
    svg = html5lib.parseFragment(html.render(bindings_diagram(rows(workers)))).find(f".//{SVG}svg")
    boxes = [{k: float(box.get(k)) for k in ("x", "y", "width", "height")} for box in svg.iter(f"{SVG}rect")]
    assert len(boxes) == workers + 1
    for above, below in pairwise(boxes[:-1]):
        assert above["y"] + above["height"] < below["y"]
    ways = [path.get("d") for path in svg.iter(f"{SVG}path") if "C" in path.get("d")]
    assert len(ways) == workers
    end = boxes[-1]
    for way in ways:
        y = float(re.findall(r"[-\d.]+", way)[-2])
        assert end["y"] < y < end["y"] + end["height"]
    assert [t.text for t in svg.iter(f"{SVG}text")].count("counter") == 1


@given(EDGES)
def test_text_and_svg_hold_the_same_words_and_text_stays_narrow(edges: list[Edge]) -> None:
    """What is left of the SVG when its tags are taken away is the text drawing, line by line."""
    block = Diagram("", tuple(edges))
    left = "".join(html5lib.parseFragment(html.render((block,))).itertext()).rstrip("\n").split("\n")
    drawn = diagram.lines(block)
    assert [letters.cut(line, 98) for line in left] == drawn
    assert max(map(letters.width_of, text.render((block,)).split("\n"))) <= text.WIDTH


@given(EDGES)
def test_every_edge_is_one_arrow(edges: list[Edge]) -> None:
    """No binding is left out, none is drawn twice."""
    drawn = "".join(diagram.lines(Diagram("", tuple(edges))))
    assert drawn.count("──▶") + drawn.count("══▶") == len(edges)
    assert drawn.count("══▶") == sum(edge.role == "host" for edge in edges)


def test_more_than_8_workers_or_12_arrows_are_a_matrix() -> None:
    """Never both: targets that several Workers reach are columns, Workers that reach the same are one row."""
    assert "══▶" in text.render(bindings_diagram(rows(8)))
    extra = {**rows(1)[0], "worker": "w1", "binding": "OWN", "target": "logs", "type": "r2_bucket", "class_name": ""}
    alike = [{**row, "binding": "ROOM"} for row in rows(9)]
    drawn = text.render(bindings_diagram([*alike, {**extra, "action": "noop", "role": ""}]))
    assert "▶" not in drawn
    assert "Who reaches what: 9 Workers, 1 shared target (a cell names the bindings; + ~ - what this" in drawn
    found = [" ".join(line.split()) for line in drawn.split("\n")]
    assert {"+ w0 + hosts ROOM", "~ w1 + ROOM", "+ w2 … w8 (7 alike) + ROOM"} <= set(found)
    assert "The 7 alike: w2 … w8\n  w2, w3, w4, w5, w6, w7, w8" in drawn
    assert "Reached by one Worker only: logs (R2 bucket, w1)." in drawn
    own_id = "0123456789abcdef0123456789abcdef"
    drawn = text.render(bindings_diagram([*alike, {**extra, "target": own_id, "action": "noop", "role": ""}]))
    assert own_id not in drawn, "an id that the account gave is shortened, as in the rows above"
    assert "01234567…cdef (R2 bucket, w1)" in drawn
    many = [{**rows(1)[0], "worker": f"w{n}", "target": f"t{m}", "role": ""} for n in range(3) for m in range(8)]
    tables = [block.columns for block in bindings_diagram(many) if isinstance(block, Table)]
    assert tables == [("Worker", "t0", "t1", "t2", "t3", "t4", "t5"), ("Worker", "t6", "t7")]


def test_a_service_is_called_by_its_worker(cloud: Path) -> None:
    """As in the rows of the plan: by the Worker's id and not its script, in a matrix with the word Worker before it."""
    del cloud
    session = nd.session("many")
    body = "export default { fetch() { return new Response('1'); } };"
    chat = nd.Worker("chat", script=body)
    for n in range(3):
        nd.Worker(f"few-{n}", script=body, bindings={"CHAT": chat})
    drawn = text.render(bindings_diagram(session.plan().binding_rows))
    assert "▶ chat · Worker" in drawn
    for n in range(9):
        nd.Worker(f"edge-{n}", script=body, bindings={"CHAT": chat})
    rows = session.plan().binding_rows
    drawn = text.render(bindings_diagram(rows))
    assert re.search(r"\n +Worker +Worker chat\n", drawn)
    assert "chat-dev" not in drawn
    assert {row["target"] for row in rows} == {"chat-dev"}, "the frame of bindings has the script, as before"


def test_ten_thousand_bindings_are_few_rows() -> None:
    """A matrix of Workers that are alike stays small."""
    alike = [{**row, "binding": "ROOM"} for row in rows(10_000)]
    drawn = html.render(bindings_diagram(alike))
    assert "w1 … w9999" in drawn
    assert drawn.count("<tr") == 3


def test_parallel_bindings_are_one_arrow() -> None:
    """And a Worker's box says what it hosts; a host stands above the Workers that reach it alone."""
    second = {**rows(2)[1], "binding": "MORE"}
    drawn = text.render(bindings_diagram([*rows(2), second]))
    assert "├═ + B0       ══▶ counter · class Counter" in drawn
    assert "│ hosts counter │" in drawn
    assert "├─ + B1, MORE ──▶ counter" in drawn
    assert "Thick (══): hosts the class." in drawn
    changed = {**second, "action": "delete"}
    assert "~ B1, MORE" in text.render(bindings_diagram([*rows(2), changed]))


def test_values_are_counted_not_drawn() -> None:
    """A variable is no arrow; a Worker with nothing else has no drawing."""
    value = {"worker": "w0", "binding": "KEY", "type": "secret_text", "target": "KEY", "action": "create"}
    assert "Not drawn: 1 secret.\n" in f"{text.render(bindings_diagram([*rows(1), value]))}\n"
    assert bindings_diagram([value]) == ()


def test_what_is_planned_is_a_symbol_and_a_stroke() -> None:
    """A binding that goes is dashed and says minus; colour is never all."""
    gone = html.render((Diagram("", (Edge("w", "OLD", "x", Tone.DROP),)),))
    assert "- OLD" in gone
    assert "stroke-dasharray" in gone
    assert "currentColor" in gone
