"""Class lifecycles through the real API with real objects: data follows its namespace, refusals change nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

CREATE = {"migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]}}
LIVE = {"type": "durable-object", "storage": "sqlite"}


def snapshot(server: Any, script: str) -> list[Any]:
    """Give everything that a refused upload must not change."""
    return [
        server.result(f"{server.scripts}/{script}/settings"),
        server.result(f"{server.scripts}/{script}/versions"),
        server.result(f"{server.scripts}/{script}/deployments"),
        server.namespaces(script),
        [s for s in server.result(server.scripts) if s["id"] == script],
        sorted(p.name for p in (server.target.data / "modules").glob("*/*")),
        list((server.target.data / "incoming").iterdir()),
    ]


def test_a_rename_keeps_id_and_data(server: Any, script: str) -> None:
    """Legacy rename: same namespace id, the count goes on, and a client's old binding follows."""
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    client = f"{script}-client"
    server.upload(client, server.counter(), bindings=server.bound(script_name=script))
    assert [server.call(script).text, server.call(client).text] == ["1", "2"]
    (before,) = server.namespaces(script).values()
    rename = {"old_tag": "v1", "new_tag": "v2", "steps": [{"renamed_classes": [{"from": "Counter", "to": "Tally"}]}]}
    done = server.upload(script, server.counter("Tally"), bindings=server.bound("Tally"), migrations=rename)
    assert done.json()["result"]["migration_tag"] == "v2"
    assert server.namespaces(script) == {"Tally": before}
    assert [server.call(script).text, server.call(client).text] == ["3", "4"]
    (binding,) = server.result(f"{server.scripts}/{client}/settings")["bindings"]
    assert (binding["class_name"], binding["script_name"], binding["namespace_id"]) == ("Tally", script, before)
    # The client's next upload must use the new name; a secret of it must not have to.
    assert server.code_of(server.upload(client, server.counter(), bindings=server.bound(script_name=script))) == 10061
    secret = {"name": "K", "text": "t", "type": "secret_text"}
    assert server.http.put(f"{server.scripts}/{client}/secrets", json=secret).status_code == 200
    assert server.call(client).text == "5"


def test_a_transfer_keeps_id_and_data(server: Any, script: str) -> None:
    """Legacy transfer: the destination's upload takes the namespace with its objects; the source may drop the class."""
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    assert server.call(script).text == "1"
    (before,) = server.namespaces(script).values()
    move = {"transferred_classes": [{"from": "Counter", "from_script": script, "to": "Moved"}]}
    to = f"{script}-to"
    done = server.upload(to, server.counter("Moved"), bindings=server.bound("Moved"), migrations=move)
    assert done.status_code == 200
    assert (server.namespaces(script), server.namespaces(to)) == ({}, {"Moved": before})
    assert [server.call(to).text, server.call(script).text] == ["2", "3"]
    assert server.upload(script).status_code == 200
    assert server.call(to).text == "4"


def test_a_delete_removes_the_data(server: Any, script: str) -> None:
    """Legacy delete: the objects' files are gone, and the class can be made anew, empty, under another id."""
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    assert server.call(script).text == "1"
    (before,) = server.namespaces(script).values()
    delete = {"old_tag": "v1", "new_tag": "v2", "deleted_classes": ["Counter"]}
    assert server.upload(script, migrations=delete).status_code == 200
    assert not (server.target.data / "objects" / before).exists()
    assert server.namespaces(script) == {}
    again = {"old_tag": "v2", "new_tag": "v3", "new_sqlite_classes": ["Counter"]}
    server.upload(script, server.counter("Counter"), bindings=server.bound(), migrations=again)
    assert server.call(script).text == "1"
    assert server.namespaces(script)["Counter"] != before


def test_key_value_storage_is_kept_as_asked(server: Any, script: str) -> None:
    """`new_classes` gives key-value storage: `sql` is refused there, and the list says so."""
    source = server.counter("Counter").replace("const value =", "this.ctx.storage.sql.exec('select 1'); const value =")
    kv = {"migrations": {"new_classes": ["Counter"]}}
    assert server.upload(script, source, bindings=server.bound(), **kv).status_code == 200
    assert server.call(script).status_code == 500
    listed = server.result(f"{server.account}/workers/durable_objects/namespaces?per_page=1000")
    assert [n["use_sqlite"] for n in listed if n["script"] == script] == [False]


@pytest.mark.parametrize(
    ("code", "source", "metadata"),
    [
        (10021, "export default {", {}),
        (10021, "throw new Error('at the top');", {}),
        (10021, 'import "./missing.js"; export default { fetch() {} };', {}),
        (10021, None, {"compatibility_flags": ["no_such_flag"]}),
        (10021, None, {"compatibility_date": "2099-01-01"}),
        (10021, None, {"compatibility_date": "yesterday"}),
        (10021, None, {"bindings": [{"type": "workflow", "name": "FLOW", "workflow_name": "../up"}]}),
        (10068, "console.log('no handlers');", {}),
        (10061, None, {"bindings": "bound"}),
        (10064, "export default { fetch() {} };", {}),
        (10070, None, {"migrations": {"old_tag": "v1", "new_tag": "v2", "new_sqlite_classes": ["Nope"]}}),
        (10074, None, {"migrations": {"old_tag": "v1", "new_tag": "v2", "new_sqlite_classes": ["Counter"]}}),
        (10079, None, {"migrations": {"new_tag": "v1", "steps": [{"new_sqlite_classes": ["Counter"]}]}}),
        (100402, None, {"exports": {"Other": LIVE}}),
        (10143, None, {"bindings": [{"type": "service", "name": "S", "service": "nobody"}]}),
        (10144, None, {"bindings": [{"type": "service", "name": "S", "service": "steady", "environment": "old"}]}),
        (10203, None, {"tail_consumers": [{"service": "nobody"}]}),
        (10061, None, {"bindings": "lost"}),
        (10021, None, {"exports": {"Counter": LIVE}, "migrations": {"new_sqlite_classes": ["B"]}}),
    ],
)
def test_a_refused_upload_changes_nothing(
    own_account: Any, code: int, source: str | None, metadata: dict[str, Any]
) -> None:
    """Whatever is refused, everything that can be read is as before, no file is left, and the Worker runs on."""
    server, script = own_account, "steady"
    if server.http.get(f"{server.scripts}/{script}/settings").status_code == 404:
        server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    count = int(server.call(script).text)
    before = snapshot(server, script)
    named = {"bound": server.bound("Other"), "lost": server.bound(script_name="nobody")}
    bindings = metadata.get("bindings")
    more = {"bindings": named[bindings]} if isinstance(bindings, str) else {}
    refused = server.upload(script, source or server.counter("Counter"), **{**metadata, **more})
    assert server.code_of(refused) == code, refused.text
    assert snapshot(server, script) == before
    assert int(server.call(script).text) == count + 1


@pytest.fixture(scope="module")
def own_account(tmp_path_factory: pytest.TempPathFactory, make_api: Any) -> Any:
    """Give an account that only the tests of this module use."""
    with make_api(tmp_path_factory.mktemp("own-account")) as api:
        yield api


def test_a_failed_first_upload_leaves_no_script(server: Any, script: str) -> None:
    """A script whose first upload is refused does not exist."""
    assert server.code_of(server.upload(script, "oops(")) == 10021
    assert server.code_of(server.http.get(f"{server.scripts}/{script}/settings")) == 10007


def test_startup_errors_show_no_path_of_the_machine(server: Any, script: str) -> None:
    """The error names the module and position, and nothing of the machine."""
    message = server.upload(script, "export default {\n  fetch( {}\n").json()["errors"][0]["message"]
    assert "SyntaxError" in message
    assert "index.js:" in message
    assert str(server.target.data) not in message
    assert "/tmp" not in message


# --- declarative exports


def test_exports_create_rename_and_delete(server: Any, script: str) -> None:
    """The map alone provisions, renames with data, and deletes; reads show live entries only."""
    done = server.upload(script, server.counter("Counter"), bindings=server.bound(), exports={"Counter": LIVE})
    assert done.json()["result"]["exports_reconciliation"]["created"] == ["Counter"]
    assert server.call(script).text == "1"
    (before,) = server.namespaces(script).values()
    renamed = {"Counter": {"type": "durable-object", "state": "renamed", "renamed_to": "Tally"}, "Tally": LIVE}
    done = server.upload(script, server.counter("Tally"), bindings=server.bound("Tally"), exports=renamed)
    assert done.json()["result"]["exports_reconciliation"]["renamed"] == [{"from": "Counter", "to": "Tally"}]
    assert done.json()["result"]["exports"] == {"Tally": LIVE}
    assert server.namespaces(script) == {"Tally": before}
    assert server.call(script).text == "2"
    (item,) = [s for s in server.result(server.scripts) if s["id"] == script]
    assert item["exports"] == {"Tally": LIVE}
    done = server.upload(script, exports={"Tally": {"type": "durable-object", "state": "deleted"}})
    assert done.json()["result"]["exports_reconciliation"]["deleted"] == ["Tally"]
    assert server.namespaces(script) == {}
    assert not (server.target.data / "objects" / before).exists()


def test_exports_transfer_in_two_phases(server: Any, script: str) -> None:
    """The destination expects, the source commits, the data moves; each side can be cleaned up after."""
    source, to = f"{script}-a", f"{script}-b"
    server.upload(source, server.counter("Counter"), bindings=server.bound(), exports={"Counter": LIVE})
    assert server.call(source).text == "1"
    (before,) = server.namespaces(source).values()
    expects = {**LIVE, "state": "expecting-transfer", "transfer_from": source}
    done = server.upload(to, server.counter("Counter"), exports={"Counter": expects}).json()["result"]
    assert done["exports_reconciliation"]["transfer_pending"] == [{"class": "Counter", "from": source}]
    assert done["exports"]["Counter"] == expects
    gives = {"type": "durable-object", "state": "transferred", "transferred_to": to}
    done = server.upload(source, exports={"Counter": gives}).json()["result"]
    assert done["exports_reconciliation"]["transferred"] == [{"class": "Counter", "to": to, "phase": "committed"}]
    assert server.namespaces(to) == {"Counter": before}
    done = server.upload(to, server.counter("Counter"), bindings=server.bound(), exports={"Counter": LIVE})
    scenarios = [i["scenario"] for i in done.json()["result"]["exports_reconciliation"]["info"]]
    assert scenarios == ["transfer_receive_cleanup_complete"]
    assert server.call(to).text == "2"


def test_exports_are_one_way(server: Any, script: str) -> None:
    """A legacy Worker can switch by declaring what is live; afterwards `migrations` and silence are refused."""
    server.upload(script, server.counter("Counter"), bindings=server.bound(), **CREATE)
    switch = server.upload(script, server.counter("Counter"), bindings=server.bound(), exports={"Counter": LIVE})
    assert switch.status_code == 200
    assert "migration_tag" not in switch.json()["result"]
    again = {"new_tag": "v2", "new_sqlite_classes": ["Other"]}
    refused = server.upload(script, server.counter("Counter", "Other"), migrations=again)
    assert server.code_of(refused) == 10021
    silent = server.upload(script, server.counter("Counter"), bindings=server.bound())
    (detail,) = silent.json()["errors"][0]["meta"]["details"]
    assert detail["scenario"] == "provisioned_class_missing_from_config"


def test_entrypoint_entries_live_beside_migrations(server: Any, script: str) -> None:
    """`exports` entries of type worker have no lifecycle and do not switch a Worker over."""
    entrypoint = {"default": {"type": "worker", "cache": {"enabled": False}}}
    done = server.upload(script, server.counter("Counter"), bindings=server.bound(), exports=entrypoint, **CREATE)
    assert done.status_code == 200, done.text
    assert (done.json()["result"]["migration_tag"], done.json()["result"]["exports"]) == ("v1", entrypoint)


def test_all_problems_of_exports_come_at_once(server: Any, script: str) -> None:
    """100402 lists every class."""
    server.upload(script, server.counter("A", "B"), exports={"A": LIVE, "B": LIVE})
    answer = server.upload(script, server.counter("C"), exports={"C": {**LIVE, "storage": "legacy-kv"}})
    assert server.code_of(answer) == 100402
    details = answer.json()["errors"][0]["meta"]["details"]
    assert {d["class"] for d in details} == {"A", "B", "C"}


# --- namespaces and objects


def test_namespaces_are_paged(own_server: Any) -> None:
    """Pages hold what they say, in a stable order, and the last one ends the list."""
    names = [f"C{n:02}" for n in range(7)]
    own_server.upload("many", own_server.counter(*names), migrations={"new_sqlite_classes": names})
    path = f"{own_server.account}/workers/durable_objects/namespaces"
    pages = [own_server.http.get(f"{path}?per_page=3&page={n}").json() for n in (1, 2, 3, 4)]
    assert [n["class"] for page in pages for n in page["result"]] == names
    assert [page["result_info"]["count"] for page in pages] == [3, 3, 1, 0]
    assert {(page["result_info"]["total_count"], page["result_info"]["total_pages"]) for page in pages} == {(7, 3)}
    assert own_server.result(f"{path}/{pages[0]['result'][0]['id']}") == pages[0]["result"][0]


def test_objects_are_paged_by_cursor(server: Any, script: str) -> None:
    """Every stored object is listed once; the last page has an empty cursor."""
    source = server.counter("Counter").replace('getByName("one")', "getByName(request.url)")
    server.upload(script, source, bindings=server.bound(), **CREATE)
    for number in range(23):
        assert server.call(script, f"/{number}").text == "1"
    (namespace,) = server.namespaces(script).values()
    path = f"{server.account}/workers/durable_objects/namespaces/{namespace}/objects"
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = server.http.get(path, params={"limit": 10, **({"cursor": cursor} if cursor else {})}).json()
        found += page["result"]
        info = page["result_info"]
        cursor, pages = info["cursor"], pages + 1
        assert info == {"count": len(page["result"]), "cursor": cursor, "cursors": {"after": cursor}}
    assert pages == 3
    assert [o["id"] for o in found] == sorted(o["id"] for o in found)
    assert len({o["id"] for o in found}) == len(found) == 23
    assert all(o["hasStoredData"] for o in found)


@pytest.mark.parametrize(("query", "code"), [("limit=9", 10077), ("limit=10001", 10077), ("cursor=%00", 10077)])
def test_bad_pages_of_objects(server: Any, script: str, query: str, code: int) -> None:
    """Bad limits and cursors are refused."""
    server.upload(script, server.counter("Counter"), **CREATE)
    (namespace,) = server.namespaces(script).values()
    path = f"{server.account}/workers/durable_objects/namespaces/{namespace}/objects"
    assert server.code_of(server.http.get(f"{path}?{query}")) == code


def test_an_unknown_namespace_is_10066(server: Any) -> None:
    """Objects of a namespace that does not exist cannot be listed."""
    path = f"{server.account}/workers/durable_objects/namespaces/{'0' * 32}"
    for url in (path, f"{path}/objects"):
        answer = server.http.get(url)
        assert (answer.status_code, server.code_of(answer)) == (404, 10066)


def test_switches_of_the_account(own_server: Any) -> None:
    """10097 and 10099 are switches of the account, off unless set."""
    kv = {"migrations": {"new_classes": ["Counter"]}}
    path = f"{own_server.account}/local/switches"
    for switch, code in (("kv_closed", 10099), ("free_plan", 10097)):
        assert own_server.http.patch(path, json={switch: True}).status_code == 200
        assert own_server.code_of(own_server.upload("kv", own_server.counter("Counter"), **kv)) == code
        own_server.http.patch(path, json={switch: False})
    assert own_server.upload("kv", own_server.counter("Counter"), **kv).status_code == 200
    assert json.loads(own_server.http.get(path).text)["result"] == {"free_plan": False, "kv_closed": False}
