"""Tells whether an upload overwrote one that the plan had not seen, where nothing else guards against it.

Two sessions that adopt a script, or create one, with plans from the same moment both find it as planned; whoever
comes second replaces what the first one sent. The list of deployments shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.cloudflare.answer import NoAnswer, one_line
from notebook_do.cloudflare.deployments import decode_deployments
from notebook_do.deploy.send import Overtaken, unclear
from notebook_do.deploy.there import until_there
from notebook_do.errors import ApiError, DeployError

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.model import ObservedDeployment, Recorded
    from notebook_do.model.steps import Upload
    from notebook_do.state.journal import Intent


def unguarded(step: Upload, recorded: Recorded, *, existed: bool) -> bool:
    """Say whether only the deployments tell: this session did not upload the script before, and no migration guards it.

    A script that is new is guarded by the classes that it creates: Cloudflare refuses, or says, that they exist.
    """
    if any(worker.script_name == step.script_name for worker in recorded.workers):
        return False
    return existed or step.migration is None


async def check_overwritten(client: Client, intent: Intent, seen: str | None) -> None:
    """Raise Overtaken when a deployment lies between ours and the one `seen` by the plan."""
    if intent.existed and seen is None:
        return
    try:
        name = intent.script_name
        listed = await until_there(client, name, lambda: client.list_deployments(name), fresh=True)
        found = decode_deployments(listed)
    except (ApiError, NoAnswer, DeployError) as error:
        raise unclear(intent, error) from None
    since = _since(found, seen)
    if len(since) > 1:
        raise Overtaken(
            f"this happened, but it overwrote what the plan had not seen: {intent.summary}. Between the plan and it, "
            f"Worker {intent.script_name} was deployed {_by(since[1])} (or the request arrived twice). "
            "Nothing else was sent; plan again and compare."
        )


def _since(found: tuple[ObservedDeployment, ...], seen: str | None) -> tuple[ObservedDeployment, ...]:
    ids = [deployment.id for deployment in found]
    return found[: ids.index(seen)] if seen in ids else found


def _by(deployment: ObservedDeployment) -> str:
    author = f"by {one_line(deployment.author, 100)}" if deployment.author else "by somebody else"
    source = f" with {one_line(deployment.source, 40)}" if deployment.source else ""
    when = f" at {one_line(deployment.created_on, 40)}" if deployment.created_on else ""
    return f"{author}{source}{when} (deployment {one_line(deployment.id, 40)})"
