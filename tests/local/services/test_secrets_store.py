"""Secrets of the Secrets Store behind a binding's `get`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STORE = "5" * 32
KEY = {"type": "secrets_store_secret", "name": "KEY", "store_id": STORE, "secret_name": "key"}
ABSENT = {"type": "secrets_store_secret", "name": "ABSENT", "store_id": STORE, "secret_name": "absent"}
OTHER = {"type": "secrets_store_secret", "name": "OTHER", "store_id": "6" * 32, "secret_name": "key"}


def test_a_binding_reads_its_secret(ask: Callable[..., None]) -> None:
    """`get` gives the value that is kept now, as text; of another store or name it says that there is none."""

    async def story(asking: Any) -> None:
        secret = asking.services.secrets_store.add(STORE, "key", "välue", comment="", scopes=("workers",))
        value, absent, other = await asking.all(["KEY", "get"], ["ABSENT", "get"], ["OTHER", "get"])
        how = f"wrangler secrets-store secret create {STORE} --name absent --scopes workers --remote"
        assert value == "välue"
        assert absent == {"error": f'Secret "absent" not found in store {STORE}; set it with `{how}`'}
        assert other["error"].startswith(f'Secret "key" not found in store {"6" * 32}; ')
        asking.services.secrets_store.change(secret, value="newer", comment=None, scopes=None)
        assert await asking.one("KEY", "get") == "newer"
        asking.services.secrets_store.drop(secret)
        assert (await asking.one("KEY", "get"))["error"].startswith('Secret "key" not found')

    ask(story, KEY, ABSENT, OTHER)
