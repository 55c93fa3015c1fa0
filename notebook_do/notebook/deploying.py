"""The ways to a deploy: a button where a person can press it, a prompt in a terminal, an approved digest anywhere.

Nothing else sends. Where nobody is there to press, the plan is shown with the line that would approve it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.display import Shown, clean
from notebook_do.errors import ConsentRequired, DeployError, PlanRefused, StalePlan
from notebook_do.notebook.shells import DeployLine, display, shell_of
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views.blocks import Code, Document, Line, Tone
from notebook_do.notebook.views.plan import change_count, lost, number, plan_document

if TYPE_CHECKING:
    from collections.abc import Collection

    from notebook_do.deploy.result import DeployResult
    from notebook_do.notebook.parsing import Call
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Shown):
    """A plan that was not sent, because nobody could press a button for it, and the line that would send it."""

    sent: bool = False
    approve: str
    plan: Plan

    @property
    def document(self) -> Document:
        """The words that nothing was sent, and the line that approves exactly this plan."""
        return (
            Line("Not deployed: no button can be pressed here. Nothing was sent.", Tone.CHANGE, strong=True),
            Code("To send exactly this plan:", self.approve),
        )


def offer(call: Call, session: Session, plan: Plan, verb: str) -> Shown | None:
    """Show `plan` and let it be deployed, as this shell can. `verb` is the line that would make this plan again.

    With `--json` the answer is all there is: no table and no button. `--quiet` never hides a plan that waits.
    """
    if call.options.approve:
        return _approved(call, session, plan, verb)
    if plan.empty and not plan.refusals:
        return _nothing_to_send(plan, asked=session.auto_approve)
    if not call.options.json:
        display(plan if plan.refusals else views.View(plan_document(plan, offered=True)))
    if plan.refusals:
        raise PlanRefused(refusal_text(plan))
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
    # With --json the answer is one object; a button or a question beside it would break who reads it.
    match "headless" if call.options.json else shell_of(call.ip):
        case "notebook":
            _panel(call, session, plan)
            return None
        case "terminal":
            return _prompted(call, session, plan)
        case _:
            waiting = Waiting(plan=plan, approve=_approval(plan, verb))
            if call.options.quiet or call.options.as_:
                display(waiting)
            return waiting


def refusal_text(plan: Plan) -> str:
    """Return why a plan is refused, on one line."""
    first = plan.refusals[0]
    more = f" (and {number(len(plan.refusals) - 1, 'more refusal')}, see the plan)" if len(plan.refusals) > 1 else ""
    choices = f" Choices: {'; '.join(first.choices)}." if first.choices else ""
    return f"{first.subject}: {first.message}{choices}{more}"


def _approval(plan: Plan, verb: str) -> str:
    confirm = "".join(f" --confirm {shlex.quote(c.phrase)}" for c in plan.consents)
    return f"{verb} --approve {plan.digest}{confirm}"


def _approved(call: Call, session: Session, plan: Plan, verb: str) -> Shown:
    digest = call.options.approve.strip().lower()
    if plan.empty and not plan.refusals:
        return _nothing_to_send(plan, asked=True)
    if plan.digest != digest:
        if not call.options.json:
            display(views.View(plan_document(plan, offered=True)))
        stale = StalePlan(
            f"the approved plan {digest} is not the plan as it is now; nothing was sent. "
            f"Read the plan as it is now, then: {_approval(plan, verb)}"
        )
        stale.plan = plan
        raise stale
    if plan.refusals:
        if not call.options.json:
            display(plan)
        raise PlanRefused(refusal_text(plan))
    return run(call, session, plan, confirm=call.options.confirm)


def run(call: Call, session: Session, plan: Plan, confirm: Collection[str] = ()) -> DeployResult:
    """Send the plan and give the result; with a line of progress, unless nothing is to be shown."""
    if call.options.json or call.options.quiet:
        return session.deploy(plan, confirm=confirm)
    line = DeployLine(call.ip, f"Deploying {change_count(plan)} to {plan.stage} on {plan.target}.")
    try:
        result = session.deploy(plan, confirm=confirm, emit=line)
    # Also for an interrupt: what is done so far is shown before the error is.
    except BaseException as error:
        line.end("Deploy stopped.", Tone.ALERT)
        if (so_far := getattr(error, "result", None)) is not None:
            display(so_far)
        raise
    line.end(
        "Deploy finished." if result.ok else "Deploy stopped before its end.", Tone.ADD if result.ok else Tone.ALERT
    )
    return result


def _panel(call: Call, session: Session, plan: Plan) -> None:
    from notebook_do.notebook.widgets.panel import DeployPanel

    name, ip = call.options.as_, call.ip
    panel = DeployPanel(session, plan, finished=lambda result: ip.user_ns.update({name: result}) if name else None)
    display(panel)


def _prompted(call: Call, session: Session, plan: Plan) -> Shown | None:
    typed: list[str] = []
    question = f"Type 'deploy' to send {change_count(plan)} to {plan.stage} on {plan.target}: "
    try:
        for consent in plan.consents:
            print(clean(lost(consent)))  # noqa: T201 - a terminal
            typed.append(input(f"Type '{clean(consent.phrase)}' to allow it: ").strip())
        wrong = typed != [c.phrase for c in plan.consents]
        agreed = not wrong and input(clean(question)).strip() == "deploy"
    except (KeyboardInterrupt, EOFError):  # Ctrl-C and Ctrl-D are answers too
        print()  # noqa: T201 - below the question
        agreed = wrong = False
    if not agreed:
        why = ": that is not the phrase" if wrong else ""
        return views.View((Line(f"Not deployed{why}. Nothing was sent."),))
    return run(call, session, plan, confirm=typed)
