"""What a declaration says: the table of a Worker's fields, a row each, and that of a namespace's.

Made of the rows: the parser of lines, its help and completion, TOML, the check of Python's keywords, comparison,
fingerprint, import, export, views and forms. A setting in Cloudflare's own words is carried by its row alone.
"""

from __future__ import annotations

import re
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from notebook_do.model import settings
from notebook_do.model.assets import assets_problem
from notebook_do.model.crons import cron_problem
from notebook_do.model.declared import Json
from notebook_do.model.fields import REQUIRED, Field, Takes
from notebook_do.model.triggers import Trigger, TriggerKind, trigger_problem
from notebook_do.model.words import UPDATE_DEFAULT, Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


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


def _setting(name: str, takes: Takes, check: Callable[[Any], str | None] | None = None, **more: Any) -> Field:
    """Return the row of a setting; wrangler has it under the same key where nothing else is said."""
    return Field(name=name, takes=takes, check=check, setting=True, part="upload", **{"wrangler": (name,), **more})


_LANGUAGES, _FORMS = ("js", "ts", "py"), ("auto", "exports", "migrations")

WORKER_FIELDS: Mapping[str, Field] = _by_name(
    Field(
        name="name",
        takes="text",
        flag=Flag(name="--name", value="NAME", help="the script name on Cloudflare"),
        fact="script name {}",
    ),
    Field(name="script", takes="text"),
    Field(name="bindings", takes="bindings"),
    Field(
        name="lang",
        takes="text",
        default="js",
        choices=_LANGUAGES,
        flag=Flag(name="--lang", value="LANG", help="the language of the body", choices=_LANGUAGES),
    ),
    Field(
        name="entrypoint",
        takes="text",
        flag=Flag(name="--entrypoint", value="FILE", help="a file instead of a body", completes="path"),
    ),
    Field(
        name="no_bundle",
        takes="switch",
        default=False,
        flag=Flag(name="--no-bundle", help="upload that file and what it imports as they are"),
        sets=True,
    ),
    Field(name="modules", takes="modules", default=(), toml=False, fact="{} modules"),
    Field(
        name="compatibility_date",
        takes="text",
        check=_date_problem,
        flag=Flag(name="--compat-date", value="DATE", help="compatibility date, YYYY-MM-DD", completes="date"),
        part="upload",
        observed=True,
        wrangler=("compatibility_date",),
        fact="compatibility date {}",
    ),
    Field(
        name="compatibility_flags",
        takes="texts",
        default=(),
        check=_each(_flag_problem),
        flag=Flag(name="--compat-flag", value="FLAG", help="compatibility flag", many=True),
        part="upload",
        observed=True,
        wrangler=("compatibility_flags",),
        fact="flags {}",
        between=" ",
    ),
    Field(
        name="url",
        takes="switch",
        default=True,
        flag=Flag(name="--no-url", help="no workers.dev address"),
        sets=False,
        part="url",
        observed=True,
        wrangler=("workers_dev",),
        fact="no URL",
    ),
    Field(
        name="previews",
        takes="switch",
        flag=Flag(name="--previews", value="on|off", help="preview URLs", choices=("on", "off")),
        observed=True,
        wrangler=("preview_urls",),
    ),
    Field(
        name="crons",
        takes="texts",
        default=(),
        check=_each(cron_problem),
        flag=Flag(name="--cron", value="CRON", help="a cron trigger", many=True),
        part="crons",
        observed=True,
        wrangler=("triggers", "crons"),
        fact="crons {}",
    ),
    Field(
        name="routes",
        takes="texts",
        default=(),
        check=_trigger("route"),
        flag=Flag(name="--route", value="PATTERN", help="a route, such as example.com/*", many=True),
        trigger="route",
    ),
    Field(
        name="domains",
        takes="texts",
        default=(),
        check=_trigger("domain"),
        flag=Flag(name="--domain", value="HOST", help="a custom domain", many=True),
        trigger="domain",
    ),
    Field(
        name="consumes",
        takes="queues",
        default=(),
        check=_trigger("consumer"),
        flag=Flag(name="--consumes", value="QUEUE[=JSON]", help="a queue, with the consumer's settings", many=True),
        trigger="consumer",
    ),
    Field(
        name="assets",
        takes="table",
        form="a table with a directory",
        check=assets_problem,
        flag=Flag(
            name="--assets", value="DIR[=JSON]", help="static assets, with how they are served", completes="path"
        ),
        part="assets",
    ),
    _setting("observability", "table", settings.observability_problem, off={"enabled": False}, switched=True),
    _setting(
        "placement",
        "table",
        settings.placement_problem,
        whole=True,
        told=("status", "last_analyzed_at"),
        carries=frozenset({"mode", "hint", "region", "host", "hostname"}),
    ),
    _setting("limits", "table", settings.limits_problem, carries=frozenset({"cpu_ms", "subrequests"})),
    _setting("logpush", "switch", off=False),
    _setting(
        "tail_consumers",
        "list",
        settings.tail_consumers_problem,
        off=[],
        carries=frozenset({"service", "environment"}),
    ),
    _setting("tags", "list", settings.tags_problem, wrangler=()),
    _setting(
        "cache_options",
        "table",
        settings.cache_options_problem,
        off={"enabled": False},
        switched=True,
        wrangler=("cache",),
        carries=frozenset({"enabled", "cross_version_cache"}),
    ),
    _setting(
        "code_update_strategy",
        "table",
        settings.code_update_strategy_problem,
        off=dict(UPDATE_DEFAULT),
        whole=True,
        wrangler=("durable_objects", "code_update_strategy"),
        carries=frozenset({"mode", "max_delay"}),
    ),
    Field(
        name="adopt",
        takes="switch",
        default=False,
        flag=Flag(name="--adopt", help="take over a live Worker of this name"),
        sets=True,
        fact="adopts the live script",
    ),
    Field(
        name="lifecycle",
        takes="text",
        default="auto",
        choices=_FORMS,
        flag=Flag(name="--lifecycle", value="FORM", help="how class migrations are sent", choices=_FORMS),
        fact="lifecycle {}",
    ),
)
"""The fields of a Worker by name, in the order of their options in the help."""
SETTING_FLAG = Flag(
    name="--setting", value="NAME=JSON", help="observability, placement, limits and the like", many=True
)
WORKER_SETTINGS: Mapping[str, Field] = _by_name(*(field for field in WORKER_FIELDS.values() if field.setting))
"""Those that an upload carries in Cloudflare's own words."""
NOT_CARRIED: Mapping[str, str] = MappingProxyType(
    {
        "containers": "containers need an image that is built and pushed; deploy this Worker with wrangler.",
        "usage_model": "every account has the standard usage model; leave it out.",
    }
)
"""By name, why a setting that Cloudflare knows cannot be declared here, and what to do."""

NAMESPACE_FIELDS: Mapping[str, Field] = _by_name(
    Field(
        name="class_name",
        takes="text",
        default=REQUIRED,
        flag=Flag(name="--class", value="NAME", help="the exported class that runs its objects", completes="class"),
    ),
    Field(
        name="sqlite",
        takes="switch",
        flag=Flag(name="--kv", help="legacy key-value storage instead of SQLite"),
        sets=False,
    ),
    Field(
        name="script_name",
        takes="text",
        flag=Flag(
            name="--script", value="WORKER", help="the Worker that hosts it, by name or id", completes="reachable"
        ),
        fact="hosted by {}",
    ),
    Field(
        name="environment",
        takes="text",
        flag=Flag(name="--environment", value="ENV", help="the environment of a host that is not declared here"),
        fact="environment {}",
    ),
    Field(
        name="renamed_from",
        takes="text",
        flag=Flag(
            name="--renamed-from", value="ID", help="the stable ID that this one replaces", completes="namespace"
        ),
        fact="renamed from {}",
    ),
    Field(
        name="transferred_from",
        takes="text",
        flag=Flag(
            name="--transferred-from", value="WORKER", help="the Worker it moves away from", completes="reachable"
        ),
        fact="transferred from {}",
    ),
    Field(
        name="namespace_id",
        takes="text",
        flag=Flag(name="--namespace-id", value="ID", help="adopt this live namespace"),
        fact="namespace id {}",
    ),
    Field(
        name="protect",
        takes="switch",
        default=True,
        flag=Flag(name="--unprotect", help="allow a later destroy"),
        sets=False,
        fact="not protected: it can be destroyed",
    ),
)
"""The fields of a namespace by name, in the order of their options in the help."""


def setting_problem(name: str, value: Any) -> str | None:
    """Return in one line what is wrong with a setting; None for a good one."""
    if name in NOT_CARRIED:
        return f"{name} cannot be declared: {NOT_CARRIED[name]}"
    if name not in WORKER_SETTINGS:
        return f"unknown option {name!r}; known are {', '.join(WORKER_SETTINGS)}."
    field = WORKER_SETTINGS[name]
    return field.problem(value) or field.fault(value)
