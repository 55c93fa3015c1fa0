"""Rows -> DataFrames with fixed columns and dtypes, also when there are no rows. Frames are views, never state.

A frame is a DataFrame with its values as they are; only its text is cleaned, and that of what is taken from it: a
terminal must not obey what was stored. It is marked in `attrs` too, which pandas hands on to some that do not keep the
class, and IPython's text of these is cleaned as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from notebook_do.display import Shown, clean

_BOOLS = frozenset(("destructive", "protected", "readable", "stored"))
_COUNTS = frozenset(("objects", "rows", "serial", "size"))
_MOMENTS = frozenset(("alarm", "last_write", "time"))
_ANYTHING = frozenset(("value", "new_value"))

COLUMNS: dict[str, tuple[str, ...]] = {
    "plan": ("action", "kind", "id", "worker", "name", "field", "before", "after", "detail", "destructive"),
    "bindings": (
        *("worker", "binding", "type", "target", "class_name", "script_name", "environment", "namespace_id"),
        "action",
    ),
    "logs": (*("time", "level", "worker", "entrypoint", "object", "message", "exception", "stack", "request_id"),),
    "migrations": (
        *("worker", "step", "stable_id", "from_class", "to_class", "namespace_id", "storage", "wire"),
        *("old_tag", "new_tag"),
    ),
    "namespaces": (
        *("stable_id", "namespace_id", "worker", "class_name", "storage", "protected", "objects", "status"),
    ),
    "objects": ("name", "object_id", "size", "last_write", "alarm", "stored", "stable_id"),
    "state": ("stable_id", "namespace_id", "worker", "class_name", "class_history", "storage", "serial"),
    "applied_changes": ("name", "object_id", "error"),
    "object_changes": ("name", "object_id", "value", "new_value"),
    "tables": ("table", "rows", "columns"),
    "values": ("name", "key", "value", "size", "object_id", "stable_id"),
    "whoami": ("source", "account_id", "account", "status", "token_id"),
    "backups": ("serial", "readable", "path"),
    "workers": ("id", "name", "url", "etag", "modified_on", "lifecycle", "migration_tag", "status"),
}


def dtype_of(column: str) -> str:
    """Return the dtype that a column has in every frame."""
    if column in _ANYTHING:
        return "object"
    if column in _MOMENTS:
        return "datetime64[ms, UTC]"
    return "bool" if column in _BOOLS else "Int64" if column in _COUNTS else "string"


_OF_OBJECTS = frozenset(("applied_changes", "logs", "object_changes", "objects", "tables", "values"))
"""The frames in which a text that nobody tells is NA; in the older ones it is empty."""


class _Cleaned:
    """Text of which a terminal obeys nothing; what else there is comes from pandas."""

    def to_string(self, buf: Any = None, **options: Any) -> str | None:
        """Write it as pandas does, with control, bidirectional and invisible characters written out."""
        # Not __repr__: IPython would take that before a formatter that the user has set for a DataFrame.
        text = clean(super().to_string(**options))  # type: ignore[misc]  # pandas' class comes behind this one
        if buf is None:
            return text
        if hasattr(buf, "write"):
            buf.write(text)
        else:
            Path(buf).write_text(text, encoding=options.get("encoding") or "utf-8")
        return None


class Frame(_Cleaned, pd.DataFrame):  # type: ignore[misc]  # to_string has one signature for all of pandas' own
    """A DataFrame whose text, and that of frames and columns made of it, shows nothing that a terminal obeys."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return Frame

    @property
    def _constructor_sliced(self) -> type[pd.Series[Any]]:
        return Column

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as a DataFrame of pandas': who reads it need not have this package."""
        del protocol
        return copy, (pd.DataFrame(self),)


class Column(_Cleaned, pd.Series):  # type: ignore[misc]  # it takes no type at run time
    """A column or a row of a Frame."""

    @property
    def _constructor(self) -> type[pd.Series[Any]]:
        return Column

    @property
    def _constructor_expanddim(self) -> type[pd.DataFrame]:
        return Frame

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as a Series of pandas'."""
        del protocol
        return copy, (pd.Series(self),)


class Partial(Frame):
    """A frame of a part of what there is, which says so below its rows; what is made of it does not."""

    _metadata = ("said",)
    said: str

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{self.said}"

    def _repr_html_(self) -> str:
        table = pd.DataFrame(self)._repr_html_()  # type: ignore[operator]  # the stubs do not have it
        return f"{table}<p>{escape(self.said)}</p>"


class Viewed(Frame):
    """A frame that a notebook shows as a view of its own; what is made of it is a plain one."""

    _metadata = ("view",)
    view: Shown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return its view; IPython calls this."""
        return self.view._repr_mimebundle_(include, exclude)


def mapped(df: pd.DataFrame, values: list[Any], times: list[float | None], errors: list[str | None]) -> Viewed:
    """Add what was called for each row to a frame: result (object), ms (Float64) and error (string)."""
    made = Viewed(df.drop(columns=["result", "ms", "error"], errors="ignore"))
    results = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):  # one by one: numpy would make columns of lists
        results[at] = value
    made["result"] = results
    made["ms"] = pd.array(times, dtype="Float64")
    made["error"] = pd.array(errors, dtype="string")
    made.attrs["mapped"] = True
    marked(made)
    return made


def viewed(given: pd.DataFrame, view: Shown) -> pd.DataFrame:
    """Return the same frame, shown as `view`."""
    made = Viewed(given)
    made.view = view
    made.attrs |= given.attrs
    return made


def frame(name: str, rows: Iterable[Any], said: str = "") -> pd.DataFrame:
    """Make the frame called `name`; a row is a dataclass or a mapping, and may lack columns. `said` is shown below."""
    kept = list(rows)
    columns = COLUMNS[name]
    untold = None if name in _OF_OBJECTS else ""
    made = (Partial if said else Frame)(
        {
            column: pd.Series([_value(row, column, untold) for row in kept], dtype=dtype_of(column))
            for column in columns
        },
        columns=list(columns),
    )
    if isinstance(made, Partial):
        made.said = said
    return marked(made)


def selected(columns: Sequence[str], rows: Sequence[Sequence[Any]], ours: bool = False) -> pd.DataFrame:  # noqa: FBT001, FBT002 - as above
    """Make a frame of what a statement selected, exactly: the dtype of a column is what SQLite says of its values.

    INTEGER is Int64, REAL Float64, TEXT string, each also beside NULL; bytes, several kinds, NULLs only and no rows are
    object. Of all objects the first and the last column are `ours`, and always text.
    """
    # Not convert_dtypes: it makes whole numbers of 1.0 and 2.0, and went through floats with 2**53 + 1 beside NULL.
    texts = {0, len(columns) - 1} if ours else set[int]()
    made = Frame(
        {at: _exact([row[at] for row in rows], "string" if at in texts else "") for at in range(len(columns))},
        index=pd.RangeIndex(len(rows)),
    )
    made.columns = pd.Index(list(columns))
    return marked(made)


def _exact(values: list[Any], dtype: str) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if dtype or kinds == {str}:
        return pd.array(values, dtype="string")
    gaps = np.array([value is None for value in values], dtype=bool)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return pd.arrays.IntegerArray(np.array([value or 0 for value in values], dtype="int64"), gaps)
    if kinds == {float}:
        return pd.arrays.FloatingArray(np.array([value or 0.0 for value in values], dtype="float64"), gaps)
    return pd.Series(values, dtype=object)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with Python's own values, what is missing as None: pandas' to_json cuts digits and bytes."""
    columns = [_plain(frame.iloc[:, at]) for at in range(frame.shape[1])]
    return [dict(zip(map(str, frame.columns), row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(column: pd.Series[Any]) -> list[Any]:
    # A float's own NaN is a value in an object column, and only a mask says what is missing elsewhere.
    return [None if value is None or value is pd.NA or value is pd.NaT else value for value in column.tolist()]


def _value(row: Any, column: str, untold: str | None) -> Any:
    value = row.get(column) if isinstance(row, Mapping) else getattr(row, column, None)
    if column in _ANYTHING or column in _MOMENTS:
        return value
    if column in _BOOLS:
        return bool(value) if value is not None else False
    if column in _COUNTS:
        # Unknown is not zero: Int64 has NA for it.
        return None if value in (None, "") else int(value)
    if isinstance(value, Enum):
        value = value.value
    return untold if value is None else str(value)


MARK = "notebook_do"
F = TypeVar("F", pd.DataFrame, "pd.Series[Any]")


def marked(frame: F) -> F:
    """Mark a frame as one of ours, and see to it that IPython, where it runs, cleans the text of such."""
    frame.attrs[MARK] = "frame"
    ipython = sys.modules.get("IPython")
    if ipython is not None and (shell := ipython.get_ipython()) is not None:
        install(shell)
    return frame


def install(shell: Any) -> None:
    """Teach a shell to write marked frames; a way to write frames that the user has chosen stays."""
    formatter = shell.display_formatter.formatters["text/plain"]
    for kind in (pd.DataFrame, pd.Series):
        # A lookup that succeeds is a user's own formatter, or ours of before.
        try:
            formatter.lookup_by_type(kind)
        except KeyError:
            formatter.for_type(kind, _write)


def _write(frame: Any, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - IPython's signature
    del cycle
    # Registered for all frames, this comes before `_repr_mimebundle_`.
    text: str = frame._repr_mimebundle_()["text/plain"] if isinstance(frame, Viewed) else repr(frame)
    for number, line in enumerate((clean(text) if MARK in frame.attrs else text).split("\n")):
        if number:
            printer.break_()
        printer.text(line)
