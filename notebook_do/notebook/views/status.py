"""A session's status, as blocks: how everything stands, what to type next, and folded where it is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from notebook_do.display.formats import counted, minute, named_account, short_digest
from notebook_do.display.rich import code, rich, strong
from notebook_do.notebook.views.blocks import Document, Folded, Header, Line, Link, Table, Tone
from notebook_do.notebook.views.plan import target_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.live.status import NextStep, Status, StatusRow, StoppedDeploy
    from notebook_do.notebook.views.blocks import Block, Cell

_TONES = {
    "new": Tone.ADD,
    "changed": Tone.CHANGE,
    "mistake": Tone.ALERT,
    "as declared": Tone.SAME,
    "kept": Tone.SAME,
    "not known": Tone.UNKNOWN,
}
# What stands before the command is ours: `run the cells of shop.ipynb that begin`, `or %durable import api-dev`.
_COMMAND = re.compile(r"%%?durable\b.*")
_CELLS = re.compile(r"%%?durable (?:namespace|worker) [^ ,]+")


def status_document(status: Status) -> Document:
    """Show where we are, how everything stands, and what could come next."""
    facts = [("stage", status.stage), ("target", target_words(status.target))]
    if status.target != "local":
        facts.append(("account", named_account(status.account_id, status.account)))
    return (
        Header(f"Session {status.session}", tuple(facts)),
        *([Line(_stopped(status.stopped), Tone.ALERT)] if status.stopped else []),
        *([Line(f"{status.problem}", Tone.ALERT)] if status.problem else []),
        *_rows(status),
        *([Line("Cron triggers run by the clock, in UTC.")] if status.crons else []),
        Table("", ("next", ""), tuple((_command(step), _about(step)) for step in status.next_steps)),
        Folded("State file and API", (Table("", (), tuple(_places(status))),)),
    )


def _rows(status: Status) -> Iterator[Block]:
    if not status.rows:
        yield Line("Nothing is declared and nothing is deployed yet.")
        return
    rows = tuple(map(_row, status.rows))
    yield Table("", ("what", "declared", "deployed", "now"), rows, tuple(_TONES[row.state] for row in status.rows))


def _row(row: StatusRow) -> tuple[Cell, ...]:
    what = rich("Worker " if row.kind == "worker" else "namespace ", strong(row.id))
    deployed = "not known" if row.state == "not known" and not row.deployed else minute(row.deployed) or "no"
    return what, row.declared, deployed, row.now


def _command(step: NextStep) -> str:
    found = _COMMAND.search(step.command)
    return rich(step.command[: found.start()], code(found[0])) if found else step.command


def _about(step: NextStep) -> Cell:
    if found := re.fullmatch(r"(call it: )(https?://\S+)", step.about):
        from notebook_do.display.rich import link

        return rich(found[1], link(found[2]))
    pieces, at = [], 0
    for found in _CELLS.finditer(step.about):
        pieces += [step.about[at : found.start()], code(found[0])]
        at = found.end()
    return rich(*pieces, step.about[at:])


def _stopped(stopped: StoppedDeploy) -> str:
    plan = f" (plan {short_digest(stopped.plan)})" if stopped.plan else ""
    when = f"The deploy of {minute(stopped.at)} UTC{plan}" if stopped.at else f"The last deploy{plan}"
    steps = ""
    if stopped.total is not None:
        steps = f" after {stopped.done} of {counted(stopped.total, 'step')}"
    said = f"{when} stopped{steps}"
    if stopped.uncertain:
        many = f" (and {len(stopped.uncertain) - 1} more)" if len(stopped.uncertain) > 1 else ""
        return f"{said}; whether “{stopped.uncertain[0]}”{many} happened is not known."
    return f"{said}: {stopped.failed}" if stopped.failed else f"{said}."


def _places(status: Status) -> Iterator[tuple[Cell, ...]]:
    since = f", last deploy {minute(status.last_deploy)} UTC" if status.last_deploy else ""
    serial = f", serial {status.serial}{since}" if status.serial else ", written by the first deploy"
    yield "state file", f"{status.state_path}{serial}"
    if status.rebuilt:
        yield "", "made anew from what is live: it holds what was deployed with another state file"
    yield "API", Link(status.api)
    yield "token", f"from {status.token}" if status.token else "none needed"
