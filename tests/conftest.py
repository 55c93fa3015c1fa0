"""Fixtures for the whole tree: a directory of one's own, and a local Cloudflare on real workerd for whom asks."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import httpx._config
import httpx._transports.default as _transports
import platformdirs
import pytest
from hypothesis import HealthCheck, settings

import notebook_do.sessions.opening as session_module
from notebook_do.local.process import launch
from notebook_do.local.process.home import Home, UserLock
from notebook_do.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

sys.path.append(str(Path(__file__).parent))  # for what tests of several directories share
from sharing import empty

# jsonschema loads this one where Jupyter's server brought it along: 3 s for a grammar of addresses, used by no test.
sys.modules.setdefault("rfc3987_syntax", None)
# The store of certificates takes 25 ms to load, once for each client that a test makes of the local Cloudflare.
_transports.create_ssl_context = functools.cache(_transports.create_ssl_context)
# Where a test names no time httpx waits for five seconds, which a start of a Worker may take on a busy machine.
for _phase in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _phase, 60.0)

# Nothing that is collected goes before the end; `pytest_collection_finish` lets the collector begin.
gc.disable()
# A script that starts the tests in its background lets them ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A deploy waits for the disk dozens of times: 5 ms each on a common one, and a whole run makes a gigabyte of files.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 6 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

CACHE = platformdirs.user_cache_path("notebook_do", appauthor=False) / "test-clients"
PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", ".")
BROWSER_HINT = "needs a browser: apt-get install -y chromium"

# A test never fails on a time. `.ci/run` asks for the profile `thorough` by --hypothesis-profile.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
settings.register_profile("normal", UNTIMED)
settings.register_profile("thorough", UNTIMED, max_examples=500)
settings.load_profile("normal")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests, saying how to get one, where there is none."""
    if shutil.which("chromium") or shutil.which("google-chrome"):
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=BROWSER_HINT))


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of every later garbage collection: one took most of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the keys that secrets are marked under away from this machine's user."""
    place = tmp_path_factory.getbasetemp() / "keys"
    monkeypatch.setenv("NOTEBOOK_DO_KEYS", str(place))
    return place


@pytest.fixture(autouse=True)
def no_session() -> Iterator[None]:
    """Leave no session open for the next test of this process."""
    yield
    _close_session()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, with local data of its own and no credentials of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(tmp_path / "local-data"))
    ours = ("NOTEBOOK_DO_DEPLOY", *(setting.variable for setting in SETTINGS))
    for name in [n for n in os.environ if n.startswith(("CLOUDFLARE_", "CF_", *ours))]:
        monkeypatch.delenv(name)
    return tmp_path


def _close_session() -> None:
    if session_module._current is not None:
        session_module._current.close()
        session_module._current = None


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what is asked of the API, as method and path below `workers/`; the network is the real one."""
    from notebook_do.cloudflare.http import Connections

    found: list[str] = []
    send = Connections.handle_async_request

    async def noted(self: Connections, request: httpx.Request) -> httpx.Response:
        found.append(f"{request.method} {request.url.path.partition('/workers/')[2]}")
        return await send(self, request)

    monkeypatch.setattr(Connections, "handle_async_request", noted)
    return found


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the data directory of the one local Cloudflare of this test process, which outlives every session."""
    data = tmp_path_factory.mktemp("shared-cloudflare") / "data"
    user = UserLock(Home(data)._users / "all-tests")
    try:
        yield data
    finally:
        user.release()
        launch.stop(data)


@pytest.fixture
def cloud(home: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As `home`, with the local Cloudflare of all tests, whose account is empty; no session stays open."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(shared_data))
    try:
        yield home
    finally:
        _close_session()
        empty(shared_data)


@pytest.fixture
def own_cloud(home: Path) -> Iterator[Path]:
    """As `home`; the local Cloudflare that the test starts is its own, and is stopped afterwards."""
    try:
        yield home
    finally:
        _close_session()
        launch.stop(home / "local-data")


@contextlib.contextmanager
def _alone(name: str) -> Iterator[Path]:
    """Give a directory of the cache, to one process at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE / name


@pytest.fixture(scope="session")
def install() -> Callable[..., Path]:
    """Give an installer of other people's packages into a directory of the user's cache, once.

    Where npm or PyPI cannot be had, the test that asks says so and is skipped.
    """

    def into(name: str, wanted: Sequence[str], command: Sequence[str] = PIP) -> Path:
        with _alone(name) as folder:
            done = folder / ".installed"
            if done.exists() and done.read_text() == repr(tuple(wanted)):
                return folder
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                subprocess.run([*command, *wanted], cwd=folder, check=True, capture_output=True, timeout=400)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"{', '.join(wanted)} cannot be installed here: {error}")
            done.write_text(repr(tuple(wanted)))
            return folder

    return into
