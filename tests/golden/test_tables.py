"""Every DataFrame has the columns, dtypes and attributes that it had, with and without rows.

After a deliberate change write the file anew with `python tests/golden/write.py tables`, look at its diff, and commit
both together with the reason. What stands in the rows is held by tests/notebook/test_frames.py and test_exploring.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from files import golden
from inside import launch
from tables import on_cloudflare, on_the_local_target

if TYPE_CHECKING:
    from pathlib import Path

STATEMENTS = {"query all", "query one", "query nothing"}
"""What a statement selects has its own columns, and a dtype that its values have."""


@pytest.fixture(scope="module")
def found() -> Any:
    """Give the frames of an account."""
    return on_cloudflare()


@pytest.mark.parametrize("how", ["empty", "full"])
def test_frames_are_as_they_were(how: str, found: Any) -> None:
    """Columns in their order, dtypes, attributes."""
    assert found[how] == golden("frames")["cloudflare"][how]


def test_frames_of_the_local_target_are_as_they_were(tmp_path: Path) -> None:
    """What only the local Cloudflare tells: stored values, named objects and selected rows."""
    try:
        found = on_the_local_target(tmp_path)
    finally:
        launch.stop(tmp_path / "local-data")
    assert found == golden("frames")["local"]


@pytest.mark.parametrize("where", ["cloudflare", "local"])
def test_rows_change_no_dtype(where: str) -> None:
    """A frame without rows can be put beside one with rows: it has the same columns and dtypes."""
    frames = golden("frames")[where]
    both = frames["empty"].keys() & frames["full"].keys()
    assert both >= frames["full"].keys() - STATEMENTS - {"whoami", "backups"}
    for name in both:
        assert frames["empty"][name]["columns"] == frames["full"][name]["columns"], name
