"""The upload form as recorded from wrangler and as the OpenAPI document says; live JSON back into the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.settings import decode_split
from notebook_do.errors import ApiError, CredentialError
from notebook_do.model import (
    ClassBinding,
    CreateClass,
    Json,
    Migration,
    MigrationTag,
    Module,
    ModuleKind,
    PlainText,
    RenameClass,
    Resource,
    Secret,
    ServiceBinding,
    Storage,
    ValueBinding,
)
from notebook_do.model.steps import KEPT, Upload

TESTS = Path(__file__).parent.parent
OPENAPI = json.loads((TESTS / "openapi" / "workers.json").read_text())
SOURCE = b"export class Counter {}"


def upload(**changes: Any) -> Upload:
    """Write an upload like the one that was recorded."""
    facts: dict[str, Any] = {
        "worker": "counter",
        "script_name": "counter",
        "main_module": "index.js",
        "modules": (
            Module(name="index.js", content=SOURCE),
            Module(name="index.js.map", content=b"{}", kind=ModuleKind.SOURCE_MAP),
        ),
        "bindings": (ClassBinding(name="COUNTER", class_name="Counter"),),
        "compatibility_date": "2026-11-01",
        "compatibility_flags": (),
        "options": Json({}),
        "tags": (),
        "migration": Migration(
            wire="migrations",
            class_migrations=(CreateClass(stable_id="c", class_name="Counter", storage=Storage.SQLITE),),  # type: ignore[arg-type]
            new_tag=MigrationTag("v1"),
        ),
        "creates": True,
    }
    return Upload(**(facts | changes))


def metadata_of(step: Upload) -> dict[str, Any]:
    """Encode and parse the metadata."""
    parsed: dict[str, Any] = json.loads(wire.encode_upload(step, op="0123456789abcdef").metadata.open())
    return parsed


def recorded_uploads() -> list[dict[str, Any]]:
    """Give the recorded uploads of wrangler."""
    requests = [r for f in sorted((TESTS / "wire").glob("wrangler*.json")) for r in json.loads(f.read_text())]
    return [r for r in requests if r["method"] == "PUT"]


RENAME = Migration(
    wire="migrations",
    class_migrations=(
        RenameClass(
            stable_id="c",  # type: ignore[arg-type]
            namespace_id="n",  # type: ignore[arg-type]
            from_class="Counter",
            to_class="Tally",
            storage=Storage.SQLITE,
        ),
    ),
    classes=(("Tally", Storage.SQLITE),),
    old_tag=MigrationTag("v1"),
    new_tag=MigrationTag("v2"),
)
TALLY = (ClassBinding(name="COUNTER", class_name="Tally"),)
AS_RECORDED = (
    upload(),
    upload(bindings=TALLY, migration=RENAME),
    upload(
        bindings=TALLY,
        migration=Migration(wire="exports", class_migrations=RENAME.class_migrations, classes=RENAME.classes),
    ),
)


@pytest.mark.parametrize("index", range(3))
def test_the_form_is_what_wrangler_sends(index: int) -> None:
    """Part names, file names, content types and metadata equal the recorded upload.

    We add our tag, and leave to Cloudflare when running objects take the new code.
    """
    recorded = recorded_uploads()[index]
    form = wire.encode_upload(AS_RECORDED[index], op="0" * 16)
    ours = [("metadata", None, None)] + [(name, file, kind) for name, (file, _, kind) in form.parts]
    assert ours == [(p["name"], p["filename"], p["ct"]) for p in recorded["parts"]]
    expected = {k: v for k, v in recorded["metadata"].items() if k != "code_update_strategy"}
    assert json.loads(form.metadata.open()) == expected | {"tags": ["ndo:op:" + "0" * 16]}


def resolved(schema: Any) -> Any:
    """Make OpenAPI 3.0 plain JSON schema: `nullable` is a type, and its alternatives may overlap as they do there."""
    if isinstance(schema, dict):
        schema = {"anyOf" if k == "oneOf" else k: resolved(v) for k, v in schema.items()}
        if schema.pop("nullable", False) and isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
    elif isinstance(schema, list):
        return [resolved(v) for v in schema]
    return schema


EVERY_BINDING = (
    ClassBinding(name="A", class_name="Counter"),
    ClassBinding(name="B", class_name="Other", script_name="host", environment="production"),
    ValueBinding(name="C", value=PlainText(text="text")),
    ValueBinding(name="D", value=Json({"deep": [1, None]})),
    ValueBinding(name="E", value=Secret(source="env", key="WIRE_SECRET")),
    ValueBinding(name="F", value=ServiceBinding(worker="other", entrypoint="Named")),
    ValueBinding(name="G", value=Resource(type="kv_namespace", fields=Json({"namespace_id": "k"}))),
    ValueBinding(name="H", value=Resource(type="r2_bucket", fields=Json({"bucket_name": "b"}))),
    ValueBinding(name="I", value=Resource(type="d1", fields=Json({"id": "d"}))),
    ValueBinding(name="J", value=Resource(type="queue", fields=Json({"queue_name": "q"}))),
    ValueBinding(name="K", value=Resource(type="ai", fields=Json({}))),
)


IN_SCHEMA = tuple(b for b in EVERY_BINDING if b.name != "I")
"""Wrangler names a D1 database `id`, where the schema wants `database_id`: wrangler is what Cloudflare is used to."""


@pytest.mark.parametrize("step", [*AS_RECORDED, upload(bindings=IN_SCHEMA, migration=None)])
def test_metadata_is_valid_by_the_openapi_document(step: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata of every kind of binding and migration satisfies the schema of the upload endpoint."""
    monkeypatch.setenv("WIRE_SECRET", "s3cret")
    schema = {"$ref": "#/components/schemas/Metadata", "components": resolved(OPENAPI["components"])}
    validator = jsonschema.Draft202012Validator(schema)
    metadata = metadata_of(step)
    assert [error.message for error in validator.iter_errors(metadata)] == []
    assert not validator.is_valid({**metadata, "bindings": "none"})


@pytest.mark.parametrize(
    "binding", [b for b in EVERY_BINDING if not isinstance(b, ValueBinding) or not isinstance(b.value, Secret)]
)
def test_bindings_round_trip(binding: Any) -> None:
    """A binding that was uploaded is observed as the same binding."""
    assert wire.decode_binding(wire.encode_binding(binding, lambda secret: secret.key), "counter") == binding


def test_a_binding_of_an_unknown_type_is_carried_unchanged() -> None:
    """A type that nobody knew yet goes through with all its fields."""
    item = {"name": "X", "type": "quantum", "qubits": 3, "nested": {"a": [1]}}
    binding = wire.decode_binding(item, "s")
    assert wire.encode_binding(binding, lambda secret: secret.key) == item


def test_own_class_named_with_its_script_is_own() -> None:
    """A live binding that names its own script is the binding without a script name."""
    item = {
        "name": "X",
        "type": "durable_object_namespace",
        "class_name": "C",
        "script_name": "me",
        "namespace_id": "n",
    }
    binding = wire.decode_binding(item, "me")
    assert isinstance(binding, ClassBinding)
    assert (binding.script_name, binding.namespace_id) == (None, "n")


def test_a_live_secret_shows_no_value() -> None:
    """S06: even when an API answered a secret's text, it is dropped."""
    binding = wire.decode_binding({"name": "X", "type": "secret_text", "text": "oops"}, "s")
    assert binding == ValueBinding(name="X", value=Resource(type="secret_text", fields=Json({})))


def test_s01_the_form_does_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """S01, S06: repr and digest of a form know nothing of a secret's value; the digest knows where it comes from."""
    step = upload(bindings=EVERY_BINDING, migration=None)
    monkeypatch.setenv("WIRE_SECRET", "first-value")
    one = wire.encode_upload(step, op="1" * 16)
    monkeypatch.setenv("WIRE_SECRET", "second-value")
    two = wire.encode_upload(step, op="1" * 16)
    assert one.digest == two.digest
    assert one.metadata.open() != two.metadata.open()
    assert [s.open() for s in one.secrets] == ["first-value"]
    assert "first-value" not in repr(one)
    other = upload(bindings=(ValueBinding(name="E", value=Secret(source="env", key="HOME")),), migration=None)
    assert wire.encode_upload(other, op="1" * 16).digest != one.digest


def test_a_secret_that_is_not_set() -> None:
    """A missing environment variable is named."""
    step = upload(bindings=(ValueBinding(name="E", value=Secret(source="env", key="SURELY_NOT_SET")),))
    with pytest.raises(CredentialError, match="SURELY_NOT_SET"):
        wire.encode_upload(step, op="1" * 16)


def test_options_never_replace_what_the_plan_says() -> None:
    """Options pass through, but bindings, migrations, tags and modules come from the plan alone."""
    options = Json(
        {"observability": {"enabled": True}, "bindings": [], "migrations": {}, "tags": ["x"], "main_module": "y"}
    )
    metadata = metadata_of(upload(options=options))
    assert metadata["observability"] == {"enabled": True}
    assert metadata["main_module"] == "index.js"
    assert metadata["bindings"]
    assert metadata["migrations"]["new_tag"] == "v1"
    assert "x" not in metadata["tags"]


@pytest.mark.parametrize("count", [0, 9, 10])
def test_our_tag_takes_only_free_room(count: int) -> None:
    """Cloudflare takes ten tags: ours is left out rather than another's; an older one of ours is replaced."""
    tags = tuple(f"t{i}" for i in range(count))
    sent = metadata_of(upload(tags=tags))["tags"]
    assert sent[:count] == list(tags)
    assert len(sent) == min(10, count + 1)
    assert metadata_of(upload(tags=("ndo:op:old", *tags)))["tags"] == sent


def test_module_kinds_have_content_types() -> None:
    """Every kind of module has its content type, and content travels byte for byte."""
    modules = tuple(Module(name=f"m.{k}", content=bytes([0, 13, 10, 255]), kind=k) for k in ModuleKind)
    form = wire.encode_upload(upload(modules=modules), op="1" * 16)
    types = {name.removeprefix("m."): kind for name, (_, _, kind) in form.parts}
    assert types["wasm"] == "application/wasm"
    assert types["python"] == "text/x-python"
    assert len(set(types.values())) == len(ModuleKind)
    assert all(content == bytes([0, 13, 10, 255]) for _, (_, content, _) in form.parts)


def test_lifecycle_of_a_live_script() -> None:
    """A script is in the `exports` form when it declares a Durable Object export, else by its tag."""
    durable = {"Counter": {"type": "durable-object", "storage": "sqlite"}}
    assert wire.decode_script({"id": "s", "exports": durable, "migration_tag": "t"}).lifecycle == "exports"
    assert (
        wire.decode_script({"id": "s", "exports": {"X": {"type": "worker"}}, "migration_tag": "t"}).lifecycle
        == "migrations"
    )
    assert wire.decode_script({"id": "s", "exports": None}).lifecycle is None
    assert wire.decode_script({"id": "s", "migration_tag": ""}).migration_tag is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "name",
                    "type",
                    "bindings",
                    "exports",
                    "tags",
                    "script",
                    "class",
                    "use_sqlite",
                    "versions",
                    "text",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(item=JSON)
def test_s31_decoders_raise_only_typed_errors(item: Any) -> None:
    """S31: any JSON in the place of an answer is decoded or refused with an ApiError, nothing else."""
    for decode in (
        wire.decode_script,
        wire.decode_namespace,
        lambda i: wire.decode_settings(i, "s"),
        lambda i: wire.decode_binding(i, "s"),
        lambda i: wire.count_stored(i if isinstance(i, list) else [i]),
    ):
        try:
            decode(item)
        except ApiError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both ends are right: decoded, or refused in one line
    decode_split(item if isinstance(item, list) else [])


def test_digest_covers_code() -> None:
    """Two forms that differ in one byte of a module differ in their digest."""
    one, two = (
        wire.encode_upload(upload(modules=(Module(name="index.js", content=c),)), op="1" * 16).digest
        for c in (b"a", b"b")
    )
    assert one != two
    assert one != hashlib.sha256(b"a").hexdigest()


def test_a_secret_that_stays_is_kept_by_its_type_and_not_sent_as_inherit() -> None:
    """One of the two, never both: what they mean together is not known of the real API."""
    kept = ValueBinding(name="KEY", value=KEPT)
    word = ValueBinding(name="WORD", value=PlainText(text="hi"))
    sent = metadata_of(upload(bindings=(kept, word)))
    assert sent["bindings"] == [{"name": "WORD", "type": "plain_text", "text": "hi"}]
    assert sent["keep_bindings"] == ["secret_text", "secret_key"]


def test_where_a_secret_goes_each_other_one_is_inherited_by_name() -> None:
    """An upload that removes one secret keeps none by its type, which would keep that one too."""
    word = ValueBinding(name="WORD", value=PlainText(text="hi"))
    sent = metadata_of(upload(bindings=(word,), named_secrets=("KEY", "THEIRS")))
    assert sent["bindings"][1:] == [{"name": "KEY", "type": "inherit"}, {"name": "THEIRS", "type": "inherit"}]
    assert "keep_bindings" not in sent
    assert "keep_bindings" not in metadata_of(upload(bindings=(word,), named_secrets=()))
