"""What is journalled of a step, what live facts say of it later, and what the state file holds after it. All pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sharing import space

from notebook_do.deploy.before import check_decided, verified_afterwards
from notebook_do.deploy.intents import intent_of, judge, with_marks, with_own_tags
from notebook_do.deploy.record import after_done, after_forget, done_of, missing, unclaimed
from notebook_do.deploy.result import Outcome
from notebook_do.errors import StalePlan
from notebook_do.model import (
    CreateClass,
    DeleteClass,
    Json,
    Migration,
    MigrationTag,
    MovedClass,
    NamespaceId,
    ObservedNamespace,
    ObservedScript,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    RenameClass,
    StableId,
    Storage,
    Tombstone,
    TransferClass,
    TransferredAway,
    Trigger,
    ValueBinding,
)
from notebook_do.model.steps import (
    KEPT,
    DeleteScript,
    Forget,
    MakeQueue,
    RemoveTrigger,
    SetMark,
    SetSchedules,
    SetTrigger,
    SetUrl,
    Upload,
)
from notebook_do.plan.plan import Baseline, Consent, Plan, Undecided
from notebook_do.state.journal import Intent

ROUTE = Trigger(kind="route", key="example.com/*")
JOBS = Trigger(kind="consumer", key="jobs", settings=Json({"dead_letter_queue": "dead"}))
WORKER = RecordedWorker(id="w", script_name="w", etag="e1", settings_digest="s1", triggers=(ROUTE,))
LINEAGE = "0123456789abcdef" * 2


def upload(name: str = "w", *changes: Any, wire: str = "exports", **more: Any) -> Upload:
    """Make an upload with class migrations."""
    migration = Migration(wire=wire, class_migrations=changes) if changes else None  # type: ignore[arg-type]
    given: dict[str, Any] = {"migration": migration, "creates": False, "options": Json({}), **more}
    return Upload(
        worker=name,
        script_name=name,
        main_module="index.js",
        modules=(),
        bindings=given.pop("bindings", ()),
        compatibility_date=None,
        compatibility_flags=(),
        tags=(),
        **given,
    )


def create(stable_id: str = "a", class_name: str = "A") -> CreateClass:
    """Make the creation of a class."""
    return CreateClass(stable_id=StableId(stable_id), class_name=class_name, storage=Storage.SQLITE)


def change(kind: type, **names: str) -> Any:
    """Make another class migration."""
    more = {} if kind is TransferredAway else {"storage": Storage.SQLITE}
    return kind(stable_id=StableId("a"), namespace_id=NamespaceId("1" * 32), **names, **more)


RENAME = change(RenameClass, from_class="A", to_class="B")
TRANSFER = change(TransferClass, from_script="old", from_class="A", to_class="A")
AWAY = change(TransferredAway, class_name="A", to_script="new")
DELETE = change(DeleteClass, class_name="A")
STEPS: dict[str, Any] = {
    "upload": upload("w", create(), namespace_records=(), worker_record=WORKER, forgotten=(StableId("z"),)),
    "mark": SetMark(worker="w", script_name="w", stable_ids=(StableId("a"),), tags=("t",)),
    "url": SetUrl(worker="w", script_name="w", enabled=True, previews=False, settings_digest="s2"),
    "crons": SetSchedules(worker="w", script_name="w", crons=("* * * * *",), settings_digest="s2"),
    "queue": MakeQueue(worker="w", script_name="w", queue="jobs"),
    "trigger": SetTrigger(worker="w", script_name="w", trigger=JOBS),
    "untrigger": RemoveTrigger(worker="w", script_name="w", trigger=JOBS),
    "delete": DeleteScript(worker="w", script_name="w", forgotten=(StableId("a"),)),
}
LIVE = ObservedScript(name="w", etag="e1", modified_on="t1", migration_tag=MigrationTag("m1"))


@pytest.mark.parametrize("kind", STEPS)
def test_an_intent_says_what_is_sent_and_what_was_there(kind: str) -> None:
    """Each kind of step has its own facts; what is live before it is noted for all of them."""
    step = STEPS[kind]
    intent = intent_of(step, op="o", serial=3, live=LIVE, digest="d", known=frozenset({NamespaceId("1")}))
    assert (intent.kind, intent.op, intent.serial, intent.script_name, intent.worker) == (kind, "o", 3, "w", "w")
    assert (intent.existed, intent.etag, intent.modified_on, intent.tag) == (True, "e1", "t1", "m1")
    own = {
        "upload": (step, intent.body_sha256, intent.worker_record, intent.verify, intent.known, intent.forgotten),
        "mark": intent.tags,
        "url": (intent.enabled, intent.previews, intent.settings_digest),
        "crons": (intent.crons, intent.settings_digest),
        "queue": intent.queue,
        "trigger": intent.trigger,
        "untrigger": intent.trigger,
        "delete": intent.forgotten,
    }
    expected = {
        "upload": (step, "d", WORKER, ("a",), {"1"}, ("z",)),
        "mark": ("t",),
        "url": (True, False, "s2"),
        "crons": (("* * * * *",), "s2"),
        "queue": "jobs",
        "trigger": JOBS,
        "untrigger": JOBS,
        "delete": ("a",),
    }
    assert own[kind] == expected[kind]
    absent = intent_of(step, op="o", serial=3, live=None)
    assert (absent.existed, absent.etag, absent.modified_on, absent.tag) == (False, None, None, None)


@pytest.mark.parametrize(
    ("what", "wire", "shown"),
    [
        (create(), "exports", True),
        (RENAME, "exports", True),
        (AWAY, "exports", True),
        (TRANSFER, "exports", False),
        (TRANSFER, "migrations", True),
        (DELETE, "exports", False),
        (DELETE, "migrations", False),
    ],
)
def test_what_is_verified_after_an_upload(what: Any, wire: str, *, shown: bool) -> None:
    """What the namespace list must show once the upload is accepted; in the exports form a move comes with its source.

    What was there before is only noted where something is verified.
    """
    intent = intent_of(upload("w", what, wire=wire), op="o", serial=1, live=LIVE, known=frozenset({NamespaceId("1")}))
    assert intent.verify == (("a",) if shown else ())
    assert intent.known == ({"1"} if shown else set())
    assert intent_of(upload(), op="o", serial=1, live=LIVE).verify == ()


def test_only_uploads_have_a_tag_of_their_own() -> None:
    """Each attempt draws its own migration tag; a second upload builds on the first one's, as its record does."""
    recorded = Recorded(lineage=LINEAGE)
    drawn: dict[MigrationTag, MigrationTag] = {}
    first = upload("w", create(), worker_record=replace(WORKER, migration_tag=MigrationTag("ndo-1-x")))
    assert first.migration
    first = replace(
        first, migration=replace(first.migration, old_tag=MigrationTag("v0"), new_tag=MigrationTag("ndo-1-x"))
    )
    one = with_own_tags(first, recorded, drawn)
    assert one.migration
    assert one.migration.old_tag == "v0"
    assert one.migration.new_tag
    assert one.migration.new_tag.startswith("ndo-01234567-1-x-")
    assert one.worker_record
    assert one.worker_record.migration_tag == one.migration.new_tag
    second = replace(
        first, migration=replace(first.migration, old_tag=MigrationTag("ndo-1-x"), new_tag=MigrationTag("ndo-1-y"))
    )
    two = with_own_tags(second, recorded, drawn)
    assert two.migration
    assert two.migration.old_tag == one.migration.new_tag
    assert two.migration.new_tag != with_own_tags(second, recorded, dict(drawn)).migration.new_tag  # type: ignore[union-attr]
    told = replace(first, migration=replace(first.migration, told=True))
    assert with_own_tags(told, recorded, {}).migration.new_tag == "ndo-1-x"  # type: ignore[union-attr]
    plain = upload("w", worker_record=WORKER)
    assert with_own_tags(plain, recorded, drawn) == plain
    untagged = upload("w", create())
    assert with_own_tags(untagged, recorded, drawn) == untagged


def test_marks_of_secrets_that_are_set_and_of_those_that_are_kept() -> None:
    """The record holds new marks, the recorded ones of kept secrets, and none of those that are gone."""
    recorded = {"GONE": "m1", "KEPT": "m2", "SET": "m3"}
    bindings = tuple(ValueBinding(name=n, value=v) for n, v in (("KEPT", KEPT), ("NEVER", KEPT), ("SET", Json(1))))
    step = with_marks(upload("w", bindings=bindings, worker_record=WORKER), recorded, {"SET": "m9"})
    assert step.worker_record
    assert step.worker_record.secrets == (("KEPT", "m2"), ("SET", "m9"))
    assert with_marks(upload("w", bindings=bindings), recorded, {"SET": "m9"}).worker_record is None
    stranger = with_marks(upload("x", bindings=bindings, worker_record=WORKER), {}, {})
    assert stranger.worker_record
    assert stranger.worker_record.secrets == ()


def judged(intent: Intent, live: ObservedScript | None) -> str:
    """Judge an intent by what is live."""
    return str(judge(intent, {"w": live} if live else {}))


def test_what_live_facts_say_of_an_upload() -> None:
    """Its operation or its tag is done; an untouched script is not done; anything else cannot be told."""
    intent = Intent(
        op="01234567.1.0123456789abcdef",
        kind="upload",
        script_name="w",
        worker="w",
        summary="",
        serial=1,
        existed=True,
        etag="e1",
        modified_on="t1",
        tag=MigrationTag("m1"),
        new_tag=MigrationTag("m2"),
    )
    assert judged(intent, LIVE) == "not done"
    assert judged(intent, replace(LIVE, etag="e2", tags=(f"ndo:op:{intent.op}",))) == "done"
    assert judged(intent, replace(LIVE, migration_tag=MigrationTag("m2"))) == "done"
    for other in (
        replace(LIVE, etag="e2"),
        replace(LIVE, modified_on="t2"),
        replace(LIVE, migration_tag=MigrationTag("m3")),
        replace(LIVE, migration_tag=None),
        None,
    ):
        assert judged(intent, other) == "uncertain"
    new = replace(intent, existed=False, etag=None, modified_on=None, tag=None, new_tag=None)
    assert judged(new, None) == "not done"
    assert judged(new, LIVE) == "uncertain"
    assert (
        judged(replace(new, existed=True), replace(LIVE, etag=None, modified_on=None, migration_tag=None)) == "not done"
    )


def test_what_live_facts_say_of_a_deletion() -> None:
    """A script that is gone was deleted."""
    intent = Intent(op="o", kind="delete", script_name="w", worker="w", summary="", serial=1, existed=True)
    assert judged(intent, None) == "done"
    assert judged(intent, LIVE) == "not done"


# --- what the state file holds afterwards


def there(*spaces: RecordedNamespace) -> dict[NamespaceId, ObservedNamespace]:
    """Let records be live."""
    return {
        s.namespace_id: ObservedNamespace(
            namespace_id=s.namespace_id, script_name=s.script_name, class_name=s.class_name, storage=s.storage
        )
        for s in spaces
    }


OTHER = replace(WORKER, id="other", script_name="other")
RECORDED = Recorded(
    lineage=LINEAGE, serial=5, workers=(OTHER, WORKER), namespaces=(space("a", "1"), space("b", "2", "B"))
)


def after(kind: str, *, live: Any = None, script: ObservedScript | None = None, **more: Any) -> Recorded:
    """Record an intent of a kind; once more changes nothing."""
    removable = more.pop("removable", frozenset())
    given = {"op": "o9", "kind": kind, "script_name": "w", "worker": "w", "summary": "", "serial": 5, **more}
    intent = Intent(**given)
    done = done_of(intent, script=script, live=live or {}, at="today", removable=removable)
    recorded = after_done(RECORDED, [(intent, done)])
    assert after_done(recorded, [(intent, done)]) == recorded
    return recorded


def worker(recorded: Recorded, id_: str = "w") -> RecordedWorker:
    """Give one Worker's record."""
    return next(w for w in recorded.workers if w.id == id_)


def test_an_upload_leaves_its_record_with_what_was_answered() -> None:
    """Etag and time of change are as the upload answered them, the operation is noted; other Workers stay."""
    record = replace(WORKER, content_digest="c2", moved=(moved("Old"), moved("Older")))
    done = after("upload", worker_record=record, script=replace(LIVE, etag="e2", modified_on="t2"), removable={"Old"})
    assert worker(done) == replace(record, etag="e2", modified_on="t2", op="o9", moved=(moved("Older"),))
    assert worker(done, "other") == OTHER
    unanswered = after("upload", worker_record=record)
    assert (worker(unanswered).etag, worker(unanswered).modified_on) == ("e1", None)
    new = after("upload", worker="new", script_name="new", worker_record=replace(WORKER, id="new", script_name="new"))
    assert [w.id for w in new.workers] == ["new", "other", "w"]


def moved(class_name: str) -> MovedClass:
    """Make an earlier class name."""
    return MovedClass(class_name=class_name, namespace_id=NamespaceId("1" * 32))


def test_settings_are_recorded_where_the_worker_is() -> None:
    """Address and cron triggers change one digest each; those that somebody else set are not ours."""
    assert worker(after("url", settings_digest="s2")) == replace(WORKER, settings_digest="s2")
    done = after("crons", settings_digest="s2", crons=("1 * * * *", "2 * * * *"), kept=("1 * * * *",))
    assert worker(done) == replace(WORKER, settings_digest="s2", settings=Json({"crons": ["2 * * * *"]}))
    for kind in ("url", "crons", "trigger", "untrigger"):  # a Worker that the state file does not know stays unknown
        assert after(kind, worker="x", settings_digest="s2", trigger=JOBS).workers == RECORDED.workers


def test_triggers_are_recorded_once_each() -> None:
    """A trigger that is set is ours, in the place of an earlier one of its kind and key; a removed one is not."""
    assert worker(after("trigger", trigger=JOBS)).triggers == (JOBS, ROUTE)
    again = replace(ROUTE, settings=Json({"x": 1}))
    assert worker(after("trigger", trigger=again)).triggers == (again,)
    assert worker(after("untrigger", trigger=ROUTE)).triggers == ()
    assert worker(after("untrigger", trigger=JOBS)).triggers == (ROUTE,)
    assert after("queue").workers == RECORDED.workers
    assert after("mark").workers == RECORDED.workers


def test_a_deletion_takes_worker_and_namespaces_out() -> None:
    """What is forgotten leaves a tombstone."""
    done = after("delete", forgotten=(StableId("a"), StableId("b")))
    assert [w.id for w in done.workers] == ["other"]
    assert done.namespaces == ()
    assert [(t.stable_id, t.namespace_id, t.class_name, t.script_name, t.at) for t in done.tombstones] == [
        *(("a", "1", "A", "w", "today"), ("b", "2", "B", "w", "today")),
    ]


def test_no_tombstone_for_what_lives_on() -> None:
    """A namespace under another stable ID, one without an id, and one that has a tombstone leave none."""
    renamed = after("upload", worker_record=WORKER, namespace_records=(space("c", "1"),), forgotten=(StableId("a"),))
    assert [n.stable_id for n in renamed.namespaces] == ["b", "c"]
    assert renamed.tombstones == ()
    grave = Tombstone(stable_id=StableId("z"), namespace_id=NamespaceId("1"), class_name="A", script_name="w", at="x")
    buried = replace(RECORDED, tombstones=(grave,))
    assert after_forget(buried, [StableId("a")], ["other"], "today").tombstones == (grave,)
    assert [w.id for w in after_forget(buried, [], ["other"], "today").workers] == ["w"]
    assert [n.stable_id for n in after_forget(buried, [StableId("a")], [], "today").namespaces] == ["b"]


def test_a_new_namespace_gets_the_id_that_is_new_in_its_place() -> None:
    """One that was not there before, on its script, of its class; two, or none, leave it without a record."""
    fresh, known = space("c", "", "C"), frozenset({NamespaceId("7")})
    place, elsewhere = space("c", "8", "C"), space("c", "9", "C", "other")
    before = space("c", "7", "C")

    def ids(*live: RecordedNamespace) -> dict[str, str]:
        done = after("upload", worker_record=WORKER, namespace_records=(fresh,), known=known, live=there(*live))
        return {n.stable_id: n.namespace_id for n in done.namespaces}

    assert ids(place, elsewhere, before) == {"a": "1", "b": "2", "c": "8"}
    assert ids(elsewhere, before) == {"a": "1", "b": "2"}
    assert ids(place, space("d", "6", "C")) == {"a": "1", "b": "2"}


def test_what_is_missing_after_an_upload_is_named() -> None:
    """Only what the upload was to do is looked for: not listed, elsewhere, or of another storage."""
    records = (space("a", "1"), space("b", "2", "B"))
    intent = Intent(
        op="o",
        kind="upload",
        script_name="w",
        worker="w",
        summary="",
        serial=1,
        namespace_records=records,
        verify=(StableId("a"),),
    )
    assert missing(intent, there(*records)) == []
    assert missing(intent, there(records[0])) == []
    assert missing(intent, {}) == ["namespace a (class A on w) is not listed"]
    assert missing(intent, there(space("a", "1", "X"))) == ["namespace a (class A on w) is listed as class X on w"]
    assert missing(intent, there(space("a", "1", "A", "v"))) == ["namespace a (class A on w) is listed as class A on v"]
    flipped = {i: replace(n, storage=Storage.KV) for i, n in there(records[0]).items()}
    assert missing(intent, flipped) == ["namespace a (class A on w) is stored as kv, not sqlite"]


def test_a_late_upload_takes_nothing_from_what_is_recorded() -> None:
    """Its records are left out where their stable ID, or their namespace, is another one's by now."""
    same, stolen, taken = space("a", "1", "X"), space("new", "2", "B"), space("b", "9", "B")
    intent = Intent(
        op="o",
        kind="upload",
        script_name="w",
        worker="w",
        summary="",
        serial=1,
        namespace_records=(same, stolen, taken),
    )
    assert unclaimed(RECORDED, intent, {}) == (same,)
    free = replace(intent, namespace_records=(space("c", "3"),))
    assert unclaimed(RECORDED, free, {}) == free.namespace_records


# --- what must hold before


def plan(*steps: Any, **more: Any) -> Plan:
    """Make a plan of steps."""
    baseline = Baseline(lineage="l", serial=1, account_id="a", api_origin="o", scripts=(), namespaces=())
    given: dict[str, Any] = {"scripts": frozenset({"w"}), **more}
    return Plan(session="s", stage="p", target="local", steps=steps, baseline=baseline, **given)


CONSENT = Consent(
    phrase="destroy a 1", stable_id=StableId("a"), namespace_id=NamespaceId("1"), class_name="A", worker="w"
)


def test_which_plans_are_verified_afterwards() -> None:
    """Plans that upload, create and rename need no list of namespaces before them; what moves or deletes does."""
    assert verified_afterwards(plan(upload()))
    assert verified_afterwards(plan(upload("w", create(), RENAME), STEPS["url"]))
    assert not verified_afterwards(plan(STEPS["url"]))
    for step in (upload("w", TRANSFER), upload("w", AWAY), upload("w", DELETE), STEPS["delete"], Forget()):
        assert not verified_afterwards(plan(upload(), step))
    assert not verified_afterwards(plan(upload(), consents=(CONSENT,)))


def test_a_plan_about_a_worker_that_is_not_known_yet_is_stale() -> None:
    """Unless it leaves that Worker out, or is about others, or it is decided."""
    found = Outcome(text="upload Worker w", status="not known yet", detail="it may come.", script_name="w")
    with pytest.raises(StalePlan, match="not known yet what became of this: upload Worker w; it may come"):
        check_decided(plan(upload()), [found])
    check_decided(plan(upload(), undecided=(Undecided(worker="w", script_name="w", detail=""),)), [found])
    check_decided(plan(upload(), scripts=frozenset({"other"})), [found])
    check_decided(plan(upload()), [replace(found, status="done"), replace(found, status="not done")])
