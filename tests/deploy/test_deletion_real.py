"""Deleting a Worker with Durable Objects on the local Cloudflare, which can act in both ways that Cloudflare may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from project import worker_of
from test_real import count, project_of

from notebook_do.cloudflare.client import Client
from notebook_do.credentials.token import Token
from notebook_do.errors import ApiError
from notebook_do.local.account.account import Account
from notebook_do.local.api.scripts import HOLDS
from notebook_do.local.process import launch
from notebook_do.local.process.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from notebook_do.local.process.launch import LocalTarget


@pytest.fixture(scope="module", params=["", "1"])
def holds(request: pytest.FixtureRequest) -> str:
    """Say whether a script's own namespaces stop its unforced deletion."""
    return str(request.param)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, holds: str) -> Iterator[LocalTarget]:
    """Start a local Cloudflare that acts like that."""
    data = Home(tmp_path_factory.mktemp("local") / "data").data
    account = Account(data)
    account.set_setting(HOLDS, holds)
    account.close()
    target = launch.ensure(data)
    try:
        yield target
    finally:
        target.release()
        launch.stop(data)


def test_a_destroy_ends_well_either_way(target: LocalTarget, tmp_path: Path, holds: str) -> None:
    """Issue 11.13: whether namespaces of its own stop an unforced deletion or not, a consented Worker is deleted."""
    project = project_of(target, tmp_path)
    project.declared = worker_of("one", {"a": "A"})
    assert asyncio.run(project.run()).ok
    assert count(target, "one", "A") == 1
    project.declared, project.destroy = (), ("one",)
    result = asyncio.run(project.run())
    assert result.ok
    assert result.requests == (3 if not holds else 7)
    asyncio.run(check_empty(target))
    assert [t.stable_id for t in project.state.load().tombstones] == ["a"]


def test_it_acts_in_both_ways(target: LocalTarget, tmp_path: Path, holds: str) -> None:
    """Issue 11.13: one way refuses an unforced deletion with 10064 and takes a forced one, the other takes both."""
    project = project_of(target, tmp_path)
    project.declared = worker_of("one", {"a": "A"})
    assert asyncio.run(project.run()).ok

    async def delete() -> None:
        async with Client(target.api, target.account_id, Token(target.token())) as client:
            if holds:
                with pytest.raises(ApiError) as refused:
                    await client.delete_script("one")
                assert refused.value.code == 10064
            await client.delete_script("one", force=bool(holds))

    asyncio.run(delete())
    asyncio.run(check_empty(target))


async def check_empty(target: LocalTarget) -> None:
    """Check that neither a script nor a namespace is left, as the API tells."""
    async with Client(target.api, target.account_id, Token(target.token())) as client:
        assert await client.list_scripts() == []
        assert await client.list_namespaces() == []
