"""The plan as a value: its frames, its name, what may be pressed; and how a secret's fate is judged."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

import pytest
from plan_world import Book, body

from notebook_do import model
from notebook_do.model import (
    ClassBinding,
    Json,
    PlainText,
    RecordedWorker,
    Resource,
    Secret,
    ValueBinding,
    states,
    steps,
)
from notebook_do.model.states import SecretReading
from notebook_do.model.steps import KEPT, is_kept
from notebook_do.plan.digest import WORDS, is_as_shown
from notebook_do.plan.plan import Consent
from notebook_do.plan.workers.bindings import describe, is_live_secret, status_of


def book() -> Book:
    """Declare one Worker with one namespace."""
    made = Book()
    made.cell("namespace counter --class Counter")
    made.cell("worker api --bind COUNTER=counter --var WORD=w --no-url", body(Counter="counter"))
    return made


def test_frames_of_a_plan() -> None:
    """Changes, bindings and class migrations, a row each, with the columns that are always there."""
    plan = book().plan()
    assert list(plan.df["id"]) == ["api", "api.COUNTER", "api.WORD", "counter"]
    assert list(plan.df["action"]) == ["create"] * 4
    assert not plan.df["destructive"].any()
    assert list(plan.bindings["binding"]) == ["COUNTER", "WORD"]
    assert list(plan.bindings["type"]) == ["durable_object_namespace", "plain_text"]
    assert list(plan.bindings["target"]) == ["counter", ""]
    assert list(plan.migrations["step"]) == ["create"]
    assert list(plan.migrations["to_class"]) == ["Counter"]


def test_migrations_are_listed_behind_workers_without_any() -> None:
    """The frame has the class migrations of every upload, whatever comes before it."""
    made = Book()
    made.cell("worker api --no-url", body())
    made.cell("namespace counter --class Counter")
    made.cell("worker web --bind COUNTER=counter --no-url", body(Counter="counter"))
    assert list(made.plan().migrations["worker"]) == ["web"]


def test_what_a_rate_limit_is_told_apart_by() -> None:
    """Its limit and period are shown, and a live one that says neither is shown without."""

    def limited(**fields: object) -> ValueBinding:
        return ValueBinding(name="R", value=Resource(type="ratelimit", fields=Json({"namespace_id": "1001", **fields})))

    assert describe(limited(simple={"limit": 5, "period": 60}), "api").endswith("1001 (limit 5, period 60)")
    assert describe(limited(), "api").endswith("1001")


def test_what_may_be_pressed() -> None:
    """A plan with steps and without refusals; one with nothing to do is empty."""
    made = book()
    plan = made.plan()
    assert plan.can_deploy
    assert not plan.empty
    made.deploy()
    assert made.plan().empty
    assert not made.plan().can_deploy
    made.cell("namespace counter --class Counter --kv")
    refused = made.plan()
    assert refused.refusals
    assert not refused.can_deploy


def test_a_digest_names_all_of_a_plan_but_what_is_told_beside_it() -> None:
    """The same plan has the same name, any change another one, and a copy is told from what was shown."""
    plan, again = book().plan(), book().plan()
    assert plan.digest == again.digest
    assert len(plan.digest) == 16
    assert replace(plan, warnings=("told",)).digest == plan.digest
    for other in (replace(plan, stage="x"), replace(plan, steps=()), replace(plan, scripts=frozenset())):
        assert other.digest != plan.digest
        assert not is_as_shown(other, plan, plan.digest)
    assert is_as_shown(replace(plan, warnings=("told",), notes=("read 12:04",)), plan, plan.digest)
    assert not is_as_shown(plan, plan, "0" * 16)


def named(value: Secret | Resource | PlainText, name: str = "KEY") -> ValueBinding:
    """Bind a value."""
    return ValueBinding(name=name, value=value)


DECLARED = named(Secret.from_env("KEY"))
LIVE = named(Resource(type="secret_text", fields=Json({})))


def test_what_stands_for_a_live_secret() -> None:
    """A kept binding is that very value; a live secret is known by its type alone; a class or a text is neither."""
    assert is_kept(named(KEPT))
    assert not is_kept(DECLARED)
    assert not is_kept(ClassBinding(name="KEY", class_name="A"))
    assert is_live_secret(LIVE)
    assert is_live_secret(DECLARED)
    assert not is_live_secret(named(PlainText(text="x")))
    assert not is_live_secret(named(Resource(type="secret_key", fields=Json({}))))
    assert not is_live_secret(ClassBinding(name="KEY", class_name="A"))


@pytest.mark.parametrize(
    ("live", "marks", "secret_reading", "status"),
    [
        (None, {}, SecretReading(mark="k.1"), "set"),
        (None, {"KEY": "k.1"}, SecretReading(mark="k.1"), "set"),
        (None, {}, SecretReading(problem="absent"), "missing"),
        (named(PlainText(text="x")), {}, SecretReading(mark="k.1"), "set"),
        (named(PlainText(text="x")), {}, SecretReading(problem="absent"), "missing"),
        (LIVE, {}, SecretReading(problem="absent"), "kept"),
        (LIVE, {"KEY": "k.1"}, SecretReading(mark="k.1"), "kept"),
        (LIVE, {"KEY": "k.1"}, SecretReading(mark="k.2"), "changed"),
        (LIVE, {"KEY": "j.1"}, SecretReading(mark="k.1"), "set"),
        (LIVE, {"OTHER": "k.1"}, SecretReading(mark="k.1"), "set"),
        (LIVE, None, SecretReading(mark="k.1"), "set"),
    ],
)
def test_what_becomes_of_a_declared_secret(
    live: ValueBinding | None, marks: dict[str, str] | None, secret_reading: SecretReading, status: str
) -> None:
    """Kept where it is live and the same or cannot be compared; changed under one key; else set, or missing."""
    record = None if marks is None else RecordedWorker(id="w", script_name="w", secrets=tuple(marks.items()))
    assert status_of(DECLARED, live, record, secret_reading) == status


def test_every_value_of_a_step_has_its_word_in_a_digest() -> None:
    """So no step, however rare, is without a name for its digest; and no word stands for two types."""
    names = {**vars(model), **vars(steps), **vars(states)}
    found: set[type] = set()

    def visit(hint: Any) -> None:
        for inner in get_args(hint):
            visit(inner)
        if is_dataclass(hint) and isinstance(hint, type) and hint not in found:
            found.add(hint)
            hints = get_type_hints(hint, localns=names)
            for each in fields(hint):
                if each.compare:
                    visit(hints[each.name])

    for step in (*get_args(steps.Step), Consent):
        visit(step)
    assert len(found) > 25
    assert {kind.__name__ for kind in found} == WORDS.keys()
    assert len({*WORDS.values()}) == len(WORDS)
