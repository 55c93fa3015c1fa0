"""What a wrangler project says becomes declarations: each key is carried, or named with what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.declare.catalog import Catalog
from notebook_do.errors import CommandError
from notebook_do.interchange.cells import worker_cell
from notebook_do.interchange.configuration import environment_of
from notebook_do.interchange.projects import Known, ProjectDeclarations, declare_project
from notebook_do.interchange.wrangler import wrangler_files
from notebook_do.interchange.wrangler_reading import read_worker
from notebook_do.model import (
    WORKER_FIELDS,
    Json,
    Namespace,
    NamespaceBinding,
    NamespaceId,
    Observed,
    ObservedScript,
    PlainText,
    Recorded,
    Secret,
    ServiceBinding,
    StableId,
    ValueBinding,
    Worker,
)
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from notebook_do.model import DesiredWorker

sys.path.append(str(Path(__file__).parent.parent))
from test_every_binding import CASES

PARTS = {"data_blob", "text_blob", "wasm_module"}
"""Bindings to parts of an upload, which no export can send without the part."""
CODE = "export class Room {}\nexport default {};\n"


def declared(*configs: dict[str, Any], env: str = "", known: Known | None = None) -> ProjectDeclarations:
    """Declare the Workers of configurations that lie in `app`."""
    workers = []
    for number, config in enumerate(configs):
        whole = {"name": "api", "main": "src/index.ts", **config}
        worker = read_worker(f"w{number}", "app", environment_of(f"w{number}", whole, env))
        assert worker is not None
        workers.append(worker)
    return declare_project(workers, known or Known())


def worker(config: dict[str, Any], **more: Any) -> Worker:
    """Declare one Worker."""
    (found,) = declared(config, **more).workers.values()
    return found


# --- what is exported and read again is the same


def exported(item: Worker) -> dict[str, Any]:
    """Return the project that is exported of a declaration that is not live."""
    catalog = Catalog()
    catalog.declare(item)
    desired = catalog.desired("s", "production", read=reader())
    nothing = Observed(account_id="a" * 32, api_origin="http://x")
    files = wrangler_files(desired, Recorded(lineage="f" * 32), nothing)
    config: dict[str, Any] = json.loads(files[f"{desired.workers[0].script_name}/wrangler.jsonc"])
    return config


def desired_of(item: Worker) -> DesiredWorker:
    """Resolve one Worker."""
    catalog = Catalog()
    catalog.declare(item)
    return catalog.desired("s", "production", read=reader()).workers[0]


@pytest.mark.parametrize("kind", sorted(CASES.keys() - PARTS))
@pytest.mark.parametrize("value", ["made", "other"])
def test_every_binding_type_goes_out_and_in_again(kind: str, value: str) -> None:
    """The rows of the table are read as they are written: an export that is imported binds the same."""
    bound = getattr(CASES[kind], value)
    item = nd.Worker("w", name="w", script=CODE, bindings={"B": bound})
    config = exported(item)
    back = worker(config | {"main": "x.js"})
    same = replace(item, bindings=back.bindings)
    (now,), (before,) = desired_of(same).bindings, desired_of(item).bindings
    assert now == before


FIELDS: dict[str, Any] = {
    "name": "w",
    "compatibility_date": "2026-01-01",
    "compatibility_flags": ["nodejs_compat"],
    "url": False,
    "previews": True,
    "crons": ["*/5 * * * *"],
    "routes": ["example.com/*"],
    "domains": ["app.example.com"],
    "consumes": {"mail": {"batch_size": 5, "max_wait_time_ms": 2500, "max_retries": 1, "dead_letter_queue": "dead"}},
    "observability": {"enabled": True, "head_sampling_rate": 0.5},
    "placement": {"mode": "smart"},
    "limits": {"cpu_ms": 100},
    "logpush": True,
    "tail_consumers": [{"service": "tail"}],
    "cache_options": {"enabled": True},
    "code_update_strategy": {"mode": "immediate"},
    "tags": ["a"],
}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_goes_out_and_in_again(name: str) -> None:
    """The rows of the fields are read as they are written: a queue's consumer in wrangler's own words, too."""
    item = nd.Worker("w", **{"name": "w", "script": CODE, "tags": ["t"], name: FIELDS[name]})
    back = worker(exported(item) | {"main": "x.js"})
    for row in WORKER_FIELDS.values():
        if row.name not in {"script", "entrypoint", "no_bundle"} and not row.source:
            assert row.of(back) == row.of(item), row.name


def test_every_field_that_wrangler_knows_is_tried() -> None:
    """A new row with a key of wrangler's own has to be added to the fields above."""
    written = {row.name for row in WORKER_FIELDS.values() if row.wrangler and not row.source}
    assert written - {"no_bundle"} <= FIELDS.keys()


# --- fields


def test_the_script_name_is_always_written() -> None:
    """Ours would be another one; the Worker's id is the same in every environment."""
    config = {"env": {"staging": {}}}
    assert (worker(config).id, worker(config).name) == ("api", "api")
    assert (worker(config, env="staging").id, worker(config, env="staging").name) == ("api", "api-staging")


def test_the_entrypoint_stays_the_source_file() -> None:
    """Paths are relative to the notebook; a Python Worker is its folder."""
    found = worker({"main": "../shared/./a.ts", "assets": {"directory": "./public", "binding": "A"}})
    assert found.entrypoint == "shared/a.ts"
    assert found.assets == Json({"directory": "app/public", "binding": "A"})
    assert worker({"main": "/abs/a.ts"}).entrypoint == "/abs/a.ts"
    assert worker({"main": "src/entry.py"}).entrypoint == "app/src"
    assert worker({"main": "src/worker.py"}).entrypoint == "app/src/worker.py"


def test_workers_dev_is_as_wrangler_has_it() -> None:
    """Without a word there is an address where there is no route."""
    assert worker({}).url
    assert not worker({"routes": ["example.com/*"]}).url
    assert not worker({"route": "example.com/*"}).url
    assert worker({"routes": ["example.com/*"], "workers_dev": True}).url
    assert not worker({"workers_dev": False}).url


def test_routes_of_every_form() -> None:
    """A pattern, one with its zone, a custom domain; a zone that the host name would not find is named."""
    found = declared(
        {
            "routes": [
                "example.com/*",
                {"pattern": "*.example.org/a*", "zone_name": "example.org"},
                {"pattern": "app.example.com", "custom_domain": True, "previews_enabled": True},
                {"pattern": "b.example.net/*", "zone_id": "1"},
                {"pattern": "c.example.net/*", "zone_name": "other.net"},
            ]
        }
    )
    keys = [(t.kind, t.key) for t in found.workers["api"].triggers]
    assert keys == [
        ("domain", "app.example.com"),
        *[("route", p) for p in ("*.example.org/a*", "b.example.net/*", "c.example.net/*", "example.com/*")],
    ]
    named = [note.split(": ")[1] for note in found.notes]
    assert named == ["routes.previews_enabled", "routes.zone_id", "routes.zone_name"]


def test_vars_secrets_and_services() -> None:
    """A text is one, any other value JSON; secrets that are required are declared and never held."""
    found = worker(
        {
            "vars": {"A": "a", "B": 1, "C": {"d": None}},
            "secrets": {"required": ["KEY", "lower"]},
            "services": [{"binding": "S", "service": "other", "entrypoint": "Admin", "props": {"a": 1}}],
        }
    ).bindings
    assert dict(found) == {
        "A": PlainText(text="a"),
        "B": Json(1),
        "C": Json({"d": None}),
        "KEY": Secret.from_env("KEY"),
        "S": ServiceBinding(worker="other", entrypoint="Admin", props=Json({"a": 1})),
        "lower": Secret.from_prompt("lower"),
    }


def test_queues_in_wranglers_own_words() -> None:
    """`max_batch_size` is accepted as such, by a declaration too; both words for one setting are not."""
    consumers = [{"queue": "mail", "max_batch_size": 5, "max_batch_timeout": 2, "max_concurrency": None}]
    found = worker({"queues": {"consumers": consumers}})
    (trigger,) = found.triggers
    assert trigger.settings == Json({"batch_size": 5, "max_wait_time_ms": 2000})
    declaration = nd.Worker("w", script=CODE, consumes={"mail": {"max_batch_size": 5, "max_batch_timeout": 2}})
    assert declaration.triggers == found.triggers
    with pytest.raises(nd.DeclarationError, match="max_batch_size and batch_size are one setting; give one of them"):
        nd.Worker("w", script=CODE, consumes={"mail": {"max_batch_size": 5, "batch_size": 5}})
    with pytest.raises(nd.DeclarationError, match="max_batch_timeout must be a number, not '2'"):
        nd.Worker("w", script=CODE, consumes={"mail": {"max_batch_timeout": "2"}})


def test_a_resource_without_a_name_has_the_one_that_wrangler_would_give_it() -> None:
    """And it is named; where the Worker is live, it is what that binds."""
    config = {"kv_namespaces": [{"binding": "MY_KV"}], "r2_buckets": [{"binding": "B"}]}
    found = declared(config)
    assert found.workers["api"].bindings["MY_KV"] == nd.KV("api-my-kv")
    assert found.workers["api"].bindings["B"] == nd.R2("api-b")
    assert [note.split(";")[0] for note in found.notes] == [
        "Worker api: binding MY_KV names no KV",
        "Worker api: binding B names no R2 bucket",
    ]
    live = ObservedScript(name="api", bindings=(ValueBinding(name="MY_KV", value=nd.KV("f" * 32)),))
    found = declared(config, known=Known(scripts={"api": live}))
    assert found.workers["api"].bindings["MY_KV"] == nd.KV("f" * 32)


@pytest.mark.parametrize("part", ["logs", "traces", "issues"])
def test_observability_of_a_part_alone(part: str) -> None:
    """As wrangler takes it: the switch of logs, traces or issues is enough."""
    found = worker({"observability": {part: {"enabled": True}}})
    assert found.options.value["observability"] == {part: {"enabled": True}}


def test_keep_vars_keeps_what_only_the_live_worker_has() -> None:
    """As wrangler does: variables of the dashboard become declared ones, resources do not."""
    live = ObservedScript(
        name="api",
        bindings=(
            ValueBinding(name="A", value=PlainText(text="live")),
            ValueBinding(name="B", value=PlainText(text="live")),
            ValueBinding(name="KV", value=nd.KV("1")),
        ),
    )
    known = Known(scripts={"api": live})
    assert dict(worker({"vars": {"A": "a"}}, known=known).bindings) == {"A": PlainText(text="a")}
    kept = worker({"vars": {"A": "a"}, "keep_vars": True}, known=known).bindings
    assert dict(kept) == {"A": PlainText(text="a"), "B": PlainText(text="live")}


def test_a_cell_that_no_line_can_say_is_python_with_the_names_that_a_person_would_write() -> None:
    """A resource is its constructor where that says all of it; what runs declares the same."""
    config = {
        "kv_namespaces": [{"binding": "KV", "id": "1"}],
        "d1_databases": [{"binding": "DB", "database_id": "2"}],
        "ratelimits": [{"name": "LIMIT", "namespace_id": "1", "simple": {"limit": 5, "period": 10}}],
        "r2_buckets": [{"binding": "B", "bucket_name": "b", "jurisdiction": "eu"}],
        "ai": {"binding": "AI"},
        "vpc_networks": [{"binding": "VPC", "tunnel_id": "t"}],
        "unsafe": {"bindings": [{"name": "NEW", "type": "teleporter", "depth": 1}]},
    }
    found = worker(config)
    cell = worker_cell(found)
    for line in (
        "'KV': nd.KV('1'),",
        "'DB': nd.D1('2'),",
        "'LIMIT': nd.RateLimit('1', limit=5, period=10),",
        "'B': nd.R2('b', jurisdiction='eu'),",
        "'AI': nd.AI(),",
        "'VPC': nd.VpcNetwork(tunnel_id='t'),",
        "'NEW': nd.Resource(type='teleporter', fields=nd.Json({'depth': 1})),",
    ):
        assert f"        {line}\n" in cell
    space: dict[str, Any] = {}
    exec(cell.replace("nd.Worker(", "made = nd.Worker("), space)
    assert space["made"] == found


# --- classes


def class_config(name: str = "Counter", script: str = "api", **more: Any) -> dict[str, Any]:
    """Give a Worker with one class."""
    steps = [{"tag": "v1", "new_sqlite_classes": [name]}]
    bindings = [{"name": "COUNTER", "class_name": name}]
    return {"name": script, "migrations": steps, "durable_objects": {"bindings": bindings}, **more}


def named(found: ProjectDeclarations) -> list[tuple[str, str, str | None]]:
    """Give (stable ID, class, script) of the namespaces."""
    return [(n.id, n.class_name, n.script_name) for n in found.namespaces]


def test_the_stable_id_comes_from_the_class_and_is_the_same_in_every_environment() -> None:
    """The class is hosted by the Worker of that environment, under one stable ID."""
    objects = {"durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "ChatRoom"}]}}
    config = class_config("ChatRoom", env={"staging": objects})
    assert named(declared(config)) == [("chat-room", "ChatRoom", "api")]
    assert named(declared(config, env="staging")) == [("chat-room", "ChatRoom", "api-staging")]


def test_two_workers_with_one_class() -> None:
    """Where nothing is live the second one's stable ID has its Worker's name; live it has what the import gives."""
    both = class_config(script="b"), class_config(script="a")
    assert named(declared(*both)) == [("b-counter", "Counter", "b"), ("counter", "Counter", "a")]
    id_ = NamespaceId("9" * 32)
    live = Namespace(StableId(f"counter-{id_}"), class_name="Counter", script_name="b", namespace_id=id_)
    found = declared(*both, known=Known(live={("b", "Counter"): live}, taken=frozenset({live.id})))
    assert named(found) == [("counter", "Counter", "a"), (f"counter-{id_}", "Counter", "b")]
    assert found.namespaces[1].namespace_id == id_


def test_a_class_of_another_worker() -> None:
    """It is the namespace of that Worker where it is of the project, else one that is hosted elsewhere."""
    far = {"durable_objects": {"bindings": [{"name": "C", "class_name": "Counter", "script_name": "a"}]}}
    found = declared(class_config(script="a"), {"name": "b", **far})
    assert named(found) == [("counter", "Counter", "a")]
    assert found.workers["b"].bindings["C"] == NamespaceBinding(stable_id=StableId("counter"))
    assert named(declared({"name": "b", **far})) == [("counter", "Counter", "a")]


def test_a_rename_that_is_not_deployed_is_a_rename_of_the_live_namespace() -> None:
    """The live migration tag says which name each class has now: two that exchanged theirs are not exchanged."""
    steps = [
        {"tag": "v1", "new_sqlite_classes": ["A", "B"]},
        {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}, {"from": "B", "to": "A"}]},
    ]
    spaces = {
        ("api", name): Namespace(StableId(f"was-{name.lower()}"), class_name=name, script_name="api")
        for name in ("A", "B")
    }
    for tag, expected in (("v1", ["was-b", "was-a"]), ("v2", ["was-a", "was-b"])):
        live = ObservedScript(name="api", migration_tag=tag, bindings=())
        known = Known(live=spaces, scripts={"api": live})
        found = {n.class_name: n.id for n in declared({"migrations": steps}, known=known).namespaces}
        assert [found["A"], found["B"]] == expected


def test_a_class_that_moved_within_the_project_is_hosted_where_it_went() -> None:
    """The history of the first Worker still has it; one that is not moved yet is refused under its name there."""
    move = {"from": "Counter", "from_script": "a", "to": "Tally"}
    came = {"name": "b", "migrations": [{"tag": "v1", "transferred_classes": [move]}]}
    left = {"name": "a", "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}]}
    assert named(declared(left, came)) == [("tally", "Tally", "b")]
    space = Namespace(StableId("counter"), class_name="Counter", script_name="a")
    with pytest.raises(CommandError, match="class Tally is still to be moved here from Worker a"):
        declared(left, came, known=Known(live={("a", "Counter"): space}))


def test_a_deleted_class_that_is_live_is_named_and_stays() -> None:
    """Nothing here is deleted because a project does not have it any more."""
    steps = [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v2", "deleted_classes": ["A"]}]
    space = Namespace(StableId("a"), class_name="A", script_name="api")
    live = ObservedScript(name="api", migration_tag="v1", bindings=())
    found = declared({"migrations": steps}, known=Known(live={("api", "A"): space}, scripts={"api": live}))
    assert found.namespaces == ()
    assert [n for n in found.notes if "%durable destroy a" in n]


def test_class_migrations_go_on_as_the_project_has_them() -> None:
    """A project with `migrations` begins with them; what is live decides for itself."""
    assert worker(class_config()).lifecycle == "migrations"
    live = ObservedScript(name="api", lifecycle="exports", bindings=())
    assert worker(class_config(), known=Known(scripts={"api": live})).lifecycle == "auto"
    exports = {"exports": {"Counter": {"type": "durable-object", "storage": "sqlite"}}}
    assert worker(exports).lifecycle == "auto"


def test_one_worker_twice_is_one_line() -> None:
    """Two configurations of one script name are named both."""
    with pytest.raises(CommandError, match="w0 and w1 are both of Worker api; rename one"):
        declared({}, {})


# --- what is not carried


def test_a_field_that_is_not_carried_is_named_with_what_to_do() -> None:
    """One line each; what only wrangler reads is one line; what says nothing is not named; an unknown key is."""
    found = declared(
        {
            "containers": [{"class_name": "A", "image": "x"}],
            "site": {"bucket": "./public"},
            "dev": {"port": 1},
            "kv_namespaces": [{"binding": "KV", "id": "1", "preview_id": "2", "remote": True}],
            "minfy": True,
            "connect": [],
            "first_party_worker": False,
        }
    )
    lines = {note.split(": ")[1]: note for note in found.notes}
    assert "deploy this Worker with wrangler" in lines["containers"]
    assert next(iter(found.workers.values())).containers == ("A",)  # so that a plan says what becomes of it
    assert "give the directory as assets" in lines["site"]
    assert "it is not known here" in lines["minfy"]
    assert found.notes[-1].endswith(
        "only wrangler itself reads dev, kv_namespaces.preview_id, kv_namespaces.remote; left out."
    )
    assert len(found.notes) == 4


def test_assets_whose_directory_only_a_build_knows_are_named() -> None:
    """As for the plugin of Vite before it built the project: the Worker is imported, and a line says what to do."""
    found = declared({"assets": {"not_found_handling": "single-page-application", "binding": "ASSETS"}})
    assert found.workers["api"].assets is None
    assert found.notes == (
        "Worker api: assets: it has no directory, so they are left out: build the project, then import again.",
    )


def test_what_a_build_tool_writes_out_by_default_is_not_named() -> None:
    """A configuration that Vite makes has every key; those that nobody chose say nothing."""
    found = declared(
        {
            "jsx_factory": "React.createElement",
            "jsx_fragment": "React.Fragment",
            "python_modules": {"exclude": ["**/*.pyc"]},
            "keep_names": True,
            **{key: {} for key in ("triggers", "unsafe", "cloudchamber", "exports", "define", "vars")},
            **{key: [] for key in ("kv_namespaces", "services", "workflows", "connect", "rules", "migrations")},
            "logfwdr": {"bindings": []},
            "queues": {"producers": [], "consumers": []},
            "durable_objects": {"bindings": []},
        }
    )
    assert found.notes == ()
    assert found.workers["api"].bindings == {}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"main": None}, "w0: there is no main"),
        ({"assets": "public"}, "w0: assets must be a table"),
        ({"vars": []}, "w0: vars must be a table, not list"),
        ({"kv_namespaces": {}}, "w0: kv_namespaces must be a list of tables"),
        ({"services": [{"binding": "A"}]}, "w0: services needs service in each entry"),
        ({"vars": {"A": "1"}, "services": [{"binding": "A", "service": "x"}]}, "w0: binding A is there twice"),
        ({"triggers": {"crons": "* * * * *"}}, "w0: crons must be a list of strings"),
        ({"triggers": {"crons": ["* * *"]}}, "w0: Worker api: cron '[*] [*] [*]' must have five fields"),
        ({"compatibility_date": 5}, "w0: compatibility_date must be a string"),
        ({"placement": {"mode": "odd"}}, "w0: placement: placement must be"),
        (
            {"assets": {"binding": "A"}, "durable_objects": {"bindings": [{}]}},
            "w0: durable_objects.bindings needs class",
        ),
        ({"pages_build_output_dir": "x"}, "project of Cloudflare Pages"),
        ({"ratelimits": [{"name": "L", "namespace_id": "1", "simple": {"limit": 0}}]}, "w0: binding L: limit of type"),
    ],
)
def test_what_cannot_be_declared_is_one_line(config: dict[str, Any], said: str) -> None:
    """The file and the key are named."""
    with pytest.raises(CommandError, match=said) as refused:
        declared(config)
    assert "\n" not in str(refused.value)
