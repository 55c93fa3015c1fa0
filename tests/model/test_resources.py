"""Every binding type: its constructor, its JSON against Cloudflare's own schema, and what is refused at once."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import notebook_do as nd
from notebook_do.cloudflare.wire import encode_binding
from notebook_do.declare.cell import parse_cell
from notebook_do.declare.tables import binding_forms
from notebook_do.errors import DeclarationError
from notebook_do.local.runtime.bindings import unsupported
from notebook_do.model import (
    BINDING_TYPES,
    RESOURCE_TYPES,
    ClassBinding,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    ValueBinding,
    Worker,
    resource_problem,
)

MADE: dict[str, Resource] = {
    "ai": nd.AI(),
    "ai_search": nd.AiSearch("docs", namespace="mine"),
    "ai_search_namespace": nd.AiSearchNamespace("mine"),
    "analytics_engine": nd.AnalyticsEngine("hits"),
    "artifacts": nd.Artifacts("mine"),
    "assets": nd.Assets(),
    "browser": nd.Browser(),
    "d1": nd.D1("3f3e9e8a-0000-4000-8000-000000000001"),
    "dispatch_namespace": nd.DispatchNamespace("customers", outbound={"worker": {"service": "guard"}}),
    "flagship": nd.Flagship("app"),
    "hyperdrive": nd.Hyperdrive("a" * 32),
    "images": nd.Images(),
    "kv_namespace": nd.KV("b" * 32),
    "media": nd.Media(),
    "mtls_certificate": nd.MtlsCertificate("c"),
    "pipelines": nd.Pipeline("events"),
    "queue": nd.Queue("jobs"),
    "r2_bucket": nd.R2("pictures", jurisdiction="eu"),
    "ratelimit": nd.RateLimit("1001", limit=10, period=60),
    "secrets_store_secret": nd.SecretsStoreSecret("store", "KEY"),
    "send_email": nd.SendEmail("a@example.com", allowed_sender_addresses=["b@example.com"]),
    "vectorize": nd.Vectorize("embeddings"),
    "version_metadata": nd.VersionMetadata(),
    "vpc_network": nd.VpcNetwork(tunnel_id="d"),
    "vpc_service": nd.VpcService("e"),
    "worker_loader": nd.WorkerLoader(),
    "workflow": nd.Workflow("orders", class_name="Orders"),
}
# Parts of an upload are bound by the old service-worker format only; a module imports them. `messaging` has no
# documentation yet. They can be declared by their type.
BY_TYPE_ONLY = {"data_blob", "text_blob", "wasm_module", "messaging"}
# The published schema does not have it; the form is that which wrangler sends.
NOT_IN_THE_SCHEMA = {"worker_loader"}
OTHERS: dict[str, ClassBinding | ValueBinding] = {
    "durable_object_namespace": ClassBinding(name="B", class_name="C", script_name="host", environment="production"),
    "plain_text": ValueBinding(name="B", value=PlainText(text="t")),
    "json": ValueBinding(name="B", value=Json({"a": [1, None]})),
    "service": ValueBinding(name="B", value=nd.Service("w", entrypoint="E", environment="production")),
}


@functools.cache
def schemas() -> dict[str, Any]:
    """Read Cloudflare's schema of each binding type, `nullable` said as JSON Schema does."""
    document = json.loads((Path(__file__).parents[1] / "openapi" / "workers.json").read_text())
    kinds = {n: s for n, s in document["components"]["schemas"].items() if n.startswith("BindingWorkersBindingKind")}
    typed = {n: s["properties"]["type"]["enum"][0] for n, s in kinds.items() if "type" in s.get("properties", {})}
    return {kind: {**kinds[name], "components": document["components"]} for name, kind in typed.items()}


def encoded(value: Any) -> dict[str, Any]:
    """Write a binding as an upload does."""
    return encode_binding(ValueBinding(name="B", value=value), lambda secret: f"from {secret.key}")


def test_every_type_has_a_constructor() -> None:
    """The table and the constructors know the same types."""
    assert set(RESOURCE_TYPES) == set(MADE) | BY_TYPE_ONLY
    assert {kind: made.type for kind, made in MADE.items()} == {kind: kind for kind in MADE}


@pytest.mark.parametrize("kind", sorted(MADE.keys() - NOT_IN_THE_SCHEMA))
def test_the_json_fits_the_schema(kind: str) -> None:
    """What an upload carries of a binding is what Cloudflare's schema describes, and no field beside it."""
    item = encoded(MADE[kind])
    jsonschema.Draft7Validator(schemas()[kind]).validate(item)
    assert set(item) <= set(schemas()[kind]["properties"])
    assert (item["name"], item["type"]) == ("B", kind)


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_the_other_bindings_fit_too(kind: str) -> None:
    """Objects, text, JSON and services have Cloudflare's form as well."""
    item = encode_binding(OTHERS[kind], lambda secret: secret.key)
    jsonschema.Draft7Validator(schemas()[kind]).validate(item)
    assert (item["name"], item["type"]) == ("B", kind)


def test_a_secret_is_revealed_only_to_the_encoder() -> None:
    """A secret's JSON has the value that the encoder was given, and its declaration has none."""
    item = encoded(Secret.from_env("K"))
    assert item == {"name": "B", "type": "secret_text", "text": "from K"}


@pytest.mark.parametrize("kind", sorted(MADE))
def test_a_table_declares_the_same(kind: str) -> None:
    """`{type = "...", ...}` in TOML is the very binding that the constructor makes."""
    fields = json.loads(MADE[kind].fields.text)
    inside = "".join(f", {key} = {toml(value)}" for key, value in fields.items())
    body = f'[workers.w]\nscript = "export default {{}}"\n[workers.w.bindings]\nB = {{type = "{kind}"{inside}}}\n'
    (worker,) = parse_cell("", body)
    assert isinstance(worker, Worker)
    assert worker.bindings["B"] == MADE[kind]


def toml(value: Any) -> str:
    """Write a JSON value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ('{kv = "k"}', nd.KV("k")),
        ('{r2 = "b", jurisdiction = "eu"}', nd.R2("b", jurisdiction="eu")),
        ('{service = "other", entrypoint = "Admin"}', ServiceBinding(worker="other", entrypoint="Admin")),
        ('{ratelimit = "1", limit = 5, period = 10}', nd.RateLimit("1", limit=5, period=10)),
        ('{workflow = "orders", class_name = "Orders"}', nd.Workflow("orders", class_name="Orders")),
        ('{hyperdrive = "h"}', nd.Hyperdrive("h")),
    ],
)
def test_the_short_forms(written: str, made: Any) -> None:
    """A table whose key says what it is makes that binding, with its other keys by name."""
    body = f'[workers.w]\nscript = "export default {{}}"\n[workers.w.bindings]\nB = {written}\n'
    (worker,) = parse_cell("", body)
    assert isinstance(worker, Worker)
    assert worker.bindings["B"] == made


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('{r2 = "b", jurisdicton = "eu"}', "unknown key jurisdicton; r2 takes jurisdiction besides it"),
        ('{r2 = "b", jurisdiction = "mars"}', "jurisdiction of type r2_bucket must be one of eu, fedramp"),
        ("{kv = 3}", "kv must be a string, not 3"),
        ('{kv = "k", extra = "x"}', "unknown key extra; kv takes nothing besides it"),
        ('{ratelimit = "1", limit = 5}', "ratelimit needs period besides it"),
        ('{ratelimit = "1", limit = 0, period = 10}', "limit of type ratelimit must be a whole number of at least 1"),
        ('{type = "kv_namespace"}', "type kv_namespace needs namespace_id"),
        ('{type = "kv_namespace", namespaceid = "x"}', "takes no field namespaceid; did you mean namespace_id?"),
        ('{type = "secret_text", text = "hidden"}', "type secret_text is not declared as a resource; use nd.Secret"),
        ('{type = "plain_text", text = "t"}', "type plain_text is not declared as a resource; write the text itself"),
        ('{type = "vpc_network"}', "type vpc_network needs network_id or tunnel_id"),
    ],
)
def test_a_wrong_binding_is_one_line(written: str, problem: str) -> None:
    """What can never be right is refused in one line that names the cell's line, the Worker and the binding."""
    body = f'[workers.w]\nscript = "export default {{}}"\n[workers.w.bindings]\nB = {written}\n'
    with pytest.raises(DeclarationError) as caught:
        parse_cell("", body)
    assert problem in str(caught.value)
    assert re.match(r"line (2: Worker|5: worker) w: binding B: ", str(caught.value))
    assert "binding B: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_known_is_carried_through() -> None:
    """A type, or a field, that Cloudflare grew since is not judged and goes up unchanged."""
    fields = {"flavour": "new", "depth": {"a": [1]}}
    assert resource_problem(Resource(type="teleporter", fields=Json(fields))) is None
    assert encoded(Resource(type="teleporter", fields=Json(fields))) == {"name": "B", "type": "teleporter", **fields}
    grown = Resource(type="kv_namespace", fields=Json({"namespace_id": "k", "replicas": 3}))
    assert resource_problem(grown) is None
    assert encoded(grown)["replicas"] == 3


def test_forms_and_constructors_agree() -> None:
    """Every short form of TOML makes what a constructor of the API makes."""
    for form, make in binding_forms().items():
        if form not in {"namespace", "secret", "ratelimit"}:
            assert make("x") is not None, form


def test_every_constructor_of_the_table_is_public() -> None:
    """What a row names is what a user calls, and every binding type has one word of TOML at most."""
    named = [row.constructor for row in BINDING_TYPES.values() if row.constructor]
    assert set(named) <= set(nd.__all__)
    assert all(callable(getattr(nd, name)) for name in named)
    keys = [row.toml for row in BINDING_TYPES.values() if row.toml]
    assert len(set(keys)) == len(keys) == len(binding_forms())


def test_the_table_knows_what_the_local_runtime_serves() -> None:
    """A row says what the runtime's own refusal says; local/ shares no rule, so only this test holds them together."""
    judged = [row for row in BINDING_TYPES.values() if row.type != "inherit" and not row.only_wrangler]
    assert len(judged) > 35
    for row in judged:
        refused = unsupported({"name": "B", "type": row.type})
        assert (refused is None) == (not row.not_local), row.type
        assert row.not_local in (refused or ""), row.type
