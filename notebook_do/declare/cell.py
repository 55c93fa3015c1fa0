"""Turns one `%durable` line, or `%%durable` line and body, into declarations. Sends and runs nothing.

Errors name the cell's line; line 1 is the line of the magic itself.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from notebook_do.declare.check import check
from notebook_do.declare.options import Kind, Words, nearest, pair, parse_words, split_line
from notebook_do.declare.tables import parse_tables
from notebook_do.declare.triggers import triggers_of
from notebook_do.errors import CommandError, DeclarationError
from notebook_do.model import (
    Bindings,
    BindingValue,
    Declaration,
    Json,
    Namespace,
    NamespaceBinding,
    NamespaceId,
    PlainText,
    Secret,
    ServiceBinding,
    SharedBinding,
    StableId,
    Where,
    Worker,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Trigger

_SECRET_SOURCES = ("env", "keyring", "prompt")


def parse_cell(
    line: str, body: str | None, *, where: Where | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Declaration, ...]:
    """Read `namespace ID ...`, `worker ID ...` with its body, or (empty line) a TOML body.

    `line` is what stands behind `%durable`. `values` replaces `${py:NAME}` inside TOML values. Raises CommandError
    for a line that cannot be read and DeclarationError for a declaration that cannot be right.
    """
    place = where or Where()
    try:
        return _parse(line, body, place, values or {})
    except CommandError as error:
        if error.line is not None:
            error.line += place.line - 1
        raise


def _parse(line: str, body: str | None, place: Where, values: Mapping[str, Any]) -> tuple[Declaration, ...]:
    words = split_line(line)
    if not words:
        if body is None:
            raise CommandError(
                "nothing to declare; write %durable namespace ID --class NAME, or a cell with %%durable."
            )
        return parse_tables(body, where=place, values=values)
    verb, *rest = words
    declared: Declaration
    match verb:
        case "namespace":
            if body is not None and body.strip():
                raise CommandError("namespace takes no body; write %durable namespace on one line.", line=2)
            declared = _namespace(parse_words("namespace", rest), place)
        case "worker":
            declared = _worker(parse_words("worker", rest), body, replace(place, body_line=place.line + 1))
        case _:
            raise CommandError(f"{verb} declares nothing; {nearest(verb, get_args(Kind))}", line=1)
    check(declared)
    return (declared,)


def _namespace(words: Words, where: Where) -> Namespace:
    class_name = words.one("--class")
    if class_name is None:
        raise CommandError(f"namespace {words.id}: --class NAME is missing; name the class that it runs.", line=1)
    namespace_id, renamed_from = words.one("--namespace-id"), words.one("--renamed-from")
    return Namespace(
        StableId(words.id),
        class_name=class_name,
        sqlite=False if words.has("--kv") else None,
        script_name=words.one("--script"),
        environment=words.one("--environment"),
        namespace_id=NamespaceId(namespace_id) if namespace_id else None,
        renamed_from=StableId(renamed_from) if renamed_from else None,
        transferred_from=words.one("--transferred-from"),
        protect=not words.has("--unprotect"),
        where=where,
    )


def _worker(words: Words, body: str | None, where: Where) -> Worker:
    entrypoint = words.one("--entrypoint")
    has_body = body is not None and bool(body.strip())
    if entrypoint is None and not has_body:
        raise CommandError(
            f"worker {words.id}: the cell has no body; write the source below, or --entrypoint FILE.", line=1
        )
    if entrypoint is not None and has_body:
        raise CommandError(f"worker {words.id}: --entrypoint and a body are given; keep one of them.", line=2)
    lang = words.one("--lang") or "js"
    lifecycle = words.one("--lifecycle") or "auto"
    return Worker(
        words.id,
        name=words.one("--name"),
        script=body if entrypoint is None else None,
        entrypoint=entrypoint,
        no_bundle=words.has("--no-bundle"),
        lang=lang,  # type: ignore[arg-type]  # one of the option's choices
        bindings=Bindings(words.id, _bindings(words)),
        compatibility_date=words.one("--compat-date"),
        compatibility_flags=words.all("--compat-flag"),
        url=not words.has("--no-url"),
        previews={None: None, "on": True, "off": False}[words.one("--previews")],
        crons=words.all("--cron"),
        triggers=_triggers(words),
        assets=_assets(words),
        options=_settings(words),
        adopt=words.has("--adopt"),
        lifecycle=lifecycle,  # type: ignore[arg-type]  # one of the option's choices
        where=where,
    )


def _bindings(words: Words) -> dict[str, BindingValue]:
    bindings: dict[str, BindingValue] = {}

    def add(name: str, value: BindingValue) -> None:
        if name in bindings:
            raise CommandError(f"worker {words.id}: binding {name} is given twice; give each name once.", line=1)
        bindings[name] = value

    for text in words.all("--bind"):
        name, target = pair("worker", "--bind", text)
        add(name, namespace_reference(target))
    for text in words.all("--var"):
        name, value = pair("worker", "--var", text)
        add(name, PlainText(text=value))
    for text in words.all("--json"):
        name, value = pair("worker", "--json", text)
        add(name, _json("--json", name, value))
    for text in words.all("--secret"):
        name, named, source = text.partition("=")
        add(name, secret_reference(words.id, name, source, shown=bool(named)))
    for text in words.all("--service"):
        name, value = pair("worker", "--service", text)
        add(name, ServiceBinding(worker=value))
    return bindings


def secret_reference(worker: str, name: str, text: str, *, shown: bool = True) -> Secret:
    """Read what stands behind `--secret NAME=`: a variable, `keyring`, `prompt`, or one of those with `:KEY`.

    Raises CommandError that shows nothing of `text`, which may be the value itself, nor of `name` unless `shown`.
    """
    source, colon, key = text.partition(":")
    try:
        match source if source in _SECRET_SOURCES else "env":
            case "keyring":
                return Secret.from_keyring(key or name)
            case "prompt":
                return Secret.from_prompt(key or name)
            case _:
                return Secret.from_env(key if source == "env" and colon else text or name)
    except DeclarationError as error:
        problem = error.message
    which = f"--secret {name}" if shown else "--secret"
    del text, source, key, name
    raise CommandError(f"worker {worker}: {which}: {problem} Write NAME=VARIABLE, NAME=keyring or NAME=prompt.", line=1)


def secret_words(secret: Secret) -> str:
    """Write what stands behind `--secret NAME=` for a secret."""
    return secret.key if secret.source == "env" else f"{secret.source}:{secret.key}"


def _triggers(words: Words) -> tuple[Trigger, ...]:
    given = [text.partition("=") for text in words.all("--consumes")]
    queues = {name: _json("--consumes", name, text).value if text else {} for name, _, text in given}
    return triggers_of(routes=words.all("--route"), domains=words.all("--domain"), consumes=queues)


def _assets(words: Words) -> Json | None:
    text = words.one("--assets")
    if text is None:
        return None
    directory, given, settings = text.partition("=")
    served = _json("--assets", directory, settings).value if given else {}
    if not isinstance(served, dict):
        raise CommandError(f"worker {words.id}: --assets {directory}: write a JSON object of settings.", line=1)
    return Json({"directory": directory, **served})


def _settings(words: Words) -> Json:
    given = [pair("worker", "--setting", text) for text in words.all("--setting")]
    if len(names := {name for name, _ in given}) < len(given):
        raise CommandError(f"worker {words.id}: a --setting is given twice; give each name once.", line=1)
    return Json({name: _json("--setting", name, text).value for name, text in given}) if names else Json({})


def _json(flag: str, name: str, text: str) -> Json:
    try:
        return Json(json.loads(text))
    except ValueError as error:
        raise CommandError(
            f"worker: {flag} {name}: {text!r} is not JSON ({error}); quote it for the line.", line=1
        ) from None


def namespace_reference(target: str) -> NamespaceBinding | SharedBinding:
    """Read what `--bind NAME=` points at: a stable ID, or `WORKER.BINDING` of another Worker.

    A stable ID has no dot, so the two cannot be confused.
    """
    worker, dot, name = target.rpartition(".")
    if dot and worker and name:
        return SharedBinding(worker=worker, name=name)
    return NamespaceBinding(stable_id=StableId(target))
