"""Steps of a history in which another tool edits what is live: by raw API calls, or by the real wrangler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outside import OTHERS_CLASSES
from steps_files import lose, put_back, save

if TYPE_CHECKING:
    import random

    from history import History


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
    history.oracle.look(done or "")
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
    if rng.random() < 0.3:  # so that the file which is put back is older than what is live
        history.declare(script, rng.choice(["K4", "K5", "K6"]))
        history.settle(history.here)
    history.oracle.look()  # what a killed kernel sent may only be there by now
    if len(hosted) > 1 and rng.random() < 0.7:
        done = history.tool.swap(script, *rng.sample(hosted, 2), follow=rng.random() < 0.5)
    else:
        done = history.tool.rename(script, rng.choice(hosted), "X9", follow=True)
    history.oracle.look(done or "")
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


def wrangler(history: History, rng: random.Random) -> str | None:
    """Let the real wrangler work on the account, where the run has one."""
    if history.wrangler is None:
        return None
    history.oracle.look()
    done = history.wrangler.work(history, rng)
    history.oracle.look(done or "")
    history.oracle.gone()
    history.count["wrangler runs"] += done is not None
    return done and f"wrangler: {done}"
