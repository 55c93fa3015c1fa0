"""The beta Workers API: Workers by id or name, versions as JSON."""

from __future__ import annotations

import base64
from typing import Any

PLAIN = 'export default { fetch() { return new Response("beta"); } };'


def version(source: str = PLAIN, **more: Any) -> dict[str, Any]:
    """Write a version as JSON."""
    module = {
        "name": "index.js",
        "content_type": "application/javascript+module",
        "content_base64": base64.b64encode(source.encode()).decode(),
    }
    return {"main_module": "index.js", "modules": [module], "compatibility_date": "2026-06-01", **more}


def test_a_worker_is_made_before_its_versions(server: Any, script: str) -> None:
    """An empty Worker is listed, answers nothing, and takes versions that wait or are deployed at once."""
    workers = f"{server.account}/workers/workers"
    made = server.http.post(workers, json={"name": script, "tags": ["t"], "subdomain": {"enabled": True}}).json()[
        "result"
    ]
    assert (made["name"], made["tags"], made["subdomain"]["enabled"]) == (script, ["t"], True)
    assert server.result(f"{workers}/{made['id']}") == server.result(f"{workers}/{script}") == made
    assert server.code_of(server.http.post(workers, json={"name": script})) == 10040
    assert server.code_of(server.http.get(f"{server.scripts}/{script}/settings")) == 10222
    assert server.call(script).status_code == 404
    waits = server.http.post(f"{workers}/{made['id']}/versions", json=version()).json()["result"]
    assert server.call(script).status_code == 404
    runs = server.http.post(f"{workers}/{script}/versions?deploy=true", json=version()).json()["result"]
    assert server.call(script).text == "beta"
    assert [v["id"] for v in server.result(f"{workers}/{script}/versions")] == [runs["id"], waits["id"]]
    assert server.result(f"{workers}/{script}")["tags"] == ["t"]
    found = server.result(f"{workers}/{script}/versions/{runs['id']}?include=modules")
    assert base64.b64decode(found["modules"][0]["content_base64"]).decode() == PLAIN
    assert "modules" not in server.result(f"{workers}/{script}/versions/latest")
    assert server.code_of(server.http.delete(f"{workers}/{script}/versions/{runs['id']}")) == 10001
    assert server.http.delete(f"{workers}/{script}/versions/{waits['id']}").status_code == 200


def test_versions_with_classes(server: Any, script: str) -> None:
    """A deployed version may carry migrations; one that waits may not."""
    workers = f"{server.account}/workers/workers"
    server.http.post(workers, json={"name": script})
    body = version(
        server.counter("Counter"),
        bindings=server.bound(),
        migrations={"new_tag": "v1", "new_sqlite_classes": ["Counter"]},
    )
    assert server.code_of(server.http.post(f"{workers}/{script}/versions", json=body)) == 10211
    done = server.http.post(f"{workers}/{script}/versions?deploy=true", json=body).json()["result"]
    assert done["migration_tag"] == "v1"
    assert server.call(script).text == "1"


def test_a_worker_is_changed_renamed_and_deleted(server: Any, script: str) -> None:
    """PATCH changes what it names, PUT resets the rest, a new name keeps everything, DELETE ends it."""
    workers = f"{server.account}/workers/workers"
    server.upload(script)
    tails = [{"name": script}]
    patched = server.http.patch(f"{workers}/{script}", json={"logpush": True, "tail_consumers": tails})
    assert (patched.json()["result"]["logpush"], patched.json()["result"]["tail_consumers"]) == (True, tails)
    put = server.http.put(f"{workers}/{script}", json={"name": f"{script}-new"}).json()["result"]
    assert (put["name"], put["logpush"], put["id"]) == (f"{script}-new", False, patched.json()["result"]["id"])
    assert server.call(f"{script}-new").text == "hello"
    assert server.http.delete(f"{workers}/{put['id']}").status_code == 200
    assert server.code_of(server.http.get(f"{workers}/{put['id']}")) == 10007


def test_secrets_of_the_latest_version(server: Any, script: str) -> None:
    """A merge patch of `env` makes a version that waits."""
    workers = f"{server.account}/workers/workers"
    source = "export default { fetch(_, env) { return Response.json(env); } };"
    server.upload(script, source)
    body = {"env": {"K": {"type": "secret_text", "text": "s"}}, "annotations": {"workers/message": "m"}}
    made = server.http.patch(
        f"{workers}/{script}/versions/latest", json=body, headers={"Content-Type": "application/merge-patch+json"}
    ).json()["result"]
    assert (made["bindings"], made["annotations"]) == ([{"name": "K", "type": "secret_text"}], {"workers/message": "m"})
    assert server.call(script).json() == {}
    shares = {"versions": [{"version_id": made["id"], "percentage": 100}]}
    server.http.post(f"{server.scripts}/{script}/deployments", json=shares)
    assert server.call(script).json() == {"K": "s"}


def test_bad_versions(server: Any, script: str) -> None:
    """Broken modules are refused; nothing is left."""
    workers = f"{server.account}/workers/workers"
    server.http.post(workers, json={"name": script})
    bad = [
        {"modules": [{"name": "index.js"}]},
        {"modules": [{"name": "index.js", "content_type": "text/plain", "content_base64": "%%%"}]},
        {"modules": ["x"]},
        {"modules": []},
        {"main_module": "other.js"},
        {"bindings": [{"type": "inherit", "name": "X"}]},
    ]
    for more in bad:
        answer = server.http.post(f"{workers}/{script}/versions?deploy=true", json=version(**more))
        assert answer.status_code == 400, answer.text
    assert server.result(f"{workers}/{script}/versions") == []


def test_workers_are_listed_in_order(server: Any, script: str) -> None:
    """The list is paged and can be turned round."""
    for letter in "ab":
        server.upload(f"{script}-{letter}")
    listed = server.result(f"{server.account}/workers/workers?order_by=name&order=desc&per_page=1000")
    names = [w["name"] for w in listed if w["name"].startswith(script)]
    assert names == [f"{script}-b", f"{script}-a"]


def test_the_account_and_its_owner(server: Any) -> None:
    """Account, membership and user agree on one account."""
    account = server.target.account_id
    assert [a["id"] for a in server.result("/accounts")] == [account]
    assert server.result(f"/accounts/{account}")["id"] == account
    assert [m["account"]["id"] for m in server.result("/memberships")] == [account]
    assert server.result("/user")["email"]
    assert server.result(f"{server.account}/workers/account-settings")["default_usage_model"] == "standard"
