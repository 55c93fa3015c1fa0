"""JSON bindings: a Worker reads every digit that was declared, or it is said that it would not."""

from __future__ import annotations

import json
from typing import Any

import pytest

import notebook_do as nd
from notebook_do.errors import DeclarationError
from notebook_do.model.declared import live_json


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"id": 2**53 + 1}, 'id is 9007199254740993, and JavaScript reads 9007199254740992; write it as text: "9007'),
        ({"a": [{"b": 1 - 2**63}]}, "a[0].b is -9223372036854775807, and JavaScript reads -9223372036854775808"),
        (2**64 + 1, "it is 18446744073709551617"),
        ([10**400], "JavaScript reads Infinity"),
    ],
)
def test_a_number_that_would_lose_digits_is_refused(value: Any, said: str) -> None:
    """A whole number that JavaScript cannot hold is named with its path, what would be read, and the way out."""
    with pytest.raises(DeclarationError) as refused:
        nd.Json(value)
    assert "would lose digits" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("value", [2**53, 2**60, -(2**53), {"id": "9007199254740993"}, True, 1e300, 0.1234567890123456])
def test_what_javascript_reads_whole_is_taken(value: Any) -> None:
    """Numbers that a Worker reads as they are, and digits in a text, are no fault."""
    assert nd.Json(value).value == value


def test_what_is_live_already_is_kept_as_it_is() -> None:
    """A value of a live Worker is read whatever its numbers are: a look refuses nothing."""
    assert live_json({"id": 2**53 + 1}).text == json.dumps({"id": 2**53 + 1}, separators=(",", ":"))
