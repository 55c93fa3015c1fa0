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

from notebook_do.cloudflare.client import Client
from notebook_do.credentials.token import Token
from notebook_do.notebook.views.plan import plan_document
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.local.process.launch import LocalTarget

HERE = Path(__file__).parent
DEPLOY = """
import asyncio, sys, time
sys.path.insert(0, {here!r})
from notebook_do.cloudflare.client import Client
from notebook_do.credentials.token import Token
from notebook_do.state.file import StateFile
from project import Project, worker_of
client = lambda: Client({base!r}, {account!r}, Token({token!r}), origin={origin!r})
declared = worker_of({name!r}, {{{id!r}: "A"}}, note="late")
asyncio.run(Project(StateFile({state!r}), client, declared, time=time.time()).run())
"""
"""What the process that is killed does: plan and deploy one Worker, as a session does."""


KILLED = """
import os
from notebook_do.state.journal import Journal
begin = Journal.begin
def journalled(journal, intent):
    begin(journal, intent)
    if intent.kind == {kind!r}:
        os.kill(os.getpid(), 9)
Journal.begin = journalled
"""
"""Ends the process when it has journalled what it is about to send."""


class Gate:
    """A way to the local Cloudflare that takes uploads of `one` in and passes them on when it is told.

    So it is as far away as Cloudflare: what the local one says of what is under way does not hold for the gate.
    """

    def __init__(self, api: str) -> None:
        self.taken, self.opened, self.passed = threading.Event(), threading.Event(), threading.Event()
        gate, (root, _, self.path) = self, api.partition("/client/")

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                """Pass one request on."""
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                held = self.command == "PUT" and self.path.partition("?")[0].endswith("/one")
                if held:
                    gate.taken.set()
                    assert gate.opened.wait(120)
                dropped = {"host", "connection", "content-length", "accept-encoding"}
                headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
                got = httpx.request(
                    self.command, root + self.path, headers=headers, content=body, timeout=60, trust_env=False
                )
                if held:
                    assert got.status_code == 200, got.text
                    gate.passed.set()
                self.send_response(got.status_code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(got.content)))
                self.end_headers()
                self.wfile.write(got.content)

            do_GET = do_PUT = do_POST = do_PATCH = answer  # noqa: N815 - the base class's names

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
    code = DEPLOY.format(name="one", id="a", here=str(HERE), state=str(state), **facts)
    process = subprocess.Popen([sys.executable, "-c", code])
    assert gate.taken.wait(60)
    process.kill()
    process.wait(60)


def test_killed_while_its_upload_is_admitted(target: LocalTarget, gate: Gate, tmp_path: Path) -> None:  # noqa: F811
    """Issue 11.4: planned at once it is not known yet, other Workers deploy; the next plan records it."""
    project = project_of(target, tmp_path)
    project.client = lambda: Client(
        gate.base, target.account_id, Token(target.token()), origin=f"local:{target.account_id}"
    )
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


@pytest.mark.parametrize("kind", ["upload", "url"])
def test_killed_before_it_was_sent(target: LocalTarget, tmp_path: Path, kind: str) -> None:  # noqa: F811
    """A local Cloudflare tells at once that nothing is under way: the next plan holds no Worker back."""
    project = project_of(target, tmp_path)
    project.time, project.patience = time.time(), 1.0
    project.declared = worker_of(f"killed-{kind}", {kind: "A"}, note="late")
    facts = {
        "name": f"killed-{kind}",
        "id": kind,
        "base": target.api,
        "account": target.account_id,
        "token": target.token(),
    }
    facts |= {"origin": f"local:{target.account_id}", "here": str(HERE), "state": str(project.state.path)}
    ended = subprocess.run([sys.executable, "-c", KILLED.format(kind=kind) + DEPLOY.format(**facts)], check=False)
    assert ended.returncode == -9
    plan = asyncio.run(project.plan())
    assert plan.undecided == ()
    assert [o.status for o in project.found] == ["not done"]
    assert asyncio.run(project.deploy(plan)).ok
    assert count(target, f"killed-{kind}", kind.upper()) == 1
    assert asyncio.run(project.plan()).empty


@pytest.mark.thorough
def test_where_the_lock_keeps_nobody_out_it_is_waited_for(target: LocalTarget, tmp_path: Path) -> None:  # noqa: F811
    """With `cas-only` the sender may be alive and about to send, which no server can tell."""
    project = project_of(target, tmp_path)
    project.time, project.patience = time.time(), 1.0
    project.declared = worker_of("alive", {"c": "A"}, note="late")
    facts = {"name": "alive", "id": "c", "base": target.api, "account": target.account_id, "token": target.token()}
    facts |= {"origin": f"local:{target.account_id}", "here": str(HERE), "state": str(project.state.path)}
    subprocess.run([sys.executable, "-c", KILLED.format(kind="upload") + DEPLOY.format(**facts)], check=False)
    project.state = StateFile(project.state.path, locking="cas-only")
    assert [left.script_name for left in asyncio.run(project.plan()).undecided] == ["alive"]
