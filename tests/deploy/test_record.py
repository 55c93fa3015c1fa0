"""What the state file holds after a step: a created namespace gets an id that nobody had before."""

from __future__ import annotations

from notebook_do.deploy.record import after_intent, missing
from notebook_do.journal import Intent
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

OLD, NEW = NamespaceId("1" * 32), NamespaceId("2" * 32)
RECORD = RecordedNamespace(
    stable_id=StableId("fresh"),
    namespace_id=NamespaceId(""),
    script_name="api",
    class_name="A",
    storage=Storage.SQLITE,
)
INTENT = Intent(
    op="ffffffff.1.0123456789abcdef",
    kind="upload",
    script_name="api",
    worker="api",
    summary="upload Worker api",
    serial=1,
    worker_record=RecordedWorker(id="api", script_name="api"),
    namespace_records=(RECORD,),
    verify=(StableId("fresh"),),
    known=(OLD,),
)


def live(*ids: NamespaceId) -> dict[NamespaceId, ObservedNamespace]:
    """Give live namespaces, all of them class A of api."""
    return {
        id_: ObservedNamespace(namespace_id=id_, script_name="api", class_name="A", storage=Storage.SQLITE)
        for id_ in ids
    }


def test_a_created_namespace_is_none_that_was_there_before() -> None:
    """A class and a script are not enough: a namespace that was listed or recorded before the upload is another one."""
    assert missing(INTENT, live(OLD)) == ["namespace fresh (class A on api) is not listed"]
    recorded = after_intent(Recorded(lineage="f" * 32), INTENT, script=None, live=live(OLD), at="now")
    assert recorded.namespaces == ()
    assert missing(INTENT, live(NEW)) == []
    recorded = after_intent(Recorded(lineage="f" * 32), INTENT, script=None, live=live(NEW), at="now")
    assert [n.namespace_id for n in recorded.namespaces] == [NEW]


def test_two_that_could_be_it_are_none() -> None:
    """Where two namespaces could be the created one, neither is taken."""
    recorded = after_intent(Recorded(lineage="f" * 32), INTENT, script=None, live=live(NEW, OLD[:31] + "0"), at="now")  # type: ignore[arg-type]
    assert recorded.namespaces == ()


def test_the_upload_is_recorded_by_its_operation_and_time() -> None:
    """What the answer tells of the script, and the operation that uploaded it, are in the record."""
    script = ObservedScript(name="api", etag="e1", modified_on="t1")
    recorded = after_intent(Recorded(lineage="f" * 32), INTENT, script=script, live=live(NEW), at="now")
    (worker,) = recorded.workers
    assert (worker.etag, worker.modified_on, worker.op) == ("e1", "t1", INTENT.op)
