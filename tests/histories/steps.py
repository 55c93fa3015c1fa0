"""The steps of a history, each with its own randomness: leaving one out does not change what the others do."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from oracle import Verdict
from steps_cells import change_secret, destroy, edit_worker, forget, move, new_cell, rename_class, rename_id
from steps_files import copy, lose, put_back, restore, save, switch
from steps_outside import misfortune, outside, wrangler

if TYPE_CHECKING:
    from history import History


def plan_only(history: History, rng: random.Random) -> str | None:
    """Plan and look."""
    plan = history.plan(history.here)
    return "plan: " + _said(plan)


def deploy(history: History, rng: random.Random) -> str | None:
    """Plan and deploy; where that is refused or fails, leave it."""
    place = history.here
    plan = history.plan(place)
    if not _can_deploy(plan):
        place.destroying.clear()
        return "deploy: " + _said(plan)
    done = history.deploy(place, plan)
    place.destroying.clear()
    return f"deploy {_said(plan)}: {done.get('message', 'done')}"


def _can_deploy(plan: dict[str, Any]) -> bool:
    return "refusals" in plan and not plan["refusals"] and not plan["empty"]


def _something_to_do(history: History, rng: random.Random) -> dict[str, Any]:
    """Plan; where there is nothing to do, edit a cell first."""
    plan = history.plan(history.here)
    if plan.get("empty") and not plan["refusals"]:
        said = (rename_class if rng.random() < 0.3 else edit_worker)(history, rng)
        history.log(f"      {said}")
        plan = history.plan(history.here)
    return plan


def settle(history: History, rng: random.Random) -> str | None:
    """Plan, choose and deploy until nothing is left."""
    history.settle(history.here)
    return "settle"


def deploy_killed(history: History, rng: random.Random) -> str | None:
    """Deploy, and kill the kernel at one of its effects; often plan at once in the next kernel."""
    place = history.here
    plan = _something_to_do(history, rng)
    if not _can_deploy(plan):
        place.destroying.clear()
        return "killed deploy: " + _said(plan)
    kind = rng.choice(("net", "net", "net", "disk", "any"))
    phases = ("before", "after", *(f"sent{ms}" for ms in (1, 3, 8, 20, 60)))
    phase = rng.choice(phases if kind == "net" else ("before", "after", "torn64"))
    at = rng.choice((1, 1, 1, 2, 3, 5)) if kind == "net" else rng.randrange(1, 50)
    done = history.deploy(place, plan, kill={"at": at, "phase": phase, "kind": kind})
    place.destroying.clear()
    ended = done.get("message", "killed" if "killed" in done else "done")
    said = f"deploy {_said(plan)}, killed {phase} {kind} effect {at}: {ended}"
    if "killed" in done and rng.random() < 0.6:
        said += " | at once: " + _said(history.plan(place))
    return said


def deploy_and_kill_another(history: History, rng: random.Random) -> str | None:
    """Deploy while the server or its workerd is killed."""
    place = history.here
    plan = _something_to_do(history, rng)
    if not _can_deploy(plan):
        place.destroying.clear()
        return "deploy under fire: " + _said(plan)
    what = rng.choice(("server", "workerd"))
    delay = rng.choice((0.0, 0.01, 0.03, 0.08, 0.2))

    def beside() -> None:
        time.sleep(delay)
        (history.cloud.kill_server if what == "server" else history.cloud.kill_workerd)()

    history.count[f"{what} killed"] += 1
    done = history.deploy(place, plan, beside=beside)
    place.destroying.clear()
    return f"deploy {_said(plan)}, {what} killed after {delay} s: {done.get('message', 'done')}"


def deploy_and_edit(history: History, rng: random.Random) -> str | None:
    """Edit from outside after the plan was shown, or while it is deployed."""
    place = history.here
    plan = _something_to_do(history, rng)
    if not _can_deploy(plan):
        place.destroying.clear()
        return "overtaken deploy: " + _said(plan)
    said: list[str | None] = []
    scripts = sorted(history.cloud.scripts())
    script = rng.choice(scripts) if scripts else "w1"
    edit = rng.choice(
        (history.tool.same_code, lambda s: history.tool.other_code(s, "meanwhile"), history.tool.strip_tags)
    )
    delay = rng.choice((0.0, 0.005, 0.02, 0.06))

    def beside() -> None:
        time.sleep(delay)
        said.append(edit(script) if script in history.cloud.scripts() else None)

    history.oracle.beside = {slot for slot in history.oracle.live.values() if slot[0] == script}
    done = history.deploy(place, plan, beside=beside)
    history.oracle.beside.clear()
    place.destroying.clear()
    history.count["outside edits"] += any(said)
    return f"deploy {_said(plan)} beside {said}: {done.get('message', 'done')}"


def deploy_together(history: History, rng: random.Random) -> str | None:
    """Deploy from two directories at the same moment, each by a plan that was made before."""
    if len(history.places) < 2 and copy(history, rng) is None:
        return None
    places = [history.here, rng.choice([p for p in history.places if p is not history.here])]
    plans = []
    for history.here in reversed(places):
        plans.insert(0, _something_to_do(history, rng))
    if not all(map(_can_deploy, plans)):
        return f"deploy together: {' and '.join(map(_said, plans))}"
    other: list[dict[str, Any]] = []
    history.oracle.beginning(places[1].book.slots())
    confirm: list[str] = []

    def beside() -> None:
        other.append(history.ask(places[1], "deploy", confirm=confirm))

    done = history.deploy(places[0], plans[0], beside=beside)
    ends = " and ".join(d.get("message", "done") for d in (done, *other))
    return f"{places[0].path.name} deploys {_said(plans[0])} and {places[1].path.name} {_said(plans[1])}: {ends}"


def kill(history: History, rng: random.Random) -> str | None:
    """Kill the kernel, the server, or its workerd, while nothing is under way."""
    what = rng.choice(("kernel", "server", "workerd"))
    history.count[f"{what} killed"] += 1
    if what == "kernel":
        if history.here.kernel:
            history.here.kernel.kill()
        history.end_kernel(history.here)
    elif what == "server":
        history.cloud.kill_server()
        history.cloud.revive()
    else:
        history.cloud.kill_workerd()
    return f"kill the {what}"


def import_live(history: History, rng: random.Random) -> str | None:
    """Import a Worker, or all of the account."""
    scripts = sorted(history.cloud.scripts())
    if not scripts:
        return None
    wanted = () if rng.random() < 0.3 else (rng.choice(scripts),)
    kill = {"at": rng.randrange(1, 25), "phase": rng.choice(("before", "after", "torn64")), "kind": "disk"}
    found = history.adopt_live(history.here, *wanted, kill=kill if rng.random() < 0.3 else None)
    ended = found.get("message") or [n["id"] for n in found.get("namespaces", [])]
    return f"import {wanted or 'all'}: {'killed' if 'killed' in found else ended}"


def _said(plan: dict[str, Any]) -> str:
    if "error" in plan:
        return f"{plan['error']}: {plan['message']}"
    if "killed" in plan:
        return "killed"
    codes = ", ".join(f"{r['code']} {r['subject']}" for r in plan["refusals"])
    return f"refused ({codes})" if codes else f"{plan['steps'] or 'nothing to do'}"


STEPS: dict[Any, float] = {
    new_cell: 8,
    rename_class: 7,
    move: 5,
    rename_id: 3,
    forget: 2,
    edit_worker: 6,
    change_secret: 1,
    destroy: 1.5,
    plan_only: 3,
    deploy: 14,
    settle: 8,
    deploy_killed: 9,
    deploy_and_kill_another: 2,
    deploy_and_edit: 3,
    deploy_together: 2,
    kill: 2,
    import_live: 2.5,
    lose: 3,
    copy: 1.5,
    switch: 4,
    save: 3,
    put_back: 3,
    restore: 2,
    outside: 16,
    misfortune: 2.5,
    wrangler: 1.5,
}


def begin(history: History) -> None:
    """Declare and deploy a first notebook: two or three namespaces, mostly on one Worker."""
    rng = random.Random(f"{history.seed}:first")
    book = history.here.book
    for class_name in rng.sample(("K1", "K2", "K3"), rng.choice((2, 2, 3))):
        history.declare("w1" if rng.random() < 0.8 else "w2", class_name)
    for work in book.works.values():
        work.lifecycle = rng.choice(("auto", "auto", "migrations", "exports"))
    history.log(
        f"  - a declare {', '.join(f'{i} as {c.script}.{c.class_name}' for i, c in book.spaces.items())}; settle"
    )
    history.settle(history.here)


def take(history: History, number: int) -> bool:
    """Take step `number`; False when there was nothing to do for it."""
    rng = random.Random(f"{history.seed}:{number}")
    step = rng.choices(list(STEPS), list(STEPS.values()))[0]
    try:
        said = step(history, rng)
    except Verdict:
        history.log(f"{number:3} {history.here.path.name} {step.__name__}: {step.__doc__}")
        raise
    if said:
        history.count["steps"] += 1
        history.log(f"{number:3} {history.here.path.name} {said}")
    return bool(said)
