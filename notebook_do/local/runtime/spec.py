"""What the account hands to the runtime: a deployed Worker, ready to be run; and what the runtime found in a script.

Plain values, below everything else in `local`: neither side knows how the other one keeps or makes them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


OLDEST_DATE = "2021-11-02"
"""The compatibility date of a script that names none, at Cloudflare as here."""
INTERNAL_DATE = "2026-10-01"
"""The compatibility date of our own scripts: what they do must not change with a Worker's date."""
OBJECTS = "durable_object_namespace"


def is_of_account(binding: Mapping[str, Any]) -> bool:
    """Say whether a binding is to a Durable Object namespace of this account.

    Workers for Platforms have scripts in a list of their own, a dispatch namespace, which this account does not have.
    """
    return binding.get("type") == OBJECTS and not binding.get("dispatch_namespace")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFile:
    """One module of a version: its name in the Worker, its content type, and the file that holds its bytes."""

    name: str
    content_type: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedNamespace:
    """A Durable Object namespace that a Worker hosts. `namespace_id` is workerd's uniqueKey, always.

    `rpc` is false of a class that is known not to extend DurableObject.
    """

    namespace_id: str
    class_name: str
    sqlite: bool
    rpc: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedWorkflow:
    """A workflow that a Worker hosts. Its instances are kept under `workflow_id`, whatever its name is.

    `steps` is the most steps of an instance, `retention` for how long one that ended is kept (`success`, `error`).
    """

    workflow_id: str
    name: str
    class_name: str
    steps: int | None = None
    retention: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSite:
    """The static assets of a version: the file that holds each path's bytes, and Cloudflare's `assets.config`."""

    files: Mapping[str, Path]
    config: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Return a name for the files: equal for equal paths and contents, as each file is named by its own digest."""
        text = json.dumps(sorted((path, file.name) for path, file in self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableWorker:
    """One deployed version of one script.

    `bindings` are Cloudflare's binding objects as uploaded; secret texts included, so never log or show this.
    `version` changes whenever anything here changes: it is what makes an island stale.
    """

    name: str
    version: str
    main_module: str
    modules: tuple[ModuleFile, ...]
    bindings: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    namespaces: tuple[HostedNamespace, ...] = ()
    compatibility_date: str = OLDEST_DATE
    compatibility_flags: tuple[str, ...] = ()
    assets: StaticSite | None = None
    workflows: tuple[HostedWorkflow, ...] = ()

    @property
    def stored(self) -> tuple[str, ...]:
        """Return the ids under which it keeps data: those of its namespaces and of its workflows."""
        return (*(one.namespace_id for one in self.namespaces), *(one.workflow_id for one in self.workflows))

    @property
    def shape(self) -> RunnableWorker:
        """Return it without what each decision makes anew: its version, and the ids of what it keeps data under."""
        bindings = tuple({key: value for key, value in b.items() if key != "namespace_id"} for b in self.bindings)
        hosted = sorted(self.namespaces, key=lambda one: one.class_name)
        return replace(
            self,
            version="",
            bindings=bindings,
            namespaces=tuple(replace(one, namespace_id="") for one in hosted),
            workflows=tuple(replace(one, workflow_id="") for one in self.workflows),
        )

    def hosts(self, stored_id: str) -> bool:
        """Say whether it keeps the data of a namespace or workflow."""
        return stored_id in self.stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A named export of the main module.

    `kind` is durable-object, worker-entrypoint, workflow, class, function or other.
    `handlers` are the handler or method names found on it.
    """

    name: str
    kind: str
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What the main module really exports. `default_handlers` are fetch, scheduled, queue, tail, email, ..."""

    exports: tuple[Export, ...]
    default_handlers: tuple[str, ...]
    startup_ms: int


ENTRYPOINT_KINDS = frozenset({"durable-object", "worker-entrypoint", "workflow"})
"""The kinds of an export that extend a class of `cloudflare:workers`: they handle events, and reads list them."""


class WorkflowRefusal(Exception):  # noqa: N818 - an answer, not a failure
    """The engine of a workflow refuses a call; the message is its own, with its code in parentheses."""


class ScriptInvalid(Exception):  # noqa: N818 - Cloudflare's own word for code 10021
    """The script does not start; the message is workerd's, with its position, machine paths removed."""
