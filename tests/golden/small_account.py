"""A small Cloudflare account behind a real socket, without chance: every id and every moment of it is counted.

It is what the golden plans and uploads are recorded against: what arrives is kept as it came. The rules of the account
are judged elsewhere, by the local Cloudflare; this one applies the classes of an upload and answers reads.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ID = "a" * 32
ZONE = "example.com"
_DATED = ("compatibility_date", "compatibility_flags")


class Refused(Exception):  # noqa: N818 - what happened
    """The account says no."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


def parts_of(body: bytes, kind: str) -> list[dict[str, Any]]:
    """Read a multipart body with the standard library: each part's name, file name, media type and content."""
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    return [
        {
            "name": part.get_param("name", header="content-disposition"),
            "filename": part.get_filename(),
            "type": part.get("content-type"),
            "content": part.get_payload(decode=True),
        }
        for part in message.iter_parts()
    ]


@dataclass(repr=False)
class SmallAccount:
    """Scripts, namespaces, queues and a zone. `sent` holds every request that changes something, as it arrived."""

    scripts: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    queues: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The modules of each script, as they were uploaded."""
    routes: list[dict[str, Any]] = field(default_factory=list)
    domains: list[dict[str, Any]] = field(default_factory=list)
    objects: int = 0
    """How many objects each namespace has."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    made: int = 0
    changes: int = 0
    awaited: set[tuple[str, str, str]] = field(default_factory=set)

    def answer(  # noqa: C901 - one case an endpoint
        self, method: str, path: str, query: dict[str, str], body: bytes, kind: str
    ) -> Any:
        """Answer one request with its result and what stands beside it; raises Refused."""
        parts = [unquote(p) for p in path.removeprefix("/client/v4").strip("/").split("/")]
        match method, parts:
            case _, ["accounts", account, "workers", "scripts", name, *what] if account == ID:
                return self._script(method, name, what, body, kind)
            case "GET", ["accounts", _, "workers", "scripts"]:
                return [self._listed(name) for name in sorted(self.scripts)]
            case "GET", ["accounts", _, "workers", "subdomain"]:
                return {"subdomain": "golden"}
            case "POST", ["accounts", _, "workers", "assets", "upload"]:
                return {"jwt": "completed"}
            case "GET", ["accounts", _, "workers", "durable_objects", "namespaces"]:
                return [
                    {"id": i, **n, "name": f"{n['script']}_{n['class']}"} for i, n in sorted(self.namespaces.items())
                ]
            case "GET", ["accounts", _, "workers", "durable_objects", "namespaces", _, "objects"]:
                return [{"id": f"{n:064x}", "hasStoredData": True} for n in range(self.objects)]
            case _, ["accounts", _, "workers", "domains", *rest]:
                return self._list(method, self.domains, rest, body)
            case "GET", ["zones"]:
                return [{"id": "b" * 32, "name": ZONE}] if query.get("name", ZONE) == ZONE else []
            case _, ["zones", _, "workers", "routes", *rest]:
                return self._list(method, self.routes, rest, body)
            case _, ["accounts", _, "queues", *rest]:
                return self._queue(method, rest, query, body)
            case "GET", ["user", "tokens", "verify"]:
                return {"id": "c" * 32, "status": "active"}
            case "GET", ["accounts", _]:
                return {"id": ID, "name": "Golden"}
        raise Refused(7003, f"Could not route to {path}", 404)

    def _list(self, method: str, items: list[dict[str, Any]], rest: list[str], body: bytes) -> Any:
        """Read, make, change and remove the items of one list."""
        if method == "GET":
            return items
        kept = [i for i in items if i["id"] not in rest]
        if method != "DELETE":
            self.made += 1
            kept.append({"id": rest[0] if rest else f"{self.made:032x}", **json.loads(body)})
        items[:] = kept
        return {}

    def _queue(self, method: str, rest: list[str], query: dict[str, str], body: bytes) -> Any:
        match method, rest:
            case "GET", []:
                names = [n for n in sorted(self.queues) if query.get("name", n) == n]
                return [
                    {"queue_id": n, "queue_name": n, "consumers": [c] if (c := self.queues[n]) else []} for n in names
                ]
            case "POST", []:
                name = json.loads(body)["queue_name"]
                self.queues[name] = None
                return {"queue_id": name}
            case "POST" | "PUT", [name, "consumers", *_]:
                self.queues[name] = {**json.loads(body), "consumer_id": "1"}
                return {}
            case "DELETE", [name, "consumers", _]:
                self.queues[name] = None
                return {}
        raise Refused(7003, "no route", 404)

    # --- scripts

    def _script(self, method: str, name: str, what: list[str], body: bytes, kind: str) -> Any:
        if method == "PUT" and not what:
            return self._upload(name, parts_of(body, kind))
        if method == "POST" and what == ["assets-upload-session"]:
            names = sorted(file["hash"] for file in json.loads(body)["manifest"].values())
            return {"jwt": "session", "buckets": [names] if names else []}
        if name not in self.scripts:
            raise Refused(10007, "This Worker does not exist on your account.", 404)
        if method == "DELETE" and not what:
            self.namespaces = {i: n for i, n in self.namespaces.items() if n["script"] != name}
            return self.scripts.pop(name) and {}
        return self._setting(method, self.scripts[name], name, what, body)

    def _setting(self, method: str, script: dict[str, Any], name: str, what: list[str], body: bytes) -> Any:
        match method, what:
            case "GET", ["settings"]:
                kept = ("bindings", "compatibility_date", "compatibility_flags", "tags")
                return {k: script["metadata"].get(k) for k in kept} | script["options"]
            case "PATCH", ["script-settings"]:
                self._touch(script)
                script["metadata"]["tags"] = json.loads(body)["tags"]
                return {"tags": script["metadata"]["tags"]}
            case "GET", ["deployments"]:
                one = {"id": f"d{script['changed']}", "source": "api", "author_email": "me@example.com"}
                return {"deployments": [{**one, "versions": [{"percentage": 100}]}]}
            case "GET", ["subdomain"]:
                return script["switches"]
            case "POST", ["subdomain"]:
                script["switches"] |= json.loads(body)
                return script["switches"]
            case "GET", ["schedules"]:
                return {"schedules": script["crons"]}
            case "PUT", ["schedules"]:
                script["crons"] = json.loads(body)
                return {"schedules": script["crons"]}
            case "GET", ["references"]:
                return {"durable_objects": []}
            case "GET", ["content", "v2"]:
                return Download(self.parts.get(name, []))
        raise Refused(7003, f"no route {name} {what}", 404)

    def _touch(self, script: dict[str, Any]) -> None:
        self.changes += 1
        script["changed"] = self.changes

    def _listed(self, name: str) -> dict[str, Any]:
        script = self.scripts[name]
        told = {k: script["metadata"].get(k) for k in ("tags", *_DATED)}
        moment = f"2026-01-01T00:{script['changed'] // 60:02}:{script['changed'] % 60:02}Z"
        other = {"migration_tag": script["tag"], "exports": script["exports"] or None, "modified_on": moment}
        return {"id": name, "etag": script["etag"], **{k: v for k, v in {**told, **other}.items() if v is not None}}

    def _upload(self, name: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
        metadata = json.loads(next(p["content"] for p in parts if p["name"] == "metadata"))
        before = self.scripts.get(name, {})
        for step in metadata.get("migrations", {}).get("steps", []):
            self._migrate(name, step)
        created, renamed = self._reconcile(name, metadata.get("exports", {}))
        known = (
            *_DATED,
            "keep_assets",
            "main_module",
            "bindings",
            "migrations",
            "exports",
            "tags",
            "keep_bindings",
            "assets",
        )
        kept = {b["name"] for b in metadata["bindings"]}
        secrets = [b for b in before.get("metadata", {}).get("bindings", []) if b["type"] == "secret_text"]
        bindings = [
            {"name": b["name"], "type": b["type"]} if b["type"] == "secret_text" else b for b in metadata["bindings"]
        ]
        bindings += [b for b in secrets if b["name"] not in kept]
        script = {
            "switches": {"enabled": False, "previews_enabled": False},
            "crons": [],
            **before,
            "metadata": {**metadata, "bindings": bindings},
            "options": {k: v for k, v in metadata.items() if k not in known},
            "etag": hashlib.sha256(repr([(p["name"], p["content"]) for p in parts[1:]]).encode()).hexdigest(),
            "tag": metadata.get("migrations", {}).get("new_tag", before.get("tag")),
            "exports": {k: e for k, e in metadata.get("exports", {}).items() if e.get("state", "created") == "created"},
        }
        self._touch(script)
        self.scripts[name] = script
        self.parts[name] = [p for p in parts if p["name"] != "metadata"]
        told = {"exports_reconciliation": {"created": created, "renamed": renamed}} if "exports" in metadata else {}
        return self._listed(name) | told

    def _of(self, script: str, class_name: str) -> dict[str, Any]:
        for namespace in self.namespaces.values():
            if (namespace["script"], namespace["class"]) == (script, class_name):
                return namespace
        raise Refused(10074, f"class {class_name} of {script} has no namespace")

    def begin(self, script: str, class_name: str, *, use_sqlite: bool = True) -> None:
        """Make a namespace."""
        self.made += 1
        id_ = f"{self.made:012x}{self.made:020x}"
        self.namespaces[id_] = {"script": script, "class": class_name, "use_sqlite": use_sqlite}

    def _end(self, script: str, class_name: str) -> None:
        gone = self._of(script, class_name)
        self.namespaces = {i: n for i, n in self.namespaces.items() if n is not gone}

    def _migrate(self, name: str, step: dict[str, Any]) -> None:
        for class_name in step.get("deleted_classes", []):
            self._end(name, class_name)
        for pair in step.get("renamed_classes", []):
            self._of(name, pair["from"])["class"] = pair["to"]
        for move in step.get("transferred_classes", []):
            self._of(move["from_script"], move["from"]).update({"script": name, "class": move["to"]})
        for key in ("new_classes", "new_sqlite_classes"):
            for class_name in step.get(key, []):
                self.begin(name, class_name, use_sqlite=key == "new_sqlite_classes")

    def _reconcile(self, name: str, exports: dict[str, Any]) -> tuple[list[str], list[dict[str, str]]]:
        """Apply declarative exports: what is there already stays."""
        created, renamed = [], []
        entries = {c: e for c, e in exports.items() if e.get("type") == "durable-object"}
        there = {n["class"]: n for n in self.namespaces.values() if n["script"] == name}
        moving = {c: e for c, e in entries.items() if e.get("state") == "renamed" and c in there}
        for class_name, entry in moving.items():
            there[class_name]["class"] = entry["renamed_to"]
            renamed.append({"from": class_name, "to": entry["renamed_to"]})
        there = {n["class"]: n for n in self.namespaces.values() if n["script"] == name}
        for class_name, entry in entries.items():
            match entry.get("state", "created"):
                case "created" if class_name not in there:
                    self.begin(name, class_name, use_sqlite=entry.get("storage") == "sqlite")
                    created.append(class_name)
                case "deleted" if class_name in there:
                    self._end(name, class_name)
                case "transferred" if class_name in there:
                    to = entry["transferred_to"]
                    (arriving,) = (c for s, c, source in self.awaited if (s, source) == (to, name))
                    there[class_name].update({"script": to, "class": arriving})
                case "expecting-transfer":
                    self.awaited.add((name, class_name, entry["transfer_from"]))
        return created, renamed


@dataclass(frozen=True)
class Download:
    """The modules of a script, as a multipart body."""

    parts: list[dict[str, Any]]

    def written(self) -> tuple[bytes, str]:
        """Give the body and its media type."""
        made = b""
        for part in self.parts:
            head = f'content-disposition: form-data; name="{part["name"]}"; filename="{part["filename"]}"'
            made += f"--part\r\n{head}\r\ncontent-type: {part['type']}\r\n\r\n".encode() + part["content"] + b"\r\n"
        return made + b"--part--\r\n", "multipart/form-data; boundary=part"


class Handler(BaseHTTPRequestHandler):
    """Speaks for one account."""

    account: SmallAccount
    lock = threading.Lock()
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        split, kind = urlsplit(self.path), self.headers.get("content-type", "")
        with self.lock:
            if self.command != "GET":
                headers = {k.lower(): v for k, v in self.headers.items()}
                asked = {"method": self.command, "path": self.path, "headers": headers, "body": body}
                self.account.sent.append(asked)
            try:
                query = dict(parse_qsl(split.query))
                result, status, errors = self.account.answer(self.command, split.path, query, body, kind), 200, []
            except Refused as no:
                result, status, errors = None, no.status, [{"code": no.code, "message": str(no)}]
        info = {"page": 1, "per_page": 1000, "count": 1, "total_pages": 1, "cursor": ""}
        told = {"success": not errors, "errors": errors, "messages": [], "result": result, "result_info": info}
        content, kind = json.dumps(told, default=str).encode(), "application/json"
        if isinstance(result, Download):
            content, kind = result.written()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(account: SmallAccount) -> tuple[ThreadingHTTPServer, str]:
    """Serve an account on loopback, at an address of its own: also the base URL of its API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"account": account}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/client/v4"
