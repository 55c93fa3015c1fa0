"""Every rule of the legacy migrations and of bindings: what it refuses, with which code, and what it lets through."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.local.rules.namespaces import (
    AccountFacts,
    AccountNamespace,
    Lifecycle,
    ScriptFacts,
    Switches,
    check_bindings,
    migrate,
)
from notebook_do.local.rules.refusals import RULES, Refused

if TYPE_CHECKING:
    from collections.abc import Callable


def namespace(class_name: str, script: str = "me", *, sqlite: bool = True) -> AccountNamespace:
    """Make a namespace whose id tells where it was first."""
    return AccountNamespace(id=f"{script}/{class_name}", script=script, class_name=class_name, sqlite=sqlite)


def account(*namespaces: AccountNamespace, tag: str | None = None, **more: Any) -> AccountFacts:
    """Make an account with the scripts `me` and `other`."""
    scripts = {"me": ScriptFacts(migration_tag=tag), "other": ScriptFacts(), **more.pop("scripts", {})}
    return AccountFacts(scripts=scripts, namespaces=namespaces, **more)


def ids() -> Callable[[], str]:
    """Give a source of fresh ids."""
    numbers = itertools.count(1)
    return lambda: f"new-{next(numbers)}"


def run(facts: AccountFacts, migrations: dict[str, Any] | None, exported: str = "A B C") -> Lifecycle:
    """Apply migrations to the script `me`."""
    return migrate(facts, "me", exported=frozenset(exported.split()), migrations=migrations, new_id=ids())


def labels(after: Lifecycle) -> set[tuple[str, str, str]]:
    """Give id, script and class of every namespace."""
    return {(n.id, n.script, n.class_name) for n in after.namespaces}


def move(source: str, to: str, **more: str) -> dict[str, str]:
    """Write one rename or transfer."""
    return {"from": source, "to": to, **more}


def test_no_migrations_change_nothing() -> None:
    """A code-only upload leaves namespaces and tag alone."""
    facts = account(namespace("A"), tag="v1")
    after = run(facts, None)
    assert (after.namespaces, after.migration_tag, after.deleted) == (facts.namespaces, "v1", ())


def test_create_both_storages() -> None:
    """`new_sqlite_classes` and `new_classes` make namespaces with fresh ids and the right storage."""
    after = run(account(), {"new_tag": "v1", "new_sqlite_classes": ["A"], "new_classes": ["B"]})
    assert {n.class_name: n.sqlite for n in after.namespaces} == {"A": True, "B": False}
    assert len({n.id for n in after.namespaces}) == 2
    assert after.migration_tag == "v1"


def test_rename_and_transfer_keep_the_id_and_storage() -> None:
    """A namespace is its id: rename and transfer only change labels."""
    facts = account(namespace("A", sqlite=False), namespace("X", "other"))
    after = run(
        facts,
        {"renamed_classes": [move("A", "B")], "transferred_classes": [move("X", "C", from_script="other")]},
        "B C",
    )
    assert labels(after) == {("me/A", "me", "B"), ("other/X", "me", "C")}
    assert {n.sqlite for n in after.namespaces if n.class_name == "B"} == {False}


def test_delete_ends_the_id() -> None:
    """A delete removes the namespace, and its id is reported as deleted."""
    after = run(account(namespace("A"), namespace("B")), {"deleted_classes": ["A"]}, "B")
    assert (labels(after), after.deleted) == ({("me/B", "me", "B")}, ("me/A",))


def test_steps_are_applied_in_order() -> None:
    """A rename chain in steps frees each name before the next step takes it; a swap goes through a third name."""
    facts = account(namespace("A"), namespace("B"))
    steps = [
        {"renamed_classes": [move("A", "tmp")]},
        {"renamed_classes": [move("B", "A")]},
        {"renamed_classes": [move("tmp", "B")]},
    ]
    assert labels(run(facts, {"steps": steps}, "A B")) == {("me/A", "me", "B"), ("me/B", "me", "A")}


def test_a_history_replayed_on_a_new_script_needs_only_its_last_names() -> None:
    """Clients send the whole history for a new script: intermediate names need not be exported any more."""
    steps = [
        {"new_sqlite_classes": ["Old", "Gone"]},
        {"renamed_classes": [move("Old", "A")]},
        {"deleted_classes": ["Gone"]},
    ]
    assert [n.class_name for n in run(account(), {"new_tag": "v3", "steps": steps}, "A").namespaces] == ["A"]


def test_empty_lists_are_no_migration() -> None:
    """Five empty lists and no tag, which some clients always send, do nothing."""
    lists = ("new_classes", "new_sqlite_classes", "renamed_classes", "deleted_classes", "transferred_classes")
    empty: dict[str, Any] = {key: [] for key in lists}
    assert run(account(namespace("A")), empty).namespaces == (namespace("A"),)


HOSTED = account(namespace("A"))
TAGGED = account(namespace("A"), tag="v1")
OTHERS = account(namespace("A"), namespace("X", "other"))
USED = account(namespace("A"), scripts={"other": ScriptFacts(bound=frozenset({"me/A"}))})
DECLARED = account(namespace("X", "other"), scripts={"other": ScriptFacts(declarative=True)})
FREE = account(switches=Switches(free_plan=True))
CLOSED = account(namespace("A"), switches=Switches(kv_closed=True))

REFUSED: list[tuple[str, AccountFacts, dict[str, Any] | None, str]] = [
    ("tag", TAGGED, {"old_tag": "v0", "new_tag": "v2"}, "A"),
    ("tag", TAGGED, {"new_classes": []}, "A"),
    ("no_tag_yet", HOSTED, {"old_tag": "v1", "new_tag": "v2"}, "A"),
    ("tag_dropped", TAGGED, {"old_tag": "v1", "new_sqlite_classes": ["B"]}, "A B"),
    ("migration_form", HOSTED, {"steps": {}}, "A"),
    ("migration_form", HOSTED, {"steps": [1]}, "A"),
    ("migration_form", HOSTED, {"steps": [], "new_classes": ["B"]}, "A B"),
    ("migration_form", HOSTED, {"steps": [{"create": ["B"]}]}, "A B"),
    ("migration_form", HOSTED, {"oops": 1}, "A"),
    ("migration_form", HOSTED, {"new_tag": 1}, "A"),
    ("migration_form", HOSTED, {"new_classes": [None]}, "A"),
    ("migration_form", HOSTED, {"new_classes": "B"}, "A"),
    ("migration_form", HOSTED, {"renamed_classes": ["A"]}, "A"),
    ("migration_form", HOSTED, {"renamed_classes": [{"from": "A"}]}, "A"),
    ("migration_form", OTHERS, {"transferred_classes": [move("X", "B")]}, "A B"),
    ("target_twice", account(), {"new_classes": ["A"], "new_sqlite_classes": ["A"]}, "A"),
    ("target_twice", HOSTED, {"deleted_classes": ["A"], "new_sqlite_classes": ["A"]}, "A"),
    ("target_twice", HOSTED, {"deleted_classes": ["A"], "renamed_classes": [move("A", "B")]}, "B"),
    (
        "target_twice",
        account(namespace("A"), namespace("B")),
        {"renamed_classes": [move("A", "B"), move("B", "A")]},
        "A B",
    ),
    ("exists", HOSTED, {"new_sqlite_classes": ["A"]}, "A"),
    ("exists", account(namespace("A", sqlite=False)), {"new_sqlite_classes": ["A"]}, "A"),
    ("exists", HOSTED, {"new_classes": ["A"]}, "A"),
    ("new_unexported", account(), {"new_sqlite_classes": ["Z"]}, "A"),
    ("moved_unexported", HOSTED, {"renamed_classes": [move("A", "Z")]}, "A"),
    ("moved_unexported", OTHERS, {"transferred_classes": [move("X", "Z", from_script="other")]}, "A"),
    ("dropped", HOSTED, None, "B"),
    ("no_previous", account(), {"deleted_classes": ["A"]}, "B"),
    ("no_previous", account(), {"renamed_classes": [move("A", "B")]}, "B"),
    ("no_previous", account(namespace("A", "other")), {"deleted_classes": ["A"]}, "B"),
    ("same_name", HOSTED, {"steps": [{"transferred_classes": [move("A", "B", from_script="me")]}]}, "A B"),
    ("occupied", account(namespace("A"), namespace("B")), {"renamed_classes": [move("A", "B")]}, "B"),
    ("occupied", OTHERS, {"transferred_classes": [move("X", "A", from_script="other")]}, "A"),
    ("transfer_script", HOSTED, {"transferred_classes": [move("X", "B", from_script="nobody")]}, "A B"),
    ("transfer_class", HOSTED, {"transferred_classes": [move("X", "B", from_script="other")]}, "A B"),
    ("transfer_declared", DECLARED, {"transferred_classes": [move("X", "B", from_script="other")]}, "A B"),
    ("deleted_yet_used", USED, {"deleted_classes": ["A"]}, "B"),
    ("sqlite_only", FREE, {"new_classes": ["A"]}, "A"),
    ("no_more_kv", CLOSED, {"new_classes": ["B"]}, "A B"),
]


@pytest.mark.parametrize(("rule", "facts", "migrations", "exported"), REFUSED)
def test_refusals(rule: str, facts: AccountFacts, migrations: dict[str, Any] | None, exported: str) -> None:
    """Each broken rule answers with the code, status and text of its row."""
    with pytest.raises(Refused) as refused:
        run(facts, migrations, exported)
    row = RULES[rule]
    (error,) = refused.value.errors
    assert (error["code"], refused.value.status) == (row.code, row.status)
    first_words = row.text.partition("{")[0]
    assert error["message"].startswith(first_words)


@pytest.mark.parametrize(
    ("migrations", "why"),
    [
        ({"new_classes": [1]}, "`new_classes` must be a list of names"),
        ({"new_classes": [""]}, "`new_classes` must be a list of names"),
        ({"renamed_classes": ["A"]}, "`renamed_classes` must be a list of moves"),
        ({"renamed_classes": [{"from": "A", "to": ""}]}, "`renamed_classes` must be a list of moves"),
    ],
)
def test_a_list_of_the_wrong_kind_is_named(migrations: dict[str, Any], why: str) -> None:
    """The refusal says which list it is, and whether names or moves belong there."""
    with pytest.raises(Refused) as refused:
        run(HOSTED, migrations, "A")
    assert why in str(refused.value)


def test_a_rename_to_itself_is_refused() -> None:
    """A class renamed to its own name is refused, and not taken for two migrations of one class."""
    with pytest.raises(Refused, match=r"target of more than one migration|are the same"):
        run(HOSTED, {"renamed_classes": [move("A", "A")]}, "A")


@pytest.mark.parametrize("migration", ["new", "new-sqlite", "delete"])
def test_a_refusal_names_the_migration_that_was_asked_for(migration: str) -> None:
    """Cloudflare's name of it, and the class: of several migrations in one upload a person must find the wrong one."""
    field, class_name = {
        "new": ("new_classes", "A"),
        "new-sqlite": ("new_sqlite_classes", "A"),
        "delete": ("deleted_classes", "B"),
    }[migration]
    with pytest.raises(Refused) as refused:
        run(HOSTED, {field: [class_name]}, "A")
    (error,) = refused.value.errors
    assert error["message"].startswith(f"Cannot apply {migration}-class migration to class '{class_name}'")


@pytest.mark.parametrize(("sent", "got"), [({"old_tag": "v0"}, "v0"), ({}, ""), ({"old_tag": None}, "")])
def test_a_tag_that_is_not_the_current_one_is_named_beside_it(sent: dict[str, Any], got: str) -> None:
    """What was sent and what is expected, also where nothing was sent."""
    with pytest.raises(Refused) as refused:
        run(TAGGED, {**sent, "new_tag": "v2"}, "A")
    assert f'(got "{got}" when expected tag is "v1")' in str(refused.value)


def test_kv_stays_open_for_accounts_that_have_it() -> None:
    """10099 is only for accounts without a key-value namespace."""
    facts = account(namespace("A", sqlite=False), switches=Switches(kv_closed=True))
    assert len(run(facts, {"new_classes": ["B"]}, "A B").namespaces) == 2


def bind(class_name: str, **more: str) -> dict[str, Any]:
    """Write one binding."""
    return {"type": "durable_object_namespace", "name": "B", "class_name": class_name, **more}


def check(facts: AccountFacts, migrations: dict[str, Any] | None, exported: str, binding: dict[str, Any]) -> set[str]:
    """Check one binding of an upload of `me`; return the scripts and classes that are there after it."""
    after = run(facts, migrations, exported)
    check_bindings(after, "me", account=facts, exported=frozenset(exported.split()), bindings=[binding])
    return {f"{script}.{class_name}" for _, script, class_name in labels(after)}


BINDINGS: list[tuple[str, AccountFacts, dict[str, Any] | None, str, dict[str, Any]]] = [
    ("unmigrated_binding", account(), None, "A", bind("A")),
    ("unexported_binding", account(), None, "A", bind("Z")),
    ("binding_host", account(), None, "A", bind("X", script_name="nobody")),
    ("unmigrated_binding", account(), None, "A", bind("X", script_name="other")),
    ("deleted_yet_bound", HOSTED, {"deleted_classes": ["A"]}, "B", bind("A")),
    ("deleted_yet_bound", OTHERS, {"deleted_classes": ["A"]}, "B", bind("A", script_name="other")),
    ("unexported_binding", HOSTED, {"renamed_classes": [move("A", "B")]}, "B", bind("A")),
]


@pytest.mark.parametrize(("rule", "facts", "migrations", "exported", "binding"), BINDINGS)
def test_refused_bindings(
    rule: str, facts: AccountFacts, migrations: dict[str, Any] | None, exported: str, binding: dict[str, Any]
) -> None:
    """A binding must lead to a namespace that is there after the upload."""
    with pytest.raises(Refused) as refused:
        check(facts, migrations, exported, binding)
    (error,) = refused.value.errors
    assert error["code"] == RULES[rule].code == 10061
    assert error["message"].startswith(RULES[rule].text.partition("{")[0])


def test_good_bindings() -> None:
    """Own and foreign namespaces can be bound, also under the name that they get by this upload."""
    assert check(HOSTED, None, "A", bind("A")) >= {"me.A"}
    assert check(OTHERS, None, "A", bind("X", script_name="other")) >= {"other.X"}
    assert check(HOSTED, {"renamed_classes": [move("A", "B")]}, "B", bind("B")) == {"me.B"}
    assert check(account(), {"new_sqlite_classes": ["A"]}, "A", bind("A", script_name="me")) == {"me.A"}


NAMES = st.sampled_from("ABC")
STEP = st.one_of(
    st.builds(lambda n: {"new_sqlite_classes": [n]}, NAMES),
    st.builds(lambda n: {"deleted_classes": [n]}, NAMES),
    st.builds(lambda a, b: {"renamed_classes": [move(a, b)]}, NAMES, NAMES),
    st.builds(lambda a, b: {"transferred_classes": [move(a, b, from_script="other")]}, NAMES, NAMES),
)


@given(own=st.sets(NAMES), other=st.sets(NAMES), steps=st.lists(STEP, max_size=4), exported=st.sets(NAMES, min_size=1))
def test_whatever_is_sent_the_account_stays_sound(
    own: set[str], other: set[str], steps: list[dict[str, Any]], exported: set[str]
) -> None:
    """After accepted migrations no two namespaces share a place, none is lost unsaid, all own ones are exported."""
    facts = account(*(namespace(n) for n in sorted(own)), *(namespace(n, "other") for n in sorted(other)))
    try:
        after = run(facts, {"steps": steps}, " ".join(exported))
    except Refused:
        return
    places = [(n.script, n.class_name) for n in after.namespaces]
    assert len(set(places)) == len(places)
    before, now = {n.id for n in facts.namespaces}, {n.id for n in after.namespaces}
    assert before - now == set(after.deleted)
    assert {n.class_name for n in after.namespaces if n.script == "me"} <= exported
    storage = {n.id: n.sqlite for n in facts.namespaces}
    assert all(storage.get(n.id, True) == n.sqlite for n in after.namespaces)
