"""What the local Cloudflare takes of cron triggers, update strategies and exports, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.local.rules.bounds import (
    check_queues,
    check_resources,
    check_services,
    check_tails,
    check_update_strategy,
    check_workflow_classes,
)
from notebook_do.local.rules.crons import is_cron
from notebook_do.local.rules.namespaces import exported_classes
from notebook_do.local.rules.refusals import Refused
from notebook_do.local.rules.scenarios import detail_of
from notebook_do.local.runtime.spec import Export, ProbeReport
from notebook_do.local.services.assembly import Directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text", ["* * * * *", "*/5 0-6 1,15 JAN-mar mon", "0 0 L * 1L", "59 23 LW 12 sun#1", "00 00 15W 1 1"]
)
def test_a_cron_expression_is_taken(text: str) -> None:
    """Five fields with numbers, ranges, steps, lists, names, and the last or nearest day."""
    assert is_cron(text)


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "* * * 13 *", "* * * * 8"])
def test_what_is_no_cron_expression_is_not(text: str) -> None:
    """A field too few, and a number outside of its field."""
    assert not is_cron(text)


@pytest.mark.parametrize(
    "strategy",
    [{"mode": "soon"}, {"delay": 1}, {"mode": "immediate", "max_delay": 1}]
    + [{"max_delay": delay} for delay in (True, False, "1", -1, 10**9)],
)
def test_an_update_strategy_that_is_none_is_refused(strategy: dict[str, Any]) -> None:
    """An unknown mode or key, a delay with `immediate`, and a delay that is no number of seconds of a day."""
    with pytest.raises(Refused):
        check_update_strategy(strategy)


@pytest.mark.parametrize(
    "strategy", [{}, {"mode": "immediate"}, {"max_delay": 0}, {"mode": "deferred", "max_delay": 1.5}]
)
def test_an_update_strategy_is_taken(strategy: dict[str, Any]) -> None:
    """With a delay or without one; with one key more it is none."""
    check_update_strategy(strategy)
    with pytest.raises(Refused, match="unknown key `more`"):
        check_update_strategy({**strategy, "more": 1})


def test_which_exports_can_be_classes_of_objects() -> None:
    """Durable Object classes, and classes that extend nothing; no entrypoint, workflow or function."""
    kinds = ("durable-object", "class", "worker-entrypoint", "workflow", "function", "other")
    exports = tuple(Export(name=kind, kind=kind) for kind in kinds)
    report = ProbeReport(exports=exports, default_handlers=(), startup_ms=1)
    assert exported_classes(report) == {"durable-object", "class"}


def test_what_to_do_names_the_class() -> None:
    """A refused upload says what would make it pass, of the very class."""
    told = detail_of("Room", "provisioned_class_missing_from_config", namespace_id="n")
    assert told["suggestion"] == "Add an entry for 'Room' to `exports`."


def service(worker: str, **more: str) -> dict[str, str]:
    """Make a service binding."""
    return {"type": "service", "name": "S", "service": worker, **more}


def test_services_and_tails_are_workers_that_are_there() -> None:
    """Another Worker that is there, or the Worker itself; the only environment is production."""
    there = [service("api"), service("web"), service("api", environment="production"), {"type": "plain_text"}]
    check_services("api", there, {"web"})
    check_tails("api", [{"service": "api"}, {"service": "web"}], {"web"})
    check_tails("api", [], ())
    for binding in (service("gone"), service("web", environment="staging")):
        with pytest.raises(Refused):
            check_services("api", [*there, binding], {"web"})
    with pytest.raises(Refused):
        check_tails("api", [{"service": "web"}, {"service": "gone"}], {"web"})


def test_queues_are_there_before_a_binding() -> None:
    """A queue that was made; what is bound beside it is none of this rule's."""
    there = [{"type": "queue", "name": "Q", "queue_name": "jobs"}, {"type": "plain_text", "name": "T"}]
    check_queues(there, {"jobs"})
    for bound in ({"queue_name": "gone"}, {}):
        with pytest.raises(Refused, match=r"Queue '.*' not found"):
            check_queues([*there, {"type": "queue", "name": "R", **bound}], {"jobs"})


def test_resources_are_there_before_a_binding(tmp_path: Path) -> None:
    """Each is looked for among those of its own kind; what can be no id of a KV namespace is refused by its form."""
    directory, kv = Directory(tmp_path / "made.sqlite", lambda: 0.0), "0" * 31 + "a"
    made = {"kv_namespace": ("namespace_id", kv), "r2_bucket": ("bucket_name", "files"), "d1": ("id", "d" * 8)}
    for kind, (_, id_) in zip(("kv", "r2", "d1"), made.values(), strict=True):
        directory.add(kind, id_, f"my-{kind}")  # type: ignore[arg-type]
    there = [{"type": type_, "name": type_, key: id_} for type_, (key, id_) in made.items()]
    check_resources([*there, {"type": "plain_text", "name": "T"}], directory)
    wrong = {"kv_namespace": ["b" * 32, "files", ""], "r2_bucket": [kv, ""], "d1": ["files", kv]}
    for type_, (key, _) in made.items():
        for id_ in wrong[type_]:
            with pytest.raises(Refused) as caught:
                check_resources([*there, {"type": type_, "name": "B", key: id_}], directory)
            assert f"'{id_}'" in str(caught.value)
            assert ("is not valid" in str(caught.value)) == (type_ == "kv_namespace" and id_ != "b" * 32)
    directory.close()


def test_the_class_of_a_workflow_is_exported() -> None:
    """Each workflow is looked for by its class, not by its own name."""
    check_workflow_classes({"orders": "Orders"}, {"Orders", "Other"})
    check_workflow_classes({}, ())
    with pytest.raises(Refused, match="Gone"):
        check_workflow_classes({"orders": "Orders", "late": "Gone"}, {"Orders", "late"})


def test_a_refusal_is_said_by_its_messages() -> None:
    """Whoever logs it or shows it to a person reads what was wrong, without codes and brackets."""
    refused = Refused(400, [{"code": 10021, "message": "No such module."}, {"code": 1, "message": "Try again."}])
    assert str(refused) == "No such module.; Try again."
