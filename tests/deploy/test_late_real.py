"""A process that is killed while its upload is being admitted, in front of the real local Cloudflare."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from project import worker_of
from test_real import count, project_of, target  # noqa: F401 - a fixture

from notebook_do.notebook.views.plan import plan_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.local.process.launch import LocalTarget

HERE = Path(__file__).parent
DEPLOY = """
import asyncio, sys, time
sys.path.insert(0, {here!r})
from notebook_do.cloudflare.client import Client
from notebook_do.credentials.token import Token
from notebook_do.state import StateFile
from project import Project, worker_of
client = lambda: Client({base!r}, {account!r}, Token({token!r}), origin={origin!r})
declared = worker_of("one", {{"a": "A"}}, note="late")
asyncio.run(Project(StateFile({state!r}), client, declared, time=time.time()).run())
"""
"""What the process that is killed does: plan and deploy one Worker, as a session does."""


class Gate:
    """A way to the local Cloudflare that takes uploads in and passes them on when it is told."""

    def __init__(self, api: str) -> None:
        self.taken, self.opened, self.passed = threading.Event(), threading.Event(), threading.Event()
        gate, (root, _, self.path) = self, api.partition("/client/")

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                """Pass one request on."""
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.command == "PUT":
                    gate.taken.set()
                    assert gate.opened.wait(120)
                dropped = {"host", "connection", "content-length", "accept-encoding"}
                headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
                got = httpx.request(
                    self.command, root + self.path, headers=headers, content=body, timeout=60, trust_env=False
                )
                if self.command == "PUT":
                    assert got.status_code == 200, got.text
                    gate.passed.set()
                self.send_response(got.status_code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(got.content)))
                self.end_headers()
                self.wfile.write(got.content)

            do_GET = do_PUT = do_POST = answer  # noqa: N815 - the base class's names

            def handle(self) -> None:
                """Let whoever was killed be gone."""
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}/client/{self.path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def gate(target: LocalTarget) -> Iterator[Gate]:  # noqa: F811 - the fixture
    """Stand before the local Cloudflare."""
    gate = Gate(target.api)
    yield gate
    gate.opened.set()
    gate.server.shutdown()
    gate.server.server_close()


def killed_while_uploading(target: LocalTarget, gate: Gate, state: Path) -> None:  # noqa: F811 - the fixture
    """Deploy in a process of its own, and kill it while its upload is being admitted."""
    origin = f"local:{target.account_id}"
    facts = {"base": gate.base, "account": target.account_id, "token": target.token(), "origin": origin}
    code = DEPLOY.format(here=str(HERE), state=str(state), **facts)
    process = subprocess.Popen([sys.executable, "-c", code])
    assert gate.taken.wait(60)
    process.kill()
    process.wait(30)


def test_killed_while_its_upload_is_admitted(target: LocalTarget, gate: Gate, tmp_path: Path) -> None:  # noqa: F811
    """Issue 11.4: planned at once it is not known yet, other Workers deploy; the next plan records it."""
    project = project_of(target, tmp_path)
    project.time, project.patience = time.time(), 1.0
    project.declared = (*worker_of("one", {"a": "A"}, note="late"), *worker_of("two", {"b": "B"}))
    killed_while_uploading(target, gate, project.state.path)
    plan = asyncio.run(project.plan())
    assert [left.script_name for left in plan.undecided] == ["one"]
    assert "Not known yet" in str(plan_document(plan))
    assert asyncio.run(project.deploy(plan)).ok
    assert count(target, "two", "B") == 1
    assert asyncio.run(project.plan()).undecided
    gate.opened.set()
    assert gate.passed.wait(60)
    plan = asyncio.run(project.plan())
    assert plan.undecided == ()
    assert {n.stable_id for n in project.state.load().namespaces} == {"a", "b"}
    assert asyncio.run(project.deploy(plan)).ok
    assert count(target, "one", "A") == 1
    assert asyncio.run(project.plan()).empty
