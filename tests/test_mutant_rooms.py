"""What the tool for mutants is told of the rooms is there: a test file that was renamed would stop it."""

from __future__ import annotations

import runpy
from pathlib import Path

TREE = Path(__file__).parents[1]


def test_every_room_names_modules_and_tests_that_are_there() -> None:
    """Each pattern of modules finds some, and each test file is a file."""
    rooms = runpy.run_path(str(TREE / "tests/mutants/rooms.py"))["ROOMS"]
    assert len(rooms) == 4
    for name, room in rooms.items():
        assert [pattern for pattern in room.modules if not any(TREE.glob(pattern))] == [], name
        assert [test for test in (*room.tests, *room.beyond) if not (TREE / test).is_file()] == [], name
