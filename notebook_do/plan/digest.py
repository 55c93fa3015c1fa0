"""Names a plan by what it sends and what it rests on, and writes it as JSON in one way only.

The digest covers session, stage, target, every step with its values and code, the baseline, the consents, the codes of
refusals, and of a change what it does to what. How something is said, where a cell stands and at which address the API
answers is not what a person approves: the same plan may be made in another process, on another day.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from notebook_do.model.words import counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.plan.plan import Change, Plan

WORDS = {
    "Upload": "upload",
    "SetMark": "set-mark",
    "SetUrl": "set-url",
    "SetSchedules": "set-schedules",
    "MakeQueue": "make-queue",
    "SetTrigger": "set-trigger",
    "RemoveTrigger": "remove-trigger",
    "DeleteScript": "delete-script",
    "Forget": "forget",
    "Module": "module",
    "Json": "json",
    "PlainText": "plain-text",
    "Resource": "resource",
    "Secret": "secret",
    "ClassBinding": "class-binding",
    "ServiceBinding": "service-binding",
    "ValueBinding": "value-binding",
    "Migration": "migration",
    "CreateClass": "create-class",
    "RenameClass": "rename-class",
    "TransferClass": "transfer-class",
    "TransferredAway": "transferred-away",
    "DeleteClass": "delete-class",
    "MovedClass": "moved-class",
    "StaticAssets": "static-assets",
    "AssetFile": "asset-file",
    "Trigger": "trigger",
    "RecordedWorker": "recorded-worker",
    "RecordedNamespace": "recorded-namespace",
    "Consent": "consent",
}
"""The word for each type in a digest: fixed, so that a class may be renamed and approvals stay what they are."""


def digest_of(plan: Plan) -> str:
    """Return 16 hex digits: equal for plans that send the same and rest on the same, unequal for any others."""
    baseline = plan.baseline
    body = {
        "session": plan.session,
        "stage": plan.stage,
        "target": plan.target,
        "steps": [plain(step, WORDS) for step in plan.steps],
        # A state file that was never written has a lineage that is new in every process, and tells nothing.
        "state": [baseline.lineage if baseline.serial else "", baseline.serial, baseline.account_id],
        "scripts": [plain(baseline.scripts), sorted(plan.scripts)],
        "namespaces": [plain(baseline.namespaces), sorted(plan.namespace_ids)],
        "consents": [plain(consent, WORDS) for consent in plan.consents],
        "refusals": sorted(refusal.code for refusal in plan.refusals),
        "changes": [_change(change) for change in plan.changes],
        "drift": [_change(change) for change in plan.drift],
        "undecided": [[left.worker, left.script_name, *left.ids] for left in plan.undecided],
    }
    return hashlib.sha256(canonical(body).encode()).hexdigest()[:16]


def is_as_shown(given: Plan, shown: Plan, digest: str) -> bool:
    """Return whether `given` is the plan that was `shown` under `digest`, warnings aside.

    A digest that an object only carries proves nothing: a copy, or the very object, may keep the one that was computed
    before something in it was changed, a consent say. So it is computed anew.
    """
    if type(given) is not type(shown):
        return False
    return replace(given, warnings=shown.warnings) == shown and digest_of(shown) == digest


def _change(change: Change) -> list[str]:
    return [change.action.value, change.kind, change.id, change.worker, change.name, change.field]


def canonical(body: dict[str, Any]) -> str:
    """Return the one way to write a JSON value."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def plain(value: Any, words: Mapping[str, str] | None = None) -> Any:
    """Return dataclasses, enums, bytes and sets as JSON values, bytes as their sha256.

    A dataclass says what it `is`: the name of its type, or the word for that in `words`.
    """
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        given = ((f, getattr(value, f.name)) for f in fields(value))
        body = {f.name: plain(found, words) for f, found in given if counts(f, found)}
        return {"is": words[kind] if words else kind, **body}
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(plain(v, words) for v in value)
    if isinstance(value, tuple | list):
        return [plain(v, words) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v, words) for k, v in value.items()}
    return value
