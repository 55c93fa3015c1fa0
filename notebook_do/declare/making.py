"""Makes declarations of values by field (of a line, a TOML table, or the keywords of a Python call), and checks one.

One table says which fields there are and one check what each may be, so that the three ways accept the same. A check
looks at one declaration alone and needs no network. Names are kept to what Cloudflare, JavaScript and every file system
agree on; nothing is ever changed silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, assert_never

from notebook_do.declare.hosts import check_script_name
from notebook_do.errors import DeclarationError, nearest
from notebook_do.model import (
    NAMESPACE_FIELDS,
    NOT_CARRIED,
    REQUIRED,
    WORKER_FIELDS,
    Bindings,
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    SharedBinding,
    StableId,
    Worker,
    resource_problem,
    setting_problem,
    triggers_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import BindingValue, Declaration, Field, Where


Kind = Literal["namespace", "worker"]
FIELDS: Mapping[Kind, Mapping[str, Field]] = {"namespace": NAMESPACE_FIELDS, "worker": WORKER_FIELDS}
_AS_JSON = frozenset({"table", "pairs", "tables"})
"""What is kept as JSON, so that a declaration can be compared and hashed."""


def field_problem(kind: Kind, name: str, value: Any, *, word: str = "key") -> str | None:
    """Return in one line why a field cannot be given, or not with this value; None where it can.

    `word` is what a field is called where it was given: a key or a keyword.
    """
    if kind == "worker" and name in NOT_CARRIED and name not in WORKER_FIELDS:
        return f"{name} cannot be declared: {NOT_CARRIED[name]}"
    if name not in FIELDS[kind]:
        known = [n for n, field in FIELDS[kind].items() if field.toml or word == "keyword"]
        return f"unknown {word} {name}; {nearest(name, known)}"
    return FIELDS[kind][name].problem(value)


def namespace_of(id_: str, given: Mapping[str, Any], where: Where | None) -> Namespace:
    """Return the namespace that `given` says, each value of which fits its field; an empty text is none."""
    values: dict[str, Any] = {
        name: value
        for name, field, value in _set("namespace", given)
        if value or field.takes != "text" or field.default is REQUIRED
    }
    return Namespace(StableId(id_), where=where, **values)


def worker_of(
    id_: str, given: Mapping[str, Any], where: Where | None, *, settings: Mapping[str, Any] | None = None
) -> Worker:
    """Return the Worker that `given` says, each value of which fits its field. `settings` are more of its options."""
    found = _set("worker", given)
    kept: dict[str, Any] = {
        name: _kept(field, value)
        for name, field, value in found
        if not field.setting and not field.trigger and field.takes != "bindings"
    }
    options = {name: value for name, field, value in found if field.setting} | dict(settings or {})
    triggers = {name: value for name, field, value in found if field.trigger}
    return Worker(
        id_,
        bindings=Bindings(id_, given.get("bindings") or {}),
        triggers=triggers_of(**triggers),
        options=Json(options),
        where=where,
        **kept,
    )


def _kept(field: Field, value: Any) -> Any:
    if field.takes in _AS_JSON:
        return Json(value)
    return tuple(value) if isinstance(value, list) else value


def _set(kind: Kind, given: Mapping[str, Any]) -> list[tuple[str, Field, Any]]:
    fields = FIELDS[kind]
    return [(name, fields[name], value) for name, value in given.items() if value is not None]


def missing(kind: Kind, given: Mapping[str, Any]) -> str | None:
    """Return the name of a field that must be given and is not."""
    return next((n for n, field in FIELDS[kind].items() if field.default is REQUIRED and n not in given), None)


def binding_values(worker: str, values: Mapping[str, Any]) -> dict[str, BindingValue]:
    """Return the bindings that Python's values stand for; raises DeclarationError naming the one that is none."""
    if (wrong := next((name for name in values if not isinstance(name, str)), None)) is not None:
        raise DeclarationError(f"Worker {worker}: binding name {wrong!r} must be a string.")
    return {name: binding_value(worker, name, value) for name, value in values.items()}


def binding_value(worker: str, name: str, value: Any) -> BindingValue:
    """Return the binding that `value` stands for: a namespace, a shared binding, a Worker, a string, ..."""
    match value:
        case Namespace():
            return NamespaceBinding(stable_id=value.id)
        case SharedBinding(value=NamespaceBinding() as shared):
            return NamespaceBinding(stable_id=shared.stable_id, through=shared.through or value.worker)
        case SharedBinding():
            return value.value or value
        case Worker():
            return ServiceBinding(worker=value.id)
        case str():
            return PlainText(text=value)
        case NamespaceBinding() | PlainText() | Json() | Secret() | ServiceBinding() | Resource():
            return value
    raise DeclarationError(
        f"binding {name} of Worker {worker}: a {type(value).__name__} cannot be bound; "
        "bind a namespace, worker.bindings.NAME, another Worker, a str, nd.Json(value) or nd.Secret.from_env('K')."
    )


# --- what is wrong with one declaration

# No dot in a stable ID: behind --bind it tells WORKER.BINDING from one.
STABLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# JavaScript takes more than ASCII, and then two names that look alike can be two classes.
IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,254}")
NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
# As classes the first are no names in JavaScript; as bindings the others hide what every object has.
# What has a `then` is taken for a promise by whoever awaits it.
RESERVED = frozenset(
    """arguments await break case catch class const continue debugger default delete do else enum eval export extends
    false finally for function if implements import in instanceof interface let new null package private protected
    public return static super switch this throw true try typeof undefined var void while with yield NaN Infinity
    __proto__ __defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__ constructor hasOwnProperty
    isPrototypeOf propertyIsEnumerable prototype toLocaleString toString valueOf then""".split()  # noqa: SIM905 - a word list reads better without quotes
)


def check(item: Declaration) -> None:
    """Raise DeclarationError for the first thing about `item` that can never be right."""
    match item:
        case Namespace():
            check_namespace(item)
        case Worker():
            check_worker(item)
        case _:
            assert_never(item)


def check_namespace(item: Namespace) -> None:
    """Raise DeclarationError for a namespace with a name, an id or options that can never be right."""
    what = f"namespace {item.id}" if _is_id(item.id, STABLE_ID) else f"namespace {item.id!r}"
    _check_types(item, NAMESPACE_FIELDS, what)
    for word, stable_id in (("its stable ID", item.id), ("renamed_from", item.renamed_from)):
        if stable_id is not None and not _is_id(stable_id, STABLE_ID):
            raise wrong_here(
                item.where,
                f"{what}: {word} {stable_id!r} must be 1 to 64 ASCII letters, digits, - or _, "
                "beginning with a letter or digit.",
            )
    check_identifier(item.class_name, f"{what}: class name", item.where)
    if item.namespace_id is not None and not NAMESPACE_ID.fullmatch(item.namespace_id):
        raise wrong_here(
            item.where,
            f"{what}: namespace_id {item.namespace_id!r} must be 32 hexadecimal digits, as Cloudflare shows it.",
        )
    if item.renamed_from == item.id:
        raise wrong_here(
            item.where, f"{what}: renamed_from names the namespace itself; give the stable ID it had before."
        )
    if item.transferred_from is not None and item.transferred_from == item.script_name:
        raise wrong_here(
            item.where,
            f"{what}: transferred_from and script_name both name {item.script_name}; "
            "transferred_from is the Worker it leaves.",
        )


def check_worker(item: Worker) -> None:
    """Raise DeclarationError for a Worker with names, bindings or options that can never be right."""
    if not _is_id(item.id, WORKER_ID):
        raise wrong_here(
            item.where,
            f"Worker id {item.id!r} must be 1 to 64 ASCII letters, digits, -, _ or ., "
            "beginning with a letter or digit.",
        )
    what = f"Worker {item.id}"
    _check_types(item, WORKER_FIELDS, what)
    if item.name is not None:
        check_script_name(item.name, what, item.where, url=item.url)
    # An empty script is a source too, so None is asked for and not falsehood; a list of no modules is none.
    sources = [s for s in (item.script, item.entrypoint, item.modules or None) if s is not None]
    if len(sources) != 1:
        problem = "has no source" if not sources else "has more than one source"
        raise wrong_here(item.where, f"{what} {problem}; give exactly one of script, entrypoint or modules.")
    for name in ("no_bundle", "find_additional_modules", "build"):
        if getattr(item, name) and item.entrypoint is None:
            raise wrong_here(item.where, f"{what}: {name} is about an entrypoint; give one, or leave {name} out.")
    _check_bindings(item, what)
    wrong = [setting_problem(name, value) for name, value in item.options.value.items()]
    fields = [field for field in WORKER_FIELDS.values() if not field.setting]
    wrong += [field.fault(value) for field in fields if (value := field.of(item))]
    for fault in filter(None, wrong):
        raise wrong_here(item.where, f"{what}: {fault}")


def _check_types(item: Declaration, fields: Mapping[str, Field], what: str) -> None:
    for field in fields.values():
        if not field.setting and field.takes != "bindings" and (problem := field.problem(field.of(item))):
            raise wrong_here(item.where, f"{what}: {problem}")


def _check_bindings(item: Worker, what: str) -> None:
    for name, value in item.bindings.items():
        check_identifier(name, f"{what}: binding name", item.where)
        if isinstance(value, NamespaceBinding) and not STABLE_ID.fullmatch(value.stable_id):
            raise wrong_here(item.where, f"{what}: binding {name}: {value.stable_id!r} is no stable ID of a namespace.")
        if isinstance(value, Resource) and (problem := resource_problem(value)):
            raise wrong_here(item.where, f"{what}: binding {name}: {problem}")
        if isinstance(value, SharedBinding) and value.worker == item.id:
            raise wrong_here(
                item.where,
                f"{what}: binding {name} is shared from the Worker itself; bind the namespace by its stable ID.",
            )


def _is_id(id_: object, form: re.Pattern[str]) -> bool:
    return isinstance(id_, str) and form.fullmatch(id_) is not None


def check_identifier(name: str, what: str, where: Where | None) -> None:
    """Raise DeclarationError unless `name` is an ASCII JavaScript identifier that nothing else claims."""
    if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
        raise wrong_here(
            where,
            f"{what} {name!r} must be an ASCII JavaScript identifier: letters, digits, _ or $, "
            "not beginning with a digit.",
        )
    if name in RESERVED:
        raise wrong_here(where, f"{what} {name!r} is reserved by JavaScript; choose another.")


def here(where: Where | None) -> str:
    """Return what an error calls the cell that runs, where a kernel runs one."""
    return "this cell" if where and where.run and not where.file else ""


def wrong_here(where: Where | None, message: str) -> DeclarationError:
    """Return an error of a declaration, at its line of the cell that runs."""
    error = DeclarationError(message, line=where.cell_line if where else None)
    error.cell = here(where)
    return error
