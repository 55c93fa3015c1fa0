"""Planning of triggers: what is set, put back, removed or refused, from the three states alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plan_world import Book, body, words

from notebook_do.declare.catalog import Catalog
from notebook_do.deploy.before import waves_of
from notebook_do.model import Desired, DesiredWorker, Json, Observed, ObservedTrigger, RecordedWorker, Trigger
from notebook_do.model.steps import DeleteScript, RemoveTrigger, SetTrigger, Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.workers.triggers import triggers_concerned
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

ROUTE = Trigger(kind="route", key="example.com/*")
QUEUE = Trigger(kind="consumer", key="jobs", settings=Json({"batch_size": 5}))


def planned(
    declared: tuple[Trigger, ...], ours: tuple[Trigger, ...], live: tuple[ObservedTrigger, ...], *, both: bool = False
) -> Plan:
    """Plan Worker `api`, which is live and unchanged but for its triggers; `both`: another one declares the same."""
    book = Book()
    book.cell("worker api --no-url", body())
    book.cell("worker web --no-url", body())
    book.deploy()
    desired = book.catalog.desired("s", "production", read=reader())

    def triggers_of(worker: DesiredWorker) -> tuple[Trigger, ...]:
        return declared if worker.id == "api" or both else ()

    def record(worker: RecordedWorker) -> RecordedWorker:
        return replace(worker, triggers=ours) if worker.id == "api" else worker

    wanted: Desired = replace(desired, workers=tuple(replace(w, triggers=triggers_of(w)) for w in desired.workers))
    recorded = replace(book.world.recorded, workers=tuple(record(w) for w in book.world.recorded.workers))
    observed: Observed = replace(book.world.observed(), triggers=live)
    return build_plan(wanted, recorded, observed, target="local", default_compatibility_date="2026-01-01")


def route(script: str | None, parent: str | None = "zone") -> ObservedTrigger:
    """Say who holds the route."""
    return ObservedTrigger(kind="route", key=ROUTE.key, script=script, id="r" if script else None, parent=parent)


DOMAIN = Trigger(kind="domain", key="old.example.com")
NEW_DOMAIN = Trigger(kind="domain", key="new.example.com")
OTHER_QUEUE = Trigger(kind="consumer", key="mail")


def sequence(
    now: dict[str, tuple[Trigger, ...]],
    before: dict[str, tuple[Trigger, ...]],
    *,
    uploaded: str = "",
    binds: str = "",
    url: str = "--no-url",
) -> list[str]:
    """Say in order what is sent: Workers `a` and `b` had the triggers `before` and are declared with those of `now`.

    `uploaded` names the Workers whose code changed; `binds` is a Worker that binds the other one as a service.
    """
    book = Book()
    for name in ("a", "b"):
        book.cell(f"worker {name}", body())
    book.deploy()
    for name in ("a", "b"):
        service = f" --bind OTHER=worker:{'b' if name == 'a' else 'a'}" if name == binds else ""
        extra = "export const changed = 1;\n" if name in uploaded else ""
        book.cell(f"worker {name} {url}{service}", extra + body())
    desired = book.catalog.desired("s", "production", read=reader())
    wanted = replace(desired, workers=tuple(replace(w, triggers=now.get(w.id, ())) for w in desired.workers))
    workers = book.world.recorded.workers
    recorded = replace(book.world.recorded, workers=tuple(replace(w, triggers=before.get(w.id, ())) for w in workers))
    resolved = [(script, t) for script, triggers in before.items() for t in triggers]
    known = {(t.kind, t.key): (script, t) for script, t in resolved}
    free = [(None, t) for ts in now.values() for t in ts if (t.kind, t.key) not in known]
    live = tuple(
        ObservedTrigger(
            kind=t.kind, key=t.key, script=script, settings=t.settings, id="i" if script else None, parent="p"
        )
        for script, t in (*known.values(), *free)
    )
    observed: Observed = replace(book.world.observed(), triggers=live)
    plan = build_plan(wanted, recorded, observed, target="local", default_compatibility_date="2026-01-01")
    assert [r.message for r in plan.refusals] == []
    return words(plan)


def test_the_new_one_is_set_before_the_one_that_it_replaces_is_removed() -> None:
    """A host name that somebody else took meanwhile must not leave the Worker without any."""
    assert sequence({"a": (NEW_DOMAIN,)}, {"a": (DOMAIN,)}, url="") == [
        "set custom domain new.example.com of Worker a",
        "remove custom domain old.example.com of Worker a",
    ]
    assert sequence({"b": (NEW_DOMAIN,)}, {"a": (DOMAIN,)}, url="") == [
        "set custom domain new.example.com of Worker b",
        "remove custom domain old.example.com of Worker a",
    ]


def test_an_address_is_closed_after_what_replaces_it_is_set() -> None:
    """From workers.dev to a custom domain: where that cannot be set, the old address still answers."""
    assert sequence({"a": (NEW_DOMAIN,), "b": ()}, {}, uploaded="a")[:4] == [
        "upload a",
        "close the URL of Worker b",
        "set custom domain new.example.com of Worker a",
        "close the URL of Worker a",
    ]


def test_one_key_is_freed_right_before_it_is_given_to_another_worker() -> None:
    """What moves comes after what is only set; two that exchange host names do it one after the other."""
    swapped = sequence({"a": (NEW_DOMAIN, ROUTE), "b": (DOMAIN,)}, {"a": (DOMAIN,), "b": (NEW_DOMAIN,)}, url="")
    assert swapped == [
        "set route example.com/* of Worker a",
        "remove custom domain old.example.com of Worker a",
        "set custom domain old.example.com of Worker b",
        "remove custom domain new.example.com of Worker b",
        "set custom domain new.example.com of Worker a",
    ]


def test_a_queue_is_freed_before_the_upload_that_no_longer_has_its_handler() -> None:
    """Cloudflare refuses that upload (11001) while the script consumes a queue; a host name waits as always."""
    assert sequence({}, {"a": (QUEUE, DOMAIN)}, uploaded="a", url="") == [
        "remove consumer of queue jobs of Worker a",
        "upload a",
        "remove custom domain old.example.com of Worker a",
    ]
    assert sequence({"a": (OTHER_QUEUE,)}, {"a": (QUEUE,)}, uploaded="a", url="") == [
        "upload a",
        "set consumer of queue mail of Worker a",
        "remove consumer of queue jobs of Worker a",
    ], "a Worker that still consumes has its handler, and nothing is removed before its upload succeeded"
    assert sequence({}, {"a": (QUEUE,)}, url="") == ["remove consumer of queue jobs of Worker a"]


def test_a_queue_that_moves_waits_for_the_upload_of_its_new_consumer() -> None:
    """The new consumer is uploaded first where the order of bindings lets it, so that the queue has one for longest."""
    assert sequence({"b": (QUEUE,)}, {"a": (QUEUE,)}, uploaded="ab", url="") == [
        "upload b",
        "remove consumer of queue jobs of Worker a",
        "set consumer of queue jobs of Worker b",
        "upload a",
    ]
    assert sequence({"b": (QUEUE,)}, {"a": (QUEUE,)}, uploaded="a", url="") == [
        "remove consumer of queue jobs of Worker a",
        "set consumer of queue jobs of Worker b",
        "upload a",
    ]
    assert sequence({"b": (QUEUE,)}, {"a": (QUEUE,)}, uploaded="b", url="") == [
        "upload b",
        "remove consumer of queue jobs of Worker a",
        "set consumer of queue jobs of Worker b",
    ]


def test_a_record_written_by_an_upload_knows_that_the_queue_was_freed_before() -> None:
    """Else a later plan would remove a consumer that somebody else set meanwhile."""
    book = Book()
    book.cell("worker a --no-url", body())
    book.deploy()
    (record,) = book.world.recorded.workers
    recorded = replace(book.world.recorded, workers=(replace(record, triggers=(QUEUE, DOMAIN)),))
    book.cell("worker a --no-url", "export const changed = 1;\n" + body())
    plan = build_plan(
        book.catalog.desired("s", "production", read=reader()),
        recorded,
        book.world.observed(),
        target="local",
        default_compatibility_date="2026-01-01",
    )
    (upload,) = (s for s in plan.steps if isinstance(s, Upload))
    assert upload.worker_record is not None
    assert upload.worker_record.triggers == (DOMAIN,)


def worker(name: str, *, sends: str = "", consumes: str = "") -> str:
    """Write the table of a Worker: the queue that it sends to, and those that it consumes, in TOML."""
    bindings = f'JOBS = {{queue = "{sends}"}}' if sends else ""
    return f"""[workers.{name}]
script = "export default {{}}"
url = false
bindings = {{{bindings}}}
consumes = {{{consumes}}}
"""


def made(*cells: str, there: tuple[str, ...] = ()) -> Plan:
    """Plan Workers that are declared for the first time, where of all queues those of `there` are live."""
    book = Book()
    for cell in cells:
        book.cell("", cell)
    desired = book.catalog.desired("s", "production", read=reader())
    asked = triggers_concerned(desired, book.world.recorded)
    live = tuple(ObservedTrigger(kind=t.kind, key=t.key, parent="q" if t.key in there else None) for t in asked)
    observed: Observed = replace(book.world.observed(), triggers=live)
    plan = build_plan(desired, book.world.recorded, observed, target="local", default_compatibility_date="2026-01-01")
    assert plan.refusals == ()
    return plan


def test_a_queue_is_made_before_the_first_upload_that_sends_to_it() -> None:
    """Issue 11.14: once, in front of its first producer, in one Worker or in several; one that is there is not made."""
    both, last = worker("a", sends="jobs", consumes="jobs = {}"), "set consumer of queue jobs of Worker a"
    assert words(made(both)) == ["make queue jobs", "create a", last]
    assert words(made(both, there=("jobs",))) == ["create a", last]
    assert words(made(both, worker("b", sends="jobs"))) == ["make queue jobs", "create a", "create b", last]


def test_a_queue_without_a_producer_is_made_right_before_its_consumer_is_set() -> None:
    """So an upload that fails leaves none behind; a queue of dead letters is there before a consumer names it."""
    assert words(made(worker("a", consumes="jobs = {}"))) == [
        "create a",
        "make queue jobs",
        "set consumer of queue jobs of Worker a",
    ]
    assert words(made(worker("a", consumes='jobs = {dead_letter_queue = "late"}, late = {}'))) == [
        "create a",
        "make queue jobs",
        "make queue late",
        "set consumer of queue jobs of Worker a",
        "set consumer of queue late of Worker a",
    ]


def test_the_deployer_keeps_to_that_order() -> None:
    """Issue 11.14: what needs a queue waits for it, in whatever Worker; what does not is sent beside it."""
    cells = (worker("a", sends="jobs"), worker("b", sends="mail"), worker("c", consumes="jobs = {}, mail = {}"))
    steps = made(*cells, there=("mail",)).steps
    assert [s.summary for s in steps] == [
        "make queue jobs",
        "create Worker a",
        "create Worker b",
        "create Worker c",
        "set consumer of queue jobs of Worker c",
        "set consumer of queue mail of Worker c",
    ]
    assert waves_of(steps) == ((0, 2, 3), (1, 4), (5,))
    steps = made(worker("a", consumes="jobs = {}")).steps
    assert waves_of(steps) == ((0,), (1,), (2,))


def test_what_is_live_and_recorded_is_left_alone() -> None:
    """A trigger that is ours, live and declared causes nothing."""
    assert planned((ROUTE,), (ROUTE,), (route("api"),)).empty


def test_what_is_live_and_not_recorded_is_taken_over_in_the_open() -> None:
    """One that the Worker already has becomes ours by a step that is shown: only then can it be removed later."""
    plan = planned((ROUTE,), (), (route("api"),))
    assert [type(s) for s in plan.steps] == [SetTrigger]
    assert [c.detail for c in plan.changes if c.kind == "route"] == ["Route example.com/* of api is taken over."]


def test_what_others_hold_is_refused() -> None:
    """trigger-taken names the Worker; zone-missing the host name; trigger-twice both Workers."""
    refused = {
        "trigger-taken": planned((ROUTE,), (), (route("shop"),)),
        "zone-missing": planned((ROUTE,), (), (route(None, None),)),
        "trigger-twice": planned((ROUTE,), (), (route(None),), both=True),
    }
    assert {code: [r.code for r in plan.refusals] for code, plan in refused.items()} == {c: [c] for c in refused}
    assert "belongs to Worker shop" in refused["trigger-taken"].refusals[0].message
    assert "api" in refused["trigger-twice"].refusals[0].message
    assert not any(plan.steps for plan in refused.values())


def test_only_our_own_is_removed() -> None:
    """A recorded trigger that is not declared is removed; a live one that is not recorded is not even looked at."""
    plan = planned((), (ROUTE,), (route("api"),))
    assert [type(s) for s in plan.steps] == [RemoveTrigger]
    assert planned((), (), (route("api"),)).empty


def test_the_triggers_of_a_destroyed_worker_are_removed_before_it() -> None:
    """Each that is recorded as ours, and by a step that is shown: a deletion alone need not take them along."""
    book = Book()
    book.cell("worker api --no-url", body())
    book.deploy()
    recorded = replace(
        book.world.recorded, workers=tuple(replace(w, triggers=(ROUTE, QUEUE)) for w in book.world.recorded.workers)
    )
    plan = build_plan(
        Catalog().desired("s", "production", read=reader(), destroy=("api",)),
        recorded,
        replace(book.world.observed(), triggers=(route("api"),)),
        target="local",
        default_compatibility_date="2026-01-01",
    )
    assert [s.trigger for s in plan.steps if isinstance(s, RemoveTrigger)] == [ROUTE, QUEUE]
    assert [type(s) for s in plan.steps] == [RemoveTrigger, RemoveTrigger, DeleteScript]


def test_a_setting_of_a_consumer_is_compared() -> None:
    """What Cloudflare fills in besides is no difference; a changed setting is drift, a changed declaration is not."""
    live = ObservedTrigger(
        kind="consumer",
        key="jobs",
        script="api",
        id="c",
        parent="q",
        settings=Json({"batch_size": 5, "max_retries": 3}),
    )
    assert planned((QUEUE,), (QUEUE,), (live,)).empty
    drifted = planned((QUEUE,), (QUEUE,), (replace(live, settings=Json({"batch_size": 1})),))
    assert [c.kind for c in drifted.drift] == ["consumer"]
    changed = planned((replace(QUEUE, settings=Json({"batch_size": 9})),), (QUEUE,), (live,))
    assert [type(s) for s in changed.steps] == [SetTrigger]
    assert not changed.drift


def test_nothing_is_read_that_is_neither_declared_nor_recorded() -> None:
    """A plan without triggers asks for none: it costs no request."""
    book = Book()
    book.cell("worker api --no-url", body())
    assert triggers_concerned(book.catalog.desired("s", "production", read=reader()), book.world.recorded) == ()
