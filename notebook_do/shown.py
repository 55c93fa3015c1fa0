"""Values that a notebook can show, without knowing how: the notebook floor is found at the first display.

The lower floors must not import IPython or pandas, yet a plan has to display itself and has DataFrames. So a value
inherits `Shown`, and only when it is really displayed is `notebook_do.notebook.views` loaded, by name. This is the one
upward edge of the house, and it is taken at run time only.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


def frame(name: str, rows: Any, *, said: str = "", **attrs: Any) -> pd.DataFrame:
    """Make the DataFrame called `name` (its columns and dtypes are fixed in notebook/frames.py) of `rows`.

    `said` is a line that it shows below its rows, where they are not all there is; `attrs` tell a program.
    """
    made: pd.DataFrame = import_module("notebook_do.notebook.frames").frame(name, rows, said)
    made.attrs |= attrs
    return made


def selected(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make the DataFrame of what a statement selected: its own columns, with the dtypes that the values have."""
    made: pd.DataFrame = import_module("notebook_do.notebook.frames").selected(columns, rows)
    return made


class Shown:
    """Something a notebook can show as text and HTML."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give text/plain and text/html; IPython calls this."""
        del include, exclude
        bundle: dict[str, str] = import_module("notebook_do.notebook.views").bundle(self)
        return bundle

    def __str__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]


@dataclass(frozen=True, kw_only=True)
class Table(Shown):
    """Rows under a title. `name` is the DataFrame's name in notebook/frames.py, which fixes its columns."""

    name: str
    title: str
    rows: tuple[Mapping[str, Any], ...] = ()

    @property
    def df(self) -> pd.DataFrame:
        """The rows as a DataFrame with fixed columns and dtypes."""
        return frame(self.name, self.rows)
