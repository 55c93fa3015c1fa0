"""Each example of the DurableObjectNamespace page, in Python, run on the local Cloudflare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path

COUNTING = """
import {{ DurableObject }} from "cloudflare:workers";
export class {name} extends DurableObject {{
  async increment() {{
    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;
    await this.ctx.storage.put("value", value);
    return value;
  }}
}}
export default {{
  async fetch(request, env) {{
    return new Response(String(await env.{binding}.getByName("one").increment()));
  }},
}};
"""
CLIENT = """
export default {{
  async fetch(request, env) {{
    return new Response(String(await env.{binding}.getByName("one").increment()));
  }},
}};
"""


def test_minimal_example(cloud: Path) -> None:
    """A namespace needs a stable ID and a class name, and is SQLite when nothing else is said."""
    session = nd.session("chat")
    rooms = nd.DurableObjectNamespace("chat-rooms", class_name="ChatRoom")
    worker = nd.Worker("chat", script=COUNTING.format(name="ChatRoom", binding="ROOMS"), bindings={"ROOMS": rooms})
    result = session.deploy(session.plan())
    assert result["chat"].fetch("/").text == "1"
    (row,) = session.namespaces().to_dict("records")
    assert (row["stable_id"], row["class_name"], row["storage"]) == ("chat-rooms", "ChatRoom", "sqlite")
    assert worker.bindings.ROOMS.worker == "chat"


def test_create_with_sqlite_storage(cloud: Path) -> None:
    """`sqlite=True` gives the objects a SQL database."""
    session = nd.session("users")
    users = nd.DurableObjectNamespace("user-store", class_name="User", sqlite=True)
    script = """
    import { DurableObject } from "cloudflare:workers";
    export class User extends DurableObject {
      add(name) {
        this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS users (name TEXT)");
        this.ctx.storage.sql.exec("INSERT INTO users VALUES (?)", name);
        return this.ctx.storage.sql.exec("SELECT name FROM users ORDER BY name").toArray().map((row) => row.name);
      }
    }
    export default {
      async fetch(request, env) {
        const name = new URL(request.url).searchParams.get("name");
        return Response.json(await env.USERS.getByName("all").add(name));
      },
    };
    """
    nd.Worker("users", script=script, bindings={"USERS": users})
    result = session.deploy(session.plan())
    result["users"].fetch("/?name=grace")
    assert result["users"].fetch("/?name=ada").json() == ["ada", "grace"]


def test_create_in_production_environment(cloud: Path) -> None:
    """In production a Worker's name is its id; a binding by script_name reaches what another Worker hosts."""
    session = nd.session("game", stage="production")
    state = nd.DurableObjectNamespace("game-state", class_name="GameState", script_name="game-worker")
    nd.Worker("game-worker", script=COUNTING.format(name="GameState", binding="GAME"), bindings={"GAME": state})
    result = session.deploy(session.plan())
    assert result["game-worker"].script_name == "game-worker"

    other = nd.session("spectators", stage="production")
    seen = nd.DurableObjectNamespace(
        "game-state", class_name="GameState", script_name="game-worker", environment="production"
    )
    nd.Worker("spectator", script=CLIENT.format(binding="GAME"), bindings={"GAME": seen})
    plan = other.plan()
    assert plan.migrations.empty, "a class that another Worker hosts is bound, not created"
    assert list(plan.bindings["environment"]) == ["production"]
    other.deploy(plan)
    assert result["game-worker"].fetch("/").text == "1"
    assert other.fetch("spectator", "/").text == "2"


def test_bind_to_a_worker(cloud: Path) -> None:
    """A Worker binds a namespace by name, and `env.COUNTER` is it."""
    session = nd.session("app", stage="production")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker(
        "my-worker",
        name="my-worker",
        script=COUNTING.format(name="Counter", binding="COUNTER"),
        bindings={"COUNTER": counter},
    )
    result = session.deploy(session.plan())
    assert [result["my-worker"].fetch("/").text for _ in range(2)] == ["1", "2"]


def test_bind_to_a_worker_whose_script_lacks_the_class(cloud: Path) -> None:
    """The page's own script exports no class at all: the plan is refused in one line that says which is missing."""
    session = nd.session("app")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("my-worker", script="console.log('Hello, world!')", bindings={"COUNTER": counter})
    (refusal,) = session.plan().refusals
    assert re.fullmatch(
        r"class Counter of namespace counter is not exported by the source of Worker my-worker \(test_seed.py:\d+\)\. "
        "It exports nothing.",
        refusal.message,
    )
    with pytest.raises(nd.PlanRefused):
        session.deploy(session.plan())
    assert set(session.workers()["status"]) == {"declared"}


def test_rename_class_name(cloud: Path) -> None:
    """A new class name under the same stable ID is a rename: same namespace id, same objects."""
    session = nd.session("app")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter", sqlite=True)
    nd.Worker("w", script=COUNTING.format(name="Counter", binding="COUNTER"), bindings={"COUNTER": counter})
    session.deploy(session.plan())
    assert session.fetch("w").text == "1"
    (before,) = session.namespaces()["namespace_id"]

    counter = nd.DurableObjectNamespace("counter", class_name="MyCounter", sqlite=True)
    nd.Worker("w", script=COUNTING.format(name="MyCounter", binding="COUNTER"), bindings={"COUNTER": counter})
    plan = session.plan()
    (migration,) = plan.migrations.to_dict("records")
    assert (migration["from_class"], migration["to_class"], migration["namespace_id"]) == (
        "Counter",
        "MyCounter",
        before,
    )
    assert not plan.df["destructive"].any()
    session.deploy(plan)
    assert session.fetch("w").text == "2"
    (row,) = session.namespaces().to_dict("records")
    assert (row["namespace_id"], row["class_name"]) == (before, "MyCounter")


def test_the_stable_id_cannot_be_renamed(cloud: Path) -> None:
    """Another id for the same class is refused with both ids and the choices; nothing is sent."""
    session = nd.session("app")
    script = COUNTING.format(name="Counter", binding="COUNTER")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("w", script=script, bindings={"COUNTER": counter})
    session.deploy(session.plan())
    session.fetch("w")

    session.forget("namespace", "counter")
    tally = nd.DurableObjectNamespace("tally", class_name="Counter")
    nd.Worker("w", script=script, bindings={"COUNTER": tally})
    plan = session.plan()
    text = " ".join([plan.refusals[0].message, *plan.refusals[0].choices])
    for word in ("counter", "tally", "renamed_from", "keep", "destroy"):
        assert word in text, text
    with pytest.raises(nd.PlanRefused):
        session.deploy(plan)
    assert session.fetch("w").text == "2"


@pytest.mark.parametrize("client_first", [False, True])
def test_cross_script_method_1_reexported_binding(cloud: Path, client_first: bool) -> None:  # noqa: FBT001
    """`host.bindings.SHARED_COUNTER` in another Worker reaches the host's objects, in whatever order declared."""
    session = nd.session("shared")
    shared = nd.DurableObjectNamespace("shared-counter", class_name="SharedCounter", sqlite=True)
    host = nd.Worker(
        "Host".lower(),
        script=COUNTING.format(name="SharedCounter", binding="SHARED_COUNTER"),
        bindings={"SHARED_COUNTER": shared},
    )
    client = nd.Worker(
        "client",
        script=CLIENT.format(binding="SHARED_COUNTER"),
        bindings={"SHARED_COUNTER": host.bindings.SHARED_COUNTER},
    )
    if client_first:
        session = nd.session("shared-reversed")
        session.declare(client)
        session.declare(host, shared)
    result = session.deploy(session.plan())
    assert [result["host"].fetch("/").text, result["client"].fetch("/").text] == ["1", "2"]


@pytest.mark.parametrize("client_first", [False, True])
def test_cross_script_method_2_script_name(cloud: Path, client_first: bool) -> None:  # noqa: FBT001
    """`script_name` names the host: the same namespace in both Workers, hosted by the one of that name."""
    session = nd.session("shared")
    host_worker_name = "host"
    durable_object = nd.DurableObjectNamespace(
        "shared-counter", class_name="SharedCounter", script_name=host_worker_name, sqlite=True
    )
    host = nd.Worker(
        "host",
        name=host_worker_name,
        script=COUNTING.format(name="SharedCounter", binding="SHARED_COUNTER"),
        bindings={"SHARED_COUNTER": durable_object},
    )
    client = nd.Worker(
        "client", script=CLIENT.format(binding="SHARED_COUNTER"), bindings={"SHARED_COUNTER": durable_object}
    )
    if client_first:
        session = nd.session("shared-reversed")
        session.declare(client)
        session.declare(host, durable_object)
    plan = session.plan()
    assert len(plan.migrations) == 1
    result = session.deploy(plan)
    assert [result["host"].fetch("/").text, result["client"].fetch("/").text] == ["1", "2"]
