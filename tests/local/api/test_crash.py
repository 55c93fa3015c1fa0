"""kill -9 of the server at any moment: what was acknowledged is there, what was not is whole or absent."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.local.process import launch

if TYPE_CHECKING:
    from pathlib import Path

NAMES = 5
UNHARMED = 3


def says(word: str) -> str:
    """Write a Worker with a class that says one word."""
    return (
        'import { DurableObject } from "cloudflare:workers"; export class Counter extends DurableObject {}\n'
        f'export default {{ fetch() {{ return new Response("{word}"); }} }};'
    )


@pytest.mark.parametrize("rounds", [3, pytest.param(10, marks=pytest.mark.thorough)])
def test_no_acknowledged_upload_is_lost(tmp_path: Path, make_api: Any, rounds: int) -> None:
    """Uploads run while the server is killed at random moments; after each restart the account is sound."""
    data = tmp_path / "data"
    acknowledged: dict[str, int] = {}
    names, tried = [f"w{number}" for number in range(NAMES)], 0
    rng = random.Random(7)
    for _ in range(rounds):
        with make_api(data) as api:
            check_sound(api, data, acknowledged, tried)
            killer = threading.Timer(rng.uniform(0.0, 0.25), os.kill, (api.target.pid, signal.SIGKILL))
            first = tried
            while True:
                tried += 1
                if tried == first + UNHARMED:
                    killer.start()
                name = next((one for one in names if one not in acknowledged), names[tried % NAMES])
                known = name in acknowledged
                migrations = {} if known else {"migrations": {"new_sqlite_classes": ["Counter"]}}
                try:
                    answer = api.upload(name, says(f"n{tried}"), **migrations)
                except httpx.TransportError:
                    break
                if answer.status_code == 200:
                    acknowledged[name] = tried
                else:
                    # The kill came between the commit and the answer: this script was there already.
                    assert api.code_of(answer) == 10074
                    acknowledged[name] = 0
            killer.join()
    with make_api(data) as api:
        check_sound(api, data, acknowledged, tried)
    assert len(acknowledged) == NAMES


def check_sound(api: Any, data: Path, acknowledged: dict[str, int], tried: int) -> None:
    """Check what an account must be after any kill."""
    scripts = {s["id"] for s in api.result(api.scripts)}
    assert set(acknowledged) <= scripts
    for name in scripts:
        number = int(api.call(name).text.removeprefix("n"))
        assert acknowledged.get(name, 0) <= number <= tried
        assert list(api.namespaces(name)) == ["Counter"]
        versions = api.result(f"{api.scripts}/{name}/versions?per_page=1000")["items"]
        assert [v["number"] for v in versions] == list(range(len(versions), 0, -1))
        active = api.result(f"{api.scripts}/{name}/deployments")["deployments"][0]
        assert active["versions"][0]["version_id"] == versions[0]["id"]
    assert not list((data / "incoming").iterdir())
    with sqlite3.connect(f"{(data / 'account.sqlite').as_uri()}?mode=ro", uri=True) as database:
        wanted = {digest for (digest,) in database.execute("SELECT digest FROM module")}
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert {path.name for path in (data / "modules").glob("*/*")} == wanted


def test_a_deleted_namespace_is_gone_after_a_crash(tmp_path: Path, make_api: Any) -> None:
    """Killed between the delete and the removal of the objects: the next start removes them, and nothing else."""
    data = tmp_path / "data"
    created = {"migrations": {"new_sqlite_classes": ["Counter"]}}
    with make_api(data) as api:
        for name in ("kept", "gone"):
            api.upload(name, api.counter("Counter"), bindings=api.bound(), **created)
            assert api.call(name).text == "1"
        ids = {name: api.namespaces(name)["Counter"] for name in ("kept", "gone")}
    saved = tmp_path / "saved"
    shutil.copytree(data / "objects" / ids["gone"], saved)
    with make_api(data) as api:
        assert api.http.delete(f"{api.scripts}/gone").status_code == 200
    # As if the crash had come in between: the record of the delete is there, and so are the objects.
    shutil.copytree(saved, data / "objects" / ids["gone"])
    with sqlite3.connect(data / "account.sqlite") as database:
        database.execute("INSERT INTO doomed VALUES (?)", (ids["gone"],))
    database.close()
    with make_api(data) as api:
        assert not (data / "objects" / ids["gone"]).exists()
        assert api.call("kept").text == "2"
    with sqlite3.connect(data / "account.sqlite") as database:
        assert database.execute("SELECT count(*) FROM doomed").fetchone() == (0,)


def test_leftovers_of_a_crash_are_swept(tmp_path: Path, make_api: Any) -> None:
    """Half-received parts and modules without a record go at the next start; recorded modules stay."""
    data = tmp_path / "data"
    with make_api(data) as api:
        api.upload("page")
    (data / "incoming" / ("0" * 32)).write_bytes(b"half")
    (data / "modules" / "00").mkdir(exist_ok=True)
    (data / "modules" / "00" / ("00" * 32)).write_bytes(b"nobody's")
    with make_api(data) as api:
        assert not list((data / "incoming").iterdir())
        assert len(list((data / "modules").glob("*/*"))) == 1
        assert api.call("page").text == "hello"


def test_a_stopped_client_leaves_nothing(own_server: Any) -> None:
    """A client that goes away in the middle of an upload changes nothing and leaves no file."""

    def half() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="index.js"; filename="index.js"\r\n\r\n' + b"x" * 100_000
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        own_server.http.put(
            f"{own_server.scripts}/half", content=half(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    assert own_server.incoming() == []
    assert own_server.result(own_server.scripts) == []


def test_concurrent_uploads_are_one_after_the_other(own_server: Any) -> None:
    """Of two first uploads with one migration exactly one wins; versions are numbered without holes."""
    bodies = [says(f"n{number}") for number in range(8)]
    answers: list[httpx.Response] = []

    def send(source: str) -> None:
        metadata = {
            "main_module": "index.js",
            "compatibility_date": "2026-06-01",
            "migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]},
        }
        files = {
            "metadata": (None, json.dumps(metadata)),
            "index.js": ("index.js", source, "application/javascript+module"),
        }
        headers = {"Authorization": f"Bearer {own_server.target.token()}"}
        url = f"{own_server.target.api}{own_server.scripts}/race"
        answers.append(httpx.put(url, files=files, headers=headers, timeout=30, trust_env=False))

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for a in answers) == [200] + [412] * 7
    assert {own_server.code_of(a) for a in answers if a.status_code != 200} == {10079}
    assert len(own_server.namespaces("race")) == 1
    assert len(own_server.result(f"{own_server.scripts}/race/versions")["items"]) == 1


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    """A file of a newer program is refused with one line and not touched."""
    data = tmp_path / "data"
    launch.ensure(data)
    launch.stop(data)
    with sqlite3.connect(data / "account.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = (data / "account.sqlite").read_bytes()
    with pytest.raises(launch.TargetError, match="newer notebook_do"):
        launch.ensure(data)
    assert (data / "account.sqlite").read_bytes() == before
