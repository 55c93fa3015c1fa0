"""Why a plan is not sent before a person has read it (issue 13.8): held to its steps, and written out for the cases."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.model import DeleteClass
from notebook_do.model.steps import DeleteScript, Forget, RemoveTrigger, Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.unattended import objections

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

HERE = Path(__file__).parent
PLANS: dict[str, Any] = json.loads((HERE / "whole_plans.json").read_text())
SAFE = {
    *("changed-classes-that-others-bind", "client-of-a-live-host", "convert-without-classes", "crons"),
    *("entries-and-earlier-names-stay", "first-deploy", "form-changed-outside", "hosts-before-clients"),
    *(
        "hosts-of-each-other",
        "ids-are-put-into-the-mark",
        "inspect-on-the-local-target",
        "queue-made-before-its-producer",
    ),
    *("queue-that-nobody-consumes", "renamed-from-unknown", "secret-changed", "secret-of-a-new-worker"),
    *("services-of-each-other", "transfer-from-an-undeclared-worker-with-migrations"),
    *("transferred-from-a-worker-id", "url-is-opened"),
}
"""The cases whose plan is sent unread: all that they change was made here, or is new."""


def planned(name: str) -> Plan:
    """Plan one case."""
    spec = importlib.util.spec_from_file_location("cases_read_unattended", HERE / "test_cases.py")
    assert spec
    assert spec.loader
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    case = json.loads((HERE / "cases" / f"{name}.json").read_text())
    desired = cases.desired_of(case)
    return build_plan(
        desired,
        cases.recorded_of(case, desired),
        cases.observed_of(case),
        target="local",
        default_compatibility_date="2026-01-01",
        secret_readings=cases.secret_readings_of(case),
    )


def test_the_safe_cases_are_these() -> None:
    """Every other plan that could be sent has an objection; a new case is put on one of the two sides."""
    sendable = {name: plan.get("objections", []) for name, plan in PLANS.items() if "steps" in plan}
    assert len(sendable) > 70
    assert {name for name, found in sendable.items() if not found} == SAFE


@pytest.mark.parametrize("name", sorted(name for name, plan in PLANS.items() if "steps" in plan))
def test_what_a_step_deletes_is_an_objection(name: str) -> None:
    """Whatever the rows say: a step that deletes, a phrase, and a loss make a plan one that must be read."""
    plan = planned(name)
    kinds = {one.kind for one in objections(plan)}
    uploads = [step for step in plan.steps if isinstance(step, Upload)]
    deletes = [m for u in uploads if u.migration for m in u.migration.class_migrations if isinstance(m, DeleteClass)]
    deletes += [step for step in plan.steps if isinstance(step, DeleteScript | RemoveTrigger)]
    deletes += [step for step in plan.steps if isinstance(step, Forget) and step.stable_ids]
    assert "deletion" in kinds or not deletes
    assert ("phrase" in kinds) is bool(plan.consents)
    assert not plan.drift or name == "form-changed-outside" or kinds


@pytest.mark.parametrize("name", sorted(name for name, plan in PLANS.items() if "refusals" in plan))
def test_a_refused_plan_has_its_refusals_first(name: str) -> None:
    """So a script is told of them, and not of what could not be sent anyway."""
    plan = planned(name)
    kinds = [one.kind for one in objections(plan)]
    assert kinds[: len(plan.refusals)] == ["refusal"] * len(plan.refusals)
