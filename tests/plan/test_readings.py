"""What tags and records say of a stable ID, read against what is live: believed, gone, or in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plan_world import Book
from sharing import space

from notebook_do.model import (
    NamespaceId,
    ObservedNamespace,
    ObservedScript,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    Storage,
)
from notebook_do.plan.build import build_plan
from notebook_do.plan.namespaces.readings import Readings
from notebook_do.sources.bundle import reader

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
    known = space("b", TWO, "B", "api")
    said = readings(marked, spaces=(known,)).marked("a", "api")
    assert said
    assert said.live
    assert said.live.namespace_id == ONE
    unknown = readings(marked, spaces=(replace(known, namespace_id=NamespaceId("")),)).marked("a", "api")
    assert unknown
    assert unknown.doubtful


def test_a_class_name_is_in_doubt_where_another_stable_id_has_no_more() -> None:
    """Of a changed script with one namespace: the name is believed where nobody else is there by a name alone."""
    changed = replace(RECORD, etag="e2")
    alone = ObservedNamespace(namespace_id=NamespaceId(ONE), script_name="api", class_name="A", storage=Storage.SQLITE)

    def doubtful(mark: str) -> bool | None:
        script = replace(LIVE, tags=(f"ndo:do:s:dev:{mark}",))
        recorded = Recorded(lineage="f" * 32, workers=(changed,))
        said = Readings({"api": script}, (alone,), recorded, ("s", "dev")).marked("a", "api")
        assert said
        assert (said.live is None) == said.doubtful
        return said.doubtful

    assert not doubtful("a=A")
    assert doubtful("a=A;b=B"), "a swap outside may have left the names in place"
    assert not doubtful(f"a=A;b=B@{TWO[:12]}"), "that one is known by its id"


@pytest.mark.parametrize("mark", [f"alpha=A@{ONE[:12]}", "alpha=A", ""])
@pytest.mark.parametrize(("declared", "recorded"), [(ONE, ""), ("", ONE), (ONE, TWO)])
def test_what_a_foreign_class_must_be_is_said_first_of_all_by_the_user(mark: str, declared: str, recorded: str) -> None:
    """Then by the state file, and last by tags: a class of another namespace id than that is not bound."""
    book = Book()
    book.cell(f"namespace alpha --class A --script far {f'--namespace-id {declared}' if declared else ''}")
    book.cell("worker web --bind A=alpha --no-url", "export default {};\n")
    desired = book.catalog.desired("s", "production", read=reader())
    known = space("alpha", recorded, "A", "far")

    def refused(id_: str) -> set[str]:
        there = ObservedNamespace(
            namespace_id=NamespaceId(id_), script_name="far", class_name="A", storage=Storage.SQLITE
        )
        tags = (f"ndo:do:s:production:{mark}",) if mark else ()
        observed = replace(
            book.world.observed(), scripts=(ObservedScript(name="far", tags=tags, bindings=()),), namespaces=(there,)
        )
        plan = build_plan(
            desired,
            Recorded(lineage="f" * 32, namespaces=(known,) if recorded else ()),
            observed,
            target="local",
            default_compatibility_date="2026-01-01",
        )
        return {r.code for r in plan.refusals}

    assert "host-missing" in refused(TWO)
    assert "host-missing" not in refused(ONE)
