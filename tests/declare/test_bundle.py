"""Sources become modules: as they are where that works, through the real esbuild where it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from notebook_do.declare.cell import parse_cell
from notebook_do.errors import SourceError
from notebook_do.model import Bindings, Module, ModuleKind, Worker
from notebook_do.sources.bundle import bundle, reader

if TYPE_CHECKING:
    from pathlib import Path


def worker_of(line: str, body: str | None = None) -> Worker:
    """Run a Worker's cell."""
    (worker,) = parse_cell(f"worker api {line}", body)
    assert isinstance(worker, Worker)
    return worker


def test_a_script_goes_up_as_it_is(tmp_path: Path) -> None:
    """The body of a cell is `index.js`, byte for byte; the digest is of the content only."""
    name, (module,), digest = bundle(worker_of("", "export default {}\n"), base=tmp_path)
    assert (name, module.name, module.content) == ("index.js", "index.js", b"export default {}\n")
    assert digest == bundle(worker_of("--var A=1", "export default {}\n"), base=tmp_path)[2]
    assert digest != bundle(worker_of("", "export default {};\n"), base=tmp_path)[2]


def test_python_is_a_python_module(tmp_path: Path) -> None:
    """`--lang py` makes `index.py`."""
    _, (module,), _ = bundle(worker_of("--lang py", "x = 1\n"), base=tmp_path)
    assert (module.name, module.kind) == ("index.py", ModuleKind.PYTHON)


def test_given_modules_are_kept(tmp_path: Path) -> None:
    """Modules that are given go up unchanged, the first one being the main module."""
    modules = (Module(name="main.js", content=b"1"), Module(name="data.txt", content=b"2", kind=ModuleKind.TEXT))
    worker = Worker("api", modules=modules, bindings=Bindings("api", {}))
    assert bundle(worker, base=tmp_path)[:2] == ("main.js", modules)


def test_a_plain_file_goes_up_as_it_is(tmp_path: Path) -> None:
    """A `.js` entrypoint that imports only what the runtime provides is not touched."""
    source = 'import { DurableObject } from "cloudflare:workers";\nexport default {}\n'
    (tmp_path / "w.js").write_text(source)
    name, (module,), _ = bundle(worker_of("--entrypoint w.js"), base=tmp_path)
    assert (name, module.content.decode()) == ("index.js", source)


def test_a_missing_file(tmp_path: Path) -> None:
    """An entrypoint that is not there is one line with the cell's line."""
    with pytest.raises(SourceError, match=r"^line 1 of the cell that .* api: Worker api: entrypoint w\.js is no file "):
        bundle(worker_of("--entrypoint w.js"), base=tmp_path)


def test_a_file_that_is_no_source(tmp_path: Path) -> None:
    """An entrypoint of another kind names the known ones."""
    (tmp_path / "w.txt").write_text("x")
    with pytest.raises(SourceError, match=r"known are \.js, "):
        bundle(worker_of("--entrypoint w.txt"), base=tmp_path)


def test_typescript_in_a_cell(tmp_path: Path) -> None:
    """`--lang ts` is compiled; the runtime's own modules stay imports and class names stay what they are."""
    body = (
        'import { DurableObject } from "cloudflare:workers";\n'
        "export class Counter extends DurableObject<{ A: string }> { n: number = 1 }\n"
        "export default { fetch(r: Request): Response { return new Response('x') } }\n"
    )
    name, (module, source_map), _ = bundle(worker_of("--lang ts", body), base=tmp_path)
    assert (source_map.name, source_map.kind) == ("index.js.map", ModuleKind.SOURCE_MAP)
    text = module.content.decode()
    assert name == "index.js"
    assert '"cloudflare:workers"' in text
    assert "Counter" in text
    assert ": Request" not in text


def test_imports_are_bundled(tmp_path: Path) -> None:
    """A file that imports others becomes one module, the same on every run."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "answer.ts").write_text("export const answer: number = 6 * 7;\n")
    (tmp_path / "w.ts").write_text(
        'import { answer } from "./lib/answer";\nexport default { fetch: () => new Response(`${answer}`) };\n'
    )
    first = bundle(worker_of("--entrypoint w.ts"), base=tmp_path)
    assert b"6 * 7" in first[1][0].content
    assert first == bundle(worker_of("--entrypoint w.ts"), base=tmp_path)


def test_a_syntax_error_in_a_cell_names_its_line(tmp_path: Path) -> None:
    """The position that esbuild gives in the body becomes the cell's line, with column and message."""
    with pytest.raises(
        SourceError,
        match=r"^Worker api: syntax error in line 3 of the cell that begins %%durable worker api: [a-z].+[^.]$",
    ):
        bundle(worker_of("--lang ts", "export default {}\nlet x: = 1\n"), base=tmp_path)


def test_an_import_that_is_not_there(tmp_path: Path) -> None:
    """A missing import is one line with file, line and column."""
    (tmp_path / "w.ts").write_text('\nimport { x } from "./missing";\nexport default { x };\n')
    with pytest.raises(SourceError, match=r'w\.ts:2:\d+: Could not resolve "\./missing"'):
        bundle(worker_of("--entrypoint w.ts"), base=tmp_path)


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    """With no_bundle nothing is bundled, so that what says how does nothing; the plan says so."""
    (tmp_path / "w.js").write_text("export default {}\n")
    said = reader(tmp_path)(worker_of("--entrypoint w.js --no-bundle --minify --define A=1")).notes
    assert said == ("Worker api: with no_bundle its files go up as they are, so that define, minify has no effect.",)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import './a.css'; export default 1", ""),
        ("import x from './a.md'; export default x", 'No loader is configured for ".md" files'),
        ("import x from './a.gone'; export default x", 'Could not resolve "./a.gone"'),
    ],
)
def test_styles_and_unknown_files_are_one_line(tmp_path: Path, source: str, said: str) -> None:
    """What esbuild knows and a Worker cannot have is a note; what nobody knows is an error that says how to tell it."""
    for name in ("a.css", "a.md"):
        (tmp_path / name).write_text("p { color: red }")
    (tmp_path / "w.ts").write_text(source)
    worker = worker_of("--entrypoint w.ts")
    if not said:
        assert reader(tmp_path)(worker).notes == (
            "Worker api: its styles are not part of a Worker; serve them as static assets.",
        )
        return
    with pytest.raises(SourceError) as caught:
        bundle(worker, base=tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    ending = """--rule '{"type": "Text", "globs": ["**/*.md"]}'."""
    assert str(caught.value).endswith(ending) is (".md" in said)
