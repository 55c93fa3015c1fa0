"""Says what is wrong with one declaration, from that declaration alone. Needs no network and no other declaration.

Names are kept to what Cloudflare, JavaScript and every file system agree on; nothing is ever changed silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, assert_never

from notebook_do.errors import DeclarationError
from notebook_do.model import (
    NAMESPACE_FIELDS,
    WORKER_FIELDS,
    Namespace,
    NamespaceBinding,
    Resource,
    SharedBinding,
    Worker,
    resource_problem,
    setting_problem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Declaration, Field, Where

STABLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SCRIPT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,254}")
NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
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
            raise _wrong(
                item.where,
                f"{what}: {word} {stable_id!r} must be 1 to 64 ASCII letters, digits, - or _, "
                "beginning with a letter or digit.",
            )
    check_identifier(item.class_name, f"{what}: class name", item.where)
    if item.namespace_id is not None and not NAMESPACE_ID.fullmatch(item.namespace_id):
        raise _wrong(
            item.where,
            f"{what}: namespace_id {item.namespace_id!r} must be 32 hexadecimal digits, as Cloudflare shows it.",
        )
    if item.renamed_from == item.id:
        raise _wrong(item.where, f"{what}: renamed_from names the namespace itself; give the stable ID it had before.")
    if item.transferred_from is not None and item.transferred_from == item.script_name:
        raise _wrong(
            item.where,
            f"{what}: transferred_from and script_name both name {item.script_name}; "
            "transferred_from is the Worker it leaves.",
        )


def check_worker(item: Worker) -> None:
    """Raise DeclarationError for a Worker with names, bindings or options that can never be right."""
    if not _is_id(item.id, WORKER_ID):
        raise _wrong(
            item.where,
            f"Worker id {item.id!r} must be 1 to 64 ASCII letters, digits, -, _ or ., "
            "beginning with a letter or digit.",
        )
    what = f"Worker {item.id}"
    _check_types(item, WORKER_FIELDS, what)
    if item.name is not None:
        check_script_name(item.name, what, item.where, url=item.url)
    sources = [s for s in (item.script, item.entrypoint, item.modules or None) if s is not None]
    if len(sources) != 1:
        problem = "has no source" if not sources else "has more than one source"
        raise _wrong(item.where, f"{what} {problem}; give exactly one of script, entrypoint or modules.")
    if item.no_bundle and item.entrypoint is None:
        raise _wrong(item.where, f"{what}: no_bundle is about an entrypoint; give one, or leave no_bundle out.")
    _check_bindings(item, what)
    wrong = [setting_problem(name, value) for name, value in item.options.value.items()]
    fields = [field for field in WORKER_FIELDS.values() if not field.setting]
    wrong += [field.fault(value) for field in fields if (value := field.of(item))]
    for fault in filter(None, wrong):
        raise _wrong(item.where, f"{what}: {fault}")


def _check_types(item: Declaration, fields: Mapping[str, Field], what: str) -> None:
    for field in fields.values():
        if not field.setting and field.takes != "bindings" and (problem := field.problem(field.of(item))):
            raise _wrong(item.where, f"{what}: {problem}")


def _check_bindings(item: Worker, what: str) -> None:
    for name, value in item.bindings.items():
        check_identifier(name, f"{what}: binding name", item.where)
        if isinstance(value, NamespaceBinding) and not STABLE_ID.fullmatch(value.stable_id):
            raise _wrong(item.where, f"{what}: binding {name}: {value.stable_id!r} is no stable ID of a namespace.")
        if isinstance(value, Resource) and (problem := resource_problem(value)):
            raise _wrong(item.where, f"{what}: binding {name}: {problem}")
        if isinstance(value, SharedBinding) and value.worker == item.id:
            raise _wrong(
                item.where,
                f"{what}: binding {name} is shared from the Worker itself; bind the namespace by its stable ID.",
            )


def _is_id(id_: object, form: re.Pattern[str]) -> bool:
    return isinstance(id_, str) and form.fullmatch(id_) is not None


def check_identifier(name: str, what: str, where: Where | None) -> None:
    """Raise DeclarationError unless `name` is an ASCII JavaScript identifier that nothing else claims."""
    if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
        raise _wrong(
            where,
            f"{what} {name!r} must be an ASCII JavaScript identifier: letters, digits, _ or $, "
            "not beginning with a digit.",
        )
    if name in RESERVED:
        raise _wrong(where, f"{what} {name!r} is reserved by JavaScript; choose another.")


def check_script_name(name: str, what: str, where: Where | None, *, url: bool) -> None:
    """Raise DeclarationError unless `name` can be a script's name, and a host name when it has a URL."""
    if not SCRIPT_NAME.fullmatch(name):
        raise _wrong(
            where,
            f"{what}: name {name!r} must be 1 to 63 lower-case letters, digits or -, beginning with a letter or digit.",
        )
    if url and name.endswith("-"):
        raise _wrong(
            where, f"{what}: name {name!r} ends with -, which no workers.dev address can; drop it, or set url=False."
        )


def _wrong(where: Where | None, message: str) -> DeclarationError:
    return DeclarationError(message, line=where.line if where else None)
