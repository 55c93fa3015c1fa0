"""Compares what is declared and recorded with what is live, and reads no more for it than the plan rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from notebook_do.plan.build import build_plan
from notebook_do.state.observations import Observations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, Recorded, Target
    from notebook_do.model.states import SecretReading
    from notebook_do.plan.plan import Plan
    from notebook_do.state.file import StateFile


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


async def compare(connection: Connection, given: Comparison, state: StateFile) -> tuple[Plan, frozenset[str]]:
    """Read what is live and return the plan, and the names of all scripts of the account.

    Two lists tell which scripts have to be read in full; of a script that a step of the plan is about, everything is
    read before the step is shown.
    """
    from notebook_do.live.observe import observe, read_lists, with_binders, with_counts, with_settings
    from notebook_do.live.unread import Unread, concerned, declared_digests, told
    from notebook_do.plan.facts import scripts_concerned
    from notebook_do.plan.workers.lifecycle import binders_asked
    from notebook_do.plan.workers.triggers import triggers_concerned
    from notebook_do.state.journal import Journal
    from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

    desired, recorded = given.desired, given.recorded
    planned = partial(
        build_plan,
        desired,
        recorded,
        target=given.target,
        default_compatibility_date=NEWEST_COMPATIBILITY_DATE,
        secret_readings=given.readings,
        undecided=given.undecided,
        # A script that carries one of these tags was uploaded by us, even if its answer never came.
        own=frozenset(attempt.intent.op for attempt in Journal(state.journal_path).attempts()),
    )
    observations = Observations(state.path.with_name("observations.json"))
    declared, noted = declared_digests(desired, given.readings), observations.load()
    async with connection.client() as client:
        lists = await read_lists(client)
        known = Unread(noted=noted, declared=declared, lists=lists)
        # Who binds what is to be destroyed must be named, and may be any script of the account.
        unread = {} if desired.destroy or given.refresh else known.unchanged(recorded)
        scripts = None if desired.destroy else scripts_concerned(desired, recorded) - unread.keys()
        triggers = triggers_concerned(desired, recorded)
        observed = await observe(client, lists=lists, scripts=scripts, settings=True, triggers=triggers)
        plan = planned(observed)
        while needed := concerned(plan) & unread.keys():
            unread = {name: since for name, since in unread.items() if name not in needed}
            observed = await with_settings(client, observed, needed)
            plan = planned(observed)
        if plan.consents:  # what would be lost is counted before it is asked for
            observed = await with_counts(client, observed, {c.namespace_id for c in plan.consents})
            plan = planned(observed)
        # Only where a class is renamed or moved: it is one request more for each such script.
        if asked := binders_asked(plan, desired, recorded, observed):
            plan = planned(await with_binders(client, observed, asked))
    if (found := known.after_plan(unread, plan, recorded, given.at)) != noted:
        observations.save(found)
    return replace(plan, notes=(*plan.notes, *told(unread, given.at))), frozenset(lists.scripts)
