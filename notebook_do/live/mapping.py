"""Calls a method of live objects once for each row of a DataFrame; one that fails fails alone, and order is kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.display import Shown, mapped
from notebook_do.errors import CommandError, DurableError
from notebook_do.inspector.foreign import items_of
from notebook_do.inspector.values import encode
from notebook_do.live.calling import became, call_of, checked_method, checked_seconds, said, where_of
from notebook_do.live.inspecting import MOST_OPS, NoMethod, NotKnown, Returned, Threw
from notebook_do.live.inventory import deployed_namespace
from notebook_do.live.ways import way_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd

    from notebook_do.live.connection import Connection
    from notebook_do.live.inspecting import Inspecting, Op, Outcome
    from notebook_do.model import Recorded

ADDED = ("result", "ms", "error")
"""The columns behind those of the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAsked:
    """What each row of a frame is called with: names of objects, and the arguments in columns of that name."""

    object: str
    names: list[Any]
    method: str
    args: dict[str, list[Any]]
    at_once: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class MappedRows(Shown):
    """What became of each row; shown with its failures first. `frame` has the rows with their results."""

    namespace: str
    class_name: str
    asked: RowsAsked
    outcomes: list[Outcome | str | None] = field(default_factory=list)
    """In the order of the rows: an outcome, why nothing was called, or None for what was not come to."""
    took: float = 0.0
    frame: pd.DataFrame | None = None

    @property
    def counts(self) -> Counter[str]:
        """Of how many rows what became: returned, threw, unknown, not called."""
        return Counter("not called" if isinstance(one, str | None) else became(one) for one in self.outcomes)

    def results(self) -> tuple[list[Any], list[float | None], list[str | None]]:
        """Return the columns result, ms and error."""
        values = [one.value if isinstance(one, Returned) else None for one in self.outcomes]
        times = [one.ms if isinstance(one, Returned | Threw) else None for one in self.outcomes]
        return values, times, [self.error(one) for one in self.outcomes]

    def error(self, outcome: Outcome | str | None) -> str | None:
        """Say in one line why a row has no result; None where it has one."""
        match outcome:
            case None:
                return "it was not called: the map was stopped before"
            case str():
                return outcome
            case Returned():
                return None
        return said(outcome, self.class_name, self.asked.method)


def rows_asked(  # noqa: PLR0913 - the words of one call
    df: Any,
    named: str,
    method: str,
    args: Sequence[str],
    *,
    concurrency: int,
    timeout: float,
) -> RowsAsked:
    """Read the columns of a frame; `named` is that of the objects' names.

    Raises CommandError for what is no frame, or a column that it does not have once.
    """
    if type(concurrency) is not int or not 1 <= concurrency <= MOST_OPS:
        raise CommandError(f"map: concurrency is a whole number from 1 to {MOST_OPS}, not {concurrency!r}.")
    names, *given = checked_columns(df, named, args)
    columns = [str(column) for column in df.columns]
    ours = [name for name in ADDED if name in columns and not df.attrs.get("mapped")]
    if ours or set(ADDED) & {named, *args}:
        name = ours[0] if ours else next(name for name in ADDED if name in {named, *args})
        raise CommandError(f"map: the result has a column {name} of its own; rename that of the frame.")
    return RowsAsked(
        object=named,
        names=names,
        method=checked_method(method),
        args=dict(zip(args, given, strict=True)),
        at_once=concurrency,
        seconds=checked_seconds(timeout),
    )


def checked_columns(df: Any, named: str, args: Sequence[str]) -> list[list[Any]]:
    """Return the values of the column `named` and of each of `args`; raises CommandError where the frame lacks one."""
    if not (hasattr(df, "columns") and hasattr(df, "iloc")):
        raise CommandError(f"map: give a DataFrame, not {type(df).__name__}.")
    if isinstance(args, str):
        raise CommandError(f"map: args is a list of columns: args=[{args!r}].")
    columns = [str(column) for column in df.columns]
    for name in (named, *args):
        if columns.count(name) != 1:
            known = ", ".join(columns)
            what = "no column" if name not in columns else "more than one column"
            raise CommandError(f"map: the frame has {what} {name}; it has {known}.")
    return [items_of(df.iloc[:, columns.index(name)]) for name in (named, *args)]


async def map_rows(
    connection: Connection, recorded: Recorded, stable_id: str, asked: RowsAsked, into: MappedRows | None = None
) -> MappedRows:
    """Call a method for each row; what becomes of them is noted in `into` at once, so that a stop loses nothing.

    Raises DurableError where nothing was called.
    """
    namespace = deployed_namespace(recorded, stable_id)
    into = into or MappedRows(namespace=stable_id, class_name="", asked=asked)
    into.class_name = namespace.class_name
    into.outcomes[:] = [None] * len(asked.names)
    ops = dict(_ops(asked, into.outcomes))
    begun = time.perf_counter()
    try:
        async with connection.client() as client:
            await _call_all(await way_to(connection, client, recorded, stable_id), ops, into)
    finally:
        into.took = time.perf_counter() - begun
    return into


def _ops(asked: RowsAsked, outcomes: list[Outcome | str | None]) -> Iterator[tuple[int, Op]]:
    """Yield the op of each row that can be called, and note why any other cannot."""
    for at, name in enumerate(asked.names):
        if is_empty(name):
            outcomes[at] = f"the cell of column {asked.object} is empty; nothing was called"
            continue
        if not isinstance(name, str):
            kind = type(name).__name__
            raise CommandError(
                f"map: column {asked.object} holds a {kind} ({name}), and names of objects are text: "
                f"df.assign({asked.object}=df.{asked.object}.astype(str))."
            )
        try:
            where = where_of(name)
            args = [encode(column[at], argument) for argument, column in asked.args.items()]
        except CommandError as error:
            outcomes[at] = f"{str(error).removesuffix('.')}; nothing was called"
            continue
        yield at, call_of(where, asked.method, args)


def is_empty(name: Any) -> bool:
    """Say whether a cell of a frame holds nothing."""
    # NaN is the only value that is not equal to itself; of pandas' NA nothing can be asked.
    return name is None or type(name).__name__ in {"NAType", "NaTType"} or name != name or name == ""  # noqa: PLR0124


async def _call_all(way: Inspecting, ops: dict[int, Op], into: MappedRows) -> None:
    """Call in order, as many in one request as it may have: of an interrupted one it is not known what was done."""
    for number, batch in enumerate(_parts(list(ops), MOST_OPS)):
        for at in batch:
            into.outcomes[at] = NotKnown(why="the map was stopped while it was under way")
        try:
            found = await way.ask([ops[at] for at in batch], at_once=into.asked.at_once, seconds=into.asked.seconds)
        except DurableError as error:
            if number == 0:
                raise
            # What was called before is told all the same, and what is left is not tried: it would end as this.
            for at in [at for at in ops if at >= batch[0]]:
                into.outcomes[at] = f"it was not called: {str(error).removesuffix('.')}"
            return
        if number == 0 and found and all(isinstance(one, NoMethod) for one in found):
            raise CommandError(f"map: {said(found[0], into.class_name, into.asked.method)}")
        for at, outcome in zip(batch, found, strict=True):
            into.outcomes[at] = outcome


def _parts(items: Sequence[int], most: int) -> Iterable[Sequence[int]]:
    return (items[at : at + most] for at in range(0, len(items), most))


def with_results(df: pd.DataFrame, rows: MappedRows) -> pd.DataFrame:
    """Return the frame with what became of its rows."""
    made = mapped(df, *rows.results())
    rows.frame, made.view = made, rows
    frame: pd.DataFrame = made
    return frame
