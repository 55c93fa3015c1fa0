"""DataFrames with the same columns and dtypes whatever the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from notebook_do.frames import COLUMNS, frame, selected

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.plan.plan import Plan

DTYPES = dict.fromkeys(("destructive", "protected", "readable", "stored"), "bool")
DTYPES |= dict.fromkeys(("objects", "rows", "serial", "size"), "Int64")
DTYPES |= dict.fromkeys(("alarm", "last_write", "time"), "datetime64[ms, UTC]")
DTYPES |= {"value": "object", "new_value": "object"}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("rows", [(), ({},), ({"objects": 3, "protected": True, "worker": "w"}, {})])
def test_columns_and_dtypes_never_change(name: str, rows: tuple[dict[str, Any], ...]) -> None:
    """No rows, empty rows and full rows give frames that can be concatenated."""
    made = frame(name, rows)
    assert tuple(made.columns) == COLUMNS[name]
    assert len(made) == len(rows)
    assert [str(made[c].dtype) for c in made] == [DTYPES.get(c, "string") for c in made]


def test_what_was_selected_has_the_dtypes_of_its_values() -> None:
    """Whole numbers with a gap stay whole, text is text, bytes stay bytes, and no rows are a frame too."""
    made = selected(("n", "text", "raw", "x"), [[1, "a", b"\x00", 0.5], [None, None, None, None]])
    assert {c: str(made[c].dtype) for c in made} == {"n": "Int64", "text": "string", "raw": "object", "x": "Float64"}
    assert made["raw"][0] == b"\x00"
    assert list(selected(("n", "n"), []).columns) == ["n", "n"]


def test_an_unknown_object_count_is_no_zero() -> None:
    """Not known and none are different things."""
    made = frame("namespaces", ({"objects": None}, {"objects": 0}))
    assert made["objects"].isna().tolist() == [True, False]


def test_a_plan_gives_its_three_frames(make_plan: Callable[..., Plan]) -> None:
    """`plan.df`, `plan.bindings` and `plan.migrations` hold the plan's rows as text."""
    plan = make_plan(drift=make_plan().changes[:1])
    assert plan.df["action"].tolist() == ["create"] * 4
    assert plan.df["destructive"].sum() == 0
    assert plan.bindings.loc[0, "class_name"] == "Counter"
    assert plan.migrations.loc[0, "step"] == "create"
    assert all(pd.api.types.is_string_dtype(plan.bindings[c]) for c in plan.bindings)


def test_a_row_as_json_is_json(make_plan: Callable[..., Plan]) -> None:
    """Missing text is an empty string and not NaN, which is no JSON."""
    records = make_plan().migrations.to_dict("records")
    assert json.loads(json.dumps(records, allow_nan=False))[0]["from_class"] == ""
