"""Two uploads are the same code where nothing differs that a program can see, and no claim is made where any does."""

from __future__ import annotations

from notebook_do.model import Module
from notebook_do.sources.same import same_code

OURS = """
// src/a.js
var __defProp = Object.defineProperty;
var __name = (target, value) => __defProp(target, "name", { value, configurable: true });
var __commonJS = (cb, mod) => function __require() {
  return mod || (0, cb[Object.keys(cb)[0]])((mod = { exports: {} }).exports, mod), mod.exports;
};
var require_lib = __commonJS({ "node_modules/lib/index.js"(exports, module) { module.exports = { size: 3 }; } });
import text from "./0123-notes.txt";
var lib = require_lib();
var Counter = class { static { __name(this, "Counter"); } get(first) { return first + lib.size; } };
export { Counter, text as default };
//# sourceMappingURL=index.js.map
"""
THEIRS = (
    OURS.replace("__defProp", "__def2")
    .replace("node_modules/lib/index.js", "../../home/somebody/project/node_modules/.pnpm/lib@1/index.js")
    .replace("require_lib", "require_index_of_a_longer_name")
    .replace("// src/a.js", "/*! a licence */")
    .replace("index.js.map", "worker.js.map")
    .replace("first", "someOtherName")
)
NOTES = Module(name="0123-notes.txt", content=b"notes", kind="text")


def modules(code: str, *more: Module, name: str = "index.js") -> list[Module]:
    """Return an upload with a main module."""
    return [Module(name=name, content=code.encode()), *more]


def test_paths_comments_helpers_and_local_names_do_not_count() -> None:
    """Nor does the name of the main module, a `./` before another one, or a source map."""
    map_ = Module(name="index.js.map", content=b"{}", kind="source-map")
    theirs = Module(name="./0123-notes.txt", content=b"notes", kind="text")
    assert same_code(modules(OURS, map_, NOTES), modules(THEIRS, theirs, name="worker.js"))
    assert same_code(modules(OURS, NOTES), modules(OURS, NOTES))


def test_what_a_program_can_see_counts() -> None:
    """A value, the name of a class, an export, an import, a property, another module: each is another program."""
    changes = {
        "size: 3": "size: 4",
        '"Counter"': '"Count"',
        "Counter, text as default": "Counter as C, text as default",
        "./0123-notes.txt": "./0124-notes.txt",
        "get(first)": "got(first)",
        "first + lib": "lib.size - first + lib",
    }
    for before, after in changes.items():
        assert before in OURS
        assert not same_code(modules(OURS, NOTES), modules(OURS.replace(before, after), NOTES)), before
    other = Module(name="0123-notes.txt", content=b"other", kind="text")
    assert not same_code(modules(OURS, NOTES), modules(OURS, other))
    assert not same_code(modules(OURS, NOTES), modules(OURS))
    assert not same_code(modules(OURS), modules(OURS, NOTES))


def test_nothing_is_claimed_of_what_cannot_be_parsed() -> None:
    """Where esbuild cannot read one of the two, they are not the same, but byte by byte."""
    assert not same_code(modules(OURS), modules("const a b;"))
    assert same_code(modules("const a b;"), modules("const a b;"))
    python = [Module(name="index.py", content=b"x = 1", kind="python")]
    assert same_code(python, list(python))
    assert not same_code(python, [Module(name="index.py", content=b"x = 2", kind="python")])
