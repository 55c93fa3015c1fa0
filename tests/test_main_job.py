"""The main job in a real IPython shell: from `%%durable` cells to live objects on the local Cloudflare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTER = """import {{ DurableObject }} from "cloudflare:workers";
export class {name} extends DurableObject {{
  async increment() {{
    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;
    await this.ctx.storage.put("value", value);
    return value;
  }}
}}
export default {{
  async fetch(request, env) {{
    return new Response(String(await env.COUNTER.getByName("one").increment()));
  }},
}};
"""
READER = """export default {
  async fetch(request, env) {
    return new Response(String(await env.COUNTER.getByName("one").increment()));
  },
};
"""


@pytest.fixture
def shell(cloud: Path) -> Iterator[InteractiveShell]:
    """Give a real shell with the extension loaded."""
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "notebook_do")
    yield shell
    shell.run_line_magic("unload_ext", "notebook_do")
    shell.history_manager.end_session()


def run(shell: InteractiveShell, source: str) -> Any:
    """Run one cell and give its result; an error in the cell is raised here."""
    result = shell.run_cell(source)
    result.raise_error()
    return result.result


def press(shell: InteractiveShell) -> Any:
    """Approve the plan as it is now, by its digest."""
    plan = run(shell, "p = %durable plan\np")
    return run(shell, f"r = %durable deploy --approve {plan.digest}\nr")


def answer(shell: InteractiveShell, worker: str) -> str:
    """Call a Worker and give the body of its answer."""
    return str(run(shell, f"a = %durable fetch {worker} /\na").text)


def test_from_cell_to_live_object_and_back(shell: InteractiveShell, cloud: Path) -> None:
    """Declare, plan, deploy, rename, share, do nothing, refuse a new stable ID, destroy by the typed phrase."""
    run(shell, "%durable session tour")
    run(shell, "%durable namespace counter --class Counter")
    run(shell, "%%durable worker my-worker --bind COUNTER=counter\n" + COUNTER.format(name="Counter"))
    state = cloud / ".notebook_do" / "tour" / "dev" / "state.json"
    assert not state.exists(), "declaring writes nothing"

    plan = run(shell, "p = %durable plan\np")
    assert list(plan.migrations["to_class"]) == ["Counter"]
    assert list(plan.migrations["storage"]) == ["sqlite"]
    assert list(plan.bindings["binding"]) == ["COUNTER"]
    assert {"worker", "namespace"} <= set(plan.df["kind"])
    assert not state.exists(), "planning writes nothing"

    result = press(shell)
    assert result["my-worker"].url.startswith("http://my-worker-dev.localhost:")
    namespace_id = result.namespaces["counter"]
    assert [answer(shell, "my-worker"), answer(shell, "my-worker")] == ["1", "2"]

    run(shell, "%durable namespace counter --class MyCounter")
    run(shell, "%%durable worker my-worker --bind COUNTER=counter\n" + COUNTER.format(name="MyCounter"))
    plan = run(shell, "p = %durable plan\np")
    (migration,) = plan.migrations.to_dict("records")
    assert migration["namespace_id"] == namespace_id
    assert not plan.df["destructive"].any()
    press(shell)
    assert answer(shell, "my-worker") == "3"
    (recorded,) = nd.current().recorded().namespaces
    assert recorded.class_history == ("Counter", "MyCounter")

    run(shell, "%%durable worker a-reader --bind COUNTER=my-worker.COUNTER\n" + READER)
    press(shell)
    assert answer(shell, "a-reader") == "4"
    run(shell, "%durable namespace counter --class MyCounter --script my-worker")
    run(shell, "%%durable worker b-reader --bind COUNTER=counter\n" + READER)
    press(shell)
    assert answer(shell, "b-reader") == "5"

    plan = run(shell, "p = %durable plan\np")
    assert plan.empty
    serial = nd.current().recorded().serial
    assert press(shell).empty, "nothing is sent, and the plan says so"
    assert nd.current().deploy(plan).outcomes == ()
    assert nd.current().recorded().serial == serial


def test_destroy_needs_the_typed_phrase(shell: InteractiveShell) -> None:
    """Protection must be lifted, then the phrase must be given; without it nothing is deleted."""
    run(shell, "%durable session tour")
    run(shell, "%durable namespace counter --class Counter")
    run(shell, "%%durable worker my-worker --bind COUNTER=counter\n" + COUNTER.format(name="Counter"))
    result = press(shell)
    answer(shell, "my-worker")
    session = nd.current()
    assert session.destroy("my-worker").refusals, "a protected namespace is not destroyed"

    run(shell, "%durable namespace counter --class Counter --unprotect")
    press(shell)
    plan = session.destroy("my-worker")
    (consent,) = plan.consents
    assert consent.phrase == f"destroy counter {result.namespaces['counter'][-8:]}"
    assert consent.objects == 1
    with pytest.raises(nd.ConsentRequired):
        session.deploy(plan)
    assert answer(shell, "my-worker") == "2"
    session.deploy(plan, confirm=[consent.phrase])
    assert session.namespaces().empty
    (tombstone,) = session.recorded().tombstones
    assert tombstone.stable_id == "counter"


def test_cells_in_any_order_give_the_same_plan(shell: InteractiveShell) -> None:
    """The client's cell may run before the host's and the namespace's."""
    run(shell, "%durable session tour")
    run(shell, "%%durable worker a-client --bind COUNTER=my-worker.COUNTER\n" + READER)
    run(shell, "%%durable worker my-worker --bind COUNTER=counter\n" + COUNTER.format(name="Counter"))
    run(shell, "%durable namespace counter --class Counter")
    press(shell)
    assert [answer(shell, "a-client"), answer(shell, "my-worker")] == ["1", "2"]


@pytest.mark.parametrize(
    ("cells", "error", "words"),
    [
        (["%durable namespace counter --clas Counter"], nd.CommandError, ["--clas", "--class"]),
        (["%durable namespce counter"], nd.CommandError, ["namespce", "namespace"]),
        (["%durable namespace counter --class 1Counter"], nd.DeclarationError, ["1Counter"]),
        (["%%durable worker My_Worker!\nexport default {}"], nd.DeclarationError, ["My_Worker!"]),
        (
            ["%%durable worker w --bind COUNTER=nothing\n" + READER, "%durable plan"],
            nd.DeclarationError,
            ["COUNTER", "nothing"],
        ),
        (
            [
                "%durable namespace counter --class Counter",
                "%%durable worker one --bind COUNTER=counter\n" + READER,
                "%%durable worker two --bind COUNTER=counter\n" + READER,
                "%durable plan",
            ],
            nd.DeclarationError,
            ["counter", "one", "two"],
        ),
    ],
    ids=["unknown option", "unknown verb", "bad class", "bad worker", "unbound namespace", "two hosts"],
)
def test_a_mistake_is_one_clear_line(
    shell: InteractiveShell, cells: list[str], error: type[Exception], words: list[str]
) -> None:
    """A mistake in a cell is one line that names the thing, and nothing was sent."""
    run(shell, "%durable session tour")
    for cell in cells[:-1]:
        run(shell, cell)
    with pytest.raises(error) as caught:
        run(shell, cells[-1])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_class_that_is_not_exported_names_the_cell_line(shell: InteractiveShell) -> None:
    """The script lacks the class: the plan is refused in one line with class, Worker and the cell's line."""
    run(shell, "%durable session tour")
    run(shell, "%durable namespace counter --class Missing")
    run(shell, "%%durable worker my-worker --bind COUNTER=counter\n" + COUNTER.format(name="Counter"))
    (refusal,) = run(shell, "p = %durable plan\np").refusals
    assert "class Missing of namespace counter is not exported by the source of Worker my-worker" in refusal.message
    assert refusal.line is not None
    with pytest.raises(nd.PlanRefused):
        press(shell)
    assert nd.current().recorded().serial == 0


def test_a_syntax_error_has_workerds_message_and_the_cell_line(shell: InteractiveShell) -> None:
    """A script that only V8 finds wrong is refused with workerd's own words, and the line is the cell's.

    What esbuild finds wrong fails the cell: a regular expression is one of the few things that it does not look into.
    """
    run(shell, "%durable session tour")
    run(shell, "%durable namespace counter --class Counter")
    broken = COUNTER.format(name="Counter").replace("return value;", "return /(/;")
    run(shell, "%%durable worker my-worker --bind COUNTER=counter\n" + broken)
    with pytest.raises(nd.SourceError) as caught:
        press(shell)
    assert "SyntaxError" in str(caught.value)
    assert caught.value.line == 1 + broken.splitlines().index("    return /(/;") + 1
    assert "\n" not in str(caught.value)


def test_a_kernel_restart_keeps_objects_and_identity(shell: InteractiveShell) -> None:
    """After the shell, the session and the server are gone, the same cells find the same objects."""
    from notebook_do.local.process import launch

    cells = [
        "%durable session tour",
        "%durable namespace counter --class Counter",
        "%%durable worker my-worker --bind COUNTER=counter\n" + COUNTER.format(name="Counter"),
    ]
    for cell in cells:
        run(shell, cell)
    press(shell)
    assert answer(shell, "my-worker") == "1"
    nd.current().close()
    launch.stop()
    import notebook_do.sessions.opening as session_module

    session_module._current = None
    for cell in cells:
        run(shell, cell)
    assert run(shell, "p = %durable plan\np").empty
    assert answer(shell, "my-worker") == "2"
