"""Reads the code that is live where a plan replaces it, so that the plan can say what differs: one request a script."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from notebook_do.cloudflare.wire import decode_modules
from notebook_do.errors import ApiError, TargetError
from notebook_do.live.observe import AT_ONCE
from notebook_do.plan.code import code_diff, replaced, unread, with_code

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.model import Desired, DesiredWorker
    from notebook_do.plan.code import CodeDiff
    from notebook_do.plan.plan import Plan


async def compared_code(client: Client, plan: Plan, desired: Desired) -> Plan:
    """Return `plan` with what differs in the code that it replaces; one without such changes reads nothing."""
    scripts = replaced(plan)
    if not scripts:
        return plan
    limit = asyncio.Semaphore(AT_ONCE)
    workers = [worker for worker in desired.workers if worker.script_name in scripts]
    return with_code(plan, await asyncio.gather(*(_diff(client, worker, limit) for worker in workers)))


async def _diff(client: Client, worker: DesiredWorker, limit: asyncio.Semaphore) -> CodeDiff:
    """Compare the code of one Worker. A plan is made without it too, and then says that it could not be read."""
    async with limit:
        try:
            live = decode_modules(*await client.script_modules(worker.script_name))
        except (ApiError, TargetError) as error:
            return unread(worker, error.message)
    return code_diff(worker, live)
