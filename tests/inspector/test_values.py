"""Values of the wire: what Python makes of each tag, what it writes for its own values, and what it refuses."""

from __future__ import annotations

import enum
import math
import pickle
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.errors import CommandError, JSError
from notebook_do.frames import Frame
from notebook_do.inspector.values import UNDEFINED, bigint, decode, encode


class Colour(str, enum.Enum):  # noqa: UP042 - it is the case
    """A text that is an Enum: str() of it is its name."""

    RED = "red"


@dataclass
class Point:
    """A class of a user's."""

    x: int


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        (UNDEFINED, {"$": "undefined"}),
        (np.bool_(True), True),  # noqa: FBT003 - the value
        (np.str_("a"), "a"),
        (Colour.RED, "red"),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$": "bigint", "v": str(2**53)}),
        (bigint(5), {"$": "bigint", "v": "5"}),
        (np.int64(5), 5),
        (np.float32(0.5), 0.5),
        (-0.0, {"$": "number", "v": "-0"}),
        (math.inf, {"$": "number", "v": "Infinity"}),
        (MOMENT, {"$": "date", "v": 1767225600000}),
        (pd.Timestamp(MOMENT), {"$": "date", "v": 1767225600000}),
        (bytearray(b"ab"), {"$": "bytes", "v": "YWI="}),
        (np.array([1, 2], dtype="uint8"), {"$": "bytes", "v": "AQI="}),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array([1.0], dtype=">f4"), {"$": "Float32Array", "v": "AACAPw=="}),
        (np.array(["a", None], dtype=object), ["a", None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Series(["a", None], dtype="str"), ["a", None]),
        (pd.Series(["a", None], dtype="string"), ["a", None]),
        (pd.DataFrame({"a": ["x", None], "n": [1.5, 2]}), [{"a": "x", "n": 1.5}, {"a": None, "n": 2.0}]),
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (Frame({"a": [1]}), [{"a": 1}]),
        (frozenset([1]), {"$": "set", "v": [1]}),
        ({1: "a"}, {"$": "map", "v": [[1, "a"]]}),
        ({"$": 1}, {"$": "object", "v": [["$", 1]]}),
        ({"\ud800": 1}, {"$": "object", "v": [[{"$": "utf16", "v": "ANg="}, 1]]}),
        ("\ud800", {"$": "utf16", "v": "ANg="}),
    ],
)
def test_values_are_written_as_what_they_are(value: Any, written: Any) -> None:
    """What JSON has no form for is a tag; what is numpy's or pandas' is written as Python's own would be."""
    assert encode(value, "args[0]") == written


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [Decimal(1)]}, r"args\[0\].a\[0\]: a decimal.Decimal cannot be sent; send str\(value\)"),
        (date(2026, 1, 1), "send value.isoformat"),
        (timedelta(1), "send its seconds"),
        (datetime(2026, 1, 1), "has no time zone"),  # noqa: DTZ001 - it is the case
        (pd.Series(pd.to_datetime(["2026-01-01"])), r"args\[0\]\[0\]: 2026-01-01 00:00:00 has no time zone"),
        (np.array(["2026-01-01"], dtype="datetime64[s]"), "numpy.datetime64 cannot be sent; it has no time zone"),
        (np.timedelta64(5, "s"), "numpy.timedelta64"),
        (np.longdouble(1), "numpy.longdouble|numpy.float128"),
        (1j, "a complex cannot be sent"),
        (Point(1), r"send dataclasses.asdict\(value\)"),
        (object(), "an object cannot be sent; send numbers, text"),
        (JSError("E", "m"), "notebook_do.JSError"),
        ({1: {2: object}}, r"args\[0\]\[1\]\[2\]: a type cannot be sent"),
    ],
)
def test_what_has_no_form_is_refused_with_its_path(value: Any, said: str) -> None:
    """One line names the place, the type and what to send."""
    with pytest.raises(CommandError, match=said) as raised:
        encode(value, "args[0]")
    assert "\n" not in str(raised.value)


def test_what_holds_itself_cannot_be_sent() -> None:
    """A list in itself is refused with its path; one that stands twice is sent twice."""
    ring: list[Any] = []
    ring.append({"a": ring})
    with pytest.raises(CommandError, match=r"args\[0\]\[0\].a: it holds itself"):
        encode(ring, "args[0]")
    one = {"a": 1}
    assert encode([one, one], "args[0]") == [one, one]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CommandError, match="nested too deep"):
        encode(deep, "args[0]")


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"$": "undefined"}, None),
        ({"$": "bigint", "v": "12345678901234567890"}, 12345678901234567890),
        ({"$": "number", "v": "48130600512690490"}, 48130600512690490.0),
        ({"$": "date", "v": None}, None),
        ({"$": "date", "v": 8640000000000000}, "8640000000000000 ms since 1970"),
        ({"$": "map", "v": [[1, "a"], [True, "b"]]}, [(1, "a"), (True, "b")]),
        ({"$": "map", "v": [[[1], "a"]]}, [([1], "a")]),
        ({"$": "set", "v": [1, True]}, [1, True]),
        ({"$": "set", "v": [{}]}, [{}]),
        ({"$": "regexp", "v": "a+", "flags": "gi"}, "/a+/gi"),
        ({"$": "utf16", "v": "ANg="}, "\ud800"),
        ({"$": "object", "v": [["$", 1]]}, {"$": 1}),
    ],
)
def test_tags_are_read_as_what_they_were(node: Any, value: Any) -> None:
    """Keys and items that would fall together in Python stay apart, as pairs or as a list."""
    found = decode(node)
    assert found == value
    assert type(found) is type(value)


def test_a_javascript_error_is_one_in_python() -> None:
    """It has name, message, stack and cause, shows its frames below its line, and can be compared and pickled."""
    cause = {"$": "error", "name": "RangeError", "message": "inner", "stack": None}
    node = {"$": "error", "name": "TypeError", "message": "no\x1b[2J", "stack": "TypeError: no\n    at f (i.js:1:2)"}
    error = decode({**node, "cause": cause})
    assert (error.name, error.message, error.cause) == ("TypeError", "no\x1b[2J", JSError("RangeError", "inner"))
    assert str(error) == r"TypeError: no\x1b[2J"
    assert error._render_traceback_() == [r"JSError: TypeError: no\x1b[2J", "    at f (i.js:1:2)"]
    again = pickle.loads(pickle.dumps(error))
    assert again == error
    assert again.stack == error.stack
    assert len({again, error}) == 1
    assert str(JSError("AbortError", "")) == "AbortError"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes(timezones=st.just(UTC), max_value=datetime(9999, 12, 30)).map(  # noqa: DTZ001 - a bound
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet=st.characters(exclude_categories=()), max_size=4) | st.just("$"), inner)
    ),
    max_leaves=12,
)


@given(value=VALUES)
def test_values_round_trip(value: Any) -> None:
    """What is written is read again as it was, whatever keys and characters it has."""
    assert decode(encode(value, "args[0]")) == value
