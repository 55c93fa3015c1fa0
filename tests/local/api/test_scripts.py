"""Whole scripts: uploaded, listed, read back, replaced, renamed, deleted."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest


def test_a_new_script_is_deployed_and_answers(server: Any, script: str) -> None:
    """An upload answers with the script's facts, and the Worker answers at its own host name."""
    result = server.upload(script).json()["result"]
    assert (result["id"], result["handlers"], result["has_modules"]) == (script, ["fetch"], True)
    assert len(bytes.fromhex(result["tag"])) == 16
    assert len(bytes.fromhex(result["deployment_id"])) == 16
    assert result["startup_time_ms"] >= 0
    assert server.call(script).text == "hello"


def test_a_script_is_listed_with_what_clients_look_for(server: Any, script: str) -> None:
    """The list has tag, etag, dates, handlers, migration tag; tags filter it."""
    server.upload(script, server.counter("Counter"), migrations={"new_tag": "v1", "new_sqlite_classes": ["Counter"]})
    server.http.patch(f"{server.scripts}/{script}/script-settings", json={"tags": ["blue"]})
    (item,) = [s for s in server.result(server.scripts) if s["id"] == script]
    assert (item["migration_tag"], item["handlers"], item["tags"]) == ("v1", ["fetch"], ["blue"])
    assert item["named_handlers"] == [{"name": "Counter", "handlers": ["increment"]}]
    assert script in {s["id"] for s in server.result(f"{server.scripts}?tags=blue:yes")}
    assert script not in {s["id"] for s in server.result(f"{server.scripts}?tags=blue:no")}


def test_every_change_of_code_changes_the_etag(server: Any, script: str) -> None:
    """A -> B -> A gives three etags; an identical upload and a secret keep the etag; the tag never changes."""
    sources = [server.plain, server.plain.replace("hello", "bye"), server.plain, server.plain]
    results = [server.upload(script, source).json()["result"] for source in sources]
    assert len({r["etag"] for r in results[:3]}) == 3
    assert results[3]["etag"] == results[2]["etag"]
    server.http.put(f"{server.scripts}/{script}/secrets", json={"name": "K", "text": "t", "type": "secret_text"})
    (item,) = [s for s in server.result(server.scripts) if s["id"] == script]
    assert item["etag"] == results[2]["etag"]
    assert {r["tag"] for r in results} == {item["tag"]}


def test_the_code_is_read_back(server: Any, script: str) -> None:
    """GET gives all modules as multipart, byte for byte, and says which one is the entry."""
    metadata = {"main_module": "index.js", "compatibility_date": "2026-06-01"}
    data = bytes(range(256))
    files = {
        "metadata": (None, json.dumps(metadata)),
        "index.js": ("index.js", server.plain, "application/javascript+module"),
        "lib/data.bin": ("lib/data.bin", data, "application/octet-stream"),
    }
    assert server.http.put(f"{server.scripts}/{script}", files=files).status_code == 200
    for path in (script, f"{script}/content/v2"):
        answer = server.http.get(f"{server.scripts}/{path}")
        head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + answer.content).iter_parts()
        found = {str(p.get_filename()): p.get_payload(decode=True) for p in parts}
        assert found == {"index.js": server.plain.encode(), "lib/data.bin": data}
        assert answer.headers["cf-entrypoint"] == "index.js"


def test_content_replaces_code_only(server: Any, script: str) -> None:
    """PUT content keeps bindings, compatibility and namespaces."""
    bindings = [*server.bound(), {"type": "plain_text", "name": "WORD", "text": "kept"}]
    migrations = {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}
    server.upload(script, server.counter("Counter"), bindings=bindings, migrations=migrations)
    assert server.call(script).text == "1"
    before = server.result(f"{server.scripts}/{script}/settings")
    source = server.counter("Counter").replace("String(await", "env.WORD + String(await")
    assert server.upload(script, source, url="/content").status_code == 200
    assert server.call(script).text == "kept2"
    assert server.result(f"{server.scripts}/{script}/settings") == before


def test_source_maps_and_python_parts_are_told_apart(server: Any, script: str) -> None:
    """A source map is kept beside the code; Python, which cannot run here, is refused with the reason."""
    metadata = {"main_module": "index.js", "compatibility_date": "2026-06-01"}
    files = {
        "metadata": (None, json.dumps(metadata)),
        "index.js": ("index.js", server.plain, "application/javascript+module"),
        "index.js.map": ("index.js.map", "{}", "application/source-map"),
    }
    assert server.http.put(f"{server.scripts}/{script}", files=files).status_code == 200
    files = {
        "metadata": (None, json.dumps({**metadata, "main_module": "main.py"})),
        "main.py": ("main.py", "x = 1", "text/x-python"),
    }
    answer = server.http.put(f"{server.scripts}/{script}-py", files=files)
    assert server.code_of(answer) == 10021
    assert "Python" in answer.json()["errors"][0]["message"]


def test_delete_takes_everything_along(server: Any, script: str) -> None:
    """After a delete the script, its namespaces and their objects are gone; a new one of the name starts empty."""
    upload = {"bindings": server.bound(), "migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}}
    server.upload(script, server.counter("Counter"), **upload)
    assert server.call(script).text == "1"
    namespace = server.namespaces(script)["Counter"]
    folder = server.target.data / "objects" / namespace
    assert folder.is_dir()
    assert server.http.delete(f"{server.scripts}/{script}").json()["result"] is None
    assert not folder.exists()
    assert server.call(script).status_code == 404
    assert server.code_of(server.http.delete(f"{server.scripts}/{script}")) == 10007
    server.upload(script, server.counter("Counter"), **upload)
    assert server.call(script).text == "1"
    assert server.namespaces(script)["Counter"] != namespace


def test_a_host_is_not_deleted_under_its_clients(server: Any, script: str) -> None:
    """Without force a script that others bind stays; with force it goes, and the client says what it misses."""
    host, client = f"{script}-h", f"{script}-c"
    migrations = {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}
    server.upload(host, server.counter("Counter"), bindings=server.bound(), migrations=migrations)
    assert server.upload(client, server.counter(), bindings=server.bound(script_name=host)).status_code == 200
    assert server.call(client).text == "1"
    answer = server.http.delete(f"{server.scripts}/{host}")
    assert client in answer.json()["errors"][0]["message"]
    assert server.call(client).text == "2"
    references = server.result(f"{server.scripts}/{host}/references")
    assert [o["service"] for o in references["durable_objects"]] == [client]
    assert server.http.delete(f"{server.scripts}/{host}?force=true").status_code == 200
    assert server.call(client).status_code == 500


def test_a_service_target_is_not_deleted_either(server: Any, script: str) -> None:
    """A service binding counts as a reference, in both directions."""
    target, caller = f"{script}-h", f"{script}-c"
    server.upload(target)
    source = "export default { fetch(request, env) { return env.TARGET.fetch(request); } };"
    server.upload(caller, source, bindings=[{"type": "service", "name": "TARGET", "service": target}])
    assert server.call(caller).text == "hello"
    refused = server.http.delete(f"{server.scripts}/{target}")
    assert (refused.status_code, server.code_of(refused)) == (400, 10142)
    assert server.result(f"{server.scripts}/{target}/references")["services"]["incoming"][0]["service"] == caller
    assert server.result(f"{server.scripts}/{caller}/references")["services"]["outgoing"][0]["service"] == target


def test_the_service_record_says_what_wrangler_reads(server: Any, script: str) -> None:
    """Tag, migration tag and client kind are where wrangler looks for them; a missing one is 10090."""
    path = f"{server.account}/workers/services/{script}"
    assert server.code_of(server.http.get(path)) == 10090
    server.http.headers["user-agent"] = "wrangler/4.164.0"
    try:
        server.upload(script, server.counter("A"), migrations={"new_tag": "v7", "new_sqlite_classes": ["A"]})
    finally:
        server.http.headers["user-agent"] = "python-httpx"
    record = server.result(path)["default_environment"]
    assert record["environment"] == "production"
    assert (record["script"]["migration_tag"], record["script"]["last_deployed_from"]) == ("v7", "wrangler")


def test_a_renamed_script_keeps_its_objects(server: Any, script: str) -> None:
    """A rename through the service record keeps tag, namespaces and data."""
    upload = {"bindings": server.bound(), "migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}}
    server.upload(script, server.counter("Counter"), **upload)
    assert server.call(script).text == "1"
    before = server.namespaces(script)
    answer = server.http.patch(f"{server.account}/workers/services/{script}", json={"id": f"{script}-new"})
    assert answer.status_code == 200
    assert server.call(script).status_code == 404
    assert server.call(f"{script}-new").text == "2"
    assert server.namespaces(f"{script}-new") == before


def test_search_finds_by_part_and_by_tag(server: Any, script: str) -> None:
    """Search takes a part of the name, or exactly the tag."""
    tag = server.upload(script).json()["result"]["tag"]
    path = f"{server.account}/workers/scripts-search"
    assert [s["script_name"] for s in server.result(f"{path}?name={script[3:]}")] == [script]
    assert [s["script_name"] for s in server.result(f"{path}?id={tag}")] == [script]


@pytest.mark.parametrize("path", ["settings", "content/v2", "subdomain", "secrets", "schedules", "versions", "tails"])
def test_a_missing_script_is_10007_everywhere(server: Any, path: str) -> None:
    """Every read below a script that does not exist says so with the same code and status."""
    answer = server.http.get(f"{server.scripts}/nobody/{path}")
    assert (answer.status_code, server.code_of(answer)) == (404, 10007)
