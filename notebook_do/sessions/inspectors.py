"""Adds to what is declared what `inspect` asks for on Cloudflare: an inspector Worker for each host, and its modules.

The inspector is a Worker like any other from then on, planned, shown, recorded and deployed as all are. A namespace
that is not declared now keeps what was deployed for it. An inspector is to be deleted once every namespace that it
reaches is declared without `inspect`, or destroyed: it hosts no objects.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.inspector.modules import HostClass, host_modules, script
from notebook_do.inspector.signing import audience_of
from notebook_do.model import (
    ClassBinding,
    DesiredWorker,
    Inspected,
    Inspector,
    Json,
    Module,
    PlainText,
    ValueBinding,
)
from notebook_do.plan.workers.inspected import can_be_looked_into, inspector_name, is_possible
from notebook_do.sources.bundle import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import Desired, Recorded, RecordedWorker, ScriptBinding
    from notebook_do.sessions.inspecting import InspectKeys

_INSPECTOR = ("relay.js", "signed.js", "wire.js")
_ASK = "__notebook_do_ask"
"""The method that a class gets; relay.js calls it."""


def with_inspectors(desired: Desired, recorded: Recorded, account_id: str, keys: InspectKeys) -> Desired:
    """Return what is desired with the inspectors, and with the modules in the hosts that are looked into."""
    records = {w.inspector.script_name: w for w in recorded.workers if w.inspector}
    workers = {w.script_name: w for w in desired.workers}
    destroy = set(desired.destroy)
    for host in sorted({n.script_name for n in desired.namespaces if n.inspect} | (records.keys() & _planned(desired))):
        record, inspected = records.get(host), tuple(_inspected(host, desired, records.get(host)))
        if not inspected:
            destroy |= {f"worker:{record.id}"} if record else set()
        elif is_possible(host, desired):
            inspector = Inspector(script_name=host, key=keys.of(record, recorded), namespaces=inspected)
            workers[inspector_name(host)] = _inspector(inspector, desired, account_id)
            if host in workers and (looked := [one for one in inspected if one.inspect is True]):
                workers[host] = _looked_into(workers[host], looked, inspector.key, audience_of(account_id, host))
    return replace(desired, workers=tuple(sorted(workers.values(), key=lambda w: w.id)), destroy=tuple(sorted(destroy)))


def _planned(desired: Desired) -> set[str]:
    """Return the hosts of which anything is declared in this kernel: of the others the inspector stays as it is."""
    return {n.script_name for n in desired.namespaces} | {w.script_name for w in desired.workers}


def _inspected(host: str, desired: Desired, record: RecordedWorker | None) -> Iterable[Inspected]:
    """Yield the namespaces to reach on a host: as declared, and as deployed before where one is not declared now."""
    known = {one.stable_id: one for one in (record.inspector.namespaces if record and record.inspector else ())}
    for declared in desired.namespaces:
        for id_ in (declared.stable_id, declared.renamed_from):
            known.pop(id_, None)  # type: ignore[arg-type]  # there is none of no name
        if declared.script_name == host and declared.inspect:
            known[declared.stable_id] = Inspected(
                stable_id=declared.stable_id, class_name=declared.class_name, inspect=declared.inspect
            )
    ends = set(desired.destroy)
    hosts = {w.id for w in desired.workers if w.script_name == host}
    for id_ in sorted(known):
        if not ends & {id_, f"namespace:{id_}", *hosts, *(f"worker:{w}" for w in hosts)}:
            yield known[id_]


def _inspector(inspector: Inspector, desired: Desired, account_id: str) -> DesiredWorker:
    """Return the Worker that passes on what is signed: it binds the namespaces, and knows the public key."""
    host, name = inspector.script_name, inspector_name(inspector.script_name)
    modules = tuple(Module(name=one, content=script(one).encode()) for one in _INSPECTOR)
    how = {one.stable_id: one.inspect for one in inspector.namespaces}
    values = {"KEY": PlainText(text=inspector.key), "AUDIENCE": PlainText(text=audience_of(account_id, host))}
    bindings: list[ScriptBinding] = [ValueBinding(name=n, value=value) for n, value in values.items()]
    bindings.append(ValueBinding(name="INSPECTED", value=Json(how)))
    bindings += (
        ClassBinding(
            # A stable ID may have a dash, and a name of JavaScript cannot: no other character can be `$`.
            name=f"NAMESPACE_{one.stable_id.replace('-', '$')}",
            class_name=one.class_name,
            script_name=host,
            stable_id=one.stable_id,
        )
        for one in inspector.namespaces
    )
    declared = (n.where for n in desired.namespaces if n.script_name == host and n.inspect)
    return DesiredWorker(
        id=name,
        script_name=name,
        main_module=_INSPECTOR[0],
        modules=modules,
        bindings=tuple(sorted(bindings, key=lambda b: b.name)),
        content_digest=digest(modules),
        # Preview URLs would be a second way in, to versions that were replaced.
        previews=False,
        exports=("default",),
        inspector=inspector,
        where=next(declared, None),
    )


def _classes(looked: Iterable[Inspected]) -> str:
    """Return, as JavaScript of the generated main module, which class is that of which namespace."""
    pairs = (f"[main[{json.dumps(one.class_name)}], {json.dumps(one.stable_id)}]" for one in looked)
    return f"[{', '.join(pairs)}]"


def _looked_into(worker: DesiredWorker, looked: Iterable[Inspected], key: str, audience: str) -> DesiredWorker:
    """Return a host whose classes can be looked into: a generated main module and ours, before the user's own."""
    if not can_be_looked_into(worker):
        return worker
    texts: Mapping[str, str] = host_modules(
        [module.name for module in worker.modules],
        worker.main_module,
        [HostClass(name=one.class_name, rpc=False) for one in looked],
        f"{{ name: {json.dumps(_ASK)}, admit: used.guard({json.dumps(key)}, {json.dumps(audience)}, "
        f"{_classes(looked)}) }}",
        uses="signed.js",
    )
    ours = tuple(Module(name=name, content=text.encode()) for name, text in texts.items())
    modules = (*ours, *worker.modules)
    return replace(
        worker,
        main_module=ours[0].name,
        own_main=worker.main_module,
        modules=modules,
        content_digest=digest(modules),
    )
