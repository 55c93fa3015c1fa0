"""Stored bytes that nobody wrote: they are told from values, and cost little."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.local.objects.v8 import DecodeError, beginning, decode, is_exact

HEAD = b"\xff\x0f"
TAGS = b"_0TF-IUNZcS\"^oAa;'DRB~Vyxnzs\\{$@:,r"


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from([bytes([t]) for t in TAGS]) | st.binary(max_size=3)).map(b"".join)
)
def test_any_bytes_are_a_value_or_undecodable(body: bytes) -> None:
    """Whatever stands behind the head, the answer is a JSON value or DecodeError, and nothing else."""
    try:
        value = decode(HEAD + body)
    except DecodeError:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff",
        b"hello",
        b"\xff\x63I\x02",
        HEAD + b"A\xff\xff\xff\xff\x0f",
        HEAD + b"a\xff\xff\xff\x7f",
        HEAD + b"A\x01" * 5000,
        HEAD + b'"\xff\xff\xff\xff\x0fx',
        HEAD + b"^\x05",
    ],
    ids=repr,
)
def test_what_is_cut_short_or_without_end_is_undecodable(stored: bytes) -> None:
    """Bytes that promise more than they hold, or nest without end, are refused in one line."""
    with pytest.raises(DecodeError):
        decode(stored)


def test_a_value_that_grows_as_it_is_read_is_undecodable() -> None:
    """Twenty lists, each holding the one before twice, would be a million parts: they are not unfolded."""
    body = b"I\x02"
    for number in range(20):
        body = b"A\x02" + body + (b"^" + bytes([20 - number]) if number else b"I\x02") + b"$\x00\x02"
    with pytest.raises(DecodeError, match="more than 200,000 parts"):
        decode(HEAD + body)


def test_the_beginning_of_an_object_is_read_where_the_rest_cannot_be() -> None:
    """What comes before the first part that is cut short or of an unknown kind is there; what is no object is empty."""
    head = b'\xff\x0fo"\x01aI\x02'
    assert beginning(head + b'"\x01bI\x04{\x02') == {"a": 1, "b": 2}
    assert beginning(head + b'"\x01bI') == {"a": 1}
    assert beginning(head + b'"\x01b!') == {"a": 1}
    assert beginning(b"\xff\x0fI\x02") == {}
    assert beginning(b"") == {}


@pytest.mark.parametrize(
    ("stored", "exact"),
    [
        (b'"\x01a', True),
        (b's"\x01a', False),  # new String("a")
        (b"T", True),
        (b"y", False),  # new Boolean(true)
        (b"A\x01I\x02$\x00\x01", True),
        (b"A\x01-$\x00\x01", False),
        (b"a\x01I\x00_@\x01\x01", True),
        (b"a\x02I\x02_@\x01\x02", False),
        (b'R"\x01a\x00', False),
        (b"B\x01xVB\x00\x01\x00", True),
        (b"B\x01x", False),
        (b"!", False),
    ],
    ids=repr,
)
def test_only_what_is_told_whole_is_exact(stored: bytes, *, exact: bool) -> None:
    """What reads like a plainer value, as a boxed text or a hole does, is told from that one."""
    assert is_exact(HEAD + stored) is exact
