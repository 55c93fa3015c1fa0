"""The type of a row in the table of a Worker's fields and in that of a namespace's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.errors import nearest
from notebook_do.model.declared import Json
from notebook_do.model.words import Flag, Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from notebook_do.model.declared import Namespace, Worker
    from notebook_do.model.triggers import Trigger, TriggerKind

Takes = Literal["text", "switch", "table", "pairs", "list", "tables", "texts", "modules", "bindings", "queues"]
REQUIRED: Any = object()
"""The default of a field that must be given."""
_WORDS: Mapping[Takes, str] = {
    "text": "a string",
    "switch": "true or false",
    "table": "a table",
    "pairs": "a table of strings by name",
    "list": "a list",
    "tables": "a list of tables",
    "texts": "a list of strings",
    "modules": "a list of nd.Module(name=..., content=...)",
    "bindings": "a table of values by name",
    "queues": "a table of settings by queue, or a list of queues",
}
_TYPES: Mapping[Takes, type | tuple[type, ...]] = {
    "text": str,
    "switch": bool,
    "table": dict,
    "pairs": dict,
    "list": list,
    "tables": list,
    "texts": list,
    "modules": list,
    "bindings": dict,
    "queues": (dict, list),
}
_ITEMS: Mapping[Takes, type] = {"texts": str, "pairs": str, "tables": dict, "modules": Module}
# A module's bytes are too long for an error, and a binding's value may be a secret that somebody wrote out.
_UNSHOWN = frozenset({"modules", "bindings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: its name in TOML and in Python, what it takes, its default, its option on the line."""

    name: str
    takes: Takes
    default: Any = None
    choices: tuple[str, ...] = ()
    """Its only values; of a switch, those that it has besides on and off."""
    form: str = ""
    """What it must be, where that is more than what it takes."""
    check: Callable[[Any], str | None] | None = None
    """Returns in one line what is wrong with a value of the right type; None for a good one."""
    flag: Flag | None = None
    sets: bool | None = None
    """What an option without a value sets a switch to."""
    toml: bool = True
    label: str = ""
    """What a form calls it, a text or a switch; empty: forms do not have it."""
    hint: str = ""
    """What a form says below the field while nothing is wrong with it; `{script}` and `{date}` are the defaults."""
    rare: bool = False
    """Whether a form has it among those that are rarely needed."""
    trigger: TriggerKind | None = None
    """The kind of trigger that each item is kept as."""
    observed: bool = False
    """Read of a live script, under the same name, and so declared by its cell."""
    setting: bool = False
    """Kept among the options of the Worker, and sent under its own name in Cloudflare's own words."""
    source: bool = False
    """Says how the source becomes modules: what is uploaded has the modules only."""
    part: str = ""
    """The part of the fingerprint that it belongs to; a setting belongs to the upload."""
    wrangler: tuple[str, ...] = ()
    """Where wrangler.jsonc has it; empty where that has no key for it, or more than one."""
    carries: frozenset[str] = frozenset()
    """What wrangler carries of a table; empty: all of it."""
    fact: str = ""
    """What is said of a value that is not the default."""
    between: str = ", "
    """What stands between the items of a list there."""
    off: Any = None
    """What takes a setting away that an upload leaves as it is where it does not name it; None: leaving it out does."""
    whole: bool = False
    """A table whose keys mean something only together."""
    switched: bool = False
    """A table that does nothing unless something in it is `enabled`."""
    reported: tuple[str, ...] = ()
    """Keys that a live table has and a declared one cannot: they only report what came of it."""

    def problem(self, value: Any) -> str | None:
        """Return in one line why a value is not of this field's type or choices; None for one that is."""
        if value is None and self.default is None:
            return None
        if self.takes == "texts" and isinstance(value, str):
            return f"{self.name} must be a list of strings, not the string {value!r}; write [{value!r}]."
        if self.takes == "switch" and value in self.choices:
            return None
        if not isinstance(value, _TYPES[self.takes]) or not all(isinstance(i, self._item) for i in self._items(value)):
            said = f"a {type(value).__name__}" if self.takes in _UNSHOWN else repr(value)
            return f"{self.name} must be {self.form or _WORDS[self.takes]}, not {said}."
        if self.choices and self.takes != "switch" and value not in self.choices:
            return f"{self.name} {value!r}: {nearest(str(value), self.choices)}"
        return None

    def fault(self, value: Any) -> str | None:
        """Return in one line what is wrong with a value of the right type; None for a good one."""
        return self.check(value) if self.check else None

    @property
    def _item(self) -> type:
        return str if self.takes == "queues" else _ITEMS.get(self.takes, object)

    def _items(self, value: Any) -> Iterable[Any]:
        if isinstance(value, dict):
            return value.values() if self.takes == "pairs" else ()
        return value if isinstance(value, list) else ()

    def of(self, item: Worker | Namespace) -> Any:
        """Return the value that a declaration has for this field, as TOML would give it."""
        if self.setting:
            return item.options.value.get(self.name)  # type: ignore[union-attr]  # no namespace has a setting
        if self.trigger:
            found: Iterable[Trigger] = (t for t in item.triggers if t.kind == self.trigger)  # type: ignore[union-attr]
            return {t.key: t.settings.value for t in found} if self.takes == "queues" else [t.key for t in found]
        value = getattr(item, self.name)
        return value.value if isinstance(value, Json) else list(value) if isinstance(value, tuple) else value

    def is_set(self, item: Worker | Namespace) -> bool:
        """Return whether a declaration has another value than the default for this field."""
        value = self.of(item)
        return value != self.default if isinstance(value, bool | str) else bool(value) and value != self.default
