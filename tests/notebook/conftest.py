"""Plans made by hand, and real shells: what the views, the magics and the panel are tried on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from notebook_do.model import Json, NamespaceId, StableId
from notebook_do.model.steps import SetUrl, Upload
from notebook_do.plan.plan import Action, Baseline, Change, Consent, Plan, Refusal
from notebook_do.sessions.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


sys.path.insert(0, str(Path(__file__).parent))  # its models stand beside the tests


def upload(worker: str = "my-worker") -> Upload:
    """Give the step that puts one Worker."""
    return Upload(
        worker=worker,
        script_name=f"{worker}-dev",
        main_module="index.js",
        modules=(),
        bindings=(),
        compatibility_date="2026-11-01",
        compatibility_flags=(),
        options=Json({}),
        tags=(),
        migration=None,
        creates=True,
    )


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """Give a plan of a first deploy; any field can be replaced."""

    def make(**fields: Any) -> Plan:
        given: dict[str, Any] = {
            "session": "tour",
            "stage": "dev",
            "target": "local",
            "baseline": Baseline(
                lineage="l", serial=0, account_id="a1" * 16, api_origin="local:x", scripts=(), namespaces=()
            ),
            "changes": (
                Change(
                    action=Action.CREATE,
                    kind="worker",
                    id="my-worker",
                    worker="my-worker",
                    name="my-worker-dev",
                    detail="Worker my-worker-dev is created.",
                ),
                Change(
                    action=Action.CREATE,
                    kind="namespace",
                    id="counter",
                    worker="my-worker",
                    name="Counter",
                    after="Counter",
                    detail="class Counter (SQLite) begins under stable ID counter.",
                ),
                Change(action=Action.CREATE, kind="binding", id="my-worker", worker="my-worker", name="COUNTER"),
            ),
            "steps": (upload(), SetUrl(worker="my-worker", script_name="my-worker-dev", enabled=True)),
            "binding_rows": (
                {
                    "worker": "my-worker",
                    "binding": "COUNTER",
                    "type": "durable_object_namespace",
                    "target": "counter",
                    "class_name": "Counter",
                    "script_name": "my-worker-dev",
                    "action": "create",
                },
            ),
            "migration_rows": (
                {"worker": "my-worker", "step": "create", "stable_id": "counter", "to_class": "Counter"},
            ),
        }
        return Plan(**{**given, **fields})

    return make


@pytest.fixture
def deletion(make_plan: Callable[..., Plan]) -> Plan:
    """Give a plan that deletes a namespace with 12 stored objects."""
    return make_plan(
        changes=(
            Change(
                action=Action.DELETE,
                kind="namespace",
                id="counter",
                worker="my-worker",
                before="Counter",
                detail="class Counter ends, with its objects.",
                destructive=True,
                namespace_id="ab" * 16,
            ),
        ),
        consents=(
            Consent(
                phrase="destroy counter abababab",
                stable_id=StableId("counter"),
                namespace_id=NamespaceId("ab" * 16),
                class_name="Counter",
                worker="my-worker",
                objects=12,
            ),
        ),
    )


@pytest.fixture
def refused(make_plan: Callable[..., Plan]) -> Plan:
    """Give a plan that cannot be deployed."""
    return make_plan(
        refusals=(
            Refusal(
                code="stable-id-changed",
                subject="namespace counter2",
                message="stable ID counter is recorded for class Counter, and counter2 is declared now",
                choices=("renamed_from='counter'", "keep the id counter", "%durable destroy counter"),
                line=3,
            ),
        )
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the lines of a request or a call waited for until they are there: on a busy machine that is no second."""
    monkeypatch.setitem(Session.request_logs.__kwdefaults__, "wait", 50.0)


@pytest.fixture
def ip() -> Iterator[InteractiveShell]:
    """Give a real shell with the extension loaded, without history file."""
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "notebook_do")
    yield shell
    shell.run_line_magic("unload_ext", "notebook_do")
