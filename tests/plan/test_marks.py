"""The mark that we leave in the tags of a script: it comes back as it was, fits the limits, and is never guessed."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from notebook_do.model import ClassBinding, ObservedScript
from notebook_do.plan.namespaces.marks import (
    MAX_TAG_BYTES,
    MAX_TAGS,
    Entry,
    Mark,
    alchemy_classes,
    bears_mark,
    completed_tags,
    entry_of,
    marked_tags,
    read_mark,
    write_mark,
)

WORDS = st.text(min_size=1, max_size=40)
ENTRIES = st.builds(
    Entry, class_name=WORDS, begins=st.one_of(st.none(), st.just(""), st.from_regex(r"[0-9a-f]{12}", fullmatch=True))
)


@given(WORDS, WORDS, st.dictionaries(WORDS, ENTRIES, max_size=60))
def test_any_mark_comes_back(session: str, stage: str, entries: dict[str, Entry]) -> None:
    """Whatever the names are, the tags give them back with their ids, in any order, among those of others."""
    tags = write_mark(session, stage, entries)
    assert read_mark(["cost-center:7", *reversed(tags), "ndo:op:abc"]) == Mark(
        session=session, stage=stage, entries=entries
    )
    assert all(re.fullmatch(r"[A-Za-z0-9:;=%._~@-]+", tag) for tag in tags)


def test_many_namespaces_take_several_tags() -> None:
    """A tag holds 1,024 bytes, ids included; what does not fit goes into the next one."""
    entries = {f"namespace-{n}": entry_of(f"DurableClass{n}", f"{n:032x}") for n in range(150)}
    tags = write_mark("chat", "dev", entries)
    assert len(tags) > 3
    assert max(map(len, tags)) <= MAX_TAG_BYTES == 1024
    assert read_mark(tags) == Mark(session="chat", stage="dev", entries=entries)


def test_ids_that_follow_have_their_room() -> None:
    """A mark whose ids follow takes as many tags as with them, so that putting them in pushes nothing out."""
    ids = {f"namespace-{n}": f"{n:012x}{n:020x}" for n in range(150)}
    waiting = write_mark("chat", "dev", {i: entry_of(f"Durable{i}", "") for i in ids})
    live = ("team:a", *waiting, "ndo:op:x")
    done = completed_tags(live, ids)
    assert read_mark(done) == Mark(
        session="chat", stage="dev", entries={i: entry_of(f"Durable{i}", id_) for i, id_ in ids.items()}
    )
    assert len(done) == len(live)
    assert max(map(len, done)) <= MAX_TAG_BYTES
    assert {"team:a", "ndo:op:x"} < set(done), "the tags of others and our operation's stay"
    assert bears_mark(done, done)
    assert not bears_mark(live, done)


def test_a_mark_of_the_first_edition_is_read_and_left_as_it_is() -> None:
    """It names classes only, and no id is put into it: the next upload writes it anew."""
    tags = ("ndo:do:chat:dev:a=A;b=B%40",)
    assert read_mark(tags) == Mark(
        session="chat", stage="dev", entries={"a": Entry(class_name="A"), "b": Entry(class_name="B@")}
    )
    assert completed_tags(tags, {"a": "0" * 32}) == tags
    assert completed_tags(("team:a",), {"a": "0" * 32}) == ("team:a",)


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


A = Entry(class_name="A")


def test_a_damaged_mark_is_not_guessed() -> None:
    """No mark is None; what cannot be read is left out, of a cut id the class stays; two owners are not mixed."""
    assert read_mark([]) is None
    assert read_mark(["ndo:chat:dev:a=A", "ndo:do:chat", "notebook"]) is None
    assert read_mark(["ndo:do:chat:dev:a=A;b;=C;d="]) == Mark(session="chat", stage="dev", entries={"a": A})
    assert read_mark(["ndo:do:chat:dev:a=A;b=B@0123456789ab;c=C@12"]) == Mark(
        session="chat", stage="dev", entries={"a": A, "b": entry_of("B", "0123456789abcdef"), "c": entry_of("C", "")}
    )
    assert read_mark(["ndo:do:chat:dev:a=A;b=B", "ndo:do:chat:dev:b=C"]) == Mark(
        session="chat", stage="dev", entries={"a": A, "b": entry_of("B", "")}
    ), "what is said in two ways says no id"
    mixed = read_mark(["ndo:do:chat:dev:a=A", "ndo:do:shop:dev:b=B"])
    assert mixed == Mark(session="chat", stage="dev", entries={"a": A})


def test_alchemy_tags() -> None:
    """Both of Alchemy's forms give class names by its ids; a tag of a binding that is gone gives nothing."""
    bindings = (
        ClassBinding(name="ROOMS", class_name="Room"),
        ClassBinding(name="FAR", class_name="Far", script_name="other"),
    )
    tags = ("alchemy:do:rooms:ROOMS", "alchemy:do:gone:GONE", "alchemy:do:far:FAR", "alchemy:dos:Counter;Meter=MeterV2")
    script = ObservedScript(name="api", tags=tags, bindings=bindings)
    assert alchemy_classes(script) == {"rooms": "Room", "Counter": "Counter", "Meter": "MeterV2"}
