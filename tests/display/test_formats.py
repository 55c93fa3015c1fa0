"""Numbers, sizes, durations, times and ids are written one way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.display import formats

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 11, 26, 14, 2, 11, 204_900, tzinfo=UTC)


@pytest.mark.parametrize(
    ("write", "given", "said"),
    [
        (formats.count, 1204, "1,204"),
        (formats.size, 1, "1 byte"),
        (formats.size, 70, "70 bytes"),
        (formats.size, 999, "999 bytes"),
        (formats.size, 12_400, "12.4 kB"),
        (formats.size, 999_950, "1.0 MB"),
        (formats.size, 1_200_000, "1.2 MB"),
        (formats.duration, 0.038, "38 ms"),
        (formats.duration, 0.9999, "1.0 s"),
        (formats.duration, 2.4, "2.4 s"),
        (formats.duration, 59.96, "1 min 0 s"),
        (formats.duration, 72, "1 min 12 s"),
        (formats.duration, 7500, "2 h 5 min"),
        (formats.offset, 0.031, "+31 ms"),
        (formats.moment, AT, "2026-11-26 14:02:11 UTC"),
        (formats.moment, "2026-11-26T14:02:11.204Z", "2026-11-26 14:02:11 UTC"),
        (formats.moment, AT.astimezone(timezone(timedelta(hours=2))), "2026-11-26 14:02:11 UTC"),
        (formats.moment, "at some time", "at some time"),
        (formats.minute, "2026-11-26T14:02:11", "2026-11-26 14:02"),
        (formats.clock, AT, "14:02:11.204"),
        (formats.short_namespace, "11c923680e7ac9189eb7d60d5524bb00", "11c9…5524bb00"),
        (formats.short_object, "be243a283c73d8abfa7079239283702e", "be243a28…"),
        (formats.short_account, "9a4c" + "0" * 24 + "61f7", "9a4c…61f7"),
        (formats.short_digest, "9185ab1290cd34ef", "9185ab12"),
        (formats.listed, ["a"], "a"),
        (formats.listed, ["a", "b", "c"], "a, b and c"),
        (formats.listed, list("abcdefghij"), "a, b, c, d, e, f, g and 3 more"),
        (formats.listed, [], ""),
        (formats.clipped_value, "x" * 60, "x" * 60),
        (formats.clipped_value, "x" * 61, "x" * 57 + "…"),
    ],
)
def test_one_way_for_each(write: Callable[[Any], str], given: Any, said: str) -> None:
    """As section 5 of the contract says."""
    assert write(given) == said


def test_a_count_agrees_with_its_noun() -> None:
    """One Worker, two Workers."""
    assert [formats.counted(n, "entry", "entries") for n in (0, 1, 1204)] == ["0 entries", "1 entry", "1,204 entries"]
