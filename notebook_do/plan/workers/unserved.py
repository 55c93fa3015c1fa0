"""What a target does not do of the Workers that a plan uploads: bindings that are not served, containers of classes.

The local Cloudflare takes such a Worker and runs it: a use of the binding throws an error there, and the class has no
`ctx.container`. So it is said before the deploy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.model import BINDING_TYPES, BindingType, Resource, ValueBinding
from notebook_do.model.steps import Upload
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import DesiredWorker, Target
    from notebook_do.model.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """A sentence for each Worker of which something is not served; those of containers are said after a deploy too."""

    bindings: tuple[str, ...]
    containers: tuple[str, ...]


def unserved(steps: Iterable[Step], workers: Mapping[str, DesiredWorker], target: Target) -> Unserved:
    """Return what is to be said of the Workers, by script, that `steps` upload."""
    uploads = {step.script_name: step for step in steps if isinstance(step, Upload)}
    bindings = [_bindings(workers[script]) for script in sorted(uploads)] if target == "local" else []
    containers = [_containers(workers[script], uploads[script], target) for script in sorted(uploads)]
    return Unserved(bindings=tuple(filter(None, bindings)), containers=tuple(filter(None, containers)))


def _bindings(worker: DesiredWorker) -> str:
    values = ((b.name, b.value) for b in worker.bindings if isinstance(b, ValueBinding))
    found = [(name, word) for name, value in values if isinstance(value, Resource) and (word := _word(value))]
    if not found:
        return ""
    names = ", ".join(f"{name} ({word})" for name, word in found)
    return say("unserved", "several" if len(found) > 1 else "one", script=worker.script_name, names=names)


def _word(resource: Resource) -> str:
    """Return what the local Cloudflare calls a resource that it does not serve; empty for one that it does."""
    kind = resource.type
    if kind == "durable_object_namespace":  # as a resource it is one of a script in a dispatch namespace
        kind = "dispatch_namespace"
    row = BINDING_TYPES.get(kind, BindingType(kind, only_wrangler=True))
    return f"binding type {kind}" if row.only_wrangler else row.not_local


def _containers(worker: DesiredWorker, upload: Upload, target: Target) -> str:
    """Name the classes with a container: those that are declared so, and those whose live `exports` entry has one."""
    live = {name for name, entry in upload.entries.value.items() if isinstance(entry, dict) and "container" in entry}
    hosted = {name for name, _ in upload.migration.classes} if upload.migration else set()
    classes = sorted({*worker.containers, *(live & hosted if target == "local" else ())})
    if not classes:
        return ""
    where = "local" if target == "local" else "cloudflare"
    return say("containers", where, script=worker.script_name, names=", ".join(classes))
