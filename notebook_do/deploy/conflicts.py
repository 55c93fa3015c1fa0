"""Finds what somebody else changed: since the plan was made, while the deploy is under way, and under an upload.

No document names a condition on an upload but the migration tag: of two uploads of code alone the later one simply
replaces the other. A plan is therefore compared with what is live before its first step; what rests on earlier steps is
compared again before it is sent. Whether setting an address, cron triggers or tags moves a script's etag or time of
change is in no document, so after such a step these two say nothing until the script was listed again.

"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.answer import NoAnswer, one_line
from notebook_do.cloudflare.settings import decode_deployments
from notebook_do.deploy.before import reaches
from notebook_do.deploy.look import LOOKS, Overtaken, unclear, until_there
from notebook_do.display.formats import short_digest, short_namespace, short_resource
from notebook_do.errors import ApiError, DeployError, StalePlan
from notebook_do.model import DeleteClass, TransferClass, TransferredAway
from notebook_do.model.steps import DeleteScript, Forget, Upload
from notebook_do.plan.facts import Findings
from notebook_do.plan.namespaces.marks import op_of
from notebook_do.plan.workers.ownership import check_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.deploy.look import SharedLists
    from notebook_do.deploy.result import Outcome
    from notebook_do.model import (
        ClassMigration,
        NamespaceId,
        ObservedDeployment,
        ObservedNamespace,
        ObservedScript,
        Recorded,
    )
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Baseline, Plan
    from notebook_do.state.journal import Intent, Journal


# --- since the plan was made


def check_current(plan: Plan, now: Baseline, recovered: Iterable[Outcome]) -> None:
    """Raise StalePlan where state or live facts are not what the plan was made from.

    `recovered` is what became of an interrupted deploy: when it was completed just now, that is the change to name.
    """
    if changes := differences(plan.baseline, now):
        done = [o.text for o in recovered if o.status == "done"]
        what = f"an interrupted deploy was completed ({'; '.join(done)})" if done else "; ".join(changes)
        raise StalePlan(f"plan {short_digest(plan.digest)} is stale: {what}. Nothing was sent; look at the new plan.")


def differences(planned: Baseline, now: Baseline) -> tuple[str, ...]:
    """Say in words what differs; empty when the plan still holds."""
    facts = (
        ("the state file is another one (lineage)", planned.lineage, now.lineage),
        (f"the state file went from serial {planned.serial} to {now.serial}", planned.serial, now.serial),
        ("the account is another one", planned.account_id, now.account_id),
        ("the API is another one", planned.api_origin, now.api_origin),
    )
    return (
        *(text for text, before, after in facts if before != after),
        *_changed("Worker", {s[0]: s[1:] for s in planned.scripts}, {s[0]: s[1:] for s in now.scripts}),
        *_changed("namespace", {n[0]: n[1:] for n in planned.namespaces}, {n[0]: n[1:] for n in now.namespaces}),
    )


def _changed(kind: str, before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    words = []
    for name in sorted(before.keys() | after.keys()):
        what = f"{kind} {name if kind == 'Worker' else short_namespace(name)}"
        if name not in after:
            words.append(f"{what} is gone")
        elif name not in before:
            words.append(f"{what} is new")
        elif before[name] != after[name]:
            words.append(f"{what} changed{_how(kind, before[name], after[name])}")
    return words


def _how(kind: str, before: tuple[object, ...], after: tuple[object, ...]) -> str:
    """Return how a namespace changed, and when a script did: its etag and its tags tell a person nothing."""
    if kind == "Worker":
        changed = str(after[-1] or "")
        return (
            f" outside, {changed[:19].replace('T', ' ')} UTC" if changed and changed != str(before[-1]) else " outside"
        )
    was, now = (", ".join(str(v) for v in facts if v is not None) for facts in (before, after))
    return f" ({was} → {now})"


def diverged(
    recorded: Recorded, scripts: Iterable[ObservedScript], concerned: frozenset[str], journal: Journal
) -> str | None:
    """Say that a copy of this very state file has deployed what this one does not know; None when none has."""
    # What this journal sent itself is no copy's, though its serial may be above that of a restored state file.
    own = journal.ops()
    foreign = [script for script in scripts if script.name in concerned and op_of(script) not in own]
    if not foreign:
        return None
    findings = Findings()
    check_behind(foreign, recorded, own, findings)
    for refusal in findings.refusals:
        return f"{refusal.message} Nothing was sent. Choose: {'; or '.join(refusal.choices)}."
    return None


# --- while the deploy is under way


def must_be_compared(step: Step) -> bool:
    """Say whether a step replaces or deletes what somebody else may have changed; settings are set as they are."""
    return isinstance(step, Upload | DeleteScript)


@dataclass(slots=True, kw_only=True)
class KnownScripts:
    """The scripts as they were seen at the start, and as our own steps left them since."""

    scripts: dict[str, ObservedScript]
    fresh: set[str] = field(default_factory=set)
    """Those that we uploaded: parts of Cloudflare may not know them yet."""
    _answered: dict[str, ObservedScript | None] = field(default_factory=dict)
    """Scripts that we uploaded and did not list since, with what was live before."""
    _ops: dict[str, str] = field(default_factory=dict)
    """The operation that their tags must show."""
    _touched: set[str] = field(default_factory=set)
    """Scripts of which we changed something else since they were listed."""

    def uploaded(self, step: Upload, script: ObservedScript, op: str) -> None:
        """Note the script as our upload was answered; what the upload moved changed the other script too."""
        name = step.script_name
        before = self.scripts.get(name)
        # Of two uploads in one plan the first one decides: a list that lags may still show what was before both.
        self._answered.setdefault(name, before)
        tag = script.migration_tag or (step.migration.new_tag if step.migration else None)
        tag = tag or (before.migration_tag if before else None)
        self.scripts[name] = replace(script, migration_tag=tag)
        self.fresh.add(name)
        if wire.carries_op(step):
            self._ops[name] = op
        self._touched |= set(_other_ends(_migrations(step)))

    def listed(self, script: ObservedScript) -> None:
        """Note a script as the script list shows it, which is as we left it."""
        self.scripts[script.name] = script
        self._answered.pop(script.name, None)
        self._ops.pop(script.name, None)
        self._touched.discard(script.name)

    def touched(self, name: str) -> None:
        """Note that one of our steps changed something of a script without uploading it."""
        self._touched.add(name)

    def deleted(self, name: str) -> None:
        """Note that one of our steps deleted a script."""
        self.scripts.pop(name, None)

    def change(self, step: Step, listed: Mapping[str, ObservedScript]) -> str | None:
        """Say what somebody else changed of what `step` rests on; None when nothing."""
        for name in sorted(_rests_on(step)):
            if words := self._difference(name, listed.get(name)):
                return f"Worker {name} was changed by somebody else during the deploy ({words})"
        return None

    def lags(self, step: Step, listed: Mapping[str, ObservedScript]) -> bool:
        """Say whether `step` rests on an upload of this deploy that the list does not show yet."""
        return any(name in self._answered and listed.get(name) == self._answered[name] for name in _rests_on(step))

    def _difference(self, name: str, live: ObservedScript | None) -> str | None:
        """Say in which fact a script differs from how it was left; None when in none."""
        left = self.scripts.get(name)
        if left is None or live is None:
            return None if left is live else "it is gone" if live is None else "it is new"
        known = {
            "etag": (left.etag, live.etag),
            "operation": (self._ops.get(name, op_of(left)), op_of(live)),
            "migration tag": (left.migration_tag, live.migration_tag),
        }
        if name in self._answered:  # the answer of an upload need not hold all that the list has
            known = {fact: pair for fact, pair in known.items() if pair[0] is not None or fact == "migration tag"}
        else:
            known["lifecycle"] = left.lifecycle, live.lifecycle
            known["time of change"] = left.modified_on, live.modified_on
        if name in self._touched:  # see above: such a step may have moved the others
            known = {fact: pair for fact, pair in known.items() if fact in {"operation", "migration tag"}}
        return next((f"{fact} {was} → {now}" for fact, (was, now) in known.items() if was != now), None)


async def first_change(lists: SharedLists, known: KnownScripts, steps: Mapping[int, Step]) -> tuple[int, str] | None:
    """Return the first of `steps` that rests on what somebody else changed by the lists, and what that is.

    Looks several times while the list of scripts lags behind our own uploads.
    """
    found: tuple[int, str] | None = None
    for turn in range(1, LOOKS + 1):
        await lists.wait_before(turn, "waiting for the script list to show our uploads")
        listed = await lists.scripts()
        found = next(((i, words) for i, s in steps.items() if (words := known.change(s, listed))), None)
        if found is None or not known.lags(steps[found[0]], listed):  # a lag looks like somebody else's change
            break
    if found is not None:
        return found
    for name in {name for step in steps.values() for name in _rests_on(step)} & listed.keys():
        known.listed(listed[name])
    # The namespace list is one request a thousand: only what moves or deletes namespaces rests on where they are.
    if not any(map(_moves, steps.values())):
        return None
    namespaces = await lists.namespaces()
    return next(((i, words) for i, s in steps.items() if (words := moved(s, namespaces))), None)


def moved(step: Step, live: Mapping[NamespaceId, ObservedNamespace]) -> str | None:
    """Say which namespace is not where `step` finds it; None when all are."""
    for id_, script, class_name in _found_at(step):
        there = live.get(id_)
        if there is None or (there.script_name, there.class_name) != (script, class_name):
            now = f"is now {there.class_name} of {there.script_name}" if there else "is gone"
            what = f"namespace {short_namespace(id_)} (class {class_name} of {script})"
            return f"{what} was changed by somebody else: it {now}"
    if isinstance(step, DeleteScript):
        hosted = {n.namespace_id for n in live.values() if n.script_name == step.script_name}
        if more := sorted(hosted - set(step.namespace_ids)):
            since = short_namespace(more[0])
            return f"Worker {step.script_name} hosts namespace {since} since, which nobody agreed to lose"
        if gone := sorted(set(step.namespace_ids) - hosted):
            return f"namespace {short_namespace(gone[0])} of Worker {step.script_name} was changed by somebody else"
    return None


def _moves(step: Step) -> bool:
    """Say whether a step moves or deletes namespaces."""
    return isinstance(step, DeleteScript) or any(
        isinstance(c, TransferClass | TransferredAway | DeleteClass) for c in _migrations(step)
    )


def _found_at(step: Step) -> Iterator[tuple[NamespaceId, str, str]]:
    """Return (namespace id, script, class) of what a step moves or deletes, as it finds it."""
    for change in _migrations(step):
        match change:
            case TransferClass():
                yield change.namespace_id, change.from_script, change.from_class
            case TransferredAway() | DeleteClass() if isinstance(step, Upload):
                yield change.namespace_id, step.script_name, change.class_name


def _rests_on(step: Step) -> frozenset[str]:
    """Return the scripts that a step uploads, sets or deletes, and those that it binds or takes something over from."""
    own = () if isinstance(step, Forget) else (step.script_name,)
    return frozenset((*own, *reaches(step), *_other_ends(_migrations(step))))


def _other_ends(changes: Iterable[ClassMigration]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, TransferClass):
            yield change.from_script
        elif isinstance(change, TransferredAway):
            yield change.to_script


def _migrations(step: Step) -> tuple[ClassMigration, ...]:
    return step.migration.class_migrations if isinstance(step, Upload) and step.migration else ()


# --- under an upload, where nothing else guards against it


def unguarded(step: Upload, *, is_ours: bool, existed: bool) -> bool:
    """Say whether only the deployments tell: this session did not upload the script before, and no migration guards it.

    Two sessions that adopt a script, or create one, with plans from the same moment both find it as planned; whoever
    comes second replaces what the first one sent. A script that is new is guarded by the classes that it creates:
    Cloudflare refuses, or says, that they exist.
    """
    return not is_ours and (existed or step.migration is None)


async def check_overwritten(client: Client, intent: Intent, seen: str | None) -> None:
    """Raise Overtaken when a deployment lies between our own and the one `seen` by the plan."""
    if intent.existed and seen is None:  # the plan did not read the deployments: there is nothing to compare with
        return
    try:
        name = intent.script_name
        listed = await until_there(client, name, lambda: client.list_deployments(name), fresh=True)
        found = decode_deployments(listed)
    except (ApiError, NoAnswer, DeployError) as error:
        raise unclear(intent, error) from None
    since = _since(found, seen)
    if len(since) > 1:  # the newest is our own
        raise Overtaken(
            f"this happened, but it overwrote what the plan had not seen: {intent.summary}. Between the plan and it, "
            f"Worker {intent.script_name} was deployed {_by(since[1])} (or the request arrived twice). "
            "Nothing else was sent; plan again and compare."
        )


def _since(found: tuple[ObservedDeployment, ...], seen: str | None) -> tuple[ObservedDeployment, ...]:
    """Return the deployments after the one `seen`; all of them where it is not listed, or there was none."""
    ids = [deployment.id for deployment in found]
    return found[: ids.index(seen)] if seen in ids else found


def _by(deployment: ObservedDeployment) -> str:
    author = f"by {one_line(deployment.author, 100)}" if deployment.author else "by somebody else"
    source = f" with {one_line(deployment.source, 40)}" if deployment.source else ""
    when = f" at {one_line(deployment.created_on, 40)}" if deployment.created_on else ""
    return f"{author}{source}{when} (deployment {short_resource(one_line(deployment.id, 40))})"
