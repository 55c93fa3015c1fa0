"""Settings and secrets: what is set is read back, what is secret never is, what is not named stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

SHOW = "export default { fetch(_, env) { return Response.json(env); } };"
CANARY = "canary-5f0c"


def secret(name: str = "KEY", text: str = CANARY) -> dict[str, str]:
    """Write one secret."""
    return {"name": name, "text": text, "type": "secret_text"}


def patch(server: Any, script: str, **settings: Any) -> Any:
    """Patch the settings."""
    url = f"{server.scripts}/{script}/settings"
    return server.http.patch(url, files={"settings": (None, json.dumps(settings), "application/json")})


def test_secrets_go_in_and_never_come_out(server: Any, script: str) -> None:
    """The Worker has the secret; no answer of the API, and no log, has it."""
    server.upload(script, SHOW)
    base = f"{server.scripts}/{script}"
    seen = [server.http.put(f"{base}/secrets", json=secret())]
    assert server.call(script).json() == {"KEY": CANARY}
    version = server.result(f"{base}/versions")["items"][0]["id"]
    worker = f"{server.account}/workers/workers/{script}"
    paths = ["", "/settings", "/secrets", "/secrets/KEY", "/versions", f"/versions/{version}", "/deployments"]
    seen += [server.http.get(base + path) for path in paths]
    urls = (server.scripts, worker, f"{worker}/versions", f"{worker}/versions/latest")
    seen += [server.http.get(url) for url in urls]
    seen += [server.upload(script, SHOW, bindings=[secret("OTHER", CANARY * 2)], keep_bindings=["secret_text"])]
    seen += [server.upload(script, "throw new Error(1)", bindings=[secret("OTHER")])]
    assert all(CANARY not in answer.text for answer in seen)
    assert seen[3].json()["result"] == [{"name": "KEY", "type": "secret_text"}]
    for log in ("server.log", "server.err"):
        assert CANARY not in (server.target.data / log).read_text()


def test_secrets_are_kept_when_asked(server: Any, script: str) -> None:
    """`keep_bindings` carries types over; without it a full upload replaces all bindings."""
    server.upload(script, SHOW, bindings=[{"type": "plain_text", "name": "WORD", "text": "hi"}, secret()])
    server.upload(script, SHOW, keep_bindings=["secret_text", "secret_key"])
    assert server.call(script).json() == {"KEY": CANARY}
    server.upload(script, SHOW, bindings=[secret("KEY", "new")], keep_bindings=["secret_text"])
    assert server.call(script).json() == {"KEY": "new"}
    server.upload(script, SHOW)
    assert server.call(script).json() == {}


def test_secrets_in_bulk(server: Any, script: str) -> None:
    """One request sets and removes several as one version."""
    server.upload(script, SHOW, bindings=[secret("A"), secret("B")])
    wanted = {"A": None, "C": {"text": "c", "type": "secret_text"}}
    answer = server.http.patch(f"{server.scripts}/{script}/secrets-bulk", json={"secrets": wanted})
    assert set(answer.json()["result"]) == {"B", "C"}
    assert server.call(script).json() == {"B": CANARY, "C": "c"}
    assert server.result(f"{server.scripts}/{script}/versions")["items"][0]["number"] == 2


def test_secrets_that_cannot_be(server: Any, script: str) -> None:
    """Missing ones are 10056; bad ones are refused without showing their text."""
    server.upload(script, SHOW, bindings=[{"type": "plain_text", "name": "WORD", "text": "hi"}])
    base = f"{server.scripts}/{script}/secrets"
    assert server.code_of(server.http.get(f"{base}/NOPE")) == 10056
    assert server.code_of(server.http.delete(f"{base}/NOPE")) == 10056
    bad = [
        {"name": "1", "text": CANARY, "type": "secret_text"},
        {"name": "K", "text": CANARY},
        {"name": "K", "text": [CANARY], "type": "secret_text"},
        {"name": "WORD", "text": CANARY, "type": "secret_text"},
    ]
    for body in bad:
        answer = server.http.put(base, json=body)
        assert answer.status_code == 400
        assert CANARY not in answer.text
    assert server.call(script).json() == {"WORD": "hi"}


def test_a_secret_needs_the_latest_version_deployed(server: Any, script: str) -> None:
    """10215: changing a secret would silently deploy a version that waits."""
    server.upload(script, SHOW)
    server.send("POST", f"{server.scripts}/{script}/versions", SHOW)
    assert server.code_of(server.http.put(f"{server.scripts}/{script}/secrets", json=secret())) == 10215


def test_a_rollback_over_a_secret_needs_force(server: Any, script: str) -> None:
    """10220 names the secrets that differ, where wrangler cuts them out of the sentence for its question."""
    server.upload(script, SHOW)
    old = server.result(f"{server.scripts}/{script}/versions")["items"][0]["id"]
    server.http.put(f"{server.scripts}/{script}/secrets", json=secret())
    body = {"strategy": "percentage", "versions": [{"version_id": old, "percentage": 100}]}
    url = f"{server.scripts}/{script}/deployments"
    answer = server.http.post(url, json=body)
    assert server.code_of(answer) == 10220
    assert answer.json()["errors"][0]["message"].endswith("The following secrets have changed: KEY")
    assert server.http.post(f"{url}?force=true", json=body).status_code == 200
    assert server.call(script).json() == {}


def test_inherit_takes_bindings_over(server: Any, script: str) -> None:
    """`inherit` keeps a binding, also under a new name; what cannot be inherited is dropped, or 10057 when strict."""
    server.upload(script, SHOW, bindings=[secret(), {"type": "json", "name": "DATA", "json": [1]}])
    bindings = [
        {"type": "inherit", "name": "KEY"},
        {"type": "inherit", "name": "MORE", "old_name": "DATA"},
        {"type": "inherit", "name": "NOPE"},
        {"type": "inherit", "name": "NOR"},
    ]
    strict = server.upload(script, SHOW, url="?bindings_inherit=strict", bindings=bindings)
    assert [e["code"] for e in strict.json()["errors"]] == [10057, 10057]
    assert server.upload(script, SHOW, bindings=bindings).status_code == 200
    assert server.call(script).json() == {"KEY": CANARY, "MORE": [1]}


def test_patched_settings_make_a_version(server: Any, script: str) -> None:
    """PATCH changes what it names and keeps the rest, code and secrets included."""
    server.upload(script, SHOW, bindings=[secret(), {"type": "plain_text", "name": "WORD", "text": "hi"}])
    keep = [{"type": "inherit", "name": "KEY"}, {"type": "plain_text", "name": "WORD", "text": "bye"}]
    done = patch(server, script, bindings=keep, compatibility_date="2026-07-01", tags=["x"], limits={"cpu_ms": 50})
    assert done.status_code == 200, done.text
    assert server.call(script).json() == {"KEY": CANARY, "WORD": "bye"}
    found = server.result(f"{server.scripts}/{script}/settings")
    assert (found["compatibility_date"], found["tags"], found["limits"]) == ("2026-07-01", ["x"], {"cpu_ms": 50})
    patch(server, script, compatibility_flags=["nodejs_compat"])
    found = server.result(f"{server.scripts}/{script}/settings")
    assert (found["compatibility_flags"], found["compatibility_date"]) == (["nodejs_compat"], "2026-07-01")
    assert server.call(script).json() == {"KEY": CANARY, "WORD": "bye"}
    answer = server.http.patch(f"{server.scripts}/{script}/settings", json={"tags": []})
    assert (answer.status_code, server.code_of(answer)) == (415, 10001)


def test_patched_settings_can_carry_a_migration(server: Any, script: str) -> None:
    """A class can be provisioned and bound by PATCH alone."""
    server.upload(script, server.counter("Counter"))
    created = {"migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}}
    done = patch(server, script, bindings=server.bound(), **created)
    assert done.status_code == 200, done.text
    assert server.call(script).text == "1"
    assert server.code_of(patch(server, script, migrations={"deleted_classes": ["Counter"], "old_tag": "v1"})) == 10079


def test_the_scripts_own_settings(server: Any, script: str) -> None:
    """Script settings are kept beside versions, and uploads that do not name tags keep them."""
    url = f"{server.scripts}/{script}/script-settings"
    server.upload(script)
    wanted = {"logpush": True, "observability": {"enabled": True}, "tags": ["a"], "tail_consumers": []}
    assert server.http.patch(url, json=wanted).json()["result"] == wanted
    server.upload(script)
    assert server.result(url) == {**wanted, "logpush": False, "observability": {"enabled": False}}


def test_the_subdomain_is_remembered(server: Any, script: str) -> None:
    """The switch is kept; the account's label can be read and set."""
    url = f"{server.scripts}/{script}/subdomain"
    server.upload(script)
    assert server.result(url) == {"enabled": False, "previews_enabled": False}
    on = {"enabled": True, "previews_enabled": True}
    assert server.http.post(url, json=on).json()["result"] == on
    assert server.http.post(url, json={"enabled": True}).json()["result"] == on
    assert server.http.delete(url).json()["result"] == {"enabled": False, "previews_enabled": False}
    assert server.code_of(server.http.post(url, json={"enabled": "yes"})) == 10001
    label = f"{server.account}/workers/subdomain"
    me = {"subdomain": "me"}
    assert server.http.put(label, json=me).json()["result"] == server.result(label) == me
    assert server.code_of(server.http.put(label, json={"subdomain": "not a label"})) == 10001


@pytest.mark.parametrize(
    ("tags", "status", "text"),
    [
        ([str(n) for n in range(11)], 403, "You have exceeded the limit of 10 tags per Worker."),
        (["x" * 1025], 400, "Tag is too large"),
        (["\u00e9" * 513], 400, "Tag is too large"),
        (["a,b"], 400, "','"),
        (["a&b"], 400, "'&'"),
    ],
)
def test_tags_have_bounds_wherever_they_are_set(
    server: Any, script: str, tags: list[str], status: int, text: str
) -> None:
    """By an upload, by both kinds of settings and by the newer API; what is refused changes nothing."""
    taken = ["ndo:op:1", "a b", "k=v", "x/y;z", "\u00e9" * 512, *"12345"]
    assert server.upload(script, tags=taken).status_code == 200
    answers = [
        server.upload(script, tags=tags),
        patch(server, script, tags=tags),
        server.http.patch(f"{server.scripts}/{script}/script-settings", json={"tags": tags}),
        server.http.patch(f"{server.account}/workers/workers/{script}", json={"tags": tags}),
    ]
    assert {answer.status_code for answer in answers} == {status}
    assert all(text in answer.json()["errors"][0]["message"] for answer in answers)
    assert server.result(f"{server.scripts}/{script}/script-settings")["tags"] == taken


@pytest.mark.parametrize(
    "strategy",
    [
        {"mode": "later"},
        {"mode": "immediate", "max_delay": 5},
        {"mode": "deferred", "max_delay": 86_401},
        {"mode": "deferred", "max_delay": -1},
        {"mode": "deferred", "max_delay": True},
        {"mode": "deferred", "delay": 5},
    ],
)
def test_a_code_update_strategy_has_bounds(server: Any, script: str, strategy: dict[str, Any]) -> None:
    """In an upload and in a deployment; what Cloudflare's page allows is taken."""
    for good in ({"mode": "immediate"}, {"mode": "deferred"}, {"mode": "deferred", "max_delay": 86_400}):
        assert server.upload(script, code_update_strategy=good).status_code == 200
    version = server.result(f"{server.scripts}/{script}/versions")["items"][0]["id"]
    body = {"strategy": "percentage", "versions": [{"version_id": version, "percentage": 100}]}
    deployment = server.http.post(
        f"{server.scripts}/{script}/deployments", json={**body, "code_update_strategy": strategy}
    )
    for answer in (server.upload(script, code_update_strategy=strategy), deployment):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["message"].startswith("code_update_strategy: ")


def test_a_tail_consumer_must_be_there(server: Any, script: str) -> None:
    """10203 in the words of Cloudflare, wherever it is set; a Worker may be its own."""
    assert server.upload(script, tail_consumers=[{"service": script}]).status_code == 200
    words = "Tail Worker does not exist on this account. Check the Worker name and try again."
    for answer in (
        server.upload(script, tail_consumers=[{"service": "nobody"}]),
        patch(server, script, tail_consumers=[{"service": "nobody"}]),
        server.http.patch(f"{server.scripts}/{script}/script-settings", json={"tail_consumers": [{"service": "no"}]}),
        server.http.patch(f"{server.account}/workers/workers/{script}", json={"tail_consumers": [{"name": "no"}]}),
    ):
        assert answer.json()["errors"] == [{"code": 10203, "message": words}]
    malformed = server.http.patch(f"{server.scripts}/{script}/script-settings", json={"tail_consumers": [1]})
    assert server.code_of(malformed) == 10001


def test_refusals_speak_as_cloudflare_was_seen_to(server: Any, script: str) -> None:
    """An absent service, a route to an absent Worker, a Worker without versions: code, status and text."""
    zone = server.result("/zones?name=example.com")[0]["id"]
    server.http.post(f"{server.account}/workers/workers", json={"name": f"{script}-empty"})
    answers = {
        "service": server.upload(script, bindings=[{"type": "service", "name": "S", "service": "nobody"}]),
        "route": server.http.post(f"/zones/{zone}/workers/routes", json={"pattern": "example.com/*", "script": "no"}),
        "empty": server.http.get(f"{server.scripts}/{script}-empty/settings"),
    }
    said = {what: (a.status_code, *a.json()["errors"][0].values()) for what, a in answers.items()}
    again = "Please verify the target script and try again."
    service = f"Could not resolve service binding 'S'. Target script 'nobody' not found. {again}"
    assert said["service"] == (400, 10143, service)
    exists = "Please ensure this Worker exists and try again."
    assert said["route"] == (400, 10019, f"Cannot configure a route for a Worker which does not exist. {exists}")
    empty = "This Worker has no versions, which means this Worker has no content or versioned settings."
    assert said["empty"] == (404, 10222, empty)


def test_cron_triggers(server: Any, script: str) -> None:
    """Triggers are set and cleared as a whole, bad ones are refused, and one can be run by hand."""
    source = """let ran = []; export default {
      scheduled(event) { ran.push(event.cron); }, fetch() { return Response.json(ran); } };"""
    url = f"{server.scripts}/{script}/schedules"
    assert server.upload(script, source).json()["result"]["handlers"] == ["fetch", "scheduled"]
    server.http.put(url, json=[{"cron": "*/5 * * * *"}, {"cron": "0 0 1 1 *"}])
    assert {s["cron"] for s in server.result(url)["schedules"]} == {"*/5 * * * *", "0 0 1 1 *"}
    for malformed in ([1], {}, [{"cron": 5}], [{}]):
        assert server.code_of(server.http.put(url, json=malformed)) == 10001
    for bad in ("often", "* * * *", "; * * * *", "0 3 * * 0", "60 * * * *", "0 0 0 * * *"):
        errors = [{"code": 10100, "message": f"invalid cron string: {bad}"}]
        assert server.http.put(url, json=[{"cron": bad}]).json()["errors"] == errors
    assert len(server.result(url)["schedules"]) == 2
    run = server.http.post(f"{server.account}/local/scripts/{script}/cron", json={"cron": "*/5 * * * *"})
    assert run.json()["result"]["outcome"] == "ok"
    assert server.call(script).json() == ["*/5 * * * *"]
    server.http.put(url, json=[])
    assert server.result(url)["schedules"] == []


@pytest.mark.parametrize(
    ("binding", "code"),
    [
        ({"type": "plain_text", "name": "T"}, 10021),
        ({"type": "plain_text", "name": "a b", "text": ""}, 10021),
        ({"type": "plain_text", "text": ""}, 10021),
        ({"name": "T"}, 10021),
        ({"type": "durable_object_namespace", "name": "D"}, 10021),
        ({"type": "durable_object_namespace", "name": "D", "namespace_id": "0" * 32}, 10066),
        ("text", 10001),
    ],
)
def test_bad_bindings(server: Any, script: str, binding: Any, code: int) -> None:
    """Bindings that say nothing usable are refused with their name."""
    assert server.code_of(server.upload(script, SHOW, bindings=[binding])) == code


def test_two_bindings_of_one_name(server: Any, script: str) -> None:
    """A name can be bound once."""
    twice = [{"type": "plain_text", "name": "T", "text": "1"}, {"type": "json", "name": "T", "json": 1}]
    assert server.code_of(server.upload(script, SHOW, bindings=twice)) == 10021


def test_a_namespace_can_be_bound_by_its_id(server: Any, script: str) -> None:
    """`namespace_id` alone is enough, also for another script's namespace; reads give the labels as well."""
    created = {"migrations": {"new_sqlite_classes": ["Counter"]}}
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **created)
    assert server.call(script).text == "1"
    (namespace,) = server.namespaces(script).values()
    by_id = [{"type": "durable_object_namespace", "name": "COUNTER", "namespace_id": namespace}]
    client = f"{script}-c"
    assert server.upload(client, server.counter(), bindings=by_id).status_code == 200
    assert server.call(client).text == "2"
    (binding,) = server.result(f"{server.scripts}/{client}/settings")["bindings"]
    assert (binding["class_name"], binding["script_name"]) == ("Counter", script)
