"""Every binding type on its whole way: declared, planned, encoded, read back, changed, imported."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import pytest

import notebook_do as nd
from notebook_do.cloudflare.wire import decode_binding, encode_binding, encode_upload
from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.interchange.cells import import_cells
from notebook_do.interchange.importing import secret_notes
from notebook_do.live.adopt import adopted
from notebook_do.local.runtime.bindings import unsupported
from notebook_do.model import (
    RESOURCE_TYPES,
    Module,
    NamespaceId,
    Observed,
    ObservedNamespace,
    ObservedScript,
    ObservedTrigger,
    Recorded,
    Storage,
    ValueBinding,
    Worker,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.workers.bindings import same_binding
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from notebook_do.model import Desired
    from notebook_do.plan.plan import Change, Plan

SOURCE = (
    "export class Room {}\nexport class Hall {}\nexport class Orders {}\nexport class Sales {}\nexport default {};\n"
)
DATE = "2026-06-01"
ROOMS = ObservedNamespace(
    namespace_id=NamespaceId("9" * 32), script_name="host", class_name="Room", storage=Storage.SQLITE
)
HOST = ObservedScript(name="host", lifecycle="exports", bindings=(), tags=())


class Case(NamedTuple):
    """A binding: as Python, as TOML, as the words of the magic's line, what the plan calls it, and another one."""

    made: Any
    toml: str
    words: str
    other: Any
    other_words: str
    line: str = ""
    target: str = ""


CASES: dict[str, Case] = {
    "plain_text": Case("a b", '"a b"', "a b", "c", "c", line="--var 'B=a b'"),
    "json": Case(
        nd.Json({"a": [1]}), "{json = {a = [1]}}", '{"a": [1]}',
        nd.Json({"a": [2]}), '{"a": [2]}', line="""--json 'B={"a":[1]}'"""
    ),
    "service": Case(
        nd.Service("host"), '{service = "host"}', "service: Worker host",
        nd.Service("host", entrypoint="Admin"), "service: Worker host (entrypoint Admin)",
        line="--service B=host", target="host",
    ),
    "ai": Case(nd.AI(), '{type = "ai"}', "AI", nd.Browser(), "Browser Rendering"),
    "ai_search": Case(
        nd.AiSearch("docs", namespace="mine"), '{ai_search = "docs", namespace = "mine"}',
        "AI Search instance docs (namespace mine)",
        nd.AiSearch("docs"), "AI Search instance docs", target="docs",
    ),
    "ai_search_namespace": Case(
        nd.AiSearchNamespace("mine"), '{type = "ai_search_namespace", namespace = "mine"}', "AI Search namespace mine",
        nd.AiSearchNamespace("yours"), "AI Search namespace yours", target="mine",
    ),
    "analytics_engine": Case(
        nd.AnalyticsEngine("hits"), '{analytics_engine = "hits"}', "Analytics Engine dataset hits",
        nd.AnalyticsEngine("clicks"), "Analytics Engine dataset clicks", target="hits",
    ),
    "artifacts": Case(
        nd.Artifacts("mine"), '{artifacts = "mine"}', "Artifacts namespace mine",
        nd.Artifacts("yours"), "Artifacts namespace yours", target="mine",
    ),
    "assets": Case(nd.Assets(), '{type = "assets"}', "static assets", nd.Images(), "Images"),
    "browser": Case(nd.Browser(), '{type = "browser"}', "Browser Rendering", nd.AI(), "AI"),
    "d1": Case(nd.D1("3f"), '{d1 = "3f"}', "D1 database 3f", nd.D1("4f"), "D1 database 4f", target="3f"),
    "data_blob": Case(
        nd.Resource(type="data_blob", fields=nd.Json({"part": "x"})), '{type = "data_blob", part = "x"}', "data blob x",
        nd.Resource(type="data_blob", fields=nd.Json({"part": "y"})), "data blob y", target="x",
    ),
    "dispatch_namespace": Case(
        nd.DispatchNamespace("customers"), '{dispatch_namespace = "customers"}', "dispatch namespace customers",
        nd.DispatchNamespace("customers", outbound={"worker": {"service": "guard"}}),
        'dispatch namespace customers (outbound {"worker": {"service": "guard"}})', target="customers",
    ),
    "flagship": Case(
        nd.Flagship("a"), '{type = "flagship", app_id = "a"}', "Flagship app a",
        nd.Flagship("b"), "Flagship app b", target="a",
    ),
    "hyperdrive": Case(
        nd.Hyperdrive("h"), '{hyperdrive = "h"}', "Hyperdrive h", nd.Hyperdrive("i"), "Hyperdrive i", target="h"
    ),
    "images": Case(nd.Images(), '{type = "images"}', "Images", nd.Media(), "Media Transformations"),
    "kv_namespace": Case(nd.KV("k"), '{kv = "k"}', "KV k", nd.KV("l"), "KV l", target="k"),
    "media": Case(nd.Media(), '{type = "media"}', "Media Transformations", nd.Images(), "Images"),
    "messaging": Case(
        nd.Resource(type="messaging", fields=nd.Json({"namespace": "m"})), '{type = "messaging", namespace = "m"}',
        "messaging m", nd.Resource(type="messaging", fields=nd.Json({"namespace": "n"})), "messaging n", target="m",
    ),
    "mtls_certificate": Case(
        nd.MtlsCertificate("c"), '{mtls_certificate = "c"}', "mTLS certificate c",
        nd.MtlsCertificate("d"), "mTLS certificate d", target="c",
    ),
    "pipelines": Case(
        nd.Pipeline("events"), '{pipeline = "events"}', "pipeline events",
        nd.Pipeline("sales"), "pipeline sales", target="events",
    ),
    "queue": Case(nd.Queue("jobs"), '{queue = "jobs"}', "queue jobs", nd.Queue("mail"), "queue mail", target="jobs"),
    "r2_bucket": Case(
        nd.R2("pictures"), '{r2 = "pictures"}', "R2 bucket pictures",
        nd.R2("pictures", jurisdiction="eu"), "R2 bucket pictures (jurisdiction eu)", target="pictures",
    ),
    "ratelimit": Case(
        nd.RateLimit("1", limit=5, period=10), '{ratelimit = "1", limit = 5, period = 10}',
        "rate limit 1 (limit 5, period 10)",
        nd.RateLimit("1", limit=5, period=60), "rate limit 1 (limit 5, period 60)", target="1",
    ),
    "secrets_store_secret": Case(
        nd.SecretsStoreSecret("store", "KEY"),
        '{type = "secrets_store_secret", store_id = "store", secret_name = "KEY"}',
        "Secrets Store secret store (secret name KEY)",
        nd.SecretsStoreSecret("store", "KEY2"), "Secrets Store secret store (secret name KEY2)", target="store",
    ),
    "send_email": Case(
        nd.SendEmail("a@example.com"), '{type = "send_email", destination_address = "a@example.com"}',
        "email a@example.com", nd.SendEmail(), "email", target="a@example.com",
    ),
    "text_blob": Case(
        nd.Resource(type="text_blob", fields=nd.Json({"part": "x"})), '{type = "text_blob", part = "x"}', "text blob x",
        nd.Resource(type="text_blob", fields=nd.Json({"part": "y"})), "text blob y", target="x",
    ),
    "vectorize": Case(
        nd.Vectorize("words"), '{vectorize = "words"}', "Vectorize index words",
        nd.Vectorize("images"), "Vectorize index images", target="words",
    ),
    "version_metadata": Case(
        nd.VersionMetadata(), '{type = "version_metadata"}', "version metadata", nd.WorkerLoader(), "worker loader"
    ),
    "vpc_network": Case(
        nd.VpcNetwork(tunnel_id="t"), '{type = "vpc_network", tunnel_id = "t"}', "VPC network t",
        nd.VpcNetwork(network_id="t"), "VPC network t", target="t",
    ),
    "vpc_service": Case(
        nd.VpcService("v"), '{vpc_service = "v"}', "VPC service v", nd.VpcService("w"), "VPC service w", target="v"
    ),
    "wasm_module": Case(
        nd.Resource(type="wasm_module", fields=nd.Json({"part": "x"})), '{type = "wasm_module", part = "x"}',
        "wasm module x",
        nd.Resource(type="wasm_module", fields=nd.Json({"part": "y"})), "wasm module y", target="x",
    ),
    "worker_loader": Case(
        nd.WorkerLoader(), '{type = "worker_loader"}', "worker loader", nd.VersionMetadata(), "version metadata"
    ),
    "workflow": Case(
        nd.Workflow("orders", class_name="Orders"), '{workflow = "orders", class_name = "Orders"}',
        "workflow orders (class name Orders)",
        nd.Workflow("orders", class_name="Sales"), "workflow orders (class name Sales)", target="orders",
    ),
    "teleporter": Case(  # nobody knows it yet
        nd.Resource(type="teleporter", fields=nd.Json({"depth": {"a": [1]}, "flavour": "new"})),
        '{type = "teleporter", flavour = "new", depth = {a = [1]}}', "teleporter new",
        nd.Resource(type="teleporter", fields=nd.Json({"depth": {"a": [1]}, "flavour": "old"})), "teleporter old",
        target="new",
    ),
    # A namespace of a script in a dispatch namespace is in no list of namespaces.
    "durable_object_namespace": Case(
        nd.Resource(
            type="durable_object_namespace",
            fields=nd.Json({"class_name": "Room", "script_name": "far", "dispatch_namespace": "customers"}),
        ),
        (
            '{type = "durable_object_namespace", class_name = "Room", script_name = "far", '
            'dispatch_namespace = "customers"}'
        ),
        "Durable Object Room",
        nd.Resource(
            type="durable_object_namespace",
            fields=nd.Json({"class_name": "Hall", "script_name": "far", "dispatch_namespace": "customers"}),
        ),
        "Durable Object Hall", target="Room",
    ),
}  # fmt: skip


@functools.cache
def schemas() -> dict[str, Any]:
    """Read Cloudflare's schema of each binding type."""
    document = json.loads((Path(__file__).parent / "openapi" / "workers.json").read_text())
    found = {}
    for name, schema in document["components"]["schemas"].items():
        if name.startswith("BindingWorkersBindingKind") and "type" in schema.get("properties", {}):
            found[schema["properties"]["type"]["enum"][0]] = {**schema, "components": document["components"]}
    return found


def planned(desired: Desired, observed: Observed, recorded: Recorded | None = None) -> Plan:
    """Plan it."""
    known = recorded or Recorded(lineage="f" * 32, account_id=observed.account_id, api_origin=observed.api_origin)
    plan = build_plan(desired, known, observed, target="cloudflare", default_compatibility_date=DATE)
    assert [r.message for r in plan.refusals] == []
    return plan


def account(*scripts: ObservedScript) -> Observed:
    """Give an account with the host, its namespace, and other scripts, with the workflows that they host."""
    triggers = tuple(
        ObservedTrigger(kind="workflow", key=f["workflow_name"], script=s.name, settings=_class(f), id="1", parent="-")
        for s in scripts
        for f in _workflows(s)
    )
    return Observed(
        account_id="a" * 32, api_origin="http://x", scripts=(HOST, *scripts), namespaces=(ROOMS,), triggers=triggers
    )


def _workflows(script: ObservedScript) -> list[dict[str, Any]]:
    values = [b.value for b in script.bindings or () if isinstance(b, ValueBinding)]
    return [v.fields.value for v in values if isinstance(v, nd.Resource) and v.type == "workflow"]


def _class(fields: dict[str, Any]) -> nd.Json:
    return nd.Json({"class_name": fields["class_name"]})


def declared(*cells: tuple[str, str | None], items: tuple[Any, ...] = ()) -> Desired:
    """Resolve cells and declarations."""
    catalog = Catalog()
    for cell in cells:
        catalog.declare(*parse_cell(*cell))
    catalog.declare(*items)
    return catalog.desired("s", "production", read=reader())


def in_python(value: Any) -> Desired:
    """Declare a Worker with one binding."""
    return declared(items=(nd.Worker("w", script=SOURCE, bindings={"B": value}),))


def live(upload: Upload, reveal: str = "") -> ObservedScript:
    """Give what an account answers after an upload: its very bindings, read back, null where it leaves a field open."""
    sent = [encode_binding(b, lambda _: reveal) for b in upload.bindings]
    back = [json.loads(json.dumps({"jurisdiction": None, "environment": None, **item})) for item in sent]
    return ObservedScript(
        name=upload.script_name,
        lifecycle="exports",
        bindings=tuple(decode_binding(item, upload.script_name) for item in back),
        compatibility_date=upload.compatibility_date,
        url=True,
    )


def upload_of(plan: Plan) -> Upload:
    """Give the upload of the Worker w."""
    (step,) = (s for s in plan.steps if isinstance(s, Upload))
    return step


def binding_changes(plan: Plan) -> list[Change]:
    """Give what the plan says of bindings, drift included."""
    return [c for c in (*plan.changes, *plan.drift) if c.kind == "binding" and c.action != "noop"]


def test_the_table_has_every_type() -> None:
    """No known type is missing, nor any of Cloudflare's schema but those that are declared in other words."""
    apart = {"secret_text", "secret_key", "inherit", "k2"}
    assert set(RESOURCE_TYPES) <= set(CASES)
    assert schemas().keys() - apart <= set(CASES)


@pytest.mark.parametrize("kind", sorted(CASES))
def test_all_ways_to_declare_it_are_one(kind: str) -> None:
    """Python, TOML and, where it has an option, the magic's line declare the same Worker."""
    case = CASES[kind]
    body = f"[workers.w]\nscript = {json.dumps(SOURCE)}\n[workers.w.bindings]\nB = {case.toml}\n"
    wanted = in_python(case.made).workers
    assert declared(("", body)).workers == wanted
    if case.line:
        assert declared((f"worker w {case.line}", SOURCE)).workers == wanted


@pytest.mark.parametrize("kind", sorted(CASES))
def test_the_plan_says_it_and_the_upload_has_it(kind: str) -> None:
    """A row and a change in a person's words; JSON that fits Cloudflare's schema; read back it is the same."""
    case = CASES[kind]
    desired = in_python(case.made)
    plan = planned(desired, account())
    (change,) = binding_changes(plan)
    assert (change.action, change.name, change.before, change.after) == ("create", "B", "", case.words)
    (row,) = plan.bindings.to_dict("records")
    assert (row["binding"], row["type"], row["target"], row["action"]) == ("B", kind, case.target, "create")
    item = encode_binding(upload_of(plan).bindings[0], lambda _: "")
    if kind in schemas():
        jsonschema.Draft7Validator(schemas()[kind]).validate(item)
        assert set(item) <= set(schemas()[kind]["properties"])
    assert decode_binding(json.loads(json.dumps(item)), "w") == desired.workers[0].bindings[0]


@pytest.mark.parametrize("kind", sorted(CASES))
def test_a_change_of_one_field_is_one_update(kind: str) -> None:
    """Nothing to do while it is the same; another field is one update of that binding and no other change."""
    case = CASES[kind]
    desired = in_python(case.made)
    there = account(live(upload_of(planned(desired, account()))))
    known = adopted(Recorded(lineage="f" * 32), desired, there)
    assert planned(desired, there, known).empty
    plan = planned(in_python(case.other), there, known)
    told = [(c.kind, c.action, c.name, c.before, c.after) for c in (*plan.changes, *plan.drift) if c.action != "noop"]
    # The class of a workflow is the workflow's as well, which an upload leaves as it is.
    more = [("workflow", "update", "w", "", '{"class_name": "Sales"}')] if kind == "workflow" else []
    assert sorted(told) == [("binding", "update", "B", case.words, case.other_words), *more]
    changed = planned(desired, account(live(upload_of(plan))), known)
    assert [(c.action, c.before, c.after) for c in changed.drift] == [("update", case.other_words, case.words)]


def run(cells: tuple[str, ...]) -> Catalog:
    """Run imported cells: lines by the magic, the others as Python with constructors that register here."""
    catalog = Catalog()

    class Registering:
        """The package, whose Workers are declared in this catalog."""

        def __getattr__(self, name: str) -> Any:
            return getattr(nd, name)

        def Worker(self, id_: str, **more: Any) -> None:  # noqa: N802
            catalog.declare(nd.Worker(id_, **more))

    for cell in cells:
        first, newline, rest = cell.partition("\n")
        if first.startswith("%"):
            line = first.removeprefix("%%durable ").removeprefix("%durable ")
            catalog.declare(*parse_cell(line, rest if newline else None))
        else:
            exec(cell.replace("import notebook_do as nd\n", ""), {"nd": Registering()})
    return catalog


@pytest.mark.parametrize("kind", sorted(CASES))
def test_it_is_imported_as_the_same_declaration(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell of a live Worker declares what is live, and the plan that follows it has nothing to send."""
    case = CASES[kind]
    there = account(live(upload_of(planned(in_python(case.made), account()))))
    imported = import_cells(there, ["w"], {"w": (Module(name="index.js", content=SOURCE.encode()),)})
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "index.js").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    ran = run(imported.cells)
    by_cell, given = ran.workers["w"], Catalog()
    given.declare(*imported.declarations)
    assert by_cell.bindings == given.workers["w"].bindings
    assert by_cell.bindings["B"] == in_python(case.made).workers[0].bindings[0].value
    desired = ran.desired("s", "production", read=reader())
    assert planned(desired, there, adopted(Recorded(lineage="f" * 32), desired, there)).empty
    unknown = [note for note in imported.notes if "not known here (teleporter)" in note]
    assert bool(unknown) is (kind == "teleporter")


def test_secrets_and_unknown_types_survive_the_next_upload() -> None:
    """After an import, an upload of other code carries the unknown binding as it is and keeps both kinds of secret."""
    raw = [
        {"name": "NEW", "type": "teleporter", "depth": {"a": [1]}, "flavour": "new"},
        {"name": "KEY", "type": "secret_key", "algorithm": {"name": "HMAC"}, "format": "raw", "usages": ["sign"]},
        {"name": "WORD", "type": "secret_text"},
    ]
    script = ObservedScript(
        name="w", lifecycle="exports", bindings=tuple(decode_binding(b, "w") for b in raw), url=True
    )
    there = account(script)
    imported = import_cells(there, ["w"], {"w": (Module(name="index.js", content=SOURCE.encode()),)})
    assert any("secrets (KEY, WORD)" in note for note in secret_notes(Recorded(lineage="f" * 32), [script], ()))
    (worker,) = imported.declarations
    assert isinstance(worker, Worker)
    assert list(worker.bindings) == ["NEW"]
    known = adopted(Recorded(lineage="f" * 32), declared(items=(worker,)), there)
    plan = planned(
        declared(
            items=(replace(worker, script=None, modules=(Module(name="index.js", content=b"export default {};"),)),)
        ),
        there,
        known,
    )
    assert not binding_changes(plan), "neither the unknown one nor a secret changes"
    rows = [(r["binding"], r["type"]) for r in plan.bindings.to_dict("records")]
    assert sorted(rows) == [("KEY", "secret_key"), ("NEW", "teleporter"), ("WORD", "secret_text")]
    metadata = json.loads(encode_upload(upload_of(plan), op="o").metadata.open())
    assert metadata["bindings"] == [raw[0]]
    assert set(metadata["keep_bindings"]) == {"secret_text", "secret_key"}


def test_objects_of_this_worker_and_of_another() -> None:
    """Both kinds of object binding are planned, fit the schema, come back equal, and are imported by stable ID."""
    cells = (
        ("namespace rooms --class Room --script host --environment staging --namespace-id " + "9" * 32, None),
        ("namespace own --class Hall", None),
        ("worker w --bind FAR=rooms --bind OWN=own", SOURCE),
    )
    desired = declared(*cells)
    plan = planned(desired, account())
    assert {c.name: c.after for c in binding_changes(plan)} == {
        "FAR": "namespace rooms of Worker host (staging)",
        "OWN": "namespace own",
    }
    upload = upload_of(plan)
    for binding in upload.bindings:
        item = encode_binding(binding, lambda _: "")
        jsonschema.Draft7Validator(schemas()["durable_object_namespace"]).validate(item)
        back = decode_binding({**item, "namespace_id": "9" * 32}, "w")
        assert same_binding(back, binding, "w")
    hall = ObservedNamespace(
        namespace_id=NamespaceId("8" * 32), script_name="w", class_name="Hall", storage=Storage.SQLITE
    )
    there = replace(account(live(upload)), namespaces=(hall, ROOMS))
    known = adopted(Recorded(lineage="f" * 32), desired, there)
    moved = declared(
        ("namespace rooms --class Room --script host --environment qa --namespace-id " + "9" * 32, None), *cells[1:]
    )
    told = [(c.action, c.name, c.before, c.after) for c in binding_changes(planned(moved, there, known))]
    assert told == [("update", "FAR", "class Room of host (staging)", "namespace rooms of Worker host (qa)")]
    imported = import_cells(there, ["w"], {"w": (Module(name="index.js", content=SOURCE.encode()),)})
    again = run(imported.cells)
    assert {b.name: b.class_name for b in again.desired("s", "production", read=reader()).workers[0].bindings} == {
        "FAR": "Room",
        "OWN": "Hall",
    }


SERVED_HERE = {
    *("assets", "d1", "kv_namespace", "queue", "r2_bucket", "workflow"),
    *("plain_text", "secret_key"),
    "json",
    "service",
    "text_blob",
    "data_blob",
    "version_metadata",
    "worker_loader",
    "ratelimit",
    *("analytics_engine", "pipelines", "secrets_store_secret", "send_email"),
}


@pytest.mark.parametrize("kind", sorted(RESOURCE_TYPES.keys() | {"secret_key", "teleporter", "wasm_module"}))
def test_each_type_is_served_or_refused_in_one_line(kind: str) -> None:
    """The local runtime refuses what it cannot serve by the binding's name, its type and what to do."""
    said = unsupported({"name": "B", "type": kind})
    if kind in SERVED_HERE:
        assert said is None
        return
    assert said is not None
    assert said.startswith('binding "B": ')
    assert f"binding type {kind}" in said
    assert said.endswith("is not served by the local runtime; deploy to Cloudflare to use it.")
    assert "\n" not in said
