"""What lets tests share a local Cloudflare, and enumerate less by default; what those of several directories call."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from notebook_do.local.process import launch
from notebook_do.model import NamespaceId, RecordedNamespace, StableId, Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

COUNTER = """
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;
    await this.ctx.storage.put("value", value);
    return value;
  }
}
export default {
  async fetch(request, env) {
    return new Response(String(await env.COUNTER.getByName("visitors").increment()));
  },
};
"""
"""README's first Worker: an object that counts its calls."""

LISTS = (
    ("/workers/scripts", "/workers/scripts/{id}?force=true"),
    ("/workflows", "/workflows/{name}"),
    ("/queues", "/queues/{queue_id}"),
    ("/storage/kv/namespaces", "/storage/kv/namespaces/{id}"),
    ("/d1/database", "/d1/database/{uuid}"),
    ("/secrets_store/stores", "/secrets_store/stores/{id}"),
)
"""What an account of the tests may hold, and how each is deleted. R2 buckets with objects in them stay."""


def empty(data: Path) -> None:
    """Delete what is in the account of a local Cloudflare, if it runs."""
    target = launch.status(data)
    if target is None:
        return
    headers = {"Authorization": f"Bearer {target.token()}"}
    base = f"{target.api}/accounts/{target.account_id}"
    with httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as account:
        for listed, one in LISTS:
            for item in account.get(listed).raise_for_status().json()["result"]:
                account.delete(one.format(**item)).raise_for_status()
        assert account.get("/workers/durable_objects/namespaces").json()["result"] == []


def call(method: str, path: str, body: Any = None) -> Any:
    """Ask the API as another tool does, and return the result; `{account}` stands for the account's path."""
    target = launch.ensure()
    try:
        url = target.api + path.replace("{account}", f"/accounts/{target.account_id}")
        headers = {"Authorization": f"Bearer {target.token()}"}
        answer = httpx.request(method, url, json=body, headers=headers, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()["result"]
    finally:
        target.release()


def thinned(*axes: Iterable[Any], of: int, always: Callable[..., bool] = lambda *_: False) -> list[Any]:
    """Return all combinations; by default one in `of` runs, and the rest is `thorough`.

    Those that run lie on diagonals, so that each value of every axis meets some of each other axis. `always` names
    combinations that are too important to be left out.
    """
    made = []
    for places in product(*map(enumerate, axes)):
        values = [value for _, value in places]
        runs = sum(place for place, _ in places) % of == 0 or always(*values)
        made.append(pytest.param(*values, marks=() if runs else pytest.mark.thorough))
    return made


def space(stable_id: str, id_: str, class_name: str = "A", script: str = "w") -> RecordedNamespace:
    """Record a namespace; with an empty id it is known by its class alone."""
    return RecordedNamespace(
        stable_id=StableId(stable_id),
        namespace_id=NamespaceId(id_),
        script_name=script,
        class_name=class_name,
        storage=Storage.SQLITE,
    )


def kept_in(data: Path) -> list[Path]:
    """List the files of a data directory, but for those of its users, which must not be opened in here.

    A user is known by a record lock, and that ends with the first descriptor of the file that its process closes: the
    local Cloudflare of all tests would think itself unused, and end while one of them uses it.
    """
    return [path for path in data.rglob("*") if path.is_file() and data / "users" not in path.parents]


def open_below(folder: Path) -> list[str]:
    """List the files of a folder that this process has open: of all others another test's thread may close some."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(descriptor.readlink()))
    return sorted(place for place in found if place.startswith(f"{folder}/"))


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is the case."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
