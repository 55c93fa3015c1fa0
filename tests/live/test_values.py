"""Values and parameters on the wire: every value comes back as itself, and nothing is taken for a mark of ours."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.errors import CommandError
from notebook_do.inspector.values import Undecoded, decode
from notebook_do.live.values import encode, parameters

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary(max_size=8)
)
NAMES = st.sampled_from(("$", "v", "n", "$base64", "undecoded", "x"))
_FIRST, _LAST = datetime(1, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001 - the zone comes with each moment
VALUES = st.recursive(
    SCALARS | st.datetimes(_FIRST, _LAST).map(lambda at: at.replace(microsecond=0, fold=0, tzinfo=UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_every_value_comes_back_as_itself(value: Any) -> None:
    """Of any value, marks of our own among its keys included: through JSON and back it is equal, and of its type."""
    back = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    assert (back, repr(back)) == (value, repr(value))


def test_what_json_has_no_form_for_is_told_apart() -> None:
    """NaN is not "NaN", a Map not a list, bytes not their text; a value that holds itself does so in Python."""
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode("NaN")) == "NaN"
    assert decode({"$": "map", "v": [["k", 1], [2, "v"]]}) == {"k": 1, 2: "v"}
    assert decode({"$": "map", "v": [[1, "a"], [True, "b"]]}) == [(1, "a"), (True, "b")]
    assert decode({"$": "set", "v": [1, "x"]}) == {1, "x"}
    assert decode({"$": "set", "v": [[1]]}) == [[1]]
    assert decode({"$": "date", "v": None}) is None
    assert decode({"$": "date", "v": 8_640_000_000_000_000}) == "8640000000000000 ms since 1970"
    assert decode({"$": "undecoded", "v": "why"}) == Undecoded("why") != {"undecoded": "why"}
    array = decode({"$": "Uint16Array", "v": "AgD//w=="})
    assert (array.dtype, array.tolist(), encode(array)) == (
        np.uint16,
        [2, 65535],
        {"$": "Uint16Array", "v": "AgD//w=="},
    )
    ring = decode({"$": "def", "n": 0, "v": {"itself": {"$": "ref", "v": 0}, "list": [{"$": "ref", "v": 0}]}})
    assert ring["itself"] is ring["list"][0] is ring
    again = decode(json.loads(json.dumps(encode([ring, ring]))))[1]
    assert again["itself"] is again["list"][0] is again
    with pytest.raises(CommandError, match="a value of kind 'later', which this version cannot read"):
        decode({"$": "later"})


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.int64(2**53 + 1), 2**53 + 1),
        (np.uint8(7), 7),
        (np.float64(1), 1.0),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1),  # noqa: FBT003 - the value
        (np.str_("a"), "a"),
        (np.array(3), 3),
        (True, 1),
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        (1e999, {"$": "number", "v": "Infinity"}),
        (b"\x00\xff", {"$": "bytes", "v": "AP8="}),
        (bytearray(b"a"), {"$": "bytes", "v": "YQ=="}),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00.000Z"),
        (pd.Timestamp("2026-01-02T03:00:00.5+01:00"), "2026-01-02T02:00:00.500Z"),
        (-(2**63), -(2**63)),
    ],
    ids=repr,
)
def test_scalars_of_numpy_and_pandas_are_parameters(value: Any, sent: Any) -> None:
    """A scalar of numpy or pandas, bytes, a boolean, an aware datetime and None are what SQLite has for them."""
    (found,) = parameters([value])
    assert (found, type(found)) == (sent, type(sent))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (date(2026, 1, 2), r"a datetime\.date, .* send value\.isoformat\(\)"),
        (datetime(2026, 1, 2), r"a datetime\.datetime, .* no time zone: use \.astimezone\(\)"),  # noqa: DTZ001 - the fault
        (pd.Timestamp("2026-01-02"), r"a pandas\.Timestamp, .* no time zone"),
        (np.datetime64("2026-01-02"), r"a numpy\.datetime64, .* no time zone"),
        (timedelta(1), "send its seconds"),
        (Decimal("1.5"), r"a decimal\.Decimal, .* send str\(value\) or float\(value\)"),
        ([1], "a list, .* one by one"),
        (np.array([1, 2]), r"a numpy\.ndarray, .* one by one"),
        (object(), "an? object, .* send a number"),
        (2**63, "beyond the whole numbers of SQLite"),
        ("\ud800", "half of a character"),
    ],
    ids=lambda value: type(value).__name__,  # not its text, which may hold an address
)
def test_any_other_parameter_is_refused_by_its_place(value: Any, said: str) -> None:
    """What SQLite cannot hold is refused in one line, with its place, its type and what to send in place of it."""
    with pytest.raises(CommandError, match=rf"^query: parameter 2 .*{said}"):
        parameters([1, value])
