"""What a person declares: namespaces, Workers, and everything that a Worker can bind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.display import Shown, has_half
from notebook_do.display.hiding import hidden, shown_json
from notebook_do.errors import DeclarationError

if TYPE_CHECKING:
    from notebook_do.model.triggers import Trigger
    from notebook_do.model.words import Inspect, Module, NamespaceId, StableId, Where

# --- what a binding can be declared as -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceBinding:
    """A Durable Object namespace; `through` is the Worker id it was taken from (`worker.bindings.NAME`)."""

    stable_id: StableId
    through: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainText:
    """A string in `env`."""

    text: str

    def __post_init__(self) -> None:
        """Raise DeclarationError for a text that no request can carry."""
        if isinstance(self.text, str) and has_half(self.text):
            raise DeclarationError(
                "a text has half of a character (a lone surrogate), which no variable can have; nd.Json carries it."
            )

    def __repr__(self) -> str:
        return written("", self)


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value in `env`; kept as canonical text, so that equal values are equal bindings."""

    text: str

    def __init__(self, value: Any) -> None:
        """Take any JSON value; raises DeclarationError for one that JSON does not carry whole (NaN, 2**53 + 1)."""
        try:
            # Two cells may write the same value with its keys in another order; that is no change.
            text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise DeclarationError(f"this is not a JSON value: {error}") from None
        if _LONG.search(text) and (lost := next(_losing(json.loads(text)), None)) is not None:
            where, number = lost
            raise DeclarationError(
                f"this JSON value would lose digits: {where.lstrip('.') or 'it'} is {number}, and JavaScript reads "
                f'{_as_read(number)}; write it as text: "{number}".'
            )
        object.__setattr__(self, "text", text)

    @property
    def value(self) -> Any:
        """Return the value: a new copy each time."""
        return {} if self.text == "{}" else json.loads(self.text)  # nearly every Worker's options are none

    def __repr__(self) -> str:
        return written("", self)


def written(name: str, value: Any) -> str:
    """Return the repr of a value that is bound under a name: it too hides what must not be shown."""
    match value:
        case PlainText(text=text):
            return f"PlainText(text={(hidden(name, text) or text)!r})"
        case Json():
            return f"Json({shown_json(name, value.value)!r})"
    return repr(value)


def live_json(value: Any) -> Json:
    """Return a value that is live already: whatever its numbers are, they are what its Worker reads."""
    made = Json(None)
    object.__setattr__(made, "text", json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")))
    return made


_LONG = re.compile(r"\d{16}")
"""Fewer digits lose none: JavaScript's numbers are exact to 2**53, which has sixteen."""


def _losing(value: Any, where: str = "") -> Iterator[tuple[str, int]]:
    """Yield the whole numbers that no JavaScript number holds, each with the path to it."""
    if isinstance(value, int) and _as_read(value) != str(value):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _losing(item, f"{where}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _losing(item, f"{where}[{place}]")


def _as_read(number: int) -> str:
    """Return what JSON.parse makes of a whole number, as a whole number."""
    try:
        return str(int(float(number))) if not isinstance(number, bool) else str(number)
    except OverflowError:
        return "Infinity"


SecretSource = Literal["env", "keyring", "prompt"]
# Capitals only: a value that somebody typed in place of the name has small letters, as a rule, and is refused.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_ENTRY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, init=False)
class Secret:
    """Where a secret binding's value comes from when a plan is made; the value itself is never held.

    Use `Secret.from_env("NAME")`, `Secret.from_keyring("NAME")` or `Secret.from_prompt("NAME")`.
    """

    source: SecretSource
    key: str

    def __init__(self, *literal: object, source: SecretSource = "env", key: str = "") -> None:
        """Keep source and key; raises DeclarationError, which shows nothing of it, for a value written literally."""
        refused, length = bool(literal), len(key)
        pattern = _VARIABLE if source == "env" else _ENTRY
        wrong = not pattern.fullmatch(key)
        del literal
        if not refused and not wrong:
            object.__setattr__(self, "source", source)
            object.__setattr__(self, "key", key)
            return
        del key  # it may be the value: no frame of the error holds it
        if refused:
            raise DeclarationError(
                "the value of a secret is not written down; name where it comes from: "
                "nd.Secret.from_env('NAME'), nd.Secret.from_keyring('NAME') or nd.Secret.from_prompt('NAME')."
            )
        what = "an environment variable in capital letters, digits and _" if source == "env" else f"a {source} entry"
        raise DeclarationError(
            f"a secret is declared by the name of {what}; this text of {length} characters is none. "
            "When it is the value itself, it does not belong here."
        )

    @classmethod
    def from_env(cls, key: str) -> Secret:
        """Take the value of the environment variable `key`, whose name is written in capitals."""
        return cls._named("env", key)

    @classmethod
    def from_keyring(cls, key: str) -> Secret:
        """Take what the system's keyring holds for `key` of the service notebook_do (`keyring set notebook_do KEY`)."""
        return cls._named("keyring", key)

    @classmethod
    def from_prompt(cls, key: str) -> Secret:
        """Ask for the value, without echo, when the secret was not set yet; `%durable secret KEY` asks anew."""
        return cls._named("prompt", key)

    @classmethod
    def _named(cls, source: SecretSource, key: str) -> Secret:
        # Raised outside of the except block, and from a frame without `key`: a verbose traceback prints the locals of
        # every frame, and an error keeps the one that it was raised from.
        problem = None
        try:
            return cls(source=source, key=key)
        except DeclarationError as error:
            problem = error.message
        del key
        raise DeclarationError(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBinding:
    """Another Worker; `worker` is a declared Worker's id or the name of a live script.

    `props` is what the entrypoint finds in `ctx.props`.
    """

    worker: str
    entrypoint: str | None = None
    environment: str | None = None
    props: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Any other resource, by Cloudflare's own binding type and fields (kept as canonical JSON)."""

    type: str
    fields: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBinding:
    """`worker.bindings.NAME`: a binding of one Worker, to be used in another."""

    worker: str
    name: str
    value: BindingValue | None = None
    """The binding as it was when it was taken; None when that Worker's cell need not have run yet."""


BindingValue = NamespaceBinding | PlainText | Json | Secret | ServiceBinding | Resource | SharedBinding


# --- what a person declares ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Namespace(Shown):
    """A declared Durable Object namespace; `id` is the stable ID, its permanent name.

    `sqlite=None` is SQLite for a new namespace and "as it is" for a live one. `protect` must be lifted before
    the namespace can be destroyed.
    """

    id: StableId
    class_name: str = field(kw_only=True)
    sqlite: bool | None = field(default=None, kw_only=True)
    script_name: str | None = field(default=None, kw_only=True)
    environment: str | None = field(default=None, kw_only=True)
    namespace_id: NamespaceId | None = field(default=None, kw_only=True)
    renamed_from: StableId | None = field(default=None, kw_only=True)
    transferred_from: str | None = field(default=None, kw_only=True)
    # On by default: Cloudflare deletes a namespace for ever, so that it takes two decisions to lose one.
    protect: bool = field(default=True, kw_only=True)
    # For Cloudflare alone: on the local target every object can be asked.
    inspect: Inspect = field(default=False, kw_only=True)
    where: Where | None = field(default=None, kw_only=True, compare=False, repr=False)


class Bindings(Mapping[str, BindingValue]):
    """A Worker's bindings by name; attribute access gives a binding to share with another Worker."""

    __slots__ = ("_items", "_worker")

    def __init__(self, worker: str, items: Mapping[str, BindingValue]) -> None:
        """Hold `items` sorted by name."""
        self._worker = worker
        self._items = dict(sorted(items.items()))

    def __getitem__(self, name: str) -> BindingValue:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getattr__(self, name: str) -> SharedBinding:
        # copy, pickle and inspect ask for dunder names before there is anything in the slots.
        if name.startswith("__") or name not in self._items:
            known = ", ".join(self._items) or "none"
            raise AttributeError(f"Worker {self._worker!r} has no binding {name!r}; its bindings: {known}.")
        return SharedBinding(worker=self._worker, name=name, value=self._items[name])

    def __reduce__(self) -> tuple[type[Bindings], tuple[str, dict[str, BindingValue]]]:
        return Bindings, (self._worker, self._items)  # without it a copy asks for a slot that is not filled yet

    def __dir__(self) -> list[str]:
        return [*self._items, *super().__dir__()]

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {written(name, value)}' for name, value in self._items.items())}}}"


@dataclass(frozen=True, slots=True)
class Worker(Shown):
    """A declared Worker. `script` is the source of its main module, `entrypoint` a file instead of it.

    `no_bundle` uploads that file, and the files that it imports, as they are; `define`, `alias`, `rules`, `minify` and
    `tsconfig` say how it is bundled otherwise, `build` is the shell command that makes it.

    `containers` are the classes that have one at Cloudflare: a container is deployed by wrangler alone.

    `name` is the script name on Cloudflare; default: the id, with `-<stage>` appended for any stage but
    `production`. `options` holds the settings in Cloudflare's own words: observability, placement, limits and the like.
    """

    id: str
    name: str | None = field(default=None, kw_only=True)
    script: str | None = field(default=None, kw_only=True, repr=False)
    entrypoint: str | None = field(default=None, kw_only=True)
    no_bundle: bool = field(default=False, kw_only=True)
    find_additional_modules: bool | None = field(default=None, kw_only=True)
    base_dir: str | None = field(default=None, kw_only=True)
    rules: Json | None = field(default=None, kw_only=True)
    define: Json | None = field(default=None, kw_only=True)
    alias: Json | None = field(default=None, kw_only=True)
    minify: bool = field(default=False, kw_only=True)
    tsconfig: str | None = field(default=None, kw_only=True)
    build: str | None = field(default=None, kw_only=True)
    modules: tuple[Module, ...] = field(default=(), kw_only=True, repr=False)
    lang: Literal["js", "ts", "py"] = field(default="js", kw_only=True)
    bindings: Bindings = field(kw_only=True)
    compatibility_date: str | None = field(default=None, kw_only=True)
    compatibility_flags: tuple[str, ...] = field(default=(), kw_only=True)
    url: bool = field(default=True, kw_only=True)
    previews: bool | None = field(default=None, kw_only=True)
    crons: tuple[str, ...] = field(default=(), kw_only=True)
    containers: tuple[str, ...] = field(default=(), kw_only=True)
    triggers: tuple[Trigger, ...] = field(default=(), kw_only=True)
    assets: Json | None = field(default=None, kw_only=True)
    options: Json = field(default=Json({}), kw_only=True)
    adopt: bool = field(default=False, kw_only=True)
    lifecycle: Literal["auto", "exports", "migrations"] = field(default="auto", kw_only=True)
    where: Where | None = field(default=None, kw_only=True, compare=False, repr=False)


Declaration = Namespace | Worker
