"""Tells inspectors, and the modules of ours in a host, from what is a user's: neither becomes a cell of its own.

What a namespace was deployed with stands in its own cell, as `inspect`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError
from notebook_do.model import ClassBinding, Inspected, Inspector, Json, PlainText, RecordedWorker, ValueBinding
from notebook_do.plan.namespaces.marks import op_of
from notebook_do.plan.workers.inspected import SUFFIX, inspector_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.model import Desired, Inspect, Module, Observed, ObservedScript, Recorded

Inspects = dict[tuple[str, str], "Inspect"]
"""By script and class."""
_HOST = re.compile(r"(notebook-do\d*)/host\.js")
_OWN_MAIN = re.compile(r'^import \* as main from "\.\./([^"\n]+)";$', re.MULTILINE)


def with_inspectors_of(scripts: Sequence[str]) -> list[str]:
    """Return scripts and the inspectors that they may have: what one says of a namespace belongs into its cell."""
    return [*scripts, *map(inspector_name, scripts)]


def check_own(scripts: Sequence[str], observed: Observed) -> None:
    """Raise CommandError where an inspector is to be imported by its name."""
    live = {script.name: script for script in observed.scripts}
    if wrong := next((name for name in scripts if name in live and is_inspector(live[name])), None):
        host = wrong.removesuffix(SUFFIX)
        raise CommandError(
            f"import: {wrong} is the inspector of {host}, whose cells declare it: %durable import {host}"
        )


def is_inspector(script: ObservedScript) -> bool:
    """Say whether a live script, whose bindings were read, is an inspector."""
    return script.name.endswith(SUFFIX) and _told(script) is not None


def inspections(recorded: Recorded, observed: Observed) -> Inspects:
    """Return how the namespaces of hosts can be asked: as their live inspectors say, or as it was deployed."""
    found: Inspects = {}
    for worker in recorded.workers:
        if worker.inspector:
            found |= {
                (worker.inspector.script_name, one.class_name): one.inspect for one in worker.inspector.namespaces
            }
    for script in observed.scripts:
        told = _told(script) or {}
        for binding in script.bindings or ():
            id_ = binding.name.removeprefix("NAMESPACE_").replace("$", "-")
            if isinstance(binding, ClassBinding) and binding.script_name and id_ in told:
                found[binding.script_name, binding.class_name] = told[id_]
    return found


def with_recorded_inspectors(recorded: Recorded, desired: Desired, observed: Observed) -> Recorded:
    """Record the live inspectors of imported hosts: the next plan then goes on with them, and with their keys."""
    known = {w.script_name for w in recorded.workers}
    made = []
    for script in observed.scripts:
        host = script.name.removesuffix(SUFFIX)
        inspected = tuple(
            Inspected(stable_id=n.stable_id, class_name=n.class_name, inspect=n.inspect)
            for n in desired.namespaces
            if n.script_name == host and n.inspect
        )
        if script.name in known or not inspected or not is_inspector(script):
            continue
        keys = (b.value.text for b in script.bindings or () if b.name == "KEY" and isinstance(b.value, PlainText))  # type: ignore[union-attr]
        inspector = Inspector(script_name=host, key=next(keys, ""), namespaces=inspected)
        made.append(
            RecordedWorker(
                id=script.name,
                script_name=script.name,
                etag=script.etag,
                modified_on=script.modified_on,
                op=op_of(script),
                inspector=inspector,
            )
        )
    workers = tuple(sorted((*recorded.workers, *made), key=lambda worker: worker.id))
    return replace(recorded, workers=workers) if made else recorded


def _told(script: ObservedScript) -> dict[str, Inspect] | None:
    values = {b.name: b.value for b in script.bindings or () if isinstance(b, ValueBinding)}
    told = values.get("INSPECTED")
    if not isinstance(told, Json) or not {"KEY", "AUDIENCE"} <= values.keys() or not isinstance(told.value, dict):
        return None
    return {str(id_): how for id_, how in told.value.items() if how is True or how == "calls"}


def own_modules(modules: Sequence[Module]) -> tuple[Module, ...]:
    """Return the modules of a live script, the main one first, without those of ours."""
    main = modules[0]
    ours, own = _HOST.fullmatch(main.name), _OWN_MAIN.search(main.content.decode(errors="replace"))
    if ours is None or own is None:
        return tuple(modules)
    left = (module for module in modules if not module.name.startswith(f"{ours[1]}/"))
    return tuple(sorted(left, key=lambda module: (module.name != own[1], module.name)))
