"""The digest of a plan: what a person approves, whatever the words are in which it is shown."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from notebook_do.model.plain import canonical

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

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
    "Inspector": "inspector",
    "Inspected": "inspected",
}
"""The word for each type in a digest: fixed, so that a class may be renamed while a plan that was approved before keeps
its digest."""
_COVERED = attrgetter("action", "kind", "id", "worker", "name", "field")
"""What a digest covers of a change."""


def digest_of(plan: Plan) -> str:
    """Return 16 hex digits: equal for plans that send the same and rest on the same, unequal for any others.

    How something is said, where a cell stands and at which address the API answers is not what a person approves: the
    same plan may be made in another process, on another day.
    """
    baseline = plan.baseline
    body = {
        "session": plan.session,
        "stage": plan.stage,
        "target": plan.target,
        "steps": plan.steps,
        # A state file that was never written has a lineage that is new in every process, and tells nothing.
        "state": [baseline.lineage if baseline.serial else "", baseline.serial, baseline.account_id],
        "scripts": [baseline.scripts, sorted(plan.scripts)],
        "namespaces": [baseline.namespaces, sorted(plan.namespace_ids)],
        "consents": plan.consents,
        "refusals": sorted(refusal.code for refusal in plan.refusals),
        "changes": list(map(_COVERED, plan.changes)),
        "drift": list(map(_COVERED, plan.drift)),
        "undecided": [[left.worker, left.script_name, *left.ids] for left in plan.undecided],
    }
    return hashlib.sha256(canonical(body, WORDS).encode()).hexdigest()[:16]


def is_as_shown(given: Plan, shown: Plan, digest: str) -> bool:
    """Return whether `given` is the plan that was `shown` under `digest`, warnings and notes aside.

    Those say when it was read too: a plan that was made again, and found the same, is the one that was read before.

    A digest that an object only carries proves nothing: a copy, or the very object, may keep the one that was computed
    before something in it was changed, a consent say. So it is computed anew.
    """
    if type(given) is not type(shown):
        return False
    return replace(given, warnings=shown.warnings, notes=shown.notes) == shown and digest_of(shown) == digest
