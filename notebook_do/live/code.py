"""Reads the code that is live where a plan replaces it, so that the plan can say what differs: one request a script."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from notebook_do.cloudflare.wire import decode_modules
from notebook_do.errors import ApiError, TargetError
from notebook_do.live.observe import AT_ONCE
from notebook_do.model import ModuleKind
from notebook_do.plan.code import code_diff, is_code_of, replaced, unread, with_code
from notebook_do.sources.mapped import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import BundledSource, Desired, DesiredWorker, Module
    from notebook_do.plan.code import CodeDiff
    from notebook_do.plan.plan import Plan

    Earlier = Callable[[], Iterable[DesiredWorker]]


async def compared_code(client: Client, plan: Plan, desired: Desired, earlier: Earlier) -> Plan:
    """Return `plan` with what differs in the code that it replaces; one without such changes reads nothing.

    `earlier` gives Workers as they were declared before: where one of them is what is live, its sources are known.
    """
    scripts = replaced(plan)
    if not scripts:
        return plan
    limit = asyncio.Semaphore(AT_ONCE)
    workers = [worker for worker in desired.workers if worker.script_name in scripts]
    known = list(earlier())
    return with_code(plan, await asyncio.gather(*(_diff(client, worker, known, limit) for worker in workers)))


async def _diff(
    client: Client, worker: DesiredWorker, known: list[DesiredWorker], limit: asyncio.Semaphore
) -> CodeDiff:
    """Compare the code of one Worker. A plan is made without it too, and then says that it could not be read."""
    async with limit:
        try:
            live = decode_modules(*await client.script_modules(worker.script_name))
        except (ApiError, TargetError) as error:
            return unread(worker, error.message)
    was, certain = _sources(worker, live, known) if worker.bundled else ((), False)
    return code_diff(worker, live, was, certain=certain)


def _sources(
    worker: DesiredWorker, live: Sequence[Module], known: list[DesiredWorker]
) -> tuple[tuple[BundledSource, ...], bool]:
    """Return what a live bundle was made of, and whether that is certain.

    It is where the bundle is what was declared when it was sent; what its source map carries need not be its own.
    """
    own = (one for one in known if one.script_name == worker.script_name and one.sources)
    if sent := next((one for one in own if is_code_of(one, live)), None):
        return sent.sources, True
    maps = (sources_of(one.content) for one in live if one.kind is ModuleKind.SOURCE_MAP)
    return next(filter(None, maps), ()), False
