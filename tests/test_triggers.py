"""Routes, custom domains and consumed queues on the local target: declared, set, served, seen to drift, removed."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sharing import call

import notebook_do as nd
from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.retry import Pace
from notebook_do.cloudflare.triggers import list_triggers
from notebook_do.credentials.token import Token
from notebook_do.declare.cell import parse_cell
from notebook_do.deploy.run import deploy
from notebook_do.local.process import launch
from notebook_do.model import Trigger
from notebook_do.model.steps import RemoveTrigger, SetTrigger
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "export default { fetch(request) { return new Response('NAME ' + new URL(request.url).pathname); } };"
CONSUMER = """import { DurableObject } from "cloudflare:workers";
export class Seen extends DurableObject {
  async add(body) { await this.ctx.storage.put(body, true); }
  async all() { return [...(await this.ctx.storage.list()).keys()]; }
}
export default {
  async fetch(_, env) { return Response.json(await env.SEEN.getByName("one").all()); },
  async queue(batch, env) {
    for (const message of batch.messages) await env.SEEN.getByName("one").add(message.body);
  },
};
"""
PRODUCER = (
    "export default { async fetch(r, env) { await env.JOBS.send(await r.text()); return new Response('sent'); } };"
)


def visit(host: str, path: str = "/") -> httpx.Response:
    """Ask the workers port as if `host` were its address."""
    target = launch.ensure()
    try:
        return httpx.get(target.url + path, headers={"Host": host}, trust_env=False)
    finally:
        target.release()


def declare(name: str, *, script: str = PLAIN, **more: Any) -> nd.Session:
    """Declare one Worker in a session of its own."""
    session = nd.session("app")
    nd.Worker(name, script=script.replace("NAME", name), **more)
    return session


def kept(session: nd.Session) -> list[tuple[str, str]]:
    """Give the triggers that the state file knows as ours."""
    return [(t.kind, t.key) for w in session.recorded().workers for t in w.triggers]


def test_a_domain_and_a_route_are_served(cloud: Path) -> None:
    """Each is a row and a step of its own; the Worker answers at the host name; nothing is left to do afterwards."""
    session = declare("api", domains=["app.example.com"], routes=["example.com/shop/*", "*.example.com/all"])
    plan = session.plan()
    assert [(c.kind, c.field, str(c.action)) for c in plan.changes if c.kind in {"route", "domain"}] == [
        ("domain", "app.example.com", "create"),
        ("route", "*.example.com/all", "create"),
        ("route", "example.com/shop/*", "create"),
    ]
    session.deploy(plan)
    for host, path, status in [
        ("app.example.com", "/x", 200),
        ("example.com", "/shop/1", 200),
        ("www.example.com", "/all", 200),
        ("example.com", "/other", 421),
        ("example.org", "/shop/1", 421),
    ]:
        assert (visit(host, path).status_code, host, path) == (status, host, path)
    assert visit("app.example.com", "/x").text == "api /x"
    assert session.plan().empty
    assert kept(session) == [
        ("domain", "app.example.com"),
        ("route", "*.example.com/all"),
        ("route", "example.com/shop/*"),
    ]


def test_only_what_is_ours_is_removed(cloud: Path) -> None:
    """A trigger that the declaration dropped is removed, and shown; one that somebody else set for the Worker stays."""
    session = declare("api", domains=["app.example.com"], routes=["example.com/*"])
    session.deploy(session.plan())
    zone = call("GET", "/zones?name=example.com")[0]["id"]
    call("POST", f"/zones/{zone}/workers/routes", {"pattern": "example.com/theirs/*", "script": "api-dev"})
    nd.Worker("api", script=PLAIN.replace("NAME", "api"))
    plan = session.plan()
    assert [type(s) for s in plan.steps] == [RemoveTrigger, RemoveTrigger]
    assert {c.detail for c in plan.changes if str(c.action) == "delete"} == {
        "Custom domain app.example.com of api-dev, which this session set, is removed.",
        "Route example.com/* of api-dev, which this session set, is removed.",
    }
    session.deploy(plan)
    assert [r["pattern"] for r in call("GET", f"/zones/{zone}/workers/routes")] == ["example.com/theirs/*"]
    assert call("GET", "{account}/workers/domains") == []
    assert kept(session) == []
    assert session.plan().empty


def test_a_trigger_of_another_worker_is_refused(cloud: Path) -> None:
    """Who holds it is named, and nothing is sent; the same between two declarations."""
    first = declare("first", domains=["app.example.com"], routes=["example.com/*"])
    first.deploy(first.plan())
    second = nd.session("second")
    nd.Worker("second", script=PLAIN, domains=["app.example.com"], routes=["example.com/*"])
    plan = second.plan()
    assert [(r.code, r.message.partition(",")[0]) for r in plan.refusals] == [
        ("trigger-taken", "custom domain app.example.com belongs to Worker first-dev"),
        ("trigger-taken", "route example.com/* belongs to Worker first-dev"),
    ]
    assert not plan.steps
    third = nd.session("third")
    nd.Worker("one", script=PLAIN, routes=["example.org/*"])
    nd.Worker("two", script=PLAIN, routes=["example.org/*"])
    assert [r.code for r in third.plan().refusals] == ["trigger-twice"]


def test_one_that_was_taken_after_the_plan_stays_where_it_is(cloud: Path) -> None:
    """The deploy looks again before it sets a trigger: another Worker's is left alone, and the error names it."""
    other = nd.session("other")
    nd.Worker("other", script=PLAIN)
    other.deploy(other.plan())
    session = declare("api", domains=["app.example.com"])
    plan = session.plan()
    call("PUT", "{account}/workers/domains", {"hostname": "app.example.com", "service": "other-dev"})
    with pytest.raises(nd.DurableError, match=r"custom domain app.example.com belongs to Worker other-dev now"):
        session.deploy(plan)
    assert [d["service"] for d in call("GET", "{account}/workers/domains")] == ["other-dev"]


def test_a_worker_keeps_its_host_name_when_the_new_one_was_taken(cloud: Path) -> None:
    """Old to new, and new is somebody else's meanwhile: the deploy stops with the old one still set and recorded."""
    other = nd.session("other")
    nd.Worker("other", script=PLAIN)
    other.deploy(other.plan())
    session = declare("api", domains=["old.example.com"])
    session.deploy(session.plan())
    nd.Worker("api", script=PLAIN.replace("NAME", "api"), domains=["new.example.com"])
    plan = session.plan()
    call("PUT", "{account}/workers/domains", {"hostname": "new.example.com", "service": "other-dev"})
    with pytest.raises(nd.DurableError, match=r"custom domain new.example.com belongs to Worker other-dev now"):
        session.deploy(plan)
    assert visit("old.example.com").text == "api /"
    assert kept(session) == [("domain", "old.example.com")]


def test_an_address_stays_open_when_the_host_name_that_replaces_it_was_taken(cloud: Path) -> None:
    """workers.dev to a custom domain: closed after that is set; with cron triggers beside, the next plan is empty."""
    other = nd.session("other")
    nd.Worker("other", script=PLAIN)
    other.deploy(other.plan())
    session = declare("api")
    session.deploy(session.plan())
    more: dict[str, Any] = {"domains": ["app.example.com"], "url": False, "crons": ["*/5 * * * *"]}
    nd.Worker("api", script=PLAIN.replace("NAME", "api"), **more)
    plan = session.plan()
    call("PUT", "{account}/workers/domains", {"hostname": "app.example.com", "service": "other-dev"})
    with pytest.raises(nd.DurableError, match="belongs to Worker other-dev now"):
        session.deploy(plan)
    assert call("GET", "{account}/workers/scripts/api-dev/subdomain")["enabled"] is True
    (taken,) = call("GET", "{account}/workers/domains")
    call("DELETE", f"{{account}}/workers/domains/{taken['id']}")
    session.deploy(session.plan())
    assert call("GET", "{account}/workers/scripts/api-dev/subdomain")["enabled"] is False
    assert session.plan().empty


def test_a_consumer_whose_source_no_longer_has_queue_is_removed_before_the_upload(cloud: Path) -> None:
    """The local Cloudflare refuses the upload as Cloudflare does (11001) while the script consumes; the plan avoids it.

    The queue's messages stay, and a queue that moves to another Worker is consumed there.
    """
    session = declare("api", script=CONSUMER, bindings=seen(), consumes=["jobs", "mail"])
    session.deploy(session.plan())
    plain = CONSUMER.replace("async queue(", "async other(")
    target = launch.ensure()
    url = f"{target.api}/accounts/{target.account_id}/workers/scripts/api-dev/content"
    metadata = '{"main_module": "index.js"}'
    files = {"metadata": (None, metadata), "index.js": ("index.js", plain, "application/javascript+module")}
    token = {"Authorization": f"Bearer {target.token()}"}
    answer = httpx.put(url, files=files, headers=token, trust_env=False)
    target.release()
    assert answer.json()["errors"] == [{"code": 11001, "message": "workers.api.error.queue_handler_missing"}]
    nd.Worker("api", script=plain, bindings=seen())
    nd.Worker("heir", script="export default { fetch() {}, queue() {} };", consumes=["mail"])
    plan = session.plan()
    assert [s.summary for s in plan.steps if isinstance(s, RemoveTrigger)] == [
        "remove consumer of queue jobs of Worker api-dev",
        "remove consumer of queue mail of Worker api-dev",
    ]
    session.deploy(plan)
    assert session.plan().empty
    assert {q["queue_name"]: [c["script"] for c in q["consumers"]] for q in call("GET", "{account}/queues")} == {
        "jobs": [],
        "mail": ["heir-dev"],
    }


def test_a_host_name_without_a_zone_is_refused(cloud: Path) -> None:
    """The plan says which host name no zone of the account holds."""
    session = declare("api", domains=["app.example.invalid"])
    assert [r.code for r in session.plan().refusals] == ["zone-missing"]


def test_a_trigger_moves_between_two_workers_of_a_session(cloud: Path) -> None:
    """It is taken from the one before it is given to the other."""
    session = declare("one", domains=["app.example.com"])
    nd.Worker("two", script=PLAIN.replace("NAME", "two"))
    session.deploy(session.plan())
    nd.Worker("one", script=PLAIN.replace("NAME", "one"))
    nd.Worker("two", script=PLAIN.replace("NAME", "two"), domains=["app.example.com"])
    plan = session.plan()
    assert [type(s) for s in plan.steps] == [RemoveTrigger, SetTrigger]
    session.deploy(plan)
    assert visit("app.example.com").text == "two /"
    assert session.plan().empty


def test_drift_of_a_trigger_is_shown_and_put_back(cloud: Path) -> None:
    """A route that somebody deleted, and a consumer that somebody changed, are drift; a deploy puts them back."""
    session = declare(
        "api", script=CONSUMER, consumes={"jobs": {"batch_size": 1}}, routes=["example.com/*"], bindings=seen()
    )
    session.deploy(session.plan())
    zone = call("GET", "/zones?name=example.com")[0]["id"]
    (route,) = call("GET", f"/zones/{zone}/workers/routes")
    call("DELETE", f"/zones/{zone}/workers/routes/{route['id']}")
    (queue,) = call("GET", "{account}/queues?name=jobs")
    consumer = queue["consumers"][0]
    where = f"{{account}}/queues/{queue['queue_id']}/consumers/{consumer['consumer_id']}"
    call("PUT", where, {"type": "worker", "script_name": "api-dev", "settings": {"batch_size": 7}})
    plan = session.plan()
    assert [c.detail for c in plan.drift] == [
        "Consumer of queue jobs of api-dev was changed: somebody else did that; this plan puts it back.",
        "Route example.com/* of api-dev is no longer set: somebody else did that; this plan puts it back.",
    ]
    session.deploy(plan)
    assert session.plan().empty
    assert call("GET", "{account}/queues?name=jobs")[0]["consumers"][0]["settings"]["batch_size"] == 1


def seen() -> dict[str, Any]:
    """Bind the consumer's Durable Object."""
    return {"SEEN": nd.DurableObjectNamespace("seen", class_name="Seen")}


def test_a_queue_reaches_a_durable_object(cloud: Path) -> None:
    """A producer sends, the declared consumer's queue() writes into an object, and the object has it."""
    session = nd.session("app")
    nd.Worker("consumer", script=CONSUMER, bindings=seen(), consumes={"jobs": {"batch_size": 1, "max_wait_time_ms": 0}})
    nd.Worker("producer", script=PRODUCER, bindings={"JOBS": nd.Queue("jobs")})
    plan = session.plan()
    assert "Queue jobs is made." in "".join(c.detail for c in plan.changes if c.kind == "consumer")
    session.deploy(plan)
    assert session.plan().empty
    session.fetch("producer", "/", method="POST", content=b"hello")
    until = time.monotonic() + 60
    while (arrived := session.fetch("consumer").json()) == [] and time.monotonic() < until:
        time.sleep(0.02)
    assert arrived == ["hello"]


class Lossy(httpx.AsyncHTTPTransport):
    """The real network; the answer to the first mutation of `path` is lost, and with `gone` all that follows."""

    def __init__(self, path: str, *, gone: bool = False) -> None:
        super().__init__()
        self.path, self.gone, self.delivered = path, gone, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and lose the answer where that is asked for."""
        if self.gone and self.delivered:
            raise httpx.ConnectError("gone", request=request)
        answer = await super().handle_async_request(request)
        if request.method != "GET" and request.url.path.endswith(self.path):
            self.delivered += 1
            if self.delivered == 1:
                raise httpx.ReadTimeout("lost", request=request)
        return answer


async def deploy_over(transport: Lossy, session: nd.Session, plan: nd.Plan) -> Any:
    """Deploy a session's plan over a network of one's own."""
    target = launch.ensure()
    try:
        token, origin = Token(target.token()), f"local:{target.account_id}"
        pace = Pace(longest=1)
        async with Client(
            target.api, target.account_id, token, origin=origin, transport=transport, pace=pace
        ) as client:
            return await deploy(plan, client=client, state=StateFile(session.state_path))
    finally:
        target.release()


TRIGGERS: list[tuple[str, dict[str, Any]]] = [
    ("/workers/domains", {"domains": ["app.example.com"]}),
    ("/workers/routes", {"routes": ["example.com/*"]}),
    ("/consumers", {"consumes": ["jobs"]}),
    ("/queues", {"consumes": ["jobs"]}),
]


def test_a_queue_that_went_away_meanwhile_is_not_made_again(cloud: Path) -> None:
    """Its consumer is set on a queue that is there: one that somebody deleted after the plan is told, and planned."""
    session = declare("api", script=CONSUMER, bindings=seen(), consumes=["jobs"])
    call("POST", "{account}/queues", {"queue_name": "jobs"})
    plan = session.plan()
    assert "make queue jobs" not in [s.summary for s in plan.steps]
    (queue,) = call("GET", "{account}/queues?name=jobs")
    call("DELETE", f"{{account}}/queues/{queue['queue_id']}")
    with pytest.raises(nd.DurableError, match="queue jobs is not there any more; nothing was sent for it"):
        session.deploy(plan)
    plan = session.plan()
    assert [s.summary for s in plan.steps][:2] == ["make queue jobs", "set consumer of queue jobs of Worker api-dev"]
    session.deploy(plan)
    assert session.plan().empty


@pytest.mark.parametrize(
    ("path", "trigger"), [TRIGGERS[0], *(pytest.param(*t, marks=pytest.mark.thorough) for t in TRIGGERS[1:])]
)
def test_a_lost_answer_is_resolved_by_looking(cloud: Path, path: str, trigger: dict[str, Any]) -> None:
    """What arrived is not sent again: the deploy looks who holds the trigger, and records it."""
    session = declare("api", script=CONSUMER, bindings=seen(), **trigger)
    transport = Lossy(path)
    assert asyncio.run(deploy_over(transport, session, session.plan())).ok
    assert transport.delivered == 1
    assert len(kept(session)) == 1
    assert session.plan().empty


@pytest.mark.parametrize(
    ("path", "trigger"), [*(pytest.param(*t, marks=pytest.mark.thorough) for t in TRIGGERS[:2]), TRIGGERS[2]]
)
def test_the_next_plan_finds_what_a_broken_deploy_had_set(cloud: Path, path: str, trigger: dict[str, Any]) -> None:
    """The network goes away after the request: the deploy says that it cannot tell, the next plan looks and records."""
    session = declare("api", script=CONSUMER, bindings=seen(), **trigger)
    with pytest.raises(nd.DurableError, match="cannot be told whether this happened"):
        asyncio.run(deploy_over(Lossy(path, gone=True), session, session.plan()))
    assert kept(session) == []
    assert session.plan().empty
    assert len(kept(session)) == 1


def test_a_destroyed_worker_leaves_no_trigger(cloud: Path) -> None:
    """Its routes, domains and consumers go before it."""
    session = declare(
        "api",
        script=CONSUMER.replace("export class Seen extends DurableObject", "class Seen"),
        consumes=["jobs"],
        domains=["app.example.com"],
    )
    session.deploy(session.plan())
    plan = session.plan(destroy=("api",))
    assert [type(s).__name__ for s in plan.steps] == ["RemoveTrigger", "RemoveTrigger", "DeleteScript"]
    session.deploy(plan)
    assert call("GET", "{account}/queues?name=jobs")[0]["consumers"] == []
    assert call("GET", "{account}/workers/domains") == []


def test_an_import_declares_the_triggers_and_makes_them_ours(cloud: Path) -> None:
    """The cell has them, the plan is empty, and dropping one afterwards removes it."""
    first = declare(
        "api",
        script=CONSUMER,
        bindings=seen(),
        consumes={"jobs": {"batch_size": 5}},
        domains=["app.example.com"],
        routes=["example.com/*"],
    )
    first.deploy(first.plan())
    session = nd.session("second")
    imported = session.import_("api-dev")
    assert session.plan().empty
    line, _, body = imported.cells[-1].partition("\n")
    (pasted,) = parse_cell(line.removeprefix("%%durable "), body)
    assert pasted == imported.declarations[-1]
    assert {(t.kind, t.key) for t in pasted.triggers} == set(kept(session))
    assert len(kept(session)) == 3


def test_an_import_goes_on_where_the_token_may_not_read_zones() -> None:
    """What the token may not read is a line that says so; any other refusal ends the import."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/zones"):
            body = {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}], "result": None}
            return httpx.Response(403, json=body)
        domains = [{"id": "d", "hostname": "a.example.com", "service": "api", "zone_id": "z"}]
        result = domains if request.url.path.endswith("/domains") else []
        return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": result})

    async def read() -> Any:
        transport = httpx.MockTransport(answer)
        async with Client(
            "https://api.cloudflare.com/client/v4", "a" * 32, Token("t" * 40), transport=transport
        ) as client:
            return await list_triggers(client)

    triggers, unread = asyncio.run(read())
    assert triggers == {"api": (Trigger(kind="domain", key="a.example.com"),)}
    assert unread == ("The token may not read routes: the cells have none, and a deploy leaves them as they are.",)


def test_an_export_has_them_in_the_words_of_wrangler(cloud: Path) -> None:
    """Routes, custom domains and consumers are in wrangler.jsonc, beside the queue that the Worker sends to."""
    session = declare(
        "api",
        script=CONSUMER,
        bindings={**seen(), "MAIL": nd.Queue("mail")},
        routes=["example.com/*"],
        domains=["app.example.com"],
        consumes={"jobs": {"batch_size": 5, "max_wait_time_ms": 1500, "retry_delay": 2}},
    )
    session.deploy(session.plan())
    (config,) = [
        json.loads(p.read_text()) for p in session.export_wrangler(cloud / "out") if p.name == "wrangler.jsonc"
    ]
    assert config["routes"] == [{"pattern": "app.example.com", "custom_domain": True}, "example.com/*"]
    assert config["queues"] == {
        "producers": [{"binding": "MAIL", "queue": "mail"}],
        "consumers": [{"queue": "jobs", "max_batch_size": 5, "retry_delay": 2, "max_batch_timeout": 1.5}],
    }


def test_toml_and_magic_say_the_same_as_python(home: Path) -> None:
    """The three ways to declare triggers give equal triggers."""
    line = (
        "worker api --route example.com/* --domain a.example.com --consumes 'jobs={\"batch_size\": 5}' --consumes mail"
    )
    (magic,) = parse_cell(line, PLAIN)
    toml = """[workers.api]
script = "export default {}"
routes = ["example.com/*"]
domains = ["a.example.com"]
consumes = {jobs = {batch_size = 5}, mail = {}}
"""
    (table,) = parse_cell("", toml)
    python = nd.Worker(
        "api",
        script=PLAIN,
        routes=["example.com/*"],
        domains=["a.example.com"],
        consumes={"jobs": {"batch_size": 5}, "mail": {}},
    )
    assert magic.triggers == table.triggers == python.triggers
    assert python.triggers[0] == Trigger(kind="consumer", key="jobs", settings=nd.Json({"batch_size": 5}))


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"routes": ["https://*"]}, "route 'https://*' must be a pattern"),
        ({"routes": ["example.com/*/x"]}, "with * only before it and at the very end"),
        ({"routes": ["Example.com/*"]}, "a host name in lower case"),
        ({"domains": ["https://example.com"]}, "domain 'https://example.com' must be a host name"),
        ({"domains": ["localhost"]}, "domain 'localhost' must be a host name"),
        ({"consumes": {"jobs": {"batch_size": 0}}}, "batch_size must be a whole number of 1 to 100, not 0"),
        ({"consumes": {"jobs": {"batch_sise": 1}}}, "unknown setting batch_sise; did you mean batch_size?"),
        ({"consumes": {"jobs": {"dead_letter_queue": "jobs"}}}, "dead_letter_queue must name another queue"),
        ({"consumes": ["Jobs"]}, "a queue's name is 1 to 63 lower-case letters"),
    ],
)
def test_a_trigger_that_can_never_be_right_is_one_line(home: Path, declared: dict[str, Any], problem: str) -> None:
    """What is wrong, with which trigger, and what is right."""
    session = nd.session("app")
    with pytest.raises(nd.DeclarationError) as caught:
        session.declare(nd.Worker("w", script="export default {}", **declared))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
