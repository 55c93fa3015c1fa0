"""What the user of a history has written in cells: plain values that are edited, declared, and read by the resolver."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from outside import CLASSES, source_of

SCRIPTS = ("w1", "w2", "w3")


@dataclass(slots=True, kw_only=True)
class Space:
    """The cell of one namespace."""

    script: str
    class_name: str
    namespace_id: str | None = None
    renamed_from: str | None = None
    transferred_from: str | None = None
    protect: bool = True


@dataclass(slots=True, kw_only=True)
class Work:
    """The cell of one Worker."""

    note: str = "first"
    adopt: bool = False
    lifecycle: str = "auto"
    secret: bool = False
    url: bool = True
    crons: tuple[str, ...] = ()
    word: str = ""
    others: tuple[str, ...] = ()
    """Stable IDs of namespaces elsewhere that it binds too."""
    more: dict[str, str] = field(default_factory=dict)


def binding_of(stable_id: str) -> str:
    """Name the binding of a namespace."""
    return stable_id.upper().replace("-", "_")


@dataclass(slots=True, kw_only=True)
class Book:
    """All cells of one notebook."""

    spaces: dict[str, Space] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=lambda: {"w1": Work()})
    renamings: dict[str, str] = field(default_factory=dict)
    """What the user means to be the same: former stable ID by new one."""

    def copy(self) -> Book:
        """Give a notebook that goes on separately."""
        return copy.deepcopy(self)

    def formers(self, stable_id: str) -> list[str]:
        """Give what the user called a namespace before, the last name first."""
        found: list[str] = []
        while (before := self.renamings.get(found[-1] if found else stable_id)) and before not in found:
            found.append(before)
        return found

    def slots(self) -> dict[tuple[str, str], str]:
        """Give the stable ID by script and class."""
        return {(s.script, s.class_name): id_ for id_, s in self.spaces.items()}

    def free(self, script: str) -> list[str]:
        """Give the class names that nothing here has on a script."""
        return [c for c in CLASSES if (script, c) not in self.slots()]

    def former(self, stable_id: str) -> str | None:
        """Give the former stable ID that a cell names; what is declared itself is nobody's former one."""
        former = self.spaces[stable_id].renamed_from
        return None if former in self.spaces else former

    def tidy(self) -> None:
        """Give each namespace a class of its own: what two cells say of one class is an error before any plan."""
        taken: set[tuple[str, str]] = set()
        for cell in self.spaces.values():
            if (cell.script, cell.class_name) in taken:
                cell.class_name = next(iter(self.free(cell.script)), f"More{len(taken)}")
            taken.add((cell.script, cell.class_name))

    def cells(self) -> dict[str, Any]:
        """Write the order that declares everything; a Worker exports what it hosts."""
        namespaces = [
            {
                "id": id_,
                "class_name": s.class_name,
                "script_name": s.script,
                "namespace_id": s.namespace_id,
                "renamed_from": self.former(id_),
                "transferred_from": s.transferred_from,
                "protect": s.protect,
            }
            for id_, s in self.spaces.items()
        ]
        return {"namespaces": namespaces, "workers": [self._worker(id_, w) for id_, w in self.works.items()]}

    def _worker(self, id_: str, work: Work) -> dict[str, Any]:
        hosted = [i for i, s in self.spaces.items() if s.script == id_]
        bound = {binding_of(i): i for i in (*hosted, *(o for o in work.others if o in self.spaces))}
        return {
            "id": id_,
            "script": source_of((self.spaces[i].class_name for i in hosted), work.note),
            "bound": bound,
            "secret": work.secret,
            "vars": {"WORD": work.word} if work.word else {},
            "adopt": work.adopt,
            "lifecycle": work.lifecycle,
            "url": work.url,
            "crons": list(work.crons),
        }
