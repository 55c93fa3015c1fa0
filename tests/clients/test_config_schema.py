"""wrangler's own schema is walked: each key of a configuration is carried, listed or refused."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from notebook_do.errors import CommandError
from notebook_do.interchange.configuration import TOP_LEVEL, Environment
from notebook_do.interchange.wrangler_reading import read_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Path_ = tuple[str, ...]
BASE = {"name": "api", "main": "src/index.ts", "compatibility_date": "2026-06-01"}
GOOD: dict[str, Any] = {
    "account_id": "a" * 32,
    "compatibility_date": "2026-01-01",
    "compatibility_flags": ["nodejs_compat"],
    "crons": ["*/5 * * * *"],
    "dead_letter_queue": "dead",
    "define": {"DEBUG": "true"},
    "alias": {"some": "./other"},
    "keep_names": False,
    "workers_dev": False,
    "pattern": "example.com/*",
    "zone_name": "example.org",
    "preview_database_id": "1",
    "migrations": [
        {"tag": "v1", "new_classes": ["A"], "new_sqlite_classes": ["B", "C"]},
        {
            "tag": "v2",
            "renamed_classes": [{"from": "A", "to": "D"}],
            "transferred_classes": [{"from": "X", "from_script": "other", "to": "E"}],
            "deleted_classes": ["C"],
        },
    ],
    "required": ["KEY"],
    "max_delay": 5,
    "head_sampling_rate": 0.5,
    "jurisdiction": "eu",
}
"""Values by key, where one of the right type is not good enough."""
MADE: dict[str, list[Any]] = {
    "Route": [
        "example.com/*",
        {"pattern": "example.com/*", "zone_id": "1"},
        {"pattern": "example.com/*", "zone_name": "example.org"},
        {"pattern": "app.example.com", "custom_domain": True, "enabled": True, "previews_enabled": True},
    ],
    "Json": ["a", 1, {"a": [None]}],
    "PreviewsConfig": [{"vars": {"A": "a"}}],
}
"""Values by definition, of those that refer to themselves or have alternatives that are told apart by their keys."""


@pytest.fixture(scope="module")
def schema(node_packages: Path) -> dict[str, Any]:
    """Read the schema of the wrangler that the tests drive."""
    found: dict[str, Any] = json.loads((node_packages / "wrangler" / "config-schema.json").read_text())
    return found


class Samples:
    """Makes values that a schema allows: every property is there, and each alternative is one value."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.definitions = schema["definitions"]
        self.count = 0

    def of(self, key: str, schema: dict[str, Any], depth: int = 0) -> list[Any]:
        """Return samples of a key."""
        if GOOD.get(key) is not None:
            return [deepcopy(GOOD[key])]
        if "$ref" in schema:
            name = unquote(schema["$ref"].rpartition("/")[2])
            if name in MADE:
                return deepcopy(MADE[name])
            return self.of(key, self.definitions[name], depth + 1)
        if "anyOf" in schema:
            return [one for part in schema["anyOf"] for one in self.of(key, part, depth + 1)]
        if "const" in schema:
            return [schema["const"]]
        if "enum" in schema:
            return list(schema["enum"])
        return self._plain(key, schema, depth)

    def _plain(self, key: str, schema: dict[str, Any], depth: int) -> list[Any]:
        match schema.get("type"):
            case "object":
                return self._objects(schema, depth)
            case "array":
                return [[one] for one in self.of(key, schema.get("items", {}), depth + 1)]
            case "boolean":
                return [True]
            case "number" | "integer":
                return [10]
            case "null" | None:
                return []
        self.count += 1
        return [f"x{self.count}"]

    def _objects(self, schema: dict[str, Any], depth: int) -> list[Any]:
        found: list[dict[str, Any]] = [{}]
        for name, part in schema.get("properties", {}).items():
            values = self.of(name, part, depth + 1)
            # Each alternative is met once: the first object gets the first of all, and so on.
            while values and len(found) < len(values):
                found.append(deepcopy(found[0]))
            for number, one in enumerate(found):
                if values:
                    one[name] = values[number % len(values)]
        if not schema.get("properties"):
            inner = schema.get("additionalProperties") or {"type": "string"}
            return [{"Key": one} for one in self.of("", inner, depth + 1)] or [{}]
        return found


def paths(value: Any, at: Path_ = ()) -> Iterator[tuple[Path_, Path_]]:
    """Yield each key below a value: its path with places in lists, and without."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        place = (*at, key)
        if isinstance(key, str):
            yield place, tuple(k for k in place if isinstance(k, str))
        yield from paths(inner, place)


def without(value: Any, path: Path_) -> Any:
    """Return a copy of a value without one key."""
    copy = deepcopy(value)
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


def read(config: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return what is declared of a configuration, as one text, and what is listed; a refusal is declared as such."""
    try:
        found = read_worker("w", "app", Environment(name="", top="api", script="api", config={**BASE, **config}))
    except CommandError as error:
        return f"refused: {error}", ()
    if found is None:
        return "no code", ()
    fields = {name: getattr(found, name) for name in ("given", "settings", "bound", "classes", "keep_vars", "account")}
    return repr(fields), found.notes


def fate(key: str, sample: Any) -> Iterator[str]:
    """Yield the paths of a sample that are neither carried, listed nor refused."""
    whole, notes = read({key: sample})
    if whole.startswith("refused: "):
        if key not in whole:
            yield f"{key}: {whole}"
        return
    said = " ".join(notes)
    for place, plain in (((key,), (key,)), *(((key, *p), (key, *q)) for p, q in paths(sample))):
        names = [".".join(plain[:end]) for end in range(1, len(plain) + 1)]
        listed = any(f" {name}{mark}" in said for name in names for mark in (":", ",", ";", " "))
        listed = listed or f" {names[-1]}." in said  # all that is in it
        if not listed and read(without({key: sample}, place))[0] == whole:
            yield ".".join(plain)


NO_MORE_THAN_ABSENT = {
    "queues.consumers.type",  # a Worker is the only type that it allows
    "exports.Key.state",  # created is what an entry is without it
    "exports.Key.storage",  # and sqlite is how it stores
}
"""Keys of which one value says what their absence says."""


def test_each_key_of_the_schema_is_carried_listed_or_refused(schema: dict[str, Any]) -> None:
    """Without a key another thing is declared, or a line names it, or the configuration is refused for it."""
    samples, lost = Samples(schema), dict[str, None]()
    properties = schema["definitions"]["RawConfig"]["properties"]
    for key, part in properties.items():
        if key in {"env", *BASE}:  # environments are read one at a time, and the base is always there
            continue
        values = samples.of(key, part)
        assert values, key
        for value in values:
            lost |= dict.fromkeys(fate(key, value))
    assert lost.keys() - NO_MORE_THAN_ABSENT == set()
    assert len(properties) > 80


def test_what_stands_at_the_top_level_only(schema: dict[str, Any]) -> None:
    """The keys that an environment cannot have are those of the schema."""
    top, environment = (schema["definitions"][name]["properties"].keys() for name in ("RawConfig", "RawEnvironment"))
    assert top - environment - {"env"} == TOP_LEVEL
