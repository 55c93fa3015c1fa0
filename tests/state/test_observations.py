"""The note of what was read: it comes back as it was written, and where it cannot be had nothing is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from notebook_do.state.observations import Observation, Observations

if TYPE_CHECKING:
    from pathlib import Path

NOTED = {
    "web": Observation(at="2026-01-02T00:00:00+00:00", declared="d", listed="l"),
    "api": Observation(at="2026-01-01T00:00:00+00:00", declared="e", listed="after f"),
}


def test_what_is_noted_is_read_again(tmp_path: Path) -> None:
    """Each script with when it was read and what it agreed with, and how the account is called."""
    path = tmp_path / "observations.json"
    Observations(path).save(NOTED, ("a" * 32, "Acme"))
    assert Observations(path).load() == NOTED
    assert Observations(path).account("a" * 32) == "Acme"
    assert Observations(path).account("b" * 32) == "", "that is another account"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_not_known_is_not_noted(tmp_path: Path) -> None:
    """The note of the scripts is written without it."""
    note = Observations(tmp_path / "observations.json")
    note.save(NOTED, ("a" * 32, ""))
    assert note.load() == NOTED
    assert note.account("a" * 32) == ""


def test_where_nothing_is_noted_nothing_is_known(tmp_path: Path) -> None:
    """No file, and no directory: both are empty, and a plan makes neither of them."""
    for path in (tmp_path / "observations.json", tmp_path / "new" / "observations.json"):
        assert Observations(path).load() == {}
        assert Observations(path).account("a" * 32) == ""
    Observations(tmp_path / "new" / "observations.json").save(NOTED, ("a" * 32, "Acme"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "written",
    [
        "",
        "{",
        "[]",
        "null",
        json.dumps({"version": 2, "scripts": {"web": ["a", "b", "c"]}}),
        json.dumps({"version": 1}),
        json.dumps({"version": 1, "scripts": {"web": ["a", "b"]}}),
        json.dumps({"version": 1, "scripts": {"web": ["a", "b", 1]}}),
    ],
)
def test_a_note_that_cannot_be_read_is_as_none(tmp_path: Path, written: str) -> None:
    """Damaged, of another version, or of another shape: the next plan reads everything, and writes it anew."""
    note = Observations(tmp_path / "observations.json")
    note.path.write_text(written)
    assert (note.load(), note.account("a" * 32)) == ({}, "")
    note.save(NOTED)
    assert note.load() == NOTED
