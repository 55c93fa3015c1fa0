"""The diff of what is bundled: that of its sources where those of the live bundle are known, else only counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.model import ModuleKind
from notebook_do.sources.mapped import sources_of

if TYPE_CHECKING:
    from notebook_do.sessions.session import Session

MAIN = """import { greet } from "../shared/greet";
const api_key: string = "canary-one-1111";
export default { fetch() { return new Response(greet("a") + api_key); } };
"""
GREET = "// says it\nexport function greet(name: string): string {\n  return `hello ${name}`;\n}\n"


def project(home: Path) -> Session:
    """Write a Worker of two files, and declare it in a session."""
    for name, text in (("src/api.ts", MAIN), ("shared/greet.ts", GREET)):
        (home / name).parent.mkdir()
        (home / name).write_text(text)
    session = nd.session("files")
    nd.Worker("api", entrypoint="src/api.ts")
    return session


def edit(name: str, old: str, new: str) -> None:
    """Change one file as an editor would."""
    Path(name).write_text(Path(name).read_text().replace(old, new))


def test_a_bundle_that_this_kernel_sent_is_compared_by_its_sources(cloud: Path) -> None:
    """views.md 3: each file by its path in the project, secrets hidden; in no digest, state or JSON."""
    session = project(cloud)
    session.deploy(session.plan())
    edit("shared/greet.ts", "hello", "good morning")
    edit("src/api.ts", "canary-one-1111", "canary-two-2222")
    plan = session.plan()
    assert "2 lines added, 2 removed (+2 \N{MINUS SIGN}2), in 2 files: shared/greet.ts and src/api.ts" in str(
        plan
    ).replace("\n" + " " * 33, " ")
    assert str(plan.diff("api")).splitlines() == [
        "--- live: shared/greet.ts",
        "+++ declared: shared/greet.ts",
        "@@ -1,4 +1,4 @@",
        " // says it",
        " export function greet(name: string): string {",
        "-  return `hello ${name}`;",
        "+  return `good morning ${name}`;",
        " }",
        "--- live: src/api.ts",
        "+++ declared: src/api.ts",
        "@@ -1,3 +1,3 @@",
        ' import { greet } from "../shared/greet";',
        '-const api_key: string = "hidden because of its name (15 characters)";',
        '+const api_key: string = "hidden, changed";',
        ' export default { fetch() { return new Response(greet("a") + api_key); } };',
    ]
    assert "the live bundle itself" not in str(plan)
    html = plan._repr_mimebundle_()["text/html"]
    assert "Diff of the code: shared/greet.ts, src/api.ts +2 \N{MINUS SIGN}2" in html
    shown = (html, str(plan), repr(plan.diff("api")), plan.df.to_json(), plan.to_json())
    assert not [text for text in shown if "canary" in text]
    assert not [text for text in shown[3:] if "good morning" in text]
    assert not [p for p in (cloud / ".notebook_do").rglob("*") if p.is_file() and b"good morning" in p.read_bytes()]


def test_a_bundle_of_which_no_source_is_known_is_counted(cloud: Path) -> None:
    """views.md 3: another kernel sent it, and its map carries no source; `plan.diff` has the counts alone."""
    session = project(cloud)
    first = session.plan()
    session.deploy(first)
    nd.session("other")
    session = nd.session("files")
    nd.Worker("api", entrypoint="src/api.ts")
    edit("shared/greet.ts", "hello", "good morning")
    plan = session.plan()
    assert "1 line added, 1 removed (+1 \N{MINUS SIGN}1), in the bundle of file src/api.ts" in str(plan)
    assert "Diff of the code" not in str(plan)
    assert plan.diff("api").lines == ()
    # An unchanged declaration that was planned first says what the live bundle is made of.
    edit("shared/greet.ts", "good morning", "hello")
    assert session.plan().empty
    edit("shared/greet.ts", "hello", "good morning")
    again = session.plan()
    assert "in shared/greet.ts" in str(again)
    assert (again.digest, again.to_json()) == (plan.digest, plan.to_json())


def test_a_live_source_map_that_carries_the_sources_tells_them(cloud: Path) -> None:
    """views.md 3: as another tool uploads it, its paths from the folder of the project."""
    session = project(cloud)
    texts = {"../../shared/greet.ts": GREET, "../../src/api.ts": MAIN.replace("canary-one-1111", "canary-nul-0000")}
    mapped = {"version": 3, "sources": [*texts], "sourcesContent": [*texts.values()], "names": [], "mappings": ""}
    worker = nd.Worker(
        "api",
        modules=(
            nd.Module(name="api.js", content=b"export default { fetch() { return new Response('a'); } };"),
            nd.Module(name="api.js.map", content=json.dumps(mapped).encode(), kind=ModuleKind.SOURCE_MAP),
        ),
    )
    session.declare(worker)
    session.deploy(session.plan())
    nd.Worker("api", entrypoint="src/api.ts")
    plan = session.plan()
    said = " ".join(str(plan).split())
    assert "1 line added, 1 removed (+1 \N{MINUS SIGN}1), in src/api.ts; the live bundle itself +" in said
    assert "canary" not in str(plan)


def test_what_the_map_of_a_live_bundle_does_not_tell_of_it_is_counted(cloud: Path) -> None:
    """Who edits a bundle by hand leaves its map as it was: what a deploy replaces is counted all the same."""
    session = project(cloud)
    mapped = {"version": 3, "sources": ["../../src/api.ts"], "sourcesContent": ["// v1\n" + MAIN], "names": []}
    code = "export default { fetch() { return new Response('by hand'); } };\n" + "// more\n" * 50
    worker = nd.Worker(
        "api",
        modules=(
            nd.Module(name="index.js", content=code.encode()),
            nd.Module(name="index.js.map", content=json.dumps(mapped).encode(), kind=ModuleKind.SOURCE_MAP),
        ),
    )
    session.declare(worker)
    session.deploy(session.plan())
    nd.Worker("api", entrypoint="src/api.ts")
    (diff,) = session.plan().code
    assert diff.of_sources
    assert int(diff.whole.rpartition("\N{MINUS SIGN}")[2]) >= 50


def test_a_map_without_all_sources_tells_none() -> None:
    """No guess: a map that lacks one, is none, or has other lists tells nothing."""
    for wrong in (
        b"",
        b"[]",
        b"{",
        b'{"sources": ["a"]}',
        b'{"sources": ["a"], "sourcesContent": [null]}',
        b'{"sources": ["a"], "sourcesContent": []}',
        b'{"sources": "a", "sourcesContent": "b"}',
    ):
        assert sources_of(wrong) == ()
    (one,) = sources_of(b'{"sources": ["../node_modules/x/i.js"], "sourcesContent": ["long"]}')
    assert (one.name, one.text, one.size) == ("node_modules/x/i.js", None, 4)


@pytest.mark.parametrize(
    "content",
    [
        b'{"sources": ["a"], "sourcesContent": ["\\ud800"]}',
        b'{"sources": ' + b"[" * 100_000,
        b"\xff\xfe",
        b"null",
        b'{"sources": ["a"], "sourcesContent": [7]}',
        b'{"sources": {"a": 1}, "sourcesContent": ["x"]}',
    ],
)
def test_a_live_source_map_that_cannot_be_read_tells_no_sources(content: bytes) -> None:
    """It is what another tool sent, or anybody: a plan is made all the same, and counts the lines of the bundle."""
    assert sources_of(content) == ()
