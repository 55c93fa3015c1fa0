"""Mistakes of a source are told where it is declared, and by the plan, before anything is sent."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from sharing import COUNTER

import notebook_do as nd
from notebook_do.errors import ToolchainError
from notebook_do.notebook.views.documents import bundle as shown
from notebook_do.sources import esbuild, service
from notebook_do.sources.bundle import reader
from notebook_do.sources.checking import check_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG = COUNTER.replace("const value = (", "const value v = (")


@pytest.fixture
def cell(cloud: Path) -> Iterator[Any]:
    """Run a cell in a real shell, and give its value or raise its error."""
    del cloud
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "notebook_do")

    def run(source: str) -> Any:
        with redirect_stdout(io.StringIO()):
            done = shell.run_cell(source)
            done.raise_error()
        return done.result

    run("%durable session mistakes")
    yield run
    shell.run_line_magic("unload_ext", "notebook_do")


def test_a_syntax_error_fails_its_cell_and_leaves_the_earlier_declaration(cell: Any) -> None:
    """The error names the cell's line and shows the lines around it with a caret; what was declared stays."""
    cell(f"%%durable worker api --bind COUNTER=counter{COUNTER}")
    before = nd.current().catalog.workers["api"]
    with pytest.raises(nd.SourceError) as caught:
        cell(f"%%durable worker api --bind COUNTER=counter{WRONG}")
    assert str(caught.value).startswith('line 5: Worker api: index.js:4:17: Expected ";" but found "v"')
    assert caught.value.excerpt.splitlines() == [
        "    3 | export class Counter extends DurableObject {",
        "    4 |   async increment() {",
        '>   5 |     const value v = ((await this.ctx.storage.get("value")) ?? 0) + 1;',
        "      |                 ^",
        '    6 |     await this.ctx.storage.put("value", value);',
    ]
    assert nd.current().catalog.workers["api"] is before
    assert "\n".join(caught.value._render_traceback_()).count("| ") == 5


def test_a_class_that_is_not_exported_is_told_at_once_and_refused_by_the_plan(cell: Any) -> None:
    """The nearest name is offered; the declaration stands, because its namespace may be declared anew later."""
    cell("%durable namespace counter --class Countr")
    value = cell(f"%%durable worker api --bind COUNTER=counter{COUNTER}")
    said = " ".join(shown(value)["text/plain"].split())
    assert "Class Countr of namespace counter is not exported by the source of Worker api." in said
    assert "It exports Counter. The class is Counter: %durable namespace counter --class Counter" in said
    (refusal,) = nd.current().plan().refusals
    assert refusal.code == "class-not-exported"
    assert refusal.choices == (
        "the class is Counter: declare class_name='Counter' (--class Counter)",
        "the class is Countr: write `export class Countr extends DurableObject` in it",
    )
    cell("%durable namespace counter --class Counter")
    assert not nd.current().plan().refusals


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        ({"w.ts": "export { A as Countr } from './a';", "a.ts": "export class A {}"}, False),
        ({"w.ts": "export * from './a';", "a.ts": "export class Countr {}"}, False),
        ({"w.ts": "export * from './a'; export default {}", "a.ts": "export type Countr = string;"}, True),
        ({"w.ts": "export * from 'cloudflare:workers'; export default {}"}, False),
        ({"w.ts": "class Countr {}; export default {}"}, True),
    ],
)
def test_a_file_is_checked_by_the_plan(cloud: Path, files: dict[str, str], refused: bool) -> None:  # noqa: FBT001
    """What a bundle exports is known, types left out; nothing is claimed where names come from outside of it."""
    for name, text in files.items():
        (cloud / name).write_text(text)
    session = nd.session("app")
    counter = nd.DurableObjectNamespace("counter", class_name="Countr")
    nd.Worker("api", entrypoint="w.ts", bindings={"C": counter})
    assert [r.code for r in session.plan().refusals] == (["class-not-exported"] if refused else [])


def test_nothing_is_claimed_without_esbuild(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain source needs no esbuild: where there is none it goes up unchecked, and no download is tried again."""
    tried = []

    def none() -> Path:
        tried.append(1)
        raise ToolchainError("there is no esbuild here.")

    monkeypatch.setattr(service, "find_esbuild", none)
    monkeypatch.setattr(esbuild, "has_esbuild", lambda: False)
    monkeypatch.setattr(esbuild, "_without", [])
    worker = nd.Worker("api", script="const value v = 1")
    check_source(worker)
    assert not tried  # a cell never waits for a download
    assert [reader(home)(worker).exports for _ in range(2)] == [None, None]
    assert tried == [1]


def test_a_python_source_is_not_checked(home: Path) -> None:
    """Esbuild knows nothing of Python, so that nothing is said of its classes."""
    check_source(nd.Worker("api", script="class Counter(DurableObject): pass", lang="py"))
    assert reader(home)(nd.Worker("w", script="x = 1", lang="py")).exports is None
