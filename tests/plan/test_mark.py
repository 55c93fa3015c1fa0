"""The mark that we leave in the tags of a script: it comes back as it was, fits the limits, and is never guessed."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from notebook_do.model import ClassBinding, ObservedScript
from notebook_do.plan.mark import MAX_TAG_BYTES, MAX_TAGS, Mark, alchemy_classes, marked_tags, read_mark, write_mark

WORDS = st.text(min_size=1, max_size=40)


@given(WORDS, WORDS, st.dictionaries(WORDS, WORDS, max_size=60))
def test_any_mark_comes_back(session: str, stage: str, classes: dict[str, str]) -> None:
    """Whatever the names are, the tags give them back, in any order, among those of others."""
    tags = write_mark(session, stage, classes)
    assert read_mark(["cost-center:7", *reversed(tags), "ndo:op:abc"]) == Mark(
        session=session, stage=stage, classes=classes
    )
    assert all(re.fullmatch(r"[A-Za-z0-9:;=%._~-]+", tag) for tag in tags)


def test_many_namespaces_take_several_tags() -> None:
    """A tag holds 1,024 bytes; what does not fit goes into the next one."""
    classes = {f"namespace-{n}": f"DurableClass{n}" for n in range(150)}
    tags = write_mark("chat", "dev", classes)
    assert len(tags) > 3
    assert max(map(len, tags)) <= MAX_TAG_BYTES
    assert read_mark(tags) == Mark(session="chat", stage="dev", classes=classes)


def test_tags_of_others_are_kept() -> None:
    """Others' tags stay, an old mark of ours goes, and one tag is left to the deployer."""
    live = ["b", "a", "ndo:do:chat:dev:old=Old", "ndo:op:x", "alchemy:do:rooms:ROOMS"]
    assert marked_tags(live, ("ndo:do:chat:dev:new=New",)) == (
        "a",
        "alchemy:do:rooms:ROOMS",
        "b",
        "ndo:do:chat:dev:new=New",
    )
    crowded = marked_tags([f"t{n}" for n in range(MAX_TAGS - 1)], ("ndo:do:1", "ndo:do:2"))
    assert len(crowded) == MAX_TAGS


def test_a_damaged_mark_is_not_guessed() -> None:
    """No mark is None; a pair that cannot be read is left out; the parts of two owners are not mixed."""
    assert read_mark([]) is None
    assert read_mark(["ndo:chat:dev:a=A", "ndo:do:chat", "notebook"]) is None
    assert read_mark(["ndo:do:chat:dev:a=A;b;=C;d="]) == Mark(session="chat", stage="dev", classes={"a": "A"})
    mixed = read_mark(["ndo:do:chat:dev:a=A", "ndo:do:shop:dev:b=B"])
    assert mixed == Mark(session="chat", stage="dev", classes={"a": "A"})


def test_alchemy_tags() -> None:
    """Both of Alchemy's forms give class names by its ids; a tag of a binding that is gone gives nothing."""
    bindings = (
        ClassBinding(name="ROOMS", class_name="Room"),
        ClassBinding(name="FAR", class_name="Far", script_name="other"),
    )
    tags = ("alchemy:do:rooms:ROOMS", "alchemy:do:gone:GONE", "alchemy:do:far:FAR", "alchemy:dos:Counter;Meter=MeterV2")
    script = ObservedScript(name="api", tags=tags, bindings=bindings)
    assert alchemy_classes(script) == {"rooms": "Room", "Counter": "Counter", "Meter": "MeterV2"}
