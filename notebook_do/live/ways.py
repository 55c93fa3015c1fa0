"""Chooses the way to the objects of a namespace: the API of a local Cloudflare, or the inspector that was deployed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError
from notebook_do.live.inspecting import LocalWay
from notebook_do.live.inventory import deployed_namespace
from notebook_do.live.signed import signed_way
from notebook_do.model import NamespaceId, RecordedNamespace, Storage

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.live.connection import Connection
    from notebook_do.live.inspecting import Inspecting
    from notebook_do.model import Namespace, Recorded


async def way_to(
    connection: Connection, client: Client, recorded: Recorded, stable_id: str, verb: str = "call"
) -> Inspecting:
    """Return the way to the objects of a namespace; raises CommandError that says what `verb` lacks for it."""
    if connection.target == "local":
        return LocalWay(client=client, namespace_id=deployed_namespace(recorded, stable_id).namespace_id)
    return await signed_way(connection, recorded, stable_id, verb)


async def with_hosted_elsewhere(connection: Connection, recorded: Recorded, declared: Namespace | None) -> Recorded:
    """Return a record that has, of a namespace that another session's script hosts locally, what is live of it.

    For calls only: whoever binds it can call, and what it stores is that session's. Raises CommandError where it is not
    live. On Cloudflare only its inspector knows it.
    """
    known = {one.stable_id for one in recorded.namespaces}
    if connection.target != "local" or declared is None or not declared.script_name or declared.id in known:
        return recorded
    async with connection.client() as client:
        live = await client.list_namespaces()
    script, class_name = declared.script_name, declared.class_name
    found = next((one for one in live if (one.get("script"), one.get("class")) == (script, class_name)), None)
    if found is None:
        raise CommandError(f"namespace {declared.id}: no Worker {script} with class {class_name} is deployed here.")
    made = RecordedNamespace(
        stable_id=declared.id,
        namespace_id=NamespaceId(str(found["id"])),
        script_name=script,
        class_name=class_name,
        storage=Storage.SQLITE if found.get("use_sqlite") else Storage.KV,
    )
    return replace(recorded, namespaces=(*recorded.namespaces, made))
