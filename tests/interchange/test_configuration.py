"""A wrangler configuration is read as wrangler reads it: its languages, its environments, its classes."""

from __future__ import annotations

from typing import Any

import pytest

from notebook_do.errors import CommandError
from notebook_do.interchange.class_history import classes_of
from notebook_do.interchange.configuration import environment_of, plain_json, read_configuration
from notebook_do.model import Storage

JSONC = b"""\xef\xbb\xbf{
  // a comment, and "text" in it
  "name": "api", /* another
  one */ "vars": {"URL": "https://a//b/*c*/", "LIST": [1, 2,], },\r
  "quoted": "a \\" // b",
}
"""


def test_comments_and_last_commas_are_allowed() -> None:
    """`wrangler.json` and `wrangler.jsonc`: comments and a comma behind the last item, but not inside of a text."""
    for name in ("wrangler.jsonc", "wrangler.json"):
        read = read_configuration(name, JSONC)
        assert read["vars"] == {"URL": "https://a//b/*c*/", "LIST": [1, 2]}
        assert read["quoted"] == 'a " // b'


def test_places_stay_where_they_were() -> None:
    """An error behind comments names the line and column that a person sees."""
    text = '{\n  // one\n  "a": 1, /* two */ "b" 2\n}\n'
    assert len(plain_json(text)) == len(text)
    with pytest.raises(CommandError, match=r"wrangler.jsonc: it is not JSON: .* \(line 3 column 25\); correct it"):
        read_configuration("wrangler.jsonc", text.encode())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("wrangler.json", b'{"name": "a", "name": "b"}', r'the key "name" is there twice \(line 1 column 15\)'),
        ("wrangler.json", b'{"name": "a"', "it is not JSON"),
        ("wrangler.jsonc", b'{"name": /* "a"', r"a comment is never closed \(line 1\)"),
        ("wrangler.jsonc", b"[]", "it must be one table of settings, not list"),
        ("wrangler.jsonc", b"", "it is empty"),
        ("wrangler.jsonc", b"\xff", "can't decode byte"),
        ("wrangler.toml", b"name = ", r"at line 1, column 8|at end of document"),
        ("wrangler.toml", b'name = "a"\nname = "b"', "Cannot overwrite a value"),
    ],
)
def test_what_cannot_be_read_is_one_line(name: str, content: bytes, said: str) -> None:
    """A damaged file is named with what is wrong and where; a key that is there twice is damage too."""
    with pytest.raises(CommandError, match=said) as refused:
        read_configuration(name, content)
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


def test_a_date_of_toml_is_its_text() -> None:
    """`compatibility_date = 2026-06-01` without quotes is a date in TOML, and means the text."""
    read = read_configuration("wrangler.toml", b"compatibility_date = 2026-06-01\n[vars]\nAT = [07:00:00]\n")
    assert read == {"compatibility_date": "2026-06-01", "vars": {"AT": ["07:00:00"]}}


# --- environments

PROJECT: dict[str, Any] = {
    "name": "api",
    "main": "a.ts",
    "vars": {"A": "top"},
    "kv_namespaces": [{"binding": "KV", "id": "1"}],
    "routes": ["example.com/*"],
    "alias": {"x": "y"},
    "keep_vars": True,
    "env": {
        "staging": {"vars": {"A": "staging"}, "main": None},
        "named": {"name": "other", "routes": []},
    },
}


def test_one_environment_at_a_time_by_wranglers_rules() -> None:
    """Without a name the top level; with one what it says, what it inherits, and what only the top level can say."""
    top = environment_of("w", PROJECT)
    assert (top.script, top.top, top.others) == ("api", "api", ("staging", "named"))
    staging = environment_of("w", PROJECT, "staging")
    assert (staging.script, staging.top) == ("api-staging", "api")
    assert staging.config["vars"] == {"A": "staging"}, "bindings are not inherited"
    assert staging.config["main"] == "a.ts", "null says nothing"
    assert staging.config["routes"] == ["example.com/*"], "routes are"
    assert (staging.config["alias"], staging.config["keep_vars"]) == ({"x": "y"}, True), (
        "and what stands at the top only"
    )
    assert staging.not_inherited == ("kv_namespaces",)
    assert staging.others == ("the top level", "named")
    named = environment_of("w", PROJECT, "named")
    assert (named.script, named.top) == ("other", "api")
    assert named.config["routes"] == []
    assert named.not_inherited == ("kv_namespaces", "vars")


def test_an_environment_that_is_not_there_is_one_line() -> None:
    """The nearest one is named, or that there is none."""
    with pytest.raises(CommandError, match="there is no environment stagin; did you mean staging"):
        environment_of("w", PROJECT, "stagin")
    with pytest.raises(CommandError, match="there is no environment x; it has no environments; leave out --env"):
        environment_of("w", {"name": "a"}, "x")
    with pytest.raises(CommandError, match="w: the Worker has no name"):
        environment_of("w", {"main": "a.ts"})


def test_what_a_build_tool_made_is_of_one_environment() -> None:
    """A configuration that Vite generated says which one, and is named by it already."""
    made = {"name": "api-staging", "topLevelName": "api", "targetEnvironment": "staging", "definedEnvironments": ["x"]}
    for asked in ("", "staging"):
        found = environment_of("w", made, asked)
        assert (found.name, found.script, found.top) == ("staging", "api-staging", "api")
        assert found.config == {"name": "api-staging"}
    with pytest.raises(CommandError, match="it was built for environment staging; build it for production"):
        environment_of("w", made, "production")


# --- classes

STEPS = [
    {"tag": "v1", "new_sqlite_classes": ["A", "B"], "new_classes": ["Old"]},
    {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}, {"from": "B", "to": "A"}]},
    {"tag": "v3", "deleted_classes": ["Old"], "renamed_classes": [{"from": "A", "to": "C"}]},
    {"tag": "v4", "new_sqlite_classes": ["Old"]},
]


def test_each_class_once_under_its_last_name() -> None:
    """Renames are followed, two classes that exchange their names included; a deleted class is none."""
    found = classes_of("w", {"migrations": STEPS})
    assert [(c.names[0][1], c.name, c.storage) for c in found.present()] == [
        ("A", "B", Storage.SQLITE),
        ("B", "C", Storage.SQLITE),
        ("Old", "Old", Storage.SQLITE),
    ]
    a, b, *_ = found.present()
    assert [found.live_name(a, tag) for tag in ("v1", "v2", "v3", None, "ndo-1")] == ["A", "B", "B", "B", "B"]
    assert [found.live_name(b, tag) for tag in ("v1", "v2", "v3")] == ["B", "A", "C"]


def test_a_tag_that_is_there_twice_is_named() -> None:
    """A first deploy by wrangler takes both steps, and so does an import; its next one would send the later again."""
    steps = [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v1", "new_sqlite_classes": ["B"]}]
    found = classes_of("w", {"migrations": steps})
    assert [one.name for one in found.present()] == ["A", "B"]
    assert found.notes == (
        "migrations: tag v1 is there twice, so wrangler sends the later step again; give each a tag of its own.",
    )


def test_exports_tell_earlier_names_too() -> None:
    """An entry that says what became of a class is no class of its own; what is no class is listed."""
    found = classes_of(
        "w",
        {
            "exports": {
                "A": {"type": "durable-object", "state": "renamed", "renamed_to": "B"},
                "B": {"type": "durable-object", "state": "renamed", "renamed_to": "C"},
                "C": {"type": "durable-object", "storage": "legacy-kv", "container": "box"},
                "D": {"type": "durable-object", "state": "deleted"},
                "E": {"type": "durable-object", "state": "transferred", "transferred_to": "other"},
                "Admin": {"type": "worker", "cache": {"enabled": True}},
            }
        },
    )
    (one,) = found.present()
    assert ([name for _, name in one.names], one.storage) == (["A", "B", "C"], Storage.KV)
    assert [note.split(" ")[0] for note in found.notes] == ["exports.Admin", "exports.C.container", "exports.E"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"migrations": [{"new_classes": ["A"]}]}, "each of migrations needs a tag"),
        ({"migrations": [{"tag": "v1", "deleted_classes": ["A"]}]}, "v1 names class A, which no earlier step has"),
        ({"migrations": [{"tag": "v1", "new_classes": ["A", "A"]}]}, "v1 creates class A, which is there already"),
        ({"migrations": [{"tag": "v1"}], "exports": {"A": {"type": "worker"}}}, "cannot both be set"),
        ({"exports": {"A": {"type": "durable-object", "state": "odd"}}}, "state 'odd' of exports.A is not known"),
    ],
)
def test_a_history_that_cannot_be_is_one_line(config: dict[str, Any], said: str) -> None:
    """Nothing is guessed of a history: the step that cannot be is named."""
    with pytest.raises(CommandError, match=said):
        classes_of("w", config)
