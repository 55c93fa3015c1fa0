"""What tags and records say of a stable ID, read against what is live: believed, gone, or in doubt."""

from __future__ import annotations

from dataclasses import replace

from notebook_do.model import (
    NamespaceId,
    ObservedNamespace,
    ObservedScript,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    StableId,
    Storage,
)
from notebook_do.plan.namespaces.readings import Readings

ONE, TWO = "0123456789abcdef" * 2, "fedcba9876543210" * 2
LIVE = ObservedScript(name="api", etag="e1", modified_on="t1")
RECORD = RecordedWorker(id="api", script_name="api", etag="e1", modified_on="t1")


def readings(script: ObservedScript, *workers: RecordedWorker, spaces: tuple[RecordedNamespace, ...] = ()) -> Readings:
    """Read against a script that hosts class A under the first id and class B under the second."""
    hosted = tuple(
        ObservedNamespace(namespace_id=NamespaceId(i), script_name="api", class_name=c, storage=Storage.SQLITE)
        for i, c in ((ONE, "A"), (TWO, "B"))
    )
    return Readings(
        {"api": script}, hosted, Recorded(lineage="f" * 32, workers=workers, namespaces=spaces), ("s", "dev")
    )


def test_what_the_tags_of_a_script_say_of_each_namespace() -> None:
    """A mark is believed by its ids, whoever set it; Alchemy's tags name classes; one that is not live says none."""
    marked = replace(LIVE, tags=(f"ndo:do:other:dev:a=Old@{TWO[:12]};b=A@{ONE[:12]}",))
    told = readings(marked).tagged("api")
    assert {i: r.live.namespace_id for i, r in told.items() if r.live} == {"a": TWO, "b": ONE}
    alchemy = readings(replace(LIVE, tags=("alchemy:dos:a=A;b=B",)), RECORD).tagged("api")
    assert {i: r.live.namespace_id for i, r in alchemy.items() if r.live} == {"a": ONE, "b": TWO}
    assert readings(LIVE).tagged("api") == {}
    assert readings(marked).tagged("gone") == {}


def test_a_class_name_is_believed_while_nobody_changed_the_script() -> None:
    """As we left it, its classes are those that we wrote down; with another etag or time of change it is in doubt."""
    marked = replace(LIVE, tags=("ndo:do:s:dev:a=A;b=B",))
    said = readings(marked, RECORD).marked("a", "api")
    assert said
    assert said.live
    assert (said.live.namespace_id, said.doubtful) == (ONE, False)
    for changed in (replace(RECORD, etag="e2"), replace(RECORD, modified_on="t2"), replace(RECORD, modified_on=None)):
        doubt = readings(marked, changed).marked("a", "api")
        assert doubt
        assert (doubt.live, doubt.doubtful) == (None, True)
        assert [n.namespace_id for n in doubt.candidates] == [ONE, TWO]
    unknown = readings(marked).marked("a", "api")
    assert unknown
    assert unknown.doubtful


def test_what_the_state_file_knows_by_its_id_is_no_rival() -> None:
    """Where the other class of a changed script is known by its id, one namespace and one class name are left."""
    marked = replace(LIVE, tags=("ndo:do:s:dev:a=A;b=B",))
    known = RecordedNamespace(
        stable_id=StableId("b"),
        namespace_id=NamespaceId(TWO),
        script_name="api",
        class_name="B",
        storage=Storage.SQLITE,
    )
    said = readings(marked, spaces=(known,)).marked("a", "api")
    assert said
    assert said.live
    assert said.live.namespace_id == ONE
    unknown = readings(marked, spaces=(replace(known, namespace_id=NamespaceId("")),)).marked("a", "api")
    assert unknown
    assert unknown.doubtful
