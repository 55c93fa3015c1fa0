"""Resolves names between declarations: who hosts a namespace, what a shared binding is, what a script is called.

A namespace is hosted by the Worker that its `script_name` names, by Worker name or else by Worker id; without one, by
the only Worker that binds it directly. What cannot be resolved is an error that names both sides; nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, assert_never

from notebook_do.declare.notes import binds_namespace, form_of
from notebook_do.errors import DeclarationError, nearest
from notebook_do.model import (
    ClassBinding,
    Json,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    SharedBinding,
    ValueBinding,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import BindingValue, Namespace, ScriptBinding, Where, Worker

_SCRIPT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The script that hosts a namespace; `worker` is its Worker id, None when it is not declared here."""

    script_name: str
    worker: str | None


def default_script_name(worker: Worker, stage: str) -> str:
    """Return a Worker's script name: its `name`, or its id in lower case, with `-<stage>` but for production."""
    if worker.name is not None:
        return worker.name
    # A script name is part of a host name, where neither _ nor . nor capitals may stand.
    plain = re.sub(r"[_.]", "-", worker.id.lower())
    return plain if stage == "production" else f"{plain}-{stage.lower().replace('_', '-')}"


def declaring_line(stable_id: str, class_name: str = "") -> str:
    """Return the line that declares a namespace; where its class is not known, one that is called like its ID."""
    likely = "".join(part[:1].upper() + part[1:] for part in re.split(r"[_-]", stable_id))
    return f"%durable namespace {stable_id} --class {class_name or likely}"


def check_script_name(name: str, what: str, where: Where | None, *, url: bool) -> None:
    """Raise DeclarationError unless `name` can be a script's name, and a host name when it has a URL."""
    if not _SCRIPT_NAME.fullmatch(name):
        raise _wrong(
            where,
            f"{what}: name {name!r} must be 1 to 63 lower-case letters, digits or -, beginning with a letter or digit.",
        )
    # The name is a label of the host name NAME.SUBDOMAIN.workers.dev, and DNS allows no dash at its end.
    if url and name.endswith("-"):
        raise _wrong(
            where, f"{what}: name {name!r} ends with -, which no workers.dev address can; drop it, or set url=False."
        )


class Hosts:
    """The names of one set of declarations, checked against each other."""

    def __init__(
        self,
        namespaces: Mapping[str, Namespace],
        workers: Mapping[str, Worker],
        stage: str,
        destroyed: frozenset[str] = frozenset(),
    ) -> None:
        self.namespaces, self.workers, self.destroyed = namespaces, workers, destroyed
        self.script_of = {id_: default_script_name(workers[id_], stage) for id_ in sorted(workers)}
        self._worker_of: dict[str, str] = {}
        for id_, script in self.script_of.items():
            worker = workers[id_]
            check_script_name(script, f"Worker {id_}", worker.where, url=worker.url)
            other = self._worker_of.setdefault(script, id_)
            if other != id_:
                raise _wrong(
                    worker.where, f"Workers {other} and {id_} are both called {script}; give one another name."
                )
        self._binders: dict[str, list[str]] = {}
        self._bindings = {id_: self._resolved(workers[id_]) for id_ in sorted(workers)}
        self._hosts = {id_: self._host(namespaces[id_]) for id_ in sorted(namespaces)}
        self._check_together()

    def script_named(self, name: str) -> str:
        """Return the script that `name` means: a declared Worker's name, else a declared Worker's id, else itself."""
        # The name first: it is what Cloudflare knows, and an id may be the name of another Worker.
        return name if name in self._worker_of else self.script_of.get(name, name)

    def host_of(self, namespace: Namespace) -> Host:
        """Return the host of a declared namespace."""
        return self._hosts[namespace.id]

    def bindings_of(self, worker: Worker) -> tuple[ScriptBinding, ...]:
        """Return the Worker's bindings with every name resolved, sorted by binding name."""
        return tuple(self._script_binding(worker, name, value) for name, value in self._bindings[worker.id].items())

    def _resolved(self, worker: Worker) -> dict[str, BindingValue]:
        """Follow shared bindings to what they share, and note who binds which namespace directly."""
        resolved: dict[str, BindingValue] = {}
        for name, declared in worker.bindings.items():
            value = self._follow(worker, name, declared, ())
            if isinstance(value, NamespaceBinding):
                if value.stable_id not in self.namespaces:
                    raise self._unknown_namespace(worker, name, value.stable_id)
                # A shared binding reaches the namespace through its host and is no claim to host it.
                if value.through is None:
                    self._binders.setdefault(value.stable_id, []).append(worker.id)
            resolved[name] = value
        return resolved

    def _follow(self, worker: Worker, name: str, value: BindingValue, passed: tuple[str, ...]) -> BindingValue:
        if not isinstance(value, SharedBinding):
            return value
        source = f"{value.worker}.{value.name}"
        if source in passed:
            raise _wrong(
                worker.where,
                f"Worker {worker.id}: binding {name} is shared in a circle: {' -> '.join((*passed, source))}.",
            )
        owner = self.workers.get(value.worker)
        if owner is None:
            # `worker.bindings.NAME` carries what it is: the Worker of an earlier cell need not be declared any more.
            if value.value is not None:
                return self._through(value.worker, value.value)
            hint = nearest(value.worker, sorted(self.workers))
            raise _wrong(
                worker.where,
                f"Worker {worker.id}: binding {name} is shared from Worker {value.worker}, "
                f"which is not declared; run its cell. {hint[:1].upper()}{hint[1:]}",
            )
        if value.name not in owner.bindings:
            hint = nearest(value.name, list(owner.bindings)) if len(owner.bindings) else "it has none."
            raise _wrong(
                worker.where,
                f"Worker {worker.id}: binding {name}: Worker {owner.id} has no binding {value.name}; {hint}",
            )
        return self._through(owner.id, self._follow(worker, name, owner.bindings[value.name], (*passed, source)))

    def _through(self, owner: str, value: BindingValue) -> BindingValue:
        if isinstance(value, NamespaceBinding):
            return NamespaceBinding(stable_id=value.stable_id, through=value.through or owner)
        return value

    def _unknown_namespace(self, worker: Worker, name: str, stable_id: str) -> DeclarationError:
        said = f"Worker {worker.id}: binding {name} names namespace {stable_id}, which is not declared"
        if near := get_close_matches(stable_id, sorted(self.namespaces), n=1):
            written = binds_namespace(form_of(worker), name, near[0])
            return _wrong(worker.where, f"{said}; did you mean {near[0]}? Write `{written}`.")
        others = f" Declared are {', '.join(sorted(self.namespaces))}." if self.namespaces else ""
        error = _wrong(worker.where, f"{said}; run its cell, such as `{declaring_line(stable_id)}`.{others}")
        error.undeclared = stable_id
        return error

    def _host(self, namespace: Namespace) -> Host:
        if namespace.script_name is not None:
            script = self.script_named(namespace.script_name)
            return Host(script_name=script, worker=self._worker_of.get(script))
        binders = self._binders.get(namespace.id, [])
        if len(binders) == 1:
            return Host(script_name=self.script_of[binders[0]], worker=binders[0])
        # The cell of its host may be gone already; where it lives is in the state file.
        if namespace.id in self.destroyed:
            return Host(script_name="", worker=None)
        if binders:
            raise _wrong(
                namespace.where,
                f"namespace {namespace.id} is bound by the Workers {' and '.join(binders)}: which one "
                f"hosts class {namespace.class_name}? Give script_name={binders[0]!r} "
                f"(--script {binders[0]}) or share it as {binders[0]}.BINDING.",
            )
        place = namespace.where.name if namespace.where else ""
        error = _wrong(
            namespace.where,
            f"namespace {namespace.id} is bound by no Worker, so nothing can host class "
            f"{namespace.class_name}; bind it (--bind NAME={namespace.id}) or name its host (--script WORKER)."
            f"{f' It is declared in {place}.' if place else ''}",
        )
        error.unhosted = namespace.id
        raise error

    def _check_together(self) -> None:
        """Refuse what two declarations cannot both say."""
        slots: dict[tuple[str, str], str] = {}
        for id_, host in self._hosts.items():
            item = self.namespaces[id_]
            if item.renamed_from is not None and item.renamed_from in self.namespaces:
                raise _wrong(
                    item.where,
                    f"namespace {id_}: renamed_from names {item.renamed_from}, which is still declared; "
                    f"`%durable rm namespace {item.renamed_from}` first.",
                )
            # What is to be destroyed holds its class until then: the planner refuses it with the way (`destroy-first`).
            if host.script_name and id_ not in self.destroyed:
                other = slots.setdefault((host.script_name, item.class_name), id_)
                if other != id_:
                    raise _wrong(
                        item.where,
                        f"class {item.class_name} of Worker {host.script_name} is declared under two stable "
                        f"IDs, {other} and {id_}; a class has one. When the ID changed: "
                        f"`%durable rm namespace` the old one and give renamed_from= on the new one.",
                    )
        adopted: dict[str, str] = {}
        for id_ in sorted(self.namespaces):
            item = self.namespaces[id_]
            if item.namespace_id is not None:
                other = adopted.setdefault(item.namespace_id, id_)
                if other != id_:
                    raise _wrong(
                        item.where,
                        f"namespaces {other} and {id_} both name namespace_id {item.namespace_id}; "
                        "one namespace has one stable ID.",
                    )

    def _script_binding(self, worker: Worker, name: str, value: BindingValue) -> ScriptBinding:
        match value:
            case NamespaceBinding():
                namespace = self.namespaces[value.stable_id]
                host = self._hosts[value.stable_id]
                # Cloudflare reads a binding without script_name as a class of the script itself.
                own = host.script_name == self.script_of[worker.id]
                return ClassBinding(
                    name=name,
                    class_name=namespace.class_name,
                    script_name=None if own else host.script_name,
                    environment=None if own else namespace.environment,
                    stable_id=value.stable_id,
                )
            case ServiceBinding():
                return ValueBinding(name=name, value=replace(value, worker=self.script_named(value.worker)))
            case PlainText() | Json() | Secret() | Resource():
                return ValueBinding(name=name, value=value)
            case SharedBinding():
                raise AssertionError(f"binding {name} was not resolved")
            case _:
                assert_never(value)


def _wrong(where: Where | None, message: str) -> DeclarationError:
    error = DeclarationError(message)
    error.line, error.cell = where.of_error if where else (None, "")
    return error
