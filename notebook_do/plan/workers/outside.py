"""Whether somebody else changed the bindings or settings of a Worker, where its declaration has changed as well.

Then a difference between what is declared and what is live tells nothing of who made it, and the record has a
fingerprint only. So the declaration that was sent last is made again, of what is live and of the settings that were
recorded: where it has the recorded fingerprint, all that is live is what was sent.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from notebook_do.model import (
    RESOURCE_TYPES,
    ClassBinding,
    Json,
    Resource,
    Secret,
    ServiceBinding,
    ValueBinding,
    is_secret,
)
from notebook_do.plan.workers.bindings import same_binding
from notebook_do.plan.workers.settings import fingerprint, set_here, setting_differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.model import DesiredWorker, ScriptBinding
    from notebook_do.plan.workers.ownership import Ownership
    from notebook_do.plan.workers.settings import Fingerprint


def is_as_sent(ownership: Ownership, before: Fingerprint) -> bool:
    """Say whether the live bindings and settings are those of the last upload from here.

    False as well where that cannot be told: a resource may be shown with more fields than were sent.
    """
    live = ownership.live
    if live is None or live.bindings is None:
        return False
    return any(
        fingerprint(worker).upload == before.upload and not setting_differences(replace(ownership, worker=worker))
        for worker in _sent_before(ownership)
    )


def _sent_before(ownership: Ownership) -> Iterator[DesiredWorker]:
    """Yield the declarations that may have led to what is live."""
    worker, live, ours = ownership.worker, ownership.live, dict(set_here(ownership))
    flags = tuple(ours.pop("compatibility_flags", ()))
    ours.pop("crons", None)
    # The default strategy is recorded as ours whether it was declared or not; nearly nobody declares it.
    without = {name: value for name, value in ours.items() if name != "code_update_strategy"}
    options = {Json(without): None, Json(ours): None, worker.options: None}
    dates = dict.fromkeys((live.compatibility_date if live else None, None))
    for bindings, option, date in product(_bindings_before(ownership), options, dates):
        yield replace(worker, bindings=bindings, options=option, compatibility_date=date, compatibility_flags=flags)


def _bindings_before(ownership: Ownership) -> Iterator[tuple[ScriptBinding, ...]]:
    """Yield the live bindings as they may have been declared; a secret of which no mark is recorded may be new."""
    declared = {b.name: b for b in ownership.worker.bindings}
    marked = {name for name, _ in (ownership.record.secrets if ownership.record else ())}
    unmarked = {name for name, b in declared.items() if is_secret(b)} - marked
    live = ownership.live.bindings or () if ownership.live else ()
    for secrets in {frozenset(marked): None, frozenset(marked | unmarked): None}:
        kept = (b for b in live if not is_secret(b) or b.name in secrets)
        found = (_as_declared(b, declared.get(b.name), ownership.worker.script_name) for b in kept)
        yield tuple(sorted(found, key=lambda b: b.name))


def _as_declared(live: ScriptBinding, wanted: ScriptBinding | None, script: str) -> ScriptBinding:
    """Return a live binding in the words of a declaration: those of the present one, where that is the same."""
    if is_secret(live):
        return ValueBinding(name=live.name, value=Secret.from_keyring("any"))  # a fingerprint has only that it is one
    if wanted is not None and not is_secret(wanted) and same_binding(live, wanted, script):
        return wanted
    if isinstance(live, ClassBinding):
        host = None if live.script_name == script else live.script_name
        return replace(live, script_name=host, environment=_declared_environment(live.environment))
    match live.value:
        case ServiceBinding(environment=environment):
            return replace(live, value=replace(live.value, environment=_declared_environment(environment)))
        case Resource(type=kind, fields=fields) if known := RESOURCE_TYPES.get(kind):
            names = {*known.required, *known.one_of, *known.optional}
            sent = {name: value for name, value in fields.value.items() if name in names}
            return replace(live, value=replace(live.value, fields=Json(sent)))
    return live


def _declared_environment(live: str | None) -> str | None:
    # Cloudflare calls the only one of most Workers so, whether it was sent or not.
    return None if live == "production" else live
