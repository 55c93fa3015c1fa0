"""The known ways in which planning loses data or gets stuck, F01 to F29: each must be planned safely or refused.

Cells are declared, plans are carried out on the reference model, which fails on an illegal request and whenever a
namespace would run another one's class.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from plan_world import Book, body, words

from notebook_do.cloudflare.lifecycle import encode_migration
from notebook_do.errors import DeclarationError
from notebook_do.model.steps import DeleteScript, Upload
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

FORMS = ("exports", "migrations")


def counter_book(form: str = "exports") -> Book:
    """Deploy one Worker with one namespace."""
    book = Book()
    book.cell("namespace counter --class Counter")
    book.cell(f"worker api --bind COUNTER=counter --lifecycle {form} --no-url", body(Counter="counter"))
    book.deploy()
    return book


def wire(plan: Plan) -> list[dict[str, object]]:
    """Give what goes over the wire for the class migrations of each upload."""
    uploads = [s for s in plan.steps if isinstance(s, Upload)]
    return [encode_migration(u.migration) if u.migration else {} for u in uploads]


@pytest.mark.parametrize("form", FORMS)
def test_f01_class_renamed(form: str) -> None:
    """F01: a class renamed under its stable ID is one rename with the namespace id; nothing is created or deleted."""
    book = counter_book(form)
    before = book.namespace_id("counter")
    book.cell("namespace counter --class Tally")
    book.cell(f"worker api --bind COUNTER=counter --lifecycle {form} --no-url", body(Tally="counter"))
    plan = book.deploy()
    assert words(plan) == ["upload api, rename Counter to Tally"]
    assert [(r["step"], r["namespace_id"]) for r in plan.migration_rows] == [("rename", before)]
    text = str(wire(plan))
    assert "deleted" not in text
    assert "new_" not in text.replace("new_tag", "")
    assert book.namespace_id("counter") == before
    assert book.plan().empty


def test_f02_class_and_stable_id_changed_together() -> None:
    """F02: a new stable ID beside one that is missing is refused, with both ids and the three choices."""
    book = counter_book()
    book.catalog.forget("namespace", "counter")
    book.cell("namespace tally --class Tally")
    book.cell("worker api --bind COUNTER=tally --no-url", body(Tally="tally"))
    refusal = book.refused()["ambiguous-rename"]
    assert "counter" in refusal.message
    assert "tally" in refusal.message
    choices = " ".join(refusal.choices)
    assert "--renamed-from counter" in choices
    assert "%durable namespace counter --class Counter --script api" in choices
    assert "destroy counter" in choices


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ids", [("count", "tally"), ("tally", "count")])
def test_f02_two_stable_ids_do_not_take_over_from_one(form: str, ids: tuple[str, str]) -> None:
    """F02: where two declarations are renamed from one, the namespace is that of one at most; never of both."""
    book = counter_book(form)
    before = book.namespace_id("counter")
    book.catalog.forget("namespace", "counter")
    classes = dict(zip(ids, ("Counter", "Tally"), strict=True))
    for stable_id, class_name in classes.items():
        book.cell(f"namespace {stable_id} --class {class_name} --renamed-from counter")
    bound = " ".join(f"--bind {stable_id.upper()}={stable_id}" for stable_id in classes)
    source = body(**{class_name: stable_id for stable_id, class_name in classes.items()})
    book.cell(f"worker api {bound} --lifecycle {form} --no-url", source)
    refusal = book.refused()["namespace-claimed"]
    taken, other = sorted(classes)
    assert (refusal.subject, f"already belongs to the stable ID {taken}" in refusal.message) == (other, True)
    book.catalog.forget("namespace", other)
    book.cell(f"namespace {other} --class {classes[other]}")
    plan = book.plan()
    assert not plan.refusals
    book.deploy()
    assert (book.namespace_id(taken), book.namespace_id(other) != before) == (before, True)


def test_f02_a_move_of_what_is_not_known_here_says_that_it_begins_empty() -> None:
    """F02: whose objects are meant by a move is known by a stable ID only; the plan says that there are none."""
    book = counter_book()
    book.cell("namespace tally --class Tally --transferred-from api")
    book.cell("worker store --bind TALLY=tally --no-url", body(Tally="tally"))
    plan = book.plan()
    assert [str(warning) for warning in plan.warnings] == [
        "namespace tally: what transferred_from moves from api is not known here; tally begins empty."
    ]
    book.cell("namespace tally --class Tally --transferred-from gone")
    assert not book.plan().warnings, "a first deploy elsewhere: there is nothing to move"


def test_f03_missing_declaration_is_kept() -> None:
    """F03: a live namespace that nothing declares blocks the upload of its Worker; the refusal gives the cell."""
    book = Book()
    book.cell("namespace a --class A --script api")
    book.cell("namespace b --class B --script api")
    book.cell("worker api --bind A=a --no-url", body(A="a", B="b"))
    book.deploy()
    book.catalog.forget("namespace", "b")
    kept = book.plan()
    assert kept.empty
    assert not kept.refusals
    assert [c.action.value for c in kept.changes if c.id == "b"] == ["noop"]
    book.cell("worker api --bind A=a --no-url", body(A="a"))
    refusal = book.refused()["missing-declaration"]
    assert "%durable namespace b --class B --script api" in " ".join(refusal.choices)


def test_f04_no_deletion_without_an_explicit_destroy() -> None:
    """F04: no declaration, forgotten or emptied, deletes; a destroy needs protection lifted and a phrase of its own."""
    book = counter_book()
    book.cell("worker api --no-url", body())
    book.cell("namespace counter --class Counter --script api")
    assert "deleted" not in str(wire(book.plan()))
    assert set(book.refused("counter")) == {"protected"}
    book.cell("namespace counter --class Counter --script api --unprotect")
    plan = book.plan("counter")
    (consent,) = plan.consents
    assert consent.phrase == f"destroy counter {book.namespace_id('counter')[-8:]}"
    assert words(plan) == ["upload api", "upload api, delete Counter"]
    book.world.apply(plan)
    assert not book.world.account.spaces


@pytest.mark.parametrize("asked", [("api", "counter"), ("counter", "worker:api"), ("counter", "namespace:counter")])
def test_f04_what_is_destroyed_by_two_names_is_refused_once(asked: tuple[str, ...]) -> None:
    """F04: a protected namespace is one decision, though it is asked for by its own name and with its Worker."""
    refusals = counter_book().plan(*asked).refusals
    assert [r.subject for r in refusals if r.code == "protected"] == ["counter"]


@pytest.mark.parametrize(
    "line",
    [
        "namespace counter --class Counter",
        f"namespace counter --class Counter --script api --namespace-id {'a3' * 16} --inspect calls",
    ],
)
def test_f04_the_line_that_lifts_protection_keeps_all_options(line: str) -> None:
    """F04: what is offered is the whole declaration without its protection; nothing of it is lost by pasting it."""
    book = counter_book()
    line = line.replace("a3" * 16, book.namespace_id("counter"))
    book.cell(line)
    (offered,) = book.refused("api")["protected"].choices
    pasted = offered.partition("%durable ")[2]
    assert sorted(shlex.split(pasted)) == sorted([*shlex.split(line), "--unprotect"])
    before = book.catalog.namespaces["counter"]
    book.cell(pasted)
    assert book.catalog.namespaces["counter"] == replace(before, protect=False)
    assert [consent.stable_id for consent in book.plan("api").consents] == ["counter"]


def test_f04_what_is_not_declared_any_more_is_offered_with_its_host() -> None:
    """F04: without a declaration the line has what is live, and declares that."""
    book = counter_book()
    book.catalog.forget("namespace", "counter")
    book.cell("worker api --no-url", body(Counter="counter"))
    (offered,) = book.refused("counter")["protected"].choices
    assert offered.endswith(": %durable namespace counter --class Counter --script api --unprotect")


def test_f05_a_changed_plan_has_another_digest() -> None:
    """F05: what was confirmed for one namespace does not cover a plan that also destroys another."""
    book = Book()
    book.cell("namespace x --class X --script api --unprotect")
    book.cell("namespace y --class Y --script api --unprotect")
    book.cell("worker api --no-url", body(X="x", Y="y"))
    book.deploy()
    book.cell("worker api --no-url", body(Y="y"))
    first, second = book.plan("x"), book.plan("x", "y")
    assert first.digest != second.digest
    assert {c.phrase for c in second.consents} > {c.phrase for c in first.consents}
    assert first.digest == book.plan("x").digest


@pytest.mark.parametrize("form", FORMS)
def test_f06_renamed_twice_before_a_deploy(form: str) -> None:
    """F06: A to B to C, never deployed as B, is one rename from the live name."""
    book = counter_book(form)
    for name in ("Middle", "Last"):
        book.cell(f"namespace counter --class {name}")
        book.cell(f"worker api --bind COUNTER=counter --lifecycle {form} --no-url", body(**{name: "counter"}))
    assert words(book.deploy()) == ["upload api, rename Counter to Last"]


def two(book: Book, form: str, first: str, second: str) -> None:
    """Declare two namespaces of one Worker."""
    book.cell(f"namespace x --class {first} --script api")
    book.cell(f"namespace y --class {second} --script api")
    book.cell(f"worker api --bind X=x --bind Y=y --lifecycle {form} --no-url", body(**{first: "x", second: "y"}))


@pytest.mark.parametrize("form", FORMS)
def test_f07_chain(form: str) -> None:
    """F07: A to B while B goes to C: B is freed first, then taken, each in an upload of its own."""
    book = Book()
    two(book, form, "A", "B")
    book.deploy()
    ids = book.world.identities()
    two(book, form, "B", "C")
    assert words(book.deploy()) == ["upload api, rename B to C", "upload api, rename A to B"]
    assert book.world.identities() == ids


@pytest.mark.parametrize("form", FORMS)
def test_f08_swap(form: str) -> None:
    """F08: two classes that change names go over a temporary one; each namespace runs its own class all the time."""
    book = Book()
    two(book, form, "A", "B")
    book.deploy()
    ids = book.world.identities()
    two(book, form, "B", "A")
    plan = book.deploy()
    assert words(plan) == [
        "upload api, rename A to NotebookDoTemporary1",
        "upload api, rename B to A",
        "upload api, rename NotebookDoTemporary1 to B",
    ]
    assert book.world.identities() == ids
    histories = {n.stable_id: n.class_history for n in book.world.recorded.namespaces}
    assert histories == {"x": ("A", "B"), "y": ("B", "A")}
    assert book.plan().empty


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("done", [1, 2])
def test_f08_swap_interrupted(form: str, done: int) -> None:
    """F08: a swap that stops between its uploads is finished by the next plan, with all data in place."""
    book = Book()
    two(book, form, "A", "B")
    book.deploy()
    ids = book.world.identities()
    two(book, form, "B", "A")
    plan = book.plan()
    book.world.apply(replace(plan, steps=plan.steps[:done]))
    book.deploy()
    assert book.world.identities() == ids
    assert book.world.account.spaces["api", "B"].id == ids["x"]
    assert book.plan().empty


@pytest.mark.parametrize("form", FORMS)
def test_f09_rename_to_a_deleted_name(form: str) -> None:
    """F09: a name whose namespace was destroyed is free again; the plan is made from what is live."""
    book = counter_book(form)
    book.cell("namespace counter --class Counter --script api --unprotect")
    book.cell(f"worker api --lifecycle {form} --no-url", body())
    book.deploy("counter")
    book.catalog.forget("namespace", "counter")
    book.cell("namespace other --class Other")
    book.cell(f"worker api --bind O=other --lifecycle {form} --no-url", body(Other="other"))
    book.deploy()
    before = book.namespace_id("other")
    book.cell("namespace other --class Counter")
    book.cell(f"worker api --bind O=other --lifecycle {form} --no-url", body(Counter="other"))
    assert words(book.deploy()) == ["upload api, rename Other to Counter"]
    assert book.namespace_id("other") == before


def test_f10_delete_and_recreate_takes_two_plans() -> None:
    """F10: a class is not destroyed and begun anew in one plan; in two, the new namespace has another id."""
    book = counter_book()
    before = book.namespace_id("counter")
    book.cell("namespace counter --class Counter --script api --unprotect")
    book.cell("worker api --no-url", body())
    book.cell("namespace fresh --class Counter --script other")
    book.cell("worker other --no-url", body(Counter="fresh"))
    book.cell("namespace taker --class Taker --script api")
    book.cell("worker api --no-url", body(Taker="taker"))
    book.deploy("counter")
    book.catalog.forget("namespace", "counter")
    book.cell("namespace counter --class Counter --script api")
    book.cell("worker api --no-url", body(Taker="taker", Counter="counter"))
    book.deploy()
    assert book.namespace_id("counter") != before


def test_f10_in_one_plan_is_refused() -> None:
    """F10: taking the class name of what the same plan destroys is refused, with the way over two plans."""
    book = counter_book()
    book.cell("namespace counter --class Old --script api --unprotect")
    book.cell("namespace fresh --class Counter --script api")
    book.cell("worker api --no-url", body(Counter="fresh"))
    assert "then %durable destroy counter" in " ".join(book.refused("counter")["destroy-first"].choices)


@pytest.mark.parametrize("form", FORMS)
def test_f11_new_id_takes_a_freed_name(form: str) -> None:
    """F11: a new stable ID takes the name that another one leaves in the same plan: renamed first, begun after."""
    book = counter_book(form)
    before = book.namespace_id("counter")
    book.cell("namespace counter --class Tally")
    book.cell("namespace second --class Counter")
    book.cell(
        f"worker api --bind A=counter --bind B=second --lifecycle {form} --no-url",
        body(Tally="counter", Counter="second"),
    )
    assert words(book.deploy()) == [
        "upload api, rename Counter to Tally",
        "upload api, create Counter",
        "note the id of second in the tags of Worker api",
    ]
    assert book.namespace_id("counter") == before
    assert book.namespace_id("second") != before


@pytest.mark.parametrize("form", FORMS)
def test_f12_transfer(form: str) -> None:
    """F12: a declared transfer moves the namespace with its id, destination first, and repoints who binds it."""
    book = counter_book(form)
    before = book.namespace_id("counter")
    book.cell("namespace counter --class Counter --script store --transferred-from api")
    book.cell(f"worker api --bind COUNTER=counter --lifecycle {form} --no-url", body())
    book.cell("worker store --bind COUNTER=counter --no-url", body(Counter="counter"))
    plan = book.deploy()
    expected = {
        "migrations": ["create store, take api.Counter as Counter", "upload api"],
        "exports": [
            "create store, take api.Counter as Counter",
            "upload api, hand Counter to store",
            "upload api",
            "upload store",
        ],
    }
    assert words(plan) == expected[form]
    assert book.namespace_id("counter") == before
    assert book.world.account.scripts["api"].bindings == {("COUNTER", "Counter", "store")}
    assert book.plan().empty
    assert "deleted" not in str(wire(plan))


@pytest.mark.parametrize("form", FORMS)
def test_f12_transfer_interrupted(form: str) -> None:
    """F12: a transfer that stops after any of its uploads is finished by the next plan."""
    for done in range(1, 4):
        book = counter_book(form)
        before = book.namespace_id("counter")
        book.cell("namespace counter --class Counter --script store --transferred-from api")
        book.cell(f"worker api --bind COUNTER=counter --lifecycle {form} --no-url", body())
        book.cell("worker store --bind COUNTER=counter --no-url", body(Counter="counter"))
        plan = book.plan()
        book.world.apply(replace(plan, steps=plan.steps[:done]))
        book.deploy()
        assert book.namespace_id("counter") == before
        assert book.plan().empty


def test_f13_move_without_a_word() -> None:
    """F13: a namespace declared on another Worker without transferred_from is refused; both Workers are named."""
    book = counter_book()
    book.cell("namespace counter --class Counter --script store")
    book.cell("worker api --no-url", body())
    book.cell("worker store --no-url", body(Counter="counter"))
    refusal = book.refused()["host-changed"]
    assert "api" in refusal.message
    assert "store" in refusal.message
    assert "--transferred-from api" in " ".join(refusal.choices)


@pytest.mark.parametrize("form", FORMS)
def test_f14_transfer_and_rename(form: str) -> None:
    """F14: a namespace may move and take another class name in one plan."""
    book = counter_book(form)
    before = book.namespace_id("counter")
    book.cell("namespace counter --class Tally --script store --transferred-from api")
    book.cell(f"worker api --lifecycle {form} --no-url", body())
    book.cell("worker store --bind T=counter --no-url", body(Tally="counter"))
    book.deploy()
    assert book.world.account.spaces["store", "Tally"].id == before


def test_f14_transfer_to_a_name_in_use_on_the_way() -> None:
    """F14: in the `exports` form a class keeps its name while it moves, so a name in use there is refused."""
    book = counter_book()
    book.cell("namespace other --class Counter --script store")
    book.cell("worker store --no-url", body(Counter="other"))
    book.deploy()
    book.cell("namespace counter --class Tally --script store --transferred-from api")
    book.cell("worker api --no-url", body())
    book.cell("worker store --no-url", body(Counter="other", Tally="counter"))
    assert set(book.refused()) == {"transfer-and-rename"}


def test_f15_host_bound_by_a_client() -> None:
    """F15: what another Worker binds is not destroyed; the binder is named, and unbinding it first works."""
    book = counter_book()
    book.cell("namespace counter --class Counter --script api --unprotect")
    book.cell("worker client --bind FAR=counter --no-url", body())
    book.deploy()
    assert "FAR of Worker client" in book.refused("api")["still-bound"].message
    book.cell("worker client --no-url", body())
    book.deploy()
    plan = book.deploy("worker:api")
    assert words(plan) == ["delete Worker api with namespace counter"]


def test_f15_binder_that_is_not_declared() -> None:
    """F15: a live binding counts although its Worker is not declared in this session."""
    book = counter_book()
    book.cell("namespace counter --class Counter --script api --unprotect")
    book.cell("worker client --bind FAR=counter --no-url", body())
    book.deploy()
    book.catalog.forget("worker", "client")
    assert "FAR of Worker client (live)" in book.refused("api")["still-bound"].message


def test_f16_worker_renamed() -> None:
    """F16: another script name is another Worker with empty namespaces: refused, with the ways to keep or move."""
    book = counter_book()
    book.cell("worker api --name api2 --bind COUNTER=counter --no-url", body(Counter="counter"))
    refusals = book.refused()
    assert "--name api" in " ".join(refusals["worker-renamed"].choices)
    assert "host-changed" in refusals


def test_f17_deleting_a_worker_asks_for_each_namespace() -> None:
    """F17: deleting a Worker is destroying each namespace it hosts: one phrase each, and never forced."""
    book = Book()
    two(book, "auto", "A", "B")
    book.deploy()
    book.cell("namespace x --class A --script api --unprotect")
    assert book.refused("api")["protected"].subject == "y"
    book.cell("namespace y --class B --script api --unprotect")
    plan = book.plan("api")
    assert [c.stable_id for c in plan.consents] == ["x", "y"]
    assert [type(s) for s in plan.steps] == [DeleteScript]
    assert "force" not in plan.to_json()
    book.world.apply(plan)
    assert not book.world.account.scripts


@pytest.mark.parametrize("kv_first", [True, False])
def test_f18_storage_flip(kv_first: bool) -> None:  # noqa: FBT001
    """F18: key-value and SQLite are not converted into each other; the way over a new namespace is told."""
    book = Book()
    book.cell(f"namespace counter --class Counter {'--kv' if kv_first else ''}")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Counter="counter"))
    book.deploy()
    desired = book.catalog.desired("s", "production", read=reader())
    assert book.plan().empty
    flipped = replace(desired.namespaces[0], storage="sqlite" if kv_first else "kv")
    plan = book.world.plan(replace(desired, namespaces=(flipped,)))
    assert [r.code for r in plan.refusals] == ["storage-flip"]
    assert "copy" in " ".join(plan.refusals[0].choices)


def test_f18_undeclared_storage_follows_what_is_live() -> None:
    """F18: without sqlite= a live key-value namespace stays one."""
    book = Book()
    book.cell("namespace counter --class Counter --kv")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Counter="counter"))
    book.deploy()
    book.cell("namespace counter --class Counter")
    assert book.plan().empty


def test_f19_one_class_under_two_stable_ids() -> None:
    """F19: one class of one Worker under two stable IDs is an error that names both."""
    book = Book()
    book.cell("namespace one --class Counter --script api")
    book.cell("namespace two --class Counter --script api")
    book.cell("worker api --no-url", body(Counter="one"))
    with pytest.raises(DeclarationError, match=r"Counter .* one and two"):
        book.plan()


def test_f20_cell_rerun_with_another_id() -> None:
    """F20: re-running a cell with another stable ID is seen at once, and refused when planned."""
    book = counter_book()
    book.cell("namespace count --class Counter")
    (warning,) = book.catalog.warnings()
    assert "count, counter" in warning
    book.catalog.forget("namespace", "counter")
    book.cell("worker api --bind COUNTER=count --no-url", body(Counter="count"))
    refusal = book.refused()["stable-id-changed"]
    assert "--renamed-from counter" in refusal.choices[0]
    book.cell("namespace count --class Counter --renamed-from counter")
    before = book.namespace_id("counter")
    book.deploy()
    assert book.world.identities() == {"count": before}
    assert book.plan().empty


def test_f22_uploads_know_the_cell_of_their_source() -> None:
    """F22: an upload carries the line of its cell, so that a class which is not exported is reported there."""
    book = Book()
    book.cell("namespace counter --class Counter")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Counter="counter"))
    (upload,) = (s for s in book.plan().steps if isinstance(s, Upload))
    assert (upload.line, upload.body_line) == (1, 2)


@pytest.mark.parametrize("form", FORMS)
def test_f23_binding_renamed(form: str) -> None:
    """F23: another binding name is no class migration."""
    book = counter_book(form)
    book.cell(f"worker api --bind TALLY=counter --lifecycle {form} --no-url", body(Counter="counter"))
    plan = book.deploy()
    assert words(plan) == ["upload api"]
    assert not plan.migration_rows
    assert [(c.action.value, c.name) for c in plan.changes if c.kind == "binding"] == [
        ("delete", "COUNTER"),
        ("create", "TALLY"),
    ]


def test_f26_a_worker_that_we_did_not_make() -> None:
    """F26: a live Worker of the same name is refused unless adopted; adopting keeps its namespaces and their ids."""
    theirs = counter_book()
    before = theirs.namespace_id("counter")
    book = Book(theirs.world.copy())
    book.world.recorded = replace(book.world.recorded, workers=(), namespaces=(), lineage="e" * 32)
    book.world.tags = {}
    book.cell("namespace mine --class Counter")
    book.cell("worker api --bind COUNTER=mine --no-url", body(Counter="mine"))
    assert "--adopt" in " ".join(book.refused()["worker-exists"].choices)
    book.cell("worker api --bind COUNTER=mine --no-url --adopt", body(Counter="mine"))
    plan = book.deploy()
    assert not plan.migration_rows
    assert book.world.identities() == {"mine": before}


def test_f26_the_state_file_is_lost() -> None:
    """F26: with the state file gone, our mark on the Worker gives every stable ID its namespace back."""
    book = counter_book()
    before = book.world.identities()
    book.world.recorded = replace(book.world.recorded, workers=(), namespaces=(), lineage="e" * 32, serial=0)
    book.cell("namespace counter --class Tally")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Tally="counter"))
    assert words(book.deploy()) == ["upload api, rename Counter to Tally"]
    assert book.world.identities() == before


def test_f26_another_session_of_ours() -> None:
    """F26: a Worker that bears the mark of another session is not ours either."""
    book = counter_book()
    book.world.recorded = replace(book.world.recorded, workers=(), namespaces=())
    book.world.tags["api"] = ("ndo:do:shop:production:counter=Counter",)
    assert "session shop" in book.refused()["worker-exists"].message


def test_f27_foreign_migration_tag() -> None:
    """F27: a migration tag that is not ours stops the plan; adopting takes note of it, and sends no migration."""
    book = counter_book("migrations")
    book.world.account.scripts["api"].tag = "alchemy:v4"
    assert "alchemy:v4" in book.refused()["unknown-tag"].message
    book.cell("worker api --bind COUNTER=counter --no-url --lifecycle migrations --adopt", body(Counter="counter"))
    plan = book.deploy()
    assert wire(plan) == [{}]
    assert not plan.warnings
    assert words(plan) == ["upload api"]
    assert book.world.account.scripts["api"].tag == "alchemy:v4", "its own project goes on from it"
    book.cell("worker api --bind COUNTER=counter --no-url --lifecycle migrations", body(Counter="counter"))
    assert book.plan().empty


@pytest.mark.parametrize(
    "cell", ["worker api --bind COUNTER=counter --no-url --lifecycle exports", "worker lone --no-url"]
)
def test_a_tag_that_is_taken_note_of_is_known_in_both_forms(cell: str) -> None:
    """A foreign tag is taken note of once, also by a Worker that sends `exports` or hosts no class."""
    book = counter_book("migrations")
    book.cell("worker lone --no-url", "export default {};")
    book.deploy()
    name = cell.split()[1]
    book.world.account.scripts[name].tag = "v7"
    source = body(Counter="counter") if name == "api" else "export default {};"
    book.cell(f"{cell} --adopt", source)
    assert "v7" in " ".join(change.detail for change in book.deploy().changes)
    assert book.plan().empty
    book.cell(cell, source)
    assert book.plan().empty


def test_a_class_that_changes_under_a_foreign_tag_is_told_to_its_project() -> None:
    """Issue 11.2: the plan says what the other project must add to its migrations, with the tag that is sent then."""
    book = counter_book("migrations")
    book.world.account.scripts["api"].tag = "v1"
    book.cell("namespace counter --class Tally")
    book.cell("namespace second --class More")
    line = "worker api --bind COUNTER=counter --bind MORE=second --no-url --lifecycle migrations --adopt"
    book.cell(line, body(Tally="counter", More="second"))
    plan = book.plan()
    (warning,) = plan.warnings
    assert "v1 of another project" in warning
    entry = json.loads(warning.partition("class names: ")[2])
    assert entry == {
        "tag": entry["tag"],
        "renamed_classes": [{"from": "Counter", "to": "Tally"}],
        "new_sqlite_classes": ["More"],
    }
    book.world.apply(plan)
    assert book.world.account.scripts["api"].tag == entry["tag"]
    book.cell(line.removesuffix(" --adopt"), body(Tally="counter", More="second"))
    assert book.plan().empty, "the tag is recorded"


def test_f27_alchemy_tags_give_identity() -> None:
    """F27: adopting a Worker that Alchemy made takes its ids over from its tags, in both of its forms."""
    for tags in (("alchemy:do:rooms:COUNTER",), ("alchemy:dos:rooms=Counter",)):
        book = counter_book()
        before = book.namespace_id("counter")
        book.world.recorded = replace(book.world.recorded, workers=(), namespaces=())
        book.world.tags["api"] = tags
        book.catalog.forget("namespace", "counter")
        book.cell("namespace rooms --class Room")
        book.cell("worker api --bind ROOM=rooms --no-url --adopt", body(Room="rooms"))
        assert words(book.deploy()) == ["upload api, rename Counter to Room"]
        assert book.world.identities() == {"rooms": before}
        assert tags[0] in book.world.tags["api"]


def test_f28_no_way_back_from_exports() -> None:
    """F28: a Worker that uses `exports` is never sent `migrations`."""
    book = counter_book("exports")
    book.cell("worker api --bind COUNTER=counter --no-url --lifecycle migrations", body(Counter="counter"))
    assert "no Worker return" in book.refused()["lifecycle-mix"].message


def test_f28_conversion_is_an_explicit_step() -> None:
    """F28: switching to `exports` is asked for, says that it is one-way, and comes before any class migration."""
    book = counter_book("migrations")
    book.cell("namespace counter --class Tally")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Tally="counter"))
    assert "migrations" in str(wire(book.plan()))
    book.cell("worker api --bind COUNTER=counter --no-url --lifecycle exports", body(Tally="counter"))
    plan = book.deploy()
    assert words(plan) == ["upload api", "upload api, rename Counter to Tally"]
    assert any("one-way" in c.detail for c in plan.changes)
    assert book.plan().empty


def test_f29_split_deployment() -> None:
    """F29: while two versions run at once, classes do not change; code alone may, with a warning."""
    book = counter_book()
    book.world.splits.add("api")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Counter="counter") + "// more\n")
    assert "two versions" in book.plan().warnings[0]
    book.cell("namespace counter --class Tally")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Tally="counter"))
    assert set(book.refused()) == {"split-deployment"}


def test_only_the_last_upload_of_a_worker_counts_as_deployed() -> None:
    """An upload that another one of the same Worker follows is recorded without digests: it is not taken as done."""
    book = Book()
    book.cell("namespace a --class A --script one")
    book.cell("namespace b --class B --script two")
    book.cell("worker one --bind A=a --bind B=b --no-url", body(A="a"))
    book.cell("worker two --bind A=a --bind B=b --no-url", body(B="b"))
    plan = book.plan()
    assert [w for w in words(plan) if "note" not in w] == ["create one, create A", "create two, create B", "upload one"]
    book.world.apply(replace(plan, steps=plan.steps[:2]))
    recorded = {w.id: w for w in book.world.recorded.workers}
    assert recorded["one"].content_digest is None
    assert recorded["one"].settings_digest == "-.-.-"
    assert recorded["two"].content_digest is not None
    assert words(book.deploy()) == ["upload one", "note the id of b in the tags of Worker two"]


def test_a_class_that_is_not_exported_is_looked_for_where_one_like_it_begins() -> None:
    """The line of the class that is nearly called so, or was; without such a one that of the first export."""
    book = Book()
    lines = "export class Other {{}}\n// more\nexport class {} {{}}\nexport default {{}};\n"
    book.cell("namespace counter --class Counter")

    def said(class_name: str) -> str:
        source = lines.format(class_name)
        book.cell("worker api --bind COUNTER=counter --no-url", source)
        (message,) = (r.message for r in book.plan().refusals if r.code == "class-not-exported")
        return message

    assert "(line 4 of the cell that begins" in said("Countr")
    assert "(line 2 of the cell that begins" in said("Elephant")
    book.cell("worker api --bind COUNTER=counter --no-url", body(Counter="counter"))
    book.deploy()
    book.cell("namespace counter --class Tally")
    assert "is declared as Tally, and not renamed in" in (renamed := said("Counter"))
    assert "(line 4 of the cell that begins" in renamed
