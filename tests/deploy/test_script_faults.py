"""Whom a refusal is about: the script, with the line of its cell, a queue that is not there, or nobody here."""

from __future__ import annotations

from typing import Any

import pytest

from notebook_do.deploy.faults import SCRIPT_FAULTS, with_line
from notebook_do.errors import ApiError, DeployError, SourceError
from notebook_do.model import CreateClass, Json, Migration, Resource, StableId, Storage, ValueBinding
from notebook_do.model.steps import DeleteScript, Upload


def upload(**more: Any) -> Upload:
    """Make an upload whose script begins in the fourth line of its cell."""
    given: dict[str, Any] = {"bindings": (), "migration": None, "line": 2, "body_line": 4, **more}
    return Upload(
        worker="w",
        script_name="w-dev",
        main_module="index.js",
        modules=(),
        compatibility_date=None,
        compatibility_flags=(),
        tags=(),
        creates=False,
        options=Json({}),
        **given,
    )


def refused(code: int, message: str = "no", *scenarios: str) -> ApiError:
    """Make a refusal."""
    error = ApiError(message, code=code)
    error.scenarios = frozenset(scenarios)
    return error


@pytest.mark.parametrize("code", sorted(SCRIPT_FAULTS))
def test_a_fault_of_the_script_is_on_the_line_of_its_cell(code: int) -> None:
    """The runtime's position is counted from the cell's body; without one it is the line of the declaration."""
    placed = with_line(refused(code, "Uncaught Error at index.js:3:7"), upload())
    assert isinstance(placed, SourceError)
    assert (placed.line, placed.message) == (6, f"Worker w: Uncaught Error at index.js:3:7 [code {code}]")
    for error, step in (
        (refused(code), upload()),
        (refused(code, "at other.js:3:7"), upload()),
        (refused(code, "at index.js:3:7"), upload(body_line=None)),
    ):
        assert with_line(error, step).line == 2


def test_a_class_that_is_not_exported_is_the_scripts_fault() -> None:
    """Of the scenarios of `exports` only those about what the code does not export are."""
    missing = refused(100402, "no class A", "config_export_not_in_code", "other")
    assert isinstance(with_line(missing, upload()), SourceError)
    other = refused(100402, "no class A", "other")
    assert with_line(other, upload()) is other


def test_a_queue_that_is_not_there_is_named() -> None:
    """Code 11000 need not name the queue: those that the Worker sends to are named; where there are none, it stays."""
    queues = tuple(
        ValueBinding(name=n.upper(), value=Resource(type="queue", fields=Json({"queue_name": n})))
        for n in ("mails", "jobs")
    )
    named = with_line(refused(11000, "Queue not found."), upload(bindings=queues))
    assert isinstance(named, DeployError)
    assert "Queue not found. [code 11000] Worker w sends to jobs, mails: declare the Worker" in named.message
    unbound = refused(11000)
    assert with_line(unbound, upload()) is unbound


def test_a_worker_that_cannot_go_back_to_migrations_is_told_its_form() -> None:
    """It is no fault of the script, whatever the code; what a script itself says of `exports` is one."""
    migration = Migration(
        wire="migrations",
        class_migrations=(CreateClass(stable_id=StableId("a"), class_name="A", storage=Storage.SQLITE),),
    )
    said = "This Worker uses `exports`: `migrations` cannot be used."
    told = with_line(refused(10021, said), upload(migration=migration))
    assert type(told) is DeployError
    assert told.message.endswith(
        "Nothing live shows that of a Worker without classes: declare lifecycle='exports' on Worker w "
        "(`--lifecycle exports` in its cell), and plan again."
    )
    own = refused(10021, "Uncaught ReferenceError: exports is not defined at index.js:1:1")
    assert isinstance(with_line(own, upload(migration=migration)), SourceError)
    assert isinstance(with_line(refused(10021, said), upload()), SourceError)


def test_what_is_no_refusal_of_an_upload_stays_as_it_is() -> None:
    """An error of another step, or of ours, is nobody's fault here, whatever its code."""
    other = refused(10021, "at index.js:3:7")
    assert with_line(other, DeleteScript(worker="w", script_name="w-dev")) is other
    ours = DeployError("stopped at index.js:3:7")
    assert with_line(ours, upload()) is ours
