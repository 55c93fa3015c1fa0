"""The record of a deploy, word for word: a line that is true whenever it is read, then steps, addresses, the error."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import html5lib

from notebook_do.deploy.result import Deployed, DeployResult, Failure, Outcome
from notebook_do.errors import StalePlan
from notebook_do.model.steps import DeleteScript
from notebook_do.notebook.deploying import Waiting
from notebook_do.notebook.views import html, record, text
from notebook_do.notebook.views.documents import document_of
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.notebook.views.blocks import Document
    from notebook_do.plan.plan import Plan

AT = datetime(2026, 11, 26, 14, 2, 11, tzinfo=UTC)
EXCERPT = "      3 | export default {\n  >   4 |   async fetch(request v, env) {\n        |                       ^"


def result(plan: Plan, *steps: tuple[str, float | None], **more: Any) -> DeployResult:
    """Give a result whose steps ended so and took so long."""
    outcomes = []
    for n, (status, seconds) in enumerate(steps, 1):
        ended = None if seconds is None else AT + timedelta(seconds=seconds)
        started = None if seconds is None else AT
        outcomes.append(Outcome(text=f"step {n}", status=status, started=started, ended=ended))  # type: ignore[arg-type]
    times = {"started": AT, "ended": AT + timedelta(seconds=2.4)}
    return DeployResult(plan_digest=plan.digest, outcomes=tuple(outcomes), plan=plan, requests=6, **times | more)


def lines(document: Document) -> list[str]:
    """Give the lines of a view that have words."""
    drawn = text.render(document)
    assert max(map(len, drawn.splitlines())) <= 100
    assert "\x1b" not in drawn
    plain = " ".join(html5lib.parseFragment(html.render(document)).itertext())
    for word in re.findall(r"[A-Za-z0-9]{4,}", drawn):
        assert word in plain, "each word of the text stands in the page too"
    return [line for line in drawn.splitlines() if line.strip()]


def joined(document: Document) -> str:
    """Give a view as one line."""
    return " ".join(" ".join(lines(document)).split())


def test_before_the_press_it_waits(make_plan: Callable[..., Plan], deletion: Plan) -> None:
    """Issue 16, rows 42 and 43: which plan waits, for what, and what to do after a restart."""
    plan = make_plan()
    assert joined(record.waiting(plan)) == (
        f"= Not deployed yet. Plan {plan.digest[:8]} waits for the button below. After a restart of the kernel, run "
        "this cell again."
    )
    said = f"= Not destroyed yet. Plan {deletion.digest[:8]} waits for the phrase and the button below."
    assert joined(record.waiting(deletion)) == said


def test_while_it_runs_the_line_is_true_without_its_end(make_plan: Callable[..., Plan], deletion: Plan) -> None:
    """Issue 16.3: a reader of a saved notebook is told that the kernel ended first, and what tells how far it came."""
    after = "If you read this in a saved notebook, the kernel ended first: %durable deploy tells what is done."
    assert joined(record.running(make_plan(), AT)) == f"~ Deploying since 2026-11-26 14:02:11 UTC. {after}"
    assert joined(record.running(deletion, AT)) == f"~ Destroying since 2026-11-26 14:02:11 UTC. {after}"


def test_done_has_addresses_namespaces_and_folded_steps(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, row 47: what was done, where and when; each Worker with its URL and the line that calls it."""
    plan = make_plan()
    worker = Deployed(id="my-worker", script_name="my-worker-dev", url="http://my-worker-dev.localhost:1", session=None)  # type: ignore[arg-type]
    other = {"my-worker": "my-worker-dev", "elsewhere": "elsewhere-dev"}
    made = result(
        plan, ("done", 0.8), ("done", 1.4), workers=other, namespaces={"counter": "ab" * 16, "old": "cd" * 16}
    )
    made.deployed = {"my-worker": worker}
    said = lines(document_of(made))
    assert said[0] == f"✓ Deployed 3 changes to dev on local, 2026-11-26 14:02:13 UTC, plan {plan.digest[:8]}."
    assert said[1:4] == [
        "  Worker     URL                               call it",
        "  ---------  --------------------------------  --------------------------",
        "  my-worker  http://my-worker-dev.localhost:1  %durable fetch my-worker /",
    ]
    assert said[4] == f"namespace counter: id {'ab' * 16}, class Counter, hosted by my-worker"
    assert said[5] == "2 steps in 2.4 s, 6 requests"
    assert [line.split() for line in said[-2:]] == [
        ["✓", "done", "step", "1", "800", "ms"],
        ["✓", "done", "step", "2", "1.4", "s"],
    ]
    assert "elsewhere" not in " ".join(said), "what this deploy did not touch is no news"


def test_a_failure_counts_says_the_message_once_and_lists_the_steps(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, rows 49 to 51: where it stopped, the lines of the cell with a caret, each step, what to do next."""
    plan = make_plan()
    failure = Failure(
        index=1,
        message="Worker desk: Uncaught SyntaxError: Unexpected identifier 'v' at index.js:2:23",
        code=10021,
        worker="desk",
        line=4,
        cell="cell [7]",
        excerpt=EXCERPT,
    )
    endings = (("done", 0.8), ("not done", 1.1), ("not done", None), ("not done", None), ("not done", None))
    made = result(plan, *endings, failure=failure, workers={"my-worker": "my-worker-dev"})
    assert lines(document_of(made)) == [
        f"! Stopped in step 2 of 5, 2026-11-26 14:02:13 UTC, plan {plan.digest[:8]}. 1 step is done, 4 are not.",
        "step 2 was refused:",
        "  Worker desk: Uncaught SyntaxError: Unexpected identifier 'v'",
        *(f"  {line}" for line in EXCERPT.splitlines()),
        "  Cloudflare code 10021 · line 4 of cell [7]",
        "               step    time",
        "     --------  ------  ------",
        "  ✓  done      step 1  800 ms",
        "  !  failed    step 2  1.1 s",
        "  ·  not done  step 3",
        "  ·  not done  step 4",
        "  ·  not done  step 5",
        "What is done stays. Fix cell [7], run it, then plan again; only what is left will be in the new",
        "plan.",
    ]
    none = result(plan, ("not done", 1.0), ("not done", None), failure=Failure(index=0, message="no"))
    assert lines(document_of(none))[0].endswith("No step is done.")
    assert lines(document_of(none))[-1] == "Plan again.", "nothing is done that could stay"


def test_a_failed_deploy_of_one_step_says_it_once(make_plan: Callable[..., Plan]) -> None:
    """Which step it was stands above its message; a table of that one row would say it again."""
    made = result(make_plan(), ("not done", 1.0), failure=Failure(index=0, message="Worker desk: no", code=10021))
    assert lines(document_of(made)) == [
        f"! Stopped in step 1 of 1, 2026-11-26 14:02:13 UTC, plan {made.plan_digest[:8]}. No step is done.",
        "step 1 was refused:",
        "  Worker desk: no",
        "  Cloudflare code 10021",
        "Plan again.",
    ]


def test_what_is_not_known_is_said_and_a_new_plan_looks(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 3e2: an answer that never came leaves a question mark, and nothing is sent twice."""
    made = result(
        make_plan(),
        ("done", 0.8),
        ("uncertain", 60.0),
        ("not done", None),
        failure=Failure(index=1, message="no answer within 60 s"),
    )
    said = lines(document_of(made))
    assert said[0].startswith("! Stopped in step 2 of 3, 2026-11-26 14:02:13 UTC, plan ")
    assert joined(document_of(made)).count("Whether step 2 happened is not known.") == 1
    assert "  ?  not known  step 2  1 min 0 s" in said
    assert said[-1] == "Plan again: it looks at what is live, so nothing is sent twice."


def test_a_stop_on_request_is_no_failure(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 3k: after which step, and how many are left; no red."""
    plan = make_plan()
    made = result(plan, ("done", 0.8), ("not done", None), ("not done", None), cancelled=True)
    when = f"2026-11-26 14:02:13 UTC, plan {plan.digest[:8]}"
    said = f"~ Stopped on your request after step 1 of 3, {when}. 2 steps are not done."
    assert joined(document_of(made)).startswith(said)
    assert "!" not in text.render(document_of(made))


def test_destroyed_says_what_is_gone(deletion: Plan, make_plan: Callable[..., Plan]) -> None:
    """Issue 16, row 48: the same verb as the button, what is gone by id, and what its cells would do."""
    gone = DeleteScript(worker="my-worker", script_name="my-worker-dev")
    worker = Change(action=Action.DELETE, kind="worker", id="my-worker", worker="my-worker", name="my-worker-dev")
    plan = make_plan(changes=(*deletion.changes, worker), consents=deletion.consents, steps=(gone,))
    said = joined(document_of(result(plan, ("done", 1.0))))
    assert said.startswith(
        "- Destroyed 1 namespace (12 objects) and 1 Worker in dev on local, 2026-11-26 14:02:13 UTC, "
        f"plan {plan.digest[:8]}. counter (namespace id {'ab' * 16}), Worker my-worker-dev. "
    )
    assert "Their cells, run again, declare them anew, and a deploy begins them empty." in said
    assert "eploy" not in said.partition("counter (")[0]


def test_nothing_left_is_one_line(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 3j: why nothing was sent, and that nothing is left."""
    stale = StalePlan("plan x is stale: another notebook deployed the same. Nothing was sent; look at the new plan.")
    empty = make_plan(steps=(), changes=())
    assert lines(record.nothing_left(stale, empty)) == [
        "= Nothing was sent: another notebook deployed the same. Nothing is left to do."
    ]


def test_where_nobody_can_press_the_line_that_approves_is_said(make_plan: Callable[..., Plan], deletion: Plan) -> None:
    """Issue 16, row 54: nothing was sent, and what would send exactly this plan."""
    for plan, verb in ((deletion, "destroyed"), (make_plan(), "deployed")):
        shown = document_of(Waiting(plan=plan, approve=f"%durable deploy --approve {plan.digest}"))
        assert lines(shown) == [
            f"~ Not {verb}: nobody can press a button here. Nothing was sent.",
            "To send exactly this plan:",
            f"%durable deploy --approve {plan.digest}",
        ]


def test_a_secret_in_an_answer_is_in_no_record(make_plan: Callable[..., Plan]) -> None:
    """Issue 16.1: what looks like a secret is hidden in the message of a failure, and is said to be."""
    token = "ghp_" + "a1B2" * 9
    made = result(make_plan(), ("not done", 1.0), failure=Failure(index=0, message=f"refused {token} for good"))
    assert token not in text.render(document_of(made))
    assert token not in html.render(document_of(made))
    assert "hidden" in text.render(document_of(made))
