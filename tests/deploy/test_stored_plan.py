"""A deploy sends the plan that the session showed under a digest, never a changed copy that carries this digest."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from account_model import TOKEN
from test_session import SOURCE, remote  # noqa: F401 - a fixture

import notebook_do as nd
from notebook_do.errors import ConsentRequired, StalePlan

if TYPE_CHECKING:
    from processes import Served

    from notebook_do.plan.plan import Plan

pytestmark = pytest.mark.usefixtures("remote")


def declare() -> nd.Session:
    """Open a session on Cloudflare and declare one Worker with one class that may be destroyed."""
    session = nd.session("tour", target="cloudflare")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter", protect=False)
    nd.Worker("w", script=SOURCE, bindings={"COUNTER": counter})
    return session


def with_digest(changed: Plan, digest: str) -> Plan:
    """Let a changed copy carry the digest of what was shown."""
    changed.__dict__["digest"] = digest
    return changed


def without_consent(plan: Plan) -> Plan:
    """Leave out what must be typed."""
    return replace(plan, consents=())


def without_a_step(plan: Plan) -> Plan:
    """Leave out a step."""
    return replace(plan, steps=plan.steps[1:])


def of_other_facts(plan: Plan) -> Plan:
    """Pretend that something else was live."""
    return replace(plan, baseline=replace(plan.baseline, scripts=()))


@pytest.mark.parametrize("change", [without_consent, without_a_step, of_other_facts])
def test_a_changed_copy_is_stale(served: Served, change: Any) -> None:
    """Issue 11: a copy of a plan that was changed and kept its digest is refused; no consent is skipped."""
    session = declare()
    session.deploy(session.plan())
    plan = session.destroy("w")
    assert plan.consents
    ids, sent = set(served.account.namespaces), len(served.account.log)
    forged = with_digest(change(plan), plan.digest)
    with pytest.raises(StalePlan, match=f"this plan object is not plan {plan.digest} as it was shown") as caught:
        session.deploy(forged)
    assert caught.value.plan is not None
    assert caught.value.plan.consents == plan.consents
    assert {method for method, _ in served.account.log[sent:]} == {"GET"}
    assert set(served.account.namespaces) == ids
    with pytest.raises(ConsentRequired):
        session.deploy(plan)


def test_a_changed_copy_with_its_own_digest_is_of_no_session(served: Served) -> None:
    """Issue 11: a changed copy whose digest is computed anew was shown by nobody."""
    session = declare()
    with pytest.raises(StalePlan, match="was not made by this session"):
        session.deploy(replace(session.plan(), steps=()))
    assert not served.account.scripts


def test_an_object_changed_in_place_is_stale(served: Served) -> None:
    """Issue 11: neither is the very object deployed when something in it was changed by force."""
    session = declare()
    session.deploy(session.plan())
    plan = session.destroy("w")
    digest = plan.digest
    object.__setattr__(plan, "consents", ())
    assert plan.digest == digest
    with pytest.raises(StalePlan, match="as it was shown"):
        session.deploy(plan)
    assert served.account.scripts


def test_an_equal_copy_is_deployed(served: Served) -> None:
    """Issue 11: an unchanged copy is the plan: copied, pickled, or planned a second time with other warnings."""
    session = declare()
    plan = pickle.loads(pickle.dumps(copy.deepcopy(session.plan())))
    session.plan()
    assert session.deploy(replace(plan, warnings=("seen elsewhere",))).ok
    assert len(served.account.scripts) == 1
    assert TOKEN not in "".join(str(getattr(plan, f.name)) for f in fields(plan))


def test_a_plan_changed_while_it_is_deployed(served: Served) -> None:
    """Issue 11: what is sent is a copy that nobody else holds: who hears of the first step changes nothing any more."""
    session = declare()
    plan = session.plan()

    def change(_: object) -> None:
        for step in plan.steps:
            object.__setattr__(step, "script_name", "another")

    session.deploy(plan, emit=change)
    assert set(served.account.scripts) == {"w-dev"}
