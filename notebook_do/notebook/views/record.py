"""The record of a deploy: what stands in the cell's output from the plan to the result, true whenever it is read.

It begins as one line and ends as steps, addresses or the error. A saved notebook may hold any of its states, since a
kernel can end at any moment: so none of them says anything that is no longer true when nothing follows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from notebook_do.display import one_line, wrap
from notebook_do.display.formats import counted, duration, moment, short_digest
from notebook_do.display.hiding import without_secrets
from notebook_do.display.rich import code, joined, link, rich, strong
from notebook_do.errors import DurableError
from notebook_do.model.steps import DeleteScript
from notebook_do.notebook.views.blocks import Block, Code, Folded, Header, Line, Tone, capped
from notebook_do.notebook.views.plan import plan_document
from notebook_do.notebook.views.purpose import purpose_of, sentence_of
from notebook_do.notebook.views.steps import rows_of, state_of, steps_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from notebook_do.deploy.result import DeployResult, Failure
    from notebook_do.display.rich import Rich
    from notebook_do.notebook.views.blocks import Cell, Document
    from notebook_do.plan.plan import Plan

_DEPLOY = code("%durable deploy")
_WIDTH = 96
_STALE = re.compile(r"^plan [0-9a-z]{1,16} is stale: ")


def _plan(digest: str) -> Rich:
    return rich("plan ", code(short_digest(digest)))


# --- before and while it runs


def waiting(plan: Plan) -> Document:
    """Say that a plan waits for its button, and for the phrase that allows what it destroys."""
    if not plan.can_deploy:
        return ()
    purpose = purpose_of(plan)
    verb = "destroyed" if purpose.only_destroys else "deployed"
    what = "the phrase and the button below." if plan.consents else "the button below."
    after = "" if plan.consents else " After a restart of the kernel, run this cell again."
    digest = code(short_digest(plan.digest))
    return (Line(rich(f"Not {verb} yet. Plan ", digest, f" waits for {what}{after}"), Tone.SAME),)


def running(plan: Plan, since: datetime) -> Document:
    """Say since when it runs, and what is true when nothing else follows: nobody knows how far it came."""
    verb = "Destroying" if purpose_of(plan).only_destroys else "Deploying"
    ended = "If you read this in a saved notebook, the kernel ended first:"
    return (Line(rich(f"{verb} since {moment(since)}. {ended} ", _DEPLOY, " tells what is done."), Tone.CHANGE),)


# --- how it ended


def result_document(result: DeployResult) -> Document:
    """Return the record of a deploy that ended, however it ended."""
    if result.ok:
        return _done(result)
    return _cancelled(result) if result.cancelled else _stopped(result)


def _done(result: DeployResult) -> Document:
    plan = result.plan
    if not result.outcomes:
        return (Line(rich("Nothing was to be deployed: ", _plan(result.plan_digest), " has no step."), Tone.SAME),)
    purpose = purpose_of(plan) if plan else None
    what = sentence_of(plan, "ed") if plan else "Deployed"
    only_destroys = purpose is not None and purpose.only_destroys
    tone = Tone.DROP if only_destroys else Tone.DONE
    return (
        Line(rich(what, ", ", _at(result), "."), tone, role="status"),
        *_addresses(result),
        *_namespaces(result),
        *_destroyed(result),
        *(Line(note) for note in result.notes),
        *_steps(result),
    )


def _at(result: DeployResult) -> Rich:
    at = f"{moment(result.ended)}, " if result.ended is not None else ""
    return rich(at, _plan(result.plan_digest))


def _addresses(result: DeployResult) -> tuple[Block, ...]:
    """Return the Workers that this deploy uploaded or opened, with their URLs; the others are as they were."""
    touched = {step.worker for step in result.plan.steps if hasattr(step, "worker")} if result.plan else None
    rows: list[tuple[Cell, ...]] = []
    for id_ in sorted(result.workers):
        if touched is not None and id_ not in touched:
            continue
        found = result.deployed.get(id_)
        address = "not known" if found is None else link(found.url) if found.url else "no workers.dev address"
        rows.append((id_, address, code(f"%durable fetch {id_} /")))
    return (capped("", ("Worker", "URL", "call it"), tuple(rows), rest="The result has all."),) if rows else ()


def _namespaces(result: DeployResult) -> Iterator[Line]:
    """Yield the ids of the namespaces that this deploy created, renamed or moved."""
    for row in result.plan.migration_rows if result.plan else ():
        stable_id = row.get("stable_id", "")
        if row.get("step") in _KEPT and stable_id in result.namespaces:
            id_, class_name = code(result.namespaces[stable_id]), code(row.get("to_class", ""))
            host = f", hosted by {row['worker']}" if row.get("worker") else ""
            yield Line(rich(f"namespace {stable_id}: id ", id_, ", class ", class_name, host), small=True)


_KEPT = ("create", "rename", "transfer")


def _destroyed(result: DeployResult) -> tuple[Block, ...]:
    """Return what is gone, by id, and what its cells would do."""
    plan = result.plan
    if plan is None or not purpose_of(plan).destroyed:
        return ()
    gone: list[str] = [rich(f"{c.stable_id} (namespace id ", code(c.namespace_id), ")") for c in plan.consents]
    gone += [f"Worker {step.script_name}" for step in plan.steps if isinstance(step, DeleteScript)]
    after = (
        "They are no longer declared here. Their cells, run again, declare them anew, and a deploy begins them empty."
    )
    return (Line(rich(joined(", ", gone), f". {after}"), small=True),)


def _steps(result: DeployResult) -> tuple[Block, ...]:
    took = f" in {duration(result.seconds)}" if result.seconds is not None else ""
    said = f"{counted(len(result.outcomes), 'step')}{took}, {counted(result.requests, 'request')}"
    return (Folded(said, (steps_table(rows_of(result)),)),)


def _cancelled(result: DeployResult) -> Document:
    """Say after which step it stopped as it was asked to."""
    done, left = _counts(result)
    after = f"after step {done} of {len(result.outcomes)}" if done else "before the first step"
    rest = f"{counted(left, 'step')} {'is' if left == 1 else 'are'} not done."
    return (
        Line(rich(f"Stopped on your request {after}, ", _at(result), f". {rest}"), Tone.CHANGE, role="status"),
        *(_steps(result) if done else ()),
    )


def _stopped(result: DeployResult) -> Document:
    """Say in which step it stopped and why, then every step."""
    failure = result.failure
    index = failure.index if failure else next(i for i, o in enumerate(result.outcomes) if o.status != "done")
    step = f"Stopped in step {index + 1} of {len(result.outcomes)}, "
    said = rich(step, _at(result), f". {_account(result)}")
    return (
        Line(said, Tone.ALERT, role="alert"),
        *(_why(failure, result) if failure else ()),
        *(Line(note) for note in result.notes),
        # Of one step alone the lines above say all that its row has.
        *((steps_table(rows_of(result)),) if len(result.outcomes) > 1 or not failure else ()),
        Line(_after(result), small=True),
    )


def _counts(result: DeployResult) -> tuple[int, int]:
    """Return how many steps are done, and how many are certainly not."""
    states = [one.status for one in result.outcomes]
    return states.count("done"), states.count("not done")


def _account(result: DeployResult) -> str:
    """Return how many steps are done, not done, and not known."""
    done, left = _counts(result)
    unknown = [n for n, one in enumerate(result.outcomes, 1) if one.status not in {"done", "not done"}]
    if len(unknown) == 1:
        return f"Whether step {unknown[0]} happened is not known."
    if unknown:
        return f"Whether steps {', '.join(map(str, unknown))} happened is not known."
    if not done:
        return "No step is done."
    return f"{counted(done, 'step')} {'is' if done == 1 else 'are'} done, {left} {'is' if left == 1 else 'are'} not."


def how(result: DeployResult) -> str:
    """Return what became of the step in which it stopped."""
    index = result.failure.index if result.failure else 0
    return "is not known to have happened" if state_of(result.outcomes[index]) == "not known" else "was refused"


def _why(failure: Failure, result: DeployResult) -> tuple[Block, ...]:
    """Return the message, once, with the lines of the source that it is about; what was asked is folded."""
    outcome = result.outcomes[failure.index]
    code_ = f"Cloudflare code {failure.code}" if failure.code else ""
    place = " · ".join(part for part in (code_ if not failure.request else "", failure.place) if part)
    details = " · ".join(part for part in (failure.request, code_) if part)
    # Between words: lines that are read letter by letter are broken anywhere.
    message = "\n".join(wrap(one_line(without_secrets(failure.said)), _WIDTH))
    parts = (message, failure.excerpt, place)
    said = Code(rich(strong(outcome.text), f" {how(result)}:"), "\n\n".join(part for part in parts if part))
    return (said, Folded("Details of the request", (Line(details, small=True),))) if failure.request else (said,)


def _after(result: DeployResult) -> str:
    """Return what to do next."""
    if any(one.status not in {"done", "not done"} for one in result.outcomes):
        return "Plan again: it looks at what is live, so nothing is sent twice."
    failure = result.failure
    fix = f"Fix {failure.cell}, run it, then plan again" if failure and failure.cell else "Plan again"
    if not any(one.status == "done" for one in result.outcomes):
        return f"{fix}."
    return f"What is done stays. {fix}; only what is left will be in the new plan."


# --- nothing was sent


def why_nothing(error: DurableError) -> str:
    """Return the reason alone of an error that says, too, that nothing was sent."""
    text = _STALE.sub("", str(error))
    at = text.lower().find("nothing was sent")
    return (text[:at].rstrip(" .;,") if at > 0 else text.rstrip(".")) or text


def not_sent(error: DurableError) -> Document:
    """Say why nothing was sent."""
    return (Line(f"Nothing was sent: {why_nothing(error)}.", Tone.ALERT, role="alert"),)


def nothing_left(stale: DurableError | None, plan: Plan) -> Document:
    """Say that a plan as it is now has nothing to do, or nothing that can be done yet."""
    why = f"Nothing was sent: {why_nothing(stale)}. " if stale else ""
    if plan.undecided:
        again = rich(f"{why}Until that is known, nothing can be deployed: ", code("%durable plan"), " looks again.")
        return (Line(again, Tone.CHANGE, role="status"),)
    return (Line(f"{why}Nothing is left to do.", Tone.SAME, role="status"),)


def no_plan(error: BaseException) -> Document:
    """Say that no new plan could be made."""
    return (Line(f"No new plan could be made: {_name(error)}", Tone.ALERT, role="alert"),)


def replaced(cell: str, *, again: bool = False) -> Document:
    """Say that another cell shows a newer plan; `again`: an earlier press of this panel had sent something."""
    more = "nothing more" if again else "nothing"
    by = f"the one of {cell}" if cell else "a newer one"
    return (Line(f"This plan was replaced by {by}; {more} was sent from here.", Tone.SAME),)


def whole_plan(plan: Plan, *, shut: bool = False) -> Document:
    """Return a plan that took the place of the one above, without its title; `shut`, it is the one that was pressed."""
    body = tuple(block for block in plan_document(plan, offered=True) if not isinstance(block, Header))
    words = f"The plan that was pressed here: {_size(plan)}" if shut else f"The whole plan as it is now: {_size(plan)}"
    return (Folded(words, body, opened=not shut),)


def _size(plan: Plan) -> str:
    purpose = purpose_of(plan)
    return "refused" if plan.refusals else purpose.words() if purpose.destroyed else purpose.changes


# --- what nobody expected


def ended_by(plan: Plan, error: BaseException, at: datetime) -> Document:
    """Return the record of a deploy that an error ended, which is raised below it."""
    if isinstance(error, DurableError):
        if error.result is not None:
            return result_document(error.result)
        verb = "destroyed" if purpose_of(plan).only_destroys else "deployed"
        return (Line(rich(f"Not {verb}, {moment(at)}, ", _plan(plan.digest), ". Nothing was sent."), Tone.CHANGE),)
    word = "Interrupted" if isinstance(error, KeyboardInterrupt) else f"Stopped by an unexpected {type(error).__name__}"
    after = " looks at what is live and says how far it came."
    said = rich(f"{word}, {moment(at)}, ", _plan(plan.digest), ". ", code("%durable plan"), after)
    return (Line(said, Tone.ALERT, role="alert"),)


def broken(plan: Plan, error: BaseException, details: str, at: datetime) -> Document:
    """Say that a bug, or an interrupt, ended a deploy; what became of it only a new plan can tell."""
    said = rich(f"Stopped by an unexpected {_name(error)}, {moment(at)}, ", _plan(plan.digest), ".")
    after = "How far it came is not known: plan again, it looks at what is live."
    return (Line(rich(said, " ", after), Tone.ALERT, role="alert"), Folded("Details", (Code("", details),)))


def broken_after(error: Exception, details: str) -> Document:
    """Say that what a program does with the result failed; the deploy itself did not."""
    return (
        Line(f"After the deploy: {_name(error)}", Tone.ALERT, role="alert"),
        Folded("Details", (Code("", details),)),
    )


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
