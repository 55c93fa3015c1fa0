"""Observing: reads only, no more of them than needed, and what they say in one order."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, client_of, first_deploy, plan_of
from faults import FAULTS

from notebook_do.deploy.run import deploy
from notebook_do.errors import DurableError
from notebook_do.live.observe import observe
from notebook_do.model import ClassBinding, NamespaceId, Observed, Storage
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """Give an account with one deployed Worker."""
    account, state = Account(), StateFile(tmp_path / "p" / "state.json")

    async def first() -> None:
        async with client_of(account) as client:
            plan = await plan_of(client, state, first_deploy)
            await deploy(plan, client=client, state=state)

    asyncio.run(first())
    account.log.clear()
    return account


def seen(account: Account, fault: Any = None, **options: Any) -> Observed:
    """Observe with a client of its own."""

    async def look() -> Observed:
        async with client_of(account, fault) as client:
            return await observe(client, **{"scripts": None, "settings": False, **options})

    return asyncio.run(look())


def test_an_empty_account_takes_one_request() -> None:
    """Without any script there is no namespace to ask for."""
    empty = Account()
    assert seen(empty) == Observed(account_id="a" * 32, api_origin="https://api.cloudflare.com")
    assert len(empty.log) == 1


def test_two_requests_for_the_facts(account: Account) -> None:
    """Scripts with tag, and namespaces with class and storage, take two reads."""
    observed = seen(account)
    assert [m for m, _ in account.log] == ["GET", "GET"]
    (script,), (namespace,) = observed.scripts, observed.namespaces
    assert (script.name, script.lifecycle) == ("w", "migrations")
    assert re.fullmatch(r"ndo-[0-9a-f]{8}-tag-w-Counter-1-[0-9a-f]{8}", script.migration_tag or "")
    assert script.bindings is None
    assert (namespace.script_name, namespace.class_name, namespace.storage) == ("w", "Counter", Storage.SQLITE)
    assert namespace.objects is None


def test_settings_of_the_scripts_asked_for(account: Account) -> None:
    """Bindings are read of the scripts asked for, and of no other; a script that is not there is no error."""
    observed = seen(account, scripts=["w", "not-there"], settings=True)
    assert observed.scripts[0].bindings == (ClassBinding(name="NS", class_name="Counter"),)
    assert (observed.scripts[0].url, observed.scripts[0].split) == (True, False)
    assert observed.scripts[0].crons == ()
    assert len(account.log) == 6
    assert seen(account, scripts=["not-there"], settings=True).scripts[0].bindings is None


def test_f29_a_split_deployment_is_seen(account: Account) -> None:
    """F29: a script that runs two versions at once is observed as split."""
    account.scripts["w"]["split"] = (90, 10)
    assert seen(account, settings=True).scripts[0].split


def test_objects_are_counted_where_asked(account: Account) -> None:
    """F04: objects are counted for the namespaces asked for; elsewhere the count is unknown, never 0."""
    (id_,) = account.namespaces
    assert seen(account, objects_of=[NamespaceId(id_)]).namespaces[0].objects == 1
    assert seen(account, objects_of=[NamespaceId("f" * 32)]).namespaces[0].objects is None


def test_p6_observing_changes_nothing(account: Account) -> None:
    """P6: observing sends reads only."""
    (id_,) = account.namespaces
    seen(account, settings=True, objects_of=[NamespaceId(id_)])
    assert {m for m, _ in account.log} == {"GET"}


@pytest.mark.parametrize("name", ["500", "HTML after commit", "timeout after commit", "redirect to another host"])
def test_one_failed_read_ends_the_others(account: Account, name: str) -> None:
    """A read that fails for good is one typed error; no task of the others is left behind."""
    for i in range(20):
        account.scripts[f"s{i}"] = dict(account.scripts["w"])

    async def only_settings(request: Any, deliver: Any) -> Any:
        return await FAULTS[name](request, deliver) if request.url.path.endswith("s7/settings") else None

    async def look() -> int:
        async with client_of(account, only_settings) as client:
            with pytest.raises(DurableError):
                await observe(client, scripts=None, settings=True)
        return len(asyncio.all_tasks())

    assert asyncio.run(look()) == 1
