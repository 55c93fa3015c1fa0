"""State files, journals and tags of earlier editions are read, kept and gone on from as they were.

After a deliberate change write them anew with `python tests/golden/write.py states`, look at the diff, and commit
both together with the reason. What is in `editions/` was written by the code of its time and never changes.
Damage, locks and unknown fields are held by tests/state and tests/test_journal.py.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from editions import BESIDE, FOLDER, NAMES, changed_after, known_by_tags, played, still, taken_over
from files import golden
from world import as_json


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("interrupted", [False, True], ids=["whole", "interrupted"])
def test_an_edition_is_taken_over(name: str, interrupted: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """What is live is planned as unchanged; reading writes nothing; an interrupted mutation is found and recorded."""
    found = as_json(taken_over(name, interrupted=interrupted))
    assert found == golden("editions")[name][f"taken over{' after an interruption' * interrupted}"]
    assert found["planned"] == {}, "what is live was planned again"
    assert found["untouched"] is not interrupted
    assert len(found["warnings"]) == interrupted
    assert {(r["stable_id"], r["class_history"]) for r in found["recorded"]} == {
        ("counter", "Counter → Tally"),
        ("room", "Room"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_edition_goes_on(name: str) -> None:
    """After one more deploy its state file has today's shape, and its journal today's lines behind the old ones."""
    found = as_json(changed_after(name))
    assert found == golden("editions")[name]["changed"]
    assert found["planned"] == {"steps": 1}
    assert [entry["is"] for entry in found["journal.jsonl"]] == ["intent", "end", "saved"]


@pytest.mark.parametrize("name", NAMES)
def test_the_tags_of_an_edition_tell_the_same_identity(name: str) -> None:
    """Without a state file every stable ID is the namespace that it was, and nothing begins, moves or ends."""
    found = as_json(known_by_tags(name))
    assert found == golden("editions")[name]["known by tags"]
    recorded = json.loads((FOLDER / name / "state.json").read_text())["namespaces"]
    bound = [row for row in found["bindings"] if row["namespace_id"]]
    assert len(bound) == 3
    assert all(row["namespace_id"] == recorded[row["target"]]["namespace_id"] for row in bound)
    assert found["migrations"] == []
    assert "refusals" not in found["planned"]


@pytest.fixture(scope="module")
def today() -> dict[str, str]:
    """Play the history with the code of today."""
    return played()


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_written_today_is_as_it_was(name: str, today: dict[str, str]) -> None:
    """The same history leaves the same state file and journal, but for moments, the address and their checksums."""
    assert as_json(still(name, today[name])) == golden("written")[name]


def test_checksums_are_those_of_the_format(today: dict[str, str]) -> None:
    """A state file's checksum and a journal line's sum are those of its canonical JSON, whatever wrote it."""
    state = json.loads(today["state.json"])
    assert state.pop("checksum") == "sha256:" + _digest(state)
    lines = [json.loads(line) for line in today["journal.jsonl"].splitlines()]
    assert len(lines) > 20
    for line in lines:
        assert line.pop("sum") == _digest(line)[:16]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
