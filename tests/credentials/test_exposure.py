"""What a person is warned of before a token is used: one line each, and nothing that was not seen."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.retry import Pace
from notebook_do.credentials.account import excess, shared_kernel
from notebook_do.credentials.token import Token

ACCOUNT = "a" * 32


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"COLAB_RELEASE_TAG": "release-colab"}, "Google Colab"),
        ({"COLAB_JUPYTER_IP": "172.28.0.12"}, "Google Colab"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, "Kaggle"),
        ({"BINDER_SERVICE_HOST": "10.0.0.1", "JUPYTERHUB_SERVICE_PREFIX": "/user/x/"}, "Binder"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/x/"}, "JupyterHub"),
    ],
)
def test_s29_a_shared_kernel_is_named(environ: dict[str, str], place: str) -> None:
    """S29: where other people can reach the kernel it is said in one line, with what to do."""
    (warning,) = shared_kernel(environ)
    assert warning.startswith(f"this kernel runs on {place}: ")
    assert "\n" not in warning
    assert "revoke" in warning


def test_s29_a_kernel_of_ones_own_is_no_matter() -> None:
    """S29: elsewhere nothing is said; a variable that is set to nothing is not a place."""
    assert shared_kernel({"HOME": "/home/me", "JUPYTERHUB_SERVICE_PREFIX": "", "JPY_PARENT_PID": "1"}) == ()


def told(policies: Any, *, readable: bool = True, owner: str = "/user/tokens") -> tuple[tuple[str, ...], list[str]]:
    """Ask for the excess of a token with `policies`; gives it, and the paths asked."""
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/client/v4")
        paths.append(path)
        if path == f"{owner}/verify":
            return httpx.Response(200, json={"success": True, "errors": [], "result": {"id": "t1", "status": "active"}})
        if path == f"{owner}/t1" and readable:
            return httpx.Response(200, json={"success": True, "errors": [], "result": {"policies": policies}})
        code, status = (1000, 401) if path.endswith("verify") else (9109, 403)
        return httpx.Response(status, json={"success": False, "errors": [{"code": code, "message": "no"}]})

    async def ask() -> tuple[str, ...]:
        token = Token("CANARY-token-0123456789abcdef")
        transport, pace = httpx.MockTransport(answer), Pace(attempts=1)
        base = "https://api.cloudflare.com/client/v4"
        async with Client(base, ACCOUNT, token, transport=transport, pace=pace) as client:
            return await excess(client)

    return asyncio.run(ask()), paths


def allow(*names: str, effect: str = "allow") -> list[dict[str, Any]]:
    """Write a policy as Cloudflare shows it."""
    return [{"effect": effect, "permission_groups": [{"id": "1", "name": n} for n in names], "resources": {}}]


@pytest.mark.parametrize("owner", ["/user/tokens", f"/accounts/{ACCOUNT}/tokens"])
def test_s28_an_over_scoped_token_is_named(owner: str) -> None:
    """S28: what a token may change besides Workers is listed in one line, for a user's and an account's own token."""
    policies = allow("Workers Scripts Write", "DNS Write", "Account Settings Read", "Billing Write")
    (warning,), paths = told([*policies, *allow("Zone Write", "Access: Apps and Policies Write")], owner=owner)
    assert "Access: Apps and Policies Write, Billing Write, DNS Write and 1 more" in warning
    assert "Workers Scripts" not in warning.split(". ")[0]
    assert "\n" not in warning
    assert paths[-1] == f"{owner}/t1"


@pytest.mark.parametrize(
    "policies",
    [
        allow("Workers Scripts Write", "Workers Tail Read", "Workers Routes Write", "Queues Write", "DNS Read"),
        allow("DNS Write", effect="deny"),
        [],
        ["not a policy", {"effect": "allow"}, {"effect": "allow", "permission_groups": [{"id": "1"}, 7]}],
        {"no": "list"},
    ],
)
def test_s28_nothing_is_claimed_without_cause(policies: Any) -> None:
    """S28: a token that may do no more, and an answer of another shape, cause no warning."""
    assert told(policies)[0] == ()


def test_s28_what_cannot_be_read_is_not_claimed() -> None:
    """S28: a token that may not read its own permissions, as most may not, causes no warning and no failure."""
    warnings, paths = told([], readable=False)
    assert warnings == ()
    assert paths == ["/user/tokens/verify", "/user/tokens/t1"]
