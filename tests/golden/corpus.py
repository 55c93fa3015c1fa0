"""The declarations whose plans and uploads are pinned: every binding type, every Worker field, every kind of change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from world import Case, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from small_account import SmallAccount

DATE = "--compat-date 2026-01-01"
PLAIN = "export default { fetch() { return new Response('ok') } }\n"
PYTHON = "from workers import WorkerEntrypoint\nclass Default(WorkerEntrypoint):\n    pass\n"


def source(*classes: str, note: str = "") -> str:
    """Write a Worker that exports `classes`."""
    exported = "".join(f"export class {name} extends DurableObject {{}}\n" for name in classes)
    return f"import {{ DurableObject }} from 'cloudflare:workers'\n{exported}{PLAIN}{note}"


def worker(line: str, *classes: str, note: str = "", js: bool = False) -> str:
    """Write the cell of a Worker that exports `classes`; in Python, which needs no bundling, unless `js`."""
    if js:
        return f"%%durable worker {line} {DATE}\n{source(*classes, note=note)}"
    exported = "".join(f"class {name}(DurableObject):\n    pass\n" for name in classes)
    begun = "from workers import DurableObject\n" if classes else ""
    return f"%%durable worker {line} --lang py {DATE}\n{begun}{PYTHON}{exported}{note}"


def bound(*classes: str, more: str = "", js: bool = False) -> str:
    """Write the cell of Worker `w` that binds namespace `counter`."""
    return worker(f"w --bind COUNTER=counter{more}", *classes, js=js)


def python(arguments: str, setup: str = "", id_: str = "w") -> str:
    """Write a Python cell that declares a Worker; one in Python, for which nothing has to be bundled."""
    made = f"nd.Worker({id_!r}, script={PYTHON!r}, lang='py', compatibility_date='2026-01-01', {arguments})"
    return f"import notebook_do as nd\n{setup}\n{made}"


COUNTER = "%durable namespace counter --class Counter"
HOST = (COUNTER, bound("Counter"))
TWO = (
    "%durable namespace a --class A --script w",
    "%durable namespace b --class B --script w",
    worker("w --bind A=a --bind B=b", "A", "B", js=True),
)


def case(name: str, *steps: Step | tuple[str, ...], stage: str = "production", together: bool = False) -> Case:
    """Write a case; a tuple of cells is a step."""
    made = tuple(s if isinstance(s, Step) else Step(cells=s) for s in steps)
    return Case(name=name, steps=made, stage=stage, together=together)


# --- every binding type

BINDINGS = {
    "text": "'hello'",
    "json": "nd.Json({'b': [1, 2.5, None], 'a': 'é'})",
    "kv": "nd.KV('0f2ac74b498b48028cb68387c421e279')",
    "r2": "nd.R2('bucket')",
    "r2-jurisdiction": "nd.R2('bucket', jurisdiction='eu')",
    "d1": "nd.D1('00000000-0000-4000-8000-000000000000')",
    "queue": "nd.Queue('jobs')",
    "service": "nd.Service('other', entrypoint='Entry', environment='production', props={'x': 1})",
    "hyperdrive": "nd.Hyperdrive('0f2ac74b498b48028cb68387c421e279')",
    "vectorize": "nd.Vectorize('index')",
    "analytics-engine": "nd.AnalyticsEngine('dataset')",
    "rate-limit": "nd.RateLimit('1001', limit=100, period=60)",
    "version-metadata": "nd.VersionMetadata()",
    "ai": "nd.AI()",
    "ai-search": "nd.AiSearch('instance', namespace='n')",
    "ai-search-namespace": "nd.AiSearchNamespace('n')",
    "browser": "nd.Browser()",
    "images": "nd.Images()",
    "media": "nd.Media()",
    "mtls-certificate": "nd.MtlsCertificate('00000000-0000-4000-8000-000000000000')",
    "pipeline": "nd.Pipeline('p')",
    "send-email": "nd.SendEmail()",
    "send-email-to": "nd.SendEmail('a@example.com', allowed_sender_addresses=['b@example.com'])",
    "dispatch-namespace": "nd.DispatchNamespace('d', outbound={'worker': {'service': 'other'}})",
    "workflow": "nd.Workflow('flow', class_name='Flow', script_name='other')",
    "secrets-store-secret": "nd.SecretsStoreSecret('store', 'name')",
    "worker-loader": "nd.WorkerLoader()",
    "vpc-service": "nd.VpcService('00000000-0000-4000-8000-000000000000')",
    "vpc-network": "nd.VpcNetwork(network_id='n')",
    "artifacts": "nd.Artifacts('n')",
    "flagship": "nd.Flagship('app')",
    "unknown-type": "nd.Resource(type='new_thing', fields=nd.Json({'b': 1, 'a': {'c': []}}))",
}

OTHER_WORKER = f"other = nd.Worker('api2', script={PYTHON!r}, lang='py', compatibility_date='2026-01-01')"
ASSETS = "bindings={'FILES': nd.Assets()}, assets={'directory': 'site'}"


def _other(account: SmallAccount) -> None:
    """Let Worker `other` be live, made by somebody else, and a queue."""
    made("other")(account)
    account.queues.setdefault("jobs", None)


def made(name: str, *classes: str, form: str = "exports", tags: tuple[str, ...] = ()) -> Callable[[SmallAccount], None]:
    """Let a Worker be live that somebody else made."""

    def make(account: SmallAccount) -> None:
        for class_name in classes:
            account.begin(name, class_name)
        account.changes += 1
        exports = {c: {"type": "durable-object", "storage": "sqlite"} for c in classes} if form == "exports" else {}
        bindings = [{"type": "durable_object_namespace", "name": c.upper(), "class_name": c} for c in classes]
        account.scripts[name] = {
            "switches": {"enabled": True, "previews_enabled": False},
            "crons": [],
            "metadata": {"bindings": bindings, "compatibility_date": "2026-01-01", "tags": list(tags)},
            "options": {},
            "etag": "e" * 64,
            "tag": "v1" if form == "migrations" else None,
            "exports": exports,
            "changed": account.changes,
        }

    return make


CASES: list[Case] = [
    case(f"binding-{name}", Step(cells=(python(f"bindings={{'B': {value}}}"),), before=_other, deploy=False))
    for name, value in BINDINGS.items()
]
ALL = ", ".join(f"{name.upper().replace('-', '_')!r}: {value}" for name, value in BINDINGS.items())
CASES += [
    case("binding-all", Step(cells=(python(f"bindings={{{ALL}}}"),), before=_other)),
    case("binding-namespace", (COUNTER, bound("Counter", js=True))),
    case(
        "binding-secret",
        Step(cells=(worker("w --secret KEY=MY_KEY"),), env={"MY_KEY": "first"}),
        Step(),
        Step(env={"MY_KEY": "second"}),
        Step(cells=(worker("w --secret KEY=MY_KEY", note="# 2\n"),), env={"MY_KEY": None}),
    ),
    case("binding-shared", (*HOST, worker("client --bind ROOM=w.COUNTER")), together=True),
    case(
        "binding-declared-worker",
        (python("bindings={'API': other}", OTHER_WORKER),),
        together=True,
    ),
    case(
        "binding-assets",
        Step(cells=(python(ASSETS),), before=lambda _: site()),
    ),
]


def site(**files: str) -> None:
    """Write a directory of static assets."""
    Path("site").mkdir(exist_ok=True)
    for name, text in {"index.html": "<h1>hi</h1>", "a.js": "1", **files}.items():
        (Path("site") / name).write_text(text)


# --- every Worker field

FIELDS = {
    "name": worker("w --name other-name"),
    "python": f"%%durable worker w --lang py {DATE}\n{PYTHON}",
    "javascript": f"import notebook_do as nd\nnd.Worker('w', script={PLAIN!r}, compatibility_date='2026-01-01')",
    "no-date": f"%%durable worker w\n{PLAIN}",
    "flags": worker("w --compat-flag nodejs_compat --compat-flag global_navigator"),
    "no-url": worker("w --no-url"),
    "previews-on": worker("w --previews on"),
    "previews-off": worker("w --previews off"),
    "crons": worker("w --cron '0 0 * * *' --cron '*/5 * * * *'"),
    "route": worker("w --route 'example.com/api/*' --route '*.example.com/*'"),
    "domain": worker("w --domain api.example.com"),
    "consumes": worker('w --consumes jobs=\'{"batch_size": 5, "dead_letter_queue": "dead"}\''),
    "observability": worker('w --setting \'observability={"enabled": true, "head_sampling_rate": 0.5}\''),
    "placement": worker('w --setting \'placement={"mode": "smart"}\''),
    "limits": worker("w --setting 'limits={\"cpu_ms\": 100}'"),
    "logpush": worker("w --setting logpush=true"),
    "tags": worker('w --setting \'tags=["team:a", "cost:7"]\''),
    "cache-options": worker("w --setting 'cache_options={\"enabled\": true}'"),
    "code-update-strategy": python("code_update_strategy={'mode': 'immediate'}"),
    "exports-form": (COUNTER, bound("Counter", more=" --lifecycle exports", js=True)),
    "migrations-form": (COUNTER, bound("Counter", more=" --lifecycle migrations", js=True)),
    "key-value-storage": (f"{COUNTER} --kv", bound("Counter", more=" --lifecycle migrations")),
}
TOML = """%%durable
[namespaces.room]
class_name = "Room"
protect = false
[workers.w]
script = '''
import { DurableObject } from 'cloudflare:workers'
export class Room extends DurableObject {}
export default {}
'''
compatibility_date = "2026-01-01"
compatibility_flags = ["nodejs_compat"]
crons = ["0 0 * * *"]
routes = ["example.com/*"]
logpush = true
[workers.w.bindings]
ROOM = {namespace = "room"}
TEXT = "t"
DATA = {json = {a = 1}}
KV = {kv = "0f2ac74b498b48028cb68387c421e279"}
"""
CASES += [
    case(f"field-{name}", Step(cells=(cells,) if isinstance(cells, str) else cells, before=_other))
    for name, cells in FIELDS.items()
]
CASES += [
    case("field-tail-consumers", Step(cells=(python("tail_consumers=['other']"),), before=_other)),
    case("toml", (TOML,)),
    case("stage-dev", HOST, stage="dev"),
    case(
        "field-no-bundle",
        Step(
            cells=(f"%durable worker w --entrypoint main.js --no-bundle {DATE}",),
            before=lambda _: (
                Path("main.js").write_text("import { x } from './lib.js'\nexport default { x }\n"),
                Path("lib.js").write_text("export const x = 1\n"),
            ),
        ),
    ),
    case(
        "field-assets",
        Step(cells=(worker('w --assets site=\'{"html_handling": "none"}\''),), before=lambda _: site()),
        Step(before=lambda _: site(**{"b.css": "b{}"})),
        Step(cells=(worker("w"),)),
    ),
]

# --- every kind of change

RENAMED = ("%durable namespace counter --class Tally", bound("Tally"))
MOVED = (
    "%durable namespace counter --class Counter --script v --transferred-from w",
    worker("v --bind COUNTER=counter", "Counter"),
)
MIGRATIONS = (COUNTER, bound("Counter", more=" --lifecycle migrations"))
OPEN = (f"{COUNTER} --unprotect", HOST[1])
CASES += [
    case("unchanged", HOST, Step()),
    case("code-changed", HOST, (worker("w --bind COUNTER=counter", "Counter", note="# 2\n"),)),
    case(
        "bindings-changed",
        (worker("w --var A=1 --var B=2 --json C='[1]'"),),
        (worker("w --var A=2 --json C='[1]' --var D=4"),),
    ),
    case("class-renamed", HOST, RENAMED),
    case(
        "class-renamed-by-migrations",
        MIGRATIONS,
        (
            "%durable namespace counter --class Tally",
            bound("Tally", more=" --lifecycle migrations"),
        ),
    ),
    case("converted-to-exports", MIGRATIONS, (bound("Counter", more=" --lifecycle exports"),)),
    case(
        "stable-id-renamed",
        HOST,
        (
            "%durable rm namespace counter",
            "%durable namespace tally --class Counter --renamed-from counter",
            worker("w --bind COUNTER=tally", "Counter"),
        ),
    ),
    case("class-added", HOST, (*TWO[:1], worker("w --bind COUNTER=counter --bind A=a", "Counter", "A"))),
    case("swapped", TWO, ("%durable namespace a --class B --script w", "%durable namespace b --class A --script w")),
    case("transferred", HOST, (*MOVED, worker("w --bind COUNTER=counter")), together=True),
    case(
        "transferred-by-migrations",
        MIGRATIONS,
        (
            MOVED[0],
            worker("v --bind COUNTER=counter --lifecycle migrations", "Counter"),
            worker("w --bind COUNTER=counter --lifecycle migrations"),
        ),
        together=True,
    ),
    case("namespace-destroyed", OPEN, Step(cells=("%durable rm worker w", worker("w")), destroy=("counter",))),
    case("worker-destroyed", OPEN, Step(destroy=("w", "counter"), before=lambda a: setattr(a, "objects", 3))),
    case("worker-without-classes-destroyed", (worker("w"),), Step(destroy=("w",))),
    case(
        "url-and-previews-switched",
        (worker("w"),),
        (worker("w --no-url --previews on"),),
        (worker("w --previews off"),),
    ),
    case("crons-changed", (worker("w --cron '0 0 * * *'"),), (worker("w --cron '1 0 * * *'"),), (worker("w"),)),
    case(
        "triggers-changed",
        (worker("w --route 'example.com/a' --domain a.example.com --consumes jobs"),),
        (worker("w --route 'example.com/b' --consumes jobs='{\"max_retries\": 2}'"),),
        (worker("w"),),
    ),
    case(
        "adopted",
        Step(cells=(COUNTER, bound("Counter", more=" --adopt")), before=made("w", "Counter")),
    ),
    case(
        "adopted-from-migrations",
        Step(
            cells=(COUNTER, bound("Counter", more=" --adopt")),
            before=made("w", "Counter", form="migrations"),
        ),
    ),
    case("state-lost", HOST, Step(before=lambda _: [p.unlink() for p in Path().rglob("state.json")])),
    case(
        "host-and-client",
        (f"{COUNTER} --script w", HOST[1], worker("client --bind COUNTER=counter --service HOST=w")),
        together=True,
    ),
    case("changed-outside", HOST, Step(before=lambda a: a.scripts["w"].update(etag="f" * 64, changed=99))),
    case("worker-gone", (worker("w"),), Step(before=lambda a: a.scripts.clear())),
]

# --- refused

CASES += [
    case(
        "refused-stable-id-changed",
        HOST,
        (
            "%durable rm namespace counter",
            "%durable namespace tally --class Counter",
            worker("w --bind COUNTER=tally", "Counter"),
        ),
    ),
    case("refused-worker-exists", Step(cells=(worker("w"),), before=made("w"))),
    case("refused-protected", HOST, Step(destroy=("counter",))),
    case("refused-storage-flip", HOST, (f"{COUNTER} --kv",)),
    case("refused-key-value", (f"{COUNTER} --kv", bound("Counter", more=" --lifecycle exports"))),
    case(
        "refused-host-changed",
        HOST,
        ("%durable namespace counter --class Counter --script v", worker("v --bind C=counter", "Counter")),
    ),
    case("refused-zone-missing", (worker("w --domain api.example.org"),)),
    case("refused-secret-missing", (worker("w --secret KEY=MY_KEY"),)),
    case("refused-unknown-destroy", Step(cells=(worker("w"),), destroy=("nobody",))),
    case("refused-namespace-gone", HOST, Step(before=lambda a: a.namespaces.clear())),
    case(
        "refused-trigger-taken",
        (worker("v --domain a.example.com"),),
        Step(
            cells=("%durable rm worker v", worker("w --domain a.example.com")),
            before=lambda a: a.domains[0].update(service="else"),
        ),
    ),
    case("refused-worker-renamed", (worker("w"),), (worker("w --name w2"),)),
]

# --- cells that import wrote, pasted


def _imported(name: str) -> Step:
    """Give a step that runs the cells that import wrote in an edition, where what they say is live with its mark."""
    written = json.loads((Path(__file__).parent / "editions" / name / "cells.json").read_text())

    def prepare(account: SmallAccount) -> None:
        for path, content in written["files"].items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(bytes.fromhex(content))
        _other(account)
        made("host", "Counter", tags=("ndo:do:golden:production:counter=Counter",))(account)
        made("multi", "Room", tags=("ndo:do:golden:production:room=Room",))(account)
        made("pyw", tags=("ndo:do:golden:production:",))(account)

    return Step(cells=tuple(written["cells"]), before=prepare)


CASES += [case(f"pasted-{name}", _imported(name), Step(), together=True) for name in ("early", "first")]
