"""A session on Cloudflare, whose API is the local Cloudflare's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from far_target import use_far_target
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

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


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """Give a real shell with the extension loaded, without history file."""
    made = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("load_ext", "notebook_do")
    yield made
    made.run_line_magic("unload_ext", "notebook_do")
