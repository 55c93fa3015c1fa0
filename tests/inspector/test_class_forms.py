"""A host answers the same with the modules of `inspect=True` as without, whatever form its classes have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import notebook_do as nd
from notebook_do.bridge import bridge
from notebook_do.live.ways import way_to

if TYPE_CHECKING:
    from notebook_do.local.process.launch import LocalTarget

NAMES = "Plain Legacy Private Blocked Mixed Aliased Returns Shadow Frozen Same Derived Own Reexported Mute"
FORMS = {name.lower(): name for name in NAMES.split()}
"""Stable ID -> class."""
REEXPORTED = """import { DurableObject } from "cloudflare:workers";
class Reexported extends DurableObject { get() { return this.constructor.name; } }
export { Reexported };
"""


def deploy(*, inspect: Any) -> nd.Session:
    """Deploy a Worker with a namespace of each form."""
    session = nd.session("forms", target="cloudflare")
    bound = {
        id_.upper(): nd.DurableObjectNamespace(id_, class_name=name, inspect=inspect) for id_, name in FORMS.items()
    }
    main = nd.Module(name="forms.js", content=Path(__file__).with_name("class_forms.js").read_bytes())
    nd.Worker("forms", modules=[main, nd.Module(name="reexported.js", content=REEXPORTED.encode())], bindings=bound)
    session.deploy(session.plan())
    return session


def answers(session: nd.Session, name: str) -> dict[str, Any]:
    """Ask each form by the host's own fetch."""
    asked = {id_: [id_.upper(), name] for id_ in (*FORMS, "entry")}
    return {id_: session.fetch("forms", method="POST", json=body).json() for id_, body in asked.items()}


def asked(session: nd.Session, stable_id: str, **op: Any) -> str:
    """Ask one object through the inspector, and give what became of it."""

    async def ask() -> Any:
        connection = await session._connect()
        async with connection.client() as client:
            way = await way_to(connection, client, session.recorded(), stable_id)
            (outcome,) = await way.ask([{"object": {"name": "one"}, **op}])
            return outcome

    outcome = bridge.run(ask())
    return str(getattr(outcome, "value", None) or getattr(outcome, "why", outcome))


def test_every_form_answers_the_same(far: LocalTarget) -> None:
    """Fourteen forms: the same answers; and each is looked into, or says why it cannot be."""
    del far
    before = answers(deploy(inspect=False), "one")
    session = deploy(inspect=True)
    assert answers(session, "two") == before
    assert before["plain"] == ["Plain", True, ["ctx", "env"], []]
    seen = {id_: asked(session, id_, op="info") for id_ in FORMS}
    for id_ in ("plain", "private", "blocked", "mixed", "aliased", "returns", "derived", "own", "reexported", "legacy"):
        assert "'sockets': []" in seen[id_], id_
    assert "keeps something else in `this.ctx`" in seen["shadow"]
    assert (
        "cannot be looked into: it runs code of before the last deploy (for some minutes), is frozen" in seen["frozen"]
    )
    assert "has no fetch(), so that nothing reaches its objects" in seen["mute"]
    assert asked(session, "derived", op="call", method="more", args=[]) == "more"
    assert asked(session, "legacy", op="get", key="n") == "1"
