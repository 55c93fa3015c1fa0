"""Starting, sharing, finding and ending the server: one for each data directory, gone when nobody needs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sharing import thinned

from notebook_do.errors import TargetError
from notebook_do.local.process import launch
from notebook_do.local.process.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = """
import sys, json, os
from pathlib import Path
from notebook_do.local.process import launch
target = launch.ensure(Path(sys.argv[1]), linger=0.3)
print(json.dumps([target.pid, target.api]), flush=True)
sys.stdin.readline()
"""


class User:
    """A process that uses the server until it is told to leave, or killed."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> Any:
        """Give the pid and address that it found."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def leave(self) -> None:
        """End it in good order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(60)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Give a data directory; whatever serves it is stopped afterwards."""
    yield tmp_path / "data"
    launch.stop(tmp_path / "data")


def children(pid: int) -> list[int]:
    """Give the processes that a process started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    """Say whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ended(pids: list[int], seconds: float = 60) -> bool:
    """Wait until processes are over."""
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(is_alive(pid) for pid in pids)


def gone(home: Home, seconds: float = 60) -> bool:
    """Wait until nobody serves the directory."""
    deadline = time.monotonic() + seconds
    while home.is_served() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not home.is_served()


def test_ensure_starts_once_and_then_finds(data: Path) -> None:
    """Later calls find the first one's server."""
    first = launch.ensure(data)
    for _ in range(10):
        assert launch.ensure(data) == first
    assert launch.status(data) == first
    assert httpx.get(f"{first.api}/user", headers={"Authorization": f"Bearer {first.token()}"}).status_code == 200


def test_finding_imports_nothing_heavy() -> None:
    """A kernel that uses a running server loads no web server and no HTTP client for it."""
    code = "import sys; from notebook_do.local.process import launch; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"starlette", "uvicorn", "httpx", "asyncio", "sqlite3", "platformdirs", "pandas"} & set(loaded)


def test_eight_processes_at_once_make_one_server(data: Path) -> None:
    """Kernels that start together share one server."""
    users = [User(data) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(User.answer, users))
    assert len({json.dumps(answer) for answer in answers}) == 1
    for user in users:
        user.leave()
    assert gone(Home(data))


def test_it_ends_with_its_last_user_and_leaves_nothing(data: Path) -> None:
    """One user leaves and one is killed: the server ends, its workerd processes too, and no socket stays."""
    one, two = User(data), User(data)
    pid, api = one.answer()
    assert two.answer() == [pid, api]
    target = launch.status(data)
    assert target is not None
    upload(target, "page")
    assert call(target, "page") == "hello"
    started = children(pid)
    assert started
    one.leave()
    time.sleep(0.8)
    assert is_alive(pid), "a user is left"
    two.kill()
    assert gone(Home(data))
    assert ended([pid, *started])
    assert launch.status(data) is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(api)
    assert not list((data / "users").iterdir())


def upload(target: Any, name: str) -> None:
    """Upload a Worker that says hello."""
    metadata = {"main_module": "index.js", "compatibility_date": "2026-06-01"}
    source = 'export default { fetch() { return new Response("hello"); } };'
    files = {
        "metadata": (None, json.dumps(metadata)),
        "index.js": ("index.js", source, "application/javascript+module"),
    }
    url = f"{target.api}/accounts/{target.account_id}/workers/scripts/{name}"
    answer = httpx.put(url, files=files, headers={"Authorization": f"Bearer {target.token()}"}, timeout=30)
    assert answer.status_code == 200, answer.text


def call(target: Any, name: str) -> str:
    """Call a Worker."""
    return httpx.get(target.url, headers={"Host": f"{name}.localhost:{target.workers_port}"}, timeout=30).text


def test_a_released_target_is_no_user_any_more(data: Path) -> None:
    """`release` lets the server end while this process lives on; the next call starts it again, at the same address."""
    first = launch.ensure(data, linger=0.2)
    upload(first, "page")
    first.release()
    assert gone(Home(data))
    again = launch.ensure(data, linger=0.2)
    assert again.pid != first.pid
    assert (again.api, again.url, again.account_id) == (first.api, first.url, first.account_id)
    assert again.token() == first.token()
    assert call(again, "page") == "hello"
    again.release()


def test_it_is_left_in_no_process_table(data: Path) -> None:
    """A server that ended is not a zombie of the process that started it."""
    target = launch.ensure(data)
    launch.stop(data)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{target.pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{target.pid}").exists()


def test_start_stays_until_stop(data: Path) -> None:
    """A server that was started on purpose needs no users; stop ends it, and says whether there was one."""
    code = (
        "import sys; from pathlib import Path; from notebook_do.local.process import launch;"
        "launch.start(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(data)], check=True, timeout=120)
    home = Home(data)
    assert home.users() == 1
    assert launch.status(data) is not None
    assert launch.stop(data) is True
    assert launch.stop(data) is False
    assert not home.is_served()


def test_a_killed_server_is_replaced(data: Path) -> None:
    """After kill -9 nothing stale is in the way: the next call starts a new one with all that was deployed."""
    first = launch.ensure(data)
    upload(first, "page")
    os.kill(first.pid, signal.SIGKILL)
    assert gone(Home(data))
    assert launch.status(data) is None
    second = launch.ensure(data)
    assert second.pid != first.pid
    assert call(second, "page") == "hello"


def test_workerd_dies_with_a_killed_server(data: Path) -> None:
    """A kill -9 of the server leaves no workerd behind."""
    target = launch.ensure(data)
    upload(target, "page")
    assert call(target, "page") == "hello"
    started = children(target.pid)
    assert started
    os.kill(target.pid, signal.SIGKILL)
    assert ended(started)


FOREGROUND = """
import sys
from pathlib import Path
from notebook_do.errors import DurableError
from notebook_do.local.process import launch
try:
    say = lambda target: print(target.pid, target.api, flush=True)
    launch.run_foreground(Path(sys.argv[1]), int(sys.argv[2]), 0, say)
except DurableError as error:
    print(error, flush=True)
"""


def foreground(data: Path, port: int = 0) -> subprocess.Popen[str]:
    """Run a server in the foreground of another process."""
    command = [sys.executable, "-c", FOREGROUND, str(data), str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    """Give what a process says first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", thinned([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], of=3))
def test_the_foreground_serves_until_a_signal(data: Path, number: signal.Signals) -> None:
    """A foreground server is shared, needs no users, and ends at once on a signal."""
    process = foreground(data)
    pid, api = first_line(process).split()
    assert int(pid) == process.pid
    target = launch.ensure(data)
    assert (target.pid, target.api) == (process.pid, api)
    target.release()
    process.send_signal(number)
    assert process.wait(60) == 0
    assert launch.status(data) is None


@pytest.mark.thorough
def test_a_second_foreground_keeps_company(data: Path) -> None:
    """Where a server runs already, the foreground announces that one and keeps it alive."""
    target = launch.ensure(data, linger=0.2)
    process = foreground(data)
    assert first_line(process) == f"{target.pid} {target.api}"
    target.release()
    time.sleep(0.8)
    assert launch.status(data) == target
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert gone(Home(data))


def test_a_port_in_use_is_one_line(data: Path, tmp_path: Path) -> None:
    """A port that is taken, or another one than the running server's, is said plainly."""
    other = launch.ensure(tmp_path / "other")
    port = int(other.api.split(":")[2].split("/")[0])
    with foreground(data, port) as process:
        assert first_line(process) == f"port {port} is in use: choose another one, or 0 for any"
    with pytest.raises(TargetError, match=r"already runs .* stop it first"):
        launch.start(tmp_path / "other", api_port=1)
    with pytest.raises(TargetError, match=f"port {port} is in use"):
        launch.start(data, api_port=port)
    launch.stop(tmp_path / "other")


def test_a_shared_directory_is_refused(tmp_path: Path) -> None:
    """A data directory that others can write to is not used."""
    data = tmp_path / "open"
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(TargetError, match="can be changed by other users"):
        launch.ensure(data)


def test_a_broken_database_is_one_line(data: Path) -> None:
    """What cannot be read is not overwritten: the error says what to do, and the file stays."""
    data.mkdir(mode=0o700)
    (data / "account.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(TargetError, match=r"cannot be read .* move it away"):
        launch.ensure(data)
    assert (data / "account.sqlite").read_bytes().startswith(b"this is no database")


def test_what_others_need_is_one_object(data: Path) -> None:
    """`to_json` holds the addresses and the environment of other clients."""
    target = launch.ensure(data)
    shown = json.loads(json.dumps(target.to_json()))
    assert set(shown) == {"url", "api", "account_id", "token_file", "data", "pid", "strict", "crons", "env"}
    assert shown["env"] == {
        "CLOUDFLARE_API_BASE_URL": target.api,
        "CLOUDFLARE_BASE_URL": target.api,
        "CLOUDFLARE_API_TOKEN": target.token(),
        "CLOUDFLARE_ACCOUNT_ID": target.account_id,
    }
    assert target.token() not in repr(target)
    assert len(bytes.fromhex(target.token())) == 32


def test_the_server_gets_no_credentials(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of the user's environment do not reach the server's process, and none is in its arguments."""
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "canary-token")
    target = launch.ensure(data)
    for name in ("environ", "cmdline"):
        seen = Path(f"/proc/{target.pid}/{name}").read_bytes()
        assert b"canary-token" not in seen
        assert target.token().encode() not in seen


def test_the_default_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`NOTEBOOK_DO_DATA` names the directory; without it, it is the user's own."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(tmp_path))
    assert launch.default_data() == tmp_path
    monkeypatch.delenv("NOTEBOOK_DO_DATA")
    assert launch.default_data().name == "local"
