"""The names of objects, which are not stored with them: an id can be computed from a name, but not the other way.

So likely names are collected - from the paths and queries of requests, the strings in the scripts, and what a notebook
asks by - and the ids decide: a name is shown only when it gives that very id, and only then is it written down.
Cloudflare shows ids alone.
"""

from __future__ import annotations

import json
import re
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from notebook_do.local.objects.stored import folder_of, object_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from notebook_do.local.runtime.spec import RunnableWorker

MOST_COLLECTED = 10_000
LONGEST = 200
_LITERAL = re.compile(rb"""(["'`])((?:(?!\1)[^\\\n]){0,200})\1""")
_SCRIPT_LIMIT = 4 << 20


class ObjectNames:
    """Likely names from requests, bounded; and, in a file for each namespace, the names that ids have proved."""

    def __init__(self, folder: Path) -> None:
        """Keep proved names in `folder`."""
        self._folder = folder
        self._finding = Lock()  # lists are read by threads, and each may write down what it found
        self._collected: dict[str, None] = {}  # in order, for the oldest to be found
        self._asked: dict[str, dict[str, None]] = {}
        """By namespace, the names that a notebook has asked by and that no object was found for yet."""

    def collect(self, path: str, query: bytes) -> None:
        """Remember what a request mentioned; the oldest is forgotten first."""
        words = [unquote(word) for word in path.split("/") if word]
        words.append(path)
        if query:
            words += [value for _, value in parse_qsl(query.decode("latin-1"))]
        for word in words:
            if len(word) <= LONGEST and word not in self._collected:
                self._collected[word] = None
        while len(self._collected) > MOST_COLLECTED:
            del self._collected[next(iter(self._collected))]

    def asked(self, namespace_id: str, names: Iterable[str]) -> None:
        """Remember by which names objects of a namespace were asked."""
        kept = self._asked.setdefault(namespace_id, {})
        kept |= dict.fromkeys(names)
        while len(kept) > MOST_COLLECTED:
            del kept[next(iter(kept))]

    def find(self, namespace_id: str, ids: Iterable[str], workers: Iterable[RunnableWorker]) -> dict[str, str]:
        """Return the known names by id, with those of `ids` that can be found now, and keep them for the next time."""
        file = self._file(namespace_id)
        with self._finding:
            known = _known(file)
            if not (wanted := set(ids) - known.keys()):
                return known
            asked = self._asked.get(namespace_id, {})
            # The empty name is one too.
            likely = dict.fromkeys([*list(asked), *list(self._collected), *_strings(workers), ""])
            if found := {one: name for name in likely if (one := object_id(namespace_id, name)) in wanted}:
                for name in found.values():
                    asked.pop(name, None)
                known |= found
                self._folder.mkdir(exist_ok=True, mode=0o700)
                fresh = file.with_suffix(".new")
                fresh.write_text(json.dumps(known), encoding="utf-8")
                fresh.replace(file)
            return known

    def forget(self, namespace_id: str) -> None:
        """Drop the names of a namespace."""
        self._file(namespace_id).unlink(missing_ok=True)

    def _file(self, namespace_id: str) -> Path:
        return folder_of(self._folder, namespace_id).with_suffix(".json")


def _known(file: Path) -> dict[str, str]:
    """Return the names that were written down; none where the file is torn: they are only found anew."""
    try:
        known: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known


def _strings(workers: Iterable[RunnableWorker]) -> Iterable[str]:
    """Take the short string literals of scripts, such as the one in `getByName("lobby")`."""
    for worker in workers:
        for module in worker.modules:
            if module.content_type.startswith(("application/javascript", "text/javascript")):
                with module.path.open("rb") as file:
                    source = file.read(_SCRIPT_LIMIT)
                yield from (match[2].decode("utf-8", "replace") for match in _LITERAL.finditer(source))
