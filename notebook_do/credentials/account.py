"""Finds the account that a token is for, and says who the token is, who else can reach it, and what more it may do.

`/memberships` is never asked: account-owned tokens and tokens of few permissions get 9106 or 10000 there. Warnings
claim nothing that was not seen: a token that may not read its own permissions has none here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import NoAnswer, one_line
from notebook_do.cloudflare.client import Client
from notebook_do.errors import ApiError, CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.credentials.token import Token

ACCOUNT_VARIABLE = "CLOUDFLARE_ACCOUNT_ID"
_SHOWN_ACCOUNTS = 10
_ACCOUNT = re.compile(r"[0-9a-f]{32}")


async def find_account(base_url: str, token: Token, environ: Mapping[str, str] | None = None) -> str:
    """Return CLOUDFLARE_ACCOUNT_ID, or the only account that the token can see; raises CredentialError otherwise."""
    # Of several none is guessed: a deploy to the wrong one would make everything there anew.
    if named := (os.environ if environ is None else environ).get(ACCOUNT_VARIABLE, "").strip():
        return checked_account(named)
    async with Client(base_url, "", token) as client:
        accounts = await client.list_accounts()
    if len(accounts) == 1:
        return checked_account(str(accounts[0].get("id")))
    if not accounts:
        raise CredentialError(
            f"the API token ({token.source}) can see no account: it is limited to none, or may not list them. "
            f"Set {ACCOUNT_VARIABLE} to the id of the account, or open the session with --account and that id."
        )
    shown = [f"{account.get('id')} ({one_line(str(account.get('name')), 60)})" for account in accounts]
    more = f" and {len(shown) - _SHOWN_ACCOUNTS} more" if len(shown) > _SHOWN_ACCOUNTS else ""
    raise CredentialError(
        f"the API token ({token.source}) can see {len(shown)} accounts: {', '.join(shown[:_SHOWN_ACCOUNTS])}{more}. "
        f"Choose one: set {ACCOUNT_VARIABLE} to its id, or open the session with --account and that id."
    )


def checked_account(account_id: str) -> str:
    """Return the id where it is one: 32 hex digits; it becomes part of every path."""
    if not _ACCOUNT.fullmatch(account_id):
        raise CredentialError(
            f"an account id is 32 hex digits; this one has {len(account_id)} characters; copy it again."
        )
    return account_id


async def whoami(client: Client, token: Token) -> dict[str, str]:
    """Return who the token is: source, account, account name, status, and the last four characters of its id."""
    verified = await client.verify_token()
    account = await client.get_account()
    return {
        "source": token.source,
        "account_id": client.account_id,
        "account": str(account.get("name") or ""),
        "status": str(verified.get("status") or "unknown"),
        "token_id": "…" + str(verified.get("id") or "")[-4:],
    }


# --- what a person should know before a token is used

_SHARED = {
    "COLAB_RELEASE_TAG": "Google Colab",
    "COLAB_JUPYTER_IP": "Google Colab",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "BINDER_SERVICE_HOST": "Binder",
    "JUPYTERHUB_SERVICE_PREFIX": "JupyterHub",
    "JUPYTERHUB_API_URL": "JupyterHub",
}
"""Variables that such a place sets in its kernels."""
_NEEDED = ("Workers ", "Queues ")
_SHOWN = 3


def shared_kernel(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Warn where a kernel runs on somebody else's machine, or beside other people's."""
    place = next((place for variable, place in _SHARED.items() if environ.get(variable)), None)
    if place is None:
        return ()
    warning = (
        f"this kernel runs on {place}: whoever can run code in it, or administers it, can use the API token. "
        "Use a token that is limited to Workers Scripts: Edit on one account, and revoke it afterwards."
    )
    return (warning,)


async def excess(client: Client) -> tuple[str, ...]:
    """Warn of a token that may change more than Workers, where it may read that of itself; else claim nothing."""
    try:
        policies = await client.token_policies()
    except (ApiError, NoAnswer):
        return ()  # most tokens may not read their own permissions, and then nothing can be said
    names = sorted({name for policy in policies for name in _granted(policy) if _exceeds(name)})
    if not names:
        return ()
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    warning = (
        f"the API token may do more than a deploy needs: {', '.join(names[:_SHOWN])}{more}. "
        "Create one with the permission Workers Scripts: Edit only."
    )
    return (warning,)


def _granted(policy: Any) -> list[str]:
    """Name the permission groups that one policy allows."""
    if not isinstance(policy, dict) or policy.get("effect") != "allow":
        return []
    groups = policy.get("permission_groups")
    return [str(g["name"]) for g in groups if isinstance(g, dict) and "name" in g] if isinstance(groups, list) else []


def _exceeds(name: str) -> bool:
    """Say whether a permission group lets a token change what no deploy changes."""
    return not name.startswith(_NEEDED) and not name.endswith(" Read")
