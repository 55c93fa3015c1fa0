"""Names of stored objects: collected where they are likely, believed only when they give the very id."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects import names as module
from notebook_do.local.objects.names import ObjectNames
from notebook_do.local.objects.stored import object_id

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SPACE = "0123456789abcdef0123456789abcdef"


class Script:
    """A Worker's modules on the disk."""

    def __init__(self, place: Path, kind: str, source: str) -> None:
        (place / "module").write_text(source)
        self.content_type, self.path, self.modules = kind, place / "module", (self,)


def known(names: ObjectNames, *objects: str, workers: tuple[Any, ...] = ()) -> set[str]:
    """Give which of these objects are known by name."""
    ids = [object_id(SPACE, one) for one in objects]
    found = names.find(SPACE, ids, workers)
    assert all(object_id(SPACE, name) == id_ for id_, name in found.items())
    return set(found.values())


def test_what_a_request_mentions_is_heard(tmp_path: Path) -> None:
    """Each part of a path, decoded, the path whole, and the values of a query."""
    names = ObjectNames(tmp_path / "names")
    names.collect("/rooms/lob%20by", b"user=a%2Bb&empty=")
    assert known(names, "lob by", "rooms", "a+b", "/rooms/lob%20by", "user", "never") == {
        *("lob by", "rooms", "a+b", "/rooms/lob%20by"),
    }


def test_what_was_proved_is_known_to_the_next_server(tmp_path: Path) -> None:
    """Proved names are kept in a file, and only those; forgetting a namespace drops them."""
    names = ObjectNames(tmp_path / "names")
    names.collect("/lobby/other", b"")
    assert known(names, "lobby") == {"lobby"}
    assert list(json.loads((tmp_path / "names" / f"{SPACE}.json").read_text()).values()) == ["lobby"]
    again = ObjectNames(tmp_path / "names")
    assert known(again, "lobby") == {"lobby"}
    assert known(again, "lobby", "other") == {"lobby"}
    again.collect("/other", b"")
    assert known(again, "lobby", "other") == {"lobby", "other"}
    again.forget(SPACE)
    again.forget(SPACE)
    assert known(ObjectNames(tmp_path / "names"), "lobby") == set()


def test_nothing_is_written_where_nothing_is_proved(tmp_path: Path) -> None:
    """A guess leaves no trace."""
    names = ObjectNames(tmp_path / "names")
    names.collect("/guess", b"")
    assert known(names, "object") == set()
    assert not (tmp_path / "names").exists()


def test_strings_of_scripts_and_the_empty_name(tmp_path: Path) -> None:
    """Short literals of JavaScript in each kind of quotes, and the name that is empty; other modules are not read."""
    source = 'env.A.getByName("lobby"); getByName(\'single\'); getByName(`back`); let long = "' + "x" * 300 + '"'
    script = Script(tmp_path, "application/javascript+module", source)
    names = ObjectNames(tmp_path / "names")
    assert known(names, "lobby", "single", "back", "x" * 300, "", workers=(script,)) == {"lobby", "single", "back", ""}
    script = Script(tmp_path, "text/javascript", '"plain"')
    assert known(ObjectNames(tmp_path / "b"), "plain", workers=(script,)) == {"plain"}
    script = Script(tmp_path, "text/plain", '"text"')
    assert known(ObjectNames(tmp_path / "c"), "text", workers=(script,)) == set()


def test_what_is_heard_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest word is forgotten first, a word heard again stays where it was, and long ones are not kept."""
    monkeypatch.setattr(module, "MOST_COLLECTED", 4)
    names = ObjectNames(tmp_path / "names")
    names.collect("/a", b"")
    names.collect("/b", b"")
    names.collect("/a", b"")
    names.collect("/c", b"")
    assert known(names, "a", "b", "c", "/a") == {"b", "c"}
    names.collect("/" + "y" * (module.LONGEST + 1), b"z=" + b"q" * module.LONGEST)
    assert known(names, "y" * (module.LONGEST + 1), "q" * module.LONGEST) >= {"q" * module.LONGEST}
    assert "y" * (module.LONGEST + 1) not in known(names, "y" * (module.LONGEST + 1))


def test_lists_that_are_read_at_once_find_every_name_and_keep_the_file_whole(tmp_path: Path) -> None:
    """Each reading thread may write down what it found: none meets half a file, and none takes away another's names."""
    names = ObjectNames(tmp_path / "names")
    wanted = {object_id(SPACE, f"room {n}"): f"room {n}" for n in range(40)}
    names.asked(SPACE, wanted.values())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: names.find(SPACE, [one], []), wanted))
    assert ObjectNames(tmp_path / "names").find(SPACE, wanted, []) == wanted


def test_a_torn_file_of_names_only_costs_finding_them_again(tmp_path: Path) -> None:
    """What is in the file can be computed again: it never fails a list."""
    one = object_id(SPACE, "room")
    (tmp_path / f"{SPACE}.json").write_text('{"a": "b"}}')
    names = ObjectNames(tmp_path)
    names.asked(SPACE, ["room"])
    assert names.find(SPACE, [one], []) == {one: "room"}
