"""Every binding type goes through import, export and the real wrangler, and comes out as it was live."""

from __future__ import annotations

import json
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

import pytest
from test_every_binding import CASES, HOST, ROOMS, in_python

from notebook_do.cloudflare.wire import decode_binding, encode_binding
from notebook_do.declare.catalog import Catalog
from notebook_do.interchange.cells import import_cells
from notebook_do.interchange.exporting import write_files
from notebook_do.interchange.wrangler import wrangler_files
from notebook_do.live.adopt import adopted
from notebook_do.model import (
    RESOURCE_TYPES,
    Json,
    Module,
    ModuleKind,
    Observed,
    ObservedScript,
    ObservedTrigger,
    Recorded,
)
from notebook_do.plan.build import build_plan
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from pathlib import Path

DATE = "2026-06-01"
SOURCE = b"""import x from './x'; import './lib/more.mjs'; export class Sales {}
export default { fetch: () => new Response(String(x)) };"""
MODULES = (
    Module(name="index.js", content=SOURCE),
    Module(name="x", content=bytes(range(256)), kind=ModuleKind.DATA),
    Module(name="y", content=b"y", kind=ModuleKind.DATA),
    Module(name="lib/more.mjs", content=b"export const more = 1;"),
    Module(name="words", content=b"words", kind=ModuleKind.TEXT),
)
OWN_KEYS = (
    *("agent_memory", "ai", "ai_search", "ai_search_namespaces", "analytics_engine_datasets", "artifacts", "browser"),
    *("cache", "d1_databases", "dispatch_namespaces", "durable_objects", "flagship", "hyperdrive", "images"),
    *("kv_namespaces", "limits", "logfwdr", "logpush", "media", "mtls_certificates", "observability", "pipelines"),
    *("placement", "queues", "r2_buckets", "ratelimits", "secrets_store_secrets", "send_email", "services"),
    *("tail_consumers", "vars", "vectorize", "version_metadata", "vpc_networks", "vpc_services", "worker_loaders"),
    "workflows",
)
"""Keys of wrangler's config-schema.json, each for the type that it is for."""
OUTBOUND = {"worker": {"service": "guard", "environment": "qa"}, "params": [{"name": "a"}, {"name": "b"}]}
FORMS: tuple[dict[str, Any], ...] = (
    {"type": "json", "json": "a text that is JSON"},
    {"type": "json", "json": None},
    {"type": "json", "json": [1, {"a": False}]},
    {"type": "service", "service": "host", "entrypoint": "Admin", "environment": "production", "props": {"a": [1]}},
    {"type": "ai", "staging": True},
    {"type": "browser"},
    {"type": "version_metadata"},
    {"type": "d1", "id": "5f", "database_id": "5f", "internal": "kept"},
    {"type": "dispatch_namespace", "namespace": "n", "outbound": OUTBOUND},
    {"type": "dispatch_namespace", "namespace": "n", "outbound": {"worker": {"service": "g", "entrypoint": "E"}}},
    {"type": "kv_namespace", "namespace_id": "k", "raw": True},
    {"type": "pipelines", "stream": "s"},
    {"type": "queue", "queue_name": "jobs", "delivery_delay": 5},
    {"type": "r2_bucket", "bucket_name": "pictures", "jurisdiction": "eu"},
    {"type": "send_email", "allowed_destination_addresses": ["a@example.com"], "allowed_sender_addresses": ["b@c.de"]},
    {"type": "send_email", "destination_address": "a@example.com", "allowed_destination_addresses": ["a@example.com"]},
    {"type": "vpc_network", "network_id": "n"},
    {"type": "vpc_network", "tunnel_id": "t", "identity": "i"},
    {"type": "vpc_service", "service_id": "s", "service_name": "filled in by the account"},
    {"type": "workflow", "workflow_name": "orders"},
    {"type": "workflow", "workflow_name": "orders", "class_name": "Orders", "script_name": "host"},
    {"type": "logfwdr", "destination": "d"},
    {"type": "agent_memory", "namespace": "n"},
    {"type": "durable_object_namespace", "class_name": "Room", "script_name": "host", "namespace_id": "9" * 32},
)
"""Bindings as an account answers them, in forms that the declarations of `CASES` do not have."""


def all_of_them() -> list[dict[str, Any]]:
    """Give every type that can be declared, in two forms, and those above, as one Worker could have them."""
    found = []
    for kind, case in sorted(CASES.items()):
        for number, made in enumerate((case.made, case.other)):
            (binding,) = in_python(made).workers[0].bindings
            item = encode_binding(binding, lambda _: "")
            found.append({**item, "name": f"{kind}_{number}".upper()})
    found += [{"name": f"FORM_{number}", **form} for number, form in enumerate(FORMS)]
    assert {b["type"] for b in found} >= RESOURCE_TYPES.keys()
    return sorted(found, key=lambda b: str(b["name"]))


def account(bindings: list[dict[str, Any]], **facts: Any) -> Observed:
    """Give an account with the Worker, its bindings read back as Cloudflare shows them."""
    shown = [{"environment": None, "jurisdiction": None, **b} for b in bindings]
    script = ObservedScript(
        name="w",
        lifecycle="exports",
        bindings=tuple(decode_binding(b, "w") for b in shown),
        compatibility_date=DATE,
        url=True,
        **facts,
    )
    own = [b for b in bindings if b["type"] == "workflow" and b.get("class_name") and not b.get("script_name")]
    hosted = {b["workflow_name"]: b["class_name"] for b in own}
    workflows = tuple(
        ObservedTrigger(kind="workflow", key=name, script="w", settings=Json({"class_name": kind}), id="1", parent="-")
        for name, kind in hosted.items()
    )
    there = {"scripts": (HOST, script), "namespaces": (ROOMS,), "triggers": workflows}
    return Observed(account_id="a" * 32, api_origin="http://x", **there)


def sent_by(wrangler: Any, folder: Path) -> tuple[dict[str, Any], dict[str, tuple[str, bytes]]]:
    """Give the metadata and the parts that wrangler would send for a project."""
    wrangler("deploy", "--dry-run", "--outfile", "form.bin", cwd=folder)
    body = (folder / "form.bin").read_bytes()
    boundary = body.partition(b"\r\n")[0].removeprefix(b"--")
    head = b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
    parts = {}
    for part in BytesParser().parsebytes(head + body).get_payload():
        name = str(part.get_param("name", header="content-disposition"))  # type: ignore[union-attr]
        parts[name] = part.get_content_type(), part.get_payload(decode=True)  # type: ignore[union-attr]
    return json.loads(parts.pop("metadata")[1]), parts  # type: ignore[return-value, arg-type]


@pytest.fixture
def wrangler(cloud: Any, node: Path, node_packages: Path) -> Any:
    """Run wrangler."""
    program = node_packages / "wrangler" / "bin" / "wrangler.js"
    return lambda *words, cwd: cloud.run(node, program, *words, cwd=cwd)


def exported(there: Observed, folder: Path) -> tuple[Any, Recorded]:
    """Import the Worker and export it; gives what is declared and recorded then."""
    imported = import_cells(there, ["w"], {"w": MODULES})
    catalog = Catalog()
    catalog.declare(*imported.declarations)
    desired = catalog.desired("s", "production", read=reader())
    known = adopted(Recorded(lineage="f" * 32), desired, there)
    write_files(folder, wrangler_files(desired, known, there))
    return desired, known


def plain(binding: dict[str, Any]) -> dict[str, Any]:
    """Reduce a binding to what it says: without nulls, and without what an account fills in by itself."""
    kept = {k: v for k, v in binding.items() if v is not None or k == "json"}
    kept.pop("namespace_id", None) if kept["type"] == "durable_object_namespace" else None
    kept.pop("service_name", None)
    if kept["type"] == "d1":
        kept["id"] = kept.pop("database_id", kept.get("id"))
    return kept


@pytest.mark.thorough
def test_every_binding_type_comes_out_as_it_was(wrangler: Any, tmp_path: Path) -> None:
    """The multipart that wrangler sends has every binding of the live Worker, equal field by field; the plan is empty.

    Settings for which it has no key are there as well, and every module has its name, type and bytes.
    """
    bindings = all_of_them()
    settings = {
        "observability": {"enabled": True, "head_sampling_rate": 0.5, "logs": {"enabled": False}},
        "placement": {"mode": "targeted", "region": "aws:us-east-1"},
        "limits": {"cpu_ms": 50, "subrequests": 7},
        "logpush": True,
        "tail_consumers": [{"service": "host"}],
        "cache_options": {"enabled": True},
    }
    there = account(bindings, options=Json(settings), tags=("team-a", "ndo:x"), compatibility_flags=("nodejs_compat",))
    desired, known = exported(there, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "w" / "wrangler.jsonc").read_text())
    assert [key for key in OWN_KEYS if not config.get(key)] == []
    metadata, parts = sent_by(wrangler, tmp_path / "out" / "w")
    sent = {b["name"]: plain(b) for b in metadata["bindings"]}
    assert sent == {b["name"]: plain(b) for b in bindings}
    assert {k: metadata[k] for k in settings} == settings
    assert (metadata["compatibility_date"], metadata["compatibility_flags"]) == (DATE, ["nodejs_compat"])
    assert metadata["keep_bindings"] == ["secret_text", "secret_key"]
    assert "tags" not in metadata, "so they stay"
    types = {ModuleKind.ESM: "application/javascript+module", ModuleKind.DATA: "application/octet-stream"}
    assert parts == {m.name: (types.get(m.kind, "text/plain"), m.content) for m in MODULES}
    after = account(
        metadata["bindings"], options=Json(settings), tags=("team-a", "ndo:x"), compatibility_flags=("nodejs_compat",)
    )
    plan = build_plan(desired, known, after, target="cloudflare", default_compatibility_date=DATE)
    assert [r.message for r in plan.refusals] == []
    assert plan.empty, [c.detail for c in (*plan.changes, *plan.drift)]
