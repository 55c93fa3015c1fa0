"""Small wrangler projects of our own, one for each kind of thing that a project can have in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
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
DATE = {"compatibility_date": "2026-06-01"}
BASE = {"main": "src/index.ts", **DATE}
PLAIN = {**BASE, "durable_objects": OBJECTS, "migrations": STEPS}
CALLER = "export default { fetch: (request, env) => env.API.fetch(request) };\n"
FAR = """export default {
  fetch: async (request, env) => new Response("far" + (await env.COUNTER.getByName("a").increment())),
};
"""
FAR_OBJECTS = {"bindings": [{"name": "COUNTER", "class_name": "Counter", "script_name": "several-api"}]}
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
BUILT = (
    'import { DurableObject } from "cloudflare:workers";\n'
    "export class Counter extends DurableObject { async increment() { return 1; } }\n"
    "export default { fetch: () => new Response('built') };\n"
)
SAYS = "export default { fetch: (request) => new Response(new URL(request.url).pathname) };\n"
NOT_SERVED = """export default { async fetch(request, env) {
  try { return Response.json(await env.AI.run("a-model", {})); } catch (error) { return new Response(error.message); }
} };
"""
FLOW = """import { WorkflowEntrypoint } from "cloudflare:workers";
export class Flow extends WorkflowEntrypoint {
  async run(event, step) { return await step.do("double", async () => event.payload.n * 2); }
}
export default { async fetch(request, env) {
  const instance = await env.FLOW.create({ params: { n: 21 } });
  let found = await instance.status();
  for (let turn = 0; turn < 100 && found.status !== "complete"; turn++) {
    await scheduler.wait(50);
    found = await instance.status();
  }
  return Response.json([found.status, found.output]);
} };
"""
STORES = """import { EmailMessage } from "cloudflare:email";
export default { async fetch(request, env) {
  const found = "CREATE VIRTUAL TABLE IF NOT EXISTS found USING fts5(text)";
  await env.DB.batch([found, "DELETE FROM found"].map((sql) => env.DB.prepare(sql)));
  await env.DB.prepare("INSERT INTO found VALUES (?)").bind("a text with words").run();
  const rows = (await env.DB.prepare("SELECT text FROM found WHERE found MATCH 'words'").all()).results;
  await env.KV.put("key", "value");
  const mail = new EmailMessage("a@example.com", "b@example.com", "Subject: x");
  const { country, colo } = request.cf;
  return Response.json([rows, await env.KV.get("key"), mail.to, country, colo, request.headers.has("cf-ray")]);
} };
"""


class Program(NamedTuple):
    """A project: its files besides the counter, what is deployed in which folder, and what is imported.

    `asks` are what is called of each Worker: a path, or the host of a route with one; `build` says that a build command
    makes the entrypoint.
    """

    files: dict[str, Any]
    deploys: tuple[tuple[str, ...], ...] = (("",),)
    env: str = ""
    workers: tuple[str, ...] = ()
    asks: tuple[str, ...] = ("/",)
    build: bool = False
    sent: frozenset[str] = frozenset()
    """Kinds of changes that the plan shows all the same."""


def one(**config: Any) -> dict[str, Any]:
    """Give a project of one configuration."""
    return {"wrangler.jsonc": {**PLAIN, **config}}


PROGRAMS: dict[str, Program] = {
    # --- the configuration: its languages, its place, its environments
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
    "top-level": Program(
        one(name="top", env={"staging": {"vars": {"A": "staging"}}}), deploys=(("", "--env", ""),), workers=("top",)
    ),
    "several-workers": Program(
        {
            "api/wrangler.jsonc": {**PLAIN, "name": "several-api"},
            "web/wrangler.toml": 'name = "several-web"\nmain = "index.js"\ncompatibility_date = "2026-06-01"\n'
            '[[services]]\nbinding = "API"\nservice = "several-api"\n',
            "web/index.js": CALLER,
            "far/wrangler.json": {"name": "several-far", "main": "index.js", **DATE, "durable_objects": FAR_OBJECTS},
            "far/index.js": FAR,
            "node_modules/some/wrangler.json": {"name": "never"},
        },
        deploys=(("api",), ("web",), ("far",)),
        workers=("several-api", "several-web", "several-far"),
    ),
    "two-with-one-class": Program(
        {"a/wrangler.jsonc": {**PLAIN, "name": "two-a"}, "b/wrangler.jsonc": {**PLAIN, "name": "two-b"}},
        deploys=(("a",), ("b",)),
        workers=("two-a", "two-b"),
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
            "dist/built/index.js": BUILT,
        },
        workers=("built",),
    ),
    # --- the source
    "bundled": Program(
        {
            "deep/app/wrangler.json": {
                **DATE,
                "name": "bundled",
                "main": "src/index.js",
                "define": {"MODE": '"quick"'},
                "alias": {"math": "./lib/math.ts"},
                "rules": [{"type": "Text", "globs": ["**/*.md"], "fallthrough": True}],
                "tsconfig": "conf/tsconfig.json",
                "minify": True,
            },
            "deep/app/src/index.js": "import { big } from 'math'; import readme from './README.md';\n"
            "import { a } from '~/a'; import words from './words.txt';\n"
            "export default { fetch: () => Response.json([MODE, big(2), readme, a, words, process.env.NODE_ENV]) };\n",
            "deep/app/src/README.md": "# Read",
            "deep/app/src/words.txt": "words",
            "deep/app/lib/math.ts": "export const big = (n: number): number => n * 1000;\n",
            "deep/app/other/a.ts": "export const a = 'by paths';\n",
            "deep/app/conf/tsconfig.json": {"compilerOptions": {"paths": {"~/*": ["../other/*"]}}},
        },
        deploys=(("deep/app",),),
        workers=("bundled",),
    ),
    "additional-modules": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "additional",
                "main": "app/src/index.js",
                "base_dir": "app",
                "find_additional_modules": True,
                "rules": [{"type": "ESModule", "globs": ["lang/*.mjs"]}],
            },
            "app/src/index.js": "export default { fetch: async () => new Response(\n"
            "  (await Promise.all(['en', 'de'].map((l) => import(`../lang/${l}.mjs`)))).map((m) => m.default)) };\n",
            "app/lang/en.mjs": "export default 'hello';\n",
            "app/lang/de.mjs": "export default 'hallo';\n",
        },
        workers=("additional",),
    ),
    "build-command": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "commanded",
                "main": "dist/index.js",
                "build": {"command": "mkdir -p ../dist && cp ../src.js ../dist/index.js", "cwd": "tools"},
            },
            "src.js": "export default { fetch: () => new Response('made by a command') };\n",
            "tools/README.txt": "",
        },
        workers=("commanded",),
        build=True,
    ),
    # --- classes
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
    "renamed-exports": Program(
        {
            "wrangler.json": {
                **BASE,
                "name": "renamed-exports",
                "durable_objects": OBJECTS,
                "exports": {"Counter": {"type": "durable-object", "storage": "sqlite"}},
            }
        },
        workers=("renamed-exports",),
    ),
    "deleted": Program(
        one(
            name="deleted",
            migrations=[
                {"tag": "v1", "new_sqlite_classes": ["Old"], "new_classes": ["Counter"]},
                {"tag": "v2", "deleted_classes": ["Old"]},
            ],
        ),
        workers=("deleted",),
    ),
    "not-bound": Program(
        {
            "wrangler.json": {**PLAIN, "name": "unbound", "main": "index.js", "durable_objects": {"bindings": []}},
            "index.js": BUILT,
        },
        workers=("unbound",),
    ),
    # --- bindings and settings
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
    "routes": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "routed",
                "main": "index.js",
                "routes": [
                    "example.net/a/*",
                    {"pattern": "shop.example.com/*", "zone_name": "example.com"},
                ],
            },
            "index.js": SAYS,
        },
        workers=("routed",),
        asks=("/", "example.net/a/1", "example.net/b", "shop.example.com/x"),
    ),
    "custom-domain": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "at-a-domain",
                "main": "index.js",
                "routes": [{"pattern": "app.example.org", "custom_domain": True}],
                "workers_dev": True,
            },
            "index.js": SAYS,
        },
        workers=("at-a-domain",),
        asks=("/on-workers-dev", "app.example.org/x"),
    ),
    "not-served": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "not-served",
                "main": "index.js",
                "ai": {"binding": "AI"},
                "browser": {"binding": "BROWSER"},
                "images": {"binding": "IMAGES"},
                "vectorize": [{"binding": "VECTORS", "index_name": "vectors"}],
                "hyperdrive": [{"binding": "HYPERDRIVE", "id": "a" * 32}],
                "analytics_engine_datasets": [{"binding": "DATA", "dataset": "data"}],
                "send_email": [{"name": "MAIL"}],
                "secrets_store_secrets": [{"binding": "STORED", "store_id": "a" * 32, "secret_name": "key"}],
                "mtls_certificates": [{"binding": "CERTIFICATE", "certificate_id": "a" * 32}],
            },
            "index.js": NOT_SERVED,
        },
        workers=("not-served",),
    ),
    "workflow": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "flows",
                "main": "index.js",
                "workflows": [{"name": "flow", "binding": "FLOW", "class_name": "Flow"}],
            },
            "index.js": FLOW,
        },
        workers=("flows",),
    ),
    "stores": Program(
        {
            "wrangler.json": {
                **DATE,
                "name": "stores",
                "main": "index.js",
                "compatibility_flags": ["d1_binding_jsrpc"],
                "kv_namespaces": [{"binding": "KV", "id": "a" * 32}],
                "d1_databases": [
                    {"binding": "DB", "database_name": "db", "database_id": "aaaaaaaa-0000-4000-8000-aaaaaaaaaaaa"}
                ],
            },
            "index.js": STORES,
        },
        workers=("stores",),
    ),
    "secrets": Program(
        one(name="secret", secrets={"required": ["KEY"]}) | {"keys.json": {"KEY": "hush"}},
        deploys=(("", "--secrets-file", "keys.json"),),
        workers=("secret",),
    ),
    "assets": Program(
        one(name="site", assets={"directory": "./public", "binding": "ASSETS", "html_handling": "none"})
        | {
            "public/page.html": "<h1>page</h1>",
            "public/notes.md": "not sent",
            "public/.assetsignore": "*.md\n",
            "public/_headers": "/*\n  x-a: b\n",
        },
        workers=("site",),
        asks=("/page.html", "/page", "/notes.md"),
        sent=frozenset({"assets"}),
    ),
}
THOROUGH = PROGRAMS.keys() - {"environment", "everything"}
"""Each program is a process of wrangler, so that most of them are for the thorough run."""


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
