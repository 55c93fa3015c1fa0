"""Every binding type that a Worker can have: a constructor each, and the one table that says which fields it takes.

A type that is not in the table is not judged: Cloudflare grows new ones, and they are carried through unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from notebook_do.errors import DeclarationError
from notebook_do.model.declared import Json, Resource, ServiceBinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """What one binding type takes: JSON type words by field. `choices` are the only values of a field."""

    required: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    """Optional fields of which one must be there."""
    filled: tuple[str, ...] = ()
    """Optional fields that an account fills in by itself."""


_NOTHING = ResourceType()
_PART = ResourceType(required={"part": "string"})


def _text(*required: str, **more: Any) -> ResourceType:
    return ResourceType(required=dict.fromkeys(required, "string"), **more)


RESOURCE_TYPES: Mapping[str, ResourceType] = {
    "ai": _NOTHING,
    "ai_search": _text("instance_name", optional={"namespace": "string"}),
    "ai_search_namespace": _text("namespace"),
    "analytics_engine": _text("dataset"),
    "artifacts": _text("namespace"),
    "assets": _NOTHING,
    "browser": _NOTHING,
    "d1": ResourceType(
        optional={"id": "string", "database_id": "string"},
        one_of=("id", "database_id"),
        filled=("id", "database_id"),
    ),
    "data_blob": _PART,
    "dispatch_namespace": _text("namespace", optional={"outbound": "object"}),
    "flagship": _text("app_id"),
    "hyperdrive": _text("id"),
    "images": _NOTHING,
    "kv_namespace": _text("namespace_id"),
    "media": _NOTHING,
    "messaging": _text("namespace"),
    "mtls_certificate": _text("certificate_id"),
    "pipelines": ResourceType(optional={"pipeline": "string", "stream": "string"}, one_of=("pipeline", "stream")),
    "queue": _text("queue_name"),
    "r2_bucket": _text(
        "bucket_name",
        optional={"jurisdiction": "string"},
        choices={"jurisdiction": ("eu", "fedramp", "fedramp-high", "us")},
    ),
    "ratelimit": ResourceType(required={"namespace_id": "string", "simple": "object"}),
    "secrets_store_secret": _text("store_id", "secret_name"),
    "send_email": ResourceType(
        optional={
            "destination_address": "string",
            "allowed_destination_addresses": "list of strings",
            "allowed_sender_addresses": "list of strings",
        }
    ),
    "text_blob": _PART,
    "vectorize": _text("index_name"),
    "version_metadata": _NOTHING,
    "vpc_network": ResourceType(
        optional={"network_id": "string", "tunnel_id": "string", "identity": "string"},
        one_of=("network_id", "tunnel_id"),
    ),
    "vpc_service": _text("service_id", optional={"service_name": "string"}, filled=("service_name",)),
    "wasm_module": _PART,
    "worker_loader": _NOTHING,
    "workflow": _text(
        "workflow_name",
        optional={"class_name": "string", "script_name": "string"},
        filled=("class_name", "script_name"),
    ),
}
"""By Cloudflare's binding type."""

OWN_FORMS: Mapping[str, str] = {
    "plain_text": "write the text itself",
    "json": "use nd.Json(value), in TOML {json = ...}",
    "secret_text": "use nd.Secret.from_env('NAME'), from_keyring or from_prompt, in TOML {secret = \"NAME\"}",
    "secret_key": "set it with the API or wrangler; an upload keeps it",
    "service": "use nd.Service('worker'), in TOML {service = \"worker\"}",
    "durable_object_namespace": "bind a declared namespace, or worker.bindings.NAME of its host",
    "inherit": "declare what it inherits",
}
"""Binding types that are declared in another way than as a Resource."""
_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {"string": str, "object": dict, "number": (int, float)}
RATE_PERIODS = (10, 60)


def resource_problem(resource: Resource) -> str | None:
    """Say in one line what is wrong with a resource's fields; None for a good one and for an unknown type."""
    if resource.type in OWN_FORMS and not _is_foreign(resource):
        return f"type {resource.type} is not declared as a resource; {OWN_FORMS[resource.type]}."
    known, fields = RESOURCE_TYPES.get(resource.type), resource.fields.value
    if not isinstance(fields, dict):
        return f"the fields of type {resource.type} must be a table."
    if known is None:
        return None
    return _fields_problem(resource.type, known, fields) or _rate_limit_problem(resource.type, fields)


def _is_foreign(resource: Resource) -> bool:
    """Say whether it is a namespace of a dispatch namespace's script: no namespace of this account's list."""
    fields = resource.fields.value
    return resource.type == "durable_object_namespace" and isinstance(fields, dict) and "dispatch_namespace" in fields


def told_back(kind: str) -> frozenset[str]:
    """Name the fields of a type that a live binding has only when they were sent: without them it is another one."""
    known = RESOURCE_TYPES.get(kind, _NOTHING)
    return frozenset(known.optional) - frozenset(known.filled)


def _fields_problem(kind: str, known: ResourceType, fields: Mapping[str, Any]) -> str | None:
    takes = {**known.required, **known.optional}
    for name, value in fields.items():
        if name not in takes:
            # Cloudflare grows fields as it grows types; what looks like a known one misspelt is a mistake.
            near = get_close_matches(name, [t for t in takes if t not in fields], n=1, cutoff=0.75)
            if near:
                return f"type {kind} takes no field {name}; did you mean {near[0]}?"
            continue
        if not _is(value, takes[name]):
            return f"{name} of type {kind} must be a {takes[name]}, not {value!r}."
        if name in known.choices and value not in known.choices[name]:
            return f"{name} of type {kind} must be one of {', '.join(map(str, known.choices[name]))}, not {value!r}."
    for name in known.required:
        if not fields.get(name):
            return f"type {kind} needs {name}."
    if known.one_of and not any(fields.get(name) for name in known.one_of):
        return f"type {kind} needs {' or '.join(known.one_of)}."
    return None


def _is(value: Any, word: str) -> bool:
    if word == "list of strings":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, _JSON_TYPES[word])


def _rate_limit_problem(kind: str, fields: Mapping[str, Any]) -> str | None:
    if kind != "ratelimit":
        return None
    simple = fields["simple"]
    limit, period = simple.get("limit"), simple.get("period")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        return f"limit of type ratelimit must be a whole number of at least 1, not {limit!r}."
    if period not in RATE_PERIODS:
        return f"period of type ratelimit must be 10 or 60 seconds, not {period!r}."
    return None


def _resource(type_: str, /, **fields: Any) -> Resource:
    given = {name: value for name, value in fields.items() if value is not None and value != []}
    made = Resource(type=type_, fields=Json(given))
    if problem := resource_problem(made):
        raise DeclarationError(problem)
    return made


# --- one constructor a type; each reads like the binding it declares, hence the capitals


def KV(namespace_id: str) -> Resource:  # noqa: N802
    """Bind a KV namespace by its id."""
    return _resource("kv_namespace", namespace_id=namespace_id)


def R2(bucket_name: str, *, jurisdiction: str | None = None) -> Resource:  # noqa: N802
    """Bind an R2 bucket by its name; `jurisdiction` is `eu`, `fedramp`, ... for a bucket that has one."""
    return _resource("r2_bucket", bucket_name=bucket_name, jurisdiction=jurisdiction)


def D1(database_id: str) -> Resource:  # noqa: N802
    """Bind a D1 database by its id."""
    # Both spellings are in use: wrangler sends `id`, the published schema has `database_id`.
    return _resource("d1", id=database_id, database_id=database_id)


def Queue(queue_name: str) -> Resource:  # noqa: N802
    """Bind a queue as a producer, by its name."""
    return _resource("queue", queue_name=queue_name)


def Service(  # noqa: N802
    worker: str,
    *,
    entrypoint: str | None = None,
    environment: str | None = None,
    props: dict[str, Any] | None = None,
) -> ServiceBinding:
    """Bind another Worker by its id here or its live name; `entrypoint` is a named WorkerEntrypoint class of it.

    `props` is what that entrypoint finds in `ctx.props`: any JSON object.
    """
    if props is not None and not isinstance(props, dict):
        raise DeclarationError(f"props of a service must be a table, not {props!r}.")
    told = None if props is None else Json(props)
    return ServiceBinding(worker=worker, entrypoint=entrypoint, environment=environment, props=told)


def Hyperdrive(id: str) -> Resource:  # noqa: A002, N802 - Cloudflare's own word
    """Bind a Hyperdrive configuration by its id."""
    return _resource("hyperdrive", id=id)


def Vectorize(index_name: str) -> Resource:  # noqa: N802
    """Bind a Vectorize index by its name."""
    return _resource("vectorize", index_name=index_name)


def AnalyticsEngine(dataset: str) -> Resource:  # noqa: N802
    """Bind an Analytics Engine dataset by its name."""
    return _resource("analytics_engine", dataset=dataset)


def RateLimit(namespace_id: str, *, limit: int, period: int) -> Resource:  # noqa: N802
    """Bind a rate limit of `limit` calls in `period` (10 or 60) seconds; Workers with one namespace id share it."""
    return _resource("ratelimit", namespace_id=namespace_id, simple={"limit": limit, "period": period})


def VersionMetadata() -> Resource:  # noqa: N802
    """Bind the id, tag and time of the running version."""
    return _resource("version_metadata")


def AI() -> Resource:  # noqa: N802
    """Bind Workers AI."""
    return _resource("ai")


def AiSearch(instance_name: str, *, namespace: str | None = None) -> Resource:  # noqa: N802
    """Bind an AI Search instance by its name."""
    return _resource("ai_search", instance_name=instance_name, namespace=namespace)


def AiSearchNamespace(namespace: str) -> Resource:  # noqa: N802
    """Bind all AI Search instances of a namespace."""
    return _resource("ai_search_namespace", namespace=namespace)


def Browser() -> Resource:  # noqa: N802
    """Bind Browser Rendering."""
    return _resource("browser")


def Images() -> Resource:  # noqa: N802
    """Bind Cloudflare Images."""
    return _resource("images")


def Media() -> Resource:  # noqa: N802
    """Bind Media Transformations."""
    return _resource("media")


def MtlsCertificate(certificate_id: str) -> Resource:  # noqa: N802
    """Bind a client certificate by its id."""
    return _resource("mtls_certificate", certificate_id=certificate_id)


def Pipeline(pipeline: str) -> Resource:  # noqa: N802
    """Bind a pipeline by its name."""
    return _resource("pipelines", pipeline=pipeline)


def SendEmail(  # noqa: N802
    destination_address: str | None = None,
    *,
    allowed_destination_addresses: Iterable[str] = (),
    allowed_sender_addresses: Iterable[str] = (),
) -> Resource:
    """Bind the sending of email, to one address, to some, or (with neither) to any verified one."""
    return _resource(
        "send_email",
        destination_address=destination_address,
        allowed_destination_addresses=list(allowed_destination_addresses),
        allowed_sender_addresses=list(allowed_sender_addresses),
    )


def DispatchNamespace(namespace: str, *, outbound: Mapping[str, Any] | None = None) -> Resource:  # noqa: N802
    """Bind a Workers for Platforms dispatch namespace; `outbound` is Cloudflare's own table."""
    return _resource("dispatch_namespace", namespace=namespace, outbound=dict(outbound) if outbound else None)


def Assets() -> Resource:  # noqa: N802
    """Bind the Worker's own static assets."""
    return _resource("assets")


def Workflow(workflow_name: str, *, class_name: str | None = None, script_name: str | None = None) -> Resource:  # noqa: N802
    """Bind a Workflow by its name; `class_name` when this Worker has it, `script_name` when another has."""
    return _resource("workflow", workflow_name=workflow_name, class_name=class_name, script_name=script_name)


def SecretsStoreSecret(store_id: str, secret_name: str) -> Resource:  # noqa: N802
    """Bind a secret of a Secrets Store; its value stays there."""
    return _resource("secrets_store_secret", store_id=store_id, secret_name=secret_name)


def WorkerLoader() -> Resource:  # noqa: N802
    """Bind the loading of Workers at run time."""
    return _resource("worker_loader")


def VpcService(service_id: str) -> Resource:  # noqa: N802
    """Bind a VPC service by its id."""
    return _resource("vpc_service", service_id=service_id)


def VpcNetwork(*, network_id: str | None = None, tunnel_id: str | None = None) -> Resource:  # noqa: N802
    """Bind a private network by its id or by its tunnel's."""
    return _resource("vpc_network", network_id=network_id, tunnel_id=tunnel_id)


def Artifacts(namespace: str) -> Resource:  # noqa: N802
    """Bind an Artifacts namespace."""
    return _resource("artifacts", namespace=namespace)


def Flagship(app_id: str) -> Resource:  # noqa: N802
    """Bind a Flagship app by its id."""
    return _resource("flagship", app_id=app_id)
