"""Says what becomes of each secret, declared or live. Knows no value, only marks.

A secret that is live and no longer declared is removed where this session set it, which its recorded mark tells, and is
kept where somebody else did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from notebook_do.model import Resource, Secret, ValueBinding, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import RecordedWorker, ScriptBinding
    from notebook_do.model.states import SecretReading
    from notebook_do.plan.workers.ownership import Ownership

SecretStatus = Literal["set", "changed", "kept", "missing"]


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
    """Return the secrets that an upload has to keep by name because it removes another one; None where it keeps all."""
    if not removed_secrets(ownership):
        return None
    return tuple(
        sorted({*others_secrets(ownership), *(name for name, status in secret_statuses.items() if status == "kept")})
    )


def _undeclared(ownership: Ownership) -> list[ScriptBinding]:
    declared = {b.name for b in ownership.worker.bindings}
    live = ownership.live.bindings or () if ownership.live else ()
    return sorted((b for b in live if is_secret(b) and b.name not in declared), key=lambda b: b.name)
