"""A session deploys Workers that send to Analytics Engine, pipelines and email, and read a Secrets Store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

import notebook_do as nd
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from pathlib import Path

STORE = "7" * 32
SOURCE = """
import { EmailMessage } from "cloudflare:email";
export default { async fetch(request, env) {
  const raw = "From: me@example.org\\r\\nMessage-ID: <1@example.org>\\r\\nSubject: Hi\\r\\n\\r\\nHello";
  await env.MAIL.send(new EmailMessage("me@example.org", "a@example.com", raw));
  await env.EVENTS.send([{ n: 1 }]);
  env.HITS.writeDataPoint({ doubles: [1] });
  return new Response(await env.KEY.get());
} };
"""


def ask(method: str, path: str, body: Any = None) -> Any:
    """Ask the API as a person does with curl."""
    target = launch.ensure()
    try:
        url, token = f"{target.api}/accounts/{target.account_id}{path}", {"Authorization": f"Bearer {target.token()}"}
        answer = httpx.request(method, url, json=body, headers=token, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]
    finally:
        target.release()


def test_what_a_declared_worker_sends_can_be_listed(cloud: Path) -> None:
    """The plan warns of none of the four types, and what was sent stands in the list; the secret's value in none."""
    ask("POST", f"/secrets_store/stores/{STORE}/secrets", [{"name": "key", "value": "v-alue", "scopes": ["workers"]}])
    session = nd.session("app")
    bindings = {
        "MAIL": nd.SendEmail("a@example.com"),
        "EVENTS": nd.Pipeline("events-of-a-session"),
        "HITS": nd.AnalyticsEngine("hits-of-a-session"),
        "KEY": nd.SecretsStoreSecret(STORE, "key"),
    }
    nd.Worker("api", script=SOURCE, bindings=bindings)
    plan = session.plan()
    assert plan.warnings == ()
    result = session.deploy(plan)
    assert result["api"].fetch("/").text == "v-alue"
    (email,) = ask("GET", "/local/sent?type=send_email&name=api-dev")
    assert email["item"] == {"from": "me@example.org", "to": ["a@example.com"], "subject": "Hi"}
    assert [one["item"] for one in ask("GET", "/local/sent?name=events-of-a-session")] == [{"n": 1}]
    assert "v-alue" not in str(plan) + str(result) + str(ask("GET", "/local/sent"))
    assert session.plan().empty
