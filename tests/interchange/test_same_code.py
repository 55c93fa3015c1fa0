"""Two uploads of one source are the same code, whoever bundled it; any other code is another one."""

from __future__ import annotations

import pytest

from notebook_do.model import Module, ModuleKind
from notebook_do.sources.same import same_code

SOURCE = b"""import words from "./words.txt";
export class Counter { count() { return words.length; } }
export default { fetch: (request, env) => env.API.fetch(request) };
"""
BUNDLE = b"""var __defProp = Object.defineProperty;
var __name = (target, value) => __defProp(target, "name", { value, configurable: true });

// src/index.js
import words from "./0a1b-words.txt";
var Counter = class {
  static {
    __name(this, "Counter");
  }
  count() {
    return words.length;
  }
};
var index_default = { fetch: /* @__PURE__ */ __name((request, env) => env.API.fetch(request), "fetch") };
export {
  Counter,
  index_default as default
};
//# sourceMappingURL=index.js.map
"""


def upload(source: bytes, words: bytes = b"some words", name: str = "words.txt") -> tuple[Module, ...]:
    """Give an upload with a text beside its main module."""
    return Module(name="index.js", content=source), Module(name=name, content=words, kind=ModuleKind.TEXT)


def test_what_wrangler_bundles_of_a_source_is_that_source() -> None:
    """Paths, helpers, the names of modules beside and the source map are what a tool adds."""
    theirs = (
        *upload(BUNDLE, name="0a1b-words.txt"),
        Module(name="index.js.map", content=b"{}", kind=ModuleKind.SOURCE_MAP),
    )
    assert same_code(upload(SOURCE), theirs)
    assert same_code(theirs, upload(SOURCE))


@pytest.mark.parametrize(
    "other",
    [
        upload(SOURCE, words=b"other words"),
        upload(SOURCE.replace(b"Counter", b"Tally")),
        upload(SOURCE.replace(b"env.API", b"env.APP")),
        upload(SOURCE.replace(b"words.length", b"words.length + 1")),
        (Module(name="index.js", content=b"this is no JavaScript"),),
        (Module(name="index.py", content=SOURCE, kind=ModuleKind.PYTHON),),
    ],
)
def test_any_other_code_is_another_one(other: tuple[Module, ...]) -> None:
    """A text beside, a class, a binding, a number; what cannot be read is no claim either."""
    assert not same_code(other, upload(BUNDLE, name="0a1b-words.txt"))


def test_what_esbuild_cannot_read_is_compared_as_it_is() -> None:
    """Python, whose main module may have another name; its source map comment is no code."""
    one, other = (Module(name=name, content=b"class A: pass\n", kind=ModuleKind.PYTHON) for name in ("a.py", "b.py"))
    assert same_code([one], [other])
    assert not same_code([one], [Module(name="a.py", content=b"class B: pass\n", kind=ModuleKind.PYTHON)])
