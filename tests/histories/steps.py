"""The steps of a history, each with its own randomness: leaving one out does not change what the others do."""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING, Any

from book import SCRIPTS, Work
from book import Space as Cell
from oracle import Verdict
from outside import OTHERS_CLASSES

if TYPE_CHECKING:
    from history import History

# --- cells


def new_cell(history: History, rng: random.Random) -> str | None:
    """Declare a namespace that never was."""
    book = history.here.book
    script = rng.choice(SCRIPTS)
    if len(book.spaces) > 5 or not (free := book.free(script)):
        return None
    id_ = history.fresh()
    book.spaces[id_] = Cell(script=script, class_name=rng.choice(free))
    book.works.setdefault(script, Work())
    return f"declare {id_} as {script}.{book.spaces[id_].class_name}"


def rename_class(history: History, rng: random.Random) -> str | None:
    """Declare a namespace with another class name, or two with each other's."""
    book = history.here.book
    if not book.spaces:
        return None
    id_ = rng.choice(sorted(book.spaces))
    cell = book.spaces[id_]
    beside = [i for i, c in book.spaces.items() if c.script == cell.script and i != id_]
    if beside and rng.random() < 0.5:
        other = book.spaces[rng.choice(sorted(beside))]
        cell.class_name, other.class_name = other.class_name, cell.class_name
        return f"swap the classes {cell.class_name} and {other.class_name} of {cell.script}"
    if not (free := book.free(cell.script)):
        return None
    cell.class_name = rng.choice(free)
    return f"declare {id_} as class {cell.class_name}"


def move(history: History, rng: random.Random) -> str | None:
    """Declare a transfer from where a namespace is live."""
    book = history.here.book
    ids = sorted(i for i in book.spaces if (s := history.oracle.home(i)) and s.id in history.oracle.live)
    if not ids:
        return None
    id_ = rng.choice(ids)
    space = history.oracle.home(id_)
    source = history.oracle.live[space.id][0] if space else ""
    target = rng.choice([s for s in SCRIPTS if s != source])
    if not (free := book.free(target)):
        return None
    cell = book.spaces[id_]
    same = cell.class_name in free and rng.random() < 0.6
    cell.script, cell.class_name = target, cell.class_name if same else rng.choice(free)
    cell.transferred_from = source if rng.random() < 0.9 else None
    book.works.setdefault(target, Work())
    return f"move {id_} from {source} to {target}.{cell.class_name}"


def rename_id(history: History, rng: random.Random) -> str | None:
    """Declare a namespace under another stable ID, with renamed_from."""
    book = history.here.book
    ids = sorted(i for i in book.spaces if history.oracle.home(i))
    if not ids:
        return None
    old, new = rng.choice(ids), history.fresh()
    cell = book.spaces.pop(old)
    cell.renamed_from = old if rng.random() < 0.85 else None
    book.spaces[new] = cell
    book.renamings[new] = old
    return f"call {old} {new}{'' if cell.renamed_from else ' and do not say so'}"


def forget(history: History, rng: random.Random) -> str | None:
    """Do not run the cell of a namespace, or of a Worker with all its namespaces."""
    book = history.here.book
    if not book.spaces:
        return None
    if rng.random() < 0.25 and len(book.works) > 1:
        script = rng.choice(sorted(book.works))
        del book.works[script]
        for id_ in [i for i, c in book.spaces.items() if c.script == script]:
            del book.spaces[id_]
        return f"do not run the cells of {script}"
    id_ = rng.choice(sorted(book.spaces))
    del book.spaces[id_]
    return f"do not run the cell of {id_}"


def edit_worker(history: History, rng: random.Random) -> str | None:
    """Edit a Worker's code, variable, secret, cron, address, form, or what else it binds."""
    book = history.here.book
    if not book.works:
        return None
    script = rng.choice(sorted(book.works))
    work = book.works[script]
    what = rng.choice(("code", "code", "word", "secret", "crons", "url", "form", "bind"))
    match what:
        case "code":
            work.note = f"version {rng.randrange(1000)}"
        case "word":
            work.word = rng.choice(("", "one", "two"))
        case "secret":
            work.secret = not work.secret
        case "crons":
            work.crons = rng.choice(((), ("0 * * * *",), ("0 0 * * *", "5 * * * *")))
        case "url":
            work.url = not work.url
        case "form":
            work.lifecycle = rng.choice(("auto", "exports", "migrations"))
        case "bind":
            elsewhere = sorted(i for i, c in book.spaces.items() if c.script != script)
            work.others = tuple(rng.sample(elsewhere, k=min(len(elsewhere), rng.randrange(3))))
    return f"edit {what} of {script}"


def change_secret(history: History, rng: random.Random) -> str | None:
    """Give the secret another value."""
    history.secret = f"s3cret-{rng.getrandbits(64):016x}-value"
    history.secrets.append(history.secret)
    history.ask(history.here, "secret", value=history.secret)
    return "another secret"


def destroy(history: History, rng: random.Random) -> str | None:
    """Ask for the destruction of a namespace or a Worker, its protection lifted."""
    book = history.here.book
    ids = sorted(i for i in book.spaces if history.oracle.home(i))
    if not ids:
        return None
    if rng.random() < 0.3:
        script = rng.choice(sorted(book.works))
        history.here.destroying.add(f"worker:{script}")
        for cell in book.spaces.values():
            cell.protect = cell.protect and cell.script != script
        return f"destroy worker {script}"
    id_ = rng.choice(ids)
    book.spaces[id_].protect = False
    history.here.destroying.add(id_)
    return f"destroy {id_}"


# --- plans and deploys


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

    done = history.deploy(place, plan, beside=beside)
    place.destroying.clear()
    history.count["outside edits"] += any(said)
    return f"deploy {_said(plan)} beside {said}: {done.get('message', 'done')}"


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
    found = history.adopt_live(history.here, *wanted)
    return f"import {wanted or 'all'}: {found.get('message') or [n['id'] for n in found.get('namespaces', [])]}"


def _said(plan: dict[str, Any]) -> str:
    if "error" in plan:
        return f"{plan['error']}: {plan['message']}"
    if "killed" in plan:
        return "killed"
    codes = ", ".join(f"{r['code']} {r['subject']}" for r in plan["refusals"])
    return f"refused ({codes})" if codes else f"{plan['steps'] or 'nothing to do'}"


# --- state files


def lose(history: History, rng: random.Random) -> str | None:
    """Lose the state file, or all that is beside it too; sometimes under a running kernel."""
    place = history.here
    if rng.random() < 0.7:
        history.end_kernel(place)
    if not place.state.exists():
        return None
    place.intact = False
    if rng.random() < 0.6:
        shutil.rmtree(place.state)
        return "lose the directory of the state file"
    for path in place.state.rglob("state.json"):
        path.unlink()
    return "lose the state file"


def copy(history: History, rng: random.Random) -> str | None:
    """Copy the directory; both go on."""
    if len(history.places) > 2 or not history.here.state.exists():
        return None
    made = history.copy(history.here, "abc"[len(history.places)])
    return f"copy {history.here.path.name} to {made.path.name}"


def switch(history: History, rng: random.Random) -> str | None:
    """Go on in another directory."""
    if len(history.places) < 2:
        return None
    history.here = rng.choice([p for p in history.places if p is not history.here])
    return f"go on in {history.here.path.name}"


def save(history: History, rng: random.Random) -> str | None:
    """Keep a copy of the state file, as a backup or a checkout does."""
    place = history.here
    if not place.state.exists():
        return None
    kept = history.folder / f"saved-{place.path.name}-{len(place.saved)}"
    shutil.copytree(place.state, kept)
    place.saved.append((kept, place.book.copy()))
    return f"keep a copy of {place.path.name}'s state"


def put_back(history: History, rng: random.Random) -> str | None:
    """Put an older state file back: the file alone, or the whole directory; with today's cells, or those of then."""
    place = history.here
    if not place.saved:
        return None
    place.intact = False
    history.end_kernel(place)
    kept, book = rng.choice(place.saved)
    if rng.random() < 0.5:
        shutil.rmtree(place.state, ignore_errors=True)
        shutil.copytree(kept, place.state)
    else:
        for path in kept.rglob("state.json"):
            target = place.state / path.relative_to(kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    then = rng.random() < 0.3
    if then:
        place.book = book.copy()
    return f"put an older state back{' with its cells' if then else ''}"


def restore(history: History, rng: random.Random) -> str | None:
    """Restore a backup with %durable state restore."""
    serials = history.ask(history.here, "backups").get("serials")
    if not serials:
        return None
    serial, history.here.intact = rng.choice(serials), False
    done = history.ask(history.here, "restore", serial=serial)
    return f"restore {serial}: {done.get('message', 'done')}"


# --- outside


def outside(history: History, rng: random.Random) -> str | None:
    """Let another tool edit what is live."""
    tool, scripts = history.tool, sorted(history.cloud.scripts())
    history.oracle.look()
    done: str | None = None
    if not scripts or rng.random() < 0.05:
        done = tool.add(rng.choice(("x1", "w2", "w3")), rng.choice(OTHERS_CLASSES))
    else:
        script = rng.choice(scripts)
        done = _edit(history, rng, script, tool.hosted(script))
    history.oracle.look(by_deploys=False)
    history.oracle.gone()
    history.count["outside edits"] += done is not None
    return done and f"another tool: {done}"


def misfortune(history: History, rng: random.Random) -> str | None:
    """Let another tool move classes while the state file is lost or older, and go on."""
    scripts = [s for s in sorted(history.cloud.scripts()) if history.tool.hosted(s)]
    if not scripts:
        return None
    script = rng.choice(scripts)
    hosted = history.tool.hosted(script)
    before = save(history, rng) if rng.random() < 0.4 else None
    if rng.random() < 0.3:
        deploy(history, rng)
    if len(hosted) > 1 and rng.random() < 0.7:
        done = history.tool.swap(script, *rng.sample(hosted, 2), follow=rng.random() < 0.5)
    else:
        done = history.tool.rename(script, rng.choice(hosted), "X9", follow=True)
    history.oracle.look(by_deploys=False)
    history.count["outside edits"] += 1
    after = put_back(history, rng) if before else lose(history, rng)
    history.log(f"      {before or ''} | another tool: {done} | {after}")
    history.settle(history.here)
    return "settle after that misfortune"


_ON_CLASSES = ("rename", "transfer", "drop", "swap", "add", "delete")
_EDITS = {
    **dict(zip(_ON_CLASSES, (4, 3, 0.7, 5, 1, 0.7), strict=True)),
    "same_code": 3,
    "other_code": 3,
    "settings": 2,
    "secret": 2,
    "triggers": 2,
    "strip_tags": 0.7,
    "split": 1.5,
}


def _edit(history: History, rng: random.Random, script: str, hosted: list[str]) -> str | None:
    kind = rng.choices(list(_EDITS), list(_EDITS.values()))[0]
    if kind in _ON_CLASSES:
        return _edit_classes(history, rng, script, hosted, kind)
    edit = getattr(history.tool, kind)
    given = {"other_code": (f"other {rng.randrange(100)}",), "same_code": (), "strip_tags": (), "split": ()}
    done: str | None = edit(script, *given.get(kind, (rng,)))
    return done


def _edit_classes(history: History, rng: random.Random, script: str, hosted: list[str], kind: str) -> str | None:
    tool = history.tool
    if kind == "add":
        return tool.add(script, rng.choice(OTHERS_CLASSES))
    if kind == "delete":
        _may_go(history, {(script, name) for name in hosted})
        return tool.delete(script)
    if len(hosted) < (2 if kind == "swap" else 1):
        return None
    name = rng.choice(hosted)
    if kind == "drop":
        _may_go(history, {(script, name)})
        return tool.drop(script, name)
    if kind == "transfer":
        others = sorted(s for s in history.cloud.scripts() if s != script)
        return tool.transfer(script, name, rng.choice(others)) if others else None
    if kind == "swap":
        return tool.swap(script, *rng.sample(hosted, 2), follow=rng.random() < 0.6)
    new = rng.choice([c for c in (*OTHERS_CLASSES, "K3", "K4") if c not in hosted])
    return tool.rename(script, name, new, follow=rng.random() < 0.7)


def _may_go(history: History, slots: set[tuple[str, str]]) -> None:
    for id_, slot in history.oracle.live.items():
        if slot in slots:
            history.oracle.spaces[id_].may_go = True


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
