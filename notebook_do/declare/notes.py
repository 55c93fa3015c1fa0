"""How something is written in the form that a declaration has, and what that form makes easy to mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, assert_never

from notebook_do.model import PlainText

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
