"""Which steps are sent together: a wave holds what has nothing to do with each other, and waits for all it must."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.deploy.before import reaches, waves_of
from notebook_do.model import (
    ClassBinding,
    CreateClass,
    DeleteClass,
    Json,
    Migration,
    NamespaceId,
    RenameClass,
    Resource,
    ServiceBinding,
    StableId,
    Storage,
    TransferClass,
    TransferredAway,
    Trigger,
    ValueBinding,
)
from notebook_do.model.steps import (
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
from notebook_do.plan.workers.triggers import queues_of

if TYPE_CHECKING:
    from notebook_do.model.steps import Step

JOBS = Trigger(kind="consumer", key="jobs", settings=Json({"dead_letter_queue": "dead"}))


def upload(name: str, *changes: Any, bindings: tuple[Any, ...] = (), **more: Any) -> Upload:
    """Make an upload with class migrations."""
    return Upload(
        worker=name,
        script_name=name,
        main_module="index.js",
        modules=(),
        bindings=bindings,
        compatibility_date=None,
        compatibility_flags=(),
        tags=(),
        creates=False,
        migration=Migration(wire="exports", class_migrations=changes) if changes else None,
        **{"options": Json({}), **more},
    )


CREATE = CreateClass(stable_id=StableId("a"), class_name="A", storage=Storage.SQLITE)


def change(kind: type, **names: str) -> Any:
    """Make another class migration."""
    more = {} if kind is TransferredAway else {"storage": Storage.SQLITE}
    return kind(stable_id=StableId("a"), namespace_id=NamespaceId("1" * 32), **names, **more)


MOVES = (
    change(RenameClass, from_class="A", to_class="B"),
    change(TransferClass, from_script="old", from_class="A", to_class="A"),
    change(TransferredAway, class_name="A", to_script="new"),
    change(DeleteClass, class_name="A"),
)


def service(worker: str) -> ValueBinding:
    """Make a service binding."""
    return ValueBinding(name="S", value=ServiceBinding(worker=worker))


def queue(name: str) -> ValueBinding:
    """Make a binding that sends to a queue."""
    return ValueBinding(name="Q", value=Resource(type="queue", fields=Json({"queue_name": name})))


def test_independent_workers_are_sent_together() -> None:
    """Only what binds, serves, or sets the same Worker waits; what moves classes, or deletes, stands alone."""
    one, two = upload("one", CREATE), upload("two")
    url = SetUrl(worker="one", script_name="one", enabled=True)
    assert waves_of(()) == ()
    assert waves_of((one, two, url)) == ((0, 1), (2,))
    for binding in (ClassBinding(name="B", class_name="A", script_name="one"), service("one")):
        assert waves_of((one, upload("two", bindings=(binding,)))) == ((0,), (1,))
        assert waves_of((upload("two", bindings=(binding,)), one)) == ((0,), (1,))
    own = ClassBinding(name="B", class_name="A")
    assert waves_of((one, upload("two", bindings=(own, queue("jobs"))))) == ((0, 1),)
    tail = upload("two", options=Json({"tail_consumers": [{"service": "one"}]}))
    assert waves_of((one, tail)) == ((0,), (1,))
    removal = RemoveTrigger(worker="w", script_name="w", trigger=JOBS)
    for alone in (*(upload("x", m) for m in MOVES), removal, DeleteScript(worker="w", script_name="w"), Forget()):
        assert waves_of((one, alone, two)) == ((0,), (1,), (2,))


def test_queues_and_marks_wait_for_their_own() -> None:
    """Ids are noted after their Worker's upload; whoever needs a queue waits for it, and nobody else."""
    mark = SetMark(worker="w", script_name="w", stable_ids=(StableId("a"),), tags=("t",))
    make = MakeQueue(worker="w", script_name="w", queue="jobs")
    host, client = upload("w", CREATE), upload("c", bindings=(service("w"),))
    assert waves_of((host, mark, client)) == ((0,), (1, 2))
    sender, other = upload("s", bindings=(queue("jobs"),)), upload("o", bindings=(queue("else"),))
    consumer = SetTrigger(worker="x", script_name="x", trigger=JOBS)
    assert waves_of((make, sender, other, consumer)) == ((0, 2), (1, 3))
    dead = replace(consumer, trigger=replace(JOBS, key="more"))
    assert waves_of((MakeQueue(worker="q", script_name="q", queue="dead"), dead)) == ((0,), (1,))
    assert waves_of((host, make, sender)) == ((0,), (1,), (2,))


def waits(earlier: Step, later: Step) -> bool:
    """Say whether `later` has to wait for `earlier`: the rule, for two steps."""

    def alone(step: Step) -> bool:
        changes = step.migration.class_migrations if isinstance(step, Upload) and step.migration else ()
        return any(not isinstance(c, CreateClass) for c in changes) or isinstance(
            step, RemoveTrigger | DeleteScript | Forget
        )

    if alone(earlier) or alone(later):
        return True
    assert not isinstance(earlier, Forget)
    assert not isinstance(later, Forget)
    one, two = earlier.script_name, later.script_name
    if isinstance(earlier, SetMark) or isinstance(later, SetMark):
        return one == two
    if isinstance(earlier, MakeQueue):
        return earlier.queue in queues_of(later)
    if isinstance(later, MakeQueue):
        return one == two
    return one == two or one in reaches(later) or two in reaches(earlier)


def drawn(dice: random.Random) -> Step:
    """Draw a step about one of a few Workers and queues."""
    name, other, jobs = dice.choice("abcdef"), dice.choice("abcdef"), dice.choice(("jobs", "mail", "dead"))
    trigger = replace(JOBS, key=jobs)
    steps: list[Step] = [
        SetMark(worker=name, script_name=name, stable_ids=(), tags=()),
        SetUrl(worker=name, script_name=name, enabled=True),
        SetSchedules(worker=name, script_name=name, crons=()),
        MakeQueue(worker=name, script_name=name, queue=jobs),
        SetTrigger(worker=name, script_name=name, trigger=trigger),
        *(upload(name, *dice.choice(((), (CREATE,))), bindings=b) for b in ((), (service(other),), (queue(jobs),))),
    ]
    if dice.random() < 0.05:
        steps = [Forget(), RemoveTrigger(worker=name, script_name=name, trigger=trigger), upload(name, MOVES[0])]
    return dice.choice(steps)


def test_each_step_is_in_the_first_wave_after_all_it_waits_for() -> None:
    """Drawn plans: a step is one wave after the last one that it waits for, pair by pair, and never later."""
    for seed in range(300):
        dice = random.Random(seed)
        steps = tuple(drawn(dice) for _ in range(dice.randrange(1, 25)))
        number = {index: n for n, wave in enumerate(waves_of(steps)) for index in wave}
        for later, step in enumerate(steps):
            before = [number[earlier] + 1 for earlier in range(later) if waits(steps[earlier], step)]
            assert number[later] == max(before, default=0), (seed, later)
