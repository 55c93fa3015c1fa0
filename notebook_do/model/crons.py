"""Says what is wrong with a cron expression, field by field, as Cloudflare reads them.

Five fields; week days count from 1, which is Sunday. The grammar is that of Cloudflare's published parser (saffron):
ranges may wrap around, a step is smaller than its field is long, and the forms with L, W and # stand alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One of the five fields: its least and largest number, and the names that stand for them in order."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def problem(self, text: str) -> str | None:
        """Say what is wrong with the field's text; None for a good one."""
        if text == "*":
            return None
        if self.name in _SPECIAL and (special := _SPECIAL[self.name](self, text)) is not None:
            return special or None
        items = text.split(",")
        found = (self._item(item, first=number == 0) for number, item in enumerate(items))
        return next(filter(None, found), None)

    def value(self, text: str) -> str | None:
        """Say what is wrong with one number or name."""
        if text.upper() in self.names:
            return None
        if re.fullmatch("[0-9]+", text) and self.low <= int(text) <= self.high:
            return None
        named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.name} {text!r} must be {self.low} to {self.high}{named}"

    def _item(self, item: str, *, first: bool) -> str | None:
        """Check one item of a list: a value, a range, either with a step; `*` with a step, or after another item."""
        span, slash, step = item.partition("/")
        if slash and not (re.fullmatch("[0-9]+", step) and 1 <= int(step) <= self.high - self.low):
            return f"step {step!r} of {self.name} must be 1 to {self.high - self.low}"
        start, dash, end = span.partition("-")
        if start == "*" and first and (dash or not slash):
            return f"* of {self.name} stands alone, or with a step such as */2"
        ends = [*([] if start == "*" else [start]), *([end] if dash else [])]
        return next(filter(None, map(self.value, ends)), None)


def _day_of_month(field: _Field, text: str) -> str | None:
    """Say what is wrong with L, LW, L-3, L-3W and 15W: empty for a good one, None for a text of another form."""
    if text in {"L", "LW"}:
        return ""
    if match := re.fullmatch(r"L-([0-9]+)W?", text):
        return "" if 1 <= int(match[1]) <= 30 else f"{text} of {field.name}: L- takes 1 to 30"
    if match := re.fullmatch(r"([0-9]+)W", text):
        return field.value(match[1]) or ""
    return None


def _week_day(field: _Field, text: str) -> str | None:
    """Say what is wrong with L, 6L, friL and 6#3: empty for a good one, None for a text of another form."""
    if text == "L":
        return ""
    day, mark, nth = text.partition("#")
    if mark:
        wrong = "" if re.fullmatch("0*[1-5]", nth) else f"{text} of {field.name}: # takes 1 to 5"
        return field.value(day) or wrong
    return (field.value(text[:-1]) or "") if re.fullmatch(r"[0-9A-Za-z]+L", text) else None


_SPECIAL = {"day of the month": _day_of_month, "week day": _week_day}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_FIELDS = (
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _Field(name="day of the month", low=1, high=31),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(name="week day", low=1, high=7, names=_DAYS),
)


def cron_problem(cron: str) -> str | None:
    """Say in one line what is wrong with a cron expression, and what may be meant; None for a good one."""
    parts = re.split("[ \t]+", cron)
    if len(parts) != len(_FIELDS):
        return f"cron {cron!r} must have five fields, such as '*/5 * * * *'{_without_seconds(parts) or '.'}"
    for field, text in zip(_FIELDS, parts, strict=True):
        if problem := field.problem(text):
            return f"cron {cron!r}: {problem}{_meant(field, parts) or '.'}"
    return None


def _without_seconds(parts: list[str]) -> str:
    """Propose five of six fields: other cron systems begin with seconds."""
    if len(parts) == len(_FIELDS) + 1 and cron_problem(" ".join(parts[1:])) is None:
        return f"; it has no seconds: did you mean '{' '.join(parts[1:])}'?"
    return ""


def _meant(field: _Field, parts: list[str]) -> str:
    """Propose * for ?, and names where week days are counted from 0."""
    if "?" in parts:
        meant = " ".join("*" if part == "?" else part for part in parts)
        return f"; ? is not known: did you mean '{meant}'?" if cron_problem(meant) is None else ""
    day = parts[-1]
    if field.name != "week day" or not re.search(r"(?<![0-9/#])0(?![0-9])", day):
        return ""
    named = re.sub(r"(?<![0-9/#])[0-6](?![0-9])", lambda match: _DAYS[int(match[0])], day)
    meant = " ".join([*parts[:-1], named])
    return f"; Sunday is 1 or SUN on Cloudflare: did you mean '{meant}'?" if cron_problem(meant) is None else ""
