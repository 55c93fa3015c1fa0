"""What `inspect` of a namespace comes to in a plan: the rows, the order of the steps, and what it never touches.

The plans are carried out on the reference model, which refuses what Cloudflare refuses and knows which class each
namespace runs.
"""

from __future__ import annotations

import pytest
from plan_world import ACCOUNT, Book, World, body, words

from notebook_do.model import ClassBinding
from notebook_do.model.steps import DeleteScript, Upload
from notebook_do.plan.build import build_plan
from notebook_do.plan.plan import Action, Plan
from notebook_do.sessions.inspectors import with_inspectors
from notebook_do.sources.bundle import reader

KEY = "A" * 43 + "="


class Keys:
    """One public key for every inspector."""

    def of(self, *known: object) -> str:
        """Give it."""
        del known
        return KEY


class FarBook(Book):
    """A notebook of a session on Cloudflare."""

    def plan(self, *destroy: str) -> Plan:
        """Plan what is declared, with its inspectors."""
        desired = self.catalog.desired("s", "production", read=reader(), destroy=destroy)
        desired = with_inspectors(desired, self.world.recorded, ACCOUNT, Keys())  # type: ignore[arg-type]
        given = {"target": "cloudflare", "default_compatibility_date": "2026-01-01"}
        return build_plan(desired, self.world.recorded, self.world.observed(), **given)  # type: ignore[arg-type]

    def chat(self, rooms: str = "", lobby: str = "", **classes: str) -> None:
        """Declare the Worker chat with two namespaces; `rooms` and `lobby` are more words of their lines."""
        names = {stable_id: name for name, stable_id in (classes or {"Room": "rooms", "Lobby": "lobby"}).items()}
        self.cell(f"namespace rooms --class {names['rooms']} --script chat {rooms}")
        self.cell(f"namespace lobby --class {names['lobby']} --script chat {lobby}")
        source = body(**{name: stable_id for stable_id, name in names.items()})
        self.cell("worker chat --no-url --bind ROOMS=rooms --bind LOBBY=lobby", source)


def deployed(rooms: str = "", lobby: str = "") -> FarBook:
    """Give a notebook whose Worker is deployed so."""
    book = FarBook(World())
    book.chat(rooms, lobby)
    book.deploy()
    assert book.plan().empty
    return book


def rows(plan: Plan) -> list[tuple[str, str, str]]:
    """Give the rows of a plan about `inspect`: what it was, what it becomes, and the sentence."""
    return [(c.before, c.after, c.detail) for c in plan.changes if c.field == "inspect"]


def uploads(plan: Plan, script: str) -> list[Upload]:
    """Give the uploads of one script."""
    return [step for step in plan.steps if isinstance(step, Upload) and step.script_name == script]


def test_calls_are_an_inspector_alone() -> None:
    """`inspect="calls"` sends one Worker more, which is shown like any; the host is not uploaded."""
    book = deployed()
    book.cell("namespace rooms --class Room --script chat --inspect calls")
    plan = book.deploy()
    assert words(plan) == ["create chat-inspector", "open the URL of Worker chat-inspector, previews off"]
    assert rows(plan) == [("off", "calls", "Objects of rooms can be called from here, over Worker chat-inspector.")]
    created = [c.id for c in plan.changes if c.kind == "worker" and c.action is Action.CREATE]
    assert created == ["chat-inspector"]
    (upload,) = uploads(plan, "chat-inspector")
    bound = [b for b in upload.bindings if isinstance(b, ClassBinding)]
    assert [(b.name, b.class_name, b.script_name) for b in bound] == [("NAMESPACE_rooms", "Room", "chat")]
    assert book.plan().empty


def test_looking_in_is_an_upload_of_the_host_that_is_shown() -> None:
    """`inspect=True` puts modules of ours before the host's own, which stay byte for byte; the plan says so."""
    book = deployed()
    before = {n.stable_id: n for n in book.world.recorded.namespaces}
    book.cell("namespace rooms --class Room --script chat --inspect")
    plan = book.deploy()
    said = (
        "Objects of rooms can be called and looked into from here, over Worker chat-inspector; modules of ours go up "
    )
    assert rows(plan) == [("off", "on", said + "beside those of chat.")]
    (host,) = uploads(plan, "chat")
    assert [m.name for m in host.modules][-1] == "index.js"
    assert host.modules[-1].content.decode() == body(Room="rooms", Lobby="lobby")
    assert host.main_module == host.modules[0].name == "notebook-do/host.js"
    assert host.migration is not None
    assert host.migration.class_migrations == ()
    assert {n.stable_id: n for n in book.world.recorded.namespaces} == before
    changes = {(c.kind, c.field) for c in plan.changes if c.worker == "chat" and c.action is not Action.NOOP}
    assert changes == {("code", "modules"), ("setting", "inspect")}


def test_what_cannot_be_looked_into_is_refused_wherever_it_stands() -> None:
    """Each namespace is asked by itself, also behind one that nobody wants to look into."""
    book = FarBook(World())
    book.cell("namespace lobby --class Lobby --script chat")
    book.cell("namespace rooms --class Room --script far --inspect")
    book.cell("worker chat --no-url --bind LOBBY=lobby", body(Lobby="lobby"))
    assert {("inspect-not-hosted", "rooms")} <= {(r.code, r.subject) for r in book.plan().refusals}


def test_taking_it_back_leaves_the_host_byte_equal() -> None:
    """Without `inspect` a plan deletes the inspector and uploads the host as it was, to the byte."""
    book = FarBook(World())
    book.chat()
    (first,) = uploads(book.deploy(), "chat")
    book.chat("--inspect", "--inspect calls")
    book.deploy()
    book.chat()
    plan = book.deploy()
    assert words(plan) == ["delete Worker chat-inspector", "upload chat"]
    assert rows(plan) == [
        ("calls", "off", "Objects of lobby can no longer be asked from here."),
        ("on", "off", "Objects of rooms can no longer be asked from here."),
    ]
    (last,) = uploads(plan, "chat")
    assert (last.main_module, last.modules, last.bindings) == (first.main_module, first.modules, first.bindings)
    assert book.plan().empty
    assert [w.id for w in book.world.recorded.workers] == ["chat"]


def test_what_is_not_declared_now_keeps_its_inspector() -> None:
    """A kernel that has run only some cells takes nothing away: neither the inspector nor what it reaches."""
    book = deployed("--inspect calls", "--inspect calls")
    again = FarBook(book.world)
    again.cell("namespace lobby --class Lobby --script chat --inspect calls")
    again.cell("worker chat --no-url --bind LOBBY=lobby", body(Room="rooms", Lobby="lobby"))
    plan = again.plan()
    assert not rows(plan)
    assert not uploads(plan, "chat-inspector")
    other = FarBook(book.world)
    other.cell("worker elsewhere --no-url", "export default {};\n")
    plan = other.plan()
    assert not any(isinstance(step, DeleteScript) for step in plan.steps)
    assert "Worker chat-inspector is live and not declared in this session; it is kept." in {
        c.detail for c in plan.changes
    }


@pytest.mark.parametrize("how", ["", "--inspect calls", "--inspect"])
@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_a_rename_and_a_swap_keep_the_ids(how: str, form: str) -> None:
    """With an inspector and without, the classes are renamed by the same migrations, and every id stays."""
    moved = []
    for inspected in ("", how):
        book = FarBook(World())
        book.chat(inspected)
        book.cell(
            f"worker chat --no-url --lifecycle {form} --bind ROOMS=rooms --bind LOBBY=lobby",
            body(Room="rooms", Lobby="lobby"),
        )
        book.deploy()
        ids = book.world.identities()
        for classes in ({"Hall": "rooms", "Lobby": "lobby"}, {"Lobby": "rooms", "Hall": "lobby"}):
            book.chat(inspected, **classes)
            book.cell(f"worker chat --no-url --lifecycle {form} --bind ROOMS=rooms --bind LOBBY=lobby", body(**classes))
            plan = book.deploy()
            moved.append([s.migration.class_migrations for s in uploads(plan, "chat") if s.migration])
            assert book.world.identities() == ids
            assert book.plan().empty
    assert moved[:2] == moved[2:]


@pytest.mark.parametrize("how", ["--inspect calls", "--inspect"])
def test_a_namespace_is_destroyed_with_its_inspector(how: str) -> None:
    """What an inspector reaches can be destroyed in one plan: it is deleted first, or uploaded without it first."""
    for lobby, first in (("", "delete Worker chat-inspector"), (how, "upload chat-inspector")):
        book = deployed(f"{how} --unprotect", lobby)
        book.cell("worker chat --no-url --bind LOBBY=lobby", body(Lobby="lobby"))
        said = words(book.deploy("rooms"))
        assert said.index(first) < next(at for at, step in enumerate(said) if "delete Room" in step)
    book = deployed(f"{how} --unprotect", f"{how} --unprotect")
    assert [step.script_name for step in book.deploy("worker:chat").steps] == ["chat-inspector", "chat"]


@pytest.mark.parametrize("how", ["--inspect calls", "--inspect"])
def test_a_namespace_that_moves_takes_its_inspection_along(how: str) -> None:
    """The inspector of the old host is deleted, that of the new one made; the namespace keeps its id."""
    book = FarBook(World())
    book.cell(f"namespace rooms --class Room --script chat {how}")
    book.cell("worker chat --no-url --bind ROOMS=rooms", body(Room="rooms"))
    book.cell("worker hub --no-url", "export default {};\n")
    book.deploy()
    id_ = book.namespace_id("rooms")
    book.cell(f"namespace rooms --class Room --script hub --transferred-from chat {how}")
    book.cell("worker chat --no-url", "export default {};\n")
    book.cell("worker hub --no-url --bind ROOMS=rooms", body(Room="rooms"))
    plan = book.deploy()
    assert "delete Worker chat-inspector" in words(plan)
    assert "create hub-inspector" in words(plan)
    assert book.namespace_id("rooms") == id_
    assert book.plan().empty


def test_a_renamed_stable_id_keeps_its_inspection() -> None:
    """The inspector reaches the namespace by its new stable ID."""
    book = deployed("--inspect calls")
    del book.catalog._namespaces["rooms"]
    book.cell("namespace halls --class Room --script chat --renamed-from rooms --inspect calls")
    book.cell("worker chat --no-url --bind ROOMS=halls --bind LOBBY=lobby", body(Room="halls", Lobby="lobby"))
    (upload,) = uploads(book.deploy(), "chat-inspector")
    assert [b.name for b in upload.bindings if isinstance(b, ClassBinding)] == ["NAMESPACE_halls"]
    assert book.plan().empty
