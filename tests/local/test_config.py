"""A configuration says exactly what was meant: islands by bindings, strings that stay strings, ids that are ids."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebook_do.local.runtime.bindings import unsupported
from notebook_do.local.runtime.config import Faults, Layout, config_of
from notebook_do.local.runtime.island import faults_in, neighbours
from notebook_do.local.runtime.spec import HostedNamespace, RunnableWorker
from notebook_do.local.runtime.upstream import Upstream
from notebook_do.local.runtime.workerd import start_workerd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHOW = "export default { fetch(request, env) { return Response.json(env); } };"


def worker(name: str, *targets: str) -> RunnableWorker:
    """Make a Worker that binds others."""
    bindings = tuple({"type": "service", "name": f"B{i}", "service": target} for i, target in enumerate(targets))
    return RunnableWorker(name=name, version="1", main_module="i.js", modules=(), bindings=bindings)


def names(found: tuple[RunnableWorker, ...]) -> list[str]:
    """List the names."""
    return [one.name for one in found]


def test_islands_are_ties_in_either_direction() -> None:
    """Who binds and who is bound share a process, over any number of steps; nobody else does."""
    deployed = [worker("a", "b"), worker("b"), worker("c", "b"), worker("d", "a"), worker("e"), worker("f", "f")]
    for member in "abcd":
        assert names(neighbours(member, deployed)) == ["a", "b", "c", "d"]
    assert names(neighbours("e", deployed)) == ["e"]
    assert names(neighbours("f", deployed)) == ["f"]


def test_what_is_not_deployed_ties_nobody() -> None:
    """Two Workers that bind the same missing one do not become neighbours by that."""
    deployed = [worker("a", "gone"), worker("b", "gone")]
    assert names(neighbours("a", deployed)) == ["a"]
    with pytest.raises(KeyError):
        neighbours("gone", deployed)


@given(ties=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_islands_part_the_deployed_set(ties: list[tuple[int, int]]) -> None:
    """Every Worker is in exactly one island, the same whichever member is asked, and no tie leaves it."""
    deployed = [worker(str(n), *(str(b) for a, b in ties if a == n)) for n in range(13)]
    islands = {n.name: frozenset(names(neighbours(n.name, deployed))) for n in deployed}
    assert all(islands[member] == island for island in islands.values() for member in island)
    assert all(name in island for name, island in islands.items())
    assert all(islands[str(a)] == islands[str(b)] for a, b in ties)


@settings(max_examples=settings.default.max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=20))
def test_any_text_arrives_as_it_is(
    workerd: Path,
    make_worker: Callable[..., RunnableWorker],
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
) -> None:
    """workerd reads from the configuration the very strings that were put there, whatever characters they hold."""  # noqa: D403
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    bindings = tuple({"type": "plain_text", "name": f"T{i}", "text": text} for i, text in enumerate(texts))

    async def read() -> Any:
        folder = tmp_path_factory.mktemp("c")
        layout = Layout(workers=(make_worker("page", SHOW, bindings=bindings),), folder=folder)
        running = await start_workerd(workerd, config_of(layout), folder=folder, sockets=layout.sockets())
        upstream = Upstream(layout.sockets()["worker:page"])
        try:
            return (await upstream.fetch("GET", "/", host="page")).body
        finally:
            upstream.close()
            await running.stop(0)

    assert json.loads(asyncio.run(read())) == {f"T{i}": text for i, text in enumerate(texts)}


@pytest.mark.parametrize("namespace_id", ["../up", "", "ABCDEF" * 6, "0" * 33, "/" * 32])
def test_a_key_is_a_namespace_id(make_worker: Callable[..., RunnableWorker], tmp_path: Path, namespace_id: str) -> None:
    """Only 32 hexadecimal digits become a uniqueKey, because workerd makes a folder of that name."""
    hosted = HostedNamespace(namespace_id=namespace_id, class_name="A", sqlite=True)
    page = make_worker("page", SHOW, namespaces=(hosted,))
    with pytest.raises(ValueError, match="no namespace id"):
        config_of(Layout(workers=(page,), folder=tmp_path))


def test_unsupported_bindings_say_what_they_are() -> None:
    """A binding that cannot be served is named with its kind; one that can is passed."""
    line = unsupported({"type": "vectorize", "name": "INDEX", "index_name": "x"})
    assert line == (
        'binding "INDEX": a Vectorize index (binding type vectorize) is not served by the local runtime;'
        " deploy to Cloudflare to use it."
    )
    assert "binding type brand_new" in str(unsupported({"type": "brand_new", "name": "X"}))
    assert unsupported({"type": "plain_text", "name": "X", "text": ""}) is None


def test_a_fault_is_the_named_workers_only(tmp_path: Path) -> None:
    """Each fault that workerd tells is kept with its Worker or binding; what names nobody blames nobody."""
    layout = Layout(workers=(worker("a"), worker("b")), folder=tmp_path)
    said = [
        "workerd/server.rs:1: warning: something",
        "service worker:a: Uncaught Error: boom",
        "  at index.js:1:7",
        'Worker "worker:b"\'s binding "X" refers to service "worker:a" with a named entrypoint "N", but there is none.',
    ]
    faults = faults_in(said, layout)
    assert faults.workers == {"a": 'Worker "a" does not start: Uncaught Error: boom\n  at index.js:1:7'}
    assert faults.bindings == {
        ("b", "X"): 'binding "X" refers to service "a" with a named entrypoint "N", but there is none.'
    }
    assert faults_in(["*** Fatal: nobody's fault"], layout) == Faults()
