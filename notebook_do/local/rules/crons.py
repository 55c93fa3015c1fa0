"""The cron expressions that Cloudflare takes, as one regular expression made from the ranges of its five fields.

Sources: Cloudflare's page "Cron Triggers" (the table of fields) and its own parser, github.com/cloudflare/saffron (what
stands in a list, steps, ranges that wrap around). Emulated: whether the API trims blanks; here it does not.
"""

from __future__ import annotations

import re

_MONTHS = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DAYS = "(?i:sun|mon|tue|wed|thu|fri|sat)"


def _number(low: int, high: int) -> str:
    return f"0*(?:{'|'.join(map(str, range(low, high + 1)))})"


def _lists(low: int, high: int, names: str = "") -> str:
    """Write `*`, or a list; only behind a comma may `*` begin a value or a range."""
    value = f"(?:{_number(low, high)}|{names})" if names else f"(?:{_number(low, high)})"
    step = f"(?:/{_number(1, high - low)})"
    first = rf"(?:{value}(?:-{value})?{step}?|\*{step})"
    more = rf"(?:{value}|\*)(?:-{value})?{step}?"
    return rf"\*|{first}(?:,{more})*"


def _expression() -> str:
    month_days = rf"{_lists(1, 31)}|LW?|L-{_number(1, 30)}W?|{_number(1, 31)}W"
    week_day = f"(?:{_number(1, 7)}|{_DAYS})"
    week_days = f"{_lists(1, 7, _DAYS)}|L|{week_day}L|{week_day}#{_number(1, 5)}"
    fields = (_lists(0, 59), _lists(0, 23), month_days, _lists(1, 12, _MONTHS), week_days)
    return "[ \\t]+".join(f"(?:{field})" for field in fields)


_EXPRESSION = re.compile(_expression(), re.ASCII)


def is_cron(text: str) -> bool:
    """Say whether Cloudflare takes the text as the time of a cron trigger."""
    return _EXPRESSION.fullmatch(text) is not None
