"""Mutates the guards and lets the tests of their rooms find it: `python tests/mutants/mutate.py --sample 300`.

A seeded sample of all mutants (cosmic-ray's operators, and some of ours in its terms: see operators.py) is put one by
one into a copy of the tree, and meets the tests of its room that run its line (see covering.py). Each is killed by a
failing test, a time out or a failing import, or it survives and is printed as a diff. Run by hand; `--room plan` looks
at one room's part of the sample, `--only 3f2a` at one mutant by the start of its name.
"""

from __future__ import annotations

import argparse
import compileall
import difflib
import hashlib
import io
import json
import os
import py_compile
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from covering import Chosen, Recorder, Seen, order, read
from operators import operators
from rooms import ROOMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TREE = Path(__file__).resolve().parents[2]
KEPT = ("notebook_do", "tests", "notebooks", "pyproject.toml", "README.md", "LICENSE")
PATIENCE = 5
"""A mutant never ends, and counts as killed, when its tests take so many times the processor time that they take
without it, and 30 seconds, or when they only wait: so many times longer than they take right then without it."""
FIRST, MOST = 16, 200
"""How many tests a mutant meets at first, where most end, and in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one module."""

    room: str
    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        """Name it by what it is, whatever the sample."""
        text = f"{self.module}:{self.operator}:{self.occurrence}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def code(self) -> tuple[str, str]:
        """Give the module as it is, and changed."""
        before = (TREE / self.module).read_text()
        return before, str(mutate_code(before, operators()[self.operator], self.occurrence))

    def diff(self) -> str:
        """Show the change."""
        before, after = (text.splitlines() for text in self.code())
        lines = list(difflib.unified_diff(before, after, self.module, self.module, n=2, lineterm=""))[2:]
        return "\n".join((f"{self.name} {self.module}:{self.line} {self.operator}", *lines))


def mutants_of(room: str) -> Iterator[Mutant]:
    """List every mutant of a room, in the order of its modules; imports for types alone change nothing."""
    for pattern in ROOMS[room].modules:
        for path in sorted(TREE.glob(pattern)):
            nodes, lines = list(ast_nodes(get_ast_from_path(path))), path.read_text().splitlines()
            for name, operator in operators().items():
                places = (place for node in nodes for place in operator.mutation_positions(node))
                for occurrence, (start, _) in enumerate(places):
                    if lines[start[0] - 1] != "if TYPE_CHECKING:":
                        yield Mutant(
                            room=room,
                            module=str(path.relative_to(TREE)),
                            operator=name,
                            occurrence=occurrence,
                            line=start[0],
                        )


def sample_of(rooms: list[str], size: int, seed: int) -> list[Mutant]:
    """Draw mutants of each room, of `size` as many as are its share among all rooms."""
    chosen: list[Mutant] = []
    shares = sum(room.share for room in ROOMS.values())
    for room in rooms:
        every = list(mutants_of(room))
        wanted = min(len(every), -(-size * ROOMS[room].share // shares))
        chosen += random.Random(f"{seed}:{room}").sample(every, wanted)
    return chosen


class Bench:
    """A copy of the tree in which one mutant at a time lives."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ndm-"))
        for name in KEPT:
            if (TREE / name).is_dir():
                shutil.copytree(TREE / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(TREE / name, self.path / name)
        with redirect_stdout(io.StringIO()):  # by hash: a mutant has its original's size and nearly its time
            compileall.compile_dir(self.path, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    def survives(self, mutant: Mutant, seen: list[Seen]) -> str:
        """Return how it ended: killed among the first tests, or later, or never; or it survived."""
        before, after = mutant.code()
        tests = order(seen, before, mutant.module, mutant.line)[:MOST]
        seconds, cpu = {s.test: s.seconds for s in tests}, {s.test: s.cpu or s.seconds for s in tests}
        files = [[s.test for s in tests[:FIRST]], [s.test for s in tests[FIRST:]], list(ROOMS[mutant.room].beyond)]
        for number, chosen in enumerate(files, start=1):
            if not chosen:
                continue
            limit = 30 + PATIENCE * sum(seconds.get(test, 60) for test in chosen)
            used = 30 + PATIENCE * sum(cpu.get(test, 60) for test in chosen)
            while (ended := self._with(mutant.module, after, before, chosen, limit, used)) == "late":
                begun = time.monotonic()
                self.run(chosen)
                slower = 30 + PATIENCE * (time.monotonic() - begun)
                if slower <= limit:
                    return "killed late"
                limit = slower
            if ended == -signal.SIGXCPU:
                return "killed late"
            if ended != 0:
                return f"killed in {number}"
        return "survived" if tests else "survived, and no test runs it"

    def _with(
        self, module: str, after: str, before: str, tests: list[str], limit: float, cpu: float = 600.0
    ) -> int | str:
        place = self.path / module
        place.write_text(after)
        try:
            return self.run(tests, limit, cpu)
        finally:
            place.write_text(before)

    def run(self, tests: list[str], limit: float = 3600.0, cpu: float = 3600.0) -> int | str:
        """Run tests, or whole files, in a fork; "late" when they do not end in time, killed when they use too much."""
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        chosen = Chosen(tests)
        return self.fork(files, lambda: [chosen] if "::" in tests[0] else [], limit, cpu)

    def record(self, room: str) -> list[Seen]:
        """Run every test of a room on what nobody changed, and note what it runs. All must pass: else all is killed."""
        output = self.path / "seen.json"
        if self.fork(list(ROOMS[room].tests), lambda: [Recorder(self.path, ROOMS[room].modules, output)]) != 0:
            raise SystemExit((self.path / "output").read_text()[-4000:])
        return read(output)

    def fork(
        self, files: list[str], plugins: Callable[[], list[Any]], limit: float = 3600.0, cpu: float = 3600.0
    ) -> int | str:
        """Run pytest in a fork of this process, which has imported what tests need but nothing of the tree."""
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu), int(cpu) + 10))
            self._be_pytest(files, plugins)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._end(pid)
                if (code := os.waitstatus_to_exitcode(status)) == pytest.ExitCode.NO_TESTS_COLLECTED:
                    raise SystemExit(f"no test was found in {files}")
                return code
            time.sleep(0.02)
        self._end(pid)
        os.waitpid(pid, 0)
        return "late"

    def _be_pytest(self, files: list[str], plugins: Callable[[], list[Any]]) -> None:
        try:
            os.chdir(self.path)
            sys.path.insert(0, str(self.path))
            os.environ |= {"PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1"}
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            sys.dont_write_bytecode = True
            with (self.path / "output").open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            arguments = ["-x", "-q", "--tb=short", "--assert=plain", "-p", "no:cacheprovider", *files]
            code = int(pytest.main(arguments, plugins=plugins()))
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            code = 70
        os._exit(code)

    @staticmethod
    def _end(group: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.path, ignore_errors=True)


def load() -> None:
    """Import what every fork would import."""
    for name in ("hypothesis", "httpx", "pandas", "IPython", "starlette.applications", "uvicorn"):
        import_module(name)


def work(mutants: list[Mutant], maps: Path) -> None:
    """Try mutants one after another; print one JSON line each."""
    load()
    seen = {room: read(maps / f"{room}.json") for room in {m.room for m in mutants}}
    bench = Bench()
    try:
        for mutant in mutants:
            begun = time.monotonic()
            ended = bench.survives(mutant, seen[mutant.room])
            say(json.dumps([mutant.name, ended, round(time.monotonic() - begun, 1)]))
    finally:
        bench.close()


def side_by_side(mutants: list[Mutant], command: list[str], workers: int) -> dict[str, str]:
    """Try mutants in several processes; give how each ended, by name."""
    by_name = {m.name: m for m in mutants}
    ended: dict[str, str] = {}
    running = [
        subprocess.Popen(
            [sys.executable, __file__, *command, "--part", f"{n}/{workers}"], stdout=subprocess.PIPE, text=True
        )
        for n in range(workers)
    ]

    def listen(process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            name, how, seconds = json.loads(line)
            ended[name] = how
            say(f"{len(ended):4}/{len(mutants)} {how:13} {seconds:6.1f} s  {by_name[name].module}:{by_name[name].line}")
            if how.startswith("survived"):
                say(by_name[name].diff())

    threads = [threading.Thread(target=listen, args=[p]) for p in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def record(rooms: list[str], maps: Path) -> None:
    """Write down which tests of each room run which lines, where `maps` does not hold it yet."""
    load()
    bench = Bench()
    try:
        for room in rooms:
            if (path := maps / f"{room}.json").exists():
                continue
            seen = bench.record(room)
            path.write_text(json.dumps([asdict(s) for s in seen]))
            say(f"{room}: {len(seen)} tests pass on what is not changed, in {sum(s.seconds for s in seen):.0f} s")
    finally:
        bench.close()


def report(mutants: list[Mutant], ended: dict[str, str]) -> bool:
    """Print the figures by room; True where at least 95 % are killed and none was left out."""
    for room in [*dict.fromkeys(m.room for m in mutants), ""]:
        mine = [ended.get(m.name, "not tried") for m in mutants if room in {"", m.room}]
        killed = sum(how.startswith("killed") for how in mine)
        say(f"{room or 'all':8} {killed} of {len(mine)} killed ({100 * killed / max(1, len(mine)):.1f} %)")
    survivors = [m for m in mutants if ended.get(m.name, "").startswith("survived")]
    say("survivors: " + (" ".join(f"{m.name} {m.module}:{m.line}" for m in survivors) or "none"))
    return len(survivors) <= 0.05 * len(mutants) and len(ended) == len(mutants)


def say(text: str) -> None:
    """Print a line now."""
    print(text, flush=True)  # noqa: T201 - a program that reports


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--room", choices=list(ROOMS), action="append")
    parser.add_argument("--only", action="append", default=[], help="mutants by the start of their names")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="show the sample, and try none")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--maps", type=Path, help="a directory that keeps which tests run which lines from run to run")
    given = parser.parse_args()
    rooms = given.room or list(ROOMS)
    if given.only:
        mutants = [m for room in rooms for m in mutants_of(room) if m.name.startswith(tuple(given.only))]
    else:
        mutants = sample_of(rooms, given.sample, given.seed)
    if given.part:
        part, workers = map(int, given.part.split("/"))
        work(mutants[part::workers], given.maps)
        return 0
    if given.list:
        for mutant in mutants:
            say(mutant.diff())
        return 0
    with tempfile.TemporaryDirectory(prefix="ndm-maps-") as fresh:
        maps = given.maps or Path(fresh)
        maps.mkdir(parents=True, exist_ok=True)
        record([*dict.fromkeys(m.room for m in mutants)], maps)
        ended = side_by_side(mutants, [*sys.argv[1:], "--maps", str(maps)], min(given.workers, len(mutants)))
    return 0 if report(mutants, ended) else 1


if __name__ == "__main__":
    raise SystemExit(main())
