"""What is said of one class of the declarative `exports`, in two tables: the sentences, and what to do about it.

All of them are reported by one refusal (100402), or beside an upload that was taken. Their names are Cloudflare's
published enum, without those of containers and dispatch namespaces, which this account does not have.
"""

from __future__ import annotations

from typing import Any

_REMOVABLE = "Safe to remove from `exports`."
_STILL_BOUND = "Removing it could orphan the bindings of other Workers to '{name}': {scripts}."
"""What a stale tombstone says while others bind the old class; emulated: its text is known from no document."""

SCENARIOS: dict[str, str] = {
    # --- documented, refused
    "provisioned_class_missing_from_config": "A namespace exists for '{name}' but no `exports` entry declares it.",
    # --- emulated, refused
    "orphaned_provisioned_namespace": (
        "A namespace exists for '{name}' but neither the code nor `exports` has the class."
    ),
    "config_export_not_in_code": (
        "`exports` declares '{name}', which has a namespace, but the code does not export the class."
    ),
    "config_references_nonexistent_class": (
        "`exports` declares '{name}', but the code does not export such a class and no namespace exists for it."
    ),
    "invalid_export": "The `exports` entry '{name}' is invalid: {why}.",
    "storage_type_mismatch": (
        "`exports` declares the storage '{declared}' for '{name}', but its namespace is '{live}'; storage cannot be "
        "changed."
    ),
    "free_tier_requires_sqlite": "A new namespace for '{name}' must have the storage 'sqlite' on the free plan.",
    "tombstone_delete_class_still_in_code": "'{name}' is declared as deleted, but the code still exports the class.",
    "tombstone_delete_blocked_by_external_bindings": (
        "'{name}' cannot be deleted: other Workers bind to its namespace: {referencing_scripts}."
    ),
    "tombstone_renamed_to_occupied": "'{name}' cannot be renamed to '{to}': a namespace for '{to}' exists already.",
    "transferred_target_missing": "'{name}' cannot be transferred: there is no other Worker '{to}'.",
    "transferred_pending_not_found": "'{name}' cannot be transferred: the Worker '{to}' does not expect it.",
    "transferred_target_mismatch": "'{name}' cannot be transferred: the Worker '{to}' expects it from another Worker.",
    "phase_one_transfer_source_missing": (
        "'{name}' expects a transfer from '{source}', but there is no such other Worker."
    ),
    "phase_one_transfer_source_namespace_missing": (
        "'{name}' expects a transfer from '{source}', which has no namespace for the class."
    ),
    "phase_one_transfer_target_class_provisioned": (
        "'{name}' expects a transfer, but this Worker already has a namespace for the class."
    ),
    "phase_one_transfer_after_commit_mismatch": "'{name}' was already received from another Worker than '{source}'.",
    "phase_one_transfer_duplicate": "'{name}' of '{source}' is already expected by the Worker '{rival}'.",
    # --- documented, worth saying and stopping nothing
    "tombstone_class_still_in_code": (
        "Tombstone of type '{state}' applied. Class '{name}' is still exported in code; this is the supported pattern "
        "for zero-downtime rename rollouts."
    ),
    "stale_tombstone": (
        "Tombstone of type '{state}' for class '{name}' has no effect (no namespace exists with this class name). "
        "Safe to remove from `exports`."
    ),
    # --- emulated, worth saying and stopping nothing
    "code_class_not_in_exports": (
        "The code exports the class '{name}', which `exports` does not declare; it is ignored."
    ),
    "transfer_receive_already_applied": "'{name}' was already received; its entry can be changed to state 'created'.",
    "transfer_receive_cleanup_complete": "'{name}' was received by transfer; its entry is now an ordinary one.",
}

SUGGESTIONS: dict[str, str] = {
    "provisioned_class_missing_from_config": "Add an entry for '{name}' to `exports`.",
    "orphaned_provisioned_namespace": "Declare '{name}' in `exports` with state 'deleted', 'renamed' or 'transferred'.",
    "config_export_not_in_code": "Export the class, or declare what becomes of its namespace.",
    "config_references_nonexistent_class": "Export the class or remove the entry.",
    "storage_type_mismatch": "Declare the storage '{live}'.",
    "tombstone_delete_class_still_in_code": "Remove the class from the code.",
    "tombstone_delete_blocked_by_external_bindings": "Remove those bindings first.",
    "transferred_pending_not_found": "Deploy '{to}' first, with '{name}' in state 'expecting-transfer'.",
    "phase_one_transfer_after_commit_mismatch": "Change the entry to state 'created'.",
}
"""What to do about it, where that is known."""


def detail_of(name: str, scenario: str, **facts: Any) -> dict[str, Any]:
    """Return what an answer says about one class; `facts` fill the text, and two of them are fields beside it."""
    text = SCENARIOS[scenario].format(name=name, **facts)
    if scenario == "stale_tombstone" and (others := facts.get("referencing_scripts")):
        text = text.replace(_REMOVABLE, _STILL_BOUND.format(name=name, scripts=", ".join(others)))
    shown: dict[str, Any] = {key: facts[key] for key in ("referencing_scripts", "namespace_id") if key in facts}
    if scenario in SUGGESTIONS:
        shown["suggestion"] = SUGGESTIONS[scenario].format(name=name, **facts)
    return {"class": name, "scenario": scenario, "message": text, **shown}
