"""The Secrets Store over the API, and what was sent to Analytics Engine, pipelines and email."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

READER = "export default { async fetch(r, env) { return new Response(await env.KEY.get()); } };"
SENDER = """
import { EmailMessage } from "cloudflare:email";
export default { async fetch(request, env) {
  env.HITS.writeDataPoint({ indexes: ["page"], doubles: [3] });
  await env.EVENTS.send([{ n: 1 }, { n: 2 }]);
  const raw = "From: me@example.org\\r\\nMessage-ID: <1@example.org>\\r\\nSubject: Hi\\r\\n\\r\\nHello";
  await env.MAIL.send(new EmailMessage("me@example.org", "a@example.com", raw));
  return new Response("sent");
} };"""


@pytest.fixture
def store(server: Any) -> str:
    """Give the path of the secrets of a store that nobody made."""
    return f"{server.account}/secrets_store/stores/{secrets.token_hex(16)}/secrets"


def test_a_secret_is_kept_and_never_shown(server: Any, script: str, store: str) -> None:
    """A secret is made, read by a Worker, changed, copied and deleted; no answer holds its value."""
    value, newer = secrets.token_hex(8), secrets.token_hex(8)
    given = {"name": "key", "value": value, "scopes": ["workers"], "comment": "of a test"}
    answers = [made := server.http.post(store, json=[given])]
    (secret,) = made.json()["result"]
    assert (secret["name"], secret["comment"], secret["scopes"], secret["status"]) == (
        "key",
        "of a test",
        ["workers"],
        "active",
    )
    store_id = store.split("/")[-2]
    binding = {"type": "secrets_store_secret", "name": "KEY", "store_id": store_id, "secret_name": "key"}
    answers.append(server.upload(script, READER, bindings=[binding]))
    assert server.call(script).text == value
    answers.append(server.http.patch(f"{store}/{secret['id']}", json={"value": newer}))
    assert server.call(script).text == newer
    answers.append(copied := server.http.post(f"{store}/{secret['id']}/duplicate", json={"name": "copy"}))
    server.upload(f"{script[:50]}-b", READER, bindings=[{**binding, "secret_name": "copy"}])
    assert server.call(f"{script[:50]}-b").text == newer
    answers += [server.http.get(store), server.http.get(f"{store}/{secret['id']}")]
    answers.append(server.http.get(f"{server.scripts}/{script}/settings"))
    assert [one["name"] for one in server.result(f"{store}?search=ke")] == ["key"]
    assert store_id in [one["id"] for one in server.result(f"{server.account}/secrets_store/stores?per_page=1000")]
    assert server.http.delete(f"{store}/{copied.json()['result']['id']}").status_code == 200
    assert [one["name"] for one in server.result(store)] == ["key"]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert value not in answer.text
        assert newer not in answer.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([{"name": "a b", "value": "hidden"}], 10001),
        ([{"name": "a", "value": ["hidden"]}], 10001),
        ([{"name": "a", "value": "hidden" * 20_000}], 10001),
        ([{"name": "a", "value": "hidden", "scopes": "workers"}], 10001),
        ([{"name": "a", "value": "hidden"}, {"name": "a", "value": "hidden"}], 10014),
        ({"name": "a", "value": "hidden"}, 10001),
    ],
    ids=["name", "value", "long", "scopes", "twice", "no list"],
)
def test_a_secret_that_cannot_be_is_refused(server: Any, store: str, body: Any, code: int) -> None:
    """What is malformed is refused without a word of the value, and nothing is kept."""
    refused = server.http.post(store, json=body)
    assert server.code_of(refused) == code
    assert "hidden" not in refused.text
    assert server.result(store) == []
    assert server.code_of(server.http.get(f"{store}/{'0' * 32}")) == 10404


def test_stores_are_made_and_deleted(server: Any, script: str) -> None:
    """A store has a name once; deleted, its secrets are gone with it."""
    stores = f"{server.account}/secrets_store/stores"
    made = server.http.post(stores, json={"name": script}).json()["result"]
    assert server.code_of(server.http.post(stores, json={"name": script})) == 10014
    kept = f"{stores}/{made['id']}/secrets"
    assert server.http.post(kept, json=[{"name": "a", "value": "v"}]).status_code == 200
    assert server.code_of(server.http.post(kept, json=[{"name": "a", "value": "v"}])) == 10014
    assert server.http.delete(f"{stores}/{made['id']}").status_code == 200
    assert server.result(kept) == []
    assert made["id"] not in [one["id"] for one in server.result(f"{stores}?per_page=1000")]


def test_what_was_sent_is_listed(server: Any, script: str) -> None:
    """Data points, records and emails of Workers are listed, the newest first; an email can be read as it is."""
    bindings = [
        {"type": "analytics_engine", "name": "HITS", "dataset": f"{script}-hits"},
        {"type": "pipelines", "name": "EVENTS", "pipeline": f"{script}-events"},
        {"type": "send_email", "name": "MAIL"},
    ]
    assert server.upload(script, SENDER, bindings=bindings).status_code == 200
    assert server.call(script).text == "sent"
    sent = f"{server.account}/local/sent"
    deadline = time.monotonic() + 60
    while not (points := server.result(f"{sent}?type=analytics_engine&name={script}-hits")):
        assert time.monotonic() < deadline
    assert [one["item"] for one in points] == [{"index1": "page", "double1": 3}]
    records = server.result(f"{sent}?name={script}-events")
    assert [one["item"] for one in records] == [{"n": 2}, {"n": 1}]
    older = server.result(f"{sent}?name={script}-events&before={records[0]['id']}&per_page=1")
    assert older == records[1:]
    (email,) = server.result(f"{sent}?type=send_email&name={script}")
    assert email["item"] == {"from": "me@example.org", "to": ["a@example.com"], "subject": "Hi"}
    content = server.http.get(f"{server.account}/{email['content']}")
    assert content.headers["content-type"] == "message/rfc822"
    assert content.text.endswith("\r\n\r\nHello")
    assert server.code_of(server.http.get(f"{sent}/{records[0]['id']}")) == 10404
    assert server.http.delete(sent).status_code == 200
    assert server.result(sent) == []
