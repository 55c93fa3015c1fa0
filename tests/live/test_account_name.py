"""The account's name: asked for once a session, kept beside the state file, shown where a plan goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from far_target import use_far_target

import notebook_do as nd
import notebook_do.sessions.opening as session_module
from notebook_do.cloudflare.http import Connections
from notebook_do.notebook.widgets.panel import DeployPanel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from notebook_do.sessions.session import Session

SOURCE = "export default { fetch() { return new Response('a'); } };"


class Asked:
    """What was asked of the API; the account is called `Acme Inc`, or `refused` with 403."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.refused = False

    @property
    def for_the_name(self) -> int:
        """How many requests were for the account itself."""
        return len([path for path in self.paths if path.count("/") == 4])


@pytest.fixture
def asked(cloud: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Let the target cloudflare be the local API, whose account gets a name of somebody's."""
    target, asked = use_far_target(shared_data, monkeypatch), Asked()
    send = Connections.handle_async_request

    async def named(self: Connections, request: httpx.Request) -> httpx.Response:
        asked.paths.append(request.url.path.removesuffix("/"))
        if not request.url.path.endswith(f"/accounts/{target.account_id}"):
            return await send(self, request)
        if asked.refused:
            error = {"code": 10000, "message": "Authentication error"}
            body = {"success": False, "errors": [error], "messages": [], "result": None}
            return httpx.Response(403, json=body, request=request)
        body = {"success": True, "errors": [], "messages": [], "result": {"id": target.account_id, "name": "Acme\nInc"}}
        return httpx.Response(200, json=body, request=request)

    monkeypatch.setattr(Connections, "handle_async_request", named)
    yield asked
    target.release()


def opened(text: str = SOURCE) -> Session:
    """Open the session as a new kernel does, with one Worker."""
    session_module._current = None
    session = nd.session("named", stage="production", target="cloudflare")
    nd.Worker("api", script=text)
    return session


def test_the_account_is_called_by_its_name_and_asked_for_once(asked: Asked, cloud: Path) -> None:
    """views.md 2 and 7: `Acme Inc (9a4c…61f7)` is the first fact of a plan; the button of production says the name."""
    session = opened()
    plan = session.plan()
    first = plan.baseline.account_id
    title, below = str(plan).splitlines()[:2]
    assert below.strip() == "session: named"
    assert title == (
        f"! LIVE PRODUCTION  Plan for production on Cloudflare: 2 changes  account: Acme Inc ({first[:4]}…{first[-4:]})"
    )
    button = DeployPanel(session, plan).button.description
    assert button == "Deploy 2 changes to PRODUCTION on Cloudflare, account Acme Inc"
    assert session.plan().digest == plan.digest
    session.deploy(plan)
    assert "Acme Inc" in str(session.plan())
    assert "account: Acme Inc (" in str(session.status())
    assert asked.for_the_name == 1
    noted = cloud / ".notebook_do" / "named" / "production" / "observations.json"
    assert json.loads(noted.read_text())["account"] == [first, "Acme Inc"]
    asked.paths.clear()
    again = opened(SOURCE + "//").plan()
    assert "Acme Inc" in str(again)
    assert asked.for_the_name == 0, "another kernel reads it beside the state file"
    assert "Acme" not in again.to_json()


def test_a_token_that_may_not_read_the_account_shows_its_short_id(asked: Asked) -> None:
    """Skipped without a word: the plan is the same, and asks no second time."""
    asked.refused = True
    session = opened()
    plan = session.plan()
    first = plan.baseline.account_id
    assert f"account: {first[:4]}…{first[-4:]}" in str(plan).splitlines()[0]
    session.plan()
    assert asked.for_the_name == 1
    assert plan.warnings == ()


def test_the_local_target_is_never_asked(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its account is this machine's and has no name that tells anything."""
    asked, send = Asked(), Connections.handle_async_request

    async def noted(self: Connections, request: httpx.Request) -> httpx.Response:
        asked.paths.append(request.url.path.removesuffix("/"))
        return await send(self, request)

    monkeypatch.setattr(Connections, "handle_async_request", noted)
    nd.session("named")
    nd.Worker("api", script=SOURCE)
    assert "account" not in str(nd.current().plan())
    assert asked.paths
    assert asked.for_the_name == 0
