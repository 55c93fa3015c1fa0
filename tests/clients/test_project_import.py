"""Small wrangler projects of our own, deployed by the real wrangler and imported: nothing is left to plan.

Each project has one kind of thing in it. Its Worker is live as wrangler left it; after the import the plan has no
migration, no change of a binding and none of a setting, and of the code only what the two bundles differ in. Deployed
from here into an account that has nothing, the same project is live as wrangler had it, and answers the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from wrangler_projects import OBJECTS, PLAIN, PROGRAMS, STEPS, THOROUGH, Program, one, write

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def api(shared_cloud: Any) -> Iterator[httpx.Client]:
    """Speak to the API of the Cloudflare of all programs, below its account."""
    headers = {"Authorization": f"Bearer {shared_cloud.target.token()}"}
    base = f"{shared_cloud.target.api}/accounts/{shared_cloud.target.account_id}"
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def account(shared_cloud: Any, api: httpx.Client) -> Any:
    """Give the Cloudflare of all programs, with the queues that they name."""
    for queue in ("jobs", "mail"):
        assert api.post("/queues", json={"queue_name": queue}).status_code == 200
    return shared_cloud


@pytest.fixture
def here(account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, on the Cloudflare of the programs."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(account.target.data))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def deploy(account: Any, node: Path, node_packages: Path) -> Callable[..., str]:
    """Deploy a folder with the real wrangler."""
    program = node_packages / "wrangler" / "bin" / "wrangler.js"
    return lambda folder, *words: str(account.run(node, program, "deploy", *words, cwd=folder))


_OF_THE_DEPLOY = {"annotations", "tags", "bindings", "migration_tag"}
"""Settings that say who deployed, and the bindings, which are compared by themselves."""


def seen(account: Any, script: str) -> dict[str, Any]:
    """Return what the API tells of a Worker, without what says when, by whom, and under which id."""
    settings = account.get(f"/workers/scripts/{script}/settings")
    (item,) = [s for s in account.get("/workers/scripts") if s["id"] == script]
    queues = sorted(account.get("/queues"), key=lambda q: str(q["queue_name"]))
    consumers = [(q["queue_name"], c) for q in queues for c in q["consumers"] if c.get("script") == script]
    namespaces = [n for n in account.get("/workers/durable_objects/namespaces") if n["script"] == script]
    return {
        **{f"setting {k}": v for k, v in settings.items() if k not in _OF_THE_DEPLOY},
        "bindings": sorted((_without_ids(b) for b in settings["bindings"]), key=lambda b: str(b["name"])),
        "namespaces": sorted((n["class"], n["use_sqlite"]) for n in namespaces),
        "exports": item.get("exports"),
        "form": "migrations" if item.get("migration_tag") else "exports",
        "schedules": sorted(s["cron"] for s in account.get(f"/workers/scripts/{script}/schedules")["schedules"]),
        "subdomain": account.get(f"/workers/scripts/{script}/subdomain"),
        "consumers": [(queue, _without_ids(consumer)) for queue, consumer in consumers],
        "domains": sorted(d["hostname"] for d in account.get("/workers/domains") if d["service"] == script),
    }


def _without_ids(found: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in found.items() if k not in {"namespace_id", "created_on", "consumer_id"}}


def answers(account: Any, program: Program) -> dict[tuple[str, str], tuple[int, str]]:
    """Call each Worker of a program."""
    calls = {(name, path): called(account, name, path) for name in program.workers for path in program.asks}
    return {call: (answer.status_code, answer.text) for call, answer in calls.items()}


def called(account: Any, name: str, path: str) -> httpx.Response:
    """Call a Worker by its name, or by the host of a route."""
    host, slash, rest = path.partition("/")
    if not host:
        answer: httpx.Response = account.call(name, path)
        return answer
    url = f"{account.target.url}{slash}{rest}"
    return httpx.get(url, headers={"Host": host}, timeout=30, trust_env=False)


def changed(plan: nd.Plan) -> dict[str, str]:
    """Return what a plan does, by kind."""
    return {c.kind: c.detail for c in (*plan.changes, *plan.drift) if c.action != "noop"}


def imported(program: Program, session: nd.Session, path: Path) -> nd.Plan:
    """Import a project and plan it; nothing is refused, and no class changes."""
    session.import_wrangler(path, program.env or None, build=program.build)
    assert sorted(w.name or "" for w in session.catalog.workers.values()) == sorted(program.workers)
    plan = session.plan()
    assert [r.message for r in plan.refusals] == []
    return plan


NAMES = [pytest.param(n, marks=[pytest.mark.thorough] if n in THOROUGH else []) for n in sorted(PROGRAMS)]


@pytest.mark.parametrize("name", NAMES)
def test_a_project_is_live_as_wrangler_has_it(
    here: Path,
    account: Any,
    api: httpx.Client,
    deploy: Callable[..., str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 14: unchanged it has nothing to plan, nor has its export; deployed from here it is and answers the same."""
    program, stage = PROGRAMS[name], PROGRAMS[name].env or "production"
    write(here / name, program.files)
    for folder, *words in program.deploys:
        deploy(here / name / folder, *words)
    theirs = {script: seen(account, script) for script in program.workers}
    answered = answers(account, program)

    session = nd.session(name, stage=stage)
    plan = imported(program, session, here / name)
    assert plan.migrations.empty
    assert changed(plan).keys() <= program.sent, changed(plan)
    session.export_wrangler("out")
    again = imported(program, nd.session(f"{name}-again", stage=stage), here / "out")
    assert changed(again).keys() <= program.sent, changed(again)

    for script in program.workers:
        assert api.delete(f"/workers/scripts/{script}?force=true").status_code == 200
    monkeypatch.setenv("KEY", "hush")  # until now it was only live, and kept
    fresh = nd.session(f"{name}-anew", stage=stage)
    fresh.deploy(imported(program, fresh, here / name))
    for script, before in theirs.items():
        now = seen(account, script)
        assert {key: (one, now.get(key)) for key, one in before.items() if now.get(key) != one} == {}, script
    assert answers(account, program) == answered


@pytest.mark.parametrize("form", ["migrations", pytest.param("exports", marks=pytest.mark.thorough)])
def test_a_rename_of_the_project_keeps_its_data(
    here: Path, account: Any, deploy: Callable[..., str], form: str
) -> None:
    """Issue 14: wrangler deployed the class under its first name, the session renames it, and wrangler goes on."""
    name = f"rename-{form}"
    entry = {"type": "durable-object", "storage": "sqlite"}
    first = {"migrations": STEPS} if form == "migrations" else {"exports": {"Counter": entry}}
    base = {**PLAIN, "name": name, "migrations": [], **first}
    write(here / name, {"wrangler.json": base})
    deploy(here / name)
    assert account.call(name).text == "n1"
    source = here / name / "src" / "index.ts"
    source.write_text(source.read_text().replace("class Counter", "class Tally"))
    renamed = {"Counter": {"type": "durable-object", "state": "renamed", "renamed_to": "Tally"}, "Tally": entry}
    step = {"tag": "v2", "renamed_classes": [{"from": "Counter", "to": "Tally"}]}
    second: dict[str, Any] = {"migrations": [*STEPS, step]} if form == "migrations" else {"exports": renamed}
    bindings = {"bindings": [{**OBJECTS["bindings"][0], "class_name": "Tally"}]}
    config = {**base, **second, "durable_objects": bindings}
    (here / name / "wrangler.json").write_text(json.dumps(config))

    session = nd.session(name, stage="production")
    session.import_wrangler(name)
    plan = session.plan()
    assert list(plan.migrations["step"]) == ["rename"]
    session.deploy(plan)
    assert account.call(name).text == "n2"
    if form == "migrations":  # the plan says what wrangler's own list needs
        (told,) = [w for w in plan.warnings if "in place of entries there that do the same" in w]
        config["migrations"][-1] = json.loads(told[told.index("{") :])
        (here / name / "wrangler.json").write_text(json.dumps(config))
    deploy(here / name)
    assert account.call(name).text == "n3"
    session.import_wrangler(name)
    assert session.plan().empty


@pytest.mark.thorough
def test_a_class_that_moved_to_another_worker_of_the_project(
    here: Path, account: Any, deploy: Callable[..., str]
) -> None:
    """Moved by wrangler, it is imported once, at the Worker that has it now, though the first one's history has it."""
    write(here / "moved", {"from/wrangler.json": {**PLAIN, "name": "moved-from"}})
    deploy(here / "moved" / "from")
    assert account.call("moved-from").text == "n1"
    move = {"from": "Counter", "from_script": "moved-from", "to": "Counter"}
    to = {**PLAIN, "name": "moved-to", "migrations": [{"tag": "v1", "transferred_classes": [move]}]}
    write(here / "moved", {"to/wrangler.json": to})
    with pytest.raises(nd.CommandError, match="class Counter is still to be moved here from Worker moved-from"):
        nd.session("moved", stage="production").import_wrangler("moved")
    deploy(here / "moved" / "to")
    left = {**PLAIN, "name": "moved-from", "main": "index.js", "durable_objects": {"bindings": []}}
    write(here / "moved", {"from/wrangler.json": left, "from/index.js": "export default { fetch: () => null };\n"})
    deploy(here / "moved" / "from")
    session = nd.session("moved", stage="production")
    session.import_wrangler("moved")
    assert [n.script_name for n in session.catalog.namespaces.values()] == ["moved-to"]
    assert session.plan().empty
    assert account.call("moved-to").text == "n2"


@pytest.mark.thorough
def test_wrangler_goes_on_beside_the_session_that_imported_its_project(here: Path, deploy: Callable[..., str]) -> None:
    """Issue 11, 2: a deploy from here sends no migration, so wrangler still deploys the project, and data stays."""
    write(here / "beside", one(name="beside", vars={"A": "a"}))
    deploy(here / "beside")
    session = nd.session("beside", stage="production")
    session.import_wrangler("beside")
    ids = session.namespaces()["namespace_id"].tolist()
    assert session.fetch("beside").text == "n1"
    (here / "beside" / "src" / "word.ts").write_text('export const word: string = "m";\n')
    plan = session.plan()
    assert plan.migrations.empty
    session.deploy(plan)
    assert session.fetch("beside").text == "m2"
    assert session.plan().empty
    deploy(here / "beside")
    assert session.fetch("beside").text == "m3"
    session.import_wrangler("beside")
    assert session.plan().empty
    assert session.namespaces()["namespace_id"].tolist() == ids


@pytest.mark.thorough
def test_a_project_whose_first_deploy_is_from_here_says_how_wrangler_goes_on(
    here: Path, account: Any, deploy: Callable[..., str]
) -> None:
    """The tag that is live then is none of the project's own; the import says so, and the export has it."""
    write(here / "first", one(name="first"))
    session = nd.session("first", stage="production")
    imported = session.import_wrangler("first")
    (note,) = [n for n in imported.notes if "migrations" in n]
    assert "%durable export wrangler" in note
    session.deploy(session.plan())
    assert account.call("first").text == "n1"
    with pytest.raises(AssertionError, match="10074"):
        deploy(here / "first")
    session.export_wrangler("out")
    (exported,) = (here / "out").rglob("wrangler.jsonc")
    (config,) = (here / "first").glob("wrangler.json*")
    written = json.loads("\n".join(x for x in exported.read_text().splitlines() if not x.lstrip().startswith("//")))
    config.write_text(json.dumps({**json.loads(config.read_text()), "migrations": written["migrations"]}))
    deploy(here / "first")
    assert account.call("first").text == "n2"
    assert not [n for n in session.import_wrangler("first").notes if "migrations" in n]
    assert session.plan().empty
