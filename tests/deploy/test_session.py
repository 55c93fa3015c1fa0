"""A whole session on target cloudflare, over a real socket: warnings, the token asked for, and who is told what."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from account_model import ACCOUNT, TOKEN, Account, Refused
from jupyter_client.manager import KernelManager

import notebook_do as nd

if TYPE_CHECKING:
    from processes import Served

SOURCE = "export class Counter {}\nexport default {}\n"


class Home(Account):
    """An account with its token: who it is, what it may do, and the workers.dev name."""

    def handle(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        """Answer for the token, else as an account."""
        match path.removeprefix("/client/v4"):
            case "/accounts":
                return [{"id": ACCOUNT, "name": "Me"}], {}
            case account if account == f"/accounts/{ACCOUNT}":
                return {"id": ACCOUNT, "name": "Me"}, {}
            case "/user/tokens/verify":
                return {"id": "t1", "status": "active"}, {}
            case "/user/tokens/t1":
                return {"policies": [{"effect": "allow", "permission_groups": [{"name": "DNS Write"}]}]}, {}
            case name if name.endswith("/workers/subdomain"):
                raise Refused(10007, "no subdomain", 404)
        return super().handle(method, path, query, body, kind)


@pytest.fixture
def remote(served: Served, cloud: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let target cloudflare be the account model behind a socket; gives the project's directory."""
    served.account = Home()
    monkeypatch.setenv("CLOUDFLARE_API_BASE_URL", served.url)
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", TOKEN)
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(name, raising=False)
    return cloud


def declare() -> nd.Session:
    """Open a session on Cloudflare and declare one Worker with one class."""
    session = nd.session("tour", target="cloudflare")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("w", script=SOURCE, bindings={"COUNTER": counter})
    return session


def test_s28_s29_the_plan_warns(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S28, S29: the plan for Cloudflare holds one line each for a shared kernel and an over-scoped token."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    plan = declare().plan()
    assert [w.split(":")[0] for w in plan.warnings] == [
        "this kernel runs on JupyterHub",
        "the API token may do more than a deploy needs",
    ]


def test_a_digest_does_not_depend_on_the_place(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that was read in one place can be approved in another: warnings are no part of its digest."""
    here = declare().plan()
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    nd.session("other")
    there = declare().plan()
    assert len(there.warnings) == len(here.warnings) + 1
    assert there.digest == here.digest


def test_s28_s29_the_local_target_warns_of_nothing(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S27-S29: on the local target there is no token to worry about; whoami says in which file it is."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    session = nd.session("tour")
    nd.Worker("w", script="export default { fetch() { return new Response('ok') } }")
    assert session.plan().warnings == ()
    (told,) = session.whoami().rows
    assert re.fullmatch(r"token file /.+", told["source"])
    assert Path(told["source"].removeprefix("token file ")).is_file()


def test_a_session_on_cloudflare_from_first_to_last(remote: Path, served: Served) -> None:
    """Plan, deploy, nothing to do, whoami: all of it over the socket, with the token of the environment."""
    session = declare()
    result = session.deploy(session.plan())
    assert result.requests <= 5
    assert session.plan().empty
    assert [n["class"] for n in served.account.namespaces.values()] == ["Counter"]
    assert TOKEN not in repr(session.whoami())


def test_f58_a_copied_notebook(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F58: a copy of a notebook shares the state file: its plan is empty, and says which notebook deployed last."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(remote / "one.ipynb"))
    session = declare()
    session.deploy(session.plan())
    assert not any("deployed this session last" in w for w in session.plan().warnings)
    monkeypatch.setenv("JPY_SESSION_NAME", str(remote / "copy.ipynb"))
    plan = session.plan()
    assert plan.empty
    (told,) = (w for w in plan.warnings if "deployed this session last" in w)
    assert told.endswith(
        "one.ipynb deployed this session last (2026-01-01 00:00). Both notebooks deploy the same Workers."
    )
    assert not any("deployed this session last" in w for w in session.plan().warnings), "once a kernel"


READ_ONLY = """
import ctypes, sys
import notebook_do as nd

header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(header, none) == 0  # root obeys the modes of files, too

def declared(**where):
    session = nd.session("tour", target="cloudflare", **where)
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("w", script="export class Counter {}", bindings={"COUNTER": counter})
    return session

session = declared()
plan = session.plan()
print(len(plan.steps))
try:
    session.deploy(plan)
except nd.StateError as error:
    print(error)
session = declared(state=sys.argv[1])
print(session.deploy(session.plan()).ok)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="gives up root's rights as Linux does it")
def test_f52_a_read_only_project(remote: Path, served: Served) -> None:
    """F52: in a directory that cannot be written a plan is made, a deploy refused; --state PATH is the way."""
    project = remote / "project"
    project.mkdir()
    project.chmod(0o555)
    try:
        told = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(remote / "other" / "state.json")],
            cwd=project,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        project.chmod(0o755)
    steps, refusal, ok = told.stdout.splitlines() if not told.stderr else [told.stderr] * 3
    assert steps.isdigit(), told.stderr
    assert "Permission denied" in refusal
    assert "--state PATH" in refusal
    assert ok == "True"
    assert not list(project.iterdir())
    assert [n["class"] for n in served.account.namespaces.values()] == ["Counter"]


ASKED = """
import getpass, threading
import notebook_do as nd
asked, ask = [], getpass.getpass
def noted(prompt):
    asked.append(threading.current_thread() is threading.main_thread())
    return ask(prompt)
getpass.getpass = noted
session = nd.session("tour", target="cloudflare")
counter = nd.DurableObjectNamespace("counter", class_name="Counter")
worker = nd.Worker("w", script="export class Counter {}\\nexport default {}", bindings={"COUNTER": counter})
print(session.plan().can_deploy, session.plan().can_deploy, asked)
"""


@pytest.mark.parametrize("mode", ["plan()", "(await session.aplan())"])
def test_a_kernel_asks_for_the_token_where_it_can(remote: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Without any other source a real kernel asks once, without echo, on the thread of its cells; then it is known."""
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("IPYTHONDIR", str(remote / "ipython"))
    prompts: list[dict[str, Any]] = []
    shown: list[str] = []
    manager = KernelManager(kernel_name="python3", transport="ipc")  # no port that another may take
    manager.start_kernel(cwd=str(remote))
    client = manager.blocking_client()

    def answer(message: dict[str, Any]) -> None:
        prompts.append(message["content"])
        client.input(TOKEN)

    def show(message: dict[str, Any]) -> None:
        content = message["content"]
        shown.append(content["text"] if message["msg_type"] == "stream" else str(content))  # which comes in pieces

    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        code = ASKED.replace("session.plan()", "session." + mode if mode == "plan()" else mode)
        client.execute_interactive(code, allow_stdin=True, stdin_hook=answer, output_hook=show, timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert prompts == [{"prompt": "Cloudflare API token: ", "password": True}]
    assert "True True [True]" in "".join(shown), shown
    assert TOKEN not in "".join(shown)


def test_a_token_that_did_not_work_is_asked_for_again(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token is not kept: the next command looks for it anew, with no new session."""
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "short")
    session = declare()
    with pytest.raises(nd.DurableError, match="cannot be one"):
        session.plan()
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", TOKEN)
    assert session.plan().can_deploy
