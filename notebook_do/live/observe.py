"""Reads what is live in one account into `Observed`. Sends reads only, and no more of them than are asked for.

The limit of Cloudflare's API is the user's for all that they do, so what a plan does not need is not read.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.answer import named, objects_in, text_in
from notebook_do.cloudflare.settings import (
    decode_binders,
    decode_carried,
    decode_deployments,
    decode_listed_binders,
    decode_options,
    decode_split,
)
from notebook_do.cloudflare.triggers import read_triggers
from notebook_do.errors import ApiError, CommandError
from notebook_do.model import (
    ClassBinding,
    Observed,
    ObservedBinders,
    Resource,
    ServiceBinding,
    ValueBinding,
)
from notebook_do.model.plain import canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Iterable

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import (
        NamespaceId,
        ObservedNamespace,
        ObservedObject,
        ObservedScript,
        ScriptBinding,
        Trigger,
    )

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told that so many, of so many, are read."""
AT_ONCE = 4
"""How many requests are under way at once: the four of one script wait for an answer once, and not four times."""
MOST_COUNTED = 1000
"""Objects are counted up to here, and more are said to be more: it is read before a person destroys them."""
_SMALLEST_PAGE, _LARGEST_PAGE = 10, 10_000
"""What the list of objects takes as its limit."""
_RESTLESS = ("placement_status", "usage_model")
"""What changes in the lists without anybody's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What the account's two lists say of its scripts, by name."""

    scripts: dict[str, ObservedScript]
    """With `binders` where the list of Workers tells them."""
    digests: dict[str, str]
    """Equal where both lists say the same of a script as before."""


async def read_lists(client: Client) -> Lists:
    """Read the list of scripts and the list of Workers: one request, and one for every hundred Workers."""
    items, workers = await _all((client.list_scripts(), _listed_workers(client)))
    beside = {name: worker for worker in objects_in(workers) if (name := text_in(worker, "name"))}
    digests = {name: _digest(item, beside.get(name)) for item in items if (name := named(item, "id", "a script"))}
    told = {name: decode_listed_binders(worker) for name, worker in beside.items()}
    scripts = {name: replace(s, binders=told.get(name)) for name, s in _by_name(items).items()}
    return Lists(scripts=scripts, digests=digests)


async def _listed_workers(client: Client) -> list[Any]:
    try:
        return await client.list_of(client.path("workers", "workers"), {"per_page": 100})
    except ApiError:  # a newer part of the API: where it is not to be had, the script list tells less, and that counts
        return []


def _digest(*items: Any) -> str:
    told = [{k: v for k, v in item.items() if k not in _RESTLESS} if item else None for item in items]
    return hashlib.sha256(canonical(told).encode()).hexdigest()[:32]


async def observe(  # noqa: PLR0913 - what is read, by kind
    client: Client,
    *,
    scripts: Iterable[str] | None,
    settings: bool,
    lists: Lists | None = None,
    namespaces: bool = True,
    objects_of: Iterable[NamespaceId] = (),
    triggers: Iterable[Trigger] = (),
    progress: Progress = lambda *_: None,
) -> Observed:
    """Read the script list and the namespace list: two requests, or one while the account has no script.

    Without `namespaces` only the script list is read. With `settings`, of `scripts` (None: of all) bindings,
    compatibility, address, cron triggers and a split deployment are read too, four requests each; of the namespaces in
    `objects_of` the number of objects that hold data; of `triggers` who holds each. `lists` are not read again;
    `progress` is told how many of the scripts are read.
    """
    # Scripts first: namespaces belong to scripts, so an account without any needs no second request.
    live = await observe_scripts(client) if lists is None else lists.scripts
    observed = Observed(account_id=client.account_id, api_origin=client.origin, scripts=tuple(live.values()))
    wanted_scripts = frozenset(live if scripts is None else scripts) if settings else frozenset()
    observed, beside = await _all(
        (
            with_settings(client, observed, wanted_scripts, progress),
            _with_namespaces(client, observed) if live and namespaces else _as_is(observed),
        )
    )
    observed = replace(observed, namespaces=beside.namespaces)
    observed = await with_counts(client, observed, frozenset(objects_of))
    wanted = tuple(triggers)
    return replace(observed, triggers=await read_triggers(client, wanted) if wanted else ())


async def _with_namespaces(client: Client, observed: Observed) -> Observed:
    return replace(observed, namespaces=tuple((await observe_namespaces(client)).values()))


async def with_settings(
    client: Client, observed: Observed, scripts: Collection[str], progress: Progress = lambda *_: None
) -> Observed:
    """Read of `scripts` what their list does not have, as `observe` does with `settings`; tell of each that is read."""
    limit = asyncio.Semaphore(AT_ONCE)
    wanted, done = frozenset(scripts) & {s.name for s in observed.scripts}, count(1)

    async def read(script: ObservedScript) -> ObservedScript:
        found = await _with_settings(client, script, limit)
        progress(next(done), len(wanted))
        return found

    each = (read(s) if s.name in wanted else _as_is(s) for s in observed.scripts)
    return replace(observed, scripts=await _all(each))


async def with_bindings(client: Client, observed: Observed, scripts: Collection[str]) -> Observed:
    """Read of `scripts` what they bind, and nothing else: one request each."""
    limit = asyncio.Semaphore(AT_ONCE)
    read = (_with_bindings(client, s, limit) if s.name in scripts else _as_is(s) for s in observed.scripts)
    return replace(observed, scripts=await _all(read))


async def _with_bindings(client: Client, script: ObservedScript, limit: asyncio.Semaphore) -> ObservedScript:
    async with limit:
        bindings, _, _ = wire.decode_settings(await client.script_settings(script.name), script.name)
    return replace(script, bindings=bindings)


async def users_of(client: Client, name: str, hosted: Collection[NamespaceId]) -> list[str]:
    """Name the other scripts that would lose something with script `name`, which hosts the namespaces `hosted`.

    They bind it, a class or a workflow of it, or send their tail events to it. One request a script, several at a time;
    `references` would tell most of it in one, but no document describes that endpoint.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    async def uses(other: str) -> bool:
        async with limit:
            raw = await client.script_settings(other)
        tails = [one.get("service") for one in raw.get("tail_consumers") or ()]
        bindings, _, _ = wire.decode_settings(raw, other)
        return name in tails or any(_binds(binding, name, hosted) for binding in bindings)

    observed = await observe(client, scripts=(), settings=False, namespaces=False)
    others = [s.name for s in observed.scripts if s.name != name]
    found = await _all(map(uses, others))
    return [other for other, used in zip(others, found, strict=True) if used]


def _binds(binding: ScriptBinding, name: str, hosted: Collection[NamespaceId]) -> bool:
    match binding:
        case ClassBinding():
            return binding.script_name == name or (binding.namespace_id is not None and binding.namespace_id in hosted)
        case ValueBinding(value=ServiceBinding(worker=worker)):
            return worker == name
        case ValueBinding(value=Resource(type="workflow", fields=fields)):
            return bool(fields.value.get("script_name") == name)
    return False


async def with_counts(client: Client, observed: Observed, namespaces: Collection[NamespaceId]) -> Observed:
    """Count the objects of `namespaces` that hold data."""
    limit = asyncio.Semaphore(AT_ONCE)
    counted = (
        _with_count(client, n, limit) if n.namespace_id in namespaces else _as_is(n) for n in observed.namespaces
    )
    return replace(observed, namespaces=await _all(counted))


async def _with_settings(client: Client, script: ObservedScript, limit: asyncio.Semaphore) -> ObservedScript:
    """Read the four things that the script list does not have of a script."""

    async def read(ask: Callable[[str], Coroutine[Any, Any, Any]]) -> Any:
        async with limit:
            return await ask(script.name)

    asked = (client.script_settings, client.list_deployments, client.script_url, client.schedules)
    raw, deployments, (url, previews), schedules = await _all(map(read, asked))
    crons = wire.decode_crons(schedules)
    bindings, date, flags = wire.decode_settings(raw, script.name)
    return replace(
        script,
        bindings=bindings,
        compatibility_date=date,
        compatibility_flags=flags,
        options=decode_options(raw, deployments),
        carried=decode_carried(raw, deployments),
        split=decode_split(deployments),
        deployment=next((d.id for d in decode_deployments(deployments)), None),
        url=url,
        previews=previews,
        crons=crons,
    )


async def with_binders(client: Client, observed: Observed, scripts: Iterable[str]) -> Observed:
    """Read who else binds the namespaces of `scripts`, one request each.

    Where it cannot be read, the reason is what is observed: the endpoint is in no document, and a plan that needs it
    says so then.
    """
    found = dict(zip(names := sorted(scripts), await _all(_binders(client, name) for name in names), strict=True))
    return replace(observed, scripts=tuple(replace(s, binders=found.get(s.name, s.binders)) for s in observed.scripts))


async def _binders(client: Client, script_name: str) -> ObservedBinders:
    try:
        return decode_binders(await client.script_references(script_name))
    except ApiError as error:
        return ObservedBinders(problem=error.message)


async def _with_count(client: Client, namespace: ObservedNamespace, limit: asyncio.Semaphore) -> ObservedNamespace:
    """Count the objects that hold data; one that was only touched, or whose data was deleted, may be listed too."""
    stored = 0
    async with limit, aclosing(client.list_objects(namespace.namespace_id, limit=MOST_COUNTED + 1)) as pages:
        async for items in pages:
            stored += wire.count_stored(items)
            if stored > MOST_COUNTED:
                return replace(namespace, objects=MOST_COUNTED, objects_more=True)
    return replace(namespace, objects=stored)


async def _as_is(fact: T) -> T:
    return fact


async def observe_scripts(client: Client) -> dict[str, ObservedScript]:
    """Read the script list: one request; by name, sorted."""
    return _by_name(await client.list_scripts())


def _by_name(items: list[Any]) -> dict[str, ObservedScript]:
    return {s.name: s for s in sorted(map(wire.decode_script, items), key=lambda s: s.name)}


async def observe_namespaces(client: Client) -> dict[NamespaceId, ObservedNamespace]:
    """Read the namespace list: one request a thousand; by namespace id, sorted."""
    found = [wire.decode_namespace(item) for item in await client.list_namespaces()]
    return {n.namespace_id: n for n in sorted(found, key=lambda n: n.namespace_id)}


async def observe_objects(
    client: Client, namespace_id: NamespaceId, *, most: int | None = None, after: str | None = None
) -> tuple[tuple[ObservedObject, ...], bool]:
    """List the objects of a namespace in the account's own order, behind the one with the id `after`.

    True when there are more than `most`. Raises CommandError where `after` is none of them.
    """
    found: list[ObservedObject] = []
    skipping = after is not None
    # Cloudflare's cursor is opaque and is not kept between calls, so `after` is an id and the list is read from its
    # start: in the largest pages then.
    size = _LARGEST_PAGE if most is None or skipping else min(max(most + 1, _SMALLEST_PAGE), _LARGEST_PAGE)
    async with aclosing(client.list_objects(namespace_id, limit=size)) as pages:
        async for items in pages:
            for one in map(wire.decode_object, items):
                if not skipping:
                    found.append(one)
                skipping = skipping and one.object_id != after
            if most is not None and len(found) > most:
                break
    if skipping:
        raise CommandError(f"objects: no object {after} is listed (any more); go on behind another one, or read all.")
    return tuple(found[:most]), most is not None and len(found) > most


async def _all(reads: Iterable[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
    """Run reads together; when one fails the others are ended before its error goes on."""
    # Not a TaskGroup: that raises an ExceptionGroup, of which a user would see neither our error's type nor its line.
    tasks = [asyncio.ensure_future(read) for read in reads]
    try:
        return tuple(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
