"""Turns live Workers and namespaces into cells to paste: declarations that describe exactly what is live.

A Worker of one JavaScript or Python module becomes a `%%durable worker` cell; one of several modules, or with bindings
that the line has no option for, becomes a Python cell beside its files. Secrets are not readable: they are left out and
kept by every upload.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from inspect import signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.declare.making import STABLE_ID, worker_of
from notebook_do.declare.notes import plainly
from notebook_do.declare.options import line_of
from notebook_do.errors import CommandError, DeclarationError, nearest
from notebook_do.model import (
    BINDING_TYPES,
    WORKER_FIELDS,
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
    SharedBinding,
    StableId,
    Worker,
    is_secret,
    resources,
    setting_problem,
)
from notebook_do.model.settings import OWN_TAGS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from notebook_do.model import (
        BindingValue,
        Declaration,
        Field,
        Inspect,
        Observed,
    )

_LANGUAGES = {ModuleKind.ESM: "js", ModuleKind.PYTHON: "py"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Cells in the order in which to paste them, the files they name, and what a person should know.

    `declarations` are what the cells declare when they run, `built` what the build commands of a project said.
    """

    cells: tuple[str, ...]
    declarations: tuple[Declaration, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    built: tuple[str, ...] = ()


END_OF_CELLS = "# --- end of the cells ---"
"""What stands below the last of `labelled` cells."""


def labelled(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Return each cell below the line that says where it begins: a comment, harmless where it is copied too."""
    return [(f"# --- cell {n} of {len(cells)} ---", cell.strip("\n")) for n, cell in enumerate(cells, 1)]


def import_cells(  # noqa: PLR0913 - what is live, and what is known of it
    observed: Observed,
    scripts: Iterable[str],
    sources: Mapping[str, Sequence[Module]],
    *,
    stable_ids: Mapping[str, str] | None = None,
    taken: Iterable[str] = (),
    worker_ids: Mapping[str, str] | None = None,
    source: str | None = None,
    inspects: Mapping[tuple[str, str], Inspect] = MappingProxyType({}),
) -> Imported:
    """Write the declarations of live scripts.

    `sources` holds the modules of each script, the main one first; `stable_ids` the known stable ID of namespaces by
    namespace id, the others get one from their class name that is not among the `taken`; `worker_ids` the known Worker
    id by script name, the others have the script's name. `source` is the file that the only script is made of,
    `inspects` how the objects of a class (script, name) can be asked. Raises CommandError for a script that is not live
    or whose settings were not read.
    """
    wanted = sorted(set(scripts))
    live = {s.name: s for s in observed.scripts}
    for name in wanted:
        if name not in live:
            hint = nearest(name, list(live)) if live else "it has none."
            raise CommandError(f"import {name}: no Worker of that name is in the account; {hint}")
        # A cell without them would not say what is live.
        if live[name].bindings is None or not sources.get(name):
            raise CommandError(f"import {name}: its settings or its source could not be read.")
    names = _stable_ids(observed, [live[n] for n in wanted], stable_ids or {}, set(taken))
    namespaces = [_namespace(names[n], n, inspects) for n in sorted(names, key=lambda n: names[n])]
    cells = [f"%durable {line_of('namespace', item)}" for item in namespaces]
    declarations: list[Declaration] = [*namespaces]
    files: dict[str, bytes] = {}
    notes: list[str] = []
    slots = {(n.script_name, n.class_name): stable_id for n, stable_id in names.items()}
    for name in wanted:
        id_ = (worker_ids or {}).get(name, name)
        worker, cell, beside = _worker_cell(id_, live[name], tuple(sources[name]), slots, source)
        cells.append(cell)
        declarations.append(worker)
        files |= beside
        if live[name].split:
            notes.append(f"Worker {name}: it runs two versions at once (a gradual deployment); this is one of them.")
        if live[name].has_assets:
            notes.append(f"Worker {name}: its static assets are not read; every upload keeps them.")
        notes += _unknown(live[name])
    return Imported(cells=tuple(cells), declarations=tuple(declarations), files=files, notes=tuple(notes))


def _unknown(script: ObservedScript) -> list[str]:
    """Write a note of what nobody here knows, and of what no cell can say: it stays as it is."""
    resources = ((b.name, b.value) for b in script.bindings or () if not isinstance(b, ClassBinding))
    entries = ", ".join(f"{name} ({e.get('type', ', '.join(sorted(e)))})" for name, e in script.entries.value.items())
    notes = [f"Worker {script.name}: its `exports` also has {entries}; every upload keeps that."] if entries else []
    return notes + [
        f"Worker {script.name}: binding {name} is of a type that is not known here ({value.type}); it is kept as it is."
        for name, value in resources
        if isinstance(value, Resource) and not _is_known(value.type)
    ]


def _stable_ids(
    observed: Observed, scripts: list[ObservedScript], known: Mapping[str, str], elsewhere: set[str]
) -> dict[ObservedNamespace, str]:
    """Name every namespace that the scripts host or bind: as it is known, else by its class name.

    Sorted by script and class, so that the same account gets the same names each time.
    """
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
        # A known one may have been written by another tool, in letters that no stable ID here has.
        stable_id = known.get(namespace.namespace_id)
        if stable_id is None or not STABLE_ID.fullmatch(stable_id):
            stable_id = free_name(class_words(namespace.class_name), namespace.namespace_id, taken)
        taken.add(stable_id)
        names[namespace] = stable_id
    return names


def class_words(class_name: str) -> str:
    """Return a class name in small words, as a stable ID is: `ChatRoom` as `chat-room`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_$]+", "-", class_name).strip("-").lower() or "namespace"


def free_name(words: str, namespace_id: str, taken: Container[str]) -> str:
    """Return a stable ID that is not taken: the words, or the words with the namespace id behind them."""
    # Of the id nothing is cut (31 + 1 + 32 characters): no other namespace has it, so this name is never taken.
    short = words[:64].rstrip("-")
    return short if short not in taken else f"{words[:31].rstrip('-')}-{namespace_id}"[:64]


def _namespace(stable_id: str, namespace: ObservedNamespace, inspects: Mapping[tuple[str, str], Inspect]) -> Namespace:
    return Namespace(
        StableId(stable_id),
        class_name=namespace.class_name,
        script_name=namespace.script_name,
        # By its id: pasted into another session, the line means this namespace, whatever its class is called then.
        namespace_id=namespace.namespace_id,
        inspect=inspects.get((namespace.script_name, namespace.class_name), False),
    )


def _is_known(type_: str) -> bool:
    row = BINDING_TYPES.get(type_)
    return row is not None and not row.only_wrangler


def _worker_cell(
    id_: str,
    script: ObservedScript,
    modules: tuple[Module, ...],
    slots: Mapping[tuple[str, str], str],
    source: str | None,
) -> tuple[Worker, str, dict[str, bytes]]:
    """Return what the Worker's cell declares, the cell, and the files that it reads."""
    if source is not None:
        worker = _worker(id_, script, slots, entrypoint=source)
        return worker, worker_cell(worker), {}
    main = modules[0]
    if len(modules) == 1 and main.kind in _LANGUAGES and _is_text(main.content):
        worker = _worker(id_, script, slots, script=main.content.decode(), lang=_LANGUAGES[main.kind])
        if line := line_of("worker", worker):
            return worker, f"%%durable {line}{plainly('line', worker)}\n{worker.script}", {}
    worker = _worker(id_, script, slots, modules=list(modules))
    files = {f"{script.name}/{m.name}": m.content for m in modules}
    return worker, _python_cell(worker, script.name), files


def _worker(id_: str, live: ObservedScript, slots: Mapping[tuple[str, str], str], **source: Any) -> Worker:
    """Return what is live of a Worker as it is declared, with its source in one of the ways to give it."""
    bindings: dict[str, BindingValue] = {}
    for binding in (b for b in live.bindings or () if not is_secret(b)):
        if isinstance(binding, ClassBinding):
            bindings[binding.name] = NamespaceBinding(stable_id=StableId(_slot(binding, live.name, slots)))
        else:
            bindings[binding.name] = binding.value
    given = {row.name: value for row in _LIVE if (value := _declared(row, getattr(live, row.name))) is not None}
    # Always the name: without one the stage would be added to the id, and that is another Worker.
    given |= {"name": live.name, "bindings": bindings, **source}
    return replace(worker_of(id_, given, None, settings=_options(live)), triggers=live.triggers)


_LIVE = [row for row in WORKER_FIELDS.values() if row.observed]


def _declared(row: Field, value: Any) -> Any:
    """Return a live value as it is declared; None where nothing has to be declared for it to stay."""
    if isinstance(value, tuple):
        return list(value)
    return None if value is False and row.default is None else value


def _options(script: ObservedScript) -> dict[str, Any]:
    """Return the live settings as they are declared, the tags among them that a person could have set."""
    found: dict[str, Any] = script.options.value
    if tags := [t for t in script.tags if not t.startswith(OWN_TAGS)]:
        found["tags"] = tags
    # What no declaration can say is left out, and stays: every upload repeats it as it is live.
    return {name: value for name, value in found.items() if setting_problem(name, value) is None}


def _slot(binding: ClassBinding, script: str, slots: Mapping[tuple[str, str], str]) -> str:
    """Return the stable ID of the namespace that a binding reaches."""
    slot = (binding.script_name or script, binding.class_name)
    if slot not in slots:
        raise CommandError(f"import {script}: binding {binding.name} names {'.'.join(slot)}, which is not live.")
    return slots[slot]


def _is_text(content: bytes) -> bool:
    """Say whether a cell can hold a source so that it comes out of it byte for byte."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return bool(text.strip()) and "\r" not in text and not text.startswith("\ufeff")


# --- Python cells: public names only, so that they keep working


def worker_cell(worker: Worker) -> str:
    """Return the cell of a Worker whose source is a file: a line, or Python where no line can say all of it."""
    line = line_of("worker", worker)
    return f"%durable {line}{plainly('line', worker)}" if line else _python_cell(worker, "")


def _python_cell(worker: Worker, folder: str) -> str:
    """Write the cell of a Worker that no line of options can declare: every field that is set, in the table's order."""
    files = ["from pathlib import Path", ""] if worker.modules else []
    said = [comment.strip()] if (comment := plainly("python", worker)) else []
    lines = [*said, *files, "import notebook_do as nd", "", "nd.Worker(", f"    {worker.id!r},"]
    for row in WORKER_FIELDS.values():
        match row.takes:
            case "modules" if worker.modules:
                lines += [f"    {row.name}=(", *(f"        {_module(m, folder)}," for m in worker.modules), "    ),"]
            case "bindings" if worker.bindings:
                bound = (f"        {name!r}: {_expression(value)}," for name, value in worker.bindings.items())
                lines += [f"    {row.name}={{", *bound, "    },"]
            case _ if row.is_set(worker):
                lines.append(f"    {row.name}={row.of(worker)!r},")
    return "\n".join([*lines, ")"]) + "\n"


def _module(module: Module, folder: str) -> str:
    path = f"{folder}/{module.name}"
    return f"nd.Module(name={module.name!r}, content=Path({path!r}).read_bytes(), kind={module.kind.value!r})"


def _expression(value: BindingValue) -> str:
    """Write a binding as Python."""
    match value:
        case NamespaceBinding():
            return f"nd.NamespaceBinding(stable_id={value.stable_id!r})"
        case PlainText():
            return repr(value.text)
        case Json():
            return f"nd.Json({value.value!r})"
        case ServiceBinding(worker=worker, entrypoint=entrypoint, environment=environment, props=props):
            given = f", props={props.value!r}" if props else ""
            return f"nd.Service({worker!r}, entrypoint={entrypoint!r}, environment={environment!r}{given})"
        case Resource():
            return _constructed(value) or f"nd.Resource(type={value.type!r}, fields=nd.Json({value.fields.value!r}))"
        case Secret(source=source, key=key):
            return f"nd.Secret.from_{source}({key!r})"
        case SharedBinding():
            raise AssertionError("no imported binding is one")
        case _:
            assert_never(value)


def _constructed(value: Resource) -> str | None:
    """Write a resource as its type's own constructor; None where there is none, or it cannot say all of it."""
    row = BINDING_TYPES.get(value.type)
    make = getattr(resources, row.constructor, None) if row else None
    if row is None or make is None:
        return None
    fields = {name: inner for name, inner in value.fields.value.items() if not isinstance(inner, dict)}
    tables = (inner for inner in value.fields.value.values() if isinstance(inner, dict))
    flat = fields | {name: inner for table in tables for name, inner in table.items()}
    parameters = signature(make).parameters.values()
    given = [(p, flat[p.name]) for p in parameters if p.name in flat]
    try:
        same = make(**{p.name: one for p, one in given}) == value
    except (TypeError, DeclarationError):  # it needs what these fields do not have
        return None
    words = (repr(one) if p.kind is not p.KEYWORD_ONLY else f"{p.name}={one!r}" for p, one in given)
    return f"nd.{row.constructor}({', '.join(words)})" if same else None
