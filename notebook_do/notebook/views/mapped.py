"""What a map over a DataFrame is shown as: its failures first, the frame, and the line that runs the failures again."""

from __future__ import annotations

import json
import math
import shlex
import sys
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import as_option
from notebook_do.display import cut
from notebook_do.display.formats import counted, duration
from notebook_do.display.hiding import hidden_in_column, shown_name
from notebook_do.display.rich import code, joined, rich, strong
from notebook_do.notebook.views.blocks import Code, Line, Table, Tone
from notebook_do.notebook.views.called import argument_text
from notebook_do.sessions.placing import run_now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from notebook_do.live.mapping import MappedRows
    from notebook_do.notebook.views.blocks import Block, Document

_FAILURES = 20
_ENDS = 5
"""How many rows of the frame are drawn at each end."""
_COLUMNS = 10
_WIDE = 40


def mapped_document(rows: MappedRows) -> Document:
    """Show what became of the rows."""
    return tuple(_blocks(rows))


def _blocks(rows: MappedRows) -> Iterator[Block]:
    frame, failed = rows.frame, [at for at, one in enumerate(rows.outcomes) if rows.error(one) is not None]
    method = code(f"{rows.class_name}.{rows.asked.method}")
    how = f" for {counted(len(rows.outcomes), 'row')} in {duration(rows.took)} ({rows.asked.at_once} at a time): "
    became = ", ".join(f"{number:,} {what}" for what, number in rows.counts.items()) or "no rows"
    yield Line(rich("Called ", method, how, became, "."), Tone.CHANGE if failed else Tone.ADD, role="status")
    if frame is None:
        return
    name = _name_of(frame)
    if failed:
        yield _failures(rows, frame, failed, name)
    yield _frame(frame, rows.asked.object)
    if failed:
        yield Line("Again for the failures only:", small=True)
        yield Code("", _again(rows, name), paste=True)


def _failures(rows: MappedRows, frame: pd.DataFrame, failed: Sequence[int], name: str) -> Table:
    which = f"{name}[{name}.error.notna()]"
    caption = rich(strong(counted(len(failed), "failure")), " (", code(which), ")")
    shown = failed[:_FAILURES]
    table = tuple((str(frame.index[at]), *_failure(rows, at)) for at in shown)
    hidden = len(failed) - len(shown)
    columns = ("row", rows.asked.object, "arguments", "error")
    return Table(caption, columns, table, (Tone.ALERT,) * len(table), hidden, f"{which} has all.")


def _failure(rows: MappedRows, at: int) -> tuple[str, str, str]:
    name, error = rows.asked.names[at], rows.error(rows.outcomes[at]) or ""
    if not isinstance(name, str) or not name:
        return "(no name given)", "", error
    given = (code(f"{arg}={cut(_argument(arg, column[at]), _WIDE)}") for arg, column in rows.asked.args.items())
    return strong(name), joined(", ", given), error


def _frame(frame: pd.DataFrame, named: str) -> Table:
    """Draw the ends of a frame; `named` is the column of the objects' names, which are no values."""
    heads = list(map(str, frame.columns))
    columns = _ends(heads, _COLUMNS // 2)
    places = _ends(list(range(frame.shape[1])), _COLUMNS // 2)
    rows = []
    for at in _ends(list(range(len(frame))), _ENDS):
        cells = (
            ""
            if at is None or place is None
            else _cell(frame.iloc[at, place], heads[place], is_name=heads[place] == named)
            for place in places
        )
        rows.append(("…" if at is None else str(frame.index[at]), *cells))
    caption = "The frame: your columns, then result, ms, error"
    return Table(caption, ("", *(c if c is not None else "…" for c in columns)), tuple(rows))


def _ends(items: list[Any], most: int) -> list[Any]:
    """Return the first and the last items, and None for all between them."""
    return items if len(items) <= 2 * most + 1 else [*items[:most], None, *items[-most:]]


def _cell(value: Any, name: str, *, is_name: bool) -> str:
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return ""
    if getattr(value, "ndim", None) == 0:  # a scalar of numpy, whose repr is np.int64(2)
        value = value.item()
    if is_name and isinstance(value, str):
        return cut(shown_name(value), _WIDE)
    if why := hidden_in_column(name, value):
        return why
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.12g}"
    return cut(value if isinstance(value, str) else _argument(name, value), _WIDE)


def _argument(column: str, value: Any) -> str:
    return hidden_in_column(column, value) or argument_text("" if isinstance(value, str) else column, value)


def _again(rows: MappedRows, name: str) -> str:
    """Return what runs the failures again, to be pasted as it stands: as Python where a variable is the session."""
    asked, which, session = rows.asked, f"{name}[{name}.error.notna()]", _session()
    if session is None and run_now() is not None:
        line = ["%durable", "map", rows.namespace, "failed", *as_option("--object", asked.object)]
        line += ["--call", asked.method, *(as_option("--args", ",".join(asked.args)) if asked.args else [])]
        line += ["--concurrency", str(asked.at_once)] if asked.at_once != 8 else []
        return f"failed = {which}\n{shlex.join(line)}"
    words = [_text(rows.namespace), which, f"object={_text(asked.object)}", f"call={_text(asked.method)}"]
    words += [f"args=[{', '.join(map(_text, asked.args))}]"] if asked.args else []
    words += [f"concurrency={asked.at_once}"] if asked.at_once != 8 else []
    mapped = f"map({', '.join(words)})"
    return f"{session}.{mapped}" if session else f"import notebook_do as nd\nnd.current().{mapped}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _name_of(frame: pd.DataFrame) -> str:
    """Return the variable of the notebook that holds the frame; where none does, the output that does or is to."""
    if (found := next((name for name, value in _variables() if value is frame), None)) is not None:
        return found
    if (run := run_now()) is None:
        return "_"
    return f"Out[{next((at for at, value in _outputs() if value is frame), run)}]"


def _session() -> str | None:
    """Return the variable of the notebook that is the open session."""
    from notebook_do.sessions.opening import current

    session = current()
    return next((name for name, value in _variables() if value is session), None)


def _variables() -> Iterator[tuple[str, Any]]:
    yield from ((name, value) for name, value in _namespace().items() if not name.startswith("_"))


def _outputs() -> Iterator[tuple[int, Any]]:
    yield from _namespace().get("Out", {}).items()


def _namespace() -> dict[str, Any]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return {} if shell is None else dict(shell.user_ns)
