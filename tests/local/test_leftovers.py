"""What a server finds when it starts: its token's file, folders of one that was killed, a workerd that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.errors import TargetError
from notebook_do.local.process import launch
from notebook_do.local.process.home import Home
from notebook_do.local.process.ownership import marked_folder, sweep
from notebook_do.toolchain import cache_dir, find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HELLO = 'export default { fetch() { return new Response("hello"); } };'
ENDLESS = "while (true) {} export default {};"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Give a data directory; whatever serves it is stopped afterwards."""
    yield tmp_path / "data"
    launch.stop(tmp_path / "data")


def upload(target: Any, name: str, source: str = HELLO, token: str = "") -> httpx.Response:
    """Upload a Worker of one module."""
    metadata = {"main_module": "index.js", "compatibility_date": "2026-06-01"}
    files = {
        "metadata": (None, json.dumps(metadata)),
        "index.js": ("index.js", source, "application/javascript+module"),
    }
    url = f"{target.api}/accounts/{target.account_id}/workers/scripts/{name}"
    headers = {"Authorization": f"Bearer {token or target.token()}"}
    return httpx.put(url, files=files, headers=headers, timeout=60, trust_env=False)


def call(target: Any, name: str) -> httpx.Response:
    """Call a Worker."""
    headers = {"Host": f"{name}.localhost:{target.workers_port}"}
    return httpx.get(target.url, headers=headers, timeout=60, trust_env=False)


def spoil(path: Path, how: str) -> None:
    """Make a token's file one that must not be used."""
    text = path.read_text() if path.exists() else "a" * 64
    path.unlink(missing_ok=True)
    match how:
        case "empty":
            path.touch(mode=0o600)
        case "blank":
            path.write_text("\n\n")
            path.chmod(0o600)
        case "link":
            (path.parent / "elsewhere").write_text(text)
            (path.parent / "elsewhere").chmod(0o600)
            path.symlink_to(path.parent / "elsewhere")
        case "dangling":
            path.symlink_to(path.parent / "nowhere")
        case "open":
            path.write_text(text)
            path.chmod(0o640)
        case "short":
            path.write_text("abc")
            path.chmod(0o600)
        case "pipe":
            os.mkfifo(path, 0o600)


SPOILT = {
    "empty": "is empty",
    "blank": "is empty",
    "link": "is a symbolic link",
    "dangling": "is a symbolic link",
    "open": "can be read or changed by other users",
    "short": "does not hold a token",
    "pipe": "is no ordinary file",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_token_file_that_is_not_sound_is_not_used(tmp_path: Path, how: str) -> None:
    """Empty, linked or open to others: a client refuses it with one line, a server makes a proper one of its own."""
    home = Home(tmp_path / "data")
    first = home.token()
    target = launch.LocalTarget(
        api="", url="", account_id="", token_file=home.token_file, data=home.data, pid=1, workers_port=1
    )
    assert target.token() == first
    spoil(home.token_file, how)
    with pytest.raises(TargetError, match=SPOILT[how]) as refused:
        target.token()
    assert "\n" not in str(refused.value)
    second = home.token()
    assert second != first
    assert target.token() == second
    found = home.token_file.lstat()
    assert (found.st_mode & 0o7777, found.st_uid, home.token_file.is_symlink()) == (0o600, os.getuid(), False)
    if how == "link":
        assert (home.data / "elsewhere").read_text().strip() == first  # what it led to is left alone


def test_a_server_does_not_start_on_an_empty_token(data: Path) -> None:
    """A server that finds an empty token file answers to a token of its own, and to no empty one."""
    Home(data)
    (data / "token").touch(mode=0o600)
    target = launch.ensure(data)
    assert len(bytes.fromhex(target.token())) == 32
    assert httpx.get(f"{target.api}/user", headers={"Authorization": "Bearer"}, trust_env=False).status_code == 400
    assert upload(target, "page").status_code == 200


def kill_while_probing(target: Any) -> None:
    """Kill a server in the middle of an upload."""
    told = target.token()

    def send() -> None:
        with contextlib.suppress(httpx.HTTPError):
            while True:  # each is refused in the end
                upload(target, "endless", ENDLESS, told)

    run = target.data / "run"
    before = set(run.iterdir())
    sent = threading.Thread(target=send)
    sent.start()
    # The folder of a trial; of processes that are only made for later there are others.
    while not [path for path in set(run.iterdir()) - before if path.is_dir() and not path.name.startswith("config-")]:
        assert sent.is_alive()
        time.sleep(0.01)
    os.kill(target.pid, signal.SIGKILL)
    sent.join()
    while Home(target.data).is_served():
        time.sleep(0.02)


@pytest.mark.parametrize("depth", [0, 60], ids=["short", "long"])
def test_folders_of_a_killed_server_are_gone_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    """Killed in the middle of a probe, with Workers running: the next start leaves nothing of it, here or in TMPDIR."""
    data = tmp_path / f"data{'x' * depth}"
    place = Path(tempfile.mkdtemp(prefix="nd-", dir="/tmp"))  # a socket's path has at most 108 bytes
    monkeypatch.setenv("TMPDIR", str(place))
    try:
        target = launch.ensure(data)
        assert upload(target, "page").status_code == 200
        assert call(target, "page").text == "hello"
        kill_while_probing(target)
        former = {path.resolve() for path in (*place.iterdir(), *(data / "run").iterdir())}
        assert former
        (data / f"token.{'a' * 16}").write_text("half a token")
        again = launch.ensure(data)
        assert call(again, "page").text == "hello"
        left = {path.resolve() for path in (*place.iterdir(), *(data / "run").iterdir())}
        assert {path.name for path in left & former} <= {"events", "resources"}  # the next server's own, made anew
        assert not (data / f"token.{'a' * 16}").exists()
        assert len(list(place.iterdir())) <= 1
    finally:
        launch.stop(data)
    place.rmdir()  # empty: nothing of a server is left in it


HOLD = """
from notebook_do.local.process.ownership import marked_folder
print(marked_folder()[0], flush=True)
input()
"""


def test_only_what_is_ours_and_dead_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder goes when its server is dead; a running server's, an unmarked one, a link and a stranger's stay."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = [Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout]
    own, mark = marked_folder()
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (victim / "in-use").touch()
    (tmp_path / "notebook-do-link0000").symlink_to(victim)
    for name in ("notebook-do-aaaaaaaa", "notebook-do-longer-than-ours", "other-aaaaaaaa", "notebook-do-open0000"):
        (tmp_path / name).mkdir(mode=0o700)
        if name != "notebook-do-aaaaaaaa":
            (tmp_path / name / "in-use").touch()
    (tmp_path / "notebook-do-open0000").chmod(0o777)
    (tmp_path / "notebook-do-file0000").touch()
    holders[0].kill()
    holders[0].wait()
    before = set(tmp_path.iterdir())
    asked: list[str] = []
    assert sweep(before=asked.append) == [folders[0]]
    assert asked == [str(folders[0])]
    assert set(tmp_path.iterdir()) == before - {folders[0]}
    assert (victim / "in-use").exists()
    holders[1].communicate("\n", timeout=60)
    os.close(mark)
    assert set(sweep(before=asked.append)) == {folders[1], own}


def test_a_link_in_place_of_the_run_folder_is_not_followed(data: Path, tmp_path: Path) -> None:
    """Where `run` leads to a folder that is none of ours, that folder stays as it is."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").touch()
    Home(data)
    (data / "run").symlink_to(victim)
    target = launch.ensure(data)
    assert upload(target, "page").status_code == 200
    assert (victim / "kept").exists()


def test_a_workerd_that_is_gone_is_found_again(play: Callable[..., None], tmp_path: Path) -> None:
    """A runtime whose workerd was removed looks for it anew, for an upload's probe and trial and for a call."""

    async def story(stage: Any) -> None:
        worker = stage.put("page", HELLO)
        assert (await stage.runtime.trials.probe(worker)).default_handlers == ("fetch",)
        await stage.runtime.trials.check(worker)
        assert await stage.text("page") == "hello"

    play(story, workerd=tmp_path / "gone")


def test_a_workerd_that_cannot_be_had_again_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed from its cache under a running server, without a network: one line each; put back, all goes on."""
    kept, cache = find_workerd(), tmp_path / "cache"
    binary = cache / "notebook-do" / kept.parent.name / kept.name
    monkeypatch.delenv("NOTEBOOK_DO_WORKERD", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    if kept.parent.parent.name != "notebook-do" or cache_dir() != cache / "notebook-do":
        pytest.skip("the cache of this machine lies elsewhere")
    binary.parent.mkdir(parents=True)
    for file in (kept, kept.with_name(f"{kept.name}.json")):
        (binary.parent / file.name).symlink_to(file)
    target = launch.ensure(data)
    assert upload(target, "page").status_code == 200
    binary.rename(tmp_path / "hidden")
    refused = upload(target, "other")
    (error,) = refused.json()["errors"]
    assert refused.status_code == 400
    assert f"workerd is gone from {binary}" in error["message"]
    assert "could not be downloaded" in error["message"]
    assert "\n" not in error["message"]
    called = call(target, "page")
    if called.status_code != 200:  # its island was not running any more
        assert called.status_code == 503
        assert called.text.startswith(f"workerd is gone from {binary}")
        assert called.text.count("\n") == 1
    (tmp_path / "hidden").rename(binary)
    assert upload(target, "other").status_code == 200
    assert call(target, "other").text == "hello"


def test_a_start_without_workerd_is_one_line(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker that is called while there is no workerd answers 503 with the one line."""

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        answer = await stage.call("page")
        assert answer.status_code == 503
        assert answer.text.startswith("workerd is gone from /nowhere/workerd, and could not be had again: ")
        assert answer.text.count("\n") == 1
        monkeypatch.delenv("NOTEBOOK_DO_WORKERD")
        await asyncio.sleep(0.2)
        assert await stage.text("page") == "hello"

    monkeypatch.setenv("NOTEBOOK_DO_WORKERD", "/nowhere/workerd")
    play(story, workerd=Path("/nowhere/workerd"))
