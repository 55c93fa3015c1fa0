"""What makes an entrypoint is shown, and run when that is asked for only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.notebook.views.documents import bundle as shown

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "echo building; mkdir -p dist && cp src/index.js dist/index.js"


def project(folder: Path, text: str = "one") -> None:
    """Write the source that the command copies."""
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "index.js").write_text(f"export default {{ fetch: () => new Response('{text}') }};\n")


def test_a_plan_runs_no_command_unless_it_is_asked_to(cloud: Path) -> None:
    """Without the built file the plan names the command; with `build` it runs it and shows what it said."""
    project(cloud)
    session = nd.session("app")
    worker = nd.Worker("api", entrypoint="dist/index.js", build=COMMAND)
    assert f"built by {COMMAND}" in " ".join(shown(worker)["text/plain"].split())
    with pytest.raises(nd.SourceError, match="makes it: %durable plan --build runs that"):
        session.plan()
    plan = session.plan(build=True)
    assert plan.notes[:2] == (f"Worker api: `{COMMAND}` was run.", "building")
    assert session.deploy(plan)["api"].fetch("/").text == "one"


def test_an_entrypoint_older_than_its_sources_is_told(cloud: Path) -> None:
    """A plan from built files says that a source is newer, and by which command they are made anew."""
    project(cloud)
    session = nd.session("app")
    nd.Worker("api", entrypoint="dist/index.js", build=COMMAND)
    session.plan(build=True)
    assert not session.plan().warnings
    project(cloud, "two")
    later = (cloud / "dist" / "index.js").stat().st_mtime + 5
    os.utime(cloud / "src" / "index.js", (later, later))
    (said,) = session.plan().warnings
    assert said == (
        f"Worker api: dist/index.js is older than src/index.js; `{COMMAND}` makes it: %durable plan --build runs that."
    )


def test_a_command_that_fails_is_one_line_with_what_it_said(cloud: Path) -> None:
    """The last line stands in the error, all of them below it; nothing is planned."""
    session = nd.session("app")
    nd.Worker("api", entrypoint="dist/index.js", build="echo first; echo it broke >&2; exit 3")
    with pytest.raises(nd.SourceError) as caught:
        session.plan(build=True)
    assert "build command `echo first; echo it broke >&2; exit 3` ended with exit code 3: it broke" in str(caught.value)
    assert caught.value.excerpt == "first\nit broke"
    del cloud
