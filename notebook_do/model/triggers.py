"""What calls a Worker besides its workers.dev address: cron triggers, routes, custom domains, queues and workflows.

Cron expressions are checked field by field, as Cloudflare reads them: five fields; week days count from 1, which is
Sunday. The grammar is that of Cloudflare's published parser (saffron): ranges may wrap around, a step is smaller than
its field is long, and the forms with L, W and # stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.errors import nearest
from notebook_do.model.declared import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

TriggerKind = Literal["route", "domain", "consumer", "workflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger of a Worker, declared or recorded as ours.

    `key` is the pattern of a route, the host name of a custom domain, the name of a consumed queue or of a workflow; in
    an account there is at most one of a kind and key. `settings` are those of a consumer, in Cloudflare's words, and of
    a workflow its `class_name`. A workflow is never recorded: with it its instances would go, so no plan takes it away.
    """

    kind: TriggerKind
    key: str
    settings: Json = field(default=Json({}))

    @property
    def label(self) -> str:
        """Return what a person calls it."""
        return f"{_WORDS[self.kind]} {self.key}"


_WORDS: dict[TriggerKind, str] = {
    "route": "route",
    "domain": "custom domain",
    "consumer": "consumer of queue",
    "workflow": "workflow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTrigger:
    """What is live at one kind and key.

    `script` is the Worker that holds it, None where nobody does. `parent` is the id of its zone or queue, None where
    the account has none. `id` is Cloudflare's own, for changing and removing it.
    """

    kind: TriggerKind
    key: str
    script: str | None = None
    settings: Json = field(default=Json({}))
    id: str | None = None
    parent: str | None = None


# --- as they are declared, and what is wrong with one

_LIMITS: Mapping[str, tuple[int, int]] = {
    "batch_size": (1, 100),
    "max_retries": (0, 100),
    "max_wait_time_ms": (0, 60_000),
    "max_concurrency": (1, 250),
    "retry_delay": (0, 86_400),
}
"""By name, the least and the largest value of a consumer's settings (Cloudflare Queues, "Configuration")."""
CONSUMER_SETTINGS = (*_LIMITS, "dead_letter_queue")
CONSUMER_WORDS: Mapping[str, tuple[str, int]] = {
    "max_batch_size": ("batch_size", 1),
    "max_batch_timeout": ("max_wait_time_ms", 1000),
}
"""wrangler's words for two of them, accepted as such: Cloudflare's name, and by what its value is multiplied."""
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_ROUTE = re.compile(r"(?:https?://)?(?:\*\.?)?(?P<host>[^/*:?#]+)(?P<path>/[^?#]*)?")
_QUEUE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def triggers_of(
    *,
    routes: Iterable[str] = (),
    domains: Iterable[str] = (),
    consumes: Mapping[str, Mapping[str, Any]] | Iterable[str] = (),
) -> tuple[Trigger, ...]:
    """Return the triggers, sorted; a queue alone is consumed with Cloudflare's defaults."""
    queues: dict[str, Any] = dict(consumes) if isinstance(consumes, Mapping) else {name: {} for name in consumes}
    found = [
        *(Trigger(kind="route", key=pattern) for pattern in routes),
        *(Trigger(kind="domain", key=host) for host in domains),
        *(Trigger(kind="consumer", key=queue, settings=Json(_in_own_words(how))) for queue, how in queues.items()),
    ]
    # The same route named twice is one, as it is in the account.
    by_place = {(t.kind, t.key): t for t in found}
    return tuple(by_place[place] for place in sorted(by_place))


def _in_own_words(settings: Any) -> Any:
    """Return the settings of a consumer in Cloudflare's words; what is no number stays, for the check to name."""
    if not isinstance(settings, Mapping):
        return settings
    own = dict(settings)
    for word, (name, times) in CONSUMER_WORDS.items():
        value = settings.get(word)
        if name not in settings and isinstance(value, int | float) and not isinstance(value, bool):
            own[name] = round(own.pop(word) * times)
    return own


def _host_of(pattern: str) -> str | None:
    """Return the host name that a route's pattern is about, without its wildcard; None when it names none."""
    match = _ROUTE.fullmatch(pattern)
    return match["host"] if match and _HOST.fullmatch(match["host"]) else None


def trigger_problem(trigger: Trigger) -> str | None:
    """Return in one line what is wrong with a trigger; None for a good one."""
    match trigger.kind:
        case "route":
            path = trigger.key.partition("://")[2].partition("/")[2] or trigger.key.partition("/")[2]
            if _host_of(trigger.key) is None or "*" in path[:-1]:
                return (
                    f"route {trigger.key!r} must be a pattern such as 'example.com/*' or '*.example.com/api/*': a host "
                    "name in lower case, with * only before it and at the very end."
                )
        case "domain":
            if not _HOST.fullmatch(trigger.key):
                return f"domain {trigger.key!r} must be a host name in lower case, such as 'app.example.com'."
        case "consumer":
            return _consumer_problem(trigger.key, trigger.settings.value)
    return None


def _consumer_problem(queue: str, settings: Any) -> str | None:
    if not _QUEUE.fullmatch(queue):
        return f"consumes {queue!r}: a queue's name is 1 to 63 lower-case letters, digits or -."
    if not isinstance(settings, dict):
        return f"consumes {queue}: write a table of settings, not {settings!r}."
    for name, value in settings.items():
        if name == "dead_letter_queue":
            if not isinstance(value, str) or not _QUEUE.fullmatch(value) or value == queue:
                return f"consumes {queue}: dead_letter_queue must name another queue, not {value!r}."
            continue
        if name in CONSUMER_WORDS:
            own = CONSUMER_WORDS[name][0]
            if own in settings:
                return f"consumes {queue}: {name} and {own} are one setting; give one of them."
            return f"consumes {queue}: {name} must be a number, not {value!r}."
        if name not in _LIMITS:
            return f"consumes {queue}: unknown setting {name}; {nearest(name, CONSUMER_SETTINGS)}"
        low, high = _LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"consumes {queue}: {name} must be a whole number of {low} to {high}, not {value!r}."
    return None


# --- cron expressions

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True, slots=True, kw_only=True)
class _CronField:
    """One of the five fields: its least and largest number, and the names that stand for them in order."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def problem(self, text: str) -> str | None:
        """Return what is wrong with the field's text; None for a good one."""
        if text == "*":
            return None
        if self.name in _SPECIAL and (special := _SPECIAL[self.name](self, text)) is not None:
            return special or None
        items = text.split(",")
        found = (self._item(item, first=number == 0) for number, item in enumerate(items))
        return next(filter(None, found), None)

    def value(self, text: str) -> str | None:
        """Return what is wrong with one number or name; None for a good one."""
        if text.upper() in self.names:
            return None
        if re.fullmatch("[0-9]+", text) and self.low <= int(text) <= self.high:
            return None
        named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.name} {text!r} must be {self.low} to {self.high}{named}"

    def _item(self, item: str, *, first: bool) -> str | None:
        """Return what is wrong with an item of a list: a value or a range, also with a step, or `*`.

        A first `*` needs a step; behind another item the parser takes one in any form.
        """
        span, slash, step = item.partition("/")
        if slash and not (re.fullmatch("[0-9]+", step) and 1 <= int(step) <= self.high - self.low):
            return f"step {step!r} of {self.name} must be 1 to {self.high - self.low}"
        start, dash, end = span.partition("-")
        if start == "*" and first and (dash or not slash):
            return f"* of {self.name} stands alone, or with a step such as */2"
        ends = [*([] if start == "*" else [start]), *([end] if dash else [])]
        return next(filter(None, map(self.value, ends)), None)


def _day_of_month(field: _CronField, text: str) -> str | None:
    """Return what is wrong with L, LW, L-3, L-3W or 15W: empty for a good one, None for a text of another form."""
    if text in {"L", "LW"}:
        return ""
    if match := re.fullmatch(r"L-([0-9]+)W?", text):
        return "" if 1 <= int(match[1]) <= 30 else f"{text} of {field.name}: L- takes 1 to 30"
    if match := re.fullmatch(r"([0-9]+)W", text):
        return field.value(match[1]) or ""
    return None


def _week_day(field: _CronField, text: str) -> str | None:
    """Return what is wrong with L, 6L, friL or 6#3: empty for a good one, None for a text of another form."""
    if text == "L":
        return ""
    day, mark, nth = text.partition("#")
    if mark:
        wrong = "" if re.fullmatch("0*[1-5]", nth) else f"{text} of {field.name}: # takes 1 to 5"
        return field.value(day) or wrong
    return (field.value(text[:-1]) or "") if re.fullmatch(r"[0-9A-Za-z]+L", text) else None


_SPECIAL = {"day of the month": _day_of_month, "week day": _week_day}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CRON_FIELDS = (
    _CronField(name="minute", low=0, high=59),
    _CronField(name="hour", low=0, high=23),
    _CronField(name="day of the month", low=1, high=31),
    _CronField(name="month", low=1, high=12, names=_MONTHS),
    _CronField(name="week day", low=1, high=7, names=_DAYS),
)


def cron_problem(cron: str) -> str | None:
    """Return in one line what is wrong with a cron expression, and what may be meant; None for a good one."""
    # Blanks and tabs alone, and none at the ends, as the parser has it; `split()` would pass more.
    parts = re.split("[ \t]+", cron)
    if len(parts) != len(_CRON_FIELDS):
        return f"cron {cron!r} must have five fields, such as '*/5 * * * *'{_without_seconds(parts) or '.'}"
    for one, text in zip(_CRON_FIELDS, parts, strict=True):
        if problem := one.problem(text):
            return f"cron {cron!r}: {problem}{_meant(one, parts) or '.'}"
    return None


def _without_seconds(parts: list[str]) -> str:
    """Return a proposal where there are six fields and five are good: other cron systems begin with seconds."""
    if len(parts) == len(_CRON_FIELDS) + 1 and cron_problem(" ".join(parts[1:])) is None:
        return f"; it has no seconds: did you mean '{' '.join(parts[1:])}'?"
    return ""


def _meant(field: _CronField, parts: list[str]) -> str:
    """Return a proposal for the two habits of other cron systems: `?` for any day, and week days from 0, Sunday."""
    if "?" in parts:
        meant = " ".join("*" if part == "?" else part for part in parts)
        return f"; ? is not known: did you mean '{meant}'?" if cron_problem(meant) is None else ""
    day = parts[-1]
    if field.name != "week day" or not re.search(r"(?<![0-9/#])0(?![0-9])", day):
        return ""
    named = re.sub(r"(?<![0-9/#])[0-6](?![0-9])", lambda match: _DAYS[int(match[0])], day)
    meant = " ".join([*parts[:-1], named])
    return f"; Sunday is 1 or SUN on Cloudflare: did you mean '{meant}'?" if cron_problem(meant) is None else ""
