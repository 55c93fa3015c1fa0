"""Runs random histories by seed: `python tests/histories/run.py --minutes 30 --workers 2`.

A failure prints its history and the one line that runs it again; `--shrink` then leaves out the steps that it does not
need. Timed kills can fall a little differently in a second run; everything else is drawn from the seed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from history import History
from kernels import Cloud, Nursery
from oracle import Verdict
from steps import begin, take
from wrangler_tool import Wrangler

STEPS = 30
KINDS = ("exchanged", "lost", "dead end", "misjudged", "broken", "traceback", "secret", "harness")
FRESH = 12
"""After so many histories a worker begins with another server and another data directory."""


@dataclass(slots=True)
class Ended:
    """How one history ended."""

    seed: int
    verdict: str = ""
    lines: list[str] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


class Bench:
    """Where histories run one after another: a nursery of kernels and a local Cloudflare."""

    def __init__(self, wrangler: Wrangler | None = None) -> None:
        self.wrangler = wrangler
        self.folder = Path(tempfile.mkdtemp(prefix="ndh-"))
        self.nursery, self.cloud = Nursery(), Cloud(self.folder / "data")

    def begin(self, seed: int) -> History:
        """Give a history on an empty account."""
        self.cloud.revive()
        self.cloud.empty()
        history = History(seed, self.nursery, self.cloud, Path(tempfile.mkdtemp(prefix="h-", dir=self.folder)))
        history.wrangler = self.wrangler
        return history

    def run(self, seed: int, steps: int = STEPS, without: frozenset[int] = frozenset()) -> Ended:
        """Run one history from an empty account."""
        history = self.begin(seed)
        ended = Ended(seed=seed, lines=history.lines, count=history.count, unread=history.unread)
        try:
            begin(history)
            for number in range(steps):
                if number not in without:
                    take(history, number)
            history.finish()
        except Verdict as verdict:
            ended.verdict = str(verdict)
            history.count[verdict.kind] += 1
        except Exception:  # noqa: BLE001 - a fault of the history itself ends it, and not the run
            ended.verdict = f"harness: {traceback.format_exc()}"
            history.count["harness"] += 1
        finally:
            history.close()
            shutil.rmtree(history.folder, ignore_errors=True)
        history.count["histories"] += 1
        return ended

    def close(self) -> None:
        """Stop everything."""
        self.nursery.close()
        self.cloud.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def again(ended: Ended, steps: int, without: frozenset[int] = frozenset()) -> str:
    """Give the line that runs a history again."""
    left_out = f" --without {','.join(map(str, sorted(without)))}" if without else ""
    return f"python tests/histories/run.py --seed {ended.seed} --steps {steps}{left_out}"


def shrink(bench: Bench, ended: Ended, steps: int, without: frozenset[int]) -> tuple[int, frozenset[int], Ended]:
    """Leave out what the verdict does not need: the end first, then step after step."""
    kind = ended.verdict.partition(":")[0]

    def fails(steps_: int, without_: frozenset[int]) -> Ended | None:
        found = bench.run(ended.seed, steps_, without_)
        return found if found.verdict.startswith(kind) else None

    low, high = 0, steps
    while low < high:
        if found := fails((low + high) // 2, without):
            high, ended = (low + high) // 2, found
        else:
            low = (low + high) // 2 + 1
    steps = high
    size = max(1, steps // 2)
    while size:
        for start in range(0, steps, size):
            chunk = frozenset(range(start, min(start + size, steps)))
            if not chunk <= without and (found := fails(steps, without | chunk)):
                without, ended = without | chunk, found
        size //= 2
    return steps, without, ended


def show(ended: Ended, steps: int, without: frozenset[int]) -> None:
    """Print one history."""
    print("\n".join(ended.lines))  # noqa: T201 - a program that reports
    print(f"{'FAILED ' + ended.verdict if ended.verdict else 'fine'}\n  {again(ended, steps, without)}")  # noqa: T201 - a program that reports


def work(seed: int, minutes: float, steps: int) -> None:
    """Run histories from `seed` on until the time is over; print one JSON line each."""
    end, bench, done = time.monotonic() + minutes * 60, Bench(Wrangler.installed()), 0
    try:
        while time.monotonic() < end:
            if done and done % FRESH == 0:
                bench.close()
                bench = Bench(Wrangler.installed())
            ended = bench.run(seed + done, steps)
            done += 1
            print(json.dumps([ended.seed, ended.verdict, ended.lines, ended.count, ended.unread]), flush=True)  # noqa: T201 - a program that reports
    finally:
        bench.close()


def side_by_side(seed: int, minutes: float, steps: int, workers: int) -> bool:
    """Run several workers; print failures as they come and the counts at the end. True when all is well."""
    begun, total, unread = time.monotonic(), Counter[str](), Counter[str]()
    command = [sys.executable, __file__, "--minutes", str(minutes), "--steps", str(steps), "--lines", "--seed"]
    running = [
        subprocess.Popen([*command, str(seed + 100_000 * n)], stdout=subprocess.PIPE, text=True) for n in range(workers)
    ]

    def listen(process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            ended = Ended(*json.loads(line))
            total.update(ended.count)
            unread.update(ended.unread)
            if ended.verdict:
                print("\n".join([*ended.lines, f"FAILED {ended.verdict}", f"  {again(ended, steps)}", ""]), flush=True)  # noqa: T201 - a program that reports

    threads = [threading.Thread(target=listen, args=[p]) for p in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    report(total, unread, seconds)
    crashed = [p.wait() for p in running]
    return not any(crashed) and not any(total[kind] for kind in KINDS)


def report(total: Counter[str], unread: Counter[str], seconds: float) -> None:
    """Print the counts."""
    print(f"{total['histories']} histories, {total['steps']} steps in {seconds / 60:.1f} min")  # noqa: T201 - a program that reports
    print(", ".join(f"{total[kind]} {kind}" for kind in KINDS))  # noqa: T201 - a program that reports
    for name, number in sorted(total.items()):
        print(f"  {number:6} {name}")  # noqa: T201 - a program that reports
    for choice, number in unread.most_common(20):
        print(f"  not understood {number} times: {choice}")  # noqa: T201 - a program that reports


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--without", default="", help="numbers of steps to leave out")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--lines", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lines:
        work(given.seed, given.minutes, given.steps)
        return 0
    if given.minutes:
        return 0 if side_by_side(given.seed, given.minutes, given.steps, given.workers) else 1
    without, bench = frozenset(int(n) for n in given.without.split(",") if n), Bench(Wrangler.installed())
    try:
        steps, ended = given.steps, bench.run(given.seed, given.steps, without)
        if given.shrink and ended.verdict:
            steps, without, ended = shrink(bench, ended, steps, without)
        show(ended, steps, without)
        report(ended.count, Counter(ended.unread), 0)
        return 1 if ended.verdict else 0
    finally:
        bench.close()


if __name__ == "__main__":
    raise SystemExit(main())
