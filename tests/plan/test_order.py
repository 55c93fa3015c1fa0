"""F21: the order and the repetition of cells do not matter: the same declarations give a byte-equal plan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from plan_world import Book, body

from notebook_do.model import NamespaceId, StableId, Storage
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.moves import NamespaceMove
from notebook_do.plan.namespaces.order import order_of

LOOSE = """
[workers.loose]
script = "export default {}"
url = false
bindings = {R = {worker = "chat", binding = "ROOM"}}
"""
CELLS: tuple[tuple[str, str | None], ...] = (
    ("namespace counter --class Counter", None),
    ("namespace room --class Room --script chat", None),
    ("namespace shared --class Shared --script api", None),
    ("worker api --bind COUNTER=counter --bind SHARED=shared --no-url", body(Counter="counter", Shared="shared")),
    ("worker chat --bind ROOM=room --bind COUNTER=api.COUNTER --service API=api --no-url", body(Room="room")),
    ("worker client --bind ROOM=chat.ROOM --bind SHARED=shared --var A=1 --no-url", body()),
    ("", LOOSE),
)


def plan_after(order: list[int]) -> tuple[str, str]:
    """Run the cells in an order; give the plan's digest and its whole text."""
    book = Book()
    for number in order:
        book.cell(*CELLS[number])
    plan = book.plan()
    book.world.apply(plan)
    assert book.plan().empty
    return plan.digest, plan.to_json()


FIRST = plan_after(list(range(len(CELLS))))


@given(st.permutations(range(len(CELLS))), st.lists(st.integers(0, len(CELLS) - 1), max_size=8))
def test_f21_any_order_any_repetition(order: list[int], again: list[int]) -> None:
    """F21: every permutation of the cells, with any of them run again, gives the same plan and digest."""
    assert plan_after([*order, *again]) == FIRST


@given(st.data())
def test_f21_an_earlier_version_of_a_cell_leaves_no_trace(data: st.DataObject) -> None:
    """F21: a cell that ran before with other content does not show in the plan."""
    order = data.draw(st.permutations(range(len(CELLS))))
    book = Book()
    for class_name in data.draw(st.lists(st.sampled_from(["Old", "Older", "Counter"]), max_size=3)):
        book.cell(f"namespace counter --class {class_name} --unprotect")
    book.cell("worker client --var OLD=1", "export default {}")
    for number in order:
        book.cell(*CELLS[number])
    plan = book.plan()
    assert (plan.digest, plan.to_json()) == FIRST


def test_what_should_come_first_does_where_nothing_is_in_a_circle() -> None:
    """A wish is kept through a chain of them; only a circle of wishes is broken, by name."""
    nodes = {name: set[str]() for name in "abz"}
    assert order_of(nodes, {"a": {"z"}, "z": {"b"}}) == ["b", "z", "a"]
    assert order_of(nodes, {"a": {"b"}, "b": {"a"}, "z": {"a"}}) == ["a", "b", "z"]


def test_what_a_namespace_has_to_leave() -> None:
    """The script where it is, when it goes to another one; not what is new, stays, or is to be deleted."""
    one, same, other = Slot("w1", "A"), Slot("w1", "B"), Slot("w2", "A")

    def leaves(at: Slot | None, goal: Slot | None) -> str | None:
        given = {"stable_id": StableId("a"), "namespace_id": NamespaceId(""), "storage": Storage.SQLITE}
        return NamespaceMove(at=at, goal=goal, **given).leaves  # type: ignore[arg-type]

    assert leaves(one, other) == "w1"
    assert [leaves(None, one), leaves(one, None), leaves(one, same), leaves(None, None)] == [None] * 4
