"""Turns live Workers and namespaces into cells to paste: declarations that describe exactly what is live.

A Worker of one JavaScript or Python module becomes a `%%durable worker` cell; one of several modules, or with bindings
that the line has no option for, becomes a Python cell beside its files. Secrets are not readable: they are left out and
kept by every upload.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.declare.check import STABLE_ID
from notebook_do.declare.options import nearest
from notebook_do.declare.settings import OWN_TAGS, setting_problem
from notebook_do.errors import CommandError
from notebook_do.model import (
    OWN_FORMS,
    RESOURCE_TYPES,
    Bindings,
    ClassBinding,
    Json,
    Module,
    ModuleKind,
    Namespace,
    NamespaceBinding,
    ObservedNamespace,
    ObservedScript,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    StableId,
    Worker,
    is_secret,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from notebook_do.model import (
        BindingValue,
        Declaration,
        Observed,
        ScriptBinding,
        Trigger,
        TriggerKind,
        ValueBinding,
    )

_LANGUAGES = {ModuleKind.ESM: "", ModuleKind.PYTHON: " --lang py"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Cells in the order in which to paste them, the files they name, and what a person should know.

    `declarations` are what the cells declare when they run.
    """

    cells: tuple[str, ...]
    declarations: tuple[Declaration, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def import_cells(  # noqa: PLR0913 - what is live, and what is known of it
    observed: Observed,
    scripts: Iterable[str],
    sources: Mapping[str, Sequence[Module]],
    *,
    stable_ids: Mapping[str, str] | None = None,
    taken: Iterable[str] = (),
    worker_ids: Mapping[str, str] | None = None,
) -> Imported:
    """Write the declarations of live scripts.

    `sources` holds the modules of each script, the main one first; `stable_ids` the known stable ID of namespaces by
    namespace id, the others get one from their class name that is not among the `taken`; `worker_ids` the known Worker
    id by script name, the others have the script's name. Raises CommandError for a script that is not live or whose
    settings were not read.
    """
    wanted = sorted(set(scripts))
    live = {s.name: s for s in observed.scripts}
    for name in wanted:
        if name not in live:
            hint = nearest(name, list(live)) if live else "it has none."
            raise CommandError(f"import {name}: no Worker of that name is in the account; {hint}")
        if live[name].bindings is None or not sources.get(name):
            raise CommandError(f"import {name}: its settings or its source could not be read.")
    names = _stable_ids(observed, [live[n] for n in wanted], stable_ids or {}, set(taken))
    cells = [_namespace_cell(names[n], n) for n in sorted(names, key=lambda n: names[n])]
    declarations: list[Declaration] = [_namespace(names[n], n) for n in sorted(names, key=lambda n: names[n])]
    files: dict[str, bytes] = {}
    notes: list[str] = []
    slots = {(n.script_name, n.class_name): stable_id for n, stable_id in names.items()}
    for name in wanted:
        id_ = (worker_ids or {}).get(name, name)
        cell, beside = _worker_cell(id_, live[name], tuple(sources[name]), slots)
        cells.append(cell)
        declarations.append(_worker(id_, live[name], tuple(sources[name]), slots, in_cell=not beside))
        files |= beside
        if live[name].split:
            notes.append(f"Worker {name}: it runs two versions at once (a gradual deployment); this is one of them.")
        if live[name].has_assets:
            notes.append(f"Worker {name}: its static assets are not read; every upload keeps them.")
        notes += _unknown(live[name])
    return Imported(cells=tuple(cells), declarations=tuple(declarations), files=files, notes=tuple(notes))


def _unknown(script: ObservedScript) -> list[str]:
    """Tell of what nobody here knows, and of what no cell can say: it stays as it is."""
    resources = ((b.name, b.value) for b in script.bindings or () if not isinstance(b, ClassBinding))
    entries = ", ".join(f"{name} ({e.get('type', ', '.join(sorted(e)))})" for name, e in script.entries.value.items())
    notes = [f"Worker {script.name}: its `exports` also has {entries}; every upload keeps that."] if entries else []
    return notes + [
        f"Worker {script.name}: binding {name} is of a type that is not known here ({value.type}); it is kept as it is."
        for name, value in resources
        if isinstance(value, Resource) and value.type not in {*RESOURCE_TYPES, *OWN_FORMS}
    ]


def _stable_ids(
    observed: Observed, scripts: list[ObservedScript], known: Mapping[str, str], elsewhere: set[str]
) -> dict[ObservedNamespace, str]:
    """Name every namespace that the scripts host or bind; names of the same class are told apart by their script."""
    hosts = {s.name for s in scripts}
    bound = {
        (b.script_name or s.name, b.class_name)
        for s in scripts
        for b in s.bindings or ()
        if isinstance(b, ClassBinding)
    }
    needed = [n for n in observed.namespaces if n.script_name in hosts or (n.script_name, n.class_name) in bound]
    names: dict[ObservedNamespace, str] = {}
    taken = elsewhere | {known[n.namespace_id] for n in needed if n.namespace_id in known}
    for namespace in sorted(needed, key=lambda n: (n.script_name, n.class_name)):
        stable_id = known.get(namespace.namespace_id)
        if stable_id is None or not STABLE_ID.fullmatch(stable_id):
            stable_id = free_name(_words(namespace.class_name), namespace.namespace_id, taken)
        taken.add(stable_id)
        names[namespace] = stable_id
    return names


def _words(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_$]+", "-", class_name).strip("-").lower() or "namespace"


def free_name(words: str, namespace_id: str, taken: Container[str]) -> str:
    """Give a stable ID that is not taken: the words, or the words with the namespace id behind them."""
    short = words[:64].rstrip("-")
    return short if short not in taken else f"{words[:31].rstrip('-')}-{namespace_id}"[:64]


def _namespace_cell(stable_id: str, namespace: ObservedNamespace) -> str:
    return (
        f"%durable namespace {stable_id} --class {shlex.quote(namespace.class_name)} --script {namespace.script_name} "
        f"--namespace-id {namespace.namespace_id}"
    )


def _namespace(stable_id: str, namespace: ObservedNamespace) -> Namespace:
    return Namespace(
        StableId(stable_id),
        class_name=namespace.class_name,
        script_name=namespace.script_name,
        namespace_id=namespace.namespace_id,
    )


def _worker(
    id_: str,
    script: ObservedScript,
    modules: tuple[Module, ...],
    slots: Mapping[tuple[str, str], str],
    *,
    in_cell: bool,
) -> Worker:
    """Give what the Worker's cell declares."""
    bindings: dict[str, BindingValue] = {}
    for binding in (b for b in script.bindings or () if not is_secret(b)):
        if isinstance(binding, ClassBinding):
            stable_id = StableId(_slot(binding, script.name, slots))
            bindings[binding.name] = NamespaceBinding(stable_id=stable_id)
        else:
            bindings[binding.name] = binding.value
    return Worker(
        id_,
        name=script.name,
        script=modules[0].content.decode() if in_cell else None,
        modules=() if in_cell else modules,
        lang="py" if in_cell and modules[0].kind is ModuleKind.PYTHON else "js",
        bindings=Bindings(id_, bindings),
        compatibility_date=script.compatibility_date,
        compatibility_flags=script.compatibility_flags,
        url=script.url is not False,
        previews=script.previews or None,
        crons=script.crons or (),
        triggers=script.triggers,
        options=_options(script),
    )


def _options(script: ObservedScript) -> Json:
    """Give the live settings as they are declared, the tags among them that a person could have set."""
    found = script.options.value
    if tags := [t for t in script.tags if not t.startswith(OWN_TAGS)]:
        found["tags"] = tags
    return Json({name: value for name, value in found.items() if setting_problem(name, value) is None})


def _slot(binding: ClassBinding, script: str, slots: Mapping[tuple[str, str], str]) -> str:
    """Give the stable ID of what a binding reaches."""
    slot = (binding.script_name or script, binding.class_name)
    if slot not in slots:
        raise CommandError(f"import {script}: binding {binding.name} names {'.'.join(slot)}, which is not live.")
    return slots[slot]


def _worker_cell(
    id_: str, script: ObservedScript, modules: tuple[Module, ...], slots: Mapping[tuple[str, str], str]
) -> tuple[str, dict[str, bytes]]:
    """Give the cell of a Worker, and the files that it reads."""
    bindings = [b for b in script.bindings or () if not is_secret(b)]
    options = [_option(b, script.name, slots) for b in bindings]
    main = modules[0]
    if len(modules) > 1 or main.kind not in _LANGUAGES or None in options or not _is_text(main.content):
        return _python_cell(id_, script, modules, bindings, slots)
    words = [f"%%durable worker {id_} --name {script.name}{_LANGUAGES[main.kind]}"]
    words += [text for text in options if text]
    if script.compatibility_date:
        words.append(f"--compat-date {script.compatibility_date}")
    words += [f"--compat-flag {flag}" for flag in script.compatibility_flags]
    if script.url is False:
        words.append("--no-url")
    words += ["--previews on"] if script.previews else []
    words += [f"--cron {shlex.quote(cron)}" for cron in script.crons or ()]
    words += [f"{_FLAGS[t.kind]} {shlex.quote(_with_settings(t))}" for t in script.triggers]
    for name, value in _options(script).value.items():
        words.append(f"--setting {shlex.quote(f'{name}={Json(value).text}')}")
    return " ".join(words) + "\n" + main.content.decode(), {}


_FLAGS: Mapping[TriggerKind, str] = {"route": "--route", "domain": "--domain", "consumer": "--consumes"}


def _with_settings(trigger: Trigger) -> str:
    """Write what stands behind a trigger's option."""
    return f"{trigger.key}={trigger.settings.text}" if trigger.settings.value else trigger.key


def _trigger_lines(triggers: tuple[Trigger, ...]) -> list[str]:
    """Write the triggers as keyword arguments."""
    listed = {f"{kind}s": [t.key for t in triggers if t.kind == kind] for kind in ("route", "domain")}
    queues = {t.key: t.settings.value for t in triggers if t.kind == "consumer"}
    return [f"    {name}={value!r}," for name, value in {**listed, "consumes": queues}.items() if value]


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return bool(text.strip()) and "\r" not in text and not text.startswith("\ufeff")


def _option(binding: ScriptBinding, script: str, slots: Mapping[tuple[str, str], str]) -> str | None:
    """Write a binding as an option of the line; None when there is no option for it."""
    if isinstance(binding, ClassBinding):
        stable_id = slots.get((binding.script_name or script, binding.class_name))
        return f"--bind {shlex.quote(f'{binding.name}={stable_id}')}" if stable_id else None
    match binding.value:
        case PlainText(text=text) if "\n" not in text:
            return f"--var {shlex.quote(f'{binding.name}={text}')}"
        case Json(text=text):
            return f"--json {shlex.quote(f'{binding.name}={text}')}"
        case ServiceBinding(worker=worker, entrypoint=None, environment=None, props=None):
            return f"--service {shlex.quote(f'{binding.name}={worker}')}"
    return None


# --- Python cells


def _python_cell(
    id_: str,
    script: ObservedScript,
    modules: tuple[Module, ...],
    bindings: list[ScriptBinding],
    slots: Mapping[tuple[str, str], str],
) -> tuple[str, dict[str, bytes]]:
    files = {f"{script.name}/{m.name}": m.content for m in modules}
    lines = ["from pathlib import Path", "", "import notebook_do as nd", "from notebook_do import model", ""]
    lines += ["nd.Worker(", f"    {id_!r},", f"    name={script.name!r},", "    modules=("]
    for module in modules:
        path = f"{script.name}/{module.name}"
        kind = f"model.ModuleKind({module.kind.value!r})"
        lines.append(f"        model.Module(name={module.name!r}, content=Path({path!r}).read_bytes(), kind={kind}),")
    lines += ["    ),", "    bindings={"]
    lines += [f"        {b.name!r}: {_expression(b, script.name, slots)}," for b in bindings]
    lines += ["    },"]
    if script.compatibility_date:
        lines.append(f"    compatibility_date={script.compatibility_date!r},")
    if script.compatibility_flags:
        lines.append(f"    compatibility_flags={script.compatibility_flags!r},")
    if script.url is False:
        lines.append("    url=False,")
    lines += ["    previews=True,"] if script.previews else []
    if script.crons:
        lines.append(f"    crons={script.crons!r},")
    lines += _trigger_lines(script.triggers)
    lines += [f"    {name}={_literal(value)}," for name, value in _options(script).value.items()]
    return "\n".join([*lines, ")"]) + "\n", files


def _expression(binding: ScriptBinding, script: str, slots: Mapping[tuple[str, str], str]) -> str:
    """Write a binding as Python."""
    if isinstance(binding, ClassBinding):
        return f"model.NamespaceBinding(stable_id={_slot(binding, script, slots)!r})"
    return _value_expression(binding)


def _value_expression(binding: ValueBinding) -> str:
    match binding.value:
        case PlainText(text=text):
            return repr(text)
        case Json(text=text):
            return f"nd.Json({_literal(json.loads(text))})"
        case ServiceBinding(worker=worker, entrypoint=entrypoint, environment=environment, props=props):
            told = f", props={_literal(props.value)}" if props else ""
            return f"nd.Service({worker!r}, entrypoint={entrypoint!r}, environment={environment!r}{told})"
        case Resource(type=kind, fields=fields):
            return f"nd.Resource(type={kind!r}, fields=nd.Json({_literal(fields.value)}))"
        case Secret():
            raise AssertionError(f"secret {binding.name} is left out")


def _literal(value: Any) -> str:
    return repr(value)
