"""Planner cases as data: each file in cases/ says what is declared, recorded and live, and what the plan must be.

To add a case, add a file. Keys: `claim` (one sentence), `cells` (lines, or [line, body]), `destroy`, `recorded` and
`observed` (fields of the model; `"as declared"` stands for a digest of the declarations, so that nothing differs),
and what is expected: `steps`, `refusals` (code -> words of the message or a choice), `drift` and `warnings` (words),
`consents` (phrases), `changes` (action, kind, id), `undeclared` (where nothing is declared at all). What is not named
is expected to be empty, `changes` excepted. `target` is local where it is not named.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plan_world import words

from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.model import (
    ClassBinding,
    Desired,
    Json,
    MovedClass,
    Observed,
    ObservedBinders,
    ObservedNamespace,
    ObservedScript,
    ObservedTrigger,
    PlainText,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    Resource,
    Secret,
    ServiceBinding,
    Storage,
    Trigger,
    ValueBinding,
)
from notebook_do.model.states import SecretReading
from notebook_do.plan.build import build_plan
from notebook_do.plan.workers.settings import fingerprint
from notebook_do.sessions.inspectors import with_inspectors
from notebook_do.sources.bundle import reader

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
KEYS = {
    *("claim", "cells", "destroy", "recorded", "observed", "sights"),
    *("steps", "refusals", "drift", "warnings", "consents", "changes", "undeclared", "target"),
}


def desired_of(case: dict[str, Any]) -> Desired:
    """Run the cells."""
    catalog = Catalog()
    for cell in case["cells"]:
        line, body = cell if isinstance(cell, list) else (cell, None)
        catalog.declare(*parse_cell(line, body))
    return catalog.desired("s", "production", read=reader(), destroy=case.get("destroy", ()))


class FixedKeys:
    """One public key for every inspector."""

    def of(self, *known: object) -> str:
        """Give it."""
        del known
        return "A" * 43 + "="


def states_of(case: dict[str, Any]) -> tuple[Desired, Recorded, Observed]:
    """Read the three states, with the inspectors that are declared for Cloudflare."""
    desired = desired_of(case)
    recorded, observed = recorded_of(case, desired), observed_of(case)
    if case.get("target") == "cloudflare":
        desired = with_inspectors(desired, recorded, observed.account_id, FixedKeys())
    return desired, recorded, observed


def recorded_of(case: dict[str, Any], desired: Desired) -> Recorded:
    """Read the state file of a case."""
    given = case.get("recorded", {})
    declared = {w.id: w for w in desired.workers}
    workers = []
    for fields in given.get("workers", ()):
        filled = dict(fields) | {"secrets": tuple(fields.get("secrets", {}).items())}
        filled["triggers"] = tuple(Trigger(**_with_json(t, "settings")) for t in fields.get("triggers", ()))
        filled["moved"] = tuple(MovedClass(**m) for m in fields.get("moved", ()))
        filled = _with_json(filled, "settings")
        if filled.get("content_digest") == "as declared":
            filled["content_digest"] = declared[fields["id"]].content_digest
        if filled.get("settings_digest") == "as declared":
            filled["settings_digest"] = str(fingerprint(declared[fields["id"]]))
        workers.append(RecordedWorker(**filled))
    namespaces = [
        RecordedNamespace(**{**n, "storage": Storage(n.get("storage", "sqlite"))}) for n in given.get("namespaces", ())
    ]
    other = {k: v for k, v in given.items() if k not in {"workers", "namespaces"}}
    return Recorded(**{"lineage": "f" * 32, **other}, workers=tuple(workers), namespaces=tuple(namespaces))


def observed_of(case: dict[str, Any]) -> Observed:
    """Read what is live in a case."""
    given = case.get("observed", {})
    scripts = []
    for fields in given.get("scripts", ()):
        bindings = fields.get("bindings")
        read = tuple(binding_of(name, b) for name, b in sorted(bindings.items())) if bindings is not None else None
        tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        filled = _with_json({**fields, **tuples, "bindings": read}, "options", "carried", "entries")
        if binders := fields.get("binders"):
            pairs = tuple((id_, script) for id_, script in binders.get("pairs", ()))
            filled["binders"] = ObservedBinders(pairs=pairs, problem=binders.get("problem"))
        scripts.append(ObservedScript(**filled))
    namespaces = [
        ObservedNamespace(**{**n, "storage": Storage(n.get("storage", "sqlite"))}) for n in given.get("namespaces", ())
    ]
    return Observed(
        account_id=given.get("account_id", "a" * 32),
        api_origin="http://127.0.0.1:1",
        scripts=tuple(scripts),
        namespaces=tuple(namespaces),
        triggers=tuple(ObservedTrigger(**_with_json(t, "settings")) for t in given.get("triggers", ())),
    )


def _with_json(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give the fields, those of these names as the JSON values that the model holds."""
    return {k: Json(v) if k in names else v for k, v in fields.items()}


def secret_readings_of(case: dict[str, Any]) -> dict[tuple[str, str], SecretReading]:
    """Read what can be told of the secrets: `{"script": {"BINDING": {"mark": ...} or {"problem": ...}}}`."""
    return {
        (script, binding): SecretReading(**fields)
        for script, bindings in case.get("sights", {}).items()
        for binding, fields in bindings.items()
    }


def binding_of(name: str, fields: dict[str, Any]) -> ClassBinding | ValueBinding:
    """Read a live binding: `{"class_name": ...}`, `{"text": ...}`, `{"json": ...}`, `{"secret": ...}`, ..."""
    match fields:
        case {"class_name": class_name}:
            id_ = fields.get("namespace_id")
            return ClassBinding(
                name=name, class_name=class_name, script_name=fields.get("script_name"), namespace_id=id_
            )
        case {"text": text}:
            return ValueBinding(name=name, value=PlainText(text=text))
        case {"json": value}:
            return ValueBinding(name=name, value=Json(value))
        case {"secret": key}:
            return ValueBinding(name=name, value=Secret.from_env(key))
        case {"service": worker, **more}:
            props = Json(more.pop("props")) if "props" in more else None
            return ValueBinding(name=name, value=ServiceBinding(worker=worker, props=props, **more))
        case {"type": kind, **rest}:
            return ValueBinding(name=name, value=Resource(type=kind, fields=Json(rest)))
    raise AssertionError(f"unknown binding {fields}")


def test_there_are_cases() -> None:
    """The directory of cases is found."""
    assert len(CASES) >= 15


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    """The plan is what the case says."""
    case = json.loads(path.read_text())
    assert case.keys() <= KEYS
    desired, recorded, observed = states_of(case)
    given: dict[str, Any] = {
        "target": case.get("target", "local"),
        "default_compatibility_date": "2026-01-01",
        "secret_readings": secret_readings_of(case),
    }
    plan = build_plan(desired, recorded, observed, **given)
    refusals = {r.code: " ".join((r.message, *r.choices)) for r in plan.refusals}
    assert refusals.keys() == case.get("refusals", {}).keys()
    for code, expected in case.get("refusals", {}).items():
        for word in [expected] if isinstance(expected, str) else expected:
            assert word in refusals[code]
    assert words(plan) == case.get("steps", [])
    _match(case.get("drift", []), [c.detail for c in plan.drift])
    _match(case.get("warnings", []), list(plan.warnings))
    assert [c.phrase for c in plan.consents] == case.get("consents", [])
    if "changes" in case:
        found = [[c.action.value, c.kind, c.id] for c in plan.changes if c.action.value != "noop"]
        assert found == case["changes"]
    if "undeclared" in case:
        assert list(plan.undeclared or ()) == case["undeclared"]
    again = build_plan(desired, recorded, observed, **given)
    assert again.to_json() == plan.to_json()


def _match(expected: list[str], found: list[str]) -> None:
    assert len(found) == len(expected), found
    for words_, text in zip(expected, found, strict=True):
        assert words_ in text
