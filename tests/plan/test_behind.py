"""Which of two copies of a state file knows more: told by the operation that the live upload names in its tag."""

from __future__ import annotations

import pytest

from notebook_do.model import ObservedScript, Recorded, RecordedWorker
from notebook_do.plan.workers.ownership import is_behind

LINEAGE = "0123456789abcdef" * 2
OURS, LATER, FOREIGN = (
    f"{begin}.{serial}.{'a' * 16}" for begin, serial in (("01234567", 4), ("01234567", 5), ("f" * 8, 9))
)


@pytest.mark.parametrize(
    ("recorded", "live", "behind"),
    [
        (None, None, False),
        (None, OURS, False),
        (None, LATER, True),
        (None, FOREIGN, False),
        ("", OURS, False),
        ("", LATER, True),
        ("", None, False),
        (OURS, OURS, False),
        (OURS, LATER, True),
        (LATER, OURS, True),
        (OURS, FOREIGN, False),
    ],
)
def test_who_is_behind(recorded: str | None, live: str | None, *, behind: bool) -> None:
    """A record that names its upload knows its own alone; without one, and of none, the serial tells, which grows."""
    workers = () if recorded is None else (RecordedWorker(id="api", script_name="api", op=recorded or None),)
    script = ObservedScript(name="api", tags=() if live is None else (f"ndo:op:{live}",))
    assert is_behind(script, Recorded(lineage=LINEAGE, serial=5, workers=workers)) is behind
