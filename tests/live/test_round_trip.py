"""Values of Python go into a real object and come out as they were: hypothesis, against workerd."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import notebook_do as nd
from notebook_do.inspector.foreign import ARRAYS

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.sessions.objects import LiveObject

ECHO = """import { DurableObject } from "cloudflare:workers";
export class Echo extends DurableObject {
  echo(...values) { return values; }
  async keep(value) { await this.ctx.storage.put("kept", value); return this.ctx.storage.get("kept"); }
}
export default { fetch() { return new Response("ok"); } };
"""
TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=8)
MOMENTS = st.datetimes(max_value=datetime(9999, 12, 30)).map(  # noqa: DTZ001 - a bound
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
HASHABLE = st.integers() | st.booleans() | TEXT | st.floats(allow_nan=False) | MOMENTS | st.binary(max_size=8)
SCALARS = HASHABLE | st.none() | st.floats()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT | st.sampled_from(["$", "__proto__", "toJSON", "constructor"]), inner, max_size=4)
        | st.dictionaries(st.integers(), inner, min_size=1, max_size=4)
        | st.sets(st.integers() | TEXT, max_size=4)
    ),
    max_leaves=20,
)


@pytest.fixture
def echo(cloud: Path) -> LiveObject:
    """Deploy a class that returns what it is called with."""
    del cloud
    session = nd.session("echo")
    nd.Worker("echo", script=ECHO, bindings={"ECHO": nd.DurableObjectNamespace("echo", class_name="Echo")})
    session.deploy(session.plan())
    return session.object("echo", "a")


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same: NaN is, -0 and 0 are not, 2.0 and 2 are, as to JavaScript."""
    if isinstance(one, float | int) and isinstance(other, float | int):
        signs = math.copysign(1, one) == math.copysign(1, other)
        equal = (math.isnan(one) and math.isnan(other)) or (one == other and signs)
        return equal and isinstance(one, bool) is isinstance(other, bool)
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        # Keys that are numbers come first in an object of JavaScript's, wherever they were written.
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, max_size=8))
def test_values_round_trip_through_an_object(echo: LiveObject, values: list[Any]) -> None:
    """Whatever was sent comes back: texts of any characters, numbers of any size, keys of any name."""
    assert same(echo.echo(*values), values)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(VALUES, max_size=8))
def test_values_round_trip_through_storage(echo: LiveObject, values: list[Any]) -> None:
    """What arrives can be stored, and is read again as what was sent."""
    assert same(echo.keep(values), values)


@pytest.mark.parametrize("dtype", ["uint8", *ARRAYS.values()])
def test_arrays_keep_their_dtype(echo: LiveObject, dtype: str) -> None:
    """A typed array is an array of that dtype; bytes are bytes."""
    sent = np.array([0, 1, 200 if dtype.startswith("u") else 100], dtype=dtype)
    (found,) = echo.echo(sent)
    if dtype == "uint8":
        assert found == sent.tobytes()
    else:
        assert found.dtype == sent.dtype
        assert found.tolist() == sent.tolist()
