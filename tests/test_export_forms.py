"""Every form of exporting a Durable Object class: admitted and run, or refused with Cloudflare's code.

Each form is uploaded to a real local Cloudflare with a binding and a migration for class `C`; an admitted one must
also answer through the binding, so that "admitted" is not only the word of a probe.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sharing import thinned

from notebook_do.local.process import launch

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPORT = 'import { DurableObject } from "cloudflare:workers";\n'
BODY = "{ async fetch() { return new Response('pong'); } }"
HANDLER = """
export default {
  fetch(request, env) { return env.OBJECT.get(env.OBJECT.idFromName("one")).fetch(request); },
};
"""
NOT_EXPORTED = 10070
DOES_NOT_START = 10021

Form = str | dict[str, str]
ADMITTED: dict[str, Form] = {
    "named class": f"{IMPORT}export class C extends DurableObject {BODY}",
    "declared, then listed": f"{IMPORT}class C extends DurableObject {BODY}\nexport {{ C }};",
    "listed before it is declared": f"{IMPORT}export {{ C }};\nclass C extends DurableObject {BODY}",
    "listed under another name": f"{IMPORT}class Impl extends DurableObject {BODY}\nexport {{ Impl as C }};",
    "listed under a quoted name": f'{IMPORT}class Impl extends DurableObject {BODY}\nexport {{ Impl as "C" }};',
    "one class under two names": f"{IMPORT}class C extends DurableObject {BODY}\nexport {{ C, C as D }};",
    "class expression in a const": f"{IMPORT}export const C = class extends DurableObject {BODY};",
    "named class expression": f"{IMPORT}export const C = class Inner extends DurableObject {BODY};",
    "class assigned to a let later": f"{IMPORT}export let C;\nC = class extends DurableObject {BODY};",
    "another name for the base": (
        f'import {{ DurableObject as Base }} from "cloudflare:workers";\nexport class C extends Base {BODY}'
    ),
    "base from the module's namespace": (
        f'import * as workers from "cloudflare:workers";\nexport class C extends workers.DurableObject {BODY}'
    ),
    "extends a class that extends": (
        f"{IMPORT}class Base extends DurableObject {BODY}\nexport class C extends Base {{}}"
    ),
    "extends three deep": (
        f"{IMPORT}class A extends DurableObject {BODY}\nclass B extends A {{}}\nexport class C extends B {{}}"
    ),
    "mixin": (
        f"{IMPORT}const Pinging = (Base) => class extends Base {BODY};\n"
        "export class C extends Pinging(DurableObject) {}"
    ),
    "result of a factory": (
        f"{IMPORT}const make = (base) => class extends base {BODY};\nexport const C = make(DurableObject);"
    ),
    "wrapped in a Proxy, as instrumentation does": (
        f"{IMPORT}class Impl extends DurableObject {BODY}\n"
        "export const C = new Proxy(Impl, { construct: (target, given) => Reflect.construct(target, given) });"
    ),
    "private fields and static blocks": (
        f"{IMPORT}export class C extends DurableObject {{ static #made = 0; static {{ C.#made += 1; }}\n"
        "  #word = 'pong'; async fetch() { return new Response(this.#word); } }"
    ),
    "own constructor": (
        f"{IMPORT}export class C extends DurableObject {{\n"
        "  constructor(ctx, env) { super(ctx, env); this.word = 'pong'; }\n"
        "  async fetch() { return new Response(this.word); } }"
    ),
    "old style, extends nothing": (
        f"export class C {{ constructor(state, env) {{ this.state = state; }} {BODY[1:-1]} }}"
    ),
    "compiled to a function": (
        "function C(state, env) { this.state = state; }\n"
        "C.prototype.fetch = async function () { return new Response('pong'); };\nexport { C };"
    ),
    "re-exported from another module": {
        "main": 'export { C } from "./c.js";',
        "c.js": f"{IMPORT}export class C extends DurableObject {BODY}",
    },
    "re-exported under another name": {
        "main": 'export { Impl as C } from "./c.js";',
        "c.js": f"{IMPORT}export class Impl extends DurableObject {BODY}",
    },
    "re-exported with a star": {
        "main": 'export * from "./c.js";',
        "c.js": f"{IMPORT}export class C extends DurableObject {BODY}",
    },
    "re-exported default under its name": {
        "main": 'export { default as C } from "./c.js";',
        "c.js": f"{IMPORT}export default class extends DurableObject {BODY}",
    },
    "imported, then listed": {
        "main": 'import { C } from "./c.js";\nexport { C };',
        "c.js": f"{IMPORT}export class C extends DurableObject {BODY}",
    },
    "base from another module": {
        "main": 'import { Base } from "./base.js";\nexport class C extends Base {}',
        "base.js": f"{IMPORT}export class Base extends DurableObject {BODY}",
    },
    "through two modules": {
        "main": 'export * from "./a.js";',
        "a.js": 'export { C } from "./b.js";',
        "b.js": f"{IMPORT}export class C extends DurableObject {BODY}",
    },
}
REFUSED: dict[str, tuple[Form, int, str]] = {
    "no class at all": ("", NOT_EXPORTED, "not exported by script"),
    "declared and not exported": (f"{IMPORT}class C extends DurableObject {BODY}", NOT_EXPORTED, "not exported"),
    "other letters": (f"{IMPORT}export class c extends DurableObject {BODY}", NOT_EXPORTED, "'C'"),
    "only in the default object": ("DEFAULT_WITH_C", NOT_EXPORTED, "not exported"),
    "only a type of that name": (
        f"{IMPORT}export const C = {{ async fetch() {{ return new Response('pong'); }} }};",
        NOT_EXPORTED,
        "not exported",
    ),
    "an arrow function": ("export const C = () => new Response('pong');", NOT_EXPORTED, "not exported"),
    "an entrypoint, not an object": (
        f'import {{ WorkerEntrypoint }} from "cloudflare:workers";\nexport class C extends WorkerEntrypoint {BODY}',
        NOT_EXPORTED,
        "not exported",
    ),
    "a workflow, not an object": (
        'import { WorkflowEntrypoint as W } from "cloudflare:workers";\nexport class C extends W { run() {} }',
        NOT_EXPORTED,
        "not exported",
    ),
    "a default class alone": ("DEFAULT_CLASS", NOT_EXPORTED, "not exported"),
    "a number": ("export const C = 5;", DOES_NOT_START, "map entry 'C'"),
    "a string": ("export const C = 'class';", DOES_NOT_START, "map entry 'C'"),
    "CommonJS module.exports": (
        f"class C {BODY}\nmodule.exports = {{ C }};",
        DOES_NOT_START,
        "module is not defined",
    ),
    "CommonJS exports": (f"exports.C = class {BODY};", DOES_NOT_START, "exports is not defined"),
    "CommonJS require": (
        'const { DurableObject } = require("cloudflare:workers");\nexport class C extends DurableObject {}',
        DOES_NOT_START,
        "require is not defined",
    ),
    "a misspelt base": (
        f'import {{ DurableObjects }} from "cloudflare:workers";\nexport class C extends DurableObjects {BODY}',
        DOES_NOT_START,
        "DurableObjects",
    ),
    "a base that is not imported": (
        f"export class C extends DurableObject {BODY}",
        DOES_NOT_START,
        "DurableObject is not",
    ),
    "used before it is declared": (
        f"{IMPORT}export const made = new C();\nexport class C extends DurableObject {BODY}",
        DOES_NOT_START,
        "before initialization",
    ),
    "a module that is not there": ('export { C } from "./gone.js";', DOES_NOT_START, "gone.js"),
    "a name that the module lacks": (
        {"main": 'export { C } from "./c.js";', "c.js": "export const other = {};"},
        DOES_NOT_START,
        "'C'",
    ),
    "two exports of one name": (
        f"{IMPORT}export class C extends DurableObject {BODY}\nexport {{ C }};",
        DOES_NOT_START,
        "Duplicate export",
    ),
    "TypeScript that was not compiled": (
        f"{IMPORT}export class C extends DurableObject<Env> {BODY}",
        DOES_NOT_START,
        "SyntaxError",
    ),
    "an unfinished class": (f"{IMPORT}export class C extends DurableObject {{", DOES_NOT_START, "SyntaxError"),
    "a throw at the top": (
        f"{IMPORT}throw new Error('at the top');\nexport class C extends DurableObject {BODY}",
        DOES_NOT_START,
        "at the top",
    ),
    "an endless loop at the top": (
        f"{IMPORT}while (true) {{}}\nexport class C extends DurableObject {BODY}",
        DOES_NOT_START,
        "startup exceeded CPU time limit",
    ),
}
WHOLE = {
    "DEFAULT_WITH_C": f"{IMPORT}class C extends DurableObject {BODY}\nexport default {{ C, fetch() {{}} }};",
    "DEFAULT_CLASS": f"{IMPORT}export default class C extends DurableObject {BODY}\nexport const other = {{}};",
}


class Cloud:
    """The running local Cloudflare."""

    def __init__(self, target: Any) -> None:
        self.target = target
        headers = {"Authorization": f"Bearer {target.token()}"}
        self.http = httpx.Client(base_url=target.api, headers=headers, timeout=30, trust_env=False)

    def upload(self, name: str, form: Form) -> httpx.Response:
        """Upload a form as a Worker that binds and creates class C."""
        sources = {"main": form} if isinstance(form, str) else dict(form)
        main = sources.pop("main")
        metadata = {
            "main_module": "index.js",
            "compatibility_date": "2026-06-01",
            "bindings": [{"type": "durable_object_namespace", "name": "OBJECT", "class_name": "C"}],
            "migrations": {"new_tag": "v1", "new_sqlite_classes": ["C"]},
        }
        modules = {"index.js": WHOLE.get(main, main + "\n" + HANDLER), **sources}
        files: dict[str, Any] = {"metadata": (None, json.dumps(metadata))}
        files |= {n: (n, source, "application/javascript+module") for n, source in modules.items()}
        return self.http.put(f"/accounts/{self.target.account_id}/workers/scripts/{name}", files=files)

    def call(self, name: str) -> httpx.Response:
        """Call a Worker."""
        host = f"{name}.localhost:{self.target.workers_port}"
        return httpx.get(self.target.url, headers={"Host": host}, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def cloudflare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Run one local Cloudflare for all forms."""
    data = tmp_path_factory.mktemp("forms")
    cloud = Cloud(launch.ensure(data))
    yield cloud
    cloud.http.close()
    launch.stop(data)


def script_name(form: str) -> str:
    """Make a script name of a form's name."""
    return "".join(c if c.isalnum() else "-" for c in form.lower())[:50].strip("-")


@pytest.mark.parametrize("form", thinned(ADMITTED, of=4))
def test_a_form_that_cloudflare_admits_runs(cloudflare: Cloud, form: str) -> None:
    """The upload is taken, and the object answers through its binding."""
    name = script_name(form)
    uploaded = cloudflare.upload(name, ADMITTED[form])
    assert uploaded.status_code == 200, uploaded.text
    answer = cloudflare.call(name)
    assert (answer.status_code, answer.text) == (200, "pong")


@pytest.mark.parametrize("form", thinned(REFUSED, of=4))
def test_a_form_that_cloudflare_refuses_changes_nothing(cloudflare: Cloud, form: str) -> None:
    """The upload is refused with Cloudflare's code and a text that names the trouble; nothing is deployed."""
    source, code, words = REFUSED[form]
    name = script_name(form)
    refused = cloudflare.upload(name, source)
    assert refused.status_code != 200, refused.text
    (error,) = refused.json()["errors"]
    assert error["code"] == code, error
    assert words in error["message"], error
    assert cloudflare.call(name).status_code == 404
