"""Turns an Upload into the upload endpoint's form, and Cloudflare's JSON into observed values.

What holds a secret's value leaves it sealed; a binding of a type that we have no word for is carried through unchanged.
Answers are decoded by hand and not by a typed decoder: Cloudflare adds fields and types at any time (`exports` got two
more in September 2026), so only what is needed is asked for, by name, and where that has another shape it is said so.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import CloseBoundaryNotFoundDefect
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.cloudflare.answer import named, text_in, texts_in
from notebook_do.cloudflare.lifecycle import (
    declares_classes,
    decode_entries,
    decode_expected,
    encode_lifecycle,
    headers_of,
)
from notebook_do.credentials.token import Sealed
from notebook_do.credentials.vault import Vault
from notebook_do.errors import ApiError
from notebook_do.model import (
    ClassBinding,
    Json,
    MigrationTag,
    Module,
    ModuleKind,
    NamespaceId,
    ObservedNamespace,
    ObservedObject,
    ObservedScript,
    PlainText,
    Resource,
    ScriptBinding,
    Secret,
    ServiceBinding,
    Storage,
    ValueBinding,
)
from notebook_do.model.declared import live_json
from notebook_do.model.steps import is_kept
from notebook_do.model.words import OP_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import MIMEPart

    from notebook_do.model import Lifecycle
    from notebook_do.model.steps import Upload

_MOST_TAGS = 10
"""Cloudflare refuses more ("You have exceeded the limit of 10 tags per Worker")."""
_CONTENT_TYPES = {
    ModuleKind.ESM: "application/javascript+module",
    ModuleKind.COMMONJS: "application/javascript",
    ModuleKind.PYTHON: "text/x-python",
    ModuleKind.WASM: "application/wasm",
    ModuleKind.TEXT: "text/plain",
    ModuleKind.DATA: "application/octet-stream",
    ModuleKind.JSON: "application/json",
    ModuleKind.SOURCE_MAP: "application/source-map",
}
# Cloudflare takes these two as well, so a script that others uploaded may come back with them.
_KINDS = {content_type: kind for kind, content_type in _CONTENT_TYPES.items()} | {
    "text/javascript+module": ModuleKind.ESM,
    "text/javascript": ModuleKind.COMMONJS,
}
_WRITTEN_HERE = frozenset(
    {
        "main_module",
        "body_part",
        "bindings",
        "compatibility_date",
        "compatibility_flags",
        "migrations",
        "exports",
        "tags",
        "assets",
        "keep_assets",
    }
)
"""Fields of the metadata that options never overwrite."""

Part = tuple[str, tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """The multipart form of one upload. `digest` covers all of it but the secrets' values."""

    metadata: Sealed
    parts: tuple[Part, ...] = field(repr=False)
    secrets: tuple[Sealed, ...]
    digest: str
    headers: Mapping[str, str] = field(default_factory=dict)


# --- model -> wire ---------------------------------------------------------------------------------------


def encode_upload(step: Upload, *, op: str, vault: Vault | None = None, assets: Sealed | None = None) -> UploadForm:
    """Write the form of one upload; raises CredentialError when a secret's value cannot be had.

    `op` names this very attempt: it travels as a script tag. Secrets come from `vault`. `assets` is the token
    that stands for the static assets that were sent before.
    """
    values = {secret: (vault or Vault()).read(secret) for secret in secrets_of(step).values()}
    parts = tuple((m.name, (m.name, m.content, _CONTENT_TYPES[m.kind])) for m in step.modules)
    # The digest goes into the journal, so it covers the secrets by where they come from: from a hash of their values
    # short ones could be guessed.
    hidden = _metadata(step, op, lambda secret: f"{secret.source}:{secret.key}")
    covered = [hidden, *(f"{name} {kind} {hashlib.sha256(body).hexdigest()}" for name, (_, body, kind) in parts)]
    hides = bool(values) or assets is not None
    return UploadForm(
        metadata=Sealed(
            _metadata(step, op, lambda secret: values[secret].open(), assets.open() if assets else "")
            if hides
            else hidden
        ),
        parts=parts,
        secrets=(*values.values(), *([assets] if assets else [])),
        digest=hashlib.sha256("\n".join(covered).encode()).hexdigest(),
        headers=headers_of(step),
    )


def secrets_of(step: Upload) -> dict[str, Secret]:
    """Return the secrets that an upload sets, by binding."""
    values = ((b.name, b.value) for b in step.bindings if isinstance(b, ValueBinding))
    return {name: value for name, value in values if isinstance(value, Secret)}


def _metadata(step: Upload, op: str, reveal: Callable[[Secret], str], assets: str = "") -> str:
    """Write the part `metadata`; `reveal` returns a secret's value, or what stands for it in a digest."""
    metadata: dict[str, Any] = {
        "main_module": step.main_module,
        "bindings": [encode_binding(b, reveal) for b in step.bindings if not is_kept(b)],
    }
    if step.compatibility_date is not None:
        metadata["compatibility_date"] = step.compatibility_date
    metadata["compatibility_flags"] = list(step.compatibility_flags)
    metadata |= encode_lifecycle(step)
    if step.assets is not None:
        metadata["assets"] = {"jwt": assets, "config": step.assets.config.value}
    if step.keeps_assets:
        metadata["keep_assets"] = True
    # Secrets stay by their types, undeclared ones too, as with wrangler; none is an `inherit` binding beside that.
    # Where one is to go, no type can stay, and each of the others is named.
    if step.named_secrets is None:
        metadata |= {"keep_bindings": ["secret_text", "secret_key"]}
    else:
        metadata["bindings"] += [{"name": name, "type": "inherit"} for name in step.named_secrets]
    tags = [t for t in step.tags if not t.startswith(OP_TAG)]
    metadata["tags"] = [*tags, OP_TAG + op] if carries_op(step) else tags
    metadata |= {key: value for key, value in step.options.value.items() if key not in _WRITTEN_HERE}
    return json.dumps(metadata, allow_nan=False, separators=(",", ":"))


def carries_op(step: Upload) -> bool:
    """Say whether the tags of an upload have room for the operation; no other tag is left out for it."""
    return sum(not t.startswith(OP_TAG) for t in step.tags) < _MOST_TAGS


def encode_binding(binding: ScriptBinding, reveal: Callable[[Secret], str]) -> dict[str, Any]:
    """Write one binding of an upload."""
    if isinstance(binding, ClassBinding):
        item = {"name": binding.name, "type": "durable_object_namespace", "class_name": binding.class_name}
        return item | _present(script_name=binding.script_name, environment=binding.environment)
    name, value = binding.name, binding.value
    match value:
        case PlainText():
            return {"name": name, "type": "plain_text", "text": value.text}
        case Json():
            return {"name": name, "type": "json", "json": value.value}
        case Secret():
            return {"name": name, "type": "secret_text", "text": reveal(value)}
        case ServiceBinding():
            item = {"name": name, "type": "service", "service": value.worker}
            item |= _present(entrypoint=value.entrypoint, environment=value.environment)
            return item if value.props is None else {**item, "props": value.props.value}
        case Resource():
            return {**value.fields.value, "name": name, "type": value.type}
        case _:
            assert_never(value)


def _present(**fields: str | None) -> dict[str, str]:
    return {key: value for key, value in fields.items() if value is not None}


# --- wire -> model ---------------------------------------------------------------------------------------


def decode_script(item: Any) -> ObservedScript:
    """Read one item of the script list; raises ApiError when it has no name."""
    fields = _fields(item, "script")
    exports = fields.get("exports")
    tag = text_in(fields, "migration_tag")
    # `exports` first: no script can leave that form, and one that came to it may still have a tag of the other.
    lifecycle: Lifecycle | None = "exports" if declares_classes(exports) else "migrations" if tag else None
    return ObservedScript(
        name=named(fields, "id", "a script"),
        etag=text_in(fields, "etag"),
        tag=text_in(fields, "tag"),
        lifecycle=lifecycle,
        migration_tag=MigrationTag(tag) if tag else None,
        tags=texts_in(fields.get("tags")),
        handlers=texts_in(fields.get("handlers")),
        modified_on=text_in(fields, "modified_on"),
        last_deployed_from=text_in(fields, "last_deployed_from"),
        compatibility_date=text_in(fields, "compatibility_date"),
        compatibility_flags=texts_in(fields.get("compatibility_flags")),
        has_assets=fields["has_assets"] if isinstance(fields.get("has_assets"), bool) else None,
        entries=decode_entries(exports),
        expects=decode_expected(exports),
    )


def decode_settings(item: Any, script_name: str) -> tuple[tuple[ScriptBinding, ...], str | None, tuple[str, ...]]:
    """Read a script's settings: (bindings sorted by name, compatibility date, compatibility flags)."""
    fields = _fields(item, "settings")
    bindings = fields.get("bindings") or []
    if not isinstance(bindings, list):
        raise ApiError(f"the settings of script {script_name} have no list of bindings.")
    decoded = sorted((decode_binding(b, script_name) for b in bindings), key=lambda b: b.name)
    return tuple(decoded), text_in(fields, "compatibility_date"), texts_in(fields.get("compatibility_flags"))


def decode_binding(item: Any, script_name: str) -> ScriptBinding:
    """Read one live binding of `script_name`. A live secret shows no source: it is a Resource of its type."""
    fields = _fields(item, "binding")
    name, kind = named(fields, "name", "a binding"), text_in(fields, "type") or ""
    # A class in a dispatch namespace (Workers for Platforms) is of no script of this account: carried, not understood.
    if kind == "durable_object_namespace" and not text_in(fields, "dispatch_namespace"):
        host, namespace_id = text_in(fields, "script_name"), text_in(fields, "namespace_id")
        return ClassBinding(
            name=name,
            class_name=text_in(fields, "class_name") or "",
            script_name=None if host == script_name else host,
            environment=text_in(fields, "environment"),
            namespace_id=NamespaceId(namespace_id) if namespace_id else None,
        )
    if kind == "plain_text":
        return ValueBinding(name=name, value=PlainText(text=text_in(fields, "text") or ""))
    if kind == "json":
        return ValueBinding(name=name, value=live_json(fields.get("json")))
    if kind == "service":
        worker = ServiceBinding(
            worker=text_in(fields, "service") or "",
            entrypoint=text_in(fields, "entrypoint"),
            environment=text_in(fields, "environment"),
            props=live_json(fields["props"]) if isinstance(fields.get("props"), dict) else None,
        )
        return ValueBinding(name=name, value=worker)
    # The text of a secret is in no answer; should it ever be in one, it ends here.
    shown = {
        k: v
        for k, v in fields.items()
        if k not in ("name", "type") and v is not None and not (kind.startswith("secret_") and k == "text")
    }
    return ValueBinding(name=name, value=Resource(type=kind, fields=Json(shown)))


def decode_namespace(item: Any) -> ObservedNamespace:
    """Read one item of the namespace list; raises ApiError when it has no id."""
    fields = _fields(item, "namespace")
    return ObservedNamespace(
        namespace_id=NamespaceId(named(fields, "id", "a namespace")),
        script_name=text_in(fields, "script") or "",
        class_name=text_in(fields, "class") or "",
        storage=Storage.SQLITE if fields.get("use_sqlite") is True else Storage.KV,
    )


def decode_modules(headers: Mapping[str, str], body: bytes) -> tuple[Module, ...]:
    """Return the modules of a downloaded script, the main one first; raises ApiError for another shape.

    The header `cf-entrypoint` names the main module (emulated: known from no document); without it, it is the first.
    The standard library's e-mail parser reads the multipart body: it is whole in memory already, and it notes a missing
    end, which says that the body was cut off.
    """
    content_type = headers.get("content-type", "")
    parsed = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    modules = [_module(part) for part in parsed.iter_parts()] if parsed.is_multipart() else []
    if any(isinstance(defect, CloseBoundaryNotFoundDefect) for defect in parsed.defects):
        raise ApiError("the script's source arrived cut off; nothing of it is used. Try again.")
    if not modules:
        raise ApiError(f"the script's source came as {content_type or 'nothing'}; only module Workers can be read.")
    entry = headers.get("cf-entrypoint", modules[0].name)
    return tuple(sorted(modules, key=lambda m: (m.name != entry, m.name)))


def _module(part: MIMEPart) -> Module:
    # Part, file and module have one name (wrangler sends all of them); a part without a file name has the first only.
    name = part.get_filename() or str(part.get_param("name", "", header="content-disposition"))
    content = part.get_payload(decode=True)
    kind = _KINDS.get(part.get_content_type(), ModuleKind.DATA)
    return Module(name=name, content=content if isinstance(content, bytes) else b"", kind=kind)


def decode_object(item: Any) -> ObservedObject:
    """Read one item of an object list; a local Cloudflare adds the name where it knows it, and what it measured."""
    fields = _fields(item, "object")
    name, size = fields.get("name"), fields.get("size")
    return ObservedObject(
        object_id=str(fields.get("id", "")),
        name=str(name) if name else None,
        stored=fields.get("hasStoredData") is not False,
        size=size if isinstance(size, int) else None,
        last_write=_moment(fields.get("lastWrite")),
        alarm=_moment(fields.get("alarm")),
    )


def _moment(milliseconds: Any) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if isinstance(milliseconds, int) else None


def count_stored(items: list[Any]) -> int:
    """Count the objects of an object list that hold data."""
    return sum(1 for item in items if _fields(item, "object").get("hasStoredData") is not False)


def decode_crons(schedules: list[Any]) -> tuple[str, ...]:
    """Read the cron triggers of a script."""
    return tuple(str(_fields(item, "schedule").get("cron", "")) for item in schedules)


def decode_upload(result: dict[str, Any], script_name: str) -> ObservedScript:
    """Read the answer to an upload: the script as it is now."""
    return decode_script({**result, "id": script_name})


def _fields(item: Any, what: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ApiError(f"Cloudflare's answer has an unexpected shape: a {what} is no object.")
    return item
