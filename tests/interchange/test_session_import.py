"""A project comes into a session: cells that declare the same, and a plan of what it changes of the live Workers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import CommandError
from notebook_do.interchange.exporting import write_files
from notebook_do.model import Where
from notebook_do.notebook import commands, parsing, verbs

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """import { DurableObject } from "cloudflare:workers";
import { word } from "./word";
export class Counter extends DurableObject {
  async increment(): Promise<number> {
    const count = ((await this.ctx.storage.get<number>("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
}
export default {
  async fetch(request: Request, env: any): Promise<Response> {
    return new Response(env.WORD + word + (await env.COUNTER.getByName("a").increment()));
  },
};
"""
CONFIG: dict[str, Any] = {
    "name": "api",
    "main": "src/index.ts",
    "compatibility_date": "2026-06-01",
    "vars": {"WORD": "w"},
    "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
    "exports": {"Counter": {"type": "durable-object", "storage": "sqlite"}},
}


def write(folder: Path, **config: Any) -> Path:
    """Write a project of one Worker."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "index.ts").write_text(SOURCE)
    (folder / "src" / "word.ts").write_text('export const word = "n";\n')
    (folder / "wrangler.jsonc").write_text(json.dumps({**CONFIG, **config}))
    return folder


def changed(plan: nd.Plan) -> list[tuple[str, str, str]]:
    """Give (action, kind, name or field) of what a plan does."""
    changes = (*plan.changes, *plan.drift)
    return sorted((str(c.action), c.kind, c.field or c.name) for c in changes if c.action != "noop")


def deployed(folder: Path, **more: Any) -> nd.Session:
    """Deploy the project's Worker from another session, as another tool would, and call it once."""
    other = nd.session("other", stage="production")
    counter = nd.DurableObjectNamespace("theirs", class_name="Counter")
    bindings = {"COUNTER": counter, "WORD": "w"}
    entrypoint = str(folder / "src" / "index.ts")
    date = "2026-06-01"
    nd.Worker("api", name="api", entrypoint=entrypoint, compatibility_date=date, bindings=bindings, **more)
    other.deploy(other.plan())
    assert other.fetch("api").text == "wn1"
    return other


def use(words: str) -> Any:
    """Use the verb import as a cell does."""
    options = parsing.parse(verbs.find("import"), parsing.split(words))
    ip = SimpleNamespace(user_ns={})
    call = parsing.Call(ip=ip, verb="import", words=(), body=None, where=Where(), options=options)
    return commands.RUN["import"](call)


def run(cells: tuple[str, ...]) -> None:
    """Run cells as a notebook does: the first opens the session."""
    first, *rest = cells
    _, _, name, _, stage = first.split()[:5]
    nd.session(name, stage=stage)
    for cell in rest:
        if cell.startswith("%durable "):
            nd.sessions_current().declare(*parse_cell(cell.removeprefix("%durable "), None))
        else:
            exec(compile(cell, "cell", "exec"), {})


def test_the_cells_declare_what_was_imported(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a new kernel they declare the same, in a line where one can say it, else in Python; nothing was sent."""
    from notebook_do.sessions.opening import current

    monkeypatch.setattr(nd, "sessions_current", current, raising=False)
    write(cloud / "a")
    write(cloud / "b", name="other", kv_namespaces=[{"binding": "KV", "id": "1"}], secrets={"required": ["KEY"]})
    session = nd.session("book", stage="production")
    found = session.import_wrangler(".")
    declared = dict(session.catalog.namespaces), dict(session.catalog.workers)
    assert sorted(declared[0]) == ["counter", "other-counter"]
    assert found.cells[0] == "%durable session book --stage production"
    assert not session.state.exists
    nd.session("elsewhere")
    run(found.cells)
    again = current()
    assert (dict(again.catalog.namespaces), dict(again.catalog.workers)) == declared
    assert again.name == "book"


def test_a_project_that_is_not_live_is_created(cloud: Path) -> None:
    """On the local target it runs as wrangler would have deployed it."""
    write(cloud / "app")
    session = nd.session("new", stage="production")
    session.import_wrangler("app")
    plan = session.plan()
    assert not plan.refusals
    session.deploy(plan)
    assert session.fetch("api").text == "wn1"
    before = session.recorded()
    session.import_wrangler("app")
    assert session.recorded() == before, "it is managed already"
    assert session.plan().empty


def test_what_the_project_changes_of_the_live_worker_is_what_is_planned(cloud: Path) -> None:
    """An unchanged one has an empty plan; a variable, a setting and the code are a row each, and data stays."""
    folder = write(cloud / "app")
    ids = deployed(folder).namespaces()["namespace_id"].tolist()
    session = nd.session("mine", stage="production")
    found = session.import_wrangler("app")
    assert changed(session.plan()) == []
    assert f"--namespace-id {ids[0]}" in found.cells[1]
    write(cloud / "app", vars={"WORD": "v"}, limits={"cpu_ms": 100})
    session.import_wrangler("app")
    plan = session.plan()
    assert changed(plan) == [("update", "binding", "WORD"), ("update", "setting", "limits")]
    (folder / "src" / "word.ts").write_text('export const word = "m";\n')
    session.import_wrangler("app")
    plan = session.plan()
    assert ("update", "code", "modules") in changed(plan)
    assert plan.migrations.empty
    session.deploy(plan)
    assert session.fetch("api").text == "vm2"
    assert session.namespaces()["namespace_id"].tolist() == ids


def test_code_that_differs_is_an_update_and_no_claim(cloud: Path) -> None:
    """The live code is another one than the project's: the plan shows that, and nothing else."""
    folder = write(cloud / "app")
    deployed(folder)
    (folder / "src" / "word.ts").write_text('export const word = "m";\n')
    session = nd.session("mine", stage="production")
    session.import_wrangler("app")
    assert changed(session.plan()) == [("update", "code", "modules")]


def test_a_rename_of_the_project_is_a_rename(cloud: Path) -> None:
    """The class has its last name, and the namespace stays the one that is live under the earlier one."""
    folder = write(cloud / "app")
    ids = deployed(folder).namespaces()["namespace_id"].tolist()
    (folder / "src" / "index.ts").write_text(SOURCE.replace("class Counter", "class Tally"))
    exports = {
        "Counter": {"type": "durable-object", "state": "renamed", "renamed_to": "Tally"},
        "Tally": {"type": "durable-object", "storage": "sqlite"},
    }
    bindings = {"bindings": [{"name": "COUNTER", "class_name": "Tally"}]}
    config = {**CONFIG, "exports": exports, "durable_objects": bindings}
    (folder / "wrangler.jsonc").write_text(json.dumps(config))
    session = nd.session("mine", stage="production")
    session.import_wrangler("app")
    assert [(n.id, n.class_name) for n in session.catalog.namespaces.values()] == [("theirs", "Tally")]
    session.deploy(session.plan())
    assert session.fetch("api").text == "wn2"
    assert session.namespaces()["namespace_id"].tolist() == ids


def test_what_others_set_and_the_project_does_not_say_stays(cloud: Path) -> None:
    """A log setting, a cron trigger and a route of the dashboard are no change, and none is ours to take away."""
    folder = write(cloud / "app")
    other = deployed(folder)
    connection = other._run(other._connect())
    headers = {"Authorization": f"Bearer {connection.token.reveal()}"}
    base = f"{connection.base_url}/accounts/{connection.account_id}"
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
        path = "/workers/scripts/api/script-settings"
        assert client.patch(path, json={"logpush": True}).status_code == 200
        assert client.put("/workers/domains", json={"hostname": "a.example.com", "service": "api"}).status_code == 200
    session = nd.session("mine", stage="production")
    session.import_wrangler("app")
    assert changed(session.plan()) == []
    write(cloud / "app", vars={"WORD": "v"})
    session.import_wrangler("app")
    assert changed(session.plan()) == [("update", "binding", "WORD")]
    write(cloud / "app", routes=[{"pattern": "a.example.com", "custom_domain": True}], workers_dev=True)
    session.import_wrangler("app")
    assert [c[1] for c in changed(session.plan())] == ["domain"], "it is live, and becomes this session's"


# --- which session


def test_an_environment_is_imported_into_its_own_stage(cloud: Path) -> None:
    """Another stage is refused with the line that opens the right one; so is the top level in an environment's."""
    write(cloud / "app", env={"staging": {}, "production": {}})
    session = nd.session("book")
    with pytest.raises(
        CommandError, match=r"is not imported into stage dev; .*: %durable session book --stage staging$"
    ):
        session.import_wrangler("app", "staging")
    session = nd.session("book", stage="staging")
    with pytest.raises(CommandError, match=r"the top level .* stage staging; .*%durable session book --stage dev$"):
        session.import_wrangler("app")
    found = session.import_wrangler("app", env="staging")
    assert found.cells[0] == "%durable session book --stage staging"
    assert [w.name for w in session.catalog.workers.values()] == ["api-staging"]
    assert any("not imported: the top level, production. Each is a stage of its own" in note for note in found.notes)
    assert any("with --stage production, then import with --env production." in note for note in found.notes)


def test_without_a_session_the_line_that_opens_one_is_said(home: Path) -> None:
    """Its name is that of the folder."""
    write(home / "my app", env={"staging": {}})
    with pytest.raises(CommandError, match=r"no session is open; first: %durable session my-app --stage production$"):
        use("--wrangler 'my app'")
    with pytest.raises(CommandError, match=r"%durable session my-app --stage staging$"):
        use("--wrangler 'my app' --env staging")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--env staging", "--env is an environment of a project; add --wrangler PATH"),
        ("--wrangler . api", "--wrangler takes a project whole"),
        ("--wrangler --from-account", "--wrangler takes a project whole"),
        ("a b --source x.ts", "--source is the file of one Worker"),
    ],
)
def test_words_that_do_not_go_together_are_one_line(home: Path, words: str, said: str) -> None:
    """What belongs to what is said."""
    nd.session("s")
    with pytest.raises(CommandError, match=said):
        use(words)


# --- which files


def test_a_folder_is_searched_with_all_below_it(home: Path) -> None:
    """Not in packages; wrangler.json goes first; what a build tool made is read where it is redirected to."""
    from notebook_do.interchange.project_files import read_project

    for place in ("api", "web/deep", "node_modules/x", ".hidden"):
        write(home / "p" / place, name=place.replace("/", "-"))
    (home / "p" / "api" / "wrangler.toml").write_text('name = "never"')
    (home / "p" / "web" / "deep" / "dist").mkdir()
    built = {**CONFIG, "name": "built", "userConfigPath": "/x/wrangler.jsonc"}
    (home / "p" / "web" / "deep" / "dist" / "wrangler.json").write_text(json.dumps(built))
    project = read_project(home / "p")
    assert [file.raw["name"] for file in project.files] == ["api", "web-deep"]
    first, second = project.notes
    assert first == "p/api/wrangler.jsonc is read, as wrangler does; beside it not: p/api/wrangler.toml."
    assert second.startswith("p/web/deep/dist/wrangler.json is not read: a build tool made it")
    redirect = home / "p" / "web" / "deep" / ".wrangler" / "deploy" / "config.json"
    redirect.parent.mkdir(parents=True)
    redirect.write_text('{"configPath": "../../dist/wrangler.json" /* by a tool */}')
    project = read_project(home / "p")
    assert [file.raw["name"] for file in project.files] == ["api", "built"]
    redirect.write_text('{"configPath": "../../dist/gone.json"}')
    with pytest.raises(CommandError, match=r"config.json names p/web/deep/dist/gone.json, which is not there"):
        read_project(home / "p")


def test_where_there_is_no_project_is_one_line(home: Path) -> None:
    """No file, no folder, nothing in it, no Worker with code, no such environment."""
    session = nd.session("s", stage="production")
    for path, said in (("gone", "there is no file or folder gone"), (".", "has none of wrangler.json, wrangler.jsonc")):
        with pytest.raises(CommandError, match=said):
            session.import_wrangler(path)
    (home / "wrangler.json").write_text('{"name": "site", "assets": {"directory": "public"}}')
    with pytest.raises(CommandError, match=r"no Worker with code\. wrangler\.json is not imported: .* no code"):
        session.import_wrangler()
    write(home / "a", env={"staging": {}})
    with pytest.raises(CommandError, match="no environment stagin; it has staging"):
        session.import_wrangler(env="stagin")


def test_a_source_that_cannot_be_bundled_is_named_and_imported(cloud: Path) -> None:
    """Its cell is there all the same; the plan says it again."""
    folder = write(cloud / "app")
    (folder / "src" / "word.ts").unlink()
    session = nd.session("s", stage="production")
    found = session.import_wrangler("app")
    assert any("word" in note and "Nothing can be planned before that." in note for note in found.notes)
    with pytest.raises(nd.SourceError, match="word"):
        session.plan()


# --- a live Worker and its source


def test_a_live_worker_whose_source_is_a_file(cloud: Path) -> None:
    """`--source`: the settings are the live ones, the source is the file; nothing is to plan where it is that code."""
    folder = write(cloud / "app")
    deployed(folder, observability={"enabled": True}, crons=[])
    nd.session("mine")
    shown = use("api --source ./app/src/index.ts")
    session = commands.current()
    (worker,) = session.catalog.workers.values()
    assert (worker.entrypoint, worker.script, worker.modules) == ("./app/src/index.ts", None, ())
    assert worker.options.value["observability"]["enabled"] is True
    assert shown.data["cells"][-1].startswith("%durable worker api --name api")
    assert changed(session.plan()) == []
    (folder / "src" / "word.ts").write_text('export const word = "m";\n')
    assert changed(session.plan()) == [("update", "code", "modules")]
    again = nd.session("third")
    again.import_("api", source=folder / "src" / "index.ts")
    assert changed(again.plan()) == [("update", "code", "modules")], "no claim is made"


def test_a_project_of_an_account_with_what_only_cloudflare_has_runs_here(cloud: Path) -> None:
    """`account_id` is left out with a line; AI and a container are warned of by name, and the Worker answers."""
    more = {"ai": {"binding": "AI"}, "containers": [{"class_name": "Counter", "image": "./Dockerfile"}]}
    write(cloud / "app", account_id="a" * 32, **more)
    session = nd.session("app", stage="production")
    found = session.import_wrangler("app")
    assert any(note.endswith("account_id is of Cloudflare; it is left out here.") for note in found.notes)
    assert "a" * 32 not in "".join(found.cells)
    assert "containers=['Counter']" in "".join(found.cells)
    plan = session.plan()
    assert [w for w in plan.warnings if w.startswith("Worker api: ")] == list(plan.warnings)
    assert "AI (Workers AI)" in plan.warnings[0]
    assert "Counter runs here without a container" in plan.warnings[1]
    result = session.deploy(plan)
    assert plan.warnings[1] in result.notes
    assert result["api"].fetch("/").text == "wn1"


@pytest.mark.parametrize("bucket", [False, True], ids=["line", "Python"])
def test_a_cell_says_of_plain_values_that_look_like_secrets_why_they_stand_there(
    cloud: Path,
    bucket: bool,  # noqa: FBT001
) -> None:
    """A comment names them, and how a secret is declared; the cell still deploys what is live, and no other has one."""
    script = "export default { fetch(request, env) { return new Response(env.API_TOKEN + env.MODE); } };\n"
    more: dict[str, Any] = {"FILES": nd.R2("files")} if bucket else {}
    first = nd.session("first")
    hidden = {"API_TOKEN": "it's # hunter2", "LIMITS": nd.Json({"apiKey": "hunter3"})}
    nd.Worker("api", script=script, bindings={**hidden, "MODE": "fast", **more})
    nd.Worker("open", script=script, bindings={"MODE": "fast", **more})
    first.deploy(first.plan())
    second = nd.session("second")
    found = second.import_("api-dev", "open-dev")
    cells = found.cells
    write_files(cloud, found.files)
    told, plain = sorted(cells, key=lambda cell: "API_TOKEN is" not in cell and "API_TOKEN and" not in cell)
    instead = '"API_TOKEN": nd.Secret.from_env("API_TOKEN")' if bucket else "--secret API_TOKEN"
    said = f"# API_TOKEN and LIMITS are plain text, so their values stand here; as a secret: {instead}"
    assert any(line.endswith(said) for line in told.splitlines())
    assert "#" not in plain
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "notebook_do")
    second.forget("Worker", "api-dev")
    for cell in cells:
        shell.run_cell(cell).raise_error()
    assert second.plan().empty
    assert second.fetch("api-dev").text == "it's # hunter2fast"
