"""Reads which Durable Object classes a wrangler project has, each once, from its `migrations` or its `exports`.

A class that was renamed keeps its objects: its earlier names tell which live namespace it is, and at which migration
tag it had which name. Nothing is guessed: a name that was given up and taken again is another class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.model import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STORAGES = {"sqlite": Storage.SQLITE, "legacy-kv": Storage.KV}
_RENAMED = frozenset({"type", "state", "renamed_to"})
_STEPS = ("new_classes", "new_sqlite_classes", "renamed_classes", "transferred_classes", "deleted_classes")


@dataclass(slots=True, kw_only=True)
class ProjectClass:
    """A class under its last name. `names` are its names, each with the migration tag that gave it, the first first.

    `from_script` is the Worker that it was moved here from, `from_class` its name there. `gone` is the tag that
    deletes it.
    """

    storage: Storage
    names: list[tuple[str, str]]
    from_script: str | None = None
    from_class: str | None = None
    gone: str | None = None

    @property
    def name(self) -> str:
        """Its last name."""
        return self.names[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The classes of one Worker; `tags` are the migration tags in order, `notes` what is not carried, a line each."""

    classes: tuple[ProjectClass, ...] = ()
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def present(self) -> tuple[ProjectClass, ...]:
        """Return the classes that the project has at its end."""
        return tuple(one for one in self.classes if one.gone is None)

    def live_name(self, one: ProjectClass, tag: str | None) -> str:
        """Return the name of a class where migrations up to `tag` are applied; its last name where nobody can tell."""
        if tag not in self.tags:
            return one.name
        applied = self.tags[: self.tags.index(tag) + 1]
        return next((name for given, name in reversed(one.names) if given in applied), one.names[0][1])


def classes_of(place: str, config: Mapping[str, Any]) -> Classes:
    """Return the classes that a configuration names; raises CommandError naming what cannot be read."""
    migrations, exports = config.get("migrations") or [], config.get("exports") or {}
    if migrations and exports:
        raise CommandError(f"{place}: migrations and exports cannot both be set; keep one of them, as wrangler says.")
    if exports:
        return _of_exports(place, exports)
    return _of_migrations(place, migrations)


# --- migrations


def _of_migrations(place: str, migrations: Any) -> Classes:
    _check(isinstance(migrations, list), place, "migrations must be a list of steps")
    found: list[ProjectClass] = []
    notes: list[str] = []
    tags = []
    for step in migrations:
        _check(isinstance(step, dict) and isinstance(step.get("tag"), str), place, "each of migrations needs a tag")
        tags.append(step["tag"])
        notes += [
            f"migrations {step['tag']}.{key} is not known here: it was not read; compare the classes."
            for key in sorted(step.keys() - {"tag", *_STEPS})
        ]
        _apply(place, step, found)
    notes += [
        f"migrations: tag {tag} is there twice, so wrangler sends the later step again; give each a tag of its own."
        for tag in sorted({tag for tag in tags if tags.count(tag) > 1})
    ]
    return Classes(classes=tuple(found), tags=tuple(tags), notes=tuple(notes))


def _apply(place: str, step: Mapping[str, Any], found: list[ProjectClass]) -> None:
    """Apply one step. Renames are applied at once, so that two classes can exchange their names."""
    tag = step["tag"]
    for key, storage in (("new_classes", Storage.KV), ("new_sqlite_classes", Storage.SQLITE)):
        for name in _names(place, step, key):
            _check(
                _present(found, name) is None, place, f"migrations {tag} creates class {name}, which is there already"
            )
            found.append(ProjectClass(storage=storage, names=[(tag, name)]))
    for moved in _tables(place, step, "transferred_classes", ("from", "from_script", "to")):
        came = ProjectClass(storage=Storage.SQLITE, names=[(tag, moved["to"])])
        came.from_script, came.from_class = moved["from_script"], moved["from"]
        found.append(came)
    renames = list(_tables(place, step, "renamed_classes", ("from", "to")))
    for one, to in [(_must_be(place, found, r["from"], tag), r["to"]) for r in renames]:
        one.names.append((tag, to))
    for name in _names(place, step, "deleted_classes"):
        _must_be(place, found, name, tag).gone = tag


def _names(place: str, step: Mapping[str, Any], key: str) -> list[str]:
    names = step.get(key) or []
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    _check(good, place, f"{key} of migrations {step['tag']} must be a list of class names")
    return list(names)


def _tables(place: str, step: Mapping[str, Any], key: str, fields: tuple[str, ...]) -> Iterator[dict[str, str]]:
    for one in step.get(key) or []:
        good = isinstance(one, dict) and all(isinstance(one.get(name), str) for name in fields)
        _check(good, place, f"{key} of migrations {step['tag']} must be a list of tables with {', '.join(fields)}")
        yield one


def _present(found: list[ProjectClass], name: str) -> ProjectClass | None:
    return next((one for one in found if one.gone is None and one.name == name), None)


def _must_be(place: str, found: list[ProjectClass], name: str, tag: str) -> ProjectClass:
    one = _present(found, name)
    if one is None:
        raise CommandError(f"{place}: migrations {tag} names class {name}, which no earlier step has; correct it.")
    return one


# --- exports


def _of_exports(place: str, exports: Any) -> Classes:
    _check(isinstance(exports, dict), place, "exports must be a table by class name")
    _check(all(isinstance(e, dict) for e in exports.values()), place, "each of exports must be a table with a type")
    before: dict[str, str] = {}
    notes: list[str] = []
    found: list[ProjectClass] = []
    for name, entry in exports.items():
        if entry.get("type") != "durable-object":
            notes.append(
                f"exports.{name} ({entry.get('type')}) is not declared here: every upload keeps what is live of it, "
                "and only wrangler sets it."
            )
        elif entry.get("state") == "renamed":
            to = entry.get("renamed_to", "")
            _check(to in exports, place, f"exports.{name} is renamed to {to!r}, which exports does not have")
            before[to] = name
            notes += [
                f"exports.{name}.{key} is not known here: it was left out." for key in sorted(entry.keys() - _RENAMED)
            ]
    for name, entry in exports.items():
        if entry.get("type") == "durable-object" and entry.get("state") != "renamed":
            found.append(_of_entry(place, name, entry, notes))
    for one in found:
        chain = [one.name]
        while (earlier := before.get(chain[0])) is not None and earlier not in chain:
            chain.insert(0, earlier)
        one.names = [("", name) for name in chain]
    return Classes(classes=tuple(found), notes=tuple(notes))


def _of_entry(place: str, name: str, entry: Mapping[str, Any], notes: list[str]) -> ProjectClass:
    """Return the class of one entry, and note what of it is not carried."""
    state, storage = entry.get("state", "created"), entry.get("storage", "sqlite")
    _check(storage in _STORAGES, place, f"storage of exports.{name} must be sqlite or legacy-kv, not {storage!r}")
    if "container" in entry:
        notes.append(f"exports.{name}.container is not declared here: every upload keeps what is live of it.")
    known = {"type", "state", "storage", "container", "transfer_from", "transferred_to"}
    notes += [f"exports.{name}.{key} is not known here: it was left out." for key in sorted(entry.keys() - known)]
    found = ProjectClass(storage=_STORAGES[storage], names=[("", name)])
    match state:
        case "created":
            pass
        case "deleted":
            found.gone = "exports"
        case "transferred":
            found.gone = "exports"
            notes.append(
                f"exports.{name} goes to Worker {entry.get('transferred_to')}: declare it there with transferred_from."
            )
        case "expecting-transfer":
            found.from_script, found.from_class = entry.get("transfer_from"), name
        case _:
            raise CommandError(
                f"{place}: state {state!r} of exports.{name} is not known; known are created, deleted, ..."
            )
    return found


def _check(good: bool, place: str, problem: str) -> None:  # noqa: FBT001 - what must be
    if not good:
        raise CommandError(f"{place}: {problem}; correct it, then import again.")
