"""A small model of one Cloudflare account behind an httpx transport, with faults, delays and a virtual clock.

It knows only what a deploy touches: scripts with tags, class migrations guarded by a tag, namespaces, addresses,
cron triggers and queues. It stands beside the real local Cloudflare because it fails where it is told, and in
microseconds.
"""

from __future__ import annotations

import copy
import email.parser
import email.policy
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.retry import Pace
from notebook_do.credentials.token import Token
from notebook_do.live.observe import observe
from notebook_do.model import (
    ClassBinding,
    CreateClass,
    Json,
    Migration,
    MigrationTag,
    Module,
    NamespaceId,
    Observed,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    RenameClass,
    StableId,
    Storage,
)
from notebook_do.model.steps import SetUrl, Upload
from notebook_do.plan.plan import Plan, take_baseline

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Consent
    from notebook_do.state.file import StateFile

ACCOUNT = "a" * 32
TOKEN = "CANARY-token-0123456789abcdef"
BASE = "https://api.cloudflare.com/client/v4"


@dataclass
class Clock:
    """A virtual clock: sleeping moves it and takes no time."""

    now: float = 1000.0
    slept: float = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.slept += seconds


class Refused(Exception):  # noqa: N818 - what happened
    """The account says no."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(repr=False)
class Account:
    """Scripts and namespaces of one account. `log` holds (method, path) of every request that arrived.

    Without a repr: it holds what was sent, secrets too, and a traceback of ours must not be blamed for them.
    """

    scripts: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    migrations_applied: list[dict[str, Any]] = field(default_factory=list)
    awaited: dict[tuple[str, str], str] = field(default_factory=dict)
    changes: int = 0
    ids: int = 0
    author: str = "me@example.com"
    consumers: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """By the name of each queue that was made, who consumes it."""

    def handle(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        """Answer one request with (result, result_info); raises Refused."""
        self.log.append((method, path))
        parts = path.removeprefix(f"/client/v4/accounts/{ACCOUNT}/workers").strip("/").split("/")
        match method, parts:
            case "GET", ["scripts"]:
                return [self._listed(n) for n in sorted(self.scripts)], {}
            case "GET", ["durable_objects", "namespaces"]:
                return self._page(query)
            case "GET", ["durable_objects", "namespaces", id_, "objects"]:
                if id_ not in self.namespaces:
                    raise Refused(10066, "namespace not found", 404)
                return [{"id": "0" * 64, "hasStoredData": True}], {"count": 1, "cursor": ""}
            case "PUT", ["scripts", name]:
                return self._upload(name, *_parts(body, kind)), {}
            case "DELETE", ["scripts", name]:
                return self._delete(name), {}
            case _, ["scripts", name, what]:
                return self._setting(method, self._script(name), what, body), {}
            case _, ["client", "v4", "accounts", _, "queues", *rest]:
                return self._queue(method, rest, query, json.loads(body or b"{}")), {}
        raise Refused(7003, f"Could not route to {path}", 404)

    def _queue(self, method: str, rest: list[str], query: dict[str, str], body: dict[str, Any]) -> Any:
        match method, rest:
            case "GET", []:
                names = sorted(self.consumers.keys() & {query.get("name", n) for n in self.consumers})
                return [
                    {"queue_id": f"id-{n}", "queue_name": n, "consumers": [c] if (c := self.consumers[n]) else []}
                    for n in names
                ]
            case "POST", []:
                if body["queue_name"] in self.consumers:
                    raise Refused(11009, f"Queue name '{body['queue_name']}' is already taken.", 409)
                self.consumers[body["queue_name"]] = None
                return {"queue_id": f"id-{body['queue_name']}"}
            case "POST", [id_, "consumers"]:
                self._script(body["script_name"])
                self.consumers[id_.removeprefix("id-")] = {**body, "consumer_id": "c"}
                return {}
        raise Refused(7003, "no route", 404)

    def _script(self, name: str) -> dict[str, Any]:
        if name not in self.scripts:
            raise Refused(10007, "This Worker does not exist on your account.", 404)
        return self.scripts[name]

    def moment(self) -> str:
        """Give the time of the last change: a second each."""
        return datetime.fromtimestamp(1_767_225_600 + self.changes, UTC).isoformat()

    def _listed(self, name: str) -> dict[str, Any]:
        script = self.scripts[name]
        return {
            "id": name,
            **{k: script[k] for k in ("etag", "tags", "modified_on", "migration_tag", "exports") if script[k]},
        }

    def _page(self, query: dict[str, str]) -> Any:
        items = [{"id": i, **n, "name": f"{n['script']}_{n['class']}"} for i, n in sorted(self.namespaces.items())]
        page, size = int(query.get("page", 1)), int(query.get("per_page", 20))
        info = {"page": page, "per_page": size, "total_count": len(items), "total_pages": -(-len(items) // size)}
        return items[(page - 1) * size : page * size], info

    def _upload(self, name: str, metadata: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
        if metadata["main_module"] not in files:
            raise Refused(10021, "No such module")
        if b"syntax error" in files[metadata["main_module"]]:
            raise Refused(10021, f"Uncaught SyntaxError: oops\n  at {metadata['main_module']}:2:7")
        before = self.scripts.get(name)
        namespaces = copy.deepcopy(self.namespaces)
        migration = metadata.get("migrations")
        if migration:
            self._migrate(name, migration, before)
        done = self._reconcile(name, metadata["exports"]) if "exports" in metadata else []
        self._check_bindings(name, metadata["bindings"], namespaces)
        self.changes += 1
        digest = hashlib.sha256(b"".join(files.values())).hexdigest()
        self.scripts[name] = {
            "etag": digest,
            "tags": metadata.get("tags", []),
            "modified_on": self.moment(),
            "migration_tag": (migration or {}).get("new_tag") or (before or {}).get("migration_tag"),
            "bindings": metadata["bindings"],
            "exports": {k: e for k, e in metadata.get("exports", {}).items() if e.get("state", "created") == "created"},
            "enabled": (before or {}).get("enabled", False),
            "crons": (before or {}).get("crons", []),
            "deployments": [
                {
                    "id": f"d{self.changes}",
                    "source": "api",
                    "author_email": self.author,
                    "created_on": self.moment(),
                },
                *(before or {}).get("deployments", []),
            ],
        }
        renamed = [{"from": c, "to": metadata["exports"][c]["renamed_to"]} for how, c in done if how == "renamed"]
        created = [c for how, c in done if how == "created"]
        told = {"exports_reconciliation": {"created": created, "renamed": renamed}}
        return self._listed(name) | (told if "exports" in metadata else {})

    def _check_bindings(self, name: str, bindings: list[dict[str, Any]], before: dict[str, Any]) -> None:
        live = {(n["script"], n["class"]) for n in self.namespaces.values()}
        for b in bindings:
            if b["type"] == "queue" and b["queue_name"] not in self.consumers:
                self.namespaces = before
                raise Refused(11000, f"Queue '{b['queue_name']}' not found.")
            if b["type"] == "durable_object_namespace" and (b.get("script_name", name), b["class_name"]) not in live:
                self.namespaces = before
                raise Refused(10061, f"Cannot create binding for class '{b['class_name']}'")

    def _migrate(self, name: str, migration: dict[str, Any], before: dict[str, Any] | None) -> None:
        current = (before or {}).get("migration_tag")
        if migration.get("old_tag") != current:
            raise Refused(10079, f"Migration tag precondition failed; current tag is {current}", 412)
        undo = copy.deepcopy(self.namespaces)
        try:
            for step in migration.get("steps", [migration]):
                self._apply(name, step)
        except Refused:
            self.namespaces = undo
            raise
        self.migrations_applied.append(migration)

    def _reconcile(self, name: str, exports: dict[str, Any]) -> list[tuple[str, str]]:
        """Apply declarative exports: an entry that holds already changes nothing; every namespace needs an entry."""
        there = self._hosted(name, exports)
        changed = []
        for class_, entry in exports.items():
            if entry.get("state") == "expecting-transfer":
                self.awaited[(name, class_)] = entry["transfer_from"]
            if entry.get("state") == "transferred" and class_ in there:
                self._hand_over(name, class_, entry["transferred_to"], there)
                changed.append(("transferred", class_))
        for class_, entry in exports.items():
            if entry.get("state") == "renamed" and class_ in there:
                there[class_]["class"] = entry["renamed_to"]
                there[entry["renamed_to"]] = there.pop(class_)
                changed.append(("renamed", class_))
        for class_, entry in exports.items():
            if entry.get("state") == "deleted" and class_ in there:
                del self.namespaces[self._of(name, class_)]
                changed.append(("deleted", class_))
            elif entry.get("state", "created") == "created" and class_ not in there:
                self.ids += 1
                self.namespaces[f"{self.ids:012x}{self.ids:020x}"] = {
                    "script": name,
                    "class": class_,
                    "use_sqlite": True,
                }
                changed.append(("created", class_))
        if changed:
            self.migrations_applied.append({"changed": changed})
        return changed

    def _hosted(self, name: str, exports: dict[str, Any]) -> dict[str, dict[str, Any]]:
        there = {n["class"]: n for n in self.namespaces.values() if n["script"] == name}
        if orphans := sorted(there.keys() - exports.keys()):
            raise Refused(100402, f"A namespace exists for {orphans} but no `exports` entry declares it.")
        return there

    def _hand_over(self, name: str, class_: str, to: str, there: dict[str, dict[str, Any]]) -> None:
        if self.awaited.pop((to, class_), None) != name:
            raise Refused(100402, "transferred_pending_not_found")
        there.pop(class_)["script"] = to

    def _apply(self, name: str, step: dict[str, Any]) -> None:
        for class_ in step.get("deleted_classes", []):
            del self.namespaces[self._of(name, class_)]
        for pair in step.get("renamed_classes", []):
            self.namespaces[self._of(name, pair["from"])]["class"] = pair["to"]
        for move in step.get("transferred_classes", []):
            self.namespaces[self._of(move["from_script"], move["from"])].update({"script": name, "class": move["to"]})
        for key, sqlite in (("new_classes", False), ("new_sqlite_classes", True)):
            for class_ in step.get(key, []):
                if any(n["script"] == name and n["class"] == class_ for n in self.namespaces.values()):
                    raise Refused(10074, f"Cannot apply new-class migration to class '{class_}'")
                self.ids += 1
                self.namespaces[f"{self.ids:012x}{self.ids:020x}"] = {
                    "script": name,
                    "class": class_,
                    "use_sqlite": sqlite,
                }

    def _begin(self, script: str, class_: str, *, use_sqlite: bool) -> None:
        self.ids += 1
        id_ = f"{self.ids:012x}{self.ids:020x}"
        self.namespaces[id_] = {"script": script, "class": class_, "use_sqlite": use_sqlite}

    def _of(self, script: str, class_: str) -> str:
        for id_, n in self.namespaces.items():
            if (n["script"], n["class"]) == (script, class_):
                return id_
        raise Refused(10074, f"class '{class_}' of {script} has no namespace")

    def _delete(self, name: str) -> None:
        self._script(name)
        del self.scripts[name]
        self.namespaces = {i: n for i, n in self.namespaces.items() if n["script"] != name}

    def _setting(self, method: str, script: dict[str, Any], what: str, body: bytes) -> Any:
        match method, what:
            case "PATCH", "script-settings":
                self.changes += 1
                script["tags"], script["modified_on"] = json.loads(body)["tags"], self.moment()
                return {"tags": script["tags"]}
            case "GET", "settings":
                tails = {"tail_consumers": script["tail_consumers"]} if "tail_consumers" in script else {}
                return {"bindings": script["bindings"], "compatibility_date": "2026-01-01", **tails}
            case "GET", "deployments":
                live = [{"percentage": p} for p in script.get("split", (100,))]
                newest, *older = script["deployments"]
                whole = [{"percentage": 100}]
                return {"deployments": [{**newest, "versions": live}] + [{**d, "versions": whole} for d in older]}
            case "GET", "subdomain":
                return {"enabled": script["enabled"], "previews_enabled": False}
            case "POST", "subdomain":
                script["enabled"] = json.loads(body)["enabled"]
                return {"enabled": script["enabled"], "previews_enabled": False}
            case "GET", "schedules":
                return {"schedules": script["crons"]}
            case "PUT", "schedules":
                script["crons"] = json.loads(body)
                return {"schedules": script["crons"]}
        raise Refused(7003, "no route", 404)


def _parts(body: bytes, kind: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read a multipart body with the standard library."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + body
    )
    metadata: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name == "metadata":
            metadata = json.loads(content)
        else:
            files[str(name)] = content
    return metadata, files


Fault = Any
"""Called with (request, deliver): gives an httpx.Response or raises; `deliver()` lets the account answer."""


def answer(account: Account, request: httpx.Request) -> httpx.Response:
    """Let the account answer, in Cloudflare's envelope."""
    try:
        result, info = account.handle(
            request.method,
            request.url.path,
            dict(request.url.params),
            request.content,
            request.headers.get("content-type", ""),
        )
    except Refused as refused:
        errors = [{"code": refused.code, "message": str(refused)}]
        return httpx.Response(refused.status, json={"success": False, "errors": errors, "messages": [], "result": None})
    return httpx.Response(
        200, json={"success": True, "errors": [], "messages": [], "result": result, "result_info": info}
    )


class Network(httpx.AsyncBaseTransport):
    """A transport to `account`. `fault(request, deliver)` may answer in its place; None lets it through."""

    def __init__(self, account: Account, fault: Fault = None) -> None:
        self.account, self.fault = account, fault
        self.requests: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, unless the fault does."""
        await request.aread()
        self.requests.append((request.method, request.url.path))
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return httpx.Response(401, json={"success": False, "errors": [{"code": 10000, "message": "no"}]})
        if self.fault is not None:
            response = await self.fault(request, lambda: answer(self.account, request))
            if response is not None:
                return response
        return answer(self.account, request)


def client_of(account: Account, fault: Fault = None, clock: Clock | None = None) -> Client:
    """Make a client of `account` on a virtual clock."""
    clock = clock or Clock()
    return Client(
        BASE,
        ACCOUNT,
        Token(TOKEN),
        transport=Network(account, fault),
        pace=Pace(clock=clock, sleep=clock.sleep),
    )


SOURCE = b"export class Counter {}\nexport default {}\n"


def uploading(
    worker: str = "w",
    *,
    stable_id: str | None = "counter",
    class_name: str = "Counter",
    source: bytes = SOURCE,
    recorded: Recorded | None = None,
    observed: Observed | None = None,
    rename_from: str | None = None,
    bindings: tuple[Any, ...] = (),
    attempt: str = "1",
) -> Upload:
    """Write the upload step of one Worker with one class, as the planner would."""
    live = next((s for s in observed.scripts if s.name == worker), None) if observed else None
    known = {n.stable_id: n for n in recorded.namespaces} if recorded else {}
    old_tag = live.migration_tag if live else None
    changes: tuple[Any, ...] = ()
    record: tuple[RecordedNamespace, ...] = ()
    if stable_id is not None:
        before = known.get(StableId(stable_id))
        id_ = before.namespace_id if before else NamespaceId("")
        if before is None:
            changes = (CreateClass(stable_id=StableId(stable_id), class_name=class_name, storage=Storage.SQLITE),)
        elif rename_from:
            changes = (
                RenameClass(
                    stable_id=StableId(stable_id),
                    namespace_id=id_,
                    from_class=rename_from,
                    to_class=class_name,
                    storage=Storage.SQLITE,
                ),
            )
        record = (
            RecordedNamespace(
                stable_id=StableId(stable_id),
                namespace_id=id_,
                script_name=worker,
                class_name=class_name,
                storage=Storage.SQLITE,
                class_history=(class_name,),
            ),
        )
        bindings = (ClassBinding(name="NS", class_name=class_name), *bindings)
    new_tag = MigrationTag(f"tag-{worker}-{class_name}-{attempt}") if changes else None
    return Upload(
        worker=worker,
        script_name=worker,
        main_module="index.js",
        modules=(Module(name="index.js", content=source),),
        bindings=bindings,
        compatibility_date="2026-01-01",
        compatibility_flags=(),
        options=Json({}),
        tags=(),
        migration=Migration(
            wire="migrations",
            class_migrations=changes,
            classes=((class_name, Storage.SQLITE),),
            old_tag=old_tag,
            new_tag=new_tag,
        )
        if changes
        else None,
        creates=live is None,
        line=1,
        body_line=3,
        worker_record=RecordedWorker(
            id=worker,
            script_name=worker,
            lifecycle="migrations" if changes else None,
            migration_tag=new_tag or old_tag,
            content_digest=hashlib.sha256(source).hexdigest(),
            settings_digest="upload",
        ),
        namespace_records=record,
    )


async def plan_of(
    client: Client,
    state: StateFile,
    steps: Callable[[Recorded, Observed], tuple[Step, ...]],
    consents: tuple[Consent, ...] = (),
) -> Plan:
    """Make a plan of `steps` on the facts of now."""
    recorded = state.load()
    observed = await observe(client, scripts=(), settings=False)
    made = steps(recorded, observed)
    scripts = frozenset(getattr(s, "script_name", "") for s in made) - {""}
    ids = frozenset(n.namespace_id for n in recorded.namespaces)
    return Plan(
        session="s",
        stage="dev",
        target="cloudflare",
        steps=made,
        consents=consents,
        baseline=take_baseline(recorded, observed, scripts, ids),
        scripts=scripts,
        namespace_ids=ids,
    )


def first_deploy(recorded: Recorded, observed: Observed) -> tuple[Step, ...]:
    """Write the steps of a first deploy: one Worker, one class, an address."""
    return (
        uploading(recorded=recorded, observed=observed),
        SetUrl(worker="w", script_name="w", enabled=True, settings_digest="all"),
    )
