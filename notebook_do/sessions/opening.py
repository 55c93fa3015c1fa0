"""Opens sessions: one is the current one, and declarations register with it.

While the command line runs the cells of a notebook, its own options are stronger than what the notebook says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.bridge import bridge
from notebook_do.cloudflare import refusing
from notebook_do.errors import CommandError, spelled
from notebook_do.plan.namespaces.marks import mark_of
from notebook_do.sessions.session import Session
from notebook_do.settings import settled
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Declaration, Target, Where
    from notebook_do.state.lock import Locking

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_current: Session | None = None


@spelled("nd.session")
def open_session(  # noqa: PLR0913 - what a session is, each optional but its name
    name: str,
    *,
    stage: str | None = None,
    target: Target | None = None,
    account: str | None = None,
    state: str | Path | None = None,
    lock: Locking | None = None,
    crons: bool = False,
) -> Session:
    """Open a session and make it the current one; declarations register with it from now on.

    The state file is `.notebook_do/<name>/<stage>/state.json` beside the notebook, or `state`. It is written by the
    first deploy. Opening the session that is open already gives it back, declarations included. Nothing is sent.
    `lock="cas-only"` deploys even where file locks exclude nobody; then only what is live tells two deploys apart.
    With `crons` a clock runs the cron triggers of the session's Workers on the local target as long as it is open.
    What is not given is as `%config Durable`, `NOTEBOOK_DO_*` or pyproject.toml say, else stage dev on target local.
    """
    where = str(state) if state else None
    given = {"stage": stage, "target": target, "account": account, "lock": lock, "state": where}
    return use(prepared(name, given), crons=crons)


def prepared(name: str, given: dict[str, Any]) -> Session:
    """Return the session that `open_session` opens, new or the open one; nothing is replaced until it is used."""
    name, given = _as_imposed(name, given)
    state, settings = given["state"], settled(given)
    stage, target, lock = settings["stage"], settings["target"], settings["lock"]
    for word, value in (("session", name), ("stage", stage)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise CommandError(
                f"{word} {value!r}: use letters, digits, - and _, at most 63, beginning with a letter or digit."
            )
    # Here as well as by %config: the environment and pyproject.toml are read when a session opens.
    bridge.mode = settings["async_mode"]
    # A path that was given is that path; one that was set for all sessions has the places of name and stage in it.
    where = str(state) if state else settings["state"].replace("{session}", name).replace("{stage}", stage)
    path, account = Path.cwd() / where, settings["account"]
    if _current is not None and _current.identity == (name, stage, target, account, path, lock):
        return _current
    return Session(name, stage=stage, target=target, account=account, state=StateFile(path, locking=lock))


def use(session: Session, *, crons: bool = False) -> Session:
    """Make a session the current one, and let go of the one before; `crons` as for `set_clock`."""
    set_clock(session, on=crons)
    global _current  # noqa: PLW0603 - "the current session" is the one piece of ambient state a notebook needs
    if _current is not None and _current is not session:
        _current.close()
        session.connecting.hold()
    _current = session
    return session


def set_clock(session: Session, *, on: bool) -> None:
    """Have the cron triggers of a session's Workers run by the clock or not; raises CommandError on Cloudflare."""
    # A command that only reads the cells of a notebook is over before any minute is.
    wanted = on and in_force() is None
    session.connecting.set_clock(mark_of(session.name, session.stage) if wanted else None)


def current() -> Session:
    """Return the session opened last; raises CommandError when there is none."""
    if _current is None:
        raise CommandError("no session is open; run %durable session NAME first, or nd.session('NAME') in Python.")
    return _current


def close_all() -> None:
    """Stop what runs in the background for the current session; its next use starts it again."""
    if _current is not None:
        _current.close()
    bridge.close()


def register(*items: Declaration) -> None:
    """Declare `items` in the current session, where one is open; the last one always, the others when not known yet.

    The others are the namespaces that a Worker binds: an older value that it still holds never undoes a newer cell.
    """
    if _current is not None:
        known = _current.catalog.namespaces if len(items) > 1 else {}
        _current.declare(*(item for item in items if item is items[-1] or item.id not in known))
    elif (imposed := in_force()) is not None:
        imposed.loose.append(items)


# --- what the command line imposes


@dataclass(slots=True, kw_only=True)
class Imposed(refusing.Refusing):
    """What holds for the sessions that a notebook opens, and what it opened. `options` are the command line's."""

    options: Mapping[str, Any]
    opened: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    """The sessions that were opened: as they were used, and as the notebook said them."""
    unlike: dict[str, str] = field(default_factory=dict)
    """By option that the notebook says otherwise, the line that tells a person so."""
    default: str = ""
    """The cell that declares although no session was opened above it: for it one is opened."""
    loose: list[tuple[Any, ...]] = field(default_factory=list)
    """Declarations that were made while no session was open, for the one that the command line opens."""
    above: int = 0
    """How many lines of the cell stand above what is run of it."""

    def placed(self, where: Where) -> Where:
        """Return a place in the cell that is run, as a person finds it in the notebook: no run of this shell counts."""
        body = None if where.body_line is None else where.body_line + self.above
        return replace(where, cell=self.place, line=where.line + self.above, body_line=body, run=0)


def in_force() -> Imposed | None:
    """Return what the command line imposes now; None in a notebook's own kernel."""
    return refusing.imposed if isinstance(refusing.imposed, Imposed) else None


def _as_imposed(name: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and options of a session that a notebook opens, as the command line has them."""
    if (imposed := in_force()) is None:
        return name, dict(given)
    said = {"name": name, **given}
    used = {**said, **imposed.options}
    for option, value in imposed.options.items():
        if said.get(option) is not None and str(said[option]) != str(value):
            flag = "session" if option == "name" else option
            imposed.unlike[option] = f"--{flag} {value} is used; the notebook says {said[option]} ({imposed.place})."
    key, was = tuple(map(str, used.values())), tuple(map(str, said.values()))
    if imposed.default and key not in imposed.opened:
        raise CommandError(
            f"{imposed.place}: opens a session below {imposed.default}, which declares; open it above that cell."
        )
    # Two sessions of the notebook that the options make one would share a state file, and plan to undo each other.
    if imposed.opened.setdefault(key, was) != was:
        options = ", ".join(f"--{'session' if o == 'name' else o}" for o in imposed.options)
        raise CommandError(
            f"{imposed.place}: the notebook opens several sessions, and {options} would make one of them; "
            "leave the option out."
        )
    return used.pop("name"), used
