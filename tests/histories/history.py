"""One random history: directories with notebooks, kernels that are killed, one account, and an oracle that watches."""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))

from book import Book, Work, binding_of
from book import Space as Cell
from canary import hits
from kernels import KILLED, Kernel
from oracle import Oracle, Verdict
from outside import Tool
from resolver import Effect, Reader, advice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kernels import Cloud, Nursery
    from wrangler_tool import Wrangler

TURNS = 20
"""How many times a user plans, chooses and deploys before he gives up."""


@dataclass(slots=True)
class Place:
    """One directory: its cells, its kernel, and what the user is about to destroy."""

    path: Path
    book: Book = field(default_factory=Book)
    kernel: Kernel | None = None
    destroying: set[str] = field(default_factory=set)
    saved: list[tuple[Path, Book]] = field(default_factory=list)
    """Copies of the whole directory, made earlier."""
    intact: bool = True
    """Nobody lost, copied or replaced its state file."""

    @property
    def state(self) -> Path:
        """The directory of the state file."""
        return self.path / ".notebook_do"


class History:
    """A history under way."""

    def __init__(self, seed: int, nursery: Nursery, cloud: Cloud, folder: Path) -> None:
        self.seed, self.nursery, self.cloud, self.folder = seed, nursery, cloud, folder
        self.rng = random.Random(f"{seed}:begin")
        self.secret = f"s3cret-{self.rng.getrandbits(64):016x}-value"
        self.secrets = [self.secret]
        self.oracle = Oracle(cloud, f"t{seed}")
        self.tool = Tool(cloud)
        self.wrangler: Wrangler | None = None
        self.places: list[Place] = []
        self.here = self.place("a")
        self.granted: set[tuple[str, str]] = set()
        self.unread: list[str] = []
        self.lines: list[str] = []
        self.count: Counter[str] = Counter()
        self.made = 0
        self.clock = 0.0

    # --- plain things

    def place(self, name: str) -> Place:
        """Begin in an empty directory."""
        made = Place(self.folder / name)
        made.path.mkdir(parents=True)
        self.places.append(made)
        return made

    def log(self, text: str) -> None:
        """Note a line of the history."""
        self.lines.append(text)

    def fresh(self) -> str:
        """Give a stable ID that never was."""
        self.made += 1
        return f"id-{self.made}"

    def declare(self, script: str, class_name: str) -> str:
        """Write the cells of a new namespace, and of its Worker if it has none."""
        id_ = self.fresh()
        self.here.book.spaces[id_] = Cell(script=script, class_name=class_name)
        self.here.book.works.setdefault(script, Work())
        return id_

    def close(self) -> None:
        """Leave the directories to the caller, and no kernel alive."""
        for place in self.places:
            self.end_kernel(place)

    # --- the kernel

    def end_kernel(self, place: Place) -> None:
        """End the kernel of a directory, as a restart does."""
        if place.kernel is not None:
            place.kernel.close()
            place.kernel = None

    def ask(self, place: Place, do: str, *, kill: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        """Order something of the directory's kernel, a new one where there is none; no crash, no secret comes back."""
        if place.kernel is None or not place.kernel.alive:
            place.kernel = Kernel(self.nursery, place.path, self.cloud.data, self.secret, self.clock)
        answer = place.kernel.ask(do, kill=kill, **given)
        if crash := answer.get("crash"):
            raise Verdict("traceback", f"{do}: {crash}")
        if found := hits(repr(answer), tuple(self.secrets)):
            raise Verdict("secret", f"{do} answers a secret ({found[0]})")
        if place.intact and "another copy of this state file" in answer.get("message", ""):
            raise Verdict("misjudged", f"there is no other copy: {answer['message']}")
        if answer == KILLED:
            place.kernel = None
            self.count["kernel killed"] += 1
        return answer

    # --- plan and deploy

    def plan(self, place: Place, *, kill: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run all cells and plan; refusals are counted, and an empty plan must be true."""
        place.book.tidy()
        declared = self.ask(place, "declare", **place.book.cells())
        if "error" in declared:
            raise Verdict("broken", f"the history's own cells: {declared['message']}")
        if declared == KILLED:
            return declared
        plan = self.ask(place, "plan", kill=kill, destroy=sorted(place.destroying))
        self.count["plans"] += 1
        for refusal in plan.get("refusals", []):
            self.count[f"refusal {refusal['code']}"] += 1
        if plan.get("error") == "DeclarationError":
            raise Verdict("harness", plan["message"])
        if "error" in plan:
            self.count[f"error {plan['error']}"] += 1
        self.count["plans that do not know yet"] += bool(plan.get("undecided"))
        if plan.get("empty") and not (plan["refusals"] or plan["undecided"] or place.destroying):
            self.oracle.look()
            self.check(place)
        return plan

    def deploy(
        self,
        place: Place,
        plan: dict[str, Any],
        *,
        kill: dict[str, Any] | None = None,
        beside: Callable[[], Any] | None = None,
    ) -> dict[str, Any]:
        """Press Deploy; whatever happens, nothing may be lost, and success must be true."""
        self.count["deploys"] += 1
        self.oracle.beginning(place.book.slots())
        self.oracle.told = self.known_ids(place)
        for consent in plan["consents"]:
            if space := self.oracle.spaces.get(consent["namespace_id"]):
                space.may_go = True
        for id_ in place.book.spaces:
            former = place.book.former(id_)
            if former and (space := self.oracle.home(former)) and self.oracle.home(id_) is None:
                space.names.append(id_)  # the user's own explicit choice; until it is deployed both names are right
        other = threading.Thread(target=beside) if beside else None
        if other:
            other.start()
        done = self.ask(place, "deploy", kill=kill, confirm=[c["phrase"] for c in plan["consents"]])
        if other:
            other.join()
            self.cloud.revive()
        self.oracle.look()
        if "outcomes" in done and "error" not in done:
            self.oracle.gone()
            whole = not place.destroying  # what only destroys or forgets leaves the rest to the next plan
            place.destroying.clear()
            if beside is None and whole:
                self.check(place, besides=plan["undecided"])
        elif "error" in done:
            self.count[f"error {done['error']}"] += 1
        return done

    def check(self, place: Place, besides: Collection[str] = ()) -> None:
        """Let every declared stable ID reach its own objects, but for Workers that the plan left out."""
        for id_, cell in place.book.spaces.items():
            if cell.script in place.book.works and cell.script not in besides:
                granted = [n for s, n in self.granted if s == id_]
                self.oracle.check(id_, cell.script, binding_of(id_), granted)
                self.count["checks"] += 1

    # --- import

    def adopt_live(self, place: Place, *scripts: str, kill: dict[str, Any] | None = None) -> dict[str, Any]:
        """Import Workers; the cells it writes take the place of those of the same Workers."""
        self.oracle.look()
        before = self.known_ids(place)
        found = self.ask(place, "import", kill=kill, workers=list(scripts))
        self.count["imports"] += 1
        if "namespaces" not in found:
            return found
        self.oracle.look()  # an upload of a killed kernel may have been admitted meanwhile
        for space in found["namespaces"]:
            here = self.oracle.spaces[space["namespace_id"]]
            if here.id not in before and not self.is_marked(space["script"]):
                # Nothing tells what it was: as with a Worker that he adopts, he goes by the classes of his cells.
                self.granted.add((space["id"], here.id))
                self.oracle.grant(space["id"], here)
            own = self.oracle.home(space["id"])
            if own is not None and own is not here:
                raise Verdict("exchanged", f"import gives {space['id']} to {here.id}; its own is {own.id}")
            if space["id"] not in here.names:
                here.names.append(space["id"])
        self._paste(place.book, found)
        return found

    def _paste(self, book: Book, found: dict[str, Any]) -> None:
        for script in found["workers"]:
            book.works.setdefault(script, Work())
            for id_, cell in list(book.spaces.items()):
                if cell.script == script and (self.oracle.home(id_) or cell.class_name in self.tool.hosted(script)):
                    del book.spaces[id_]
        for space in found["namespaces"]:
            if space["script"] not in book.works:
                continue
            slot = (space["script"], space["class_name"])
            earlier = self.oracle.spaces[space["namespace_id"]].names  # its cells under other stable IDs are old
            for id_, declared in list(book.spaces.items()):
                if (declared.script, declared.class_name) == slot or {id_, book.renamings.get(id_)} & {*earlier}:
                    del book.spaces[id_]
            cell = Cell(script=slot[0], class_name=slot[1], namespace_id=space["namespace_id"])
            book.spaces[space["id"]] = cell

    def is_marked(self, script: str) -> bool:
        """Say whether a Worker bears a mark of the session."""
        tags = (self.cloud.scripts().get(script) or {}).get("tags") or []
        return any(tag.startswith("ndo:do:app:") for tag in tags)

    @staticmethod
    def known_ids(place: Place) -> str:
        """Give all that the state files of a directory say."""
        return "".join(path.read_text(errors="replace") for path in place.path.rglob("state.json"))

    # --- until it is settled

    def settle(self, place: Place) -> None:
        """Do what the tool says until nothing is left to do; a user who cannot get there is at a dead end."""
        said: list[str] = []
        tried: dict[str, list[Effect]] = {}
        for turn in range(TURNS):
            plan = self.plan(place)
            if plan == KILLED:  # by the timer of an earlier deploy
                said.append("the kernel was killed")
            elif "error" in plan:
                said.append(f"{plan['error']}: {plan['message']}")
                self.heed(place, plan["message"], turn)
            elif plan["refusals"]:
                before = tried.setdefault(json.dumps(plan["refusals"], sort_keys=True), [])
                said += self._choose(place, plan["refusals"], before)
            elif plan["undecided"] and plan["empty"]:
                said.append(f"not known yet: {plan['undecided']}")
                time.sleep(0.05 * turn) if turn < 4 else self.later(place)
            elif plan["empty"]:
                self.count["settled"] += 1
                return
            elif not self._says_more(place, plan["warnings"]):
                done = self.deploy(place, plan)
                said.append(f"deploy {plan['steps']}: {done.get('message', 'done')}")
                if "error" in done:
                    self.heed(place, done["message"], turn)
        raise Verdict("dead end", "\n    ".join([f"{place.path.name} after {TURNS} turns", *said]))

    def _choose(self, place: Place, refusals: list[dict[str, Any]], tried: list[Effect]) -> list[str]:
        """Follow one choice of one refusal, for it may answer the others too; nothing is tried twice at one place."""
        from following import follow

        said: list[str] = []
        reader = Reader(book=place.book, oracle=self.oracle, chance=self.rng.random, unread=self.unread)
        if any(r["code"] == "unknown-destroy" for r in refusals):
            place.destroying.clear()
        again = [e for e in tried if e.kind not in {"again", "wait"}]
        chosen = [(r, reader.choose(r, again)) for r in refusals]
        # What is true is the first that he does, and what he does not like the last.
        chosen.sort(key=lambda c: (c[1] is None, -reader.truth(c[1]) if c[1] else 0))
        for refusal, effect in chosen:
            said.append(f"{refusal['code']}: {refusal['message']} -> {effect.text if effect else 'no choice'}")
            if effect:
                tried.append(effect)
                if follow(self, place, effect, refusal):
                    break
        return said

    def _says_more(self, place: Place, warnings: list[str]) -> bool:
        """Name the objects of what would begin empty, its former stable ID being unknown; False if there are none."""
        from following import own

        for found in (re.search(r"not known here; (\S+) begins empty", w) for w in warnings):
            cell = place.book.spaces.get(found[1]) if found else None
            space = own(self, place, found[1]) if found else None
            if cell and space and not any(c.namespace_id == space.id for c in place.book.spaces.values()):
                cell.namespace_id = space.id
                return True
        return False

    def heed(self, place: Place, message: str, turn: int) -> None:
        """Do what an error says."""
        self.cloud.revive()
        for effect in advice(message):
            if effect.kind == "import":
                self.adopt_live(place, effect.script)
                return
            if effect.kind == "wait" and turn > 1:
                self.later(place)
                return
            if effect.kind == "exports":
                place.book.works[effect.script].lifecycle = "exports"
                return
        time.sleep(0.05 * turn)

    def later(self, place: Place) -> None:
        """Let more than ten minutes pass."""
        self.clock += 660.0
        self.end_kernel(place)

    # --- the end

    def finish(self) -> None:
        """Settle every directory, each in its turn, and look at everything once more."""
        self.cloud.revive()
        for place in self.places:
            self.settle(place)
            self.oracle.everything()
        for place in self.places:
            self.scan(place)

    def scan(self, place: Place) -> None:
        """Look for the secrets in every file of a directory."""
        for path in place.path.rglob("*"):
            if path.is_file() and "node_modules" not in path.parts and hits(path.read_bytes(), tuple(self.secrets)):
                raise Verdict("secret", f"{path.relative_to(self.folder)} holds a secret")

    def copy(self, place: Place, name: str) -> Place:
        """Copy a whole directory; both go on."""
        made, place.intact = Place(self.folder / name, book=place.book.copy(), intact=False), False
        shutil.copytree(place.path, made.path)
        self.places.append(made)
        return made
