"""The corpus's plans have the digests that they had, and what is sent for them is what was sent, to the byte.

After a deliberate change write the files anew with `python tests/golden/write.py plans`, look at their diff, and commit
both together with the reason. A change of what a digest covers changes `files/digests.json` and no other file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from corpus import CASES, COUNTER, HOST, bound, case, worker
from files import golden
from inside import digest_of
from small_account import SmallAccount
from world import Step, as_json, cloudflare, folder, run, run_cell, shell

if TYPE_CHECKING:
    from collections.abc import Callable

BY_NAME = {c.name: c for c in CASES}


def test_the_files_have_the_corpus_and_nothing_else() -> None:
    """No case is without its plans and its uploads, and none is left of a case that is gone."""
    assert len(CASES) == len(BY_NAME)
    assert BY_NAME.keys() == golden("digests").keys() == golden("uploads").keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_plans_and_uploads_are_as_they_were(name: str) -> None:
    """Each step's plan has its digest, refusals and phrases, and every request that it sends is the same."""
    planned, sent = run(BY_NAME[name])
    assert as_json(sent) == golden("uploads")[name]
    assert as_json(planned) == golden("digests")[name]


# --- what a digest covers

RICH = case(
    "rich",
    (
        COUNTER,
        bound("Counter", more=" --var API_KEY=sk-live-1 --json C='{\"password\": 1}' --cron '0 0 * * *'"),
    ),
)


@pytest.fixture(scope="module")
def rich() -> Any:
    """Give a plan with many kinds of steps."""
    return plan_of(*RICH.steps[0].cells)


@pytest.fixture(scope="module")
def refused() -> Any:
    """Give a plan with a refusal."""
    return plan_of(worker("w --domain api.example.org"))


@pytest.fixture(scope="module")
def losing() -> Any:
    """Give a plan that asks for a consent."""
    with folder() as place, shell() as ip, cloudflare(SmallAccount(), place) as session:
        for cell in (f"{COUNTER} --unprotect", HOST[1]):
            run_cell(ip, cell)
        session.deploy(session.plan())
        return session.plan(["w", "counter"])


def plan_of(*cells: str) -> Any:
    """Plan what cells declare."""
    with folder() as place, shell() as ip, cloudflare(SmallAccount(), place) as session:
        for cell in cells:
            run_cell(ip, cell)
        return session.plan()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("API_KEY=sk-live-1", "API_KEY=sk-live-2"),
        ('"password": 1', '"password": 2'),
        ("0 0 * * *", "1 0 * * *"),
        ("class Default", "# another\nclass Default"),
        ("COUNTER=counter", "COUNT=counter"),
    ],
    ids=["hidden text", "hidden JSON", "cron", "code", "binding"],
)
def test_two_plans_that_differ_in_what_is_sent_have_two_digests(before: str, after: str, rich: Any) -> None:
    """A value counts although it may be hidden where the plan is shown: what is approved is what is sent."""
    cells = [cell.replace(before, after) for cell in RICH.steps[0].cells]
    assert cells != list(RICH.steps[0].cells)
    assert digest_of(plan_of(*cells)) != digest_of(rich)


def _first(plan: Any, part: str, /, **fields: Any) -> Any:
    """Change the first change, refusal or consent of a plan."""
    first, *rest = getattr(plan, part)
    return replace(plan, **{part: (replace(first, **fields), *rest)})


@pytest.mark.parametrize("field", ["kind", "id", "worker", "name", "field"])
def test_what_a_change_is_about_counts(field: str, rich: Any) -> None:
    """Of a change its kind, id, Worker, name and field count."""
    assert _first(rich, "changes", **{field: "another"}).digest != rich.digest


def test_the_action_of_a_change_counts(rich: Any) -> None:
    """Of a change its action counts."""
    other = type(rich.changes[0].action)("delete")
    assert rich.changes[0].action != other
    assert _first(rich, "changes", action=other).digest != rich.digest


COVERED: dict[str, Callable[[Any], Any]] = {
    "session": lambda plan: replace(plan, session="another"),
    "stage": lambda plan: replace(plan, stage="another"),
    "target": lambda plan: replace(plan, target="local"),
    "steps": lambda plan: replace(plan, steps=plan.steps[1:]),
    "order of steps": lambda plan: replace(plan, steps=plan.steps[::-1]),
    "serial": lambda plan: replace(plan, baseline=replace(plan.baseline, serial=plan.baseline.serial + 1)),
    "account": lambda plan: replace(plan, baseline=replace(plan.baseline, account_id="d" * 32)),
    "live scripts": lambda plan: replace(plan, baseline=replace(plan.baseline, scripts=(("w", *"eltm"),))),
}


@pytest.mark.parametrize("what", COVERED)
def test_what_a_plan_rests_on_counts(what: str, rich: Any) -> None:
    """Session, stage, target, steps and the baseline count."""
    assert COVERED[what](rich).digest != rich.digest


def test_the_code_of_a_refusal_and_the_phrase_of_a_consent_count(refused: Any, losing: Any) -> None:
    """What forbids and what must be typed count."""
    assert _first(refused, "refusals", code="another").digest != refused.digest
    assert _first(losing, "consents", phrase="destroy another").digest != losing.digest
    assert replace(losing, consents=()).digest != losing.digest


@pytest.mark.parametrize("field", ["warnings", "notes"])
def test_warnings_and_notes_do_not_count(field: str, rich: Any) -> None:
    """They tell of the place where a plan was made, and it may be approved in another."""
    assert replace(rich, **{field: ("something to know",)}).digest == rich.digest


@pytest.mark.parametrize("field", ["detail", "before", "after"])
def test_the_words_of_a_change_do_not_count(field: str, rich: Any) -> None:
    """How a change is said is not what is approved."""
    assert _first(rich, "changes", **{field: "other words"}).digest == rich.digest


@pytest.mark.parametrize("fields", [{"message": "other words"}, {"choices": ("other",)}, {"line": 99}], ids=str)
def test_the_words_and_the_line_of_a_refusal_do_not_count(fields: dict[str, Any], refused: Any) -> None:
    """Of a refusal its code counts; words and line numbers do not."""
    assert _first(refused, "refusals", **fields).digest == refused.digest


def test_the_place_of_a_cell_does_not_count(rich: Any) -> None:
    """The same declarations from other lines and other cells make the same plan."""
    first, second = RICH.steps[0].cells
    cells = ("'an expression first'", f"# a comment\n\n{first}", f"\n\n{second}")
    assert digest_of(plan_of(*cells)) == digest_of(rich)


def test_the_place_of_a_refused_cell_does_not_count() -> None:
    """Nor does it where the plan is refused."""
    namespace, host = f"{COUNTER} --kv", bound("Counter", more=" --lifecycle exports")
    above, below = plan_of(namespace, host), plan_of(f"# a comment\n\n{namespace}", host)
    assert [r.code for r in above.refusals] == [r.code for r in below.refusals] == ["kv-not-creatable"]
    assert digest_of(above) == digest_of(below)


def test_a_plan_is_made_again_as_it_was() -> None:
    """Another process, another directory and another port make the same digests: nothing of chance is in them."""
    twice = [run(BY_NAME["swapped"])[0] for _ in range(2)]
    assert twice[0] == twice[1]
    assert len({step["digest"] for step in twice[0]}) == 2


def test_steps_are_cases() -> None:
    """The corpus is large enough, and has plans that send, that are refused, and that lose something."""
    steps = [step for steps in golden("digests").values() for step in steps]
    assert len(steps) > 100
    assert len({code for step in steps for code in step.get("refusals", ())}) >= 12
    assert any(step.get("consents") for step in steps)
    assert any(not step.get("steps") for step in steps)
    assert Step().deploy
