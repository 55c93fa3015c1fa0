"""What an upload asks for: its metadata and modules, checked as far as that needs nothing but the upload itself.

What is checked against the account comes later, in `publish`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.records import DEFERRED, SECRET_TYPES, ScriptCode, StoredModule, Version
from notebook_do.local.rules.bounds import as_object, check_tags, check_update_strategy, check_workflow_name
from notebook_do.local.rules.exports import check_form, is_class
from notebook_do.local.rules.refusals import refuse, refuse_each
from notebook_do.local.runtime.spec import OLDEST_DATE, is_of_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# One label of a host name, as every Worker has an address here.
SCRIPT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}\Z")
_BINDING_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,254}\Z")
# Never an absolute path, and nothing in which a drive or a URL could be read: clients write modules to files.
_MODULE_NAME = re.compile(r"[^\x00-\x1f\x7f\\:/][^\x00-\x1f\x7f\\:]{0,511}\Z")
MODULE_TYPES = frozenset(
    {
        *("application/javascript+module", "text/javascript+module", "application/javascript", "text/javascript"),
        *("text/plain", "text/html", "text/sql", "application/json", "application/wasm", "application/octet-stream"),
        *("text/x-python", "text/x-python-requirement", "application/source-map"),
    }
)
OPTIONS = ("usage_model", "limits", "placement", "annotations", "cache_options")
"""Versioned metadata that is kept and returned, and changes nothing here."""
SETTINGS = ("logpush", "observability", "tags", "tail_consumers")
"""Metadata that belongs to the script and not to one version."""
_USAGE_MODELS = ("standard", "bundled", "unbound")
PART_TYPES = frozenset(("text_blob", "data_blob", "wasm_module"))
"""Bindings whose content is a part of the upload."""
_OBJECTS = (
    *("limits", "placement", "annotations", "cache_options", "observability", "migrations", "exports"),
    "code_update_strategy",
)
_LISTS = ("bindings", "compatibility_flags", "keep_bindings", "tags", "tail_consumers", "containers")
# What a binding cannot do without: workerd or a service of ours would fail on it later, and less clearly.
_REQUIRED = {
    "plain_text": ("text", str),
    "secret_text": ("text", str),
    "json": ("json", object),
    "service": ("service", str),
    "ratelimit": ("simple", dict),
    "text_blob": ("part", str),
    "data_blob": ("part", str),
    "kv_namespace": ("namespace_id", str),
    "r2_bucket": ("bucket_name", str),
    "queue": ("queue_name", str),
    "d1": ("id", str),
    "analytics_engine": ("dataset", str),
    "secrets_store_secret": ("secret_name", str),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptUpload:
    """One upload, ready to be judged against the account."""

    code: ScriptCode
    bindings: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    migrations: dict[str, Any] | None = None
    exports: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    assets: dict[str, Any] | None = field(default=None, repr=False)
    strategy: dict[str, Any] | None = None
    """Its `code_update_strategy`; None leaves that of the last deployment."""

    @property
    def declares_classes(self) -> bool:
        """Say whether `exports` manages Durable Object classes: entries for entrypoints have no lifecycle."""
        return any(is_class(entry) for entry in (self.exports or {}).values())

    @property
    def migrates(self) -> bool:
        """Say whether `migrations` asks for anything: some clients always send empty lists."""
        return any(bool(value) for value in (self.migrations or {}).values())


def check_script_name(name: str) -> None:
    """Refuse a name that could not be part of a host name."""
    if not SCRIPT_NAME.match(name):
        raise refuse("script_name", name=name[:100])


def check_modules(modules: Iterable[StoredModule], main: str) -> tuple[StoredModule, ...]:
    """Refuse modules that cannot be a Worker's."""
    by_name: dict[str, StoredModule] = {}
    for module in modules:
        if not _MODULE_NAME.match(module.name) or ".." in module.name.split("/"):
            raise refuse("module_name", name=module.name[:100])
        if module.name in by_name:
            raise refuse("module_twice", name=module.name)
        if module.content_type not in MODULE_TYPES:
            raise refuse("module_type", name=module.name, kind=module.content_type)
        by_name[module.name] = module
    if main not in by_name:
        raise refuse("entry_missing", name=main)
    return tuple(by_name.values())


def check_shape(metadata: Mapping[str, Any]) -> None:
    """Refuse values of the wrong JSON type, and what this Cloudflare does not have."""
    _check_types(metadata)
    if metadata.get("usage_model") not in (None, *_USAGE_MODELS):
        raise refuse("bad_field", where="usage_model", why=f"must be one of {', '.join(_USAGE_MODELS)}")
    if metadata.get("assets"):  # those of an upload were taken out before, with the session that they need
        raise refuse("assets")
    for container in metadata.get("containers") or []:  # its class runs, without `ctx.container`
        as_object(container, "containers")
    check_date(metadata.get("compatibility_date"))


def _check_types(metadata: Mapping[str, Any]) -> None:
    for key in _OBJECTS:
        if metadata.get(key) is not None:
            as_object(metadata[key], key)
    for key in _LISTS:
        if metadata.get(key) is not None and not isinstance(metadata[key], list):
            raise refuse("bad_field", where=key, why="must be a list")
    for consumer in metadata.get("tail_consumers") or []:
        as_object(consumer, "tail_consumers")
    for key in ("compatibility_flags", "tags", "keep_bindings"):
        if not all(isinstance(item, str) for item in metadata.get(key) or []):
            raise refuse("bad_field", where=key, why="must be a list of strings")
    check_tags(metadata.get("tags") or [])
    check_update_strategy(metadata.get("code_update_strategy") or {})
    for key in ("logpush", "keep_assets"):
        if not isinstance(metadata.get(key, False), bool | None):
            raise refuse("bad_field", where=key, why="must be true or false")


def check_date(value: Any) -> None:
    """Refuse what is not a compatibility date, or one that has not come yet."""
    if value is None:
        return
    try:  # the form is asked for first: `fromisoformat` takes 20260101 and 2026-W01-1 too
        wanted = date.fromisoformat(value if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) else "")
    except (TypeError, ValueError):
        raise refuse("bad_date", date=str(value)[:40]) from None
    if wanted > datetime.now(UTC).date():  # workerd refuses later dates as well, by the same clock
        raise refuse("future_date", date=value)


def entry_of(metadata: Mapping[str, Any]) -> str:
    """Return the main module's name."""
    main = metadata.get("main_module")
    if main is None and metadata.get("body_part") is not None:
        # The format from before modules: no class can be exported in it.
        raise refuse("service_worker")
    if not isinstance(main, str) or not main:
        raise refuse("no_entry")
    return main


def read_upload(
    metadata: Mapping[str, Any], modules: Iterable[StoredModule], *, previous: Version | None, strict: bool = False
) -> ScriptUpload:
    """Check a full upload; bindings that refer to the previous version are replaced by what they refer to."""
    check_shape(metadata)
    main = entry_of(metadata)
    code = ScriptCode(
        main_module=main,
        modules=check_modules(modules, main),
        # Without one Cloudflare takes the oldest there is, 2021-11-02, not the newest.
        compatibility_date=metadata.get("compatibility_date") or OLDEST_DATE,
        compatibility_flags=tuple(metadata.get("compatibility_flags") or ()),
    )
    upload = ScriptUpload(
        code=code,
        bindings=read_bindings(
            metadata.get("bindings") or [], previous, keep=metadata.get("keep_bindings") or (), strict=strict
        ),
        migrations=metadata.get("migrations"),
        exports=metadata.get("exports"),
        options={key: metadata[key] for key in OPTIONS if metadata.get(key) is not None},
        settings=read_settings(metadata),
        strategy=metadata.get("code_update_strategy") or dict(DEFERRED),
    )
    check_lifecycle(upload)
    return upload


def check_parts(upload: ScriptUpload) -> None:
    """Refuse a binding whose content is a part of the upload, without that part; a kept binding needs it as well."""
    parts = {module.name for module in upload.code.modules}
    for binding in upload.bindings:
        if binding["type"] in PART_TYPES and binding.get("part") not in parts:
            part = str(binding.get("part"))[:100]
            raise refuse("part_missing", name=binding["name"], type=binding["type"], part=part)


def check_lifecycle(upload: ScriptUpload) -> None:
    """Refuse a form of class lifecycle that could be right for no account."""
    check_form(upload.exports or {})
    if upload.declares_classes and upload.migrates:
        raise refuse("both_lifecycles")


def read_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the script's own settings of an upload.

    Tags stay as they are when an upload does not name them, while all others are reset.
    """
    settings = {
        "logpush": bool(metadata.get("logpush")),
        "observability": metadata.get("observability") or {"enabled": False},
        "tail_consumers": metadata.get("tail_consumers") or [],
    }
    if metadata.get("tags") is not None:
        settings["tags"] = metadata["tags"]
    return settings


def read_bindings(
    raw: list[Any], previous: Version | None, *, keep: Iterable[str] = (), strict: bool = False
) -> tuple[dict[str, Any], ...]:
    """Check bindings one by one, resolve `inherit` ones, and add those of the previous version to be kept.

    `keep` are binding types. An `inherit` that finds nothing is left out, and refused (10057) only with `strict`.
    """
    before = {binding["name"]: binding for binding in (previous.bindings if previous else ())}
    found: dict[str, dict[str, Any]] = {}
    lost: list[dict[str, object]] = []
    for item in raw:
        binding = _resolved(_named(item), before)
        if binding["name"] in found:
            raise refuse("binding_twice", name=binding["name"])
        if binding["type"] == "inherit":
            lost.append({"name": binding["name"], "old_name": binding.get("old_name") or binding["name"]})
            continue
        _check_binding(binding)
        found[binding["name"]] = binding
    if lost and strict:
        # One error a binding, so that a client sees all of them at once.
        raise refuse_each("inherit", lost)
    # By type, as wrangler asks for it: `--keep-vars` is plain_text and json. A new binding of the name goes before.
    kept = [b for name, b in before.items() if b["type"] in set(keep) and name not in found]
    return (*found.values(), *kept)


def _named(item: Any) -> dict[str, Any]:
    binding = as_object(item, "bindings")
    name = binding.get("name")
    if not isinstance(name, str) or not _BINDING_NAME.match(name):
        raise refuse("binding_name", name=str(name)[:100])
    if not isinstance(binding.get("type"), str):
        raise refuse("binding_form", name=name, type="unknown", key="type")
    return binding


def _resolved(binding: dict[str, Any], before: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Replace a binding that means one of the previous version: `inherit`, or a secret without its text."""
    name = binding["name"]
    if binding["type"] == "inherit":
        old = before.get(binding.get("old_name") or name)
        return binding if old is None else {**old, "name": name}
    # A secret as reads show it: clients send back what they read, without a text that they never get.
    if binding["type"] in SECRET_TYPES and set(binding) == {"name", "type"} and name in before:
        return before[name]
    if binding["type"] == "d1" and (database := binding.get("id") or binding.get("database_id")):
        # Two spellings are in use: uploads mostly have `id`, the published type of reads has `database_id`.
        return {**binding, "id": database, "database_id": database}
    return binding


def _check_binding(binding: dict[str, Any]) -> None:
    name, kind = binding["name"], binding["type"]
    if is_of_account(binding):
        if not any(isinstance(binding.get(key), str) and binding[key] for key in ("class_name", "namespace_id")):
            raise refuse("binding_form", name=name, type=kind, key="class_name")
    elif kind == "workflow":
        if not isinstance(binding.get("workflow_name"), str):
            raise refuse("binding_form", name=name, type=kind, key="workflow_name")
        check_workflow_name(binding["workflow_name"])
    elif kind in _REQUIRED:
        key, wanted = _REQUIRED[kind]
        if key not in binding or not isinstance(binding[key], wanted):
            raise refuse("binding_form", name=name, type=kind, key=key)
