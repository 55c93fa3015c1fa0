"""What proves something, what may be repeated, and how long is waited."""

from __future__ import annotations

import pytest

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.retry import Pace, is_definite, is_transient
from notebook_do.errors import ApiError


@pytest.mark.parametrize(
    ("error", "definite", "transient"),
    [
        (ApiError("x", code=10021, status=400), True, False),
        (ApiError("x", code=10064, status=403), True, False),
        (ApiError("x", code=10007, status=404), True, False),
        (ApiError("x", code=10079, status=412), True, False),
        (ApiError("x", code=0, status=403), False, False),
        (ApiError("x", code=10429, status=429), False, True),
        (ApiError("x", code=1, status=408), False, True),
        (ApiError("x", code=1, status=409), False, True),
        (ApiError("x", code=1, status=425), False, True),
        (ApiError("x", code=10013, status=500), False, True),
        (ApiError("x", code=0, status=524), False, True),
        (ApiError("x", code=0, status=200), False, True),
        (ApiError("x", code=10021, status=200), False, False),
        (ApiError("x", code=10013, status=200), False, True),
        (ApiError("x", code=0, status=307), False, False),
        (NoAnswer("x", sent=False), True, True),
        (NoAnswer("x", sent=True), False, True),
    ],
)
def test_what_an_error_proves(error: ApiError | NoAnswer, definite: bool, transient: bool) -> None:  # noqa: FBT001
    """Only Cloudflare's own 4xx and a request that never left prove that nothing happened."""
    assert is_definite(error) is definite
    assert is_transient(error) is transient


def test_own_pace_doubles_and_the_servers_wish_wins() -> None:
    """Waits are 1, 2, 4 s where nothing is asked; what the answer asks is waited instead."""
    plain, asked = ApiError("x", status=503), ApiError("x", status=429)
    asked.retry_after = 11.0
    assert [Pace().pause(plain, n) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert Pace().pause(asked, 3) == 11.0
