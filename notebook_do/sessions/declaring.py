"""The public constructors: Python arguments in, a declaration out, registered with the current session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.declare.triggers import triggers_of
from notebook_do.declare.values import bindings_of
from notebook_do.model import Json, Namespace, NamespaceId, StableId
from notebook_do.model import Worker as WorkerDeclaration
from notebook_do.sessions.session import register

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Module, Where


def DurableObjectNamespace(  # noqa: N802, PLR0913 - Cloudflare's own name and its facts
    id: str,  # noqa: A002 - the name that the seed of this project gave it
    *,
    class_name: str,
    sqlite: bool | None = None,
    script_name: str | None = None,
    environment: str | None = None,
    namespace_id: str | None = None,
    renamed_from: str | None = None,
    transferred_from: str | None = None,
    protect: bool = True,
    where: Where | None = None,
) -> Namespace:
    """Declare a Durable Object namespace; `id` is its stable ID, permanent for the life of its objects.

    Registers with the current session where one is open. `sqlite=None` is SQLite for a new namespace and "as it is" for
    a live one; `sqlite=False` asks for legacy KV storage. `script_name` names the Worker that hosts the class when that
    is not the only Worker which binds it. `renamed_from` is the stable ID this one replaces, `transferred_from` the
    Worker its class moves away from. Raises DeclarationError for what can never be right.
    """
    declared = Namespace(
        StableId(id),
        class_name=class_name,
        sqlite=sqlite,
        script_name=script_name,
        environment=environment,
        namespace_id=NamespaceId(namespace_id) if namespace_id else None,
        renamed_from=StableId(renamed_from) if renamed_from else None,
        transferred_from=transferred_from,
        protect=protect,
        where=where,
    )
    register(declared)
    return declared


def Worker(  # noqa: N802, PLR0913 - Cloudflare's own name and its facts
    id: str,  # noqa: A002
    *,
    name: str | None = None,
    script: str | None = None,
    entrypoint: str | None = None,
    no_bundle: bool = False,
    modules: tuple[Module, ...] = (),
    lang: Literal["js", "ts", "py"] = "js",
    bindings: Mapping[str, Any] | None = None,
    compatibility_date: str | None = None,
    compatibility_flags: Iterable[str] = (),
    url: bool = True,
    previews: bool | None = None,
    crons: Iterable[str] = (),
    routes: Iterable[str] = (),
    domains: Iterable[str] = (),
    consumes: Mapping[str, Mapping[str, Any]] | Iterable[str] = (),
    assets: Mapping[str, Any] | None = None,
    observability: Mapping[str, Any] | None = None,
    placement: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    logpush: bool | None = None,
    tail_consumers: Iterable[str | Mapping[str, Any]] = (),
    tags: Iterable[str] = (),
    adopt: bool = False,
    lifecycle: Literal["auto", "exports", "migrations"] = "auto",
    where: Where | None = None,
    **more: Any,
) -> WorkerDeclaration:
    """Declare a Worker from its source (`script`) or a file (`entrypoint`), with its bindings by name.

    Registers with the current session where one is open, together with the namespaces it binds. A binding is a
    namespace, `worker.bindings.NAME` of another Worker, another Worker, a str, `nd.Json(value)`,
    `nd.Secret.from_env("K")` (or from_keyring, from_prompt), or a resource such as `nd.KV(id)`. `tail_consumers` are
    Workers by id or name. `previews=None` leaves preview URLs as they are. `routes` are patterns (`example.com/*`),
    `domains` host names, `consumes` queues with the settings of their consumer, `assets` a directory of static files
    and how they are served; `more` are other settings in Cloudflare's own words. Raises DeclarationError for what can
    never be right.
    """
    values: dict[str, Any] = dict(bindings or {})
    consumers = [{"service": one} if isinstance(one, str) else dict(one) for one in tail_consumers]
    passed = {
        "observability": observability,
        "placement": placement,
        "limits": limits,
        "logpush": logpush,
        "tail_consumers": consumers or None,
        "tags": sorted(set(tags)) or None,
        **more,
    }
    declared = WorkerDeclaration(
        id,
        name=name,
        script=script,
        entrypoint=entrypoint,
        no_bundle=no_bundle,
        modules=modules,
        lang=lang,
        bindings=bindings_of(id, values),
        compatibility_date=compatibility_date,
        compatibility_flags=tuple(compatibility_flags),
        url=url,
        previews=previews,
        crons=tuple(crons),
        triggers=triggers_of(routes=routes, domains=domains, consumes=consumes),
        assets=None if assets is None else Json(dict(assets) if isinstance(assets, Mapping) else assets),
        options=Json({k: v for k, v in passed.items() if v is not None}),
        adopt=adopt,
        lifecycle=lifecycle,
        where=where,
    )
    register(*(v for v in values.values() if isinstance(v, Namespace)), declared)
    return declared
