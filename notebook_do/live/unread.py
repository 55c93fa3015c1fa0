"""Which scripts a plan need not read again: those whose lists show our own last upload and nothing since.

Only an upload is sure to show in the lists. Settings, secrets, cron triggers, addresses and deployments that were
changed elsewhere may not (what moves `modified_on` and `deployed_on` is written nowhere), so a plan says what was not
read again, a few are read anew each time, and what a step rests on is read before the step is shown.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from notebook_do.display.formats import counted
from notebook_do.model.plain import canonical
from notebook_do.model.steps import SetMark, Upload
from notebook_do.plan.namespaces.marks import op_of
from notebook_do.state.observations import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.live.observe import Lists
    from notebook_do.model import Desired, Recorded, RecordedWorker
    from notebook_do.model.states import SecretReading
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Plan

READ_ANEW = 2
"""How many of the scripts that could be left out are read all the same, those first that were read longest ago: four
requests each, so that a change which no list shows is found after a few plans."""
_AFTER = "after "


def declared_digests(desired: Desired, readings: Mapping[tuple[str, str], SecretReading]) -> dict[str, str]:
    """Return a digest of what is declared of each script: its Worker, its namespaces and the marks of its secrets."""
    hosted: dict[str, list[object]] = {}
    for namespace in desired.namespaces:
        hosted.setdefault(namespace.script_name, []).append(namespace)
    marks: dict[str, dict[str, str]] = {}
    for (script, name), reading in readings.items():
        marks.setdefault(script, {})[name] = reading.mark
    bodies = {
        worker.script_name: {
            # The modules are in `content_digest`, and of assets the hashes tell.
            "worker": replace(worker, modules=(), where=None),
            "namespaces": hosted.get(worker.script_name, []),
            "secrets": marks.get(worker.script_name, {}),
        }
        for worker in desired.workers
    }
    return {script: hashlib.sha256(canonical(body).encode()).hexdigest()[:32] for script, body in bodies.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What is known of the scripts of a plan before they are read: by script name."""

    noted: Mapping[str, Observation]
    declared: Mapping[str, str]
    lists: Lists

    def unchanged(self, recorded: Recorded) -> dict[str, str]:
        """Return the scripts that need not be read again, with the time at which each was read."""
        records = {w.script_name: w for w in recorded.workers}
        found = {n: self.noted[n].at for n in self.noted if n in records and self._is_ours(n, records[n])}
        oldest = sorted(found, key=lambda name: (found[name], name))
        return {name: found[name] for name in sorted(oldest[READ_ANEW:])}

    def _is_ours(self, name: str, record: RecordedWorker) -> bool:
        script, seen = self.lists.scripts.get(name), self.noted[name]
        if script is None or record.etag is None or seen.declared != self.declared.get(name):
            return False
        # The op stays where somebody changes settings, and equal code can come back: both have to be ours.
        left = record.etag == script.etag and record.op == op_of(script) and record.op is not None
        known = record.migration_tag in {None, script.migration_tag}
        sent_since = seen.listed.startswith(_AFTER) and seen.listed != f"{_AFTER}{record.op}"
        return left and known and (sent_since or seen.listed == self.lists.digests[name])

    def after_plan(
        self, left_out: Mapping[str, str], plan: Plan, recorded: Recorded, at: str
    ) -> dict[str, Observation]:
        """Return the note after a plan: what was read `at` that time and is as declared, and what was left out.

        What the plan does no more to than upload it is as declared once another upload of ours is live than now; what
        follows an upload (an address, preview URLs, triggers) may fail, and is read again.
        """
        ops = {w.script_name: w.op for w in recorded.workers}
        digests = self.lists.digests
        found = {name: replace(self.noted[name], listed=digests[name]) for name in left_out}
        if plan.refusals:  # without steps it does not tell what is as declared
            return found
        more = {_script(step) for step in plan.steps if not isinstance(step, Upload | SetMark)}
        more |= {left.script_name for left in plan.undecided}
        busy = concerned(plan)
        for name in self.declared.keys() - left_out.keys() - more:
            if listed := f"{_AFTER}{ops.get(name)}" if name in busy else digests.get(name):
                found[name] = Observation(at=at, declared=self.declared[name], listed=listed)
        return found


def concerned(plan: Plan) -> frozenset[str]:
    """Return the scripts that the steps of a plan are about."""
    return frozenset(name for step in plan.steps if (name := _script(step)))


def _script(step: Step) -> str:
    return getattr(step, "script_name", "")


def told(left_out: Mapping[str, str]) -> tuple[str, ...]:
    """Return the line that says what a plan did not read again; nothing where it read everything.

    Of such a Worker only an upload would have shown in the lists: its settings, secrets, cron triggers, address and
    deployments count as not read.
    """
    if not left_out:
        return ()
    return (f"{counted(len(left_out), 'Worker')} not read again (--refresh).",)
