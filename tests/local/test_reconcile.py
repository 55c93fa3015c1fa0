"""Every scenario of declarative `exports`: what it answers with, and what it does to the namespaces."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from notebook_do.local.rules.exports import live_entries, reconcile
from notebook_do.local.rules.namespaces import AccountFacts, AccountNamespace, Lifecycle, ScriptFacts, Switches
from notebook_do.local.rules.refusals import Refused
from notebook_do.local.rules.scenarios import SCENARIOS

OPENAPI = Path(__file__).parents[1] / "openapi" / "workers.json"
OUTCOMES = [
    *("created", "updated", "deleted", "renamed", "transferred", "transfer_pending"),
    *("warnings", "info", "removable_entries"),
]


def entry(**fields: Any) -> dict[str, Any]:
    """Write one entry."""
    return {"type": "durable-object", **fields}


LIVE = entry(storage="sqlite")
DELETED = entry(state="deleted")


def renamed(to: str) -> dict[str, Any]:
    """Write the tombstone of a rename."""
    return entry(state="renamed", renamed_to=to)


def transferred(to: str) -> dict[str, Any]:
    """Write the tombstone of a transfer."""
    return entry(state="transferred", transferred_to=to)


def expecting(source: str, storage: str = "sqlite") -> dict[str, Any]:
    """Write the receiving side of a transfer."""
    return entry(state="expecting-transfer", storage=storage, transfer_from=source)


def namespace(class_name: str, script: str = "me", *, sqlite: bool = True) -> AccountNamespace:
    """Make a namespace whose id tells where it was first."""
    return AccountNamespace(id=f"{script}/{class_name}", script=script, class_name=class_name, sqlite=sqlite)


def account(
    *namespaces: AccountNamespace, scripts: dict[str, ScriptFacts] | None = None, free: bool = False
) -> AccountFacts:
    """Make an account with the scripts `me` and `other`."""
    known = {"me": ScriptFacts(), "other": ScriptFacts(), **(scripts or {})}
    return AccountFacts(scripts=known, namespaces=namespaces, switches=Switches(free_plan=free))


def run(facts: AccountFacts, code: str, exports: dict[str, Any]) -> Lifecycle:
    """Reconcile the script `me`."""
    numbers = itertools.count(1)
    return reconcile(
        facts, "me", exported=frozenset(code.split()), exports=exports, new_id=lambda: f"new-{next(numbers)}"
    )


def outcome(after: Lifecycle) -> dict[str, Any]:
    """Give what is not empty in the reconciliation, infos as (class, scenario)."""
    result = after.reconciliation
    assert result is not None
    assert list(result) == OUTCOMES
    shown = {**result, "info": [(i["class"], i["scenario"]) for i in result["info"]]}
    return {key: value for key, value in shown.items() if value}


ACCEPTED: list[tuple[AccountFacts, str, dict[str, Any], dict[str, Any]]] = [
    (account(), "A", {"A": LIVE}, {"created": ["A"]}),
    (account(), "A", {"A": entry(storage="sqlite", container="box")}, {"created": ["A"]}),
    (account(namespace("A")), "A", {"A": LIVE}, {}),
    (account(namespace("A"), scripts={"me": ScriptFacts(exports={"A": LIVE})}), "A", {"A": LIVE}, {}),
    (account(namespace("A", sqlite=False)), "A", {"A": entry(storage="legacy-kv")}, {}),
    (account(namespace("A")), "", {"A": DELETED}, {"deleted": ["A"]}),
    (account(namespace("A")), "B", {"A": renamed("B"), "B": LIVE}, {"renamed": [{"from": "A", "to": "B"}]}),
    (
        account(namespace("A")),
        "A B",
        {"A": renamed("B"), "B": LIVE},
        {"renamed": [{"from": "A", "to": "B"}], "info": [("A", "tombstone_class_still_in_code")]},
    ),
    (
        account(namespace("B")),
        "B",
        {"A": renamed("B"), "B": LIVE},
        {"info": [("A", "stale_tombstone")], "removable_entries": ["A"]},
    ),
    (
        account(namespace("B"), scripts={"other": ScriptFacts(names=frozenset({("me", "A")}))}),
        "B",
        {"A": renamed("B"), "B": LIVE},
        {"info": [("A", "stale_tombstone")]},
    ),
    (account(), "", {"A": DELETED}, {"info": [("A", "stale_tombstone")], "removable_entries": ["A"]}),
    (account(), "", {"A": transferred("other")}, {"info": [("A", "stale_tombstone")], "removable_entries": ["A"]}),
    (account(), "A B", {"A": LIVE}, {"created": ["A"], "info": [("B", "code_class_not_in_exports")]}),
    (
        account(namespace("X", "other")),
        "X",
        {"X": expecting("other")},
        {"transfer_pending": [{"class": "X", "from": "other"}]},
    ),
    (
        account(namespace("A"), scripts={"other": ScriptFacts(exports={"A": expecting("me")})}),
        "",
        {"A": transferred("other")},
        {"transferred": [{"class": "A", "to": "other", "phase": "committed"}]},
    ),
    (
        account(namespace("A"), scripts={"other": ScriptFacts(exports={"A": expecting("me")})}),
        "A",
        {"A": transferred("other")},
        {
            "transferred": [{"class": "A", "to": "other", "phase": "committed"}],
            "info": [("A", "tombstone_class_still_in_code")],
        },
    ),
    (
        account(namespace("X"), scripts={"me": ScriptFacts(exports={"X": expecting("other")})}),
        "X",
        {"X": expecting("other")},
        {"info": [("X", "transfer_receive_already_applied")]},
    ),
    (
        account(namespace("X"), scripts={"me": ScriptFacts(exports={"X": expecting("other")})}),
        "X",
        {"X": LIVE},
        {"info": [("X", "transfer_receive_cleanup_complete")]},
    ),
]


@pytest.mark.parametrize(("facts", "code", "exports", "wanted"), ACCEPTED)
def test_accepted(facts: AccountFacts, code: str, exports: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Each good state does what it says, and says what it did."""
    assert outcome(run(facts, code, exports)) == wanted


def test_a_transfer_keeps_the_id() -> None:
    """The committed namespace is the same one, under the other script."""
    facts = account(namespace("A"), scripts={"other": ScriptFacts(exports={"A": expecting("me")})})
    (moved,) = run(facts, "", {"A": transferred("other")}).namespaces
    assert (moved.id, moved.script, moved.class_name) == ("me/A", "other", "A")


def test_a_rename_keeps_the_id() -> None:
    """The renamed namespace is the same one, under the other class."""
    (moved,) = run(account(namespace("A")), "B", {"A": renamed("B"), "B": LIVE}).namespaces
    assert (moved.id, moved.class_name) == ("me/A", "B")


PENDING = {"other": ScriptFacts(exports={"A": expecting("third")}), "third": ScriptFacts()}
RECEIVED = {"me": ScriptFacts(exports={"X": expecting("third")})}
RIVAL = {"rival": ScriptFacts(exports={"X": expecting("other")})}

REFUSED: list[tuple[str, AccountFacts, str, dict[str, Any]]] = [
    ("provisioned_class_missing_from_config", account(namespace("A")), "A B", {"B": LIVE}),
    ("orphaned_provisioned_namespace", account(namespace("A")), "B", {"B": LIVE}),
    ("config_export_not_in_code", account(namespace("A")), "", {"A": LIVE}),
    ("config_references_nonexistent_class", account(), "", {"A": LIVE}),
    ("config_references_nonexistent_class", account(namespace("X", "other")), "", {"X": expecting("other")}),
    ("storage_type_mismatch", account(namespace("A")), "A", {"A": entry(storage="legacy-kv")}),
    ("storage_type_mismatch", account(namespace("A", sqlite=False)), "A", {"A": LIVE}),
    ("storage_type_mismatch", account(namespace("A", sqlite=False)), "B", {"A": renamed("B"), "B": LIVE}),
    ("storage_type_mismatch", account(namespace("X", "other", sqlite=False)), "X", {"X": expecting("other")}),
    ("free_tier_requires_sqlite", account(free=True), "A", {"A": entry(storage="legacy-kv")}),
    ("invalid_export", account(), "A", {"A": entry(storage="legacy-kv")}),
    ("invalid_export", account(), "A", {"A": entry()}),
    ("invalid_export", account(), "A", {"A": entry(storage="disk")}),
    ("invalid_export", account(), "A", {"A": {"type": "class"}}),
    ("invalid_export", account(), "A", {"A": 5}),
    ("invalid_export", account(), "A", {"A": entry(state="gone")}),
    ("invalid_export", account(), "A", {"A": entry(state="deleted", storage="sqlite")}),
    ("invalid_export", account(), "A", {"not a name": LIVE}),
    ("invalid_export", account(), "A", {"default": {"type": "worker", "storage": "sqlite"}}),
    ("invalid_export", account(namespace("A")), "B", {"A": renamed("B")}),
    ("invalid_export", account(namespace("A")), "A", {"A": renamed("A")}),
    ("invalid_export", account(namespace("A")), "", {"A": renamed("B"), "B": DELETED}),
    ("tombstone_delete_class_still_in_code", account(namespace("A")), "A", {"A": DELETED}),
    (
        "tombstone_delete_blocked_by_external_bindings",
        account(namespace("A"), scripts={"other": ScriptFacts(bound=frozenset({"me/A"}))}),
        "",
        {"A": DELETED},
    ),
    (
        "tombstone_renamed_to_occupied",
        account(namespace("A"), namespace("B")),
        "B",
        {"A": renamed("B"), "B": LIVE},
    ),
    ("transferred_target_missing", account(namespace("A")), "", {"A": transferred("nobody")}),
    ("transferred_target_missing", account(namespace("A")), "", {"A": transferred("me")}),
    ("transferred_pending_not_found", account(namespace("A")), "", {"A": transferred("other")}),
    ("transferred_target_mismatch", account(namespace("A"), scripts=PENDING), "", {"A": transferred("other")}),
    ("phase_one_transfer_source_missing", account(), "X", {"X": expecting("nobody")}),
    ("phase_one_transfer_source_namespace_missing", account(), "X", {"X": expecting("other")}),
    (
        "phase_one_transfer_target_class_provisioned",
        account(namespace("X"), namespace("X", "other")),
        "X",
        {"X": expecting("other")},
    ),
    (
        "phase_one_transfer_after_commit_mismatch",
        account(namespace("X"), scripts=RECEIVED),
        "X",
        {"X": expecting("other")},
    ),
    (
        "phase_one_transfer_duplicate",
        account(namespace("X", "other"), scripts=RIVAL),
        "X",
        {"X": expecting("other")},
    ),
]


@pytest.mark.parametrize(("scenario", "facts", "code", "exports"), REFUSED)
def test_refused(scenario: str, facts: AccountFacts, code: str, exports: dict[str, Any]) -> None:
    """Each broken state answers 100402 with its scenario tag."""
    with pytest.raises(Refused) as refused:
        run(facts, code, exports)
    (error,) = refused.value.errors
    assert (error["code"], refused.value.status) == (100402, 400)
    assert error["message"] == "Durable Object exports reconciliation failed"
    assert scenario in {detail["scenario"] for detail in error["meta"]["details"]}
    assert all(detail["message"] and "{" not in detail["message"] for detail in error["meta"]["details"])


def test_all_classes_are_judged_at_once() -> None:
    """One answer holds every problem, so that nobody must fix them one upload at a time."""
    facts = account(namespace("A"), namespace("B"), namespace("C"))
    with pytest.raises(Refused) as refused:
        run(facts, "A", {"C": DELETED, "B": LIVE, "Z": LIVE})
    found = {d["class"]: d["scenario"] for d in refused.value.errors[0]["meta"]["details"]}
    assert found == {
        "A": "provisioned_class_missing_from_config",
        "B": "config_export_not_in_code",
        "Z": "config_references_nonexistent_class",
    }


def test_two_tombstones_cannot_take_one_name() -> None:
    """Only one class can be renamed to a name."""
    facts = account(namespace("A"), namespace("B"))
    with pytest.raises(Refused):
        run(facts, "C", {"A": renamed("C"), "B": renamed("C"), "C": LIVE})


def test_blockers_are_named() -> None:
    """A delete that other Workers block names them."""
    facts = account(namespace("A"), scripts={"other": ScriptFacts(bound=frozenset({"me/A"}))})
    with pytest.raises(Refused) as refused:
        run(facts, "", {"A": DELETED})
    (detail,) = refused.value.errors[0]["meta"]["details"]
    assert (detail["referencing_scripts"], detail["namespace_id"]) == (["other"], "me/A")


def test_every_scenario_is_official_and_tested() -> None:
    """The table holds only tags of the published enum, and every row of it is reached by a test above."""
    schemas = json.loads(OPENAPI.read_text())["components"]["schemas"]
    official = schemas["workers_exports_reconciliation_scenario"]["enum"]
    assert set(SCENARIOS) <= set(official)
    infos = {scenario for *_, wanted in ACCEPTED for _, scenario in wanted.get("info", [])}
    assert {s for s, *_ in REFUSED} | infos == set(SCENARIOS)
    assert set(official) - set(SCENARIOS) == {s for s in official if "container" in s or "dispatch" in s}


def test_reads_show_live_entries_only() -> None:
    """Tombstones are never given back."""
    exports = {"A": LIVE, "B": DELETED, "C": expecting("other"), "default": {"type": "worker"}}
    assert set(live_entries(exports)) == {"A", "C", "default"}


def test_who_still_binds_the_old_name_is_named() -> None:
    """A stale tombstone names the Workers that were uploaded with the old name, and is not removable till then."""
    facts = account(namespace("B"), scripts={"other": ScriptFacts(names=frozenset({("me", "A")}))})
    result = run(facts, "B", {"A": renamed("B"), "B": LIVE}).reconciliation
    assert result is not None
    (info,) = result["info"]
    assert info["referencing_scripts"] == ["other"]
    assert "Safe to remove" not in info["message"]
    assert result["removable_entries"] == []


def test_workflow_entries_have_no_lifecycle() -> None:
    """They stand beside classes and alone; a field that they do not have is refused."""
    flow = {"type": "workflow", "name": "f", "limits": {}, "schedules": [], "default_retention": {}}
    assert outcome(run(account(), "A", {"A": LIVE, "Flow": flow})) == {"created": ["A"]}
    with pytest.raises(Refused):
        run(account(), "", {"Flow": {**flow, "storage": "sqlite"}})


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, None, True, ...])
def test_a_workflow_without_a_name_of_its_form_is_refused(name: Any) -> None:
    """Of any other name the runtime would make a folder here."""
    flow = {"type": "workflow"} if name is ... else {"type": "workflow", "name": name}
    with pytest.raises(Refused) as refused:
        run(account(), "A", {"A": LIVE, "Flow": flow})
    (detail,) = refused.value.errors[0]["meta"]["details"]
    assert detail["class"] == "Flow"
    assert "`name` of 1 to 64 letters" in detail["message"]
