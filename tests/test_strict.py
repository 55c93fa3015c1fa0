"""KV, R2, D1 and queues that nobody made: they begin at first use, as a plan says; a strict server refuses them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.errors import TargetError
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = (
    "export default { async fetch(_, env) { return new Response(NOTE + await env.KV?.get('k')) } }; const NOTE = '';"
)
KV, BUCKET, DATABASE = "a" * 32, "pictures", "00000000-0000-4000-8000-000000000000"
NOTES = (
    "KV namespace aaaaaaaa…aaaa: made here on first use; on Cloudflare it must exist.",
    f"R2 bucket {BUCKET}: made here on first use; on Cloudflare it must exist.",
    "D1 database 00000000…0000: made here on first use; on Cloudflare it must exist.",
)


def declare(session: nd.Session, *, note: str = "", **bindings: Any) -> nd.Plan:
    """Declare a Worker with these bindings, and plan."""
    nd.Worker("api", script=SOURCE.replace("''", repr(note)), bindings=bindings)
    return session.plan()


def ask(method: str, path: str, body: Any = None) -> httpx.Response:
    """Ask the API as another tool does."""
    target = launch.ensure()
    try:
        url, token = f"{target.api}/accounts/{target.account_id}{path}", {"Authorization": f"Bearer {target.token()}"}
        return httpx.request(method, url, json=body, headers=token, trust_env=False)
    finally:
        target.release()


def test_a_plan_and_its_result_say_what_begins_at_first_use(own_cloud: Path) -> None:
    """One short line a kind, only where such a binding is set; in the plan's text and in that of the result."""
    session = nd.session("app")
    plan = declare(session, KV=nd.KV(KV), PICS=nd.R2(BUCKET), DB=nd.D1(DATABASE))
    assert plan.notes == NOTES
    assert all(note in " ".join(str(plan).split()) for note in NOTES)
    assert not plan.warnings
    result = session.deploy(plan)
    assert result.notes == NOTES
    assert all(note in " ".join(str(result).split()) for note in NOTES)
    assert session.plan().notes == ()
    changed = declare(session, note="!", KV=nd.KV(KV), PICS=nd.R2(BUCKET), DB=nd.D1(DATABASE))
    assert changed.steps
    assert changed.notes == ()


def test_what_was_made_by_its_name_is_not_mentioned(own_cloud: Path) -> None:
    """A namespace, a bucket and a database made over the API, as wrangler makes them, are there already."""
    session = nd.session("app")
    made = ask("POST", "/storage/kv/namespaces", {"title": "words"}).json()["result"]["id"]
    ask("POST", "/r2/buckets", {"name": BUCKET}).raise_for_status()
    database = ask("POST", "/d1/database", {"name": "rows"}).json()["result"]["uuid"]
    plan = declare(session, KV=nd.KV(made), PICS=nd.R2(BUCKET), DB=nd.D1(database), OTHER=nd.KV(KV))
    assert plan.notes == (NOTES[0],)


def test_a_queue_that_nobody_made_is_told_as_well(own_cloud: Path) -> None:
    """But not one that the plan itself makes for its consumer."""
    session = nd.session("app")
    nd.Worker("c", script="export default { fetch() {}, queue() {} };", consumes=["jobs"])
    plan = declare(session, JOBS=nd.Queue("jobs"), MAIL=nd.Queue("mail"))
    assert plan.notes == ("Queue mail: made here on first use; on Cloudflare it must exist.",)
    session.deploy(plan)
    assert session.plan().notes == ()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "notebook_do.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


REFUSALS = [
    ("KV", nd.KV(KV), 10041, f"KV namespace '{KV}' not found."),
    ("PICS", nd.R2(BUCKET), 10085, f"R2 bucket '{BUCKET}' not found. Please use a different name and try again."),
    ("DB", nd.D1(DATABASE), 10181, f"D1 binding 'DB' references database '{DATABASE}' which was not found."),
    ("KV", nd.KV("words"), 10042, "KV namespace 'words' is not valid."),
    ("JOBS", nd.Queue("jobs"), 11000, "Queue 'jobs' not found."),
]


def test_a_strict_server_refuses_what_nobody_made(own_cloud: Path) -> None:
    """Code and text are Cloudflare's; made as other tools make it, each is taken; the plan mentions no first use."""
    started = run("local", "start", "--strict")
    assert "must have been made" in started.stdout, started.stderr
    session = nd.session("app")
    for name, bound, code, text in REFUSALS:
        plan = declare(session, **{name: bound})
        assert plan.notes == ()
        with pytest.raises(nd.DurableError) as caught:
            session.deploy(plan)
        assert text in str(caught.value)
        assert f"[code {code}]" in str(caught.value)
    absent = ask("PUT", f"/r2/buckets/{BUCKET}/objects/k")
    assert (absent.status_code, absent.json()["errors"][0]["code"]) == (404, 10006)
    made = ask("POST", "/storage/kv/namespaces", {"title": "words"}).json()["result"]["id"]
    ask("POST", "/r2/buckets", {"name": BUCKET}).raise_for_status()
    assert ask("PUT", f"/r2/buckets/{BUCKET}/objects/k").status_code == 200
    database = ask("POST", "/d1/database", {"name": "rows"}).json()["result"]["uuid"]
    ask("POST", "/queues", {"queue_name": "jobs"}).raise_for_status()
    bound = {"KV": nd.KV(made), "PICS": nd.R2(BUCKET), "DB": nd.D1(database), "JOBS": nd.Queue("jobs")}
    result = session.deploy(declare(session, **bound))
    assert result["api"].fetch("/").text == "null"
    assert session.plan().empty
    foreign = {"origins": [{"hostname": "a.example.com", "zone_id": "f" * 32}]}
    refused = ask("PUT", "/workers/scripts/api-dev/domains/records", foreign)
    assert refused.json()["errors"][0]["code"] == 1001


BOTH = """let got = [];
export default {
  async fetch(request, env) {
    if (request.method === "POST") await env.JOBS.send(await request.text());
    return Response.json(got);
  },
  async queue(batch) { got.push(...batch.messages.map((m) => m.body)); },
};
"""
ONLY = {
    "back": BOTH.replace("if (request", "if (false && request"),
    "front": BOTH.replace("async queue", "async other"),
}
SOON = {"jobs": {"batch_size": 1, "max_wait_time_ms": 0}}


@pytest.mark.parametrize("apart", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_a_queue_is_made_before_the_upload_that_sends_to_it(own_cloud: Path, apart: bool) -> None:  # noqa: FBT001
    """Issue 11.14: the first deploy of producer and consumer, in one Worker or in two, succeeds where 11000 is told."""
    assert run("local", "start", "--strict").returncode == 0
    session = nd.session("app")
    bindings = {"JOBS": nd.Queue("jobs")}
    if apart:
        nd.Worker("back", script=ONLY["back"], consumes=SOON)
        nd.Worker("front", script=ONLY["front"], bindings=bindings)
    else:
        nd.Worker("front", script=BOTH, bindings=bindings, consumes=SOON)
    plan = session.plan()
    said = [step.summary for step in plan.steps]
    assert said.index("make queue jobs") < said.index("create Worker front-dev")
    assert session.deploy(plan).ok
    assert session.plan().empty
    session.fetch("front", "/", method="POST", content=b"hello")
    until = time.monotonic() + 60
    while (got := session.fetch("back" if apart else "front").json()) == [] and time.monotonic() < until:
        time.sleep(0.02)
    assert got == ["hello"]


def test_strictness_is_remembered_while_the_server_runs(own_cloud: Path) -> None:
    """`status` shows it; who joins has it; a server that is not strict does not become so; the next one is not."""
    assert run("local", "start", "--strict").returncode == 0
    assert json.loads(run("local", "status", "--json").stdout)["strict"] is True
    assert "must have been made" in run("local", "status").stdout
    joined = launch.ensure()
    assert joined.strict
    joined.release()
    run("local", "stop")
    assert run("local", "start").returncode == 0
    assert json.loads(run("local", "status", "--json").stdout)["strict"] is False
    assert "must have been made" not in run("local", "status").stdout
    refused = run("local", "start", "--strict")
    assert refused.returncode == 1
    assert "is not strict: stop it first" in refused.stderr
    with pytest.raises(TargetError, match="is not strict"):
        launch.run_foreground(strict=True)
