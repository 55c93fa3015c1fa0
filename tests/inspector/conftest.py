"""A session on Cloudflare, whose API is the local Cloudflare's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from far_target import use_far_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from notebook_do.local.process.launch import LocalTarget


@pytest.fixture
def far(cloud: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTarget]:
    """Let target cloudflare be the local Cloudflare of all tests, whose account is empty."""
    del cloud
    target = use_far_target(shared_data, monkeypatch)
    try:
        yield target
    finally:
        target.release()
