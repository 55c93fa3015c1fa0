"""What a declaration says: the type of a row, the table of a Worker's fields, and that of a namespace's.

Made of the rows: the parser of lines, its help and completion, TOML, the check of Python's keywords, comparison,
fingerprint, import, export, views and forms. A setting in Cloudflare's own words is carried by its row alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.errors import nearest
from notebook_do.model import settings
from notebook_do.model.declared import Json
from notebook_do.model.triggers import Trigger, TriggerKind, cron_problem, trigger_problem
from notebook_do.model.words import UPDATE_DEFAULT, Flag, Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from notebook_do.model.declared import Namespace, Worker

Takes = Literal["text", "switch", "table", "list", "texts", "modules", "bindings", "queues"]
REQUIRED: Any = object()
"""The default of a field that must be given."""
_WORDS: Mapping[Takes, str] = {
    "text": "a string",
    "switch": "true or false",
    "table": "a table",
    "list": "a list",
    "texts": "a list of strings",
    "modules": "a list of nd.Module(name=..., content=...)",
    "bindings": "a table of values by name",
    "queues": "a table of settings by queue, or a list of queues",
}
_TYPES: Mapping[Takes, type | tuple[type, ...]] = {
    "text": str,
    "switch": bool,
    "table": dict,
    "list": list,
    "texts": list,
    "modules": list,
    "bindings": dict,
    "queues": (dict, list),
}
_ITEMS: Mapping[Takes, type] = {"texts": str, "modules": Module}
# A module's bytes are too long for an error, and a binding's value may be a secret that somebody wrote out.
_UNSHOWN = frozenset({"modules", "bindings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: its name in TOML and in Python, what it takes, its default, its option on the line."""

    name: str
    takes: Takes
    default: Any = None
    choices: tuple[str, ...] = ()
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
    example: str = ""
    """What a form says in its empty field; `{stage}` is the session's."""
    trigger: TriggerKind | None = None
    """The kind of trigger that each item is kept as."""
    observed: bool = False
    """Read of a live script, under the same name, and so declared by its cell."""
    setting: bool = False
    """Kept among the options of the Worker, and sent under its own name in Cloudflare's own words."""
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
        items = value if isinstance(value, list) else ()
        if not isinstance(value, _TYPES[self.takes]) or not all(isinstance(i, self._item) for i in items):
            said = f"a {type(value).__name__}" if self.takes in _UNSHOWN else repr(value)
            return f"{self.name} must be {self.form or _WORDS[self.takes]}, not {said}."
        if self.choices and value not in self.choices:
            return f"{self.name} {value!r}: {nearest(str(value), self.choices)}"
        return None

    def fault(self, value: Any) -> str | None:
        """Return in one line what is wrong with a value of the right type; None for a good one."""
        return self.check(value) if self.check else None

    @property
    def _item(self) -> type:
        return str if self.takes == "queues" else _ITEMS.get(self.takes, object)

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


def _date_problem(value: str) -> str | None:
    try:
        date.fromisoformat(value)
    except ValueError:
        return f"compatibility date {value!r} must be a day such as 2026-11-01."
    return None


def _flag_problem(flag: str) -> str | None:
    good = re.fullmatch(r"[a-z0-9_]{1,128}", flag)
    return None if good else f"compatibility flag {flag!r} must be lower-case words joined by _."


def _each(check: Callable[[Any], str | None]) -> Callable[[Iterable[Any]], str | None]:
    """Return the check of a list by that of its items."""
    return lambda values: next(filter(None, map(check, values)), None)


def _trigger(kind: TriggerKind) -> Callable[[Any], str | None]:
    """Return the check of the triggers of one kind: keys, or settings by key."""

    def check(values: Any) -> str | None:
        given = values.items() if isinstance(values, dict) else ((key, {}) for key in values)
        wrong = (trigger_problem(Trigger(kind=kind, key=key, settings=Json(how))) for key, how in given)
        return next(filter(None, wrong), None)

    return check


def _by_name(*fields: Field) -> Mapping[str, Field]:
    return MappingProxyType({field.name: field for field in fields})


def _flag(name: str, help: str, value: str = "", **more: Any) -> Flag:  # noqa: A002 - the word of a Flag
    return Flag(name=name, value=value, help=help, **more)


def _text(name: str, **more: Any) -> Field:
    return Field(name=name, takes="text", **more)


def _switch(name: str, **more: Any) -> Field:
    return Field(name=name, takes="switch", **more)


def _texts(name: str, **more: Any) -> Field:
    return Field(name=name, takes="texts", default=(), **more)


def _setting(name: str, takes: Takes, check: Callable[[Any], str | None] | None = None, **more: Any) -> Field:
    """Return the row of a setting; wrangler has it under the same key where nothing else is said."""
    return Field(name=name, takes=takes, check=check, setting=True, part="upload", **{"wrangler": (name,), **more})


_LANGUAGES, _FORMS = ("js", "ts", "py"), ("auto", "exports", "migrations")

# A row is one to six lines here, where the formatter makes fifteen of it.
# fmt: off
WORKER_FIELDS: Mapping[str, Field] = _by_name(
    _text(
        "name", label="Script name", example="default: the id with -{stage}", fact="script name {}",
        flag=_flag("--name", "the script name on Cloudflare", "NAME"),
    ),
    _text("script", label="Source"),
    Field(name="bindings", takes="bindings"),
    _text(
        "lang", default="js", choices=_LANGUAGES, label="Language",
        flag=_flag("--lang", "the language of the body", "LANG", choices=_LANGUAGES),
    ),
    _text("entrypoint", flag=_flag("--entrypoint", "a file instead of a body", "FILE", completes="path")),
    _switch(
        "no_bundle", default=False, sets=True,
        flag=_flag("--no-bundle", "upload that file and what it imports as they are"),
    ),
    Field(name="modules", takes="modules", default=(), toml=False, fact="{} modules"),
    _text(
        "compatibility_date", check=_date_problem, part="upload", observed=True, wrangler=("compatibility_date",),
        label="Compatibility date", example="YYYY-MM-DD; default: the newest", fact="compatibility date {}",
        flag=_flag("--compat-date", "compatibility date, YYYY-MM-DD", "DATE", completes="date"),
    ),
    _texts(
        "compatibility_flags", check=_each(_flag_problem), part="upload", observed=True,
        wrangler=("compatibility_flags",), fact="flags {}", between=" ",
        flag=_flag("--compat-flag", "compatibility flag", "FLAG", many=True),
    ),
    _switch(
        "url", default=True, sets=False, part="url", observed=True, wrangler=("workers_dev",), fact="no URL",
        flag=_flag("--no-url", "no workers.dev address"),
    ),
    _switch(
        "previews", observed=True, wrangler=("preview_urls",),
        flag=_flag("--previews", "preview URLs", "on|off", choices=("on", "off")),
    ),
    _texts(
        "crons", check=_each(cron_problem), part="crons", observed=True, wrangler=("triggers", "crons"),
        fact="crons {}", flag=_flag("--cron", "a cron trigger", "CRON", many=True),
    ),
    _texts(
        "routes", check=_trigger("route"), trigger="route",
        flag=_flag("--route", "a route, such as example.com/*", "PATTERN", many=True),
    ),
    _texts(
        "domains", check=_trigger("domain"), trigger="domain",
        flag=_flag("--domain", "a custom domain", "HOST", many=True),
    ),
    Field(
        name="consumes", takes="queues", default=(), check=_trigger("consumer"), trigger="consumer",
        flag=_flag("--consumes", "a queue, with the consumer's settings", "QUEUE[=JSON]", many=True),
    ),
    Field(
        name="assets", takes="table", form="a table with a directory", check=settings.assets_problem, part="assets",
        flag=_flag("--assets", "static assets, with how they are served", "DIR[=JSON]", completes="path"),
    ),
    _setting("observability", "table", settings.observability_problem, off={"enabled": False}, switched=True),
    _setting(
        "placement", "table", settings.placement_problem, whole=True, reported=("status", "last_analyzed_at"),
        carries=frozenset({"mode", "hint", "region", "host", "hostname"}),
    ),
    _setting("limits", "table", settings.limits_problem, carries=frozenset({"cpu_ms", "subrequests"})),
    _setting("logpush", "switch", off=False),
    _setting(
        "tail_consumers", "list", settings.tail_consumers_problem, off=[],
        carries=frozenset({"service", "environment"}),
    ),
    _setting("tags", "list", settings.tags_problem, wrangler=()),
    _setting(
        "cache_options", "table", settings.cache_options_problem, off={"enabled": False}, switched=True,
        wrangler=("cache",), carries=frozenset({"enabled", "cross_version_cache"}),
    ),
    _setting(
        "code_update_strategy", "table", settings.code_update_strategy_problem, off=dict(UPDATE_DEFAULT), whole=True,
        wrangler=("durable_objects", "code_update_strategy"), carries=frozenset({"mode", "max_delay"}),
    ),
    _switch(
        "adopt", default=False, sets=True, fact="adopts the live script",
        flag=_flag("--adopt", "take over a live Worker of this name"),
    ),
    _text(
        "lifecycle", default="auto", choices=_FORMS, fact="lifecycle {}",
        flag=_flag("--lifecycle", "how class migrations are sent", "FORM", choices=_FORMS),
    ),
)
"""The fields of a Worker by name, in the order of their options in the help."""

NAMESPACE_FIELDS: Mapping[str, Field] = _by_name(
    _text(
        "class_name", default=REQUIRED, label="Class", example="the exported class, such as Counter",
        flag=_flag("--class", "the exported class that runs its objects", "NAME", completes="class"),
    ),
    _switch(
        "sqlite", sets=False, label="Legacy KV storage instead of SQLite",
        flag=_flag("--kv", "legacy key-value storage instead of SQLite"),
    ),
    _text(
        "script_name", label="Hosting Worker", example="only where several Workers bind it", fact="hosted by {}",
        flag=_flag("--script", "the Worker that hosts it, by name or id", "WORKER", completes="reachable"),
    ),
    _text(
        "environment", fact="environment {}",
        flag=_flag("--environment", "the environment of a host that is not declared here", "ENV"),
    ),
    _text(
        "renamed_from", label="Renamed from", example="the stable ID that this one replaces", fact="renamed from {}",
        flag=_flag("--renamed-from", "the stable ID that this one replaces", "ID", completes="namespace"),
    ),
    _text(
        "transferred_from", fact="transferred from {}",
        flag=_flag("--transferred-from", "the Worker it moves away from", "WORKER", completes="reachable"),
    ),
    _text("namespace_id", fact="namespace id {}", flag=_flag("--namespace-id", "adopt this live namespace", "ID")),
    _switch(
        "protect", default=True, sets=False, label="Allow it to be destroyed later",
        fact="not protected: it can be destroyed", flag=_flag("--unprotect", "allow a later destroy"),
    ),
)
"""The fields of a namespace by name, in the order of their options in the help."""
# fmt: on

SETTING_FLAG = _flag("--setting", "observability, placement, limits and the like", "NAME=JSON", many=True)
WORKER_SETTINGS: Mapping[str, Field] = _by_name(*(field for field in WORKER_FIELDS.values() if field.setting))
"""Those that an upload carries in Cloudflare's own words."""
NOT_CARRIED: Mapping[str, str] = MappingProxyType(
    {
        "containers": "containers need an image that is built and pushed; deploy this Worker with wrangler.",
        "usage_model": "every account has the standard usage model; leave it out.",
    }
)
"""By name, why a setting that Cloudflare knows cannot be declared here, and what to do."""


def setting_problem(name: str, value: Any) -> str | None:
    """Return in one line what is wrong with a setting; None for a good one."""
    if name in NOT_CARRIED:
        return f"{name} cannot be declared: {NOT_CARRIED[name]}"
    if name not in WORKER_SETTINGS:
        return f"unknown option {name!r}; known are {', '.join(WORKER_SETTINGS)}."
    field = WORKER_SETTINGS[name]
    return field.problem(value) or field.fault(value)
