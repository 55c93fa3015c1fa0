"""The table of binding types: a row each, with everything that anybody here has to know of one.

A type that is not in the table, and a field that its row does not have, is not judged: Cloudflare grows new ones, and
they are carried through unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from notebook_do.model.words import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model.declared import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where wrangler has a binding type, and under which names its fields."""

    path: tuple[str, ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    """wrangler's name by Cloudflare's: the fields that it carries."""
    required: tuple[str, ...] = ()
    """Those that it wants besides the ones that the type requires."""
    exclusive: tuple[str, ...] = ()
    """Fields of which it sends one."""
    exactly_one: bool = False
    """One of the exclusive fields must be there."""
    named: str = "binding"
    once: bool = False
    """There is one of the type, and no list."""


@dataclass(frozen=True, slots=True)
class BindingType:
    """One binding type: Cloudflare's name, a person's word, the name in notebook_do that makes it, what `env` holds.

    `required` and `optional` are JSON type words by field; `choices` a field's only values.
    """

    type: str
    word: str = ""
    constructor: str = ""
    typescript: str = ""
    toml: str = field(default="", kw_only=True)
    """The key that says in TOML what a binding is, and holds the constructor's first argument."""
    flag: Flag | None = field(default=None, kw_only=True)
    required: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    optional: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, kw_only=True)
    one_of: tuple[str, ...] = field(default=(), kw_only=True)
    """Optional fields of which one must be there."""
    filled: tuple[str, ...] = field(default=(), kw_only=True)
    """Optional fields that an account fills in by itself."""
    instead: str = field(default="", kw_only=True)
    """How it is declared, where that is not as a Resource."""
    wrangler: Key | None = field(default=None, kw_only=True)
    only_wrangler: bool = field(default=False, kw_only=True)
    """Only wrangler's key for it is known: nothing of it is judged."""
    not_local: str = field(default="", kw_only=True)
    """What the local runtime calls it, which does not serve it; empty where it does."""


def _texts(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "string")


_OPTIONS = frozenset({"required", "exclusive", "exactly_one", "named"})


def _list(key: str, *same: str, **more: Any) -> Key:
    """Return the key of a list: `same` are the fields that have Cloudflare's names there; others are renamed."""
    options = {name: value for name, value in more.items() if name in _OPTIONS}
    renamed = {name: value for name, value in more.items() if name not in _OPTIONS}
    return Key(path=tuple(key.split(".")), fields={name: name for name in same} | renamed, **options)


def _once(key: str, *fields: str) -> Key:
    return Key(path=(key,), fields={name: name for name in fields}, once=True)


def _wrangler_only(type_: str, key: Key) -> BindingType:
    return BindingType(type_, wrangler=key, only_wrangler=True)


_BIND = Flag(
    name="--bind",
    value="BINDING=ID",
    help="a namespace by stable ID, or WORKER.BINDING of another Worker",
    many=True,
    completes="namespace",
)
_VAR = Flag(name="--var", value="NAME=TEXT", help="a string in env", many=True)
_JSON = Flag(name="--json", value="NAME=JSON", help="a JSON value in env", many=True)
_SECRET = Flag(
    name="--secret",
    value="NAME[=SOURCE]",
    help="a secret, from a VARIABLE (default NAME), keyring[:KEY] or prompt[:KEY]",
    many=True,
)
_SERVICE = Flag(name="--service", value="BINDING=WORKER", help="another Worker", many=True, completes="reachable")
_ADDRESSES = ("destination_address", "allowed_destination_addresses", "allowed_sender_addresses")
_NETWORK = ("network_id", "tunnel_id")

# A row is one to five lines here, where the formatter makes twenty of it.
# fmt: off
_ROWS = (
    BindingType(
        "durable_object_namespace", "Durable Object", "NamespaceBinding", toml="namespace", flag=_BIND,
        instead="bind a declared namespace, or worker.bindings.NAME of its host",
    ),
    BindingType("plain_text", "text", typescript="string", flag=_VAR, instead="write the text itself"),
    BindingType("json", "JSON", "Json", flag=_JSON, instead="use nd.Json(value), in TOML {json = ...}"),
    BindingType(
        "secret_text", "secret", "Secret", "string", toml="secret", flag=_SECRET,
        instead="use nd.Secret.from_env('NAME'), from_keyring or from_prompt, in TOML {secret = \"NAME\"}",
    ),
    BindingType(
        "service", "Worker", "Service", toml="service", flag=_SERVICE,
        instead="use nd.Service('worker'), in TOML {service = \"worker\"}",
    ),
    BindingType(
        "secret_key", typescript="CryptoKey", instead="set it with the API or wrangler; an upload keeps it",
    ),
    BindingType("inherit", instead="declare what it inherits"),
    BindingType(
        "kv_namespace", "KV", "KV", "KVNamespace", toml="kv", required=_texts("namespace_id"),
        wrangler=_list("kv_namespaces", namespace_id="id"),
    ),
    BindingType(
        "r2_bucket", "R2 bucket", "R2", "R2Bucket", toml="r2", required=_texts("bucket_name"),
        optional=_texts("jurisdiction"), choices={"jurisdiction": ("eu", "fedramp", "fedramp-high", "us")},
        wrangler=_list("r2_buckets", "bucket_name", "jurisdiction"),
    ),
    BindingType(
        "d1", "D1 database", "D1", "D1Database", toml="d1", optional=_texts("id", "database_id"),
        one_of=("id", "database_id"), filled=("id", "database_id"),
        wrangler=_list("d1_databases", id="database_id", required=("id",)),
    ),
    BindingType(
        "queue", "queue", "Queue", "Queue", toml="queue", required=_texts("queue_name"),
        wrangler=_list("queues.producers", "delivery_delay", queue_name="queue"),
    ),
    BindingType(
        "hyperdrive", "Hyperdrive", "Hyperdrive", "Hyperdrive", toml="hyperdrive", required=_texts("id"),
        wrangler=_list("hyperdrive", "id"), not_local="Hyperdrive",
    ),
    BindingType(
        "vectorize", "Vectorize index", "Vectorize", "Vectorize", toml="vectorize", required=_texts("index_name"),
        wrangler=_list("vectorize", "index_name"), not_local="a Vectorize index",
    ),
    BindingType(
        "analytics_engine", "Analytics Engine dataset", "AnalyticsEngine", "AnalyticsEngineDataset",
        toml="analytics_engine", required=_texts("dataset"), wrangler=_list("analytics_engine_datasets", "dataset"),
    ),
    BindingType(
        "ratelimit", "rate limit", "RateLimit", "RateLimit", toml="ratelimit",
        required={"namespace_id": "string", "simple": "object"},
        wrangler=_list("ratelimits", "namespace_id", "simple", named="name"),
    ),
    BindingType(
        "workflow", "workflow", "Workflow", "Workflow", toml="workflow", required=_texts("workflow_name"),
        optional=_texts("class_name", "script_name"), filled=("class_name", "script_name"),
        wrangler=_list("workflows", "class_name", "script_name", workflow_name="name", required=("class_name",)),
    ),
    BindingType(
        "pipelines", "pipeline", "Pipeline", 'import("cloudflare:pipelines").Pipeline', toml="pipeline",
        optional=_texts("pipeline", "stream"), one_of=("pipeline", "stream"),
        wrangler=_list("pipelines", "pipeline", "stream", exclusive=("pipeline", "stream"), exactly_one=True),
    ),
    BindingType(
        "dispatch_namespace", "dispatch namespace", "DispatchNamespace", "DispatchNamespace",
        toml="dispatch_namespace", required=_texts("namespace"), optional={"outbound": "object"},
        wrangler=_list("dispatch_namespaces", "namespace", "outbound"), not_local="Workers for Platforms",
    ),
    BindingType(
        "mtls_certificate", "mTLS certificate", "MtlsCertificate", "Fetcher", toml="mtls_certificate",
        required=_texts("certificate_id"), wrangler=_list("mtls_certificates", "certificate_id"),
        not_local="an mTLS certificate",
    ),
    BindingType(
        "ai_search", "AI Search instance", "AiSearch", "AiSearchInstance", toml="ai_search",
        required=_texts("instance_name"), optional=_texts("namespace"), wrangler=_list("ai_search", "instance_name"),
        not_local="AI Search",
    ),
    BindingType(
        "vpc_service", "VPC service", "VpcService", "Fetcher", toml="vpc_service", required=_texts("service_id"),
        optional=_texts("service_name"), filled=("service_name",), wrangler=_list("vpc_services", "service_id"),
        not_local="a VPC service",
    ),
    BindingType(
        "artifacts", "Artifacts namespace", "Artifacts", "Artifacts", toml="artifacts", required=_texts("namespace"),
        wrangler=_list("artifacts", "namespace"), not_local="an Artifacts namespace",
    ),
    BindingType("ai", "AI", "AI", "Ai", wrangler=_once("ai", "staging"), not_local="Workers AI"),
    BindingType(
        "ai_search_namespace", "AI Search namespace", "AiSearchNamespace", "AiSearchNamespace",
        required=_texts("namespace"), wrangler=_list("ai_search_namespaces", "namespace"), not_local="AI Search",
    ),
    BindingType("assets", "static assets", "Assets", "Fetcher"),
    BindingType(
        "browser", "Browser Rendering", "Browser", "BrowserRun", wrangler=_once("browser"),
        not_local="Browser Rendering",
    ),
    BindingType(
        "flagship", "Flagship app", "Flagship", "Flagship", required=_texts("app_id"),
        wrangler=_list("flagship", "app_id"), not_local="Flagship",
    ),
    BindingType("images", "Images", "Images", "ImagesBinding", wrangler=_once("images"), not_local="Images"),
    BindingType(
        "media", "Media Transformations", "Media", "MediaBinding", wrangler=_once("media"),
        not_local="Media Transformations",
    ),
    BindingType(
        "secrets_store_secret", "Secrets Store secret", "SecretsStoreSecret", "SecretsStoreSecret",
        required=_texts("store_id", "secret_name"),
        wrangler=_list("secrets_store_secrets", "store_id", "secret_name"),
    ),
    BindingType(
        "send_email", "email", "SendEmail", "SendEmail",
        optional={_ADDRESSES[0]: "string", **dict.fromkeys(_ADDRESSES[1:], "list of strings")},
        wrangler=_list("send_email", *_ADDRESSES, exclusive=_ADDRESSES[:2], named="name"),
    ),
    BindingType(
        "version_metadata", "version metadata", "VersionMetadata", "WorkerVersionMetadata",
        wrangler=_once("version_metadata"),
    ),
    BindingType(
        "vpc_network", "VPC network", "VpcNetwork", "Fetcher", optional=_texts(*_NETWORK, "identity"),
        one_of=_NETWORK, wrangler=_list("vpc_networks", *_NETWORK, exclusive=_NETWORK, exactly_one=True),
        not_local="a VPC network",
    ),
    BindingType("worker_loader", "worker loader", "WorkerLoader", "WorkerLoader", wrangler=_list("worker_loaders")),
    BindingType("messaging", required=_texts("namespace"), not_local="binding type messaging"),
    BindingType("data_blob", typescript="ArrayBuffer", required=_texts("part")),
    BindingType("text_blob", typescript="string", required=_texts("part")),
    BindingType(
        "wasm_module", typescript="WebAssembly.Module", required=_texts("part"),
        not_local="a Wasm module as a binding (import it as a module instead)",
    ),
    _wrangler_only("agent_memory", _list("agent_memory", "namespace", required=("namespace",))),
    _wrangler_only("analytics", _once("analytics")),
    _wrangler_only("k2", _list("k2", "stream", required=("stream",))),
    _wrangler_only("logfwdr", _list("logfwdr.bindings", "destination", named="name")),
    _wrangler_only("stream", _once("stream")),
)
# fmt: on
BINDING_TYPES: Mapping[str, BindingType] = MappingProxyType({row.type: row for row in _ROWS})
"""By Cloudflare's name, in the order of TOML's keys."""
RESOURCE_TYPES: Mapping[str, BindingType] = MappingProxyType(
    {row.type: row for row in _ROWS if not row.instead and not row.only_wrangler}
)
"""Those that are declared as a Resource."""
_UNKNOWN = BindingType("")
_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {"string": str, "object": dict, "number": (int, float)}
# The two periods that Cloudflare offers.
RATE_PERIODS = (10, 60)


def binding_word(kind: str) -> str:
    """Return a person's word for a kind of binding; one that has none is said with blanks."""
    return BINDING_TYPES.get(kind, _UNKNOWN).word or kind.replace("_", " ")


def resource_problem(resource: Resource) -> str | None:
    """Return in one line what is wrong with a resource's fields; None for a good one and for an unknown type."""
    row = BINDING_TYPES.get(resource.type, _UNKNOWN)
    if row.instead and not _is_foreign(resource):
        return f"type {resource.type} is not declared as a resource; {row.instead}."
    fields = resource.fields.value
    if not isinstance(fields, dict):
        return f"the fields of type {resource.type} must be a table."
    if resource.type not in RESOURCE_TYPES:
        return None
    return _fields_problem(row, fields) or _rate_limit_problem(resource.type, fields)


def _is_foreign(resource: Resource) -> bool:
    """Return whether it is a namespace of a dispatch namespace's script: no namespace of this account's list."""
    fields = resource.fields.value
    return resource.type == "durable_object_namespace" and isinstance(fields, dict) and "dispatch_namespace" in fields


def told_back(kind: str) -> frozenset[str]:
    """Return the fields of a type that a live binding has only when they were sent: without them it is another one."""
    # What an account fills in by itself (`filled`) is there whether it was sent or not, and so tells nothing.
    known = RESOURCE_TYPES.get(kind, _UNKNOWN)
    return frozenset(known.optional) - frozenset(known.filled)


def _fields_problem(known: BindingType, fields: Mapping[str, Any]) -> str | None:
    kind, takes = known.type, {**known.required, **known.optional}
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
