"""Compares what is declared and recorded with what is live, and reads no more for it than the plan rests on."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from notebook_do.plan.build import build_plan
from notebook_do.state.observations import Observations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.cloudflare.retry import Pace
    from notebook_do.deploy.result import Event
    from notebook_do.live.code import Earlier
    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, Observed, Recorded, Target
    from notebook_do.model.states import SecretReading
    from notebook_do.plan.plan import Plan, WrittenLately
    from notebook_do.state.file import StateFile


_MANY = 20
"""A plan that reads more Workers in full than these shows how far it is, as one that reads all does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared with what is live; `at` is when that is read (ISO 8601, UTC), `refresh` reads all of it."""

    desired: Desired
    recorded: Recorded
    readings: Mapping[tuple[str, str], SecretReading]
    undecided: Mapping[str, str]
    target: Target
    at: str
    refresh: bool = False
    account_id: str = ""
    account: str = ""
    """How the account is called, where that is known."""
    asked: tuple[str, ...] = ()
    """The ids whose destruction was asked for; `desired` has those too that leave with what was declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who looks on while a plan is made: `pace` shows and ends waits, `read` is told how many Workers are read."""

    pace: Pace
    read: Callable[[int, int], None]


def watched(emit: Callable[[Event], None], cancel: Callable[[], bool]) -> Watch:
    """Return how a plan tells of its waits and its reading, and learns that it is to end."""
    from notebook_do.cloudflare.retry import Pace
    from notebook_do.deploy.result import Event

    return Watch(
        pace=Pace(emit=lambda text: emit(Event(kind="waiting", index=0, total=0, text=text)), cancel=cancel),
        read=lambda done, total: emit(Event(kind="reading", index=done, total=total, text="")),
    )


async def compare(
    connection: Connection, given: Comparison, state: StateFile, watch: Watch, earlier: Earlier = tuple
) -> tuple[Plan, frozenset[str]]:
    """Read what is live and return the plan, and the names of all scripts of the account.

    Two lists tell which scripts have to be read in full; of a script that a step of the plan is about, everything is
    read before the step is shown.
    """
    from notebook_do.live.code import compared_code
    from notebook_do.live.observe import observe, read_lists
    from notebook_do.live.unread import Unread, declared_digests, told
    from notebook_do.plan.facts import scripts_concerned
    from notebook_do.plan.workers.triggers import triggers_concerned

    desired, recorded = given.desired, given.recorded
    observations = Observations(state.observations_path)
    declared, noted = declared_digests(desired, given.readings), observations.load()
    async with connection.client(watch.pace) as client:
        lists = await read_lists(client)
        known = Unread(noted=noted, declared=declared, lists=lists)
        unread = {} if given.refresh else known.unchanged(recorded)
        wanted = scripts_concerned(desired, recorded) - unread.keys()
        observed = await observe(
            client,
            lists=lists,
            scripts=wanted,
            settings=True,
            triggers=triggers_concerned(desired, recorded),
            progress=watch.read if given.refresh or len(wanted) > _MANY else lambda *_: None,
        )
        looking = _Looking(client, given, planned_by(given, state), observed, unread)
        plan = await compared_code(client, await looking.plan(), desired, earlier)
        if plan.consents and given.target == "local":  # Cloudflare's list of objects tells no time
            plan = replace(plan, written=await _written(client, plan, given.at))
    found, named = known.after_plan(looking.unread, plan, recorded, given.at), (given.account_id, given.account)
    if found != noted or (given.account and observations.account(given.account_id) != given.account):
        observations.save(found, named)
    plan = replace(
        plan,
        account=given.account,
        read_at=given.at,
        deployed_at=max((w.modified_on or "" for w in recorded.workers), default=""),
    )
    left_out = told(looking.unread)
    return replace(plan, notes=(*plan.notes, *left_out), unread="".join(left_out)), frozenset(lists.scripts)


async def _written(client: Client, plan: Plan, at: str) -> tuple[WrittenLately, ...]:
    """Return which objects were written lately of the namespaces that a plan would lose."""
    from notebook_do.live.objects import recent_writes
    from notebook_do.plan.plan import WrittenLately

    found = {c.namespace_id: await recent_writes(client, c.namespace_id) for c in plan.consents if c.objects}
    return tuple(
        WrittenLately(namespace_id=id_, within_hour=one.within_hour, newest=one.newest, at=at)
        for id_, one in found.items()
        if one is not None
    )


def planned_by(given: Comparison, state: StateFile) -> Callable[[Observed], Plan]:
    """Return what makes the plan of a comparison out of what is live."""
    from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

    own = state.journal.ops()  # a script that carries one of these tags was uploaded by us, even if no answer came

    def planned(observed: Observed) -> Plan:
        with uncollected():
            return build_plan(
                given.desired,
                given.recorded,
                observed,
                target=given.target,
                default_compatibility_date=NEWEST_COMPATIBILITY_DATE,
                secret_readings=given.readings,
                undecided=given.undecided,
                own=own,
            )

    return planned


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile: what makes a plan makes many values, and drops few before it has ended.

    The collector would look through all of them again each time that they have become a quarter more, and through all
    that lives in the kernel beside them: a third of the time that the plan of a thousand Workers took.
    """
    if not gc.isenabled():  # by somebody else, who decides when it begins again, or by a plan in another thread
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(slots=True)
class _Looking:
    """One observation, which grows by what the plan that is made of it turns out to rest on."""

    client: Client
    given: Comparison
    planned: Callable[[Observed], Plan]
    observed: Observed
    unread: dict[str, str]
    """The scripts that were not read again, with the time at which each was read."""

    async def plan(self) -> Plan:
        """Return the plan, once everything is read that it rests on."""
        from notebook_do.live.observe import with_binders, with_counts
        from notebook_do.plan.workers.lifecycle import binders_asked

        plan = await self._settled()
        if plan.consents:  # what would be lost is counted before it is asked for
            ids = {c.namespace_id for c in plan.consents}
            self.observed = await with_counts(self.client, self.observed, ids)
            plan = self.planned(self.observed)
        # Only where a class is renamed or moved, and no list told it: one request more for each such script.
        if asked := binders_asked(plan, self.given.desired, self.given.recorded, self.observed):
            plan = self.planned(await with_binders(self.client, self.observed, asked))
        return plan

    async def _settled(self) -> Plan:
        """Plan, and read what a step is about or may still bind what is destroyed, until nothing of it is unread."""
        from notebook_do.live.observe import with_bindings, with_settings
        from notebook_do.live.unread import concerned
        from notebook_do.plan.namespaces.binders import binders_to_read

        while True:
            plan = self.planned(self.observed)
            binders = binders_to_read(plan, self.observed)
            if needed := (concerned(plan) | binders) & self.unread.keys():
                self.unread = {name: since for name, since in self.unread.items() if name not in needed}
                self.observed = await with_settings(self.client, self.observed, needed)
            elif binders:
                self.observed = await with_bindings(self.client, self.observed, binders)
            else:
                return plan
