"""A note of when each script was read in full, and of how the account is called, kept beside the state file.

It is a cache and proves nothing by itself: whoever deletes it lets the next plan read everything once more.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.errors import StateError
from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One full reading of a script that was found to be as declared."""

    at: str
    """When it was read: ISO 8601, UTC."""
    declared: str
    """A digest of the declaration that it agreed with."""
    listed: str
    """A digest of what the account's lists said of it, or which upload the next one comes `after`."""


class Observations:
    """The note of one state file, by script name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Observation]:
        """Read the note; empty where there is none, or none that can be read."""
        try:
            return dict(_decoded(json.loads(disk.read(self.path) or b"{}")))
        except (StateError, ValueError, TypeError, KeyError, AttributeError):
            return {}  # the next plan reads everything, and writes it anew

    def account(self, account_id: str) -> str:
        """Return how this account is called; empty where that is not noted."""
        try:
            noted = json.loads(disk.read(self.path) or b"{}")["account"]
            return str(noted[1]) if noted[0] == account_id else ""
        except (StateError, ValueError, TypeError, LookupError):
            return ""

    def save(self, noted: Mapping[str, Observation], account: tuple[str, str] = ("", "")) -> None:
        """Write the note where that can be done: a plan makes no directory, and may not be able to write in one.

        `account` is its id and its name, where that is known.
        """
        if not self.path.parent.is_dir():
            return
        scripts = {name: [seen.at, seen.declared, seen.listed] for name, seen in sorted(noted.items())}
        named = {"account": list(account)} if account[1] else {}
        text = json.dumps({"version": _VERSION, "scripts": scripts, **named}, separators=(",", ":"))
        with contextlib.suppress(StateError):
            # Two waits for the disk less in every plan: what a power loss takes away or empties is read anew.
            disk.replace(self.path, text.encode(), synced=False)


def _decoded(document: Any) -> Iterator[tuple[str, Observation]]:
    if document.get("version") != _VERSION:
        return
    for name, (at, declared, listed) in document["scripts"].items():
        if isinstance(at, str) and isinstance(declared, str) and isinstance(listed, str):
            yield name, Observation(at=at, declared=declared, listed=listed)
