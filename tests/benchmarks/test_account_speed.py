"""What a thousand deployed, idle Workers cost the server, and how long it takes to reach one. Run with -m benchmark."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from notebook_do.local.account.account import Account, AccountChange, new_hex_id, new_version_id, now
from notebook_do.local.account.records import Deployment, Script, ScriptCode, StoredModule, Version
from notebook_do.local.process import launch
from notebook_do.local.rules.namespaces import AccountNamespace
from notebook_do.local.runtime.spec import Export, ProbeReport

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.benchmark

WORKERS = 1000
SOURCE = """import {{ DurableObject }} from "cloudflare:workers";
export class Counter extends DurableObject {{ fetch() {{ return new Response("{number}"); }} }}
export default {{ fetch(request, env) {{ return env.C.get(env.C.idFromName("a")).fetch(request); }} }};"""
BINDING = {"type": "durable_object_namespace", "name": "C", "class_name": "Counter"}
REPORT = ProbeReport(
    exports=(Export(name="Counter", kind="durable-object", handlers=("fetch",)),),
    default_handlers=("fetch",),
    startup_ms=3,
)


def fill(data: Path) -> None:
    """Put the Workers into the account without starting any of them."""
    data.mkdir(mode=0o700)
    account = Account(data)
    namespaces: list[AccountNamespace] = []
    for number in range(WORKERS):
        content = SOURCE.format(number=number).encode()
        digest, name = account.blobs.store(content), f"w{number}"
        module = StoredModule(
            name="index.js", content_type="application/javascript+module", digest=digest, size=len(content)
        )
        namespaces.append(AccountNamespace(id=new_hex_id(), script=name, class_name="Counter", sqlite=True))
        version = Version(
            id=new_version_id(),
            number=1,
            created_on=now(),
            source="api",
            code=ScriptCode(main_module="index.js", modules=(module,), compatibility_date="2026-06-01", report=REPORT),
            etag=digest,
            bindings=({**BINDING, "namespace_id": namespaces[-1].id},),
        )
        shares = ((version.id, 100.0),)
        account.apply(
            AccountChange(
                script=Script(name=name, tag=new_hex_id(), created_on=now(), modified_on=now(), next_number=2),
                version=version,
                deployment=Deployment(id=new_version_id(), created_on=now(), source="api", versions=shares),
                namespaces=tuple(namespaces),
            )
        )
    account.close()


def milliseconds(work: Callable[[], httpx.Response]) -> float:
    """Time one request, which must succeed."""
    started = time.perf_counter()
    assert work().status_code == 200
    return (time.perf_counter() - started) * 1000


def test_a_thousand_idle_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Say the memory of the server, the first calls of some of them, and the redeploys of one."""
    fill(tmp_path / "data")
    target = launch.ensure(tmp_path / "data")
    http = httpx.Client(headers={"Authorization": f"Bearer {target.token()}"}, timeout=60, trust_env=False)
    scripts = f"{target.api}/accounts/{target.account_id}/workers/scripts"

    def call(number: int) -> httpx.Response:
        return http.get(target.url, headers={"Host": f"w{number}.localhost:{target.workers_port}"})

    def deploy(number: int) -> httpx.Response:
        metadata = {"main_module": "index.js", "compatibility_date": "2026-06-01", "bindings": [BINDING]}
        source = SOURCE.format(number=number)
        files = {
            "metadata": (None, json.dumps(metadata)),
            "index.js": ("index.js", source, "application/javascript+module"),
        }
        return http.put(f"{scripts}/w1", files=files)

    try:
        listing = milliseconds(lambda: http.get(scripts))
        memory = int(Path(f"/proc/{target.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
        calls = [milliseconds(lambda number=number: call(number)) for number in range(0, WORKERS, 40)]  # type: ignore[misc]
        deploys = [milliseconds(lambda number=number: deploy(number)) for number in range(5000, 5010)]  # type: ignore[misc]
    finally:
        http.close()
        launch.stop(tmp_path / "data")
    lines = [
        f"{WORKERS} idle Workers: server {memory:.0f} MiB, list {listing:.0f} ms",
        f"first call: median {statistics.median(calls):.0f} ms, slowest {max(calls):.0f} ms",
        f"redeploy of one: median {statistics.median(deploys):.0f} ms, slowest {max(deploys):.0f} ms",
    ]
    with capsys.disabled():
        print("", *lines, sep="\n")  # noqa: T201 - what it is for
