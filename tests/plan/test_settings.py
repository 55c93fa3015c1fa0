"""Settings in the plan: declared here, set here and no longer declared, or never set here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from plan_world import World, declare

from notebook_do.model import Desired, Json, Observed
from notebook_do.model.steps import SetSchedules, Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.plan import Action

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

DEFAULT = {"mode": "deferred", "max_delay": 300}


def declared(code: str = "", crons: tuple[str, ...] = (), **options: Any) -> Desired:
    """Declare one Worker with settings."""
    desired = declare({}, scripts=("w",))
    (worker,) = desired.workers
    changed = replace(worker, content_digest=worker.content_digest + code, options=Json(options), crons=crons)
    return replace(desired, workers=(changed,))


def planned(world: World, desired: Desired, *, crons: tuple[str, ...] = (), **live: Any) -> Plan:
    """Plan with these settings live."""
    observed = world.observed()
    on = {name: value for name, value in live.items() if value != DEFAULT}
    scripts = tuple(replace(s, options=Json(on), carried=Json(live), crons=crons) for s in observed.scripts)
    return build_plan(
        desired,
        world.recorded,
        Observed(account_id=observed.account_id, api_origin=observed.api_origin, scripts=scripts),
        target="local",
        default_compatibility_date="2026-01-01",
    )


def sent(plan: Plan) -> dict[str, Any]:
    """Give the options of the only upload."""
    (upload,) = (s for s in plan.steps if isinstance(s, Upload))
    options: dict[str, Any] = upload.options.value
    return options


def after(desired: Desired) -> World:
    """Give the world after a first deploy."""
    world = World()
    world.apply(world.plan(desired))
    return world


def test_a_new_worker_is_sent_the_default_strategy_by_name() -> None:
    """What its objects do at the next deploys is said and not left to what Cloudflare takes as the default."""
    assert sent(World().plan(declared())) == {"code_update_strategy": DEFAULT}
    assert sent(World().plan(declared(code_update_strategy={"mode": "immediate"}))) == {
        "code_update_strategy": {"mode": "immediate"}
    }


@pytest.mark.parametrize(
    "setting",
    [
        {"observability": {"enabled": True}},
        {"observability": {"enabled": False}},
        {"placement": {"mode": "smart"}},
        {"limits": {"cpu_ms": 5}},
        {"logpush": True},
        {"tail_consumers": [{"service": "w"}]},
        {"something_new": {"a": 1}},
    ],
)
def test_what_was_never_set_here_is_kept_and_sent_again(setting: dict[str, Any]) -> None:
    """It is no change and no drift; an upload repeats its live value."""
    world = after(declared())
    assert planned(world, declared(), **setting).empty
    plan = planned(world, declared("// 2"), **setting)
    assert not plan.drift
    assert sent(plan) == setting | {"code_update_strategy": DEFAULT}


@pytest.mark.parametrize(
    ("name", "value", "off"),
    [
        ("observability", {"enabled": True}, {"enabled": False}),
        ("placement", {"mode": "smart"}, None),
        ("limits", {"cpu_ms": 5}, None),
        ("logpush", True, False),
        ("tail_consumers", [{"service": "w"}], []),
        ("cache_options", {"enabled": True}, {"enabled": False}),
        ("code_update_strategy", {"mode": "immediate"}, DEFAULT),
    ],
)
def test_what_was_set_here_and_is_not_declared_is_taken_away(name: str, value: Any, off: Any) -> None:
    """The plan names it with its value; the upload says so, or leaves out what is reset by that."""
    world = after(declared(**{name: value}))
    assert planned(world, declared(**{name: value}), **{name: value}).empty
    plan = planned(world, declared(), **{name: value})
    assert [(c.field, bool(c.before)) for c in plan.changes if c.kind == "setting"] == [(name, True)]
    assert sent(plan) == {"code_update_strategy": DEFAULT} | ({} if off is None else {name: off})
    world.apply(plan)
    assert planned(world, declared(), code_update_strategy=DEFAULT).empty


def test_a_strategy_that_no_read_tells_is_no_drift() -> None:
    """An account that does not tell the strategy of its deployments gives an empty plan."""
    world = after(declared(code_update_strategy={"mode": "immediate"}))
    assert planned(world, declared(code_update_strategy={"mode": "immediate"})).empty


def test_cron_triggers_go_by_name_and_only_ours() -> None:
    """Never set: kept. Set and not declared: removed. What others added meanwhile stays."""
    world = after(declared())
    assert planned(world, declared(), crons=("1 * * * *",)).empty
    world = after(declared(crons=("0 * * * *",)))
    plan = planned(world, declared(), crons=("0 * * * *", "1 * * * *"))
    (step,) = (s for s in plan.steps if isinstance(s, SetSchedules))
    assert (step.crons, step.kept) == (("1 * * * *",), ("1 * * * *",))
    (row,) = (c for c in plan.changes if c.kind == "cron")
    assert "Cron trigger 0 * * * * of w, set from here and no longer declared, is removed." in row.detail


@pytest.mark.parametrize(
    ("wanted", "live", "action", "word"),
    [
        (("1 * * * *",), (), Action.CREATE, "are set"),
        (("1 * * * *",), ("0 * * * *",), Action.UPDATE, "are replaced"),
        ((), ("0 * * * *",), Action.DELETE, "is removed"),
    ],
)
def test_the_row_of_cron_triggers_says_whether_there_are_any(
    wanted: tuple[str, ...], live: tuple[str, ...], action: Action, word: str
) -> None:
    """The first ones are created, the last ones deleted; only where some were and some will be it is an update."""
    world = after(declared(crons=live))
    (row,) = (c for c in planned(world, declared(crons=wanted), crons=live).changes if c.kind == "cron")
    assert (row.action, word in row.detail) == (action, True)


def test_a_declared_table_keeps_the_live_keys_until_its_switch_turns() -> None:
    """What others filled in stays beside what is declared; a table that is switched is as declared."""
    world = after(declared(observability={"enabled": True}))
    kept = planned(
        world,
        declared(code="new", observability={"enabled": True}),
        observability={"enabled": True, "head_sampling_rate": 0.5},
        code_update_strategy=DEFAULT,
    )
    assert sent(kept)["observability"] == {"enabled": True, "head_sampling_rate": 0.5}
    turned = planned(
        world,
        declared(observability={"enabled": True}),
        observability={"enabled": False, "head_sampling_rate": 0.5},
        code_update_strategy=DEFAULT,
    )
    assert sent(turned)["observability"] == {"enabled": True}


def test_a_tag_that_was_set_here_goes_with_its_declaration() -> None:
    """The tags of others stay: an upload replaces the whole list."""
    world = after(declared(tags=["team:a", "cost:7"]))
    observed = world.observed()
    (live,) = observed.scripts
    live = replace(live, tags=("cost:7", "team:a", "theirs"), carried=Json({"code_update_strategy": DEFAULT}))
    (changed,) = declared(tags=["team:a"]).workers
    desired = replace(declared(), workers=(changed,))
    given: dict[str, Any] = {"target": "local", "default_compatibility_date": "2026-01-01"}
    plan = build_plan(desired, world.recorded, replace(observed, scripts=(live,)), **given)
    (upload,) = (s for s in plan.steps if isinstance(s, Upload))
    assert [tag for tag in upload.tags if not tag.startswith("ndo:")] == ["team:a", "theirs"]
    assert [(c.before, c.after) for c in plan.changes if c.field == "tags"] == [("cost:7", "")]
