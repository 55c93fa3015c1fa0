"""Versions and deployments: uploaded without deploying, deployed, split, rolled back, kept in bounds."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

CREATE = {"migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}}
LIVE = {"type": "durable-object", "storage": "sqlite"}


def says(word: str) -> str:
    """Write a Worker that says one word."""
    return f'export default {{ fetch() {{ return new Response("{word}"); }} }};'


def latest(server: Any, script: str) -> str:
    """Give the newest version's id."""
    return str(server.result(f"{server.scripts}/{script}/versions")["items"][0]["id"])


def deploy(server: Any, script: str, *shares: tuple[str, float], force: bool = False, **more: Any) -> Any:
    """Deploy versions."""
    versions = [{"version_id": version, "percentage": share} for version, share in shares]
    body = {"strategy": "percentage", "versions": versions, **more}
    url = f"{server.scripts}/{script}/deployments" + ("?force=true" if force else "")
    return server.http.post(url, json=body)


def test_a_version_waits_until_it_is_deployed(server: Any, script: str) -> None:
    """An uploaded version changes nothing that runs; a deployment of it does."""
    first = server.upload(script, says("one")).json()["result"]["deployment_id"]
    uploaded = server.send("POST", f"{server.scripts}/{script}/versions", says("two")).json()["result"]
    assert uuid.UUID(uploaded["id"]) != uuid.UUID(first)
    assert uploaded["number"] == 2
    assert server.call(script).text == "one"
    assert deploy(server, script, (uploaded["id"], 100), annotations={"workers/message": "go"}).status_code == 200
    assert server.call(script).text == "two"
    active = server.result(f"{server.scripts}/{script}/deployments")["deployments"][0]
    assert active["versions"] == [{"version_id": uploaded["id"], "percentage": 100.0}]
    assert active["annotations"] == {"workers/triggered_by": "promotion", "workers/message": "go"}
    assert server.result(f"{server.scripts}/{script}/deployments/{active['id']}") == active
    found = server.result(f"{server.scripts}/{script}/versions/{uploaded['id']}")
    assert found["resources"]["script"]["etag"] == uploaded["resources"]["script"]["etag"]


def test_a_rollback_brings_code_and_bindings_back(server: Any, script: str) -> None:
    """Deploying an older version again runs that version as it was."""
    source = "export default { fetch(_, env) { return new Response(env.WORD ?? 'none'); } };"
    server.upload(script, source, bindings=[{"type": "plain_text", "name": "WORD", "text": "old"}])
    old = latest(server, script)
    server.upload(script, source)
    assert server.call(script).text == "none"
    assert deploy(server, script, (old, 100)).status_code == 200
    assert server.call(script).text == "old"
    deployments = server.result(f"{server.scripts}/{script}/deployments")["deployments"]
    assert deployments[0]["annotations"]["workers/triggered_by"] == "rollback"
    answer = server.http.delete(f"{server.scripts}/{script}/deployments/{deployments[0]['id']}")
    assert server.code_of(answer) == 10001
    assert server.http.delete(f"{server.scripts}/{script}/deployments/{deployments[1]['id']}").status_code == 200
    assert len(server.result(f"{server.scripts}/{script}/deployments")["deployments"]) == len(deployments) - 1


def test_no_rollback_over_a_class_lifecycle(server: Any, script: str) -> None:
    """A version from before a class migration cannot come back; the data stays where it is."""
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    assert server.call(script).text == "1"
    old = latest(server, script)
    rename = {"old_tag": "v1", "new_tag": "v2", "renamed_classes": [{"from": "Counter", "to": "Tally"}]}
    server.upload(script, server.counter("Tally"), bindings=server.bound("Tally"), migrations=rename)
    assert server.code_of(deploy(server, script, (old, 100))) == 10211
    assert server.code_of(deploy(server, script, (old, 100), force=True)) == 10211
    assert server.call(script).text == "2"


def test_versions_cannot_carry_migrations(server: Any, script: str) -> None:
    """10211 for migrations, 10123 for a binding that needs one, 10064 for a dropped class, 10007 for no script."""
    url = f"{server.scripts}/{script}/versions"
    assert server.code_of(server.send("POST", url)) == 10007
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    both = server.counter("Counter", "Other")
    wanted = {"new_tag": "v2", "old_tag": "v1", "new_sqlite_classes": ["Other"]}
    assert server.code_of(server.send("POST", url, both, migrations=wanted)) == 10211
    assert server.code_of(server.send("POST", url, both, bindings=server.bound("Other"))) == 10123
    assert server.code_of(server.send("POST", url, server.counter("Other"))) == 10064
    assert len(server.result(url)["items"]) == 1


def test_exports_of_a_version_are_reconciled_when_it_is_deployed(server: Any, script: str) -> None:
    """Uploading stores the map; deploying provisions; a binding before that is 10061's cousin 100406."""
    server.upload(script, server.counter("Counter"), bindings=server.bound(), exports={"Counter": LIVE})
    url, both = f"{server.scripts}/{script}/versions", server.counter("Counter", "Other")
    exports = {"Counter": LIVE, "Other": LIVE}
    assert server.code_of(server.send("POST", url, both, exports=exports, bindings=server.bound("Other"))) == 100406
    version = server.send("POST", url, both, exports=exports, bindings=server.bound()).json()["result"]["id"]
    assert set(server.namespaces(script)) == {"Counter"}
    done = deploy(server, script, (version, 100)).json()["result"]
    assert done["exports_reconciliation"]["created"] == ["Other"]
    assert set(server.namespaces(script)) == {"Counter", "Other"}


def test_a_split_runs_its_largest_share(server: Any, script: str) -> None:
    """Two versions can be deployed together; here the larger share runs, and the deployment says both."""
    server.upload(script, says("one"))
    one = latest(server, script)
    two = server.send("POST", f"{server.scripts}/{script}/versions", says("two")).json()["result"]["id"]
    assert deploy(server, script, (one, 20), (two, 80)).status_code == 200
    assert server.call(script).text == "two"
    active = server.result(f"{server.scripts}/{script}/deployments")["deployments"][0]
    assert {v["version_id"]: v["percentage"] for v in active["versions"]} == {one: 20, two: 80}


def test_a_split_needs_one_map_of_exports(server: Any, script: str) -> None:
    """Versions with different `exports` cannot share a deployment."""
    server.upload(script, server.counter("A"), exports={"A": LIVE})
    one = latest(server, script)
    url = f"{server.scripts}/{script}/versions"
    two = server.send("POST", url, server.counter("A", "B"), exports={"A": LIVE, "B": LIVE}).json()["result"]["id"]
    assert server.code_of(deploy(server, script, (one, 50), (two, 50))) == 100405


@pytest.mark.parametrize(
    "versions",
    [
        [],
        [{"version_id": "LATEST", "percentage": 50}],
        [{"version_id": "LATEST", "percentage": 101}],
        [{"version_id": "LATEST", "percentage": "100"}],
        [{"version_id": "LATEST", "percentage": True}],
        [{"version_id": "LATEST", "percentage": 50}, {"version_id": "LATEST", "percentage": 50}],
        [{"percentage": 100}],
        [1],
        "all",
    ],
)
def test_bad_deployments(server: Any, script: str, versions: Any) -> None:
    """Deployments that do not add up are refused and leave the active one."""
    server.upload(script)
    if isinstance(versions, list):
        known = {"version_id": latest(server, script)}
        versions = [{**v, **known} if isinstance(v, dict) and "version_id" in v else v for v in versions]
    answer = server.http.post(f"{server.scripts}/{script}/deployments", json={"versions": versions})
    assert (answer.status_code, server.code_of(answer)) == (400, 10001)
    assert len(server.result(f"{server.scripts}/{script}/deployments")["deployments"]) == 1


def test_a_worker_knows_its_version(server: Any, script: str) -> None:
    """The `version_metadata` binding gives the id that the API gives."""
    source = "export default { fetch(_, env) { return new Response(env.VERSION.id); } };"
    server.upload(script, source, bindings=[{"type": "version_metadata", "name": "VERSION"}])
    assert server.call(script).text == latest(server, script)


def test_unknown_versions_and_deployments(server: Any, script: str) -> None:
    """What does not exist is a 404 with its own code; another script's version does not exist here."""
    server.upload(script)
    server.upload(f"{script}-2")
    foreign = latest(server, f"{script}-2")
    base = f"{server.scripts}/{script}"
    assert server.code_of(server.http.get(f"{base}/versions/{foreign}")) == 100146
    assert server.code_of(deploy(server, script, (foreign, 100))) == 100146
    assert server.code_of(server.http.get(f"{base}/deployments/{uuid.uuid4()}")) == 10336


@pytest.mark.thorough
def test_history_is_bounded(own_server: Any) -> None:
    """After many uploads only the newest hundred versions are kept, their modules too, and the latest one runs."""
    for number in range(104):
        assert own_server.upload("busy", says(f"n{number}")).status_code == 200
    assert own_server.call("busy").text == "n103"
    items = own_server.result(f"{own_server.scripts}/busy/versions?per_page=1000")["items"]
    assert [items[0]["number"], items[-1]["number"], len(items)] == [104, 5, 100]
    assert len(list((own_server.target.data / "modules").glob("*/*"))) == 100
