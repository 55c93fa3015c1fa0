"""A short run of the random histories: `run.py` beside this file runs them for as long as one likes.

`HISTORY_SEEDS=7,8 HISTORY_STEPS=30 pytest tests/histories` runs others; a failure prints the line that runs it again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from oracle import Verdict
from resolver import advice, read
from run import again

if TYPE_CHECKING:
    from run import Bench

ASKED = os.environ.get("HISTORY_SEEDS")
SEEDS = tuple(
    pytest.param(seed, marks=() if ASKED or seed == 1 else pytest.mark.thorough)
    for seed in map(int, (ASKED or "1,2,3").split(","))
)
STEPS = int(os.environ.get("HISTORY_STEPS", "9"))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_exchanged_or_lost_and_there_is_no_dead_end(bench: Bench, seed: int) -> None:
    """Cells, deploys, kills, other tools and state files in random order: each ID keeps its objects, all settles."""
    ended = bench.run(seed, STEPS)
    assert not ended.verdict, "\n".join([*ended.lines, ended.verdict, again(ended, STEPS)])
    assert ended.count["settled"]
    assert ended.count["checks"]
    assert ended.unread == []


def test_an_exchange_by_another_tool_is_seen(bench: Bench) -> None:
    """The oracle is no yes-man: two classes swapped under a deployed Worker, it says whose objects are reached."""
    history = bench.begin(0)
    try:
        for class_name in ("K1", "K2"):
            history.declare("w1", class_name)
        history.settle(history.here)
        assert history.tool.swap("w1", "K1", "K2", follow=False)
        history.oracle.look()
        with pytest.raises(Verdict, match=r"exchanged: id-1 reaches .* of \['id-2'\]"):
            history.check(history.here)
        history.settle(history.here)  # the intact state file knows better
        assert history.tool.drop("w1", "K1")
        with pytest.raises(Verdict, match="lost: namespace"):
            history.oracle.look()
    finally:
        history.close()


def test_choices_are_read_as_they_are_printed() -> None:
    """What refusals print is understood: a choice in new words is seen in the run's report."""
    line = "%durable namespace beta --class B --script api --namespace-id 0123456789abcdef0123456789abcdef"
    effect = read(f"it is the one of class A (SQLite): {line}")
    assert effect is not None
    assert (effect.kind, effect.id, effect.value[:4]) == ("namespace_id", "beta", "0123")
    effect = read("run its cell: %durable namespace beta --class Room --script chat")
    assert effect is not None
    assert (effect.kind, effect.class_name, effect.script) == ("declare", "Room", "chat")
    effect = read('keep it where it is: nd.DurableObjectNamespace("a", script_name="w1", renamed_from="b")')
    assert effect is not None
    assert (effect.kind, effect.id, effect.value) == ("script", "a", "w1")
    effect = read('go on with exports: write lifecycle="exports" for Worker w3 (a.py:12)')
    assert effect is not None
    assert effect.kind == "exports"
    told = list(advice("changed. Go on with that copy; or bring this one up to date with %durable import w1; or plan"))
    assert [(e.kind, e.script) for e in told] == [("import", "w1")]
