"""Finds the account that a token is for, and says who the token is."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from notebook_do.cloudflare.answer import one_line
from notebook_do.cloudflare.client import Client
from notebook_do.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.credentials.token import Token

ACCOUNT_VARIABLE = "CLOUDFLARE_ACCOUNT_ID"
_SHOWN_ACCOUNTS = 10
_ACCOUNT = re.compile(r"[0-9a-f]{32}")


async def find_account(base_url: str, token: Token, environ: Mapping[str, str] | None = None) -> str:
    """Give CLOUDFLARE_ACCOUNT_ID, or the only account that the token can see; raises CredentialError otherwise."""
    if named := (os.environ if environ is None else environ).get(ACCOUNT_VARIABLE, "").strip():
        return checked_account(named)
    async with Client(base_url, "", token) as client:
        accounts = await client.list_accounts()
    if len(accounts) == 1:
        return checked_account(str(accounts[0].get("id")))
    if not accounts:
        raise CredentialError(
            f"the API token ({token.source}) can see no account: it is limited to none, or may not list them. "
            f"Set {ACCOUNT_VARIABLE}, or use %durable session ... --account ID."
        )
    shown = [f"{account.get('id')} ({one_line(str(account.get('name')), 60)})" for account in accounts]
    more = f" and {len(shown) - _SHOWN_ACCOUNTS} more" if len(shown) > _SHOWN_ACCOUNTS else ""
    raise CredentialError(
        f"the API token ({token.source}) can see {len(shown)} accounts: {', '.join(shown[:_SHOWN_ACCOUNTS])}{more}. "
        f"Choose one: set {ACCOUNT_VARIABLE}, or use %durable session ... --account ID."
    )


def checked_account(account_id: str) -> str:
    """Give the id back when it is one: 32 hex digits; it becomes part of every path."""
    if not _ACCOUNT.fullmatch(account_id):
        raise CredentialError(f"an account id is 32 hex digits; this one has {len(account_id)} characters.")
    return account_id


async def whoami(client: Client, token: Token) -> dict[str, str]:
    """Ask who the token is: source, account, account name, status, and the last four characters of the token's id."""
    verified = await client.verify_token()
    account = await client.get_account()
    return {
        "source": token.source,
        "account_id": client.account_id,
        "account": str(account.get("name") or ""),
        "status": str(verified.get("status") or "unknown"),
        "token_id": "…" + str(verified.get("id") or "")[-4:],
    }
