"""Another tool at work on the same account: raw API calls that Cloudflare takes, with what it finds kept or not.

It keeps tags, secrets and bindings as wrangler and Terraform do, unless an edit is about them; it knows nothing of
stable IDs. Each edit says what it did in a few words, or None where it had nothing to work on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    import httpx
    from kernels import Cloud

CLASSES = tuple(f"K{n}" for n in range(1, 7))
OTHERS_CLASSES = ("K1", "K2", "X1", "X2", "X3")
DATE = "2026-01-01"


def source_of(classes: Iterable[str], note: str) -> str:
    """Write a Worker; GET /BINDING/VALUE gives the id of the object `one` and the first value that it was given."""
    return "\n".join(
        (
            'import { DurableObject } from "cloudflare:workers";',
            "class Marked extends DurableObject { async mark(value) {",
            '  let first = await this.ctx.storage.get("mark");',
            '  if (first === undefined && value) await this.ctx.storage.put("mark", (first = value));',
            '  return `${this.ctx.id} ${first ?? ""}`;',
            "} }",
            *(f"export class {name} extends Marked {{}}" for name in sorted(classes)),
            f"// {note}",
            "export default { async fetch(request, env) {",
            '  const [, name, value] = new URL(request.url).pathname.split("/");',
            '  return new Response(name ? await env[name].getByName("one").mark(value) : "ok");',
            "}, scheduled() {} };",
            "",
        )
    )


class Tool:
    """The other tool."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.tags = 0

    # --- what is live

    def hosted(self, script: str) -> list[str]:
        """Give the classes of a script."""
        return sorted(c for s, c in self.cloud.namespaces().values() if s == script)

    def bindings(self, script: str) -> list[dict[str, Any]]:
        """Give the bindings of a script as they can be sent again."""
        kept = []
        for binding in self.cloud.get(f"/workers/scripts/{script}/settings")["bindings"]:
            if binding["type"] == "durable_object_namespace":
                kept.append({k: v for k, v in binding.items() if k in {"type", "name", "class_name", "script_name"}})
            elif binding["type"] == "secret_text":
                kept.append({"type": "inherit", "name": binding["name"]})
            else:
                kept.append(binding)
        return kept

    # --- uploads

    def upload(
        self,
        script: str,
        classes: Iterable[str],
        *,
        note: str = "by another tool",
        bindings: list[dict[str, Any]] | None = None,
        entries: dict[str, Any] | None = None,
        steps: list[dict[str, Any]] | None = None,
        path: str = "",
        method: str = "PUT",
        code: str | None = None,
    ) -> httpx.Response:
        """Upload a script; `entries` are what `exports` says besides the live classes, `steps` those of a migration."""
        live = self.cloud.scripts().get(script)
        metadata: dict[str, Any] = {"main_module": "index.js", "compatibility_date": DATE}
        metadata["bindings"] = bindings if bindings is not None else self.bindings(script) if live else []
        if live:
            metadata["tags"] = live.get("tags") or []
        if live and live.get("exports"):
            plain = {c: {"type": "durable-object", "storage": "sqlite"} for c in classes}
            metadata["exports"] = {**plain, **(entries or {})}
        elif steps:
            self.tags += 1
            old = {"old_tag": live["migration_tag"]} if live and live.get("migration_tag") else {}
            metadata["migrations"] = {**old, "new_tag": f"other-v{self.tags}", "steps": steps}
        text = source_of(classes, note) if code is None else code
        files = {
            "metadata": (None, json.dumps(metadata)),
            "index.js": ("index.js", text, "application/javascript+module"),
        }
        return self.cloud.send(method, f"/workers/scripts/{script}{path}", files=files)

    def _declarative(self, script: str) -> bool:
        return bool(self.cloud.scripts()[script].get("exports"))

    def rename(self, script: str, old: str, new: str, *, follow: bool) -> str | None:
        """Rename a class; with `follow` the script's own bindings follow it."""
        classes = [new if c == old else c for c in self.hosted(script)]
        bindings = self.bindings(script)
        for binding in bindings:
            own = binding.get("script_name") in {None, script} and binding.get("class_name") == old
            if own and (follow or old not in classes):
                binding["class_name"] = new
        entries = {old: {"type": "durable-object", "state": "renamed", "renamed_to": new}}
        steps = [{"renamed_classes": [{"from": old, "to": new}]}]
        answer = self.upload(script, classes, bindings=bindings, entries=entries, steps=steps)
        return f"rename {script}.{old} to {new}" if answer.status_code == 200 else None

    def swap(self, script: str, one: str, two: str, *, follow: bool) -> str | None:
        """Swap two classes by three uploads."""
        for old, new in ((one, "Spare"), (two, one), ("Spare", two)):
            if self.rename(script, old, new, follow=True) is None:
                return None
        if not follow:  # the bindings say again what they said: each reaches the other one's objects now
            bindings = self.bindings(script)
            swapped = {one: two, two: one}
            for binding in bindings:
                if binding.get("script_name") in {None, script}:
                    binding |= {"class_name": swapped.get(binding.get("class_name", ""), binding.get("class_name"))}
            bindings = [{k: v for k, v in b.items() if v is not None} for b in bindings]
            self.upload(script, self.hosted(script), bindings=bindings)
        return f"swap {script}.{one} and {script}.{two}{' with their bindings' if follow else ''}"

    def transfer(self, source: str, name: str, target: str) -> str | None:
        """Move a class to another script, as each form wants it."""
        if self._declarative(source) != self._declarative(target) or name in self.hosted(target):
            return None
        arrives = {name: {"type": "durable-object", "state": "expecting-transfer", "transfer_from": source}}
        arrives[name]["storage"] = "sqlite"
        steps = [{"transferred_classes": [{"from": name, "from_script": source, "to": name}]}]
        here = {"type": "durable_object_namespace", "name": f"T_{name}", "class_name": name}
        bound = [b for b in self.bindings(target) if b["name"] != f"T_{name}"]
        if self._declarative(source):
            self.upload(target, [*self.hosted(target), name], entries=arrives)
            leaves = {name: {"type": "durable-object", "state": "transferred", "transferred_to": target}}
            rest = [c for c in self.hosted(source) if c != name]
            answer = self.upload(source, rest, entries=leaves, bindings=self._without(source, name))
            self.upload(target, self.hosted(target), bindings=[*bound, here])
        else:
            answer = self.upload(target, [*self.hosted(target), name], steps=steps, bindings=[*bound, here])
            if answer.status_code == 200:
                self.upload(source, self.hosted(source), bindings=self._without(source, name))
        return f"transfer {source}.{name} to {target}" if answer.status_code == 200 else None

    def _without(self, script: str, name: str) -> list[dict[str, Any]]:
        return [b for b in self.bindings(script) if b.get("class_name") != name]

    def add(self, script: str, name: str) -> str | None:
        """Add a class of the tool's own, to a script that may be new."""
        live = script in self.cloud.scripts()
        hosted = self.hosted(script)
        if name in hosted:
            return None
        bindings = [b for b in (self.bindings(script) if live else []) if b["name"] != f"X_{name}"]
        bindings.append({"type": "durable_object_namespace", "name": f"X_{name}", "class_name": name})
        steps = [{"new_sqlite_classes": [name]}]
        answer = self.upload(script, [*hosted, name], bindings=bindings, steps=steps)
        return f"add {script}.{name}" if answer.status_code == 200 else None

    def drop(self, script: str, name: str) -> str | None:
        """Delete a class with its objects."""
        rest = [c for c in self.hosted(script) if c != name]
        entries = {name: {"type": "durable-object", "state": "deleted"}}
        steps = [{"deleted_classes": [name]}]
        answer = self.upload(script, rest, bindings=self._without(script, name), entries=entries, steps=steps)
        return f"delete {script}.{name}" if answer.status_code == 200 else None

    def same_code(self, script: str) -> str | None:
        """Upload the very code that is live."""
        answer = self.cloud.send("GET", f"/workers/scripts/{script}/content/v2")
        code = answer.text.partition("\r\n\r\n")[2].rpartition("\r\n--")[0]
        done = self.upload(script, self.hosted(script), code=code)
        return f"the same code of {script}" if done.status_code == 200 else None

    def other_code(self, script: str, note: str) -> str | None:
        """Upload other code, everything else kept."""
        done = self.upload(script, self.hosted(script), note=note)
        return f"other code of {script}" if done.status_code == 200 else None

    # --- what is no upload of a script

    def settings(self, script: str, rng: Random) -> str | None:
        """Change a setting of the running version."""
        wanted = rng.choice(
            ({"compatibility_date": "2026-02-02"}, {"observability": {"enabled": True}}, {"limits": {}})
        )
        files = {"settings": (None, json.dumps(wanted), "application/json")}
        answer = self.cloud.send("PATCH", f"/workers/scripts/{script}/settings", files=files)
        return f"set {min(wanted)} of {script}" if answer.status_code == 200 else None

    def secret(self, script: str, rng: Random) -> str | None:
        """Set or delete a secret."""
        if rng.random() < 0.3:
            answer = self.cloud.send("DELETE", f"/workers/scripts/{script}/secrets/SECRET")
        else:
            body = {"name": rng.choice(("SECRET", "MORE")), "text": "by another tool", "type": "secret_text"}
            answer = self.cloud.send("PUT", f"/workers/scripts/{script}/secrets", json=body)
        return f"a secret of {script}" if answer.status_code == 200 else None

    def triggers(self, script: str, rng: Random) -> str | None:
        """Change cron triggers or the address."""
        if rng.random() < 0.5:
            answer = self.cloud.send("PUT", f"/workers/scripts/{script}/schedules", json=[{"cron": "5 5 * * *"}])
        else:
            answer = self.cloud.send("POST", f"/workers/scripts/{script}/subdomain", json={"enabled": False})
        return f"triggers of {script}" if answer.status_code == 200 else None

    def strip_tags(self, script: str) -> str | None:
        """Take all tags away, as a tool that sets its own list does."""
        answer = self.cloud.send("PATCH", f"/workers/scripts/{script}/script-settings", json={"tags": []})
        return f"no tags on {script}" if answer.status_code == 200 else None

    def delete(self, script: str) -> str | None:
        """Delete a Worker with all that it hosts."""
        answer = self.cloud.send("DELETE", f"/workers/scripts/{script}?force=true")
        return f"delete {script}" if answer.status_code == 200 else None

    # --- gradual deployments

    def split(self, script: str) -> str | None:
        """Deploy a new version at 50 % beside the live one."""
        deployments = self.cloud.get(f"/workers/scripts/{script}/deployments")["deployments"]
        if not deployments or len(deployments[0]["versions"]) > 1:
            return None
        made = self.upload(script, self.hosted(script), note="a gradual one", path="/versions", method="POST")
        if made.status_code != 200:
            return None
        shares = [deployments[0]["versions"][0]["version_id"], made.json()["result"]["id"]]
        return self._shares(script, [{"version_id": v, "percentage": 50} for v in shares], "split")

    def whole(self, script: str) -> str | None:
        """Bring one version of a split to 100 %."""
        versions = self.cloud.get(f"/workers/scripts/{script}/deployments")["deployments"][0]["versions"]
        return self._shares(script, [{"version_id": versions[0]["version_id"], "percentage": 100}], "join")

    def _shares(self, script: str, shares: list[dict[str, Any]], word: str) -> str | None:
        body = {"strategy": "percentage", "versions": shares}
        answer = self.cloud.send("POST", f"/workers/scripts/{script}/deployments", json=body)
        return f"{word} {script}" if answer.status_code == 200 else None
