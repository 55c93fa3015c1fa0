"""Fixtures for the whole tree: a directory of one's own, and a local Cloudflare on real workerd for whom asks."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

import notebook_do.session as session_module
from notebook_do.local import launch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROWSER_HINT = "needs a browser: apt-get install -y chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests, saying how to get one, where there is none."""
    if shutil.which("chromium") or shutil.which("google-chrome"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=BROWSER_HINT))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, with local data of its own and no credentials of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(tmp_path / "local-data"))
    for name in [n for n in os.environ if n.startswith(("CLOUDFLARE_", "CF_", "NOTEBOOK_DO_DEPLOY"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def cloud(home: Path) -> Iterator[Path]:
    """As `home`; whatever local Cloudflare the test started is stopped afterwards, and no session stays open."""
    try:
        yield home
    finally:
        if session_module._current is not None:
            session_module._current.close()
            session_module._current = None
        launch.stop(home / "local-data")
