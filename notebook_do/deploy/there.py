"""Waits until Cloudflare knows a script that this very deploy uploaded: its parts learn of it one after the other.

Right after an upload, reads and settings may answer that the Worker does not exist (10007), that a route cannot be
configured for it (10019) or that it has no queue handler (11001). Of any other script these are the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from notebook_do.errors import ApiError, DeployError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from notebook_do.cloudflare.client import Client

T = TypeVar("T")
NOT_THERE_YET = frozenset({10007, 10019, 11001})
TURNS = 6


async def until_there(client: Client, script: str, call: Callable[[], Awaitable[T]], *, fresh: bool) -> T:
    """Call until Cloudflare knows `script`, at most `TURNS` times; at once where it is not `fresh`.

    Each of these refusals says that nothing was done, so that a mutation may be sent again too. Raises DeployError when
    Cloudflare says the same to the end.
    """
    waited = 0.0
    for turn in range(1, TURNS + 1):
        try:
            return await call()
        except ApiError as error:
            if not fresh or error.code not in NOT_THERE_YET:
                raise
            if turn == TURNS:
                raise DeployError(
                    f"{waited:.0f} s after its upload Cloudflare still says of Worker {script}: {error} "
                    "Nothing is lost and nothing else was sent; plan again to go on from here."
                ) from None
        seconds = float(2 ** (turn - 1))
        await client.pace.wait(seconds, f"until Cloudflare knows Worker {script}, attempt {turn + 1} of {TURNS}")
        waited += seconds
    raise AssertionError("unreachable")
