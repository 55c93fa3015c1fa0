"""Plans of more than one upload, carried out by the real deployer on the local Cloudflare with real workerd.

Each namespace holds a value before, and its own class must give it back afterwards; after every deploy the next plan is
empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

import notebook_do as nd
import notebook_do.sessions.opening as session_module

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.model import Namespace
    from notebook_do.plan.plan import Plan

Form = Literal["exports", "migrations"]
FORMS: tuple[Form, ...] = ("exports", "migrations")
ONE_FORM = [FORMS[0], pytest.param(FORMS[1], marks=pytest.mark.thorough)]
OTHER_FORM = [pytest.param(FORMS[0], marks=pytest.mark.thorough), FORMS[1]]
"""Where the form changes little of a story, each is told in one of them by default."""


def source(**classes: str) -> str:
    """Write a Worker whose classes, each with its kind of greeting, keep the name of who came first."""
    lines = ['import { DurableObject } from "cloudflare:workers";']
    for name, kind in classes.items():
        lines.append(
            f"export class {name} extends DurableObject {{\n"
            "  async first(name) {\n"
            '    const first = (await this.ctx.storage.get("first")) ?? name;\n'
            '    await this.ctx.storage.put("first", first);\n'
            f"    return `{kind}:${{first}}`;\n"
            "  }\n}"
        )
    lines.append(
        "export default {\n"
        "  async fetch(request, env) {\n"
        '    const [, binding, name] = new URL(request.url).pathname.split("/");\n'
        '    return new Response(await env[binding].getByName("one").first(name));\n'
        "  },\n};\n"
    )
    return "\n".join(lines)


def namespace(id_: str, class_name: str, **options: object) -> Namespace:
    """Declare a namespace."""
    return nd.DurableObjectNamespace(id_, class_name=class_name, **options)  # type: ignore[arg-type]


def deploy(confirm: bool = False, destroy: tuple[str, ...] = ()) -> Plan:  # noqa: FBT001, FBT002
    """Plan and deploy what is declared; afterwards nothing is left to do."""
    session = nd.current()
    plan = session.plan(destroy)
    assert [r.message for r in plan.refusals] == []
    session.deploy(plan, confirm=[c.phrase for c in plan.consents] if confirm else ())
    if not destroy:
        again = session.plan()
        assert [s.summary for s in again.steps] == []
        assert [c.detail for c in again.drift] == []
    return plan


def ask(worker: str, binding: str, name: str) -> str:
    """Ask a namespace, through a binding of a Worker, who came first."""
    return nd.current().fetch(worker, f"/{binding}/{name}").text


def ids() -> dict[str, str]:
    """Give the recorded namespace ids."""
    return {n.stable_id: n.namespace_id for n in nd.current().recorded().namespaces}


def pair(form: Form, x: str, y: str) -> None:
    """Declare the namespaces x and y of one Worker."""
    bindings = {"X": namespace("x", x, script_name="api"), "Y": namespace("y", y, script_name="api")}
    nd.Worker("api", script=source(**{x: "x", y: "y"}), bindings=bindings, lifecycle=form)


@pytest.mark.parametrize("form", ONE_FORM)
def test_swap_then_chain(cloud: Path, form: Form) -> None:
    """Two classes swap their names, then move on in a chain: data and code stay with their stable ID."""
    nd.session("app")
    pair(form, "A", "B")
    deploy()
    before = ids()
    assert [ask("api", "X", "ada"), ask("api", "Y", "bob")] == ["x:ada", "y:bob"]
    pair(form, "B", "A")
    assert len(deploy().migration_rows) == 3
    assert [ask("api", "X", "eve"), ask("api", "Y", "eve")] == ["x:ada", "y:bob"]
    pair(form, "C", "B")
    assert len(deploy().migration_rows) == 2
    assert [ask("api", "X", "eve"), ask("api", "Y", "eve")] == ["x:ada", "y:bob"]
    assert ids() == before
    assert {n.stable_id: n.class_history for n in nd.current().recorded().namespaces} == {
        "x": ("A", "B", "C"),
        "y": ("B", "A", "B"),
    }


@pytest.mark.parametrize("form", OTHER_FORM)
def test_transfer_with_a_client(cloud: Path, form: Form) -> None:
    """A namespace moves to a new Worker; the old host and a client go on with it, and its objects are there."""
    nd.session("app")
    api = nd.Worker("api", script=source(A="a"), bindings={"A": namespace("a", "A")}, lifecycle=form)
    nd.Worker("client", script=source(), bindings={"FAR": api.bindings.A})
    deploy()
    before = ids()
    assert ask("client", "FAR", "ada") == "a:ada"
    moved = namespace("a", "A", script_name="store", transferred_from="api")
    nd.Worker("api", script=source(), bindings={"A": moved}, lifecycle=form)
    nd.Worker("store", script=source(A="moved"), bindings={"A": moved})
    nd.Worker("client", script=source(), bindings={"FAR": moved})
    deploy()
    assert ids() == before
    assert [ask(w, b, "eve") for w, b in (("api", "A"), ("store", "A"), ("client", "FAR"))] == ["moved:ada"] * 3


@pytest.mark.parametrize("form", OTHER_FORM)
def test_a_freed_name_is_taken(cloud: Path, form: Form) -> None:
    """One namespace leaves its class name, a new one takes it in the same plan and begins empty."""
    nd.session("app")
    nd.Worker("api", script=source(A="x"), bindings={"X": namespace("x", "A")}, lifecycle=form)
    deploy()
    assert ask("api", "X", "ada") == "x:ada"
    pair(form, "B", "A")
    deploy()
    assert [ask("api", "X", "eve"), ask("api", "Y", "eve")] == ["x:ada", "y:eve"]


@pytest.mark.parametrize("form", ONE_FORM)
def test_destroy_one_of_two(cloud: Path, form: Form) -> None:
    """One namespace is unbound and destroyed with its phrase; the other one of the same Worker keeps its objects."""
    session = nd.session("app")
    pair(form, "A", "B")
    deploy()
    assert [ask("api", "X", "ada"), ask("api", "Y", "bob")] == ["x:ada", "y:bob"]
    namespace("x", "A", script_name="api", protect=False)
    keep = namespace("y", "B", script_name="api")
    nd.Worker("api", script=source(B="y"), bindings={"Y": keep}, lifecycle=form)
    with pytest.raises(nd.ConsentRequired):
        session.deploy(session.plan(["x"]))
    deploy(confirm=True, destroy=("x",))
    assert session.plan().empty
    assert set(ids()) == {"y"}
    assert ask("api", "Y", "eve") == "y:bob"


def test_conversion_with_a_rename(cloud: Path) -> None:
    """A Worker is switched to `exports` and its class renamed in one plan of two uploads; its objects stay."""
    nd.session("app")
    nd.Worker("api", script=source(A="a"), bindings={"A": namespace("a", "A")}, lifecycle="migrations")
    deploy()
    assert ask("api", "A", "ada") == "a:ada"
    nd.Worker("api", script=source(B="a"), bindings={"A": namespace("a", "B")}, lifecycle="exports")
    plan = deploy()
    assert [r["wire"] for r in plan.migration_rows] == ["exports"]
    assert ask("api", "A", "eve") == "a:ada"


def test_hosts_of_each_other(cloud: Path) -> None:
    """Two new Workers bind each other's namespace: one is uploaded twice, and both reach both."""
    nd.session("app")
    a, b = namespace("a", "A", script_name="one"), namespace("b", "B", script_name="two")
    nd.Worker("one", script=source(A="a"), bindings={"A": a, "B": b})
    nd.Worker("two", script=source(B="b"), bindings={"A": a, "B": b})
    deploy()
    assert [ask("one", "A", "ada"), ask("one", "B", "bob")] == ["a:ada", "b:bob"]
    assert [ask("two", "A", "eve"), ask("two", "B", "eve")] == ["a:ada", "b:bob"]


def test_f15_a_binder_in_another_session(cloud: Path) -> None:
    """F15: a Worker of another session that binds a namespace is found in the account, and named."""
    nd.session("other")
    nd.Worker("api", name="api", script=source(A="a"), bindings={"A": namespace("a", "A", protect=False)})
    deploy()
    nd.session("theirs")
    nd.Worker("far", name="far", script=source(), bindings={"FAR": namespace("a", "A", script_name="api")})
    deploy()
    session = nd.session("other")
    nd.Worker("api", name="api", script=source(A="a"), bindings={"A": namespace("a", "A", protect=False)})
    (refusal,) = session.plan(["api"]).refusals
    assert refusal.code == "still-bound"
    assert "FAR of Worker far" in refusal.message


def test_lost_state_file(cloud: Path) -> None:
    """Without the state file our mark on the live Worker gives the stable ID its namespace back."""
    session = nd.session("app")
    nd.Worker("api", script=source(A="a"), bindings={"A": namespace("a", "A")})
    deploy()
    before = ids()
    assert ask("api", "A", "ada") == "a:ada"
    session.close()
    for path in session.state_path.parent.iterdir():
        if path.is_file():
            path.unlink()
    session_module._current = None  # as in a new kernel
    nd.session("app")
    nd.Worker("api", script=source(B="a"), bindings={"A": namespace("a", "B")})
    deploy()
    assert ids() == before
    assert ask("api", "A", "eve") == "a:ada"


HEAD = 'import { DurableObject } from "cloudflare:workers";\n'
FETCH = "export default { fetch() { return new Response('ok') } };\n"
EXPORTED = {
    "declaration": "export class Room extends DurableObject {}",
    "list": "class Room extends DurableObject {}\nexport { Room };",
    "alias": "class Other extends DurableObject {}\nexport { Other as Room };",
    "string-alias": 'class Other extends DurableObject {}\nexport { Other as "Room" };',
    "constant": "export const Room = class extends DurableObject {};",
    "variable": "export let Room = class Named extends DurableObject {};",
    "destructured": "export const { Room } = { Room: class extends DurableObject {} };",
    "computed": "const make = () => class extends DurableObject {};\nexport const Room = make();",
    "grandchild": "class Base extends DurableObject {}\nexport class Room extends Base {}",
    "twice": "export class Room extends DurableObject {}\nexport { Room as Second };",
}
NOT_EXPORTED = {
    "missing": "",
    "not-exported": "class Room extends DurableObject {}",
    "misspelt": "export class Rooom extends DurableObject {}",
    "other-case": "export class room extends DurableObject {}",
    "as-another-name": "class Room extends DurableObject {}\nexport { Room as Chat };",
    "in-a-comment": "// export class Room extends DurableObject {}",
    "in-a-string": "const text = 'export class Room extends DurableObject {}';",
    "on-the-default-export": "FETCH.Room = 1;",
    "plain-value": "export const Room = 1;",
}


def test_f22_every_form_of_export(cloud: Path) -> None:
    """F22: a class is found in whatever way it is exported."""
    nd.session("app")
    for number, (form, text) in enumerate(EXPORTED.items()):
        room = namespace(f"room-{number}", "Room", script_name=form)
        nd.Worker(form, script=f"{HEAD}{text}\n{FETCH}", bindings={"ROOM": room})
    plan = deploy()
    assert len(plan.migration_rows) == len(EXPORTED)


@pytest.mark.parametrize("form", NOT_EXPORTED)
def test_f22_a_class_that_is_not_exported(cloud: Path, form: str) -> None:
    """F22: a class that is missing, misspelt or hidden is one line that names it; nothing begins."""
    session = nd.session("app")
    text = NOT_EXPORTED[form].replace("FETCH", "globalThis")
    nd.Worker("api", script=f"{HEAD}{text}\n{FETCH}", bindings={"ROOM": namespace("room", "Room")})
    with pytest.raises(nd.DurableError, match="Room") as caught:
        session.deploy(session.plan())
    assert "\n" not in str(caught.value)
    assert ids() == {}
