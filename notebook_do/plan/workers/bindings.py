"""Compares the bindings of a Worker, secrets included, with the live ones, and puts them into words; never a value.

Cloudflare shows no secret. Its value is known to be the one that was set last by a mark: a keyed digest in the record.
A secret that is live and no longer declared is removed where this session set it, which its recorded mark tells, and is
kept where somebody else did.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.model import (
    ClassBinding,
    Resource,
    Secret,
    ServiceBinding,
    ValueBinding,
    is_secret,
    told_back,
)
from notebook_do.model.states import SecretReading
from notebook_do.plan.described import describe
from notebook_do.plan.happens import CalledNames, bound_change, bound_secret, bound_texts
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import DesiredWorker, RecordedWorker, ScriptBinding
    from notebook_do.plan.workers.ownership import Ownership


# --- what a binding needs to be there


def called_by(worker: DesiredWorker) -> frozenset[str]:
    """Return the scripts that a Worker calls: those of its services and its tail consumers.

    They must be there when it is uploaded, or Cloudflare refuses it (10143, and 10203 for a tail consumer).
    """
    values = (b.value for b in worker.bindings if not isinstance(b, ClassBinding))
    services = {value.worker for value in values if isinstance(value, ServiceBinding)}
    return frozenset(services | {tail["service"] for tail in worker.options.value.get("tail_consumers", ())})


def bound_queues(bindings: Iterable[ScriptBinding]) -> frozenset[str]:
    """Return the queues that bindings send to."""
    values = [b.value for b in bindings if isinstance(b, ValueBinding)]
    bound = [v.fields.value for v in values if isinstance(v, Resource) and v.type == "queue"]
    return frozenset(str(fields.get("queue_name")) for fields in bound)


# --- secrets

NOBODY = CalledNames(workers={}, namespaces={})
"""For rows that name no Worker and no namespace."""
SecretStatus = Literal["set", "changed", "kept", "missing"]
_UNREAD = SecretReading()


def secret_statuses_of(
    ownership: Ownership, secret_readings: Mapping[tuple[str, str], SecretReading]
) -> dict[str, SecretStatus]:
    """Return what becomes of each declared secret, by binding; nothing where the live bindings were not read."""
    worker, live = ownership.worker, ownership.live
    if live is not None and live.bindings is None:
        return {}
    found = {b.name: b for b in (live.bindings or () if live else ())}
    return {
        b.name: status_of(
            b, found.get(b.name), ownership.record, secret_readings.get((worker.script_name, b.name), _UNREAD)
        )
        for b in worker.bindings
        if isinstance(b, ValueBinding) and isinstance(b.value, Secret)
    }


def status_of(
    binding: ValueBinding, live: ScriptBinding | None, record: RecordedWorker | None, secret_reading: SecretReading
) -> SecretStatus:
    """Judge one declared secret. What is live and cannot be compared is kept only where there is no value to set.

    A secret that was set by somebody else, or marked under another machine's key, is set once more.
    """
    if live is None or not is_live_secret(live):
        return "missing" if secret_reading.problem else "set"
    if not secret_reading.mark:
        return "kept"
    # A mark begins with the name of the key that it was made with; marks of two keys cannot be compared.
    known = dict(record.secrets if record else ()).get(binding.name, "")
    if known == secret_reading.mark:
        return "kept"
    same_key = known.partition(".")[0] == secret_reading.mark.partition(".")[0]
    return "changed" if same_key else "set"


def is_live_secret(binding: ScriptBinding) -> bool:
    """Say whether a live binding is a secret text; it shows no source, and is known by its type alone."""
    if not isinstance(binding, ValueBinding):
        return False
    return isinstance(binding.value, Secret) or (
        isinstance(binding.value, Resource) and binding.value.type == "secret_text"
    )


def removed_secrets(ownership: Ownership) -> tuple[str, ...]:
    """Return the live secrets that this session set and that are no longer declared: the next upload removes them.

    A record without a mark of a secret, as older state files are, counts as one that somebody else set.
    """
    ours = {name for name, _ in ownership.record.secrets} if ownership.record else set()
    return tuple(b.name for b in _undeclared(ownership) if b.name in ours and is_live_secret(b))


def others_secrets(ownership: Ownership) -> tuple[str, ...]:
    """Return the live secrets that are not declared and were not set from here: every upload keeps them."""
    removed = removed_secrets(ownership)
    return tuple(b.name for b in _undeclared(ownership) if b.name not in removed)


def named_secrets(ownership: Ownership, secret_statuses: Mapping[str, SecretStatus]) -> tuple[str, ...] | None:
    """Return the secrets that an upload has to keep by name because it removes another one; None where it keeps all.

    `keep_bindings` keeps by type, so it would bring the removed one back.
    """
    if not removed_secrets(ownership):
        return None
    return tuple(
        sorted({*others_secrets(ownership), *(name for name, status in secret_statuses.items() if status == "kept")})
    )


def _undeclared(ownership: Ownership) -> list[ScriptBinding]:
    live = ownership.live.bindings or () if ownership.live else ()
    if not (secrets := [b for b in live if is_secret(b)]):
        return []
    declared = {b.name for b in ownership.worker.bindings}
    return sorted((b for b in secrets if b.name not in declared), key=lambda b: b.name)


# --- comparing


def binding_changes(ownership: Ownership, known: CalledNames, *, same: bool) -> tuple[list[Change], list[Change]]:
    """Return the rows of bindings, secrets aside: first those that the declaration asks for, then those made outside.

    `same` says that the declared bindings and settings are those that were sent last: what differs, others changed.
    """
    worker, live = ownership.worker, ownership.live
    plain = [b for b in worker.bindings if not is_secret(b)]  # a live secret shows nothing to compare
    if live is None:
        return [binding_change(ownership, Action.CREATE, b.name, None, b, known=known) for b in plain], []
    if live.bindings is None:
        return [], []
    # A live binding of any kind under the name of a declared secret is replaced by that, which has a row of its own.
    secret = {b.name for b in worker.bindings} - {b.name for b in plain}
    found = {b.name: b for b in live.bindings if b.name not in secret}
    wanted = {b.name: b for b in plain}
    changes = []
    for name in sorted(found.keys() | wanted.keys()):
        was, now = found.get(name), wanted.get(name)
        if was is None and now is not None:
            changes.append(binding_change(ownership, Action.CREATE, name, None, now, known=known, outside=same))
        elif now is None and was is not None and not is_secret(was):
            changes.append(binding_change(ownership, Action.DELETE, name, was, None, known=known, outside=same))
        elif was is not None and now is not None and not same_binding(was, now, live.name):
            changes.append(binding_change(ownership, Action.UPDATE, name, was, now, known=known, outside=same))
    return ([], changes) if same else (changes, [])


def secret_changes(
    ownership: Ownership, secret_statuses: Mapping[str, SecretStatus], known: CalledNames
) -> list[Change]:
    """Return the rows of the secrets whose values are sent, and of those of ours that are no longer declared."""
    worker = ownership.worker
    found = {b.name: b for b in (ownership.live.bindings or () if ownership.live else ())}
    changes = []
    for binding in (b for b in worker.bindings if secret_statuses.get(b.name) in {"set", "changed"}):
        was, name = found.get(binding.name), binding.name
        again = was is not None and is_live_secret(was)
        reason = "changed" if secret_statuses[name] == "changed" else "again" if again else "set"
        action = Action.CREATE if was is None else Action.UPDATE
        source = bound_secret(binding)
        detail = say("secret", reason, name=name, script=worker.script_name)
        change = binding_change(ownership, action, name, was, binding, known=known)
        changes.append(replace(change, detail=detail, happens=say("row-secret", reason, source=source)))
    for name in removed_secrets(ownership):
        change = binding_change(ownership, Action.DELETE, name, found[name], None, known=known)
        detail = say("secret", "removed", name=name, script=worker.script_name)
        changes.append(replace(change, detail=detail, happens=say("row-secret-removed")))
    return changes


def kept_secrets(ownership: Ownership, secret_statuses: Mapping[str, SecretStatus]) -> list[Change]:
    """Return the rows of the live secrets that an upload keeps, those included that are not declared here."""
    worker, others = ownership.worker, others_secrets(ownership)
    rows = []
    for live in sorted(ownership.live.bindings or () if ownership.live else (), key=lambda b: b.name):
        declared = secret_statuses.get(live.name) == "kept"
        if declared or live.name in others:
            reason = "declared" if declared else "undeclared"
            detail = say("secret-kept", reason, name=live.name, script=worker.script_name)
            rows.append(
                replace(binding_change(ownership, Action.NOOP, live.name, live, live, known=NOBODY), detail=detail)
            )
    return rows


def secret_notes(ownerships: Iterable[Ownership]) -> tuple[str, ...]:
    """Name the live secrets that somebody else set and nobody declares, whether their Worker is uploaded or not."""
    return tuple(
        say("secret-noted", name=name, script=ownership.worker.script_name)
        for ownership in ownerships
        for name in others_secrets(ownership)
    )


def binding_change(  # noqa: PLR0913 - the cells of a row
    ownership: Ownership,
    action: Action,
    name: str,
    was: ScriptBinding | None,
    now: ScriptBinding | None,
    *,
    known: CalledNames,
    outside: bool = False,
) -> Change:
    """Return a row about a binding; `outside` says that somebody else changed it."""
    worker = ownership.worker
    added = "class_added" if isinstance(now, ClassBinding) else "added"
    reason = added if action is Action.CREATE else "removed" if action is Action.DELETE else "changed"
    detail = say("binding", reason, name=name, script=worker.script_name, bound=describe(now, worker.script_name))
    before, after = bound_texts(was, now, worker.script_name, known)
    return Change(
        action=action,
        kind="binding",
        id=f"{worker.id}.{name}",
        worker=worker.id,
        name=name,
        detail=f"{detail} {say('changed-outside', 'one')}" if outside else detail,
        before=before,
        after=after,
        happens=bound_change(was, now, worker.script_name, known),
    )


def same_binding(live: ScriptBinding, wanted: ScriptBinding, script: str) -> bool:
    """Say whether a live binding is the wanted one, as far as Cloudflare tells what was sent."""
    if isinstance(live, ClassBinding) or isinstance(wanted, ClassBinding):
        if not (isinstance(live, ClassBinding) and isinstance(wanted, ClassBinding)):
            return False
        same = (live.class_name, live.script_name or script) == (wanted.class_name, wanted.script_name or script)
        return same and _same_environment(live.environment, wanted.environment)
    match live.value, wanted.value:
        case ServiceBinding() as was, ServiceBinding() as now:
            same = (was.worker, was.entrypoint) == (now.worker, now.entrypoint)
            same = same and _same_environment(was.environment, now.environment)
            return same and (was.props is None or was.props == now.props)  # no document says that they are shown
        case Resource() as was, Resource() as now:
            return was.type == now.type and _same_fields(was.type, was.fields.value, now.fields.value)
        case was, now:
            return was == now


def _same_fields(kind: str, live: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Compare the fields that both have, and those that the type tells back wherever they were sent.

    Such a field that only one of the two has makes it another resource; any other one may just not be shown.
    """
    names = told_back(kind) | (wanted.keys() & live.keys())
    return all(_fits(live.get(name) or None, wanted.get(name) or None) for name in names)


def _fits(live: Any, wanted: Any) -> bool:
    """Compare two values of a field; a table that is live may have more in it."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        # What Cloudflare filled in would otherwise be a difference of every plan.
        return all(live.get(name, value) == value for name, value in wanted.items())
    return bool(live == wanted)


def _same_environment(live: str | None, wanted: str | None) -> bool:
    """Compare environments; Cloudflare calls the only one of most Workers production, whether it was sent or not."""
    return live is None or live == (wanted or "production")
