"""How a source becomes modules is declared in wrangler's words: on the line, in TOML, in Python, all three the same."""

from __future__ import annotations

from typing import Any

import pytest

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.declare.options import line_of
from notebook_do.model import WORKER_FIELDS

GIVEN: dict[str, Any] = {
    "no_bundle": True,
    "find_additional_modules": False,
    "base_dir": "./src",
    "rules": [
        {"type": "Text", "globs": ["**/*.md"], "fallthrough": True},
        {"type": "Data", "globs": ["**/*.webp", "**/*.png"]},
    ],
    "define": {"MODE": '"it\'s a = b"', "process.env.DEBUG": "false"},
    "alias": {"lodash": "./src/lodash.ts", "@scope/name": "other"},
    "minify": True,
    "tsconfig": "conf/tsconfig.json",
    "build": "npm run build && cp a b",
}
TOML = """
[workers.w]
entrypoint = "main.js"
no_bundle = true
find_additional_modules = false
base_dir = "./src"
minify = true
tsconfig = "conf/tsconfig.json"
build = "npm run build && cp a b"
rules = [
  {type = "Text", globs = ["**/*.md"], fallthrough = true},
  {type = "Data", globs = ["**/*.webp", "**/*.png"]},
]
[workers.w.define]
MODE = "\\"it's a = b\\""
"process.env.DEBUG" = "false"
[workers.w.alias]
lodash = "./src/lodash.ts"
"@scope/name" = "other"
"""


def test_line_toml_and_python_declare_the_same() -> None:
    """Each of the rows has an option, a key and a keyword, and what one of them says can be written as the others."""
    worker = nd.Worker("w", entrypoint="main.js", **GIVEN)
    (of_toml,) = parse_cell("", TOML)
    assert of_toml == worker
    line = line_of("worker", worker)
    assert line is not None
    assert parse_cell(line, None) == (worker,)
    assert {name: WORKER_FIELDS[name].of(worker) for name in GIVEN} == GIVEN


def test_the_rows_are_wranglers_keys() -> None:
    """Every row that says how a source becomes modules names wrangler's key for it; `build` is `build.command`."""
    keys = {name: row.wrangler for name, row in WORKER_FIELDS.items() if row.source}
    assert keys == {name: (name,) for name in GIVEN} | {"build": ("build", "command")}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"define": {"MODE": 1}}, "define must be a table of strings by name, not {'MODE': 1}."),
        ({"define": {"a-b": "1"}}, "define: 'a-b' is no JavaScript name such as DEBUG or process.env.MODE."),
        ({"alias": {"./a": "b"}}, "alias: './a' must be a package, as it is imported; a file cannot be replaced."),
        ({"alias": {"a": ""}}, "alias: a has nothing that stands in for it; name a module or a file."),
        ({"rules": {"type": "Text"}}, "rules must be a list of tables, not {'type': 'Text'}."),
        ({"rules": ["**/*.md"]}, "rules must be a list of tables, not ['**/*.md']."),
        ({"rules": [{"type": "Txt", "globs": []}]}, "rules: type 'Txt': did you mean Text?"),
        ({"rules": [{"typ": "Text", "globs": []}]}, "rules: a rule has no typ; did you mean type?"),
        ({"rules": [{"type": "Text", "globs": "*.md"}]}, "rules: globs of Text must be a list of patterns such as"),
        ({"minify": "yes"}, "minify must be true or false, not 'yes'."),
        ({"build": ["npm"]}, "build must be a string, not ['npm']."),
    ],
)
def test_what_cannot_be_right_is_one_line(given: dict[str, Any], said: str) -> None:
    """A value that neither wrangler nor esbuild could take is refused at the declaration, with its name."""
    with pytest.raises(nd.DeclarationError) as caught:
        nd.Worker("w", entrypoint="main.js", **given)
    assert str(caught.value).startswith(f"Worker w: {said}")


@pytest.mark.parametrize("given", [{"no_bundle": True}, {"find_additional_modules": True}, {"build": "make"}])
def test_what_is_about_a_file_needs_one(given: dict[str, Any]) -> None:
    """What says how a file is found or made has no meaning for a source that stands in the cell."""
    (name,) = given
    with pytest.raises(nd.DeclarationError, match=f"{name} is about an entrypoint; give one, or leave {name} out"):
        nd.Worker("w", script="export default {}", **given)


def test_an_option_that_is_given_twice_is_refused() -> None:
    """A name is defined once; a pair without `=` says how it is written."""
    with pytest.raises(nd.CommandError, match="--define A is given twice"):
        parse_cell("worker w --define A=1 --define A=2", "export default {}")
    with pytest.raises(nd.CommandError, match="--alias a: write --alias NAME=MODULE"):
        parse_cell("worker w --alias a", "export default {}")
