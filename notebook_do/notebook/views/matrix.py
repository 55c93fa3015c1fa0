"""Who reaches what, where a drawing would be a thicket: Workers as rows, what several of them reach as columns.

It is a table, so that it survives wherever a view does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from notebook_do.display.formats import counted, listed, short_resource
from notebook_do.display.rich import rich, strong
from notebook_do.notebook.views.blocks import Block, Folded, Line, Tone, capped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from notebook_do.notebook.views.blocks import Edge

_COLUMNS = 6
_ALONE = 8
"""How many of the targets that one Worker alone reaches are named."""


def matrix(edges: Sequence[Edge]) -> tuple[Block, ...]:
    """Return the tables, each with 6 targets at most; what one Worker alone reaches is a line below."""
    reaching = Counter(target for _, target in dict.fromkeys((e.worker, e.target) for e in edges))
    shared = [target for target, count in reaching.most_common() if count > 1]
    workers: dict[str, list[Edge]] = {}
    by_target: dict[str, list[Edge]] = {}
    for edge in edges:
        workers.setdefault(edge.worker, []).append(edge)
        by_target.setdefault(edge.target, []).append(edge)
    tones = {worker: _tone(own) for worker, own in workers.items()}
    said = f"Who reaches what: {counted(len(workers), 'Worker')}, {counted(len(shared), 'shared target')} "
    caption = f"{said}(a cell names the bindings; + ~ - what this plan changes)"
    blocks: list[Block] = []
    for at in range(0, len(shared), _COLUMNS):
        columns = {target: by_target[target] for target in shared[at : at + _COLUMNS]}
        blocks += _table(caption if at == 0 else "", columns, tones)
    alone = [e for e in edges if reaching[e.target] == 1]
    names = [f"{short_resource(e.target)} ({', '.join(filter(None, (e.about, e.worker)))})" for e in alone]
    note = (Line(f"Reached by one Worker only: {listed(names, _ALONE)}.", small=True),) if names else ()
    return (*blocks, *note)


def _table(caption: str, columns: Mapping[str, Sequence[Edge]], tones_of: Mapping[str, Tone]) -> Iterator[Block]:
    cells_of: dict[str, dict[str, list[str]]] = {}
    for target, edges in columns.items():
        for edge in edges:
            cells_of.setdefault(edge.worker, {}).setdefault(target, []).append(_cell(edge))
    alike: dict[tuple[tuple[str, ...], Tone], list[str]] = {}
    for worker, tone in tones_of.items():
        if found := cells_of.get(worker):
            alike.setdefault((tuple(", ".join(found.get(target, ())) for target in columns), tone), []).append(worker)
    rows = tuple((_names(names), *cells) for (cells, _), names in alike.items())
    tones = tuple(tone for _, tone in alike)
    yield capped(caption, ("Worker", *map(short_resource, columns)), rows, tones=tones, rest="plan.bindings has all.")
    for names in alike.values():
        if len(names) > 1:
            yield Folded(f"The {len(names)} alike: {names[0]} … {names[-1]}", (Line(", ".join(names)),))


def _names(names: Sequence[str]) -> str:
    if len(names) == 1:
        return strong(names[0])
    return rich(strong(f"{names[0]} … {names[-1]}"), f" ({len(names)} alike)")


def _cell(edge: Edge) -> str:
    symbol = f"{edge.tone.value} " if edge.tone and edge.tone is not Tone.SAME else ""
    return f"{symbol}{'hosts ' if edge.role == 'host' else ''}{edge.binding}"


def _tone(edges: Sequence[Edge]) -> Tone:
    tones = {edge.tone or Tone.SAME for edge in edges}
    return tones.pop() if len(tones) == 1 else Tone.CHANGE
