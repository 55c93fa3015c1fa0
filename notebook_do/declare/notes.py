"""How something is written in the form that a declaration has, and what that form makes easy to mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, assert_never

from notebook_do.display.formats import listed
from notebook_do.display.hiding import hidden, shown_json
from notebook_do.model import Json, PlainText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import Namespace, Worker
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


def hidden_values(worker: Worker) -> list[str]:
    """Return the plain bindings whose values are not shown: by their names or shapes they are secrets."""
    plain = ((name, value) for name, value in worker.bindings.items() if isinstance(value, PlainText))
    return [name for name, value in plain if hidden(name, value.text)]


def plainly(form: DeclaredIn, worker: Worker) -> str:
    """Return a comment on the values in a cell that are hidden elsewhere; empty where there are none.

    They are plain text or JSON where they are live, or in a project: a cell without them would declare something else.
    """
    texts = hidden_values(worker)
    tables = ((name, value.value) for name, value in worker.bindings.items() if isinstance(value, Json))
    names = [*texts, *(name for name, value in tables if shown_json(name, value) is not value)]
    if not names:
        return ""
    kept = "is plain text, so its value stands" if len(names) == 1 else "are plain text, so their values stand"
    instead = f"; as a secret: {' '.join(binds_secret(form, name) for name in texts)}" if texts else ""
    return f"  # {listed(names)} {kept} here{instead}"


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
