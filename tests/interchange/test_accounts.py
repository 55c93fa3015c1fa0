"""The account that a project names is kept for Cloudflare, and of no account here."""

from __future__ import annotations

import re

import pytest

from notebook_do.display.formats import short_account
from notebook_do.errors import CommandError
from notebook_do.interchange.configuration import Environment
from notebook_do.interchange.project_import import check_account, session_line
from notebook_do.interchange.wrangler_reading import ProjectWorker, read_worker

ACCOUNT = "a" * 32


def of_account(account: str | None) -> tuple[ProjectWorker, ...]:
    """Read a project of an account, or of none."""
    config = {"name": "api", "main": "index.js", **({"account_id": account} if account else {})}
    found = read_worker("w.toml", "app", Environment(name="", top="api", script="api", config=config))
    assert found is not None
    return (found,)


def test_the_cells_open_the_session_of_the_projects_account() -> None:
    """On Cloudflare the account is in the first cell; the local target has one of its own."""
    workers = of_account(ACCOUNT)
    assert session_line(workers, ("s", "dev"), "local") == "%durable session s --stage dev"
    line = f"%durable session s --stage dev --target cloudflare --account {ACCOUNT}"
    assert session_line(workers, ("s", "dev"), "cloudflare") == line
    assert session_line(of_account(None), ("s", "dev"), "cloudflare") == line.partition(" --account")[0]


def test_a_session_of_another_account_is_refused() -> None:
    """With both accounts and the line that opens the right one; here any project is imported."""
    said = (
        f"w.toml is of account {short_account(ACCOUNT)}, and this session of bbbb…bbbb; open one of that account "
        f"first: %durable session s --stage dev --target cloudflare --account {ACCOUNT}"
    )
    with pytest.raises(CommandError, match=re.escape(said)):
        check_account(of_account(ACCOUNT), "b" * 32, "cloudflare", ("s", "dev"))
    check_account(of_account(ACCOUNT), ACCOUNT, "cloudflare", ("s", "dev"))
    check_account(of_account(None), "b" * 32, "cloudflare", ("s", "dev"))
    check_account(of_account(ACCOUNT), "b" * 32, "local", ("s", "dev"))
