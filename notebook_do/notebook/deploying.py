"""The ways to a deploy: a button where a person can press it, a prompt in a terminal, an approved digest anywhere.

For scripts the command line has one more: `--approve safe` shows the plan and sends it where nobody need have read it
first. Nothing else sends. Where nobody is there to press, the plan is shown with the line that would approve it.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from notebook_do.deploy.before import check_consents
from notebook_do.display import Shown
from notebook_do.errors import (
    CommandError,
    ConsentRequired,
    DeployError,
    DurableError,
    PlanRefused,
    SourceError,
    StalePlan,
)
from notebook_do.notebook import asking
from notebook_do.notebook.shells import DeployLine, RecordOutput, display, shell_of
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import record
from notebook_do.notebook.views.blocks import Code, Document, Line, Tone
from notebook_do.notebook.views.plan import number, plan_document
from notebook_do.notebook.views.purpose import doing, purpose_of
from notebook_do.notebook.views.stale import stale_document
from notebook_do.plan.unattended import objections
from notebook_do.sessions.changed import cell_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from notebook_do.deploy.result import DeployResult
    from notebook_do.notebook.parsing import Call
    from notebook_do.plan.plan import Objection, Plan
    from notebook_do.sessions.session import Session

SAFE = "safe"
"""What the command line takes in place of a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Shown):
    """A plan that was not sent, because nobody could press a button for it, and the line that would send it."""

    sent: bool = False
    approve: str
    plan: Plan

    @property
    def document(self) -> Document:
        """The words that nothing was sent, and the line that approves exactly this plan."""
        verb = "destroyed" if purpose_of(self.plan).only_destroys else "deployed"
        return (
            Line(f"Not {verb}: nobody can press a button here. Nothing was sent.", Tone.CHANGE),
            Code("To send exactly this plan:", self.approve, paste=True),
        )


def check_approval(call: Call, again: str) -> None:
    """Refuse, before anything is read, `--approve safe` where it cannot be; `again` is the line without it."""
    if _approval_of(call) != SAFE:
        return
    if not call.source:
        raise CommandError(
            f"%durable {call.verb}: --approve takes the digest of a plan that was shown; "
            "safe is for the command line: notebook-do deploy FILE --approve safe."
        )
    if call.verb == "destroy":
        raise ConsentRequired(f"--approve safe never destroys; nothing was sent. To read the plan: {again}")
    if call.options.confirm:
        raise CommandError("deploy: --approve safe sends nothing that asks for a phrase; --confirm goes with a digest.")


def _approval_of(call: Call) -> str:
    return (call.options.approve or "").strip().lower()


def offer(call: Call, session: Session, plan: Plan, verb: str) -> Shown | None:
    """Show `plan` and let it be deployed, as this shell can. `verb` is the line that would make this plan again.

    With `--json` the answer is all there is: no table and no button. `--quiet` never hides a plan that waits.
    """
    if call.options.approve or session.approved:
        return _approved(call, session, plan, verb)
    if plan.empty and not plan.refusals:
        return _nothing_to_send(plan, asked=session.auto_approve)
    if not call.options.json:
        display(plan if plan.refusals else views.View(plan_document(plan, offered=True)))
    if plan.refusals:
        raise PlanRefused(_why(plan, shown=not call.options.json))
    # Pressed in advance, nobody has read what would be lost.
    if session.auto_approve:
        if plan.consents:
            raise ConsentRequired(f"Something would be lost, so a person must allow it: {_approval(plan, verb)}")
        if not call.options.json:
            display(views.View((Line("Approved in advance for plans that lose nothing: deploying now."),)))
        return run(call, session, plan)
    return _asked(call, session, plan, verb)


def _nothing_to_send(plan: Plan, *, asked: bool) -> Plan:
    """Return a plan without steps; where it was `asked` to be sent, one that must wait is no success."""
    if asked and plan.undecided:
        waits = " ".join(f"Worker {left.script_name}: {left.detail}" for left in plan.undecided)
        raise DeployError(f"not known yet, so nothing can be deployed until then. {waits}")
    return plan


def _asked(call: Call, session: Session, plan: Plan, verb: str) -> Shown | None:
    """Ask for the approval, as this shell can."""
    session.offered = plan.digest
    # With --json the answer is one object; a button or a question beside it would break who reads it.
    match "headless" if call.options.json else shell_of(call.ip, command=bool(call.source)):
        case "notebook":
            _panel(call, session, plan)
            return None
        case "terminal":
            return _typed(call, session, plan) if call.source else _prompted(call, session, plan, verb)
        case _:
            waiting = Waiting(plan=plan, approve=_approval(plan, verb))
            if call.options.quiet or call.options.as_:
                display(waiting)
            return waiting


def _why(plan: Plan, *, shown: bool, sent: str = "nothing was sent") -> str:
    """Return why a plan is refused: below the plan that says it, its names alone."""
    return f"{sent}: {_decisions(plan)}" if shown else refusal_text(plan)


def _decisions(plan: Plan) -> str:
    """Return in short what is to be decided in the plan that was shown."""
    named = ", ".join(f"{r.subject} ({r.code})" for r in plan.refusals[:3])
    more = f" and {number(len(plan.refusals) - 3, 'more decision')}" if len(plan.refusals) > 3 else ""
    return f"what is yours to decide stands in the plan above: {named}{more}."


def refusal_text(plan: Plan) -> str:
    """Return why a plan is refused, on one line."""
    first = plan.refusals[0]
    more = f" (and {number(len(plan.refusals) - 1, 'more refusal')}, see the plan)" if len(plan.refusals) > 1 else ""
    choices = f" Choices: {'; '.join(first.choices)}." if first.choices else ""
    return f"{first.message}{choices}{more}"


def _approval(plan: Plan, verb: str) -> str:
    confirm = "".join(f" --confirm {shlex.quote(c.phrase)}" for c in plan.consents)
    return f"{verb} --approve {plan.digest}{confirm}"


def _approved(call: Call, session: Session, plan: Plan, verb: str) -> Shown:
    # The line's digest, and that of `notebook-do run --approve`: where both are given, both were read by somebody.
    digests = list(filter(None, (_approval_of(call), session.approved)))
    if plan.empty and not plan.refusals:
        return _nothing_to_send(plan, asked=True)
    if _approval_of(call) == SAFE:
        return _if_safe(call, session, plan, verb)
    if other := next((digest for digest in digests if digest != plan.digest), None):
        if shown := not call.options.json:
            display(plan if plan.refusals else views.View(plan_document(plan, offered=True)))
        after = f"Read the plan as it is now, then: {_approval(plan, verb)}"
        if plan.refusals:  # no approval sends it
            why = _decisions(plan) if shown else refusal_text(plan)
            after = f"The plan as it is now is refused; decide first, then plan again: {why}"
        stale = StalePlan(f"the approved plan {other} is not the plan as it is now; nothing was sent. {after}")
        stale.plan = plan
        raise stale
    if not (call.options.json or call.options.quiet):
        display(plan if plan.refusals else views.View(plan_document(plan, offered=True)))
    if plan.refusals:
        raise PlanRefused(_why(plan, shown=not (call.options.json or call.options.quiet)))
    _check_phrases(call, plan, verb)
    return run(call, session, plan, confirm=call.options.confirm)


def _check_phrases(call: Call, plan: Plan, verb: str) -> None:
    """Raise ConsentRequired, with the line that has every phrase, while nothing says yet that the plan is being sent.

    The deploy checks the phrases too, but last of all: by then the record of the cell says that it runs.
    """
    try:
        check_consents(plan, frozenset(call.options.confirm))
    except ConsentRequired as missing:
        raise ConsentRequired(f"{missing} To allow it and send exactly this plan: {_approval(plan, verb)}") from None


def run(call: Call, session: Session, plan: Plan, confirm: Collection[str] = ()) -> DeployResult:
    """Send the plan and return the result; unless nothing is to be shown, its record is."""
    if call.options.json or call.options.quiet:
        return session.deploy(plan, confirm=confirm)
    if getattr(call.ip, "kernel", None) is None:
        return _run_on_paper(call, session, plan, confirm)
    output = RecordOutput()
    output.put(record.running(plan, datetime.now(UTC)))
    try:
        result = session.deploy(plan, confirm=confirm)
    # Also for an interrupt: what is done so far is recorded before the error is shown.
    except BaseException as error:
        output.put(record.ended_by(plan, error, datetime.now(UTC)))
        if isinstance(error, DurableError) and error.result is not None:
            raise _below_its_record(error) from None
        raise
    output.put(record.result_document(result))
    call.options.shown = True
    return result


def _run_on_paper(call: Call, session: Session, plan: Plan, confirm: Collection[str]) -> DeployResult:
    """Send the plan where what was printed stays: the record is printed once, at the end."""
    line = DeployLine(call.ip, f"{doing(plan)} …")
    try:
        return session.deploy(plan, confirm=confirm, emit=line)
    except DurableError as error:
        if error.result is None:
            raise
        display(error.result)
        raise _below_its_record(error) from None
    except BaseException as error:
        display(views.View(record.ended_by(plan, error, datetime.now(UTC))))
        raise


def _below_its_record(error: DurableError) -> DurableError:
    """Return the error of a deploy whose record stands above it: why it stopped, without the steps."""
    result = error.result
    if (failure := result.failure) is None:
        short: DurableError = DeployError("the deploy was stopped on request; what is done stands above.")
    elif isinstance(error, SourceError):
        short = SourceError(f"{failure.message} [code {failure.code}]", line=failure.line)
    else:
        short = DeployError(f"{result.outcomes[failure.index].text} {record.how(result)}: {failure.message}")
        short.error = getattr(error, "error", None)
    short.result = result
    return short


def _panel(call: Call, session: Session, plan: Plan) -> None:
    from notebook_do.notebook.widgets.panel import DeployPanel

    name, ip = call.options.as_, call.ip
    panel = DeployPanel(
        session,
        plan,
        recorded=RecordOutput().put,
        finished=lambda result: ip.user_ns.update({name: result}) if name else None,
        cell=cell_of(call.where),
    )
    output = display(panel, replaceable=True)
    # A saved notebook keeps no dead widget: opened again it would be an error in place of a button.
    panel.ended = lambda: output.update({"text/plain": "", "text/html": ""}, raw=True)


def _prompted(call: Call, session: Session, plan: Plan, again: str) -> Shown | None:
    if why := asking.unanswered(plan, word_too=True):
        why = f": {why}" if why == asking.NOT_THE_PHRASE else ""
        verb = "destroyed" if purpose_of(plan).only_destroys else "deployed"
        line = Code("To send exactly this plan:", _approval(plan, again), paste=True)
        return views.View((Line(f"Not {verb}{why}. Nothing was sent."), line))
    return run(call, session, plan, confirm=[c.phrase for c in plan.consents])


# --- on the command line


def _if_safe(call: Call, session: Session, plan: Plan, verb: str) -> DeployResult:
    """Show a plan, whatever else is to be shown, and send it where nobody need have read it before."""
    shown = views.View(plan_document(plan, offered=True))
    if call.options.json:  # the one object of the answer stays alone on its side
        print(shown, file=sys.stderr, flush=True)  # noqa: T201
    else:
        display(shown)
    if plan.refusals:
        raise PlanRefused(_why(plan, shown=True, sent="--approve safe sent nothing. Refusal"))
    if found := objections(plan):
        raise ConsentRequired(
            f"--approve safe sent nothing. {_in_words(found)} Read the plan; to send exactly this one: "
            f"{_approval(plan, verb)}"
        )
    return run(call, session, plan)


def _in_words(found: tuple[Objection, ...]) -> str:
    """Return of each kind the first objection, and how many there are more."""
    said = []
    for kind, of_kind in groupby(sorted(found, key=lambda o: _KINDS.index(o.kind)), key=lambda o: o.kind):
        first, *rest = (one.text.rstrip(".") for one in of_kind)
        said.append(f"{kind.capitalize()}: {first}{f' (and {len(rest)} more)' if rest else ''}.")
    return " ".join(said)


_KINDS = ("refusal", "phrase", "deletion", "take-over", "put-back")


def _typed(call: Call, session: Session, plan: Plan, *, once_more: bool = True) -> Shown:
    """Send the plan that was shown when its word or its phrases are typed; a stale one is shown anew, and once."""
    if why := asking.unanswered(plan):
        raise ConsentRequired(f"{why}; nothing was sent.")
    try:
        return run(call, session, plan, confirm=[c.phrase for c in plan.consents])
    except StalePlan as stale:
        if stale.plan is None or not once_more:
            raise
        now = stale.plan
        display(views.View(stale_document(stale, plan, now, consent="answer")))
    if now.empty and not now.refusals:
        return _nothing_to_send(now, asked=False)
    display(now if now.refusals else views.View(plan_document(now, offered=True)))
    if now.refusals:
        raise PlanRefused(_why(now, shown=True))
    return _typed(call, session, now, once_more=False)
