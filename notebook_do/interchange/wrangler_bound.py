"""Reads the bindings of a wrangler configuration by the rows of the table of binding types, as they are exported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, DeclarationError
from notebook_do.model import (
    BINDING_TYPES,
    BindingType,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    resource_problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.interchange.wrangler_left import Left
    from notebook_do.model import BindingValue
    from notebook_do.model.bindings import Key

_MADE: Mapping[str, str] = {
    "kv_namespace": "namespace_id",
    "r2_bucket": "bucket_name",
    "d1": "id",
    "queue": "queue_name",
}
"""By type, the field without which wrangler makes the resource when it deploys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReference:
    """A binding of a Durable Object class; `script` is None for the Worker's own."""

    class_name: str
    script: str | None = None
    environment: str | None = None


@dataclass(slots=True, kw_only=True)
class Bound:
    """The bindings of one Worker by name; `unnamed` are those whose resource the configuration does not name."""

    place: str
    values: dict[str, BindingValue] = field(default_factory=dict)
    classes: dict[str, ClassReference] = field(default_factory=dict)
    unnamed: dict[str, str] = field(default_factory=dict)

    def add(self, name: Any, value: BindingValue | ClassReference) -> None:
        """Keep a binding; raises CommandError for a name that is none, or is there twice."""
        if not isinstance(name, str) or not name:
            raise CommandError(f"{self.place}: a binding has no name; give it one, then import again.")
        if name in self.values or name in self.classes:
            raise CommandError(f"{self.place}: binding {name} is there twice; rename one, then import again.")
        if isinstance(value, ClassReference):
            self.classes[name] = value
        else:
            self.values[name] = value


def read_bindings(place: str, script: str, config: Mapping[str, Any], left: Left) -> Bound:
    """Return the bindings of a configuration; what of them is not carried goes to `left`."""
    found = Bound(place=place)
    _read_classes(found, config, left)
    for name, value in _table(place, "vars", config.get("vars")).items():
        found.add(name, PlainText(text=value) if isinstance(value, str) else Json(value))
    _read_secrets(found, config, left)
    for entry in _list(place, "services", config.get("services")):
        found.add(entry.get("binding"), _service(place, entry))
        left.rest("services", entry, ("binding", "service", "entrypoint", "environment", "props"))
    for row in BINDING_TYPES.values():
        for entry in _entries(place, row.wrangler, config) if row.wrangler else ():
            _read_resource(found, script, row, row.wrangler, entry, left)  # type: ignore[arg-type]  # asked above
    _read_unsafe(found, config, left)
    return found


def taken_keys() -> frozenset[str]:
    """Return the keys of a configuration that hold bindings and nothing else."""
    rows = (row.wrangler for row in BINDING_TYPES.values() if row.wrangler)
    return frozenset({key.path[0] for key in rows} | {"vars", "secrets", "services"})


def _read_classes(found: Bound, config: Mapping[str, Any], left: Left) -> None:
    objects = _table(found.place, "durable_objects", config.get("durable_objects"))
    left.rest("durable_objects", objects, ("bindings", "code_update_strategy"))
    for entry in _list(found.place, "durable_objects.bindings", objects.get("bindings")):
        class_name = _text(found.place, "durable_objects.bindings", entry, "class_name")
        script, environment = entry.get("script_name"), entry.get("environment")
        found.add(entry.get("name"), ClassReference(class_name=class_name, script=script, environment=environment))
        left.rest("durable_objects.bindings", entry, ("name", "class_name", "script_name", "environment"))


def _read_secrets(found: Bound, config: Mapping[str, Any], left: Left) -> None:
    """Declare the secrets that a project says it needs: each from the variable of its name, or asked for."""
    secrets = _table(found.place, "secrets", config.get("secrets"))
    for name in secrets.get("required") or ():
        if not isinstance(name, str):
            raise CommandError(f"{found.place}: secrets.required must be a list of names; correct it.")
        try:
            found.add(name, Secret.from_env(name))
        except DeclarationError:  # a variable is written in capitals here
            found.add(name, Secret.from_prompt(name))
    left.rest("secrets", secrets, ("required",))


def _service(place: str, entry: Mapping[str, Any]) -> ServiceBinding:
    props = entry.get("props")
    return ServiceBinding(
        worker=_text(place, "services", entry, "service"),
        entrypoint=entry.get("entrypoint"),
        environment=entry.get("environment"),
        props=Json(props) if props else None,
    )


def _entries(place: str, key: Key | None, config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a configuration has at a key: the entries of its list, or the one that it is."""
    if key is None:
        return
    table: Any = config
    for name in key.path[:-1]:
        table = _table(place, name, table.get(name))
    value, path = table.get(key.path[-1]), ".".join(key.path)
    if key.once:
        if value := _table(place, path, value):
            yield value
        return
    yield from _list(place, path, value)


def _read_resource(  # noqa: PLR0913, PLR0917 - a row, and where it is read from and noted
    found: Bound, script: str, row: BindingType, key: Key, entry: Mapping[str, Any], left: Left
) -> None:
    name, path = entry.get(key.named), ".".join(key.path)
    fields = {own: entry[theirs] for own, theirs in key.fields.items() if entry.get(theirs) is not None}
    left.rest(path, entry, (key.named, *key.fields.values()))
    if row.type == "dispatch_namespace" and "outbound" in fields:
        fields["outbound"] = _outbound(fields["outbound"])
    lacking = _MADE.get(row.type)
    if lacking and not fields.get(lacking) and isinstance(name, str):
        # As wrangler names what it makes at a deploy (`autoProvisionedResourceName`).
        fields[lacking] = f"{script}-{name.lower().replace('_', '-')}"
        found.unnamed[name] = row.type
    if row.type == "d1":  # Cloudflare has two spellings of one fact, and nd.D1 says both
        fields["database_id"] = fields.get("id")
    _add_resource(found, name, row.type, fields)


def _outbound(outbound: Any) -> dict[str, Any]:
    """Write a dispatch namespace's outbound Worker as an upload has it."""
    given = dict(outbound) if isinstance(outbound, dict) else {}
    params = [{"name": name} for name in given.pop("parameters", None) or ()]
    return {"worker": given, **({"params": params} if params else {})}


def _add_resource(found: Bound, name: Any, kind: str, fields: Mapping[str, Any]) -> None:
    resource = Resource(type=kind, fields=Json(dict(fields)))
    if problem := resource_problem(resource):
        raise CommandError(f"{found.place}: binding {name}: {problem} Correct it, then import again.")
    found.add(name, resource)


def _read_unsafe(found: Bound, config: Mapping[str, Any], left: Left) -> None:
    """Read what goes up as it is: any type, in Cloudflare's own fields."""
    unsafe = _table(found.place, "unsafe", config.get("unsafe"))
    left.rest("unsafe", unsafe, ("bindings", "metadata"))
    for entry in _list(found.place, "unsafe.bindings", unsafe.get("bindings")):
        name, kind = entry.get("name"), _text(found.place, "unsafe.bindings", entry, "type")
        fields = {key: value for key, value in entry.items() if key not in {"name", "type", "dev"}}
        left.rest("unsafe.bindings", {k: v for k, v in entry.items() if k == "dev"}, ())
        match kind:
            case "json" if fields.keys() == {"json"}:
                found.add(name, Json(fields["json"]))
            case "plain_text" if fields.keys() == {"text"}:
                found.add(name, PlainText(text=str(fields["text"])))
            case _:
                _add_resource(found, name, kind, fields)


# --- what stands where


def _table(place: str, path: str, value: Any) -> Mapping[str, Any]:
    """Return a table; an absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(f"{place}: {path} must be a table, not {type(value).__name__}; correct it.")
    return value


def _list(place: str, path: str, value: Any) -> list[Mapping[str, Any]]:
    """Return a list of tables; an absent one is empty."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise CommandError(f"{place}: {path} must be a list of tables; correct it.")
    return value


def _text(place: str, path: str, entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise CommandError(f"{place}: {path} needs {key} in each entry; correct it.")
    return value
