"""A copy of a plan is the same plan, and shares nothing with it that could be changed."""

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from large_sessions import ACCOUNT, ORIGIN, catalog_of, plan_of

from notebook_do.model import Json, Observed, Recorded, Secret
from notebook_do.model.copying import copied
from notebook_do.plan.namespaces.moves import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def plan() -> Any:
    """Return a plan of steps, changes, rows and records."""
    nothing = Observed(account_id=ACCOUNT, api_origin=ORIGIN)
    return plan_of(catalog_of(3), Recorded(lineage="f" * 32), nothing)


def parts(value: Any) -> Iterator[Any]:
    """Yield everything in a value that can be changed, by force too."""
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from parts(getattr(value, field.name))
    elif isinstance(value, dict):
        yield value
        yield from (part for item in value.values() for part in parts(item))
    elif isinstance(value, tuple | list | frozenset):
        yield from (part for item in value for part in parts(item))


def test_a_copy_is_equal_and_its_own(plan: Any) -> None:
    """As a deep copy is, and in no part the same object; what was only computed of the first is not taken along."""
    copy_of_it, digest = copied(plan), plan.digest
    assert copy_of_it == plan == copy.deepcopy(plan)
    assert all(getattr(copy_of_it, f.name) == getattr(plan, f.name) for f in fields(plan))
    assert not {id(part) for part in parts(copy_of_it)} & {id(part) for part in parts(plan)}
    assert "digest" not in vars(copy_of_it)
    assert copy_of_it.digest == digest


def test_a_copy_stays_when_the_first_is_changed_by_force(plan: Any) -> None:
    """Neither a step nor a module of it is another one afterwards."""
    copy_of_it, step = copied(plan), plan.steps[0]
    before, name = copy.deepcopy(copy_of_it), step.modules[0].name
    object.__setattr__(step.modules[0], "name", "another.js")
    try:
        assert copy_of_it == before != plan
    finally:
        object.__setattr__(step.modules[0], "name", name)


def test_values_that_are_made_in_another_way() -> None:
    """Those whose `__init__` takes something else than they keep, a named tuple, enums, dicts, and what is unknown."""

    class Colour(Enum):
        RED = 1

    values = (Json({"a": [1]}), Secret.from_env("TOKEN"), Slot("w", "C"), {"a": [Colour.RED]}, {1, 2}, frozenset("ab"))
    for value in values:
        assert copied(value) == value
        assert type(copied(value)) is type(value)
