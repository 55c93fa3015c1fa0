"""Tells what somebody else changed while a deploy is under way: the scripts as our own steps left them, and live.

A plan is compared with what is live before its first step; what rests on earlier steps is compared again before it is
sent. Whether setting an address, cron triggers or tags moves a script's etag or time of change is in no document, so
after such a step of ours these two tell nothing until the script was listed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.deploy.order import reaches
from notebook_do.deploy.send import LOOKS, backoff
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.model import DeleteClass, TransferClass, TransferredAway
from notebook_do.model.steps import DeleteScript, Forget, Upload
from notebook_do.plan.namespaces.marks import op_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import ClassMigration, NamespaceId, ObservedNamespace, ObservedScript
    from notebook_do.model.steps import Step


def must_be_compared(step: Step) -> bool:
    """Say whether a step replaces or deletes what somebody else may have changed; settings are set as they are."""
    return isinstance(step, Upload | DeleteScript)


def moves(step: Step) -> bool:
    """Say whether a step moves or deletes namespaces."""
    return isinstance(step, DeleteScript) or any(
        isinstance(c, TransferClass | TransferredAway | DeleteClass) for c in _migrations(step)
    )


@dataclass(slots=True, kw_only=True)
class Left:
    """The scripts as they were seen at the start and as our own steps left them since."""

    scripts: dict[str, ObservedScript]
    fresh: set[str] = field(default_factory=set)
    """Those that we uploaded: parts of Cloudflare may not know them yet."""
    _answered: dict[str, ObservedScript | None] = field(default_factory=dict)
    """Scripts that we uploaded and did not list since, with what was live before."""
    _ops: dict[str, str] = field(default_factory=dict)
    """The operation that their tags must show."""
    _set: set[str] = field(default_factory=set)
    """Scripts of which we changed something else since they were listed."""

    def uploaded(self, step: Upload, script: ObservedScript, op: str) -> None:
        """Note the script that an upload of ours answered; what it moved changed the other script too."""
        name = step.script_name
        before = self.scripts.get(name)
        self._answered.setdefault(name, before)
        tag = script.migration_tag or (step.migration.new_tag if step.migration else None)
        tag = tag or (before.migration_tag if before else None)
        self.scripts[name] = replace(script, migration_tag=tag)
        self.fresh.add(name)
        if wire.carries_op(step):
            self._ops[name] = op
        self._set |= set(_other_ends(_migrations(step)))

    def seen(self, script: ObservedScript) -> None:
        """Note a script as it is listed, which is as we left it."""
        self.scripts[script.name] = script
        self._answered.pop(script.name, None)
        self._ops.pop(script.name, None)
        self._set.discard(script.name)

    def set(self, name: str) -> None:
        """Note that a step of ours set something else of a script."""
        self._set.add(name)

    def deleted(self, name: str) -> None:
        """Note that a step of ours deleted a script."""
        self.scripts.pop(name, None)

    def change(self, step: Step, listed: Mapping[str, ObservedScript]) -> str | None:
        """Say what somebody else changed of what `step` rests on; None when nothing."""
        for name in sorted(_rests_on(step)):
            if words := self._difference(name, listed.get(name)):
                return f"script {name} was changed by somebody else during the deploy ({words})"
        return None

    def lags(self, step: Step, listed: Mapping[str, ObservedScript]) -> bool:
        """Say whether the list does not show an upload of ours yet that `step` rests on."""
        return any(name in self._answered and listed.get(name) == self._answered[name] for name in _rests_on(step))

    def _difference(self, name: str, live: ObservedScript | None) -> str | None:
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
        if name in self._set:
            known = {fact: pair for fact, pair in known.items() if fact in {"operation", "migration tag"}}
        return next((f"{fact} {was} → {now}" for fact, (was, now) in known.items() if was != now), None)


async def first_change(client: Client, left: Left, steps: Mapping[int, Step]) -> tuple[int, str] | None:
    """Read the lists anew and return the first of `steps` that rests on what somebody else changed, and what that is.

    Looks several times while the list of scripts lags behind our own uploads.
    """
    found: tuple[int, str] | None = None
    for turn in range(1, LOOKS + 1):
        if turn > 1:
            await client.pace.wait(backoff(turn), "waiting for the script list to show our uploads")
        listed = await observe_scripts(client)
        found = next(((i, words) for i, s in steps.items() if (words := left.change(s, listed))), None)
        if found is None or not left.lags(steps[found[0]], listed):
            break
    if found is not None:
        return found
    for name in {name for step in steps.values() for name in _rests_on(step)} & listed.keys():
        left.seen(listed[name])
    if not any(map(moves, steps.values())):
        return None
    namespaces = await observe_namespaces(client)
    return next(((i, words) for i, s in steps.items() if (words := moved(s, namespaces))), None)


def moved(step: Step, live: Mapping[NamespaceId, ObservedNamespace]) -> str | None:
    """Say which namespace is not where `step` finds it; None when all are."""
    for id_, script, class_name in _found_at(step):
        there = live.get(id_)
        if there is None or (there.script_name, there.class_name) != (script, class_name):
            now = f"is now {there.class_name} of {there.script_name}" if there else "is gone"
            return f"namespace {id_} (class {class_name} of {script}) was changed by somebody else: it {now}"
    if isinstance(step, DeleteScript):
        hosted = {n.namespace_id for n in live.values() if n.script_name == step.script_name}
        if more := sorted(hosted - set(step.namespace_ids)):
            return f"script {step.script_name} hosts namespace {more[0]} since, which nobody agreed to lose"
        if gone := sorted(set(step.namespace_ids) - hosted):
            return f"namespace {gone[0]} of script {step.script_name} was changed by somebody else"
    return None


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
