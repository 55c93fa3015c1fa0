"""Runs cells in a real IPython shell against the small account, with all chance taken out: what is planned and sent.

Chance is taken out below the package: `secrets` draws zeros. So lineages, operations and migration tags are the same in
every run, and no name of a module of the package is needed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlsplit

from inside import digest_of
from IPython.core.interactiveshell import InteractiveShell
from small_account import ID, SmallAccount, parts_of, serve
from traitlets.config import Config

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "golden-token-0123456789abcdef"
SESSION = "golden"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One round: cells are run, a plan is made and, where it can be, deployed with its consents.

    `before` changes the directory or the account first; `env` is set from then on, None unset.
    """

    cells: tuple[str, ...] = ()
    destroy: tuple[str, ...] = ()
    before: Callable[[SmallAccount], object] = lambda _: None
    env: dict[str, str | None] = field(default_factory=dict)
    deploy: bool = True


@dataclass(frozen=True, kw_only=True)
class Case:
    """A name and what happens; `stage` is the session's.

    `together`: several Workers are deployed side by side, so the order of what follows their uploads is open.
    """

    name: str
    steps: tuple[Step, ...]
    stage: str = "production"
    together: bool = False


@contextlib.contextmanager
def shell() -> Iterator[InteractiveShell]:
    """Give a real shell with the extension loaded, without history file; what it prints goes nowhere."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ip = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
        ip.run_line_magic("load_ext", "notebook_do")
        try:
            yield ip
        finally:
            ip.run_line_magic("unload_ext", "notebook_do")


def run_cell(ip: InteractiveShell, source: str) -> Any:
    """Run one cell as a person does; gives its value, raises its error."""
    done = ip.run_cell(source, store_history=False)
    done.raise_error()
    return done.result


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a directory, in memory where that is possible: a deploy waits for the disk many times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@contextlib.contextmanager
def home(place: Path) -> Iterator[Path]:
    """Work in a directory, without settings and credentials of the machine, and without chance."""
    before = Path.cwd()
    foreign = ("CLOUDFLARE_", "CF_", "NOTEBOOK_DO_", "COLAB_", "JUPYTERHUB_")
    given = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    given |= {"NOTEBOOK_DO_KEYS": str(place / "keys"), "NOTEBOOK_DO_DATA": str(place / "local-data")}
    with mock.patch.dict(os.environ, given, clear=True):
        os.chdir(place)
        try:
            yield place
        finally:
            os.chdir(before)


@contextlib.contextmanager
def no_chance(digit: str) -> Iterator[None]:
    """Let `secrets` draw one digit only."""
    drawn = {"token_hex": lambda n=32: digit * 2 * n, "token_bytes": bytes, "token_urlsafe": lambda n=32: digit * n}
    with mock.patch.multiple(secrets, **drawn):
        yield


@contextlib.contextmanager
def cloudflare(account: SmallAccount, place: Path, stage: str = "production", digit: str = "0") -> Iterator[nd.Session]:
    """Open a session whose target is `account`; what is drawn by chance is all `digit`."""
    server, url = serve(account)
    told = {"CLOUDFLARE_API_BASE_URL": url, "CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": ID}
    try:
        with home(place), no_chance(digit), mock.patch.dict(os.environ, told):
            session = nd.session(SESSION, stage=stage, target="cloudflare")
            try:
                yield session
            finally:
                session.close()
    finally:
        server.shutdown()
        server.server_close()


def run(case: Case) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Give of each step what was planned, and what was sent."""
    account = SmallAccount()
    planned, sent = [], []
    with folder() as place, shell() as ip, cloudflare(account, place, case.stage) as session:
        for step in case.steps:
            step.before(account)
            for name, value in step.env.items():
                os.environ.pop(name, None)
                os.environ.update({name: value} if value is not None else {})
            for cell in step.cells:
                run_cell(ip, cell)
            plan = session.plan(step.destroy)
            planned.append(planned_of(plan))
            account.sent.clear()
            if plan.can_deploy and step.deploy:
                result = session.deploy(plan, confirm=[c.phrase for c in plan.consents])
                assert result.ok, result.outcomes
            requests = [shown(request) for request in account.sent]
            sent.append(_in_order(requests) if case.together else requests)
    return planned, sent


def _in_order(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put uploads first, and what follows them in alphabetical order; operations lose their number, which tells it."""
    text = re.sub(r"ndo:op:(0+)\.\d+\.", r"ndo:op:\1.N.", json.dumps(requests))
    uploads = [r for r in json.loads(text) if "parts" in r]
    return uploads + sorted((r for r in json.loads(text) if "parts" not in r), key=lambda r: r["request"])


def planned_of(plan: Any) -> dict[str, Any]:
    """Give what is pinned of a plan; what is empty is left out."""
    said = {
        "digest": digest_of(plan),
        "refusals": sorted(r.code for r in plan.refusals),
        "consents": [c.phrase for c in plan.consents],
        "drift": len(plan.drift),
        "steps": len(plan.steps),
    }
    return {key: value for key, value in said.items() if value}


def shown(request: dict[str, Any]) -> dict[str, Any]:
    """Write down a request: everything of it but the boundary of its form, the token and the address."""
    headers = {
        name: value
        for name, value in sorted(request["headers"].items())
        if name not in {"host", "content-length", "content-type", "authorization", "connection", "accept-encoding"}
    }
    kind = request["headers"].get("content-type", "")
    split = urlsplit(request["path"])
    told: dict[str, Any] = {"request": f"{request['method']} {split.path.removeprefix('/client/v4')}"}
    told |= {"query": split.query} if split.query else {}
    told |= {"headers": headers, "type": kind.partition(";")[0]}
    if kind.startswith("multipart/form-data"):
        return told | {"parts": [_part(p) for p in parts_of(request["body"], kind)]}
    return told | ({"body": request["body"].decode()} if request["body"] else {})


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """Write down a part; JSON as its text, so that order and spaces count too."""
    try:
        content = part["content"].decode()
    except UnicodeDecodeError:
        content = "hex " + part["content"].hex()
    return {key: value for key, value in {**part, "content": content}.items() if value is not None}


def as_json(value: Any) -> Any:
    """Give a value as it comes back from a file."""
    return json.loads(json.dumps(value))
