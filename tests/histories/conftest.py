"""Makes the generator of this directory importable, and gives a bench for histories."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent))
from run import Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Give kernels and a local Cloudflare for histories that run one after another."""
    bench = Bench()
    try:
        yield bench
    finally:
        bench.close()
