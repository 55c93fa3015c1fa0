"""How something is written in the form that a declaration has, and what that form makes easy to mistake."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from notebook_do.declare.making import FIELDS, Kind
from notebook_do.declare.options import line_of, words_of
from notebook_do.display.hiding import hidden
from notebook_do.display.rich import code, joined, rich
from notebook_do.model import Json, Namespace, PlainText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import Worker
    from notebook_do.model.words import DeclaredIn

_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-.$]+")


def form_of(item: Namespace | Worker) -> DeclaredIn:
    """Return how a declaration was written."""
    return item.where.form if item.where else "python"


def binds_namespace(form: DeclaredIn, name: str, stable_id: str) -> str:
    """Return how a binding of a namespace is written."""
    match form:
        case "line":
            return f"--bind {name}={stable_id}"
        case "toml":
            return f'{name} = {{namespace = "{stable_id}"}}'
        case "python":
            return f'"{name}": nd.NamespaceBinding(stable_id="{stable_id}")'
        case "form":
            return f"{name} namespace {stable_id}"
        case _:
            assert_never(form)


def binds_secret(form: DeclaredIn, name: str) -> str:
    """Return how a secret is written whose value is in an environment variable named after it."""
    variable = _WORD_ENDS.sub("_", name).upper().lstrip("_0123456789") or "SECRET"
    match form:
        case "line":
            return f"--secret {name}" if variable == name else f"--secret {name}={variable}"
        case "toml":
            return f'{name} = {{secret = "{variable}"}}'
        case "python":
            return f'"{name}": nd.Secret.from_env("{variable}")'
        case "form":
            return f"{name} secret {variable}"
        case _:
            assert_never(form)


def names_script(form: DeclaredIn, name: str) -> str:
    """Return how the name of a script is written."""
    match form:
        case "line" | "form":
            return f"--name {name}"
        case "toml":
            return f'name = "{name}"'
        case "python":
            return f'name="{name}"'
        case _:
            assert_never(form)


def names_class(form: DeclaredIn, stable_id: str, class_name: str) -> str:
    """Return how a namespace's class is written."""
    match form:
        case "line" | "form":
            return f"%durable namespace {stable_id} --class {class_name}"
        case "toml":
            return f'class_name = "{class_name}" in [namespaces.{stable_id}]'
        case "python":
            return f'nd.DurableObjectNamespace("{stable_id}", class_name="{class_name}")'
        case _:
            assert_never(form)


class TextOfNamespace(NamedTuple):
    """A text binding whose value is the stable ID of a declared namespace, and how that is bound."""

    worker: str
    name: str
    stable_id: str
    binds: str

    @property
    def note(self) -> str:
        """Return what to know of it, in a sentence."""
        said = f"Binding {self.name} of Worker {self.worker} is the text {self.stable_id}"
        return f"{said}, and not the namespace of that name. To bind it: {self.binds}"


def texts_of_namespaces(
    namespaces: Mapping[str, Namespace], workers: Mapping[str, Worker]
) -> Iterator[TextOfNamespace]:
    """Yield the text bindings that may be meant as namespaces: `COUNTERS = "counters"` is a text in TOML."""
    for worker in workers.values():
        for name, value in worker.bindings.items():
            if isinstance(value, PlainText) and value.text in namespaces:
                yield TextOfNamespace(worker.id, name, value.text, binds_namespace(form_of(worker), name, value.text))


# --- the same declared with other values


_LONGEST_LINE = 240
"""Characters of a line that a person still takes over whole; of a longer one only what changes is said."""


def declared_again(item: Namespace | Worker, changes: Mapping[str, Any]) -> str:
    """Return how a thing is declared with other values of some fields, in the form in which it is declared now.

    A value that is the default of its field leaves the field out. No value that is hidden is written.
    """
    kind: Kind = "namespace" if isinstance(item, Namespace) else "worker"
    form = form_of(item)
    if form == "python" and isinstance(item, Namespace):
        return code(_called(replace(item, **changes)))
    if form in {"line", "form"} and (line := _shown_line(kind, replace(item, **changes))):
        return code(f"{'%' if kind == 'namespace' else '%%'}durable {line}")
    place = item.where.stated if item.where else ""
    words = (_changed(kind, form, name, value) for name, value in changes.items())
    return rich(joined(" and ", words), f" for {_noun(kind)} {item.id}", f" ({place})" if place else "")


def _shown_line(kind: Kind, item: Namespace | Worker) -> str:
    """Return the line of a declaration; empty where no line can say it, it is very long, or a value of it is hidden."""
    bindings = {} if isinstance(item, Namespace) else item.bindings
    values = {name: value.text for name, value in bindings.items() if isinstance(value, PlainText | Json)}
    if any(hidden(name, text) for name, text in values.items()):
        return ""
    line = line_of(kind, item) or ""
    return line if len(line) <= _LONGEST_LINE else ""


def _noun(kind: Kind) -> str:
    return "namespace" if kind == "namespace" else "Worker"


def _called(item: Namespace) -> str:
    given = [f"{n}={row.of(item)!r}" for n, row in FIELDS["namespace"].items() if row.is_set(item)]
    return f"nd.DurableObjectNamespace({', '.join((repr(str(item.id)), *given))})".replace("'", '"')


def _changed(kind: Kind, form: DeclaredIn, name: str, value: Any) -> str:
    row = FIELDS[kind][name]
    if value == row.default:
        option = row.flag.name if row.flag and form in {"line", "form"} else name
        return rich("leave out ", code(option))
    match form:
        case "line" | "form":
            return rich("write ", code(" ".join(words_of(row, value))))
        case "toml":
            return rich("write ", code(f"{name} = {json.dumps(value)}"))
        case "python":
            return rich("write ", code(f"{name}={json.dumps(value) if isinstance(value, str) else value!r}"))
        case _:
            assert_never(form)
