"""Cloudflare's rules for scripts and Durable Object namespaces, as a model that refuses what Cloudflare refuses.

Written from Cloudflare's documentation, error reports and wire captures, not from the planner or the local server.
Where reports differ, the stricter rule is taken, so that a plan which passes here is legal under each of them:

- every name in one upload is source or destination of at most one class migration, and destinations are free before it;
- a class to be deleted is bound neither by the upload, nor by what is deployed now, nor by another script;
- a script must export every class that it hosts after the upload.

It works on what goes over the wire (`migrations`, `exports`, bindings) and on the classes that the code exports.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


class Rejected(Exception):  # noqa: N818 - what Cloudflare does
    """Cloudflare says no; `code` is its number or scenario."""

    def __init__(self, code: int | str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


@dataclass
class Space:
    """A provisioned namespace."""

    id: str
    script: str
    class_name: str
    storage: str


@dataclass
class Script:
    """A deployed script: what its code exports, what it binds as (name, class, script or None), its form and tag."""

    name: str
    code: frozenset[str]
    bindings: frozenset[tuple[str, str, str | None]]
    form: str | None = None
    tag: str | None = None
    uploads: int = 0


@dataclass
class Account:
    """One account. `upload` and `delete` change all or nothing."""

    scripts: dict[str, Script] = field(default_factory=dict)
    spaces: dict[tuple[str, str], Space] = field(default_factory=dict)
    pending: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Announced transfers: (target script, class) -> (source script, class)."""
    made: int = 0

    def upload(
        self,
        name: str,
        code: frozenset[str],
        bindings: frozenset[tuple[str, str, str | None]],
        lifecycle: dict[str, Any],
    ) -> None:
        """Deploy a script; raises Rejected and changes nothing."""
        before = {
            "scripts": {key: replace(script) for key, script in self.scripts.items()},
            "spaces": {key: replace(space) for key, space in self.spaces.items()},
            "pending": dict(self.pending),
            "made": self.made,
        }
        try:
            self._upload(name, code, bindings, lifecycle)
        except Rejected:
            self.__dict__.update(before)
            raise

    def delete(self, name: str) -> None:
        """Delete a script with all its namespaces, without force."""
        if name not in self.scripts:
            raise Rejected(10007, f"no script {name}")
        binders = [s.name for s in self.scripts.values() if s.name != name and any(b[2] == name for b in s.bindings)]
        if binders:
            raise Rejected("referenced", f"{name} is bound by {binders}")
        del self.scripts[name]
        self.spaces = {key: space for key, space in self.spaces.items() if space.script != name}

    def _upload(
        self,
        name: str,
        code: frozenset[str],
        bindings: frozenset[tuple[str, str, str | None]],
        lifecycle: dict[str, Any],
    ) -> None:
        old = self.scripts.get(name)
        script = Script(
            name=name, code=code, bindings=bindings, form=old.form if old else None, tag=old.tag if old else None
        )
        script.uploads = old.uploads + 1 if old else 1
        if len(lifecycle) > 1:
            raise Rejected("mutually-exclusive", "exports and migrations in one upload")
        if script.form == "exports" and "exports" not in lifecycle:
            raise Rejected("exports-required", f"{name} uses exports")
        if "exports" in lifecycle:
            self._reconcile(script, old, lifecycle["exports"])
            script.form = "exports"
        elif "migrations" in lifecycle:
            self._migrate(script, old, lifecycle["migrations"])
            script.form = "migrations"
        for (host, class_name), space in self.spaces.items():
            if host == name and class_name not in code:
                raise Rejected(10064, f"{name} does not export {class_name} of {space.id}")
        for _, class_name, host in bindings:
            self._check_binding(name, class_name, host)
        self.scripts[name] = script

    def _check_binding(self, name: str, class_name: str, host: str | None) -> None:
        if host is not None and host != name and host not in self.scripts:
            raise Rejected(10061, f"Cannot create binding for class in script '{host}' that does not exist.")
        if (host or name, class_name) not in self.spaces:
            raise Rejected(10061, f"{host or name} has no Durable Objects of class {class_name}")

    # --- migrations

    def _migrate(  # noqa: C901 - one rule after another
        self, script: Script, old: Script | None, migrations: dict[str, Any]
    ) -> None:
        if migrations.get("old_tag") != script.tag:
            raise Rejected(10079, f"Migration tag precondition failed; current tag is {script.tag}")
        if script.tag and not migrations.get("new_tag"):
            raise Rejected(10079, "a tagged script needs a new tag")
        script.tag = migrations.get("new_tag", script.tag)
        steps = migrations.get("steps", [migrations])
        start = dict(self.spaces)
        touched: set[tuple[str, str]] = set()

        def touch(host: str, class_name: str) -> None:
            if (host, class_name) in touched:
                raise Rejected(10074, f"class {class_name} cannot be the target of more than one migration")
            touched.add((host, class_name))

        def take(class_name: str) -> None:
            touch(script.name, class_name)
            if class_name not in script.code:
                raise Rejected(10070, f"{class_name} is not exported")
            if (script.name, class_name) in start:
                raise Rejected(10074, f"{class_name} is already depended on by existing Durable Objects")

        def leave(host: str, class_name: str) -> Space:
            touch(host, class_name)
            if (host, class_name) not in start:
                raise Rejected(10074, f"no class {class_name} on {host}")
            return self.spaces.pop((host, class_name))

        for step in steps:
            for class_name in step.get("deleted_classes", []):
                self._check_deletable(script, old, class_name)
                leave(script.name, class_name)
            for entry in step.get("renamed_classes", []):
                space = leave(script.name, entry["from"])
                take(entry["to"])
                self._place(space, script.name, entry["to"])
            for entry in step.get("transferred_classes", []):
                space = leave(entry["from_script"], entry["from"])
                take(entry["to"])
                self._place(space, script.name, entry["to"])
            for storage, key in (("kv", "new_classes"), ("sqlite", "new_sqlite_classes")):
                for class_name in step.get(key, []):
                    take(class_name)
                    self._make(script.name, class_name, storage)

    def _check_deletable(self, script: Script, old: Script | None, class_name: str) -> None:
        if old is None or class_name not in old.code:
            raise Rejected(10074, f"{class_name} was not exported in the previous version of the script")
        bound = [b for b in (*script.bindings, *old.bindings) if b[1] == class_name]
        if bound:
            raise Rejected(10061, f"delete-class of {class_name} without removing the binding {bound[0][0]}")
        self._check_no_binders(script.name, class_name)

    def _check_no_binders(self, host: str, class_name: str) -> None:
        for other in self.scripts.values():
            if other.name != host and any(b[1:] == (class_name, host) for b in other.bindings):
                raise Rejected(
                    "tombstone_delete_blocked_by_external_bindings", f"{class_name} is bound by {other.name}"
                )

    def _place(self, space: Space, script: str, class_name: str) -> None:
        old = (space.script, space.class_name)
        space.script, space.class_name = script, class_name
        self.spaces[script, class_name] = space
        for other in self.scripts.values():  # bindings to the old class forward to the new one
            other.bindings = frozenset(
                (n, class_name, None if other.name == script else script) if (h or other.name, c) == old else (n, c, h)
                for n, c, h in other.bindings
            )

    def _make(self, script: str, class_name: str, storage: str) -> None:
        self.made += 1
        self.spaces[script, class_name] = Space(f"{self.made:012x}{self.made:020x}", script, class_name, storage)

    # --- exports

    def _reconcile(  # noqa: C901 - one rule after another
        self, script: Script, old: Script | None, exports: dict[str, dict[str, Any]]
    ) -> None:
        allowed = {
            "created": {"storage"},
            "deleted": set(),
            "renamed": {"renamed_to"},
            "transferred": {"transferred_to"},
            "expecting-transfer": {"storage", "transfer_from"},
        }
        states: dict[str, tuple[str, dict[str, Any]]] = {}
        for class_name, entry in exports.items():
            state = entry.get("state", "created")
            fields = entry.keys() - {"type", "state"}
            if entry.get("type") != "durable-object" or state not in allowed or fields != allowed[state]:
                raise Rejected("invalid_export", f"{class_name}: {entry}")
            states[class_name] = (state, entry)
        for host, class_name in self.spaces:
            if host == script.name and class_name not in states:
                scenario = (
                    "provisioned_class_missing_from_config"
                    if class_name in script.code
                    else "orphaned_provisioned_namespace"
                )
                raise Rejected(scenario, class_name)
        provisioned = {c for h, c in self.spaces if h == script.name}
        for class_name, (state, entry) in states.items():
            if state == "renamed":
                self._rename(script, class_name, entry, states, provisioned)
            elif state == "deleted":
                self._delete_class(script, old, class_name)
            elif state == "transferred":
                self._commit(script.name, class_name, entry["transferred_to"])
            elif state == "expecting-transfer":
                self._expect(script, class_name, entry, provisioned)
        for class_name, (state, entry) in states.items():
            if state == "created":
                self._live(script, class_name, entry)
        self.pending = {
            target: source
            for target, source in self.pending.items()
            if target[0] != script.name or states.get(target[1], ("",))[0] == "expecting-transfer"
        }

    def _rename(
        self,
        script: Script,
        class_name: str,
        entry: dict[str, Any],
        states: dict[str, tuple[str, dict[str, Any]]],
        provisioned: set[str],
    ) -> None:
        target = entry["renamed_to"]
        if target == class_name or states.get(target, ("",))[0] != "created":
            raise Rejected("invalid_export", f"{class_name} is renamed to {target}, which is no live entry")
        if class_name not in provisioned:
            return  # a stale tombstone has no effect
        if target in provisioned:
            raise Rejected("tombstone_renamed_to_occupied", target)
        if target not in script.code:
            raise Rejected("config_export_not_in_code", target)
        self._place(self.spaces.pop((script.name, class_name)), script.name, target)

    def _delete_class(self, script: Script, old: Script | None, class_name: str) -> None:
        if class_name in script.code:
            raise Rejected("tombstone_delete_class_still_in_code", class_name)
        if (script.name, class_name) not in self.spaces:
            return
        if any(b[1] == class_name for b in (*script.bindings, *(old.bindings if old else ()))):
            raise Rejected(10061, f"{class_name} is deleted while the script binds it")
        self._check_no_binders(script.name, class_name)
        del self.spaces[script.name, class_name]

    def _commit(self, source: str, class_name: str, target: str) -> None:
        if (source, class_name) not in self.spaces:
            return
        if self.pending.get((target, class_name)) != (source, class_name):
            raise Rejected("transferred_pending_not_found", class_name)
        if (target, class_name) in self.spaces:
            raise Rejected("phase_one_transfer_target_class_provisioned", class_name)
        del self.pending[target, class_name]
        self._place(self.spaces.pop((source, class_name)), target, class_name)

    def _expect(self, script: Script, class_name: str, entry: dict[str, Any], provisioned: set[str]) -> None:
        source = entry["transfer_from"]
        if source not in self.scripts:
            raise Rejected("phase_one_transfer_source_missing", source)
        space = self.spaces.get((source, class_name))
        if space is None:
            raise Rejected("phase_one_transfer_source_namespace_missing", class_name)
        if self.scripts[source].form != "exports":
            raise Rejected("transferred_pending_not_found", f"{source} does not use exports")
        if class_name in provisioned:
            raise Rejected("phase_one_transfer_target_class_provisioned", class_name)
        if _storage(entry) != space.storage:
            raise Rejected("storage_type_mismatch", class_name)
        if class_name not in script.code:
            raise Rejected("config_export_not_in_code", class_name)
        if any(c == class_name and h in {None, script.name} for _, c, h in script.bindings):
            raise Rejected(10061, f"{class_name} is bound before it arrives")
        self.pending[script.name, class_name] = (source, class_name)

    def _live(self, script: Script, class_name: str, entry: dict[str, Any]) -> None:
        if class_name not in script.code:
            raise Rejected("config_export_not_in_code", class_name)
        space = self.spaces.get((script.name, class_name))
        if space is not None:
            if space.storage != _storage(entry):
                raise Rejected("storage_type_mismatch", class_name)
            return
        if _storage(entry) == "kv":
            raise Rejected("storage_type_mismatch", f"{class_name}: legacy-kv needs a namespace that is KV already")
        self._make(script.name, class_name, "sqlite")


def _storage(entry: dict[str, Any]) -> str:
    return {"sqlite": "sqlite", "legacy-kv": "kv"}[entry["storage"]]
