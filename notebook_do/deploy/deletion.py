"""Deletes a Worker that hosts Durable Objects: unforced first, and forced only when nothing but its own hold it.

`?force=true` deletes the namespaces even where other Workers bind them, so who does is asked again right before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.triggers import consumed_queues
from notebook_do.errors import ApiError, DeployError
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.model import ClassBinding, ServiceBinding

if TYPE_CHECKING:
    from collections.abc import Collection

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import NamespaceId, ScriptBinding
    from notebook_do.model.steps import DeleteScript

STILL_IN_USE = 10064
"""Cloudflare's code for a script that namespaces depend on; that a DELETE answers it for its own ones is emulated: no
document tells whether it refuses those. The same code says that the script still consumes a queue."""


async def delete_worker(client: Client, step: DeleteScript) -> None:
    """Delete a script; raises DeployError, with the script left as it is, when more than its own namespaces hold it."""
    try:
        await client.delete_script(step.script_name)
    except ApiError as refused:
        if refused.code != STILL_IN_USE or not step.namespace_ids:
            raise
        await _check_only_its_own(client, step, refused)
        await client.delete_script(step.script_name, force=True)


async def _check_only_its_own(client: Client, step: DeleteScript, refused: ApiError) -> None:
    name = step.script_name
    hosted = {n.namespace_id for n in (await observe_namespaces(client)).values() if n.script_name == name}
    if others := sorted(hosted - set(step.namespace_ids)):
        raise DeployError(f"script {name} hosts namespace {others[0]} since, which nobody agreed to lose; plan again.")
    if not hosted:
        raise refused
    holders = [f"Worker {b}" for b in await _binders(client, name, hosted)]
    holders += [f"queue {q}" for q in await consumed_queues(client, name)]
    if holders:
        raise DeployError(
            f"Worker {name} is still used by {', '.join(holders)}; deleting it would take that away too. Remove that "
            "first, then plan again."
        )


async def _binders(client: Client, name: str, hosted: Collection[NamespaceId]) -> list[str]:
    """Name the other scripts of the account whose settings bind a class of the script, or the script itself."""
    found = []
    for other in sorted(await observe_scripts(client)):
        if other != name:
            bindings, _, _ = wire.decode_settings(await client.script_settings(other), other)
            if any(_reaches(b, name, hosted) for b in bindings):
                found.append(other)
    return found


def _reaches(binding: ScriptBinding, name: str, hosted: Collection[NamespaceId]) -> bool:
    if isinstance(binding, ClassBinding):
        return binding.script_name == name or (binding.namespace_id is not None and binding.namespace_id in hosted)
    return isinstance(binding.value, ServiceBinding) and binding.value.worker == name
