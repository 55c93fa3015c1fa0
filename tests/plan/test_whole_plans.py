"""Every case's plan to the letter: each change with its words, each step with all that is sent, each record.

The cases say what matters of a plan; this says that nothing else of it changes unseen, nor why it is not to be sent
before a person has read it. After a deliberate change write the file anew, look at its diff, and commit both together:
`python tests/plan/test_whole_plans.py`.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from notebook_do.plan.build import build_plan
from notebook_do.plan.unattended import objections

HERE = Path(__file__).parent
FILE = HERE / "whole_plans.json"


def _cases() -> Any:
    """Load the reader of the cases."""
    if "cases_of_plans" not in sys.modules:
        spec = importlib.util.spec_from_file_location("cases_of_plans", HERE / "test_cases.py")
        assert spec
        assert spec.loader
        sys.modules["cases_of_plans"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["cases_of_plans"])
    return sys.modules["cases_of_plans"]


def whole(path: Path) -> Any:
    """Plan one case and give all of the plan; what is empty or false is left out."""
    cases, case = _cases(), json.loads(path.read_text())
    plan = build_plan(
        *cases.states_of(case),
        target=case.get("target", "local"),
        default_compatibility_date="2026-01-01",
        secret_readings=cases.secret_readings_of(case),
    )
    rows: dict[str, Any] = {"binding_rows": plan.binding_rows, "migration_rows": plan.migration_rows}
    if plan.can_deploy:
        rows["objections"] = [f"{one.kind}: {one.text}" for one in objections(plan)]
    return _filled({**json.loads(plan.to_json()), **json.loads(json.dumps(rows))})


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: kept for k, v in value.items() if (kept := _filled(v)) not in (None, "", [], {}, False)}
    return [_filled(v) for v in value] if isinstance(value, list) else value


PATHS = sorted((HERE / "cases").glob("*.json"))


def written() -> str:
    """Write every plan, a line for each change, step and row."""
    cases = []
    for path in PATHS:
        parts = []
        for key, value in sorted(whole(path).items()):
            texts = [json.dumps(v, sort_keys=True) for v in value] if isinstance(value, list) else []
            said = "[\n   " + ",\n   ".join(texts) + "\n  ]" if texts else json.dumps(value, sort_keys=True)
            parts.append(f"  {json.dumps(key)}: {said}")
        cases.append(f" {json.dumps(path.stem)}: {{\n" + ",\n".join(parts) + "\n }")
    return "{\n" + ",\n".join(cases) + "\n}\n"


@functools.cache
def agreed() -> Any:
    """Read what was agreed."""
    return json.loads(FILE.read_text())


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_the_whole_plan_is_as_it_was_agreed(path: Path) -> None:
    """Nothing of a plan changes unseen: words, order, what is sent, what is recorded, what it rests on."""
    assert path.stem in agreed(), "a new case: write its plan down with `python tests/plan/test_whole_plans.py`"
    assert whole(path) == agreed()[path.stem]


def test_no_plan_is_left_of_a_case_that_is_gone() -> None:
    """The file has the plans of the cases, and no others."""
    assert agreed().keys() == {p.stem for p in PATHS}


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    FILE.write_text(written())
