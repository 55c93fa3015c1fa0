"""The lines that declare: `namespace ID ...` and `worker ID ...`, read into values by field, and written back.

Both directions follow the rows of the fields and of the binding types.
"""

from __future__ import annotations

import json
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import Option, Wording, Words, read_words
from notebook_do.declare.making import FIELDS, Kind
from notebook_do.errors import CommandError, DeclarationError, nearest
from notebook_do.model import (
    BINDING_TYPES,
    SETTING_FLAG,
    Json,
    NamespaceBinding,
    PlainText,
    Secret,
    ServiceBinding,
    SharedBinding,
    StableId,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from notebook_do.model import BindingValue, Field, Flag, Namespace, Worker

HEADS: Mapping[Kind, str] = {"namespace": "%durable namespace ID [options]", "worker": "%%durable worker ID [options]"}
BINDING_FLAGS: Mapping[str, Flag] = {row.type: row.flag for row in BINDING_TYPES.values() if row.flag}
"""By binding type, the option that binds one."""
_SECRET_SOURCES = ("env", "keyring", "prompt")
_SWITCH = {"on": True, "off": False}


def options(kind: Kind) -> tuple[Option, ...]:
    """Return the options of a declaration line, in the order of the help."""
    return tuple(
        Option(
            name=f.name,
            value=f.value,
            alone=f.alone,
            help=f.help,
            choices=f.choices,
            many=f.many,
            knows=f.completes,
        )
        for f in _flags(kind)
    )


def _flags(kind: Kind) -> Iterator[Flag]:
    settings = False
    for row in FIELDS[kind].values():
        if row.takes == "bindings":
            yield from BINDING_FLAGS.values()
        if row.setting and not settings:  # one option says them all
            settings = True
            yield SETTING_FLAG
        if row.flag:
            yield row.flag


def option_of(kind: Kind, name: str) -> str:
    """Return the option of a field, with the word for its value."""
    flag = FIELDS[kind][name].flag
    return f"{flag.name} {flag.value}".rstrip() if flag else name


def _wording(kind: Kind) -> Wording:
    return Wording(
        unknown=lambda name, known: f"{kind}: unknown option {name}; {_meant(kind, name, known)}",
        twice=lambda option: f"{kind}: {option.name} is given twice; give it once.",
        no_value=lambda option: f"{kind}: {option.name} takes no value.",
        needs_value=lambda option: f"{kind}: {option.name} needs a value: {option.name} {option.value}",
        no_choice=lambda option, value: f"{kind}: {option.name} {value}: {nearest(value, option.choices)}",
        line=1,
    )


def options_by_field(kind: Kind) -> dict[str, str]:
    """Return, by the names of fields as options would have them, what says them on a line.

    `--observability` is `--setting observability=JSON`, `--crons` is `--cron`. What only takes a default away is none.
    """
    found = {}
    for row in FIELDS[kind].values():
        said = f"{SETTING_FLAG.name} {row.name}=JSON" if row.setting else row.flag.name if row.flag else ""
        if said and row.sets is not False:
            found[f"--{row.name.replace('_', '-')}"] = said
    return found


def _meant(kind: Kind, name: str, known: Sequence[str]) -> str:
    """Return `did you mean X?` for an option that is none: a field, or a value of an option, may have its name."""
    valued = [option for option in options(kind) if name.lstrip("-") in option.choices]
    if len(valued) == 1:
        return f"did you mean {valued[0].name} {name.lstrip('-')}?"
    words = options_by_field(kind) | {flag: flag for flag in known}
    close = get_close_matches(name, words, n=1, cutoff=0.6)
    return f"did you mean {words[close[0]]}?" if close else nearest(name, known)


def read_declaration(kind: Kind, words: list[str]) -> tuple[str, Words]:
    """Return the id and the options of a line; raises CommandError naming the option at fault."""
    found = read_words(options(kind), words, _wording(kind))
    if len(found.free) != 1:
        # The word may be the value of a secret.
        extra = "a word" if found.has("--secret") else ", ".join(found.free[1:])
        what = "no id is given" if not found.free else f"{extra} is one word too many"
        raise CommandError(f"{kind}: {what}; write {HEADS[kind]}", line=1)
    return found.free[0], found


def values_of(kind: Kind, id_: str, words: Words) -> dict[str, Any]:
    """Return the values that the options of a line give, by field; bindings as they are kept."""
    given: dict[str, Any] = {}
    for name, row in FIELDS[kind].items():
        if row.takes == "bindings":
            given[name] = _bindings(id_, words)
        elif row.flag and words.has(row.flag.name):
            given[name] = _given(id_, row, row.flag, words)
    return given


def _given(id_: str, row: Field, flag: Flag, words: Words) -> Any:
    """Return what an option says, in the form that its field takes."""
    text = words.all(flag.name)[-1]
    match row.takes:
        case "switch":
            return row.sets if not flag.value else _SWITCH.get(text, text)
        case "texts" | "list":
            return list(words.all(flag.name))
        case "tables":
            return [_json(flag.name, "", given).value for given in words.all(flag.name)]
        case "pairs":
            return _pairs(id_, flag, words)
        case "queues":
            named = [one.partition("=") for one in words.all(flag.name)]
            return {name: _json(flag.name, name, settings).value if settings else {} for name, _, settings in named}
        case "table":
            directory, given, settings = text.partition("=")
            served = _json(flag.name, directory, settings).value if given else {}
            if not isinstance(served, dict):
                raise CommandError(f"worker {id_}: {flag.name} {directory}: write a JSON object of settings.", line=1)
            return {"directory": directory, **served}
    return text


def _pairs(id_: str, flag: Flag, words: Words) -> dict[str, str]:
    given = [_pair(flag, text) for text in words.all(flag.name)]
    if twice := next((name for name, _ in given if [n for n, _ in given].count(name) > 1), None):
        raise CommandError(f"worker {id_}: {flag.name} {twice} is given twice; give it once.", line=1)
    return dict(given)


def settings_of(id_: str, words: Words) -> dict[str, Any]:
    """Return what `--setting NAME=JSON` gives."""
    given = [_pair(SETTING_FLAG, text) for text in words.all(SETTING_FLAG.name)]
    if len({name for name, _ in given}) < len(given):
        raise CommandError(f"worker {id_}: a {SETTING_FLAG.name} is given twice; give each name once.", line=1)
    return {name: _json(SETTING_FLAG.name, name, text).value for name, text in given}


def _json(flag: str, name: str, text: str) -> Json:
    try:
        return Json(json.loads(text))
    except ValueError as error:
        what = f"{flag} {name}".rstrip()
        raise CommandError(f"worker: {what}: {text!r} is not JSON ({error}); quote it for the line.", line=1) from None


def _pair(flag: Flag, text: str) -> tuple[str, str]:
    """Split `NAME=VALUE`; raises CommandError when there is no `=` or no name."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"worker: {flag.name} {text}: write {flag.name} {flag.value}", line=1)
    return name, value


# --- bindings


def _bindings(id_: str, words: Words) -> dict[str, BindingValue]:
    bindings: dict[str, BindingValue] = {}
    for kind, flag in BINDING_FLAGS.items():
        for text in words.all(flag.name):
            name, value = _READ[kind](id_, flag, text)
            if name in bindings:
                raise CommandError(f"worker {id_}: binding {name} is given twice; give each name once.", line=1)
            bindings[name] = value
    return bindings


def _read_namespace(_id: str, flag: Flag, text: str) -> tuple[str, BindingValue]:
    name, target = _pair(flag, text)
    return name, namespace_reference(target)


def _read_text(_id: str, flag: Flag, text: str) -> tuple[str, BindingValue]:
    name, value = _pair(flag, text)
    return name, PlainText(text=value)


def _read_json(_id: str, flag: Flag, text: str) -> tuple[str, BindingValue]:
    name, value = _pair(flag, text)
    return name, _json(flag.name, name, value)


def _read_secret(id_: str, flag: Flag, text: str) -> tuple[str, BindingValue]:
    del flag
    name, named, source = text.partition("=")
    return name, secret_reference(id_, name, source, shown=bool(named))


def _read_service(_id: str, flag: Flag, text: str) -> tuple[str, BindingValue]:
    name, value = _pair(flag, text)
    return name, ServiceBinding(worker=value)


_READ: Mapping[str, Callable[[str, Flag, str], tuple[str, BindingValue]]] = {
    "durable_object_namespace": _read_namespace,
    "plain_text": _read_text,
    "json": _read_json,
    "secret_text": _read_secret,
    "service": _read_service,
}
"""By binding type, what reads its option."""


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
    # Raised outside of the except block, with the names of this frame deleted: no traceback can show the value.
    which = f"--secret {name}" if shown else "--secret"
    del text, source, key, name
    raise CommandError(f"worker {worker}: {which}: {problem} Write NAME=VARIABLE, NAME=keyring or NAME=prompt.", line=1)


def secret_words(secret: Secret) -> str:
    """Write what stands behind `--secret NAME=` for a secret."""
    return secret.key if secret.source == "env" else f"{secret.source}:{secret.key}"


def namespace_reference(target: str) -> NamespaceBinding | SharedBinding:
    """Read what `--bind NAME=` points at: a stable ID, or `WORKER.BINDING` of another Worker.

    A stable ID has no dot, so the two cannot be confused.
    """
    worker, dot, name = target.rpartition(".")
    if dot and worker and name:
        return SharedBinding(worker=worker, name=name)
    return NamespaceBinding(stable_id=StableId(target))


def bound_to(value: BindingValue) -> tuple[str, str] | None:
    """Return the type of a binding that has an option, and what stands behind `NAME=` there; None where it has none."""
    match value:
        case NamespaceBinding():
            return "durable_object_namespace", value.stable_id
        case SharedBinding():
            return "durable_object_namespace", f"{value.worker}.{value.name}"
        case PlainText():
            return "plain_text", value.text
        case Json():
            return "json", value.text
        case Secret():
            return "secret_text", secret_words(value)
        case ServiceBinding(entrypoint=None, environment=None, props=None):
            return "service", value.worker
    return None


# --- written


def line_of(kind: Kind, item: Namespace | Worker) -> str | None:
    """Return the words that declare the same, but for a source; None where the line has no option for all of it."""
    words = [kind, item.id]
    for row in FIELDS[kind].values():
        if row.takes == "bindings":
            bound = [(name, bound_to(value)) for name, value in row.of(item).items()]
            if not all(to for _, to in bound):
                return None
            words += [word for name, to in bound if to for word in (BINDING_FLAGS[to[0]].name, f"{name}={to[1]}")]
        elif row.is_set(item):
            words += words_of(row, row.of(item))
    # A magic is one line; what holds a line break is written as a TOML cell instead.
    return None if any("\n" in word for word in words) else shlex.join(words)


def words_of(row: Field, value: Any) -> list[str]:
    """Return the words of a line that give a field a value which is not its default; none where no option does."""
    if row.setting:
        return [SETTING_FLAG.name, f"{row.name}={Json(value).text}"]
    return _written(row, row.flag, value) if row.flag else []


def _written(row: Field, flag: Flag, value: Any) -> list[str]:
    match value:
        case _ if row.takes == "tables":
            return [word for one in value for word in (flag.name, Json(one).text)]
        case _ if row.takes == "pairs":
            return [word for name, text in value.items() for word in (flag.name, f"{name}={text}")]
        case bool():
            word = "on" if value else "off"
            return [flag.name] if not flag.value or word == flag.alone else [flag.name, word]
        case list():
            return [word for one in value for word in (flag.name, one)]
        case {"directory": directory}:
            return [flag.name, _with_json(directory, {n: v for n, v in value.items() if n != "directory"})]
        case dict():
            return [word for name, settings in value.items() for word in (flag.name, _with_json(str(name), settings))]
    return [flag.name, value]


def _with_json(name: str, settings: Mapping[str, Any]) -> str:
    return f"{name}={Json(settings).text}" if settings else name
