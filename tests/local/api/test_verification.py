"""Uploads are verified side by side before their turn; what one needs stays while it is, and one start tells all."""

from __future__ import annotations

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.local.account.account import Account
from notebook_do.local.account.metadata import ScriptUpload
from notebook_do.local.account.publish import RunningAccount, fresh_script, publish
from notebook_do.local.account.records import ScriptCode, StoredModule
from notebook_do.local.account.verify import verify_ahead
from notebook_do.local.rules.refusals import Refused
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

SHARED = 'import text from "./text.txt"; export default { fetch() { return new Response(text); } };'
ENDLESS = "while (true) {}"
COUNTER = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject { fetch() { return new Response("counter"); } }
export default { fetch() { return new Response("hello"); } };"""
BINDING = {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}


def put(api: Any, name: str, source: str, text: str = "") -> httpx.Response:
    """Upload a script of two modules, on a connection of its own."""
    files = {
        "metadata": (None, json.dumps({"main_module": "index.js", "compatibility_date": "2026-06-01"})),
        "index.js": ("index.js", source, "application/javascript+module"),
        "text.txt": ("text.txt", text, "text/plain"),
    }
    headers = {"Authorization": f"Bearer {api.target.token()}"}
    return httpx.put(f"{api.target.api}{api.scripts}/{name}", files=files, headers=headers, timeout=60, trust_env=False)


def test_an_upload_that_never_starts_is_refused_for_its_time(own_server: Any) -> None:
    """By whichever limit a busy machine meets."""
    refused = put(own_server, "endless", ENDLESS)
    assert own_server.code_of(refused) == 10021
    assert "CPU time limit" in refused.text


def test_an_upload_that_never_starts_keeps_no_other_waiting(unhurried_api: Callable[..., Any], tmp_path: Path) -> None:
    """While one upload is verified that does not come to an end, another one is uploaded and called."""
    run = tmp_path / "data" / "run"
    with ThreadPoolExecutor(1) as aside:
        with unhurried_api(tmp_path / "data") as server:
            endless = aside.submit(put, server, "endless", ENDLESS)
            while not [path for path in run.iterdir() if path.is_dir()]:  # the folder of its trial
                assert not endless.done()
            assert put(server, "page", server.plain).status_code == 200
            assert server.call("page").text == "hello"
            assert not endless.done()
        with contextlib.suppress(httpx.HTTPError):  # the server is ended
            assert endless.result().status_code != 200


@pytest.mark.thorough
def test_a_refused_upload_takes_nothing_from_another(own_server: Any) -> None:
    """A content that two uploads share is kept when one of them is refused, though it was received first."""
    with ThreadPoolExecutor(1) as aside:
        endless = aside.submit(put, own_server, "endless", ENDLESS, "shared")
        while not list((own_server.target.data / "modules").glob("*/*")):
            assert not endless.done()
        assert put(own_server, "other", SHARED, "shared").status_code == 200
        assert own_server.code_of(endless.result()) == 10021
    assert own_server.call("other").text == "shared"
    assert own_server.http.delete(f"{own_server.scripts}/other").status_code == 200
    assert list((own_server.target.data / "modules").glob("*/*")) == []


class Counted:
    """An account in this process, and how often workerd was started for its uploads."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        data.mkdir()
        self.account = Account(data)
        self.runtime = Runtime(
            data=data,
            workerd=find_workerd(),
            workers=self.account.runnable,
            events=lambda _script, _item: None,
        )
        self.running = RunningAccount(account=self.account, runtime=self.runtime)
        self.started: list[str] = []
        for name in ("examine", "probe", "check"):
            monkeypatch.setattr(self.runtime.trials, name, self._noted(name, getattr(self.runtime.trials, name)))

    def _noted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(worker: Any) -> Any:
            self.started.append(name)
            return await real(worker)

        return noted

    def upload(self, source: str, **more: Any) -> ScriptUpload:
        """Make an upload of one module."""
        digest = self.account.blobs.store(source.encode())
        module = StoredModule(
            name="index.js", content_type="application/javascript+module", digest=digest, size=len(source)
        )
        return ScriptUpload(code=ScriptCode(main_module="index.js", modules=(module,)), **more)

    async def publish(self, upload: ScriptUpload, **more: Any) -> list[str]:
        """Publish an upload of the script `page`; give what was started for it."""
        self.started.clear()
        await publish(self.running, "page", upload, source="api", **more)
        return list(self.started)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Counted], Any]], None]:
    """Give a way to tell a story of an account in this process."""

    def run(story: Callable[[Counted], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            counted = Counted(tmp_path / "data", monkeypatch)
            try:
                await story(counted)
            finally:
                await counted.runtime.close()
                counted.account.close()

        asyncio.run(whole())

    return run


def test_an_upload_in_order_starts_workerd_once(account: Callable[..., None]) -> None:
    """A first upload, an edit, a rename and a change of bindings alone are each verified by one process."""

    async def story(here: Counted) -> None:
        created = here.upload(COUNTER, bindings=(BINDING,), migrations={"new_sqlite_classes": ["Counter"]})
        assert await here.publish(created) == ["examine"]
        assert await here.publish(here.upload(COUNTER + "// edited", bindings=(BINDING,))) == ["examine"]
        assert await here.publish(here.upload(COUNTER + "// edited")) == ["examine"]
        renamed = COUNTER.replace("Counter", "Tally")
        moved = {"new_tag": "v1", "renamed_classes": [{"from": "Counter", "to": "Tally"}]}
        assert await here.publish(here.upload(renamed, migrations=moved)) == ["examine"]
        assert here.account.latest("page").code.report.exports[0].name == "Tally"  # type: ignore[union-attr]

    account(story)


@pytest.mark.parametrize("end", ["refused", "deleted"])
def test_what_an_upload_needs_stays_while_it_is_verified(account: Callable[..., None], end: str) -> None:
    """A content that two uploads share is kept when the other one is refused, or what it made is deleted, meanwhile."""

    async def story(here: Counted) -> None:
        if end == "deleted":
            await here.publish(here.upload(COUNTER))
        with here.account.incoming() as incoming:
            digest = incoming.store(COUNTER.encode())
            upload = here.upload(COUNTER)
            ahead = await verify_ahead(here.running, fresh_script("other"), upload)
            if end == "deleted":
                here.account.delete_script("page")
            else:
                with here.account.incoming() as other:
                    assert other.store(COUNTER.encode()) == digest
                    with pytest.raises(Refused):
                        await here.publish(here.upload("export default {"))
            assert here.account.blobs.path(digest).exists()
            await publish(here.running, "other", upload, source="api", ahead=ahead)
        assert here.account.blobs.path(digest).exists()
        here.account.delete_script("other")
        assert not here.account.blobs.path(digest).exists()

    account(story)


def test_what_was_found_ahead_is_not_looked_for_again(account: Callable[..., None]) -> None:
    """Verified before its turn, an upload starts nothing in it; where the account is another by then, it is tried."""

    async def story(here: Counted) -> None:
        upload = here.upload(COUNTER, bindings=(BINDING,), migrations={"new_sqlite_classes": ["Counter"]})
        ahead = await verify_ahead(here.running, fresh_script("page"), upload)
        assert await here.publish(upload, ahead=ahead) == []
        # Another upload comes in between and gives the script a class that it did not have when this was verified.
        two = COUNTER + "export class Two extends Counter {}"
        later = here.upload(two + "// later", bindings=(BINDING,))
        ahead = await verify_ahead(here.running, here.account.scripts["page"], later)
        assert await here.publish(here.upload(two, migrations={"new_sqlite_classes": ["Two"]})) == ["examine"]
        assert await here.publish(later, ahead=ahead) == ["check"]
        # Found for other code, it is worth nothing.
        assert await here.publish(here.upload(two + "// again"), ahead=ahead) == ["examine"]

    account(story)


@pytest.mark.parametrize(
    ("source", "more", "code", "started"),
    [
        ("export default {", {}, 10021, ["examine", "probe"]),
        ("export default {", {"bindings": (BINDING,)}, 10021, ["probe"]),
        ("export default {", {"migrations": {"old_tag": "v9", "new_tag": "v1"}}, 10021, ["probe"]),
        ("export class A {}", {}, 10068, ["examine"]),
        ("export class A {}", {"bindings": (BINDING,)}, 10068, ["probe"]),
        (COUNTER, {"bindings": (BINDING,)}, 10061, ["probe"]),
        (COUNTER, {"migrations": {"new_sqlite_classes": ["Gone"]}}, 10070, ["examine"]),
    ],
)
def test_the_first_thing_wrong_is_the_one_that_is_said(
    account: Callable[..., None], source: str, more: dict[str, Any], code: int, started: list[str]
) -> None:
    """Code that does not start comes before what the rules refuse, whatever else is wrong with an upload."""

    async def story(here: Counted) -> None:
        with pytest.raises(Refused) as refused:
            await here.publish(here.upload(source, **more))
        assert refused.value.errors[0]["code"] == code
        assert here.started == started
        assert here.account.scripts == {}

    account(story)


@pytest.mark.thorough
def test_a_source_that_never_ends_is_given_up(account: Callable[..., None]) -> None:
    """A main module that loops is refused as code that does not start, by whichever limit a busy machine meets."""

    async def story(here: Counted) -> None:
        with pytest.raises(Refused) as refused:
            await here.publish(here.upload(ENDLESS))
        assert refused.value.errors[0]["code"] == 10021
        assert here.account.scripts == {}

    account(story)
