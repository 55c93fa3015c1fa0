"""`--json` of every verb that shows something: one JSON value, whose fields a program can rely on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sharing import COUNTER

from notebook_do.frames import COLUMNS
from notebook_do.notebook import verbs

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

STATUS = (
    *("session", "stage", "target", "account_id", "api", "token", "state_path", "serial", "last_deploy", "rows"),
    *("problem", "stopped", "rebuilt", "next_steps", "crons", "account"),
)
FIELDS: dict[str, tuple[str, ...]] = {
    "%durable": STATUS,
    "%durable session tour": STATUS,
    **{f"%durable show {name}": tuple(COLUMNS[name]) for name in ("namespaces", "workers", "bindings", "state")},
    "%durable state": tuple(COLUMNS["state"]),
    "%durable state backups": tuple(COLUMNS["backups"]),
    "%durable state restore SERIAL": ("restored", "serial"),
    "%durable state unlock": ("holder",),
    "%durable require env HOME": ("set",),
    "%durable whoami": tuple(COLUMNS["whoami"]),
    "%durable help secrets": ("topic", "text"),
    "%durable form worker": ("widgets", "line"),
    "%durable deploy": ("sent", "approve", "plan"),
    "%durable destroy api": ("sent", "approve", "plan"),
    "%durable fetch api /": ("status", "headers", "body"),
    "%durable export types": ("files",),
    "%durable export wrangler": ("files",),
    "%durable import api-dev": ("cells", "notes", "files", "built"),
    "%durable rm worker api": ("forgotten",),
}
"""By line, the fields of its result; of a list those of each row."""
PLAN = ("digest", "session", "stage", "target", "steps", "changes", "refusals", "consents", "warnings")
"""Of a plan, those that a program cannot do without; views and planner say which it has besides."""


def told(ip: InteractiveShell, line: str) -> Any:
    """Run a line with `--json`, and give what its text says."""
    done = ip.run_cell(f"text = {line} --json\ntext")
    done.raise_error()
    return json.loads(done.result)


@pytest.fixture
def shell(ip: InteractiveShell, cloud: Path, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """Give a shell with a session that has deployed one Worker."""
    del cloud
    monkeypatch.setenv("HOME", "/root")
    for cell in (
        "%durable session tour",
        "%durable namespace counter --class Counter --unprotect",
        f"%%durable worker api --bind COUNTER=counter{COUNTER}",
        "import notebook_do as nd\ns = nd.current()\nr = s.deploy(s.plan())",
    ):
        ip.run_cell(cell).raise_error()
    return ip


def fields_of(value: Any) -> tuple[str, ...]:
    """Give the fields of an object, or those that every row of a list has."""
    if not isinstance(value, list):
        return tuple(value)
    assert value, "the list is empty"
    assert len({tuple(row) for row in value}) == 1
    return tuple(value[0])


def test_the_result_of_every_verb_has_its_fields(shell: InteractiveShell) -> None:
    """Issue 16.8: the fields of each are these, in this order, whatever is declared, recorded or live."""
    found = {}
    for line, expected in FIELDS.items():
        if line in {"%durable deploy", "%durable state restore SERIAL"}:  # something to be sent, and to be restored
            shell.run_cell(f"%%durable worker api --bind COUNTER=counter --var N={len(found)}{COUNTER}").raise_error()
        if "SERIAL" in line:
            shell.run_cell("r = s.deploy(s.plan())").raise_error()
            serial = min(backup.serial for backup in shell.user_ns["s"].state.backups())
            found[line] = fields_of(told(shell, line.replace("SERIAL", str(serial))))
        else:
            found[line] = fields_of(told(shell, line))
        assert found[line] == expected, line
    assert found == FIELDS


def test_a_plan_and_what_a_deploy_did_have_their_fields(shell: InteractiveShell) -> None:
    """A plan has its digest first; a result says how every step ended."""
    shell.run_cell(f"%%durable worker api --bind COUNTER=counter --var N=1{COUNTER}").raise_error()
    plan = told(shell, "%durable plan")
    assert next(iter(plan)) == "digest"
    assert set(PLAN) <= set(plan)
    result = told(shell, f"%durable deploy --approve {plan['digest']}")
    assert {"plan_digest", "outcomes", "workers", "namespaces", "requests", "notes", "deployed"} <= set(result)
    assert {"text", "status", "detail"} <= set(result["outcomes"][0])
    objects = told(shell, "%durable objects counter")
    assert objects == []


def test_without_a_session_the_lines_to_begin_with_are_told(ip: InteractiveShell) -> None:
    """Also before anything is there, the answer is one object."""
    assert list(told(ip, "%durable")) == ["next"]


def test_every_verb_that_shows_something_takes_json() -> None:
    """Those that declare do not: their `--json` is a binding."""
    takes = {verb.name for verb in verbs.VERBS if any(option.name == "--json" for option in verb.common)}
    assert takes == {verb.name for verb in verbs.VERBS} - {"namespace", "worker"}
