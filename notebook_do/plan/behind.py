"""Tells whether a live script was uploaded with another copy of this very state file, which therefore knows more.

Every upload carries the lineage and the serial of its state file in a tag, and is recorded under its own name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from notebook_do.plan.mark import op_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from notebook_do.model import ObservedScript, Recorded
    from notebook_do.plan.facts import Findings

UNKNOWN = ""
"""The recorded operation of a Worker of which another copy of the state file knows more."""
_OP = re.compile(r"([0-9a-f]{8})\.(\d{1,12})\.[0-9a-f]{16}")


def serial_of(script: ObservedScript, recorded: Recorded) -> int | None:
    """Return the serial at which this lineage uploaded what is live; None where another one did."""
    found = _OP.fullmatch(op_of(script) or "")
    return int(found[2]) if found and found[1] == recorded.lineage[:8] else None


def is_behind(script: ObservedScript, recorded: Recorded) -> bool:
    """Say whether a copy of this state file uploaded what this one does not know.

    A record of the first edition does not name its upload: there the serial tells, which only grows.
    """
    serial = serial_of(script, recorded)
    if serial is None:
        return False
    record = next((w for w in recorded.workers if w.script_name == script.name), None)
    return serial >= recorded.serial if record is None or record.op is None else record.op != op_of(script)


def check_behind(
    scripts: Iterable[ObservedScript], recorded: Recorded, own: Collection[str], findings: Findings
) -> None:
    """Refuse a plan that rests on an older state file than what is live; `own` are the operations of our journal."""
    ahead = [s for s in scripts if op_of(s) not in own and is_behind(s, recorded)]
    if not ahead:
        return
    findings.refusals = [r for r in findings.refusals if r.code == "other-account"]  # the rest is about old facts
    names = " ".join(sorted(s.name for s in ahead))
    for script in ahead:
        findings.refuse(
            "state-behind",
            script.name,
            f"Worker {script.name} was deployed with another copy of this state file (at serial "
            f"{serial_of(script, recorded)}; this one is at {recorded.serial}), or the journal of that deploy is lost: "
            "what this file says of it is old.",
            f"bring this file up to date: %durable import {names}",
            "go on with the copy that deployed last",
            "open a session of another name",
        )
