"""What the local Cloudflare does not serve: a Worker that binds it runs, the use throws, the plan warns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.local.runtime.bindings import unsupported
from notebook_do.model import BINDING_TYPES, RESOURCE_TYPES, Observed, Recorded
from notebook_do.plan.build import build_plan

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.model import Target
    from notebook_do.plan.plan import Plan

FILLED = {"string": "x", "object": {"limit": 1, "period": 10}}
USES = """
const use = async (name, binding) => {
  const said = [];
  const act = async (how) => {
    try { await how(); said.push("nothing"); } catch (error) { said.push(error.message); }
  };
  await act(() => binding.fetch("http://x/"));
  await act(() => binding.run("model", {}).then(() => 0));
  await act(() => binding.connectionString);
  await act(() => { binding.value = 1; });
  return said;
};
export default {
  async fetch(request, env) {
    const found = Object.entries(env).filter(([, v]) => v && typeof v === "object" && "idFromName" in v);
    if (found.length || JSON.stringify(env) === undefined) throw new Error("looking is no use");
    await Promise.all(Object.values(env));
    console.log(env);
    const said = {};
    for (const name of Object.keys(env).filter((n) => n !== "TEXT")) said[name] = await use(name, env[name]);
    return Response.json({ said, text: env.TEXT });
  },
};
"""


def _resource(kind: str) -> nd.Resource:
    """Return the smallest binding of a type, as if nobody here knew more of it."""
    row = BINDING_TYPES.get(kind)
    required = {name: FILLED[takes] for name, takes in row.required.items()} if row else {}
    chosen = {row.one_of[0]: "x"} if row and row.one_of else {}
    return nd.Resource(type=kind, fields=nd.Json({**required, **chosen}))


# What is a part of the upload (a Wasm module) needs that part, and is tested where parts are.
LACKING = sorted(
    kind
    for kind, row in BINDING_TYPES.items()
    if row.only_wrangler or (row.not_local and kind in RESOURCE_TYPES and "part" not in row.required)
)
FOREIGN = nd.Resource(
    type="durable_object_namespace",
    fields=nd.Json({"class_name": "Room", "script_name": "customer", "dispatch_namespace": "all"}),
)


def test_a_binding_that_is_not_served_throws_one_clear_error_when_it_is_used(cloud: Path) -> None:
    """Every such type, a type of tomorrow too: the deploy is taken, a look is no use, and a use names what to do."""
    kinds = {f"B{n}": _resource(kind) for n, kind in enumerate([*LACKING, "teleporter"])}
    session = nd.session("app")
    nd.Worker("api", script=USES, bindings={**kinds, "B99": FOREIGN, "TEXT": "runs"})
    answer = session.deploy(session.plan())["api"].fetch("/").json()
    assert answer["text"] == "runs"
    assert len(answer["said"]) == len(LACKING) + 2
    for name, said in answer["said"].items():
        kind = FOREIGN.type if name == "B99" else kinds[name].type
        expected = unsupported({"name": name, "type": kind, "dispatch_namespace": "all"})
        assert expected is not None
        assert f"binding type {kind}" in expected or kind == FOREIGN.type
        assert said == [expected] * 4, kind
    assert session.plan().empty


def test_an_object_meets_the_same_error(cloud: Path) -> None:
    """The stand-in is in the `env` of an object too, and the rest of the object works."""
    source = """
    import { DurableObject } from "cloudflare:workers";
    export class Room extends DurableObject {
      async ask() {
        await this.ctx.storage.put("asked", 1);
        try { return await this.env.AI.run("m"); } catch (error) { return error.message; }
      }
    }
    export default { async fetch(r, env) { return new Response(await env.ROOMS.getByName("a").ask()); } };
    """
    session = nd.session("app")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("api", script=source, bindings={"ROOMS": rooms, "AI": nd.AI()})
    result = session.deploy(session.plan())
    assert result["api"].fetch("/").text == (
        'binding "AI": Workers AI (binding type ai) is not served by the local runtime; deploy to Cloudflare to use it.'
    )


def _planned(session: nd.Session, target: Target) -> Plan:
    desired = session._planning.desired()
    observed = Observed(account_id="a" * 32, api_origin="http://127.0.0.1")
    new = Recorded(lineage="f" * 32)
    return build_plan(desired, new, observed, target=target, default_compatibility_date="2026-01-01")


def test_the_plan_warns_by_name_once_and_only_for_the_local_target(home: Path) -> None:
    """One line for each Worker, with its bindings by name and what they are; nothing of it for Cloudflare."""
    session = nd.session("app")
    script = "export default { fetch() {} };"
    more = {"KV": nd.KV("a" * 32), "TEXT": "t", "X": nd.Resource(type="teleporter", fields=nd.Json({}))}
    nd.Worker("api", script=script, bindings={"AI": nd.AI(), "DB": nd.Hyperdrive("h"), **more})
    nd.Worker("one", script=script, bindings={"BROWSER": nd.Browser()})
    nd.Worker("none", script=script, bindings={"KV": nd.KV("a" * 32)})
    tail = "not served locally: the Worker runs, and each use throws an error that says so; deploy to Cloudflare to use"
    names = "AI (Workers AI), DB (Hyperdrive), X (binding type teleporter)"
    assert _planned(session, "local").warnings == (
        f"Worker api-dev: these bindings are {tail} {names}.",
        f"Worker one-dev: this binding is {tail} BROWSER (Browser Rendering).",
    )
    assert _planned(session, "cloudflare").warnings == ()


BOX = """
import { DurableObject } from "cloudflare:workers";
export class Box extends DurableObject {
  async look() { return [typeof this.ctx.container, await this.ctx.storage.get("k") ?? "none"].join(); }
}
export default { async fetch(r, env) { return new Response(await env.BOX.getByName("a").look()); } };
"""
WITHOUT = (
    "Worker api-dev: Box runs here without a container, ctx.container is undefined: its image runs on Cloudflare only, "
    "where wrangler builds and pushes it; deploy this Worker with wrangler to use it."
)


def test_a_class_with_a_container_runs_and_plan_and_result_say_why_without(cloud: Path) -> None:
    """`ctx.container` is undefined; the warning of the plan stands in the result as well."""
    session = nd.session("app")
    box = nd.DurableObjectNamespace("box", class_name="Box")
    nd.Worker("api", script=BOX, bindings={"BOX": box}, containers=["Box"])
    plan = session.plan()
    assert WITHOUT in plan.warnings
    assert WITHOUT not in plan.notes
    result = session.deploy(plan)
    assert WITHOUT in result.notes
    assert result["api"].fetch("/").text == "undefined,none"
    assert session.plan().empty
    # For Cloudflare the plan says what it does not send.
    (said,) = _planned(session, "cloudflare").warnings
    assert said.startswith("Worker api-dev: Box has a container, which only wrangler deploys")
    assert "deploy this Worker with wrangler" in said


@pytest.mark.parametrize(
    ("given", "problem"),
    [([{"class_name": "Box"}], "containers must be a list of class names"), (["my box"], "which 'my box' cannot be")],
)
def test_containers_are_named_by_class(home: Path, given: Any, problem: str) -> None:
    """Tables as wrangler has them, with an image, and what is no class are refused with a line."""
    session = nd.session("app")
    with pytest.raises(nd.DeclarationError, match=problem):
        session.declare(nd.Worker("api", script=BOX, containers=given))


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("nope", "No such compatibility flag: nope; correct it, leave it out"),
        ("r2_binding_jsrpc", "compatibility flag r2_binding_jsrpc cannot be honoured by the local runtime, because"),
    ],
)
def test_a_flag_that_cannot_be_honoured_is_refused_by_name(cloud: Path, flag: str, said: str) -> None:
    """In one line, with what to do; nothing is deployed."""
    session = nd.session("app")
    nd.Worker("api", script="export default { fetch() {} };", compatibility_flags=[flag])
    with pytest.raises(nd.DurableError) as caught:
        session.deploy(session.plan())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert session.plan().steps
