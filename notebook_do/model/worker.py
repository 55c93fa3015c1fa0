"""What a declaration says: the table of a Worker's fields, and that of a namespace's.

Made of the rows: the parser of lines, its help and completion, TOML, the check of Python's keywords, comparison,
fingerprint, import, export, views and forms. A setting in Cloudflare's own words is carried by its row alone.
"""

from __future__ import annotations

import re
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from notebook_do.model import building, settings
from notebook_do.model.declared import Json
from notebook_do.model.field import REQUIRED, Field, Takes
from notebook_do.model.triggers import Trigger, TriggerKind, cron_problem, trigger_problem
from notebook_do.model.words import UPDATE_DEFAULT, Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def _date_problem(value: str) -> str | None:
    # From Python 3.11 on `fromisoformat` takes 20261101 and 2026-W44-7 too, and Cloudflare takes neither.
    try:
        good = date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    return None if good else f"compatibility date {value!r} must be a day such as 2026-11-01."


def _flag_problem(flag: str) -> str | None:
    good = re.fullmatch(r"[a-z0-9_]{1,128}", flag)
    return None if good else f"compatibility flag {flag!r} must be lower-case words joined by _."


def _class_problem(name: str) -> str | None:
    good = re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", name)
    return None if good else f"containers must be names of classes, which {name!r} cannot be."


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


def _source(name: str, takes: Takes, *, wrangler: tuple[str, ...] = (), **more: Any) -> Field:
    """Return the row of what says how a source becomes modules; wrangler has it under the same key, as a rule."""
    return Field(name=name, takes=takes, source=True, wrangler=wrangler or (name,), **more)


def _setting(name: str, takes: Takes, check: Callable[[Any], str | None] | None = None, **more: Any) -> Field:
    """Return the row of a setting; wrangler has it under the same key where nothing else is said."""
    return Field(name=name, takes=takes, check=check, setting=True, part="upload", **{"wrangler": (name,), **more})


_LANGUAGES, _FORMS = ("js", "ts", "py"), ("auto", "exports", "migrations")

# A row is one to six lines here, where the formatter makes fifteen of it.
# fmt: off
WORKER_FIELDS: Mapping[str, Field] = _by_name(
    _text(
        "name", label="Script name", rare=True,
        hint="Default: the Worker and the stage, such as {script}.", fact="script name {}",
        flag=_flag("--name", "the script name on Cloudflare", "NAME"),
    ),
    _text("script", label="Source", hint="JavaScript with export default { fetch } and your classes."),
    Field(name="bindings", takes="bindings"),
    _text(
        "lang", default="js", choices=_LANGUAGES, label="Language", rare=True,
        flag=_flag("--lang", "the language of the body", "LANG", choices=_LANGUAGES),
    ),
    _text("entrypoint", flag=_flag("--entrypoint", "a file instead of a body", "FILE", completes="path")),
    _source(
        "no_bundle", "switch", default=False, sets=True,
        flag=_flag("--no-bundle", "upload that file and what it imports as they are"),
    ),
    _source(
        "find_additional_modules", "switch",
        flag=_flag(
            "--find-additional-modules", "upload the files that the rules name too", "on|off", choices=("on", "off")
        ),
    ),
    _source("base_dir", "text", flag=_flag("--base-dir", "where those files lie", "DIR", completes="path")),
    _source(
        "rules", "tables", check=building.rules_problem,
        flag=_flag("--rule", "what imported files are: type, globs, fallthrough", "JSON", many=True),
    ),
    _source(
        "define", "pairs", check=building.define_problem,
        flag=_flag("--define", "a JavaScript expression instead of a name", "NAME=EXPR", many=True),
    ),
    _source(
        "alias", "pairs", check=building.alias_problem,
        flag=_flag("--alias", "another module or file instead of an imported one", "NAME=MODULE", many=True),
    ),
    _source(
        "minify", "switch", default=False, sets=True, fact="minified",
        flag=_flag("--minify", "upload the code without what only people need"),
    ),
    _source("tsconfig", "text", flag=_flag("--tsconfig", "the tsconfig.json to use", "FILE", completes="path")),
    _source(
        "build", "text", wrangler=("build", "command"), fact="built by {}",
        flag=_flag("--build", "what makes that file; run by plan --build only", "COMMAND"),
    ),
    Field(name="modules", takes="modules", default=(), toml=False, fact="{} modules"),
    _text(
        "compatibility_date", check=_date_problem, part="upload", observed=True, wrangler=("compatibility_date",),
        label="Compatibility date", rare=True,
        hint="Default: {date}. A day such as {date}.", fact="compatibility date {}",
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
        "containers", form="a list of class names", check=_each(_class_problem), fact="containers of {}",
        flag=_flag("--container", "a class with a container, which only wrangler deploys", "CLASS", many=True),
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
        "class_name", default=REQUIRED, label="Class", hint="The class that your Worker exports, such as Counter.",
        flag=_flag("--class", "the exported class that runs its objects", "NAME", completes="class"),
    ),
    _switch(
        "sqlite", sets=False, label="Key-value storage", rare=True,
        hint="Legacy. Leave it off for SQLite; it cannot be changed later.",
        flag=_flag("--kv", "legacy key-value storage instead of SQLite"),
    ),
    _text(
        "script_name", label="Hosting Worker", rare=True,
        hint="Only if several Workers bind it: the one whose source holds the class.", fact="hosted by {}",
        flag=_flag("--script", "the Worker that hosts it, by name or id", "WORKER", completes="reachable"),
    ),
    _text(
        "environment", fact="environment {}",
        flag=_flag("--environment", "the environment of a host that is not declared here", "ENV"),
    ),
    _text(
        "renamed_from", label="Was called", rare=True,
        hint="Only to rename a stable ID: its name until now.", fact="renamed from {}",
        flag=_flag("--renamed-from", "the stable ID that this one replaces", "ID", completes="namespace"),
    ),
    _text(
        "transferred_from", fact="transferred from {}",
        flag=_flag("--transferred-from", "the Worker it moves away from", "WORKER", completes="reachable"),
    ),
    _text("namespace_id", fact="namespace id {}", flag=_flag("--namespace-id", "adopt this live namespace", "ID")),
    _switch(
        "protect", default=True, sets=False, label="May be destroyed", rare=True,
        hint="Off: %durable destroy is refused.",
        fact="may be destroyed", flag=_flag("--unprotect", "allow a later destroy"),
    ),
    _switch(
        "inspect", default=False, sets=True, choices=("calls",), form='true, false or "calls"', fact="inspect {}",
        flag=_flag(
            "--inspect", "Cloudflare: let objects be asked from here; calls: only their methods", "calls",
            choices=("calls", "on", "off"), alone="on",
        ),
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
