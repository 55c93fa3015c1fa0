"""Compares one declared Worker with what is recorded and live: what changes, and what changed outside (drift)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.model import ClassBinding, Resource, Secret, ServiceBinding, ValueBinding, is_secret, told_back
from notebook_do.model.states import SecretReading
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.workers.assets import asset_changes, asset_drift
from notebook_do.plan.workers.bindings import describe
from notebook_do.plan.workers.ownership import change_of, split_drift
from notebook_do.plan.workers.secrets import SecretStatus, is_live_secret, removed_secrets, status_of
from notebook_do.plan.workers.settings import Fingerprint, fingerprint, read_fingerprint, setting_differences
from notebook_do.plan.workers.triggers import cron_change, crons_differ

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ScriptBinding
    from notebook_do.plan.workers.ownership import Ownership


_UNSEEN = SecretReading()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDiff:
    """What is different about one Worker. `changed`: it must be uploaded, whatever happens to its namespaces."""

    ownership: Ownership
    wanted: Fingerprint
    before: Fingerprint
    changed: bool
    changes: tuple[Change, ...] = ()
    drift: tuple[Change, ...] = ()
    binding_actions: Mapping[str, Action] = field(default_factory=dict)
    secret_statuses: Mapping[str, SecretStatus] = field(default_factory=dict)
    """What becomes of each declared secret, by binding."""

    @property
    def sets_url(self) -> bool:
        """True when the workers.dev address must be switched."""
        worker, live = self.ownership.worker, self.ownership.live
        if live is None or (live.url is None and self.before.url == "-"):
            return worker.url
        known = live.url if live.url is not None else self.before.url == "open"
        return known != worker.url

    @property
    def sets_previews(self) -> bool:
        """True when the preview URLs must be switched; they are left alone where nothing is declared."""
        worker, live = self.ownership.worker, self.ownership.live
        known = live.previews if live else False
        return worker.previews is not None and known is not None and known != worker.previews

    @property
    def sets_crons(self) -> bool:
        """True when the cron triggers must be replaced."""
        return crons_differ(self.ownership, self.before)


def compare(
    ownership: Ownership, *, relabelled: bool, secret_readings: Mapping[tuple[str, str], SecretReading]
) -> WorkerDiff:
    """Compare a declared Worker; `relabelled`: a stable ID or the Worker id changed, which our mark must tell."""
    worker, live, record = ownership.worker, ownership.live, ownership.record
    wanted, before = fingerprint(worker), read_fingerprint(record.settings_digest if record and live else None)
    binding_changes, binding_drift = _binding_changes(ownership, same=wanted.upload == before.upload)
    secret_statuses = _fates(ownership, secret_readings)
    binding_changes += _secret_changes(ownership, secret_statuses)
    changes, drift = list(binding_changes), list(binding_drift)
    changes += asset_changes(ownership, wanted, before)
    drift += asset_drift(ownership, wanted, before)
    if live is None:
        changes.insert(
            0, change_of(ownership.worker, Action.CREATE, "worker", f"Worker {worker.script_name} is created.")
        )
    else:
        drift += [*split_drift(ownership), *_outside(ownership, same=wanted.upload == before.upload)]
        changes += _code_and_settings(ownership, wanted, before, bindings=bool(binding_changes))
    result = WorkerDiff(
        ownership=ownership,
        wanted=wanted,
        before=before,
        changed=bool(changes or drift) or relabelled or ownership.notes_tag or ownership.converts,
        drift=tuple(drift),
        binding_actions={c.name: c.action for c in (*binding_changes, *binding_drift)},
        secret_statuses=secret_statuses,
    )
    return replace(result, changes=(*changes, *_around(result)))


def _code_and_settings(
    ownership: Ownership, wanted: Fingerprint, before: Fingerprint, *, bindings: bool
) -> list[Change]:
    worker, record = ownership.worker, ownership.record
    changes = []
    if ownership.adopts:
        changes.append(
            change_of(
                ownership.worker,
                Action.UPDATE,
                "worker",
                f"The live Worker {worker.script_name} is taken over.",
                field="adopt",
            )
        )
    old = record.content_digest if record else None
    if old != worker.content_digest:
        detail = (
            f"The code of {worker.script_name} is replaced." if old else f"The code of {worker.script_name} is sent."
        )
        changes.append(
            change_of(
                ownership.worker,
                Action.UPDATE,
                "code",
                detail,
                field="modules",
                before=(old or "")[:12],
                after=worker.content_digest[:12],
            )
        )
    settings = _setting_changes(ownership) if wanted.upload != before.upload else []
    changes += settings
    if wanted.upload != before.upload and not bindings and not settings:
        detail = f"The settings of {worker.script_name} are sent."
        changes.append(change_of(ownership.worker, Action.UPDATE, "setting", detail, field="settings"))
    return changes + _lifecycle(ownership)


def _lifecycle(ownership: Ownership) -> list[Change]:
    """Say what becomes of the migration tag and of the form."""
    name = ownership.worker.script_name
    changes = []
    if ownership.notes_tag and ownership.live:
        detail = (
            f"The migration tag {ownership.live.migration_tag} of {name}, set by another project, is taken note of."
        )
        changes.append(change_of(ownership.worker, Action.UPDATE, "setting", detail, field="migration_tag"))
    if ownership.converts:
        forms = {"before": "migrations", "after": "exports"}
        detail = f"Worker {name} switches from `migrations` to `exports`. This is one-way: it can never go back."
        changes.append(change_of(ownership.worker, Action.UPDATE, "setting", detail, field="lifecycle", **forms))
    return changes


def _around(diff: WorkerDiff) -> list[Change]:
    """Say what happens beside the upload: URL and cron triggers."""
    ownership, worker = diff.ownership, diff.ownership.worker
    changes = []
    if diff.sets_url:
        word = "opened" if worker.url else "closed"
        detail = f"The URL of {worker.script_name} is {word}."
        after = "open" if worker.url else "closed"
        changes.append(change_of(ownership.worker, Action.UPDATE, "url", detail, field="workers.dev", after=after))
    if diff.sets_previews:
        after = "on" if worker.previews else "off"
        detail = f"The preview URLs of {worker.script_name} are switched {after}."
        changes.append(change_of(ownership.worker, Action.UPDATE, "url", detail, field="previews", after=after))
    return changes + ([cron_change(ownership, diff.before)] if diff.sets_crons else [])


def _outside(ownership: Ownership, *, same: bool) -> list[Change]:
    """Find what somebody else changed since the last deploy."""
    worker, live, record = ownership.worker, ownership.live, ownership.record
    if live is None or record is None:
        return []
    drift = []
    if record.etag and live.etag and record.etag != live.etag:
        by = f" by {live.last_deployed_from}" if live.last_deployed_from else ""
        detail = f"The code of {live.name} was replaced outside{by}; this plan puts the declared code back."
        drift.append(
            change_of(
                ownership.worker, Action.UPDATE, "code", detail, field="etag", before=record.etag, after=live.etag
            )
        )
    declared, found = worker.compatibility_date, live.compatibility_date
    if same and declared and found and declared != found:
        detail = f"The compatibility date of {live.name} was set to {found} outside; this plan puts {declared} back."
        drift.append(
            change_of(
                ownership.worker,
                Action.UPDATE,
                "setting",
                detail,
                field="compatibility_date",
                before=declared,
                after=found,
            )
        )
    return drift + (_setting_changes(ownership, outside=" It was changed outside.") if same else [])


def _setting_changes(ownership: Ownership, outside: str = "") -> list[Change]:
    """Give a row for each setting that is not as declared."""
    worker = ownership.worker
    changes = []
    for name, before, after in setting_differences(ownership):
        verb = "changed" if before and after else "set" if after else "taken away"
        detail = f"Setting {name} of {worker.script_name} is {verb}.{outside}"
        row = {"field": name, "before": before, "after": after}
        changes.append(change_of(ownership.worker, Action.UPDATE, "setting", detail, **row))
    return changes


# --- bindings


def _binding_changes(ownership: Ownership, *, same: bool) -> tuple[list[Change], list[Change]]:
    """Give the changes of bindings: first those that the declarations ask for, then those made outside."""
    worker, live = ownership.worker, ownership.live
    plain = [b for b in worker.bindings if not is_secret(b)]  # secrets have changes of their own
    if live is None:
        made = [binding_change(ownership, Action.CREATE, b.name, None, b, "") for b in plain]
        return made, []
    if live.bindings is None:
        return [], []
    secret = {b.name for b in worker.bindings} - {b.name for b in plain}
    found = {b.name: b for b in live.bindings if b.name not in secret}
    wanted = {b.name: b for b in plain}
    changes = []
    outside = " It was changed outside." if same else ""
    for name in sorted(found.keys() | wanted.keys()):
        was, now = found.get(name), wanted.get(name)
        if was is None and now is not None:
            changes.append(binding_change(ownership, Action.CREATE, name, None, now, outside))
        elif now is None and was is not None and not is_secret(was):
            changes.append(binding_change(ownership, Action.DELETE, name, was, None, outside))
        elif was is not None and now is not None and not same_binding(was, now, live.name):
            changes.append(binding_change(ownership, Action.UPDATE, name, was, now, outside))
    return ([], changes) if same else (changes, [])


def _fates(ownership: Ownership, secret_readings: Mapping[tuple[str, str], SecretReading]) -> dict[str, SecretStatus]:
    """Say what becomes of each declared secret; of none where the live bindings were not read."""
    worker, live = ownership.worker, ownership.live
    if live is not None and live.bindings is None:
        return {}
    found = {b.name: b for b in (live.bindings or () if live else ())}
    return {
        b.name: status_of(
            b, found.get(b.name), ownership.record, secret_readings.get((worker.script_name, b.name), _UNSEEN)
        )
        for b in worker.bindings
        if isinstance(b, ValueBinding) and isinstance(b.value, Secret)
    }


def _secret_changes(ownership: Ownership, secret_statuses: Mapping[str, SecretStatus]) -> list[Change]:
    """Tell of the secrets whose values are sent, and of those of ours that are no longer declared."""
    worker = ownership.worker
    found = {b.name: b for b in (ownership.live.bindings or () if ownership.live else ())}
    changes = []
    for binding in (b for b in worker.bindings if secret_statuses.get(b.name) in {"set", "changed"}):
        was, name = found.get(binding.name), binding.name
        why = {
            "changed": "is changed: its value is not the one that was set last.",
            "set": "is set."
            if was is None or not is_live_secret(was)
            else "is set again: the live value was not set from here, and cannot be compared.",
        }[secret_statuses[name]]
        action = Action.CREATE if was is None else Action.UPDATE
        change = binding_change(ownership, action, name, was, binding, "")
        changes.append(replace(change, detail=f"Secret {name} of {worker.script_name} {why}"))
    for name in removed_secrets(ownership):
        change = binding_change(ownership, Action.DELETE, name, found[name], None, "")
        why = "is removed: it was set from here, and is no longer declared."
        changes.append(replace(change, detail=f"Secret {name} of {worker.script_name} {why}"))
    return changes


def binding_change(  # noqa: PLR0913, PLR0917 - the cells of a row
    ownership: Ownership, action: Action, name: str, was: ScriptBinding | None, now: ScriptBinding | None, outside: str
) -> Change:
    """Give a row about a binding."""
    worker = ownership.worker
    before, after = describe(was, worker.script_name), describe(now, worker.script_name)
    added = f"added: {'the ' * isinstance(now, ClassBinding)}{after}"
    verb = {Action.CREATE: added, Action.DELETE: "removed"}.get(action, "changed")
    return Change(
        action=action,
        kind="binding",
        id=f"{worker.id}.{name}",
        worker=worker.id,
        name=name,
        before=before,
        after=after,
        detail=f"Binding {name} of {worker.script_name} is {verb}.{outside}",
    )


def same_binding(live: ScriptBinding, wanted: ScriptBinding, script: str) -> bool:
    """Say whether a live binding is the wanted one, as far as Cloudflare tells: it shows no secret."""
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
    """Compare what both tell, and what the type tells only where it was sent: without it, it is another one."""
    names = told_back(kind) | (wanted.keys() & live.keys())
    return all(_fits(live.get(name) or None, wanted.get(name) or None) for name in names)


def _fits(live: Any, wanted: Any) -> bool:
    """Compare values; a table that is live may have more in it."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        return all(live.get(name, value) == value for name, value in wanted.items())
    return bool(live == wanted)


def _same_environment(live: str | None, wanted: str | None) -> bool:
    """Compare environments; Cloudflare calls the only one of most Workers production, whether it was sent or not."""
    return live is None or live == (wanted or "production")


def unbound(diffs: Iterable[WorkerDiff]) -> frozenset[str]:
    """Give the names of the live scripts whose next upload is made by this plan."""
    return frozenset(d.ownership.worker.script_name for d in diffs if d.changed)
