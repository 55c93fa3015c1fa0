"""The bindings of Workers -> blocks: a table, and a drawing of who reaches what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.display.formats import counted, short_resource
from notebook_do.model import binding_word
from notebook_do.notebook.views.blocks import ROWS, Block, Diagram, Edge, Line, Tone, capped
from notebook_do.notebook.views.matrix import matrix
from notebook_do.plan.plan import Action
from notebook_do.plan.tables import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_APART = {Action.NOOP: Tone.SAME, Action.CREATE: Tone.ADD, Action.DELETE: Tone.DROP}
TONES = {action: _APART.get(action, Tone.CHANGE) for action in Action}
_WORKERS, _ARROWS = 8, 12
"""How much is drawn; more of either is a table."""
_LEGEND = "Thick (══): hosts the class. + ~ - and colour: changed. Grey: as it is."
_VALUES = frozenset(("plain_text", "json", "version_metadata"))
_SECRETS = frozenset(("secret_text", "secret_key"))


def reached(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    """Draw who reaches what, where any class, service or resource of a plan's rows changes; nothing else.

    A value that changes has a row of its own above, and is not counted again.
    """
    changed = [row for row in rows if row.get("action") not in {Action.NOOP, KEPT}]
    values = [row for row in changed if str(row.get("type")) in _VALUES | _SECRETS]
    if len(values) == len(changed):
        return ()
    return bindings_diagram([row for row in rows if row not in values], caption="")


def bindings_table(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    """Return the table of bindings, empty columns left out."""
    if not rows:
        return ()
    columns = ("worker", "binding", "type", "target", "class_name", "script_name", "environment", "namespace_id")
    used = [c for c in columns if any(row.get(c) for row in rows)]
    table = capped(
        f"{counted(len(rows), 'binding')}.",
        tuple(c.replace("_", " ") for c in used),
        tuple(
            tuple(binding_word(str(row.get(c))) if c == "type" else str(row.get(c) or "") for c in used)
            for row in rows[:ROWS]
        ),
        total=len(rows),
        tones=tuple(_row_tone(row) for row in rows[:ROWS]) if any(row.get("action") for row in rows) else (),
        rest="plan.bindings has all.",
    )
    return (table,)


def bindings_diagram(rows: Sequence[Mapping[str, str]], *, caption: str = "Who reaches what:") -> tuple[Block, ...]:
    """Draw for the eye what reaches what, or list it where that is too much to draw; what is neither is counted."""
    edges = in_order(merged(_edges(rows)))
    if not edges:
        return ()
    workers = {edge.worker for edge in edges}
    if drawing := len(workers) <= _WORKERS and len(edges) <= _ARROWS:
        blocks: tuple[Block, ...] = (Diagram(caption, tuple(edges)),)
    else:
        blocks = matrix(list(map(_headed, edges)))
    kinds = [str(row.get("type") or "") for row in rows]
    counts = ((sum(k in _VALUES for k in kinds), "variable"), (sum(k in _SECRETS for k in kinds), "secret"))
    left_out = ", ".join(counted(count, noun) for count, noun in counts if count)
    said = [_LEGEND] if drawing and len(workers) > 1 else []
    said += [f"Not {'drawn' if drawing else 'in the matrix'}: {left_out}."] if left_out else []
    return (*blocks, Line(" ".join(said), small=True)) if said else blocks


def _headed(edge: Edge) -> Edge:
    """Return an edge whose target says that it is a Worker: beside namespaces, as the head of a column."""
    return replace(edge, target=f"Worker {edge.target}", about="") if edge.role == "service" else edge


def merged(edges: Iterable[Edge]) -> list[Edge]:
    """Make one arrow of the bindings of one Worker to one target: `ROOMS, ARCHIVE`."""
    found: dict[tuple[str, str, str], Edge] = {}
    for edge in edges:
        key = (edge.worker, edge.target, edge.about)
        if (other := found.get(key)) is None:
            found[key] = edge
            continue
        tone = edge.tone if edge.tone is other.tone else Tone.CHANGE
        role = "host" if "host" in {edge.role, other.role} else edge.role
        found[key] = replace(other, binding=f"{other.binding}, {edge.binding}", tone=tone, role=role)
    return list(found.values())


def in_order(edges: Sequence[Edge]) -> list[Edge]:
    """Put each host before the Workers that reach nothing else, and then the others by what they reach first."""
    hosted: dict[str, list[str]] = {}
    for edge in edges:
        if edge.role == "host":
            hosted.setdefault(edge.worker, []).append(edge.target)
    hosts = {target: worker for worker, targets in hosted.items() for target in targets}
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.worker, []).append(edge.target)
    order = list(hosted)
    places = {worker: (at, 0) for at, worker in enumerate(order)}
    for worker, reached_ in targets.items():
        if worker in places:
            continue
        owners = {hosts.get(target) for target in reached_}
        owner = owners.pop() if len(owners) == 1 else None
        first = min((places[hosts[t]][0] for t in reached_ if t in hosts), default=len(order))
        places[worker] = (places[owner][0], 1) if owner else (len(order), first + 1)
    return sorted(edges, key=lambda e: (places[e.worker], e.worker, e.role != "host"))


def _row_tone(row: Mapping[str, str]) -> Tone | None:
    action = row.get("action")
    return TONES[Action(action)] if action in set(Action) else None


def _edges(rows: Iterable[Mapping[str, str]]) -> list[Edge]:
    edges = []
    for row in rows:
        kind = str(row.get("type") or "")
        if kind in _VALUES | _SECRETS:
            continue
        said = f"class {row['class_name']}" if row.get("class_name") else binding_word(kind)
        edges.append(
            Edge(
                str(row.get("worker") or ""),
                str(row.get("binding") or ""),
                short_resource(str(row.get("called") or row.get("target") or said)),
                _row_tone(row),
                about=said if row.get("target") else "",
                role=str(row.get("role") or ""),
            )
        )
    return edges
