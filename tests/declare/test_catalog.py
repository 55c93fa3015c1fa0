"""Declarations of any order resolve to one desired state; what cannot be resolved is an error that names both sides."""

from __future__ import annotations

import pytest

from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import DeclarationError
from notebook_do.model import ClassBinding, Desired, Namespace, ServiceBinding, StableId, ValueBinding
from notebook_do.sources.bundle import reader

SOURCE = "export default {}\n"


def catalog_of(*lines: str) -> Catalog:
    """Run cells; a Worker's line gets a body."""
    catalog = Catalog()
    for line in lines:
        catalog.declare(*parse_cell(line, SOURCE if line.startswith("worker") and "--entrypoint" not in line else None))
    return catalog


def bindings(desired: Desired, worker: str) -> dict[str, tuple[str, str | None]]:
    """Give class and script of each Durable Object binding of a Worker."""
    (found,) = (w for w in desired.workers if w.id == worker)
    return {b.name: (b.class_name, b.script_name) for b in found.bindings if isinstance(b, ClassBinding)}


def test_the_only_binder_hosts() -> None:
    """Without script_name the only Worker that binds a namespace hosts it; who shares its binding does not count."""
    desired = catalog_of(
        "worker client --bind FAR=api.COUNTER", "worker api --bind COUNTER=counter", "namespace counter --class Counter"
    ).desired("s", "dev", read=reader())
    assert [n.host for n in desired.namespaces] == ["api"]
    assert bindings(desired, "api") == {"COUNTER": ("Counter", None)}
    assert bindings(desired, "client") == {"FAR": ("Counter", "api-dev")}


@pytest.mark.parametrize("script", ["api", "api-dev"])
def test_script_name_is_a_worker_name_or_else_an_id(script: str) -> None:
    """script_name names the host by its script name, or else by its Worker id."""
    desired = catalog_of(
        f"namespace counter --class Counter --script {script}",
        "worker api --bind C=counter",
        "worker b --bind C=counter",
    ).desired("s", "dev", read=reader())
    assert [(n.host, n.script_name) for n in desired.namespaces] == [("api", "api-dev")]
    assert bindings(desired, "b") == {"C": ("Counter", "api-dev")}


def test_a_worker_name_wins_over_an_id() -> None:
    """When one Worker is called what another one's id is, script_name means the name."""
    desired = catalog_of(
        "namespace counter --class Counter --script x", "worker x --name y --bind C=counter", "worker z --name x"
    ).desired("s", "dev", read=reader())
    assert [n.host for n in desired.namespaces] == ["z"]


def test_a_host_that_is_not_declared() -> None:
    """script_name may name a script that is only live; environment goes with such a binding."""
    desired = catalog_of(
        "namespace game --class Game --script game-worker --environment production", "worker api --bind GAME=game"
    ).desired("s", "dev", read=reader())
    assert [(n.host, n.script_name) for n in desired.namespaces] == [(None, "game-worker")]
    (binding,) = desired.workers[0].bindings
    assert isinstance(binding, ClassBinding)
    assert (binding.script_name, binding.environment) == ("game-worker", "production")


@pytest.mark.parametrize(
    ("worker", "stage", "name"),
    [
        ("worker api", "dev", "api-dev"),
        ("worker api", "production", "api"),
        ("worker api --name fixed", "dev", "fixed"),
        ("worker Host", "production", "host"),
        ("worker my_api.v2", "dev", "my-api-v2-dev"),
    ],
)
def test_script_names(worker: str, stage: str, name: str) -> None:
    """The script name is `name`, or the id with the stage appended for any stage but production."""
    catalog = catalog_of(worker)
    assert catalog.desired("s", stage, read=reader()).workers[0].script_name == name
    assert catalog.script_name(worker.split()[1], stage) == name


def test_services_are_resolved() -> None:
    """A service binding names a declared Worker by id, or a live script as it is."""
    desired = catalog_of("worker api --service A=auth --service B=elsewhere", "worker auth").desired(
        "s", "dev", read=reader()
    )
    values = {b.name: b.value for b in desired.workers[0].bindings if isinstance(b, ValueBinding)}
    assert values == {"A": ServiceBinding(worker="auth-dev"), "B": ServiceBinding(worker="elsewhere")}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["namespace c --class C", "worker one --bind C=c", "worker two --bind C=c"],
            "namespace c is bound by the Workers one and two: which one hosts class C?",
        ),
        (["namespace c --class C", "worker one"], "namespace c is bound by no Worker, so nothing can host class C"),
        (
            ["worker one --bind C=c"],
            "Worker one: binding C names namespace c, which is not declared; run its cell, such",
        ),
        (
            ["namespace counter --class C", "worker one --bind C=countr", "worker two --bind C=counter"],
            "did you mean counter? Write `--bind C=counter`.",
        ),
        (["worker one --bind C=two.C"], "binding C is shared from Worker two, which is not declared; run its cell"),
        (["worker one --bind C=two.C", "worker two"], "binding C: Worker two has no binding C; it has none."),
        (
            ["worker one --bind C=two.C", "worker two --bind C=one.C"],
            "binding C is shared in a circle: two.C -> one.C -> two.C",
        ),
        (["worker one --name x", "worker two --name x"], "Workers one and two are both called x"),
        (
            ["namespace a --class C --script w", "namespace b --class C --script w", "worker w"],
            "class C of Worker w-dev is declared under two stable IDs, a and b",
        ),
        (
            ["namespace a --class A --script w", "namespace b --class B --script w --renamed-from a", "worker w"],
            "renamed_from names a, which is still declared",
        ),
        (
            [
                f"namespace a --class A --script w --namespace-id {'0' * 32}",
                f"namespace b --class B --script w --namespace-id {'0' * 32}",
                "worker w",
            ],
            "namespaces a and b both name namespace_id",
        ),
    ],
)
def test_errors_between_declarations(lines: list[str], message: str) -> None:
    """What two declarations cannot both say is an error with the cell's line, that names both and says what to do."""
    with pytest.raises(DeclarationError) as caught:
        catalog_of(*lines).desired("s", "dev", read=reader())
    assert message in str(caught.value)
    assert caught.value.line == 1


def test_replacing_and_forgetting() -> None:
    """The same kind and id again replaces; forgetting says whether there was something."""
    catalog = catalog_of("namespace c --class A --script w", "namespace c --class B --script w", "worker w")
    assert [n.class_name for n in catalog.namespaces.values()] == ["B"]
    assert catalog.forget("namespace", "c")
    assert not catalog.forget("namespace", "c")
    assert not catalog.namespaces


def test_one_call_is_all_or_nothing() -> None:
    """Declaring the same id twice in one go, differently, is an error, and nothing of it is kept."""
    catalog = Catalog()
    first, second = (Namespace(StableId("c"), class_name=name) for name in "AB")
    with pytest.raises(DeclarationError, match="namespace c is declared twice in one go"):
        catalog.declare(first, second)
    assert not catalog.namespaces
    assert catalog.declare(first, first) == (first, first)


def test_what_is_to_be_destroyed_needs_no_host() -> None:
    """A namespace that nothing binds any more can still be destroyed, its declaration lifting the protection."""
    catalog = catalog_of("namespace c --class C --unprotect", "worker w")
    (namespace,) = catalog.desired("s", "dev", read=reader(), destroy=["c"]).namespaces
    assert (namespace.host, namespace.script_name, namespace.protect) == (None, "", False)
