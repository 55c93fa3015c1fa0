"""Makes the account model of this directory importable, and gives its many small runs a directory in memory."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent))
from processes import Runner, Served, serve

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a directory of the test's own, in memory where that is possible: these tests sync thousands of files."""
    path = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Serve an account model on loopback."""
    served = Served()
    server = serve(served)
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """One forking process for all trials of this file."""
    runner = Runner()
    try:
        yield runner
    finally:
        runner.close()
