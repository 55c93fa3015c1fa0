"""Mistakes of a source are told where it is declared, and by the plan, before anything is sent."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from sharing import COUNTER
from traitlets.config import Config

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
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "notebook_do")

    def run(source: str) -> Any:
        with redirect_stdout(io.StringIO()):
            done = shell.run_cell(source, store_history=True)
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
    assert str(caught.value) == 'Worker api: syntax error in line 5 of this cell: expected ";" but found "v"'
    assert caught.value.line == 5
    assert caught.value.excerpt.splitlines() == [
        "    3 | export class Counter extends DurableObject {",
        "    4 |   async increment() {",
        '>   5 |     const value v = ((await this.ctx.storage.get("value")) ?? 0) + 1;',
        "      |                 ^",
        '    6 |     await this.ctx.storage.put("value", value);',
    ]
    assert nd.current().catalog.workers["api"] is before
    shown_error = "\n".join(caught.value._render_traceback_())
    assert shown_error.count("| ") == 5
    assert shown_error.endswith(
        "\n\nThe declaration of cell [2] stays; nothing was sent. Fix line 5 and run this cell again."
    )


def test_what_is_missing_at_the_end_is_told_at_the_last_line(cell: Any) -> None:
    """A brace that was not closed: the caret stands behind the last line, and no line is named that is not there."""
    with pytest.raises(nd.SourceError) as caught:
        cell("%%durable worker api\nexport default {\n")
    assert str(caught.value).startswith("Worker api: syntax error in line 2 of this cell: expected ")
    assert caught.value.excerpt.splitlines() == [">   2 | export default {", "      |                 ^"]


def test_a_class_that_is_not_exported_is_told_at_once_and_refused_by_the_plan(cell: Any) -> None:
    """The nearest name is offered; the declaration stands, because its namespace may be declared anew later."""
    cell("%durable namespace counter --class Countr")
    value = cell(f"%%durable worker api --bind COUNTER=counter{COUNTER}")
    said = " ".join(shown(value)["text/plain"].split())
    assert "Class Countr of namespace counter is not exported by this source." in said
    assert (
        "It exports Counter and a default handler. - The class is Counter: %durable namespace counter --class Counter"
        in said
    )
    (refusal,) = nd.current().plan().refusals
    assert refusal.code == "class-not-exported"
    assert refusal.choices == (
        "the class is Counter: %durable namespace counter --class Counter",
        "the class is Countr: write export class Countr extends DurableObject there",
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


def test_a_syntax_error_of_a_plan_names_the_cell_that_has_it(cell: Any) -> None:
    """Python declares without a look at the source; the plan says in which cell the mistake is, and sends nothing."""
    cell(f"import notebook_do as nd\nw = nd.Worker('api', script={WRONG!r})")
    with pytest.raises(nd.SourceError, match=r'^Worker api: syntax error in line 5 of its source: expected ";"'):
        cell("%durable plan")
    cell(f'%%durable\n[workers.api]\nscript = """{COUNTER}"""')
    nd.current().catalog._workers["api"] = replace(nd.current().catalog.workers["api"], script=WRONG.lstrip())
    with pytest.raises(nd.SourceError, match=r"^Worker api: syntax error in line 7 of cell \[4\]: expected"):
        cell("%durable plan")


def test_the_lines_around_a_mistake_show_no_secret(cell: Any) -> None:
    """A literal that is assigned to the name of a secret is hidden, in its own line; the caret stays where it was."""
    planted = "pls-never-show-me-9"
    with pytest.raises(nd.SourceError) as caught:
        cell(f"%%durable worker api\nconst API_KEY = '{planted}';\nconst value v = 1;")
    assert planted not in "\n".join(caught.value._render_traceback_())
    assert "const API_KEY = 'hidden because of its name (19 characters)';" in caught.value.excerpt


def test_a_class_that_is_renamed_in_its_declaration_only_is_told_as_that(cell: Any) -> None:
    """Issue 16.2: after a deploy the class is declared under another name, and its source still has the old one."""
    cell("%durable namespace counter --class Counter")
    cell(f"%%durable worker api --bind COUNTER=counter{COUNTER}")
    nd.current().deploy(nd.current().plan())
    cell("%durable namespace counter --class Visits")
    (refusal,) = nd.current().plan().refusals
    assert refusal.message == (
        "class Counter of namespace counter is declared as Visits, and not renamed in the source of Worker api (line 3 "
        "of cell [3]). It exports Counter and a default handler."
    )
    assert refusal.choices[0].startswith("rename it there too: write export class Visits extends DurableObject")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("const answer = 42;", "nothing-exported"),
        ("export {};", "nothing-exported"),
        ("export class Other {}", None),
        ("export default {};", None),
    ],
)
def test_a_source_that_exports_nothing_is_refused_before_any_upload(cloud: Path, script: str, code: str | None) -> None:
    """Issue 16.2: Cloudflare refuses it (10068), and esbuild could tell; what a default handler does, it cannot."""
    del cloud
    session = nd.session("app")
    nd.Worker("api", script=script)
    assert [r.code for r in session.plan().refusals] == ([code] if code else [])


def test_given_modules_are_checked_as_well(cloud: Path) -> None:
    """Issue 16.2: a main module that no runtime could parse is an error of the plan, and not of the upload."""
    del cloud
    session = nd.session("app")
    nd.Worker("api", modules=[nd.Module(name="main.js", content=WRONG.encode())])
    with pytest.raises(nd.SourceError, match=r'Worker api: main\.js:5:17: Expected ";" but found "v"'):
        session.plan()


def test_a_call_reads_no_file_and_no_source(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nd.Worker(...)` does no I/O: it declares what no runtime could take, and says nothing of it."""

    def no_look(*_: Any, **__: Any) -> None:
        raise AssertionError("a call looked at a source")

    nd.session("app")
    monkeypatch.setattr(esbuild, "run", no_look)
    monkeypatch.setattr("builtins.open", no_look)
    nd.Worker("api", script=WRONG, bindings={"FILE": "x"})
    nd.Worker("other", entrypoint="no-such-file.ts")
    monkeypatch.undo()
    assert set(nd.current().catalog.workers) == {"api", "other"}
