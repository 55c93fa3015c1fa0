"""Questions that only a live account answers. Run by a person: `pytest -m live tests/live`.

Every Worker that is made here begins with `ndo-live-` and is deleted at the end. CLOUDFLARE_API_TOKEN names the token,
CLOUDFLARE_ACCOUNT_ID the account where the token sees several, CLOUDFLARE_API_BASE_URL a local Cloudflare instead.
Where an answer differs from what is asserted, the deployer's assumption is wrong and the message says which.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.client import Client
from notebook_do.credentials.account import find_account
from notebook_do.credentials.addresses import api_base_url
from notebook_do.credentials.token import find_token
from notebook_do.errors import ApiError
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.model import (
    ClassBinding,
    CreateClass,
    Json,
    Migration,
    MigrationTag,
    Module,
    NamespaceId,
    RenameClass,
    StableId,
    Storage,
    TransferClass,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.namespaces.marks import op_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not os.environ.get("CLOUDFLARE_API_TOKEN"), reason="needs CLOUDFLARE_API_TOKEN"),
]
SQLITE = Storage.SQLITE


class Account:
    """One account, and the names of the Workers that were made in it."""

    def __init__(self, client: Client) -> None:
        self.client, self.names = client, list[str]()

    def name(self) -> str:
        """Give a new Worker name."""
        self.names.append(f"ndo-live-{secrets.token_hex(4)}")
        return self.names[-1]

    async def upload(self, name: str, classes: tuple[str, ...], migration: Migration | None, **changes: Any) -> Any:
        """Upload a Worker that exports and binds `classes`."""
        bodies = "".join(f"export class {c} extends DurableObject {{}}\n" for c in changes.pop("exported", classes))
        code = f"import {{ DurableObject }} from 'cloudflare:workers'\n{bodies}export default {{ fetch() {{}} }}\n"
        step = Upload(
            worker=name,
            script_name=name,
            main_module="index.js",
            modules=(Module(name="index.js", content=code.encode()),),
            bindings=tuple(ClassBinding(name=c.upper(), class_name=c) for c in classes),
            compatibility_date="2026-01-01",
            compatibility_flags=(),
            options=Json({}),
            tags=(),
            migration=migration,
            creates=True,
        )
        return await self.client.upload_script(
            name, wire.encode_upload(replace(step, **changes), op=secrets.token_hex(8))
        )

    async def hosted(self, name: str) -> dict[str, NamespaceId]:
        """Give the namespace ids of a Worker, by class."""
        live = await observe_namespaces(self.client)
        return {n.class_name: n.namespace_id for n in live.values() if n.script_name == name}

    async def close(self) -> None:
        """Delete what was made: a Worker that another one binds goes after that one."""
        left = [n for n in self.names if n in await observe_scripts(self.client)]
        while left:
            kept = []
            for name in left:
                try:
                    await self.client.delete_script(name)
                except ApiError as error:
                    kept.append(name)
                    if len(kept) == len(left):
                        raise AssertionError(f"left on the account: {kept}") from error
            left = kept


def on_account(question: Callable[[Account], Awaitable[None]]) -> None:
    """Ask on an account of its own, and clean up."""

    async def ask() -> None:
        token, _ = find_token(prompt=False)
        base = api_base_url()
        async with Client(base, await find_account(base, token), token) as client:
            account = Account(client)
            try:
                await question(account)
            finally:
                await account.close()

    asyncio.run(ask())


def create(*classes: str, tag: str = "t1", old: str | None = None) -> Migration:
    """Create classes in the tagged form."""
    changes = tuple(CreateClass(stable_id=StableId(c), class_name=c, storage=SQLITE) for c in classes)
    return Migration(
        wire="migrations",
        class_migrations=changes,
        old_tag=MigrationTag(old) if old else None,
        new_tag=MigrationTag(tag),
    )


def rename(*pairs: tuple[str, str], old: str = "t1", tag: str = "t2") -> Migration:
    """Rename classes in the tagged form."""
    changes = tuple(
        RenameClass(stable_id=StableId(a), namespace_id=NamespaceId(""), from_class=a, to_class=b, storage=SQLITE)
        for a, b in pairs
    )
    return Migration(wire="migrations", class_migrations=changes, old_tag=MigrationTag(old), new_tag=MigrationTag(tag))


def test_a_the_id_survives_rename_and_transfer() -> None:
    """(a) A namespace keeps its id when its class is renamed, and when it moves to another Worker."""

    async def question(account: Account) -> None:
        one, two = account.name(), account.name()
        await account.upload(one, ("A",), create("A"))
        before = (await account.hosted(one))["A"]
        await account.upload(one, ("B",), rename(("A", "B")))
        assert await account.hosted(one) == {"B": before}
        move = TransferClass(
            stable_id=StableId("B"), namespace_id=before, from_script=one, from_class="B", to_class="B", storage=SQLITE
        )
        await account.upload(
            two, ("B",), Migration(wire="migrations", class_migrations=(move,), new_tag=MigrationTag("m1"))
        )
        assert await account.hosted(two) == {"B": before}
        assert await account.hosted(one) == {}

    on_account(question)


def test_b_a_chain_of_renames_in_one_upload() -> None:
    """(b) B to C and then A to B is accepted as two steps of one upload, and every id follows its class."""

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A", "B"), create("A", "B"))
        before = await account.hosted(name)
        await account.upload(name, ("B", "C"), rename(("B", "C"), ("A", "B")))
        assert await account.hosted(name) == {"C": before["B"], "B": before["A"]}

    on_account(question)


def test_c_two_first_deploys_without_a_tag() -> None:
    """(c) A second creation of the same class is refused (10074 or 10079), so a blind resend creates nothing twice."""

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A",), create("A"))
        with pytest.raises(ApiError) as caught:
            await account.upload(name, ("A",), create("A", tag="t9"))
        assert caught.value.code in (10074, 10079), caught.value
        assert len(await account.hosted(name)) == 1

    on_account(question)


def test_d_a_worker_that_hosts_only_its_own_classes_is_deleted_unforced() -> None:
    """(d) DELETE without force deletes a Worker whose namespaces nobody else binds, and the namespaces with it."""

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A",), create("A"))
        await account.client.delete_script(name)
        assert name not in await observe_scripts(account.client)
        assert await account.hosted(name) == {}

    on_account(question)


def test_e_our_tag_and_modified_on_tell_uploads_apart() -> None:
    """(e) The script list shows our operation's tag, and modified_on changes with every upload, also of equal code."""

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A",), create("A"))
        first = (await observe_scripts(account.client))[name]
        await account.upload(name, ("A",), None)
        second = (await observe_scripts(account.client))[name]
        assert op_of(first)
        assert op_of(second)
        assert op_of(first) != op_of(second)
        assert first.modified_on != second.modified_on

    on_account(question)


def test_f_lists_are_consistent_right_after_an_upload() -> None:
    """(f) The script list and the namespace list show an upload at once; where not, the deployer waits up to 31 s."""

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A",), create("A"))
        assert (await observe_scripts(account.client))[name].migration_tag == "t1"
        assert set(await account.hosted(name)) == {"A"}

    on_account(question)


def test_g_migrations_to_a_worker_of_exports() -> None:
    """(g) A Worker that was deployed with `exports` refuses `migrations`, and keeps its namespace."""

    async def question(account: Account) -> None:
        name = account.name()
        exports = Migration(wire="exports", class_migrations=create("A").class_migrations, classes=(("A", SQLITE),))
        await account.upload(name, ("A",), exports)
        assert (await observe_scripts(account.client))[name].lifecycle == "exports"
        before = await account.hosted(name)
        with pytest.raises(ApiError):
            await account.upload(name, ("A", "B"), create("B"))
        assert await account.hosted(name) == before

    on_account(question)


def test_h_a_class_name_that_was_renamed_away_is_free() -> None:
    """(h) A name that a rename freed can be created anew, and the two namespaces have different ids."""

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A",), create("A"))
        before = (await account.hosted(name))["A"]
        await account.upload(name, ("B",), rename(("A", "B")))
        await account.upload(name, ("A", "B"), create("A", tag="t3", old="t2"))
        hosted = await account.hosted(name)
        assert hosted["B"] == before
        assert hosted["A"] != before

    on_account(question)


# --- (i) what a list shows of a change


def url_of(account: Account, name: str, *parts: str) -> str:
    """Give the path of a Worker."""
    return account.client.path("workers", "scripts", name, *parts)


async def patch_settings(account: Account, name: str) -> None:
    """Change a versioned setting; the endpoint takes a form, which the client does not send."""
    token, _ = find_token(prompt=False)
    body = {"settings": (None, json.dumps({"limits": {"cpu_ms": 50}}), "application/json")}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token.reveal()}"}) as http:
        answer = await http.patch(account.client.base_url + url_of(account, name, "settings"), files=body)
    assert answer.status_code == 200, answer.text


async def deploy_the_version_before(account: Account, name: str) -> None:
    """Deploy the version before the newest one."""
    _, before, *_ = await account.client.list_of(url_of(account, name, "versions"), key="items")
    shares = {"strategy": "percentage", "versions": [{"version_id": before["id"], "percentage": 100}]}
    await account.client.change("POST", url_of(account, name, "deployments"), shares)


CHANGES: dict[str, Callable[[Account, str], Awaitable[Any]]] = {
    "upload": lambda account, name: account.upload(name, ("A",), None),
    "deployment of another version (POST deployments)": deploy_the_version_before,
    "versioned setting (PATCH settings)": patch_settings,
    "tags (PATCH script-settings)": lambda account, name: account.client.set_tags(name, ("asked",)),
    "secret (PUT secrets)": lambda account, name: account.client.change(
        "PUT", url_of(account, name, "secrets"), {"name": "WORD", "text": "none", "type": "secret_text"}
    ),
    "cron triggers (PUT schedules)": lambda account, name: account.client.set_schedules(name, ("0 0 1 1 *",)),
    "address (POST subdomain)": lambda account, name: account.client.set_script_url(name, enabled=True, previews=True),
}
"""One change of each kind that somebody else may make, in an order in which each is possible."""


async def listed_times(account: Account, name: str) -> dict[str, Any]:
    """Give the times that the two lists show of a Worker."""
    scripts = {item["id"]: item for item in await account.client.list_scripts()}
    workers = await account.client.list_of(account.client.path("workers", "workers"), {"per_page": 100})
    beside = next((worker for worker in workers if worker.get("name") == name), {})
    return {"modified_on": scripts[name].get("modified_on")} | {k: beside.get(k) for k in ("updated_on", "deployed_on")}


async def moved_by(account: Account, name: str, make: Callable[[Account, str], Awaitable[Any]]) -> set[str]:
    """Make a change, and give the times that it moved: the lists may lag behind, on Cloudflare by some seconds."""
    before, moved = await listed_times(account, name), set[str]()
    await make(account, name)
    for wait in (0,) if "//127.0.0.1" in account.client.base_url else (0, 5, 15):
        await asyncio.sleep(wait)
        now = await listed_times(account, name)
        moved |= {time for time, value in now.items() if value != before[time]}
    return moved


def test_i_which_changes_move_the_times_that_the_lists_show(capsys: pytest.CaptureFixture[str]) -> None:
    """(i) An upload moves `modified_on` and `deployed_on`; which other change moves what is printed, a line each.

    No document says it, and no account was asked yet. So a plan takes an upload alone for a change that the lists
    show, and says of a Worker that it did not read again that its settings, secrets, cron triggers, address and
    deployments were not read. Whatever moves a time here need not be said any more.
    """

    async def question(account: Account) -> None:
        name = account.name()
        await account.upload(name, ("A",), create("A"))
        moved = {change: await moved_by(account, name, make) for change, make in CHANGES.items()}
        with capsys.disabled():
            for change, times in moved.items():
                sys.stdout.write(f"\n{change} moves {', '.join(sorted(times)) or 'nothing'}")
            sys.stdout.write("\n")
        assert {"modified_on", "deployed_on"} <= moved["upload"]

    on_account(question)
