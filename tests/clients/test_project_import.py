"""Small wrangler projects of our own, deployed by the real wrangler and imported: nothing is left to plan.

Each project has one kind of thing in it. Its Worker is live as wrangler left it; after the import the plan has no
migration, no change of a binding and none of a setting, and of the code only what the two bundles differ in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNTER = """import { DurableObject } from "cloudflare:workers";
import { word } from "./word";

// A comment that no bundle keeps.
export class Counter extends DurableObject<Env> {
  async increment(): Promise<number> {
    const count = ((await this.ctx.storage.get<number>("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
}
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    return new Response(word + (await env.COUNTER.getByName("a").increment()));
  },
  async queue() {},
  async scheduled() {},
};
"""
WORD = 'export const word: string = "n";\n'
OBJECTS = {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]}
STEPS = [{"tag": "v1", "new_sqlite_classes": ["Counter"]}]
BASE = {"main": "src/index.ts", "compatibility_date": "2026-06-01"}
PLAIN = {**BASE, "durable_objects": OBJECTS, "migrations": STEPS}
CALLER = "export default { fetch: (request, env) => env.API.fetch(request) };\n"
FAR = """export default {
  fetch: async (request, env) => new Response("far" + (await env.COUNTER.getByName("a").increment())),
};
"""
TOML = """name = "toml"
main = "src/index.ts" # the source
compatibility_date = "2026-06-01"
compatibility_flags = [ "nodejs_compat" ]

[[durable_objects.bindings]]
name = "COUNTER"
class_name = "Counter"

[[migrations]]
tag = "v1"
new_sqlite_classes = [ "Counter" ]

[vars]
WORD = "a b"
[vars.TABLE]
list = [ 1, 2 ]
"""
JSONC = """{
  // as `npm create cloudflare` writes it
  "$schema": "node_modules/wrangler/config-schema.json",
  "name": "jsonc",
  "main": "src/index.ts",
  "compatibility_date": "2026-06-01",
  "durable_objects": { "bindings": [{ "name": "COUNTER", "class_name": "Counter" },], },
  "exports": { "Counter": { "type": "durable-object", "storage": "sqlite" } },
  /* on by default for new projects */ "observability": { "enabled": true },
}
"""


class Program(NamedTuple):
    """A project: its files besides the counter, what is deployed in which folder, and what is imported."""

    files: dict[str, Any]
    deploys: tuple[tuple[str, ...], ...] = (("",),)
    path: str = ""
    env: str = ""
    workers: tuple[str, ...] = ()
    same_code: bool = True
    sent: frozenset[str] = frozenset()
    """Kinds of changes that the plan shows all the same."""


def one(**config: Any) -> dict[str, Any]:
    """Give a project of one configuration."""
    return {"wrangler.jsonc": {**PLAIN, **config}}


PROGRAMS: dict[str, Program] = {
    "toml": Program({"wrangler.toml": TOML}, workers=("toml",)),
    "jsonc-exports": Program({"wrangler.jsonc": JSONC}, workers=("jsonc",)),
    "environment": Program(
        one(
            name="env",
            vars={"A": "top"},
            env={"staging": {"vars": {"A": "staging"}, "durable_objects": OBJECTS}, "other": {}},
        ),
        deploys=(("", "--env", "staging"),),
        env="staging",
        workers=("env-staging",),
    ),
    "several-workers": Program(
        {
            "api/wrangler.jsonc": {**PLAIN, "name": "several-api"},
            "web/wrangler.toml": 'name = "several-web"\nmain = "index.js"\ncompatibility_date = "2026-06-01"\n'
            '[[services]]\nbinding = "API"\nservice = "several-api"\n',
            "web/index.js": CALLER,
            "far/wrangler.json": {
                "name": "several-far",
                "main": "index.js",
                "compatibility_date": "2026-06-01",
                "durable_objects": {
                    "bindings": [{"name": "COUNTER", "class_name": "Counter", "script_name": "several-api"}]
                },
            },
            "far/index.js": FAR,
            "node_modules/some/wrangler.json": {"name": "never"},
        },
        deploys=(("api",), ("web",), ("far",)),
        workers=("several-api", "several-web", "several-far"),
    ),
    "redirect": Program(
        {
            "wrangler.jsonc": {**PLAIN, "name": "built"},
            ".wrangler/deploy/config.json": {"configPath": "../../dist/built/wrangler.json", "auxiliaryWorkers": []},
            "dist/built/wrangler.json": {
                **PLAIN,
                "name": "built",
                "main": "index.js",
                "no_bundle": True,
                "rules": [{"type": "ESModule", "globs": ["**/*.js"]}],
                "userConfigPath": "/somewhere/wrangler.jsonc",
                "topLevelName": "built",
                "definedEnvironments": [],
                "triggers": {},
                "kv_namespaces": [],
                "dev": {"port": 8787},
            },
            "dist/built/index.js": 'import { DurableObject } from "cloudflare:workers";\n'
            "export class Counter extends DurableObject { async increment() { return 1; } }\n"
            "export default { fetch: () => new Response('built') };\n",
        },
        workers=("built",),
    ),
    "everything": Program(
        one(
            name="whole",
            vars={"TEXT": "a", "NUMBER": 1, "TABLE": {"a": [None]}},
            r2_buckets=[{"binding": "BUCKET", "bucket_name": "pictures"}],
            ratelimits=[{"name": "LIMIT", "namespace_id": "1", "simple": {"limit": 5, "period": 10}}],
            version_metadata={"binding": "VERSION"},
            worker_loaders=[{"binding": "LOADER"}],
            services=[{"binding": "SELF", "service": "whole", "props": {"a": 1}}],
            queues={
                "producers": [{"binding": "JOBS", "queue": "jobs"}],
                "consumers": [{"queue": "mail", "max_batch_size": 5, "max_batch_timeout": 2, "max_retries": 1}],
            },
            triggers={"crons": ["*/5 * * * *", "0 3 * * *"]},
            observability={"enabled": True, "head_sampling_rate": 0.5},
            placement={"mode": "smart"},
            limits={"cpu_ms": 100},
            logpush=True,
            workers_dev=True,
            preview_urls=True,
        ),
        workers=("whole",),
    ),
    "renamed": Program(
        one(
            name="renamed",
            migrations=[
                {"tag": "v1", "new_sqlite_classes": ["First"]},
                {"tag": "v2", "renamed_classes": [{"from": "First", "to": "Counter"}]},
            ],
        ),
        workers=("renamed",),
    ),
    "assets": Program(
        one(name="site", assets={"directory": "./public", "binding": "ASSETS"})
        | {"public/page.html": "<h1>page</h1>", "public/_headers": "/*\n  x-a: b\n"},
        workers=("site",),
        sent=frozenset({"assets"}),
    ),
}
THOROUGH = {"several-workers", "jsonc-exports", "renamed"}


def write(folder: Path, files: dict[str, Any]) -> None:
    """Write a project, the counter beside each configuration that names it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        if path.name.startswith("wrangler.") and "src/index.ts" in path.read_text():
            (path.parent / "src").mkdir(exist_ok=True)
            (path.parent / "src" / "index.ts").write_text(COUNTER)
            (path.parent / "src" / "word.ts").write_text(WORD)


@pytest.fixture(scope="module")
def account(shared_cloud: Any) -> Any:
    """Give the Cloudflare of all programs, with the queues that they name."""
    headers = {"Authorization": f"Bearer {shared_cloud.target.token()}"}
    base = f"{shared_cloud.target.api}/accounts/{shared_cloud.target.account_id}"
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
        for queue in ("jobs", "mail"):
            assert client.post("/queues", json={"queue_name": queue}).status_code == 200
    return shared_cloud


@pytest.fixture
def here(account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, on the Cloudflare of the programs."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(account.target.data))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def deploy(account: Any, node: Path, node_packages: Path) -> Callable[..., str]:
    """Deploy a folder with the real wrangler."""
    program = node_packages / "wrangler" / "bin" / "wrangler.js"
    return lambda folder, *words: str(account.run(node, program, "deploy", *words, cwd=folder))


NAMES = [pytest.param(n, marks=[pytest.mark.thorough] if n in THOROUGH else []) for n in sorted(PROGRAMS)]


@pytest.mark.parametrize("name", NAMES)
def test_an_unchanged_deployed_project_has_nothing_to_plan(here: Path, deploy: Callable[..., str], name: str) -> None:
    """Issue 14: no migration, no change of a binding or setting, and of the code none where both bundles are equal."""
    program = PROGRAMS[name]
    write(here / name, program.files)
    for folder, *words in program.deploys:
        deploy(here / name / folder, *words)
    session = nd.session(name, stage=program.env or "production")
    found = session.import_wrangler(here / name / program.path, program.env or None)
    assert sorted(w.name or "" for w in session.catalog.workers.values()) == sorted(program.workers)
    plan = session.plan()
    assert [r.message for r in plan.refusals] == []
    assert plan.migrations.empty
    changed = {c.kind for c in (*plan.changes, *plan.drift) if c.action != "noop"}
    allowed = program.sent | (set() if program.same_code else {"code"})
    assert changed <= allowed, [c.detail for c in (*plan.changes, *plan.drift)]
    assert found.cells[0] == f"%durable session {name} --stage {program.env or 'production'}"
    assert len(found.cells) == 1 + len(session.catalog.namespaces) + len(program.workers)


@pytest.mark.thorough
def test_wrangler_goes_on_beside_the_session_that_imported_its_project(here: Path, deploy: Callable[..., str]) -> None:
    """Issue 11, 2: a deploy from here sends no migration, so wrangler still deploys the project, and data stays."""
    write(here / "beside", one(name="beside", vars={"A": "a"}))
    deploy(here / "beside")
    session = nd.session("beside", stage="production")
    session.import_wrangler("beside")
    ids = session.namespaces()["namespace_id"].tolist()
    assert session.fetch("beside").text == "n1"
    (here / "beside" / "src" / "word.ts").write_text('export const word: string = "m";\n')
    plan = session.plan()
    assert plan.migrations.empty
    session.deploy(plan)
    assert session.fetch("beside").text == "m2"
    assert session.plan().empty
    deploy(here / "beside")
    assert session.fetch("beside").text == "m3"
    session.import_wrangler("beside")
    assert session.plan().empty
    assert session.namespaces()["namespace_id"].tolist() == ids
