"""Versions as they run now: tied to the namespaces' present labels, and ready for the runtime."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker, StaticSite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.local.account.blobs import Blobs
    from notebook_do.local.account.records import Version
    from notebook_do.local.rules.namespaces import Namespace


def bound_namespaces(version: Version) -> list[str]:
    """Ids of the namespaces that a version binds."""
    return [
        b["namespace_id"] for b in version.bindings if b["type"] == "durable_object_namespace" and "namespace_id" in b
    ]


def bound_names(version: Version, script: str) -> list[tuple[str, str]]:
    """Give the (script, class) that a version binds, by the names that it was uploaded with."""
    bindings = (b for b in version.bindings if b["type"] == "durable_object_namespace")
    return [(b.get("script_name") or script, str(b.get("class_name"))) for b in bindings]


def runnable(blobs: Blobs, name: str, version: Version, namespaces: Iterable[Namespace]) -> RunnableWorker:
    """Make a version with present labels ready to run, hosting `namespaces`."""
    hosted = tuple(
        HostedNamespace(namespace_id=n.id, class_name=n.class_name, sqlite=n.sqlite)
        for n in sorted(namespaces, key=lambda n: n.id)
    )
    identity = json.dumps([version.id, [(h.namespace_id, h.class_name) for h in hosted], version.bindings])
    return RunnableWorker(
        name=name,
        version=f"{version.id}/{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
        main_module=version.code.main_module,
        modules=tuple(
            ModuleFile(name=m.name, content_type=m.content_type, path=blobs.path(m.digest))
            for m in version.code.modules
        ),
        bindings=version.bindings,
        namespaces=hosted,
        compatibility_date=version.code.compatibility_date,
        compatibility_flags=version.code.compatibility_flags,
        assets=None if version.assets is None else _site(blobs, version.assets),
    )


def _site(blobs: Blobs, assets: Mapping[str, Any]) -> StaticSite:
    """Read what a version keeps of its static assets."""
    files = {path: blobs.path(file["digest"]) for path, file in assets["files"].items()}
    return StaticSite(files=files, config=assets["config"])


def followed(version: Version, script: str, namespaces: Mapping[str, Namespace]) -> Version:
    """Give a version whose Durable Object bindings carry the present labels of their namespaces.

    A rename or transfer does not touch the versions of the Workers that bind the namespace; their bindings follow it.
    One whose namespace is gone stays as it was uploaded.
    """
    return replace(version, bindings=tuple(_follow(b, script, namespaces) for b in version.bindings))


def _follow(binding: dict[str, Any], script: str, namespaces: Mapping[str, Namespace]) -> dict[str, Any]:
    namespace = namespaces.get(binding.get("namespace_id", ""))
    if binding["type"] != "durable_object_namespace" or namespace is None:
        return binding
    rest = {key: value for key, value in binding.items() if key != "script_name"}
    host = {} if namespace.script == script else {"script_name": namespace.script}
    return {**rest, "class_name": namespace.class_name, **host}
