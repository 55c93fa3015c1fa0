"""Finds the other sessions whose state files lie beside this one's, and which of their Workers have the same name.

Only files are read, at most a few: whoever deploys under a name that another session has is refused by the plan, which
looks at what is live.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from notebook_do.errors import StateError
from notebook_do.state.elsewhere import LOCAL_ORIGIN
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from notebook_do.model import Recorded
    from notebook_do.sessions.session import Session

_MOST = 50
"""So many state files are looked at: a folder of more is no folder of one person's notebooks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenName:
    """A script name that a declared Worker has and somebody else's as well; `owner` says whose in words."""

    worker: str
    script_name: str
    owner: str


def taken_names(session: Session) -> Iterator[TakenName]:
    """Yield the declared Workers whose script name is known to be another's, without a request."""
    try:
        own = {w.script_name for w in session.recorded().workers}
    except StateError:
        return
    catalog = session.catalog
    wanted = {catalog.script_name(id_, session.stage): id_ for id_ in catalog.workers}
    wanted = {name: id_ for name, id_ in wanted.items() if name not in own}
    if not wanted:
        return
    others = dict(_recorded_elsewhere(session))
    for name, id_ in wanted.items():
        if name in others:
            yield TakenName(worker=id_, script_name=name, owner=others[name])
        elif name in session.live:
            yield TakenName(worker=id_, script_name=name, owner="a Worker that this session did not deploy")


def _recorded_elsewhere(session: Session) -> Iterator[tuple[str, str]]:
    """Yield by script name whose Worker it is, of the state files that lie as this one does."""
    name, stage = session.state_path.parent.parent.name, session.state_path.parent.name
    if (name, stage) != (session.name, session.stage):  # a path of the user's own: nothing tells what lies beside it
        return
    pattern = f"*/*/{session.state_path.name}"
    for path in islice(session.state_path.parent.parent.parent.glob(pattern), _MOST):
        if path != session.state_path and (recorded := _read(path)) is not None and _same_target(session, recorded):
            owner = f"session {path.parent.parent.name}, stage {path.parent.name}"
            yield from ((w.script_name, f"Worker {w.id} of {owner}") for w in recorded.workers)


def _read(path: Path) -> Recorded | None:
    try:
        return StateFile(path).load()
    except StateError:  # whoever opens that session is told
        return None


def _same_target(session: Session, recorded: Recorded) -> bool:
    origin = recorded.api_origin or ""
    mine = session.recorded().api_origin
    return origin == mine if mine else origin.startswith(LOCAL_ORIGIN) == (session.target == "local")
