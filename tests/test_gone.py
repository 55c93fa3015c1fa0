"""What another tool deleted, on the real local Cloudflare: it is forgotten on demand, and then begins anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sharing import COUNTER

import notebook_do as nd
from notebook_do.cloudflare.client import Client
from notebook_do.credentials.token import Token
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from pathlib import Path


def declared() -> nd.Session:
    """Declare one Worker with one namespace."""
    session = nd.session("gone")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("my-worker", script=COUNTER, bindings={"COUNTER": counter})
    return session


async def delete_outside(script: str) -> None:
    """Delete a script as another tool does."""
    target = launch.ensure()
    try:
        async with Client(target.api, target.account_id, Token(target.token())) as client:
            await client.delete_script(script)
    finally:
        target.release()


@pytest.mark.parametrize("what", ["counter", "my-worker"])
def test_what_is_gone_is_forgotten_and_begins_anew(cloud: Path, what: str) -> None:
    """The choice that the refusal names leads on: forget it, plan again, and an empty namespace begins."""
    session = declared()
    assert session.deploy(session.plan())["my-worker"].fetch("/").text == "1"
    asyncio.run(delete_outside("my-worker-dev"))

    assert [r.code for r in session.plan().refusals] == ["namespace-gone"]
    forgetting = session.destroy(what)
    assert [step.summary.partition(" ")[0] for step in forgetting.steps] == ["forget"]
    assert not forgetting.consents
    assert session.deploy(forgetting).ok

    declared()  # the cells again
    result = session.deploy(session.plan())
    assert result["my-worker"].fetch("/").text == "1"
    assert session.plan().empty
