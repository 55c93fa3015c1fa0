"""What the view of a plan says of a change under its heads: short words, with the values before and after.

`Change.detail` is a sentence that stands alone, in a DataFrame or an error; here the Worker and the thing are named by
the row already. Values go through `display.hiding`; a secret has only where it comes from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.display.formats import clipped_value, counted, short_resource, size
from notebook_do.display.hiding import CHANGED, hidden, json_changes, json_line, shown_change, shown_json, shown_value
from notebook_do.display.rich import Rich, code, joined, rich
from notebook_do.model import (
    ClassBinding,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    ValueBinding,
    binding_word,
)
from notebook_do.plan.described import details_of, kind_and_target
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from notebook_do.model import Desired, DesiredWorker, Recorded, ScriptBinding
    from notebook_do.model.settings import StaticAssets
    from notebook_do.plan.facts import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledNames:
    """What people call scripts and live namespaces: Worker ids by script name, stable IDs by namespace id."""

    workers: Mapping[str, str]
    namespaces: Mapping[str, str]

    def worker(self, script: str) -> str:
        """Return the id of the Worker of a script; of one that is not ours its own name."""
        return self.workers.get(script, script)


def known_in(desired: Desired, recorded: Recorded) -> CalledNames:
    """Return what is known of the names: what is declared, and else what is recorded."""
    listed = [*((w.script_name, w.id) for w in recorded.workers), *((w.script_name, w.id) for w in desired.workers)]
    ids = {str(n.namespace_id): str(n.stable_id) for n in recorded.namespaces if n.namespace_id}
    ids |= {str(n.namespace_id): str(n.stable_id) for n in desired.namespaces if n.namespace_id}
    return CalledNames(workers=dict(listed), namespaces=ids)


# --- Workers and their code


def worker_created(worker: DesiredWorker) -> Rich:
    """Say what a new Worker is made of."""
    if not worker.source:
        return rich("is created")
    return rich("is created from " if worker.source.startswith("file ") else "is created with ", worker.source)


WITH_URL = "is deleted with its URL"
"""What happens to a Worker that is destroyed, where its address is known to be open."""

# --- bindings


def bound(binding: ScriptBinding, script: str, known: CalledNames, *, whole: bool = False) -> Rich:
    """Return what a binding of `script` is bound to; a long value is cut unless it is wanted `whole`."""
    if isinstance(binding, ClassBinding):
        return _class(binding, script, known)
    match binding.value:
        case PlainText(text=text):
            return _cut(shown_value(binding.name, text), whole=whole)
        case Json() as value:
            return _cut(shown_value(binding.name, value.value), whole=whole)
        case Secret() as secret:
            return rich("from ", secret_source(secret))
        case ServiceBinding() | Resource():
            return _reached(binding, known, whole=whole)


def _cut(shown: Rich, *, whole: bool) -> Rich:
    parts = () if whole else shown.parts
    return code(clipped_value(shown)) if len(parts) == 1 and parts[0].look == "code" else shown


def _class(binding: ClassBinding, script: str, known: CalledNames) -> Rich:
    stable_id = binding.stable_id or known.namespaces.get(str(binding.namespace_id))
    host = binding.script_name or script
    environment = f" ({binding.environment})" if binding.environment not in {None, "production"} else ""
    if stable_id:
        elsewhere = f" of Worker {known.worker(host)}" if host != script else ""
        return rich(f"namespace {stable_id}{elsewhere}{environment}")
    return rich("class ", code(binding.class_name), f" of {known.worker(host)}", environment)


def _reached(binding: ValueBinding, known: CalledNames, *, whole: bool) -> Rich:
    """Return the kind of a service or a resource, its name, and what else tells it from another one."""
    kind, target = kind_and_target(binding)
    service = isinstance(binding.value, ServiceBinding)
    name = known.worker(target) if service else target if whole else short_resource(target)
    more = [f"{field.replace('_', ' ')} {_detail(value)}" for field, value in details_of(binding)]
    named = rich(" ", name if service else code(name)) if name else rich()
    return rich("service: " if service else "", binding_word(kind), named, f" ({', '.join(more)})" if more else "")


def _detail(value: str) -> str:
    """Return what is shown of a field of a binding: an id as it is; of a table in it each key is a name."""
    try:
        return json_line(shown_json("", json.loads(value)))
    except ValueError:
        return value


_SOURCES = {"env": "environment variable", "keyring": "keyring entry", "prompt": "the answer to the prompt"}


def secret_source(secret: Secret) -> Rich:
    """Return where the value of a secret comes from."""
    return rich(f"{_SOURCES.get(secret.source, secret.source)} ", code(secret.key))


def bound_change(was: ScriptBinding | None, now: ScriptBinding | None, script: str, known: CalledNames) -> Rich:
    """Say what a binding was and is bound to; of JSON only what differs."""
    if was is None or now is None:
        shown = bound(now or was, script, known) if now or was else rich()  # type: ignore[arg-type]
        return shown if now else rich("was ", shown)
    if isinstance(was, ClassBinding) and isinstance(now, ClassBinding):
        follows = now.stable_id is not None and known.namespaces.get(str(was.namespace_id)) == now.stable_id
        places = [(b.script_name or script, b.class_name) for b in (was, now)]
        if follows and places[0] != places[1]:
            verb = "rename" if places[0][0] == places[1][0] else "transfer"
            return rich(say("row-follows", verb, stable_id=now.stable_id))
    if isinstance(was, ValueBinding) and isinstance(now, ValueBinding):
        match was.value, now.value:
            case Json() as before, Json() as after:
                return json_changes(now.name, before.value, after.value)
            case PlainText(text=before), PlainText(text=after) if hidden(now.name, before) and hidden(now.name, after):
                return rich(CHANGED)
    return rich(bound(was, script, known), " → ", bound(now, script, known))


def bound_texts(
    was: ScriptBinding | None, now: ScriptBinding | None, script: str, known: CalledNames
) -> tuple[str, str]:
    """Return `before` and `after` of a binding's row: the values whole, in plain words where they are hidden."""
    before = str(bound(was, script, known, whole=True)) if was else ""
    after = str(bound(now, script, known, whole=True)) if now else ""
    if isinstance(was, ValueBinding) and isinstance(now, ValueBinding):
        match was.value, now.value:
            case PlainText(text=old), PlainText(text=new):
                before, after = shown_change(now.name, old, new)
            case Json() as old_json, Json() as new_json if hidden(now.name, old_json.value):
                before, after = shown_change(now.name, old_json.value, new_json.value)
    return before, after


def bound_secret(binding: ScriptBinding) -> Rich:
    """Return where the value of a declared secret comes from."""
    value = binding.value if isinstance(binding, ValueBinding) else None
    return secret_source(value) if isinstance(value, Secret) else rich()


# --- settings, crons, assets


def setting_change(name: str, before: str, after: str) -> Rich:
    """Say what a setting was and is; both are JSON, or plain text, and empty where it is not set."""
    was, now = _value(before), _value(after)
    words = _switch(was), _switch(now)
    if all(words):
        return rich(" → ".join(words))
    if isinstance(was, dict) and isinstance(now, dict):
        return json_changes(name, was, now)
    if not before or not after:
        shown = _cut(shown_value(name, now if after else was), whole=False)
        return shown if after else rich("was ", shown)
    return rich(_cut(shown_value(name, was), whole=False), " → ", _cut(shown_value(name, now), whole=False))


def setting_texts(name: str, before: str, after: str) -> dict[str, str]:
    """Return `before` and `after` of a setting's row."""
    shown = [str(shown_value(name, _value(text))) if text else "" for text in (before, after)]
    return {"before": shown[0], "after": shown[1]}


def _value(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _switch(value: Any) -> str:
    """Return `on` or `off` for a setting that is nothing else."""
    if value in (None, False, {"enabled": False}):
        return "off"
    return "on" if value is True or value == {"enabled": True} else ""


def lists_change(before: Sequence[str], after: Sequence[str]) -> Rich:
    """Say what a list was and is, as cron triggers are replaced."""
    was, now = (joined(", ", map(code, items)) for items in (before, after))
    return rich(was, " → ", now) if was and now else now or rich("was ", was)


def assets_sent(assets: StaticAssets) -> Rich:
    """Say how many static assets there are, and how large they are."""
    return rich(f"{counted(len(assets.files), 'file')}, {size(sum(f.size for f in assets.files))}")


# --- namespaces


def namespace_created(class_name: str, storage: str) -> Rich:
    """Say how a new namespace begins."""
    return rich("starts empty: class ", code(class_name), f", {'key-value' if storage == 'kv' else 'SQLite'} storage")


def namespace_moved(was: Slot, now: Slot, namespace_id: str, known: CalledNames) -> Rich:
    """Say where a namespace goes, in its Worker or to another one, and that its objects stay."""
    steps = []
    if was.script != now.script:
        steps.append(rich(f"Worker {known.worker(was.script)} → {known.worker(now.script)}"))
    if was.class_name != now.class_name:
        steps.append(rich("class ", code(was.class_name), " → ", code(now.class_name)))
    return rich(joined(", ", steps), "; its objects stay, namespace id ", code(namespace_id))


def namespace_destroyed(class_name: str, worker: str, namespace_id: str) -> Rich:
    """Say which namespace is destroyed; how many objects go with it stands above the table."""
    return rich("class ", code(class_name), f" of {worker}, namespace id ", code(namespace_id), "; cannot be undone")
