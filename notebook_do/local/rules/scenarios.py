"""The texts of the declarative flow: one row for each scenario tag that this Cloudflare can answer with.

Tags are Cloudflare's published enum. Scenarios of containers and dispatch namespaces are absent: neither exists here,
and uploads that ask for them are refused earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from notebook_do.local.rules.refusals import Source


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: whether it refuses, its text, what to do, and how well the text is known."""

    kind: Literal["error", "info"]
    text: str
    suggestion: str
    source: Source


def message_of(scenario: str, **words: Any) -> str:
    """Give the message of a scenario."""
    text = SCENARIOS[scenario].text.format(**words)
    if scenario == "stale_tombstone" and (others := words.get("referencing_scripts")):
        return text.replace(_REMOVABLE, _STILL_BOUND.format(scripts=", ".join(others), **words))
    return text


def suggestion_of(scenario: str, **words: Any) -> str:
    """Say what to do about it; empty when there is nothing to do."""
    return SCENARIOS[scenario].suggestion.format(**words)


_REMOVABLE = "Safe to remove from `exports`."
_STILL_BOUND = "Removing it could orphan the bindings of other Workers to '{name}': {scripts}."
"""What a stale tombstone says while others bind the old class; emulated: its text is known from no document."""

SCENARIOS: dict[str, Scenario] = {
    "provisioned_class_missing_from_config": Scenario(
        "error",
        "A namespace exists for '{name}' but no `exports` entry declares it.",
        "Add an entry for '{name}' to `exports`.",
        "documented",
    ),
    "orphaned_provisioned_namespace": Scenario(
        "error",
        "A namespace exists for '{name}' but neither the code nor `exports` has the class.",
        "Declare '{name}' in `exports` with state 'deleted', 'renamed' or 'transferred'.",
        "emulated",
    ),
    "config_export_not_in_code": Scenario(
        "error",
        "`exports` declares '{name}', which has a namespace, but the code does not export the class.",
        "Export the class, or declare what becomes of its namespace.",
        "emulated",
    ),
    "config_references_nonexistent_class": Scenario(
        "error",
        "`exports` declares '{name}', but the code does not export such a class and no namespace exists for it.",
        "Export the class or remove the entry.",
        "emulated",
    ),
    "invalid_export": Scenario("error", "The `exports` entry '{name}' is invalid: {why}.", "", "emulated"),
    "storage_type_mismatch": Scenario(
        "error",
        "`exports` declares the storage '{declared}' for '{name}', but its namespace is '{live}'; storage "
        "cannot be changed.",
        "Declare the storage '{live}'.",
        "emulated",
    ),
    "free_tier_requires_sqlite": Scenario(
        "error", "A new namespace for '{name}' must have the storage 'sqlite' on the free plan.", "", "emulated"
    ),
    "tombstone_delete_class_still_in_code": Scenario(
        "error",
        "'{name}' is declared as deleted, but the code still exports the class.",
        "Remove the class from the code.",
        "emulated",
    ),
    "tombstone_delete_blocked_by_external_bindings": Scenario(
        "error",
        "'{name}' cannot be deleted: other Workers bind to its namespace: {referencing_scripts}.",
        "Remove those bindings first.",
        "emulated",
    ),
    "tombstone_renamed_to_occupied": Scenario(
        "error", "'{name}' cannot be renamed to '{to}': a namespace for '{to}' exists already.", "", "emulated"
    ),
    "transferred_target_missing": Scenario(
        "error", "'{name}' cannot be transferred: there is no other Worker '{to}'.", "", "emulated"
    ),
    "transferred_pending_not_found": Scenario(
        "error",
        "'{name}' cannot be transferred: the Worker '{to}' does not expect it.",
        "Deploy '{to}' first, with '{name}' in state 'expecting-transfer'.",
        "emulated",
    ),
    "transferred_target_mismatch": Scenario(
        "error", "'{name}' cannot be transferred: the Worker '{to}' expects it from another Worker.", "", "emulated"
    ),
    "phase_one_transfer_source_missing": Scenario(
        "error", "'{name}' expects a transfer from '{source}', but there is no such other Worker.", "", "emulated"
    ),
    "phase_one_transfer_source_namespace_missing": Scenario(
        "error", "'{name}' expects a transfer from '{source}', which has no namespace for the class.", "", "emulated"
    ),
    "phase_one_transfer_target_class_provisioned": Scenario(
        "error", "'{name}' expects a transfer, but this Worker already has a namespace for the class.", "", "emulated"
    ),
    "phase_one_transfer_after_commit_mismatch": Scenario(
        "error",
        "'{name}' was already received from another Worker than '{source}'.",
        "Change the entry to state 'created'.",
        "emulated",
    ),
    "phase_one_transfer_duplicate": Scenario(
        "error", "'{name}' of '{source}' is already expected by the Worker '{rival}'.", "", "emulated"
    ),
    "code_class_not_in_exports": Scenario(
        "info", "The code exports the class '{name}', which `exports` does not declare; it is ignored.", "", "emulated"
    ),
    "tombstone_class_still_in_code": Scenario(
        "info",
        "Tombstone of type '{state}' applied. Class '{name}' is still exported in code; this is the supported "
        "pattern for "
        "zero-downtime rename rollouts.",
        "",
        "documented",
    ),
    "stale_tombstone": Scenario(
        "info",
        "Tombstone of type '{state}' for class '{name}' has no effect (no namespace exists with this class "
        "name). Safe to "
        "remove from `exports`.",
        "",
        "documented",
    ),
    "transfer_receive_already_applied": Scenario(
        "info", "'{name}' was already received; its entry can be changed to state 'created'.", "", "emulated"
    ),
    "transfer_receive_cleanup_complete": Scenario(
        "info", "'{name}' was received by transfer; its entry is now an ordinary one.", "", "emulated"
    ),
}
