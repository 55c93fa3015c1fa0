"""How numbers, sizes, durations, times and ids are written for people: one way each, in every view and sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = ("kB", "MB", "GB", "TB")
_LONG_VALUE = 60
_ID_DIGITS = 24


def count(number: int) -> str:
    """Return a number with its thousands apart: `1,204`."""
    return f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 Worker`, `1,204 stored objects`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Return a size: `70 bytes`, `12.4 kB`, `1.2 MB`; 1 kB is 1000 bytes."""
    if number < 1000:
        return counted(number, "byte")
    value, unit = number / 1000, 0
    # 999,950 bytes would be written as 1000.0 kB.
    while round(value, 1) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:,.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a duration: `38 ms`, `2.4 s`, `1 min 12 s`, `2 h 5 min`."""
    if round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(when: str | datetime) -> str:
    """Return a time as it stands in records: `2026-11-26 14:02:11 UTC`; a text that is no time stays as it is."""
    found = _time(when)
    return str(when) if found is None else f"{found:%Y-%m-%d %H:%M:%S} UTC"


def minute(when: str | datetime) -> str:
    """Return a time without its seconds, for a sentence: `2026-11-26 14:02`."""
    found = _time(when)
    return str(when) if found is None else f"{found:%Y-%m-%d %H:%M}"


def clock(when: str | datetime) -> str:
    """Return a time of a day that the title names: `14:02:11.204`."""
    found = _time(when)
    return str(when) if found is None else f"{found:%H:%M:%S}.{found.microsecond // 1000:03d}"


def offset(seconds: float) -> str:
    """Return a time within a request: `+31 ms`."""
    return f"+{duration(seconds)}"


def _time(when: str | datetime) -> datetime | None:
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def short_namespace(namespace_id: str) -> str:
    """Return a namespace id where it proves nothing: `11c9…5524bb00`, with the 8 digits of the phrase."""
    return namespace_id if len(namespace_id) <= 14 else f"{namespace_id[:4]}…{namespace_id[-8:]}"


def storage_words(storage: str) -> str:
    """Return what a person calls a kind of storage."""
    return "SQLite" if storage == "sqlite" else "key-value"


def short_object(object_id: str) -> str:
    """Return an object id anywhere but on the object's own page: its first 8 digits."""
    return object_id if len(object_id) <= 12 else f"{object_id[:8]}…"


def short_account(account_id: str) -> str:
    """Return an account id: enough to recognise it in a shared notebook."""
    return account_id if len(account_id) <= 12 else f"{account_id[:4]}…{account_id[-4:]}"


def named_account(account_id: str, name: str) -> str:
    """Return an account as a person knows it, `Acme Inc (9a4c…61f7)`; without a name the short id alone."""
    return f"{name} ({short_account(account_id)})" if name else short_account(account_id)


def short_digest(digest: str) -> str:
    """Return the digest of a plan anywhere but in its last line and in `--approve`."""
    return digest[:8]


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names as a sentence lists them: `a, b and c`; of more than `most` the rest is counted."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def clipped_value(text: str) -> str:
    """Return a value for a row: one of more than 60 characters is its first 57 and an ellipsis."""
    return text if len(text) <= _LONG_VALUE else f"{text[:57]}…"


def short_resource(resource_id: str) -> str:
    """Return the id that an account gave a resource: `3f2ae0c4…9d1b`; a name that people gave it stays whole."""
    plain = resource_id.replace("-", "")
    is_id = len(plain) >= _ID_DIGITS and not set(plain) - set("0123456789abcdef")
    return f"{resource_id[:8]}…{resource_id[-4:]}" if is_id else resource_id
