"""A real process, killed at every one of its effects: one rerun reaches a clean plan, and no object is lost."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from account_model import ACCOUNT, TOKEN, Account
from canary import hits

from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from processes import Runner, Served


@dataclass
class Trial:
    """One directory, one account, and the orders to run on them."""

    path: Path
    served: Served
    runner: Runner
    form: str
    at_once: int = 4

    def run(self, *, at: int = 0, phase: str = "before", stage: int = 0, **more: Any) -> int:
        """Go through the stages, killed at effect `at`."""
        return self.runner.run(
            {
                "state": str(self.path / "p" / "state.json"),
                "log": str(self.path / "log"),
                "progress": str(self.path / "progress"),
                "error": str(self.path / "error"),
                "base": self.served.url,
                "account": ACCOUNT,
                "token": TOKEN,
                "form": self.form,
                "at_once": self.at_once,
                "at": at,
                "phase": phase,
                "stage": stage,
                **more,
            }
        )

    def effects(self) -> list[str]:
        """Give the effects of the last run, in order."""
        return (self.path / "log").read_text().splitlines()

    def stage(self) -> int:
        """Give the stage that was under way when the last run ended."""
        progress = self.path / "progress"
        return int(progress.read_text()) if progress.exists() else 0

    def told(self) -> str:
        """Give the error of a child that did not end well."""
        error = self.path / "error"
        return error.read_text() if error.exists() else ""

    def check(self, first_ids: dict[str, str]) -> None:
        """P1, P4, P9: every namespace has the id it was made with, each migration ran once, no file has the token."""
        for path in self.path.rglob("*"):
            assert not path.is_file() or hits(path.read_bytes(), (TOKEN,)) == [], path
        account = self.served.account
        recorded = StateFile(self.path / "p" / "state.json").load()
        live = {n.stable_id: str(n.namespace_id) for n in recorded.namespaces}
        assert {n["script"] + "/" + n["class"] for n in account.namespaces.values()} == {"one/A2", "one/D", "two/C"}
        assert set(live.values()) == set(account.namespaces)
        assert len(account.namespaces) + 1 == account.ids == 4, "a namespace was created twice, or lost"
        assert [t.stable_id for t in recorded.tombstones] == ["b"]
        applied = [json.dumps(m, sort_keys=True) for m in account.migrations_applied]
        assert len(applied) == len(set(applied))
        assert live.items() <= first_ids.items() or not first_ids


def trial_of(path: Path, served: Served, runner: Runner, form: str, at_once: int = 4) -> Trial:
    """Begin with an empty account and directory."""
    path.mkdir()
    served.account = Account()
    return Trial(path, served, runner, form, at_once)


def points_of(effects: list[str]) -> list[tuple[int, str]]:
    """List every (effect, phase): before and after each, and each write torn at several lengths."""
    torn = ("torn1", "torn64", "torn512")
    return [
        (number, phase)
        for number, what in enumerate(effects, start=1)
        for phase in ("before", "after", *(torn if what == "disk write" else ()))
    ]


def survive(begin: Callable[[str], Trial], points: list[tuple[int, str]]) -> None:
    """Kill at each point, then go on from the stage that was under way: one rerun has to reach a clean plan."""
    for at, phase in points:
        trial = begin(f"{at}-{phase}")
        assert trial.run(at=at, phase=phase) == -9, (at, phase, trial.told())
        stage = trial.stage()
        assert trial.run(stage=stage) == 0, (at, phase, stage, trial.told())
        trial.check({})
        shutil.rmtree(trial.path)


SOME_OR_ALL = pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.thorough)])
"""By default a kill at each seventeenth mutation, and at few of the others."""


@pytest.fixture(params=["migrations", pytest.param("exports", marks=pytest.mark.thorough)])
def form(request: pytest.FixtureRequest) -> str:
    """Both forms of class migrations."""
    return str(request.param)


@SOME_OR_ALL
def test_f30_killed_at_every_request(tmp_path: Path, served: Served, runner: Runner, form: str, every: int) -> None:
    """F30, F41, P1, P4, P5: killed before any request, or between its commit and its answer, one rerun ends it."""
    reference = trial_of(tmp_path / "reference", served, runner, form)
    assert reference.run() == 0, reference.told()
    reference.check({})
    effects = reference.effects()
    points = [(n, p) for n, p in points_of(effects) if effects[n - 1].startswith("net ")]
    changing = [(n, p) for n, p in points if not effects[n - 1].startswith("net GET")]
    assert len(changing) >= 2 * 9
    reading = [p for p in points if p not in changing]
    survive(lambda name: trial_of(tmp_path / name, served, runner, form), changing[::every] + reading[:: 2 * every**2])


@SOME_OR_ALL
def test_f30_killed_at_some_writes(tmp_path: Path, served: Served, runner: Runner, form: str, every: int) -> None:
    """F30, F50: killed at some effects on the disk, torn writes included, one rerun ends it."""
    reference = trial_of(tmp_path / "reference", served, runner, form)
    assert reference.run() == 0, reference.told()
    effects = reference.effects()
    points = [(n, p) for n, p in points_of(effects) if effects[n - 1].startswith("disk ")]
    survive(
        lambda name: trial_of(tmp_path / name, served, runner, form), points[:: every**2 * max(1, len(points) // 40)]
    )


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.thorough)])
def test_f30_killed_between_an_outcome_and_the_state(
    tmp_path: Path, served: Served, runner: Runner, form: str, every: int
) -> None:
    """F30, issue 13.4: killed when the journal has the outcomes of a wave and the state file has not, or just has."""
    reference = trial_of(tmp_path / "reference", served, runner, form)
    assert reference.run() == 0, reference.told()
    effects = reference.effects()
    saves = [n for n, what in enumerate(effects, start=1) if what == "disk replace state.json"]
    assert len(saves) >= 8
    # From the line of the last outcome to the line that says that the state file has it: in every wave.
    points = [(n + more, phase) for n in saves for more in (-1, 0, 1, 2) for phase in ("before", "after")]
    survive(lambda name: trial_of(tmp_path / name, served, runner, form), points[::every])


@pytest.mark.exhaustive
@pytest.mark.parametrize("at_once", [1, 4])
def test_f30_killed_everywhere(tmp_path: Path, served: Served, runner: Runner, form: str, at_once: int) -> None:
    """F30: the whole enumeration: every effect, before and after, every write torn at three lengths.

    Steps that run together have their effects in another order each time, and always the same number of them.
    """
    reference = trial_of(tmp_path / "reference", served, runner, form, at_once)
    assert reference.run() == 0, reference.told()
    effects = reference.effects()
    print(f"{form}, {at_once} at once: {len(effects)} effects, {len(points_of(effects))} points")  # noqa: T201 - for -s
    survive(lambda name: trial_of(tmp_path / name, served, runner, form, at_once), points_of(effects))
    beyond = trial_of(tmp_path / "beyond", served, runner, form, at_once)
    assert beyond.run(at=len(effects) + 1) == 0, "the enumeration did not reach the end"


def survive_twice(once: Trial, at: int, phase: str, seconds: range) -> int:
    """Kill at one point, and then again at each of `seconds` of the rerun: the run after that ends it. Counts pairs."""
    assert once.run(at=at, phase=phase) == -9, (at, phase, once.told())
    served, account = once.served, once.served.account
    for pairs, second in enumerate(seconds):
        again = Trial(once.path.with_name(f"{once.path.name}-{second}"), served, once.runner, once.form, once.at_once)
        shutil.copytree(once.path, again.path)
        served.account = copy.deepcopy(account)
        code = again.run(at=second, phase="before", stage=again.stage())
        assert code in (0, -9), (at, phase, second, again.told())
        if code == 0:
            return pairs  # the rerun has fewer effects than that
        assert again.run(stage=again.stage()) == 0, (at, phase, second, again.told())
        again.check({})
        shutil.rmtree(again.path)
    return len(seconds)


@pytest.mark.parametrize(
    ("stride", "seconds"),
    [
        (29, range(1, 60, 30)),
        pytest.param(7, range(1, 60, 9), marks=pytest.mark.thorough),
        pytest.param(1, range(1, 10_000), marks=pytest.mark.exhaustive),
    ],
)
def test_f30_killed_twice(
    tmp_path: Path, served: Served, runner: Runner, form: str, stride: int, seconds: range
) -> None:
    """F30: killed at a mutation and again while it recovers, at every effect of the rerun, one more rerun ends it."""
    reference = trial_of(tmp_path / "reference", served, runner, form)
    assert reference.run() == 0, reference.told()
    effects = reference.effects()
    firsts = [(n, p) for n, p in points_of(effects) if effects[n - 1].startswith(("net PUT", "net POST"))]
    assert len(firsts) >= 2 * 9
    pairs = [
        survive_twice(trial_of(tmp_path / f"{n}-{p}", served, runner, form), n, p, seconds) for n, p in firsts[::stride]
    ]
    assert all(pairs)
    print(f"{form}: {len(pairs)} first points, {sum(pairs)} pairs")  # noqa: T201 - for -s
