"""What makes an entrypoint is shown, and run when that is asked for only."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.cli import main
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


# --- at the import of a wrangler project


def wrangler_project(folder: Path, **build: Any) -> None:
    """Write a project whose command is a program of a package of its own."""
    folder.mkdir(exist_ok=True)
    project(folder)
    programs = folder / "node_modules" / ".bin"
    programs.mkdir(parents=True)
    (programs / "make-it").write_text("#!/bin/sh\necho making\nmkdir -p dist\ncp src/index.js dist/index.js\n")
    (programs / "make-it").chmod(0o755)
    config = {"name": "api", "main": "dist/index.js", "compatibility_date": "2026-06-01"}
    (folder / "wrangler.json").write_text(json.dumps({**config, "build": {"command": "make-it", **build}}))


def test_an_import_shows_the_command_and_runs_it_where_it_is_asked_to(cloud: Path) -> None:
    """Issue 14: without `build` it is named and not run; with it, it finds the project's packages, and is shown."""
    wrangler_project(cloud / "app")
    session = nd.session("app", stage="production")
    found = session.import_wrangler("app")
    assert "Worker api: its build command `cd app && make-it` was not run; import with --build runs it." in found.notes
    assert found.built == ()
    assert not (cloud / "app" / "dist").exists()
    found = session.import_wrangler("app", build=True)
    assert found.built == ("Worker api: `cd app && make-it` was run.", "making")
    assert not any("build" in note for note in found.notes)
    assert session.deploy(session.plan())["api"].fetch("/").text == "one"


def test_a_command_may_write_the_configuration_that_is_imported(cloud: Path) -> None:
    """As a build tool does, it leaves a redirect: what is imported is what that leads to."""
    wrangler_project(cloud / "app")
    built = {"name": "made", "main": "index.js", "compatibility_date": "2026-06-01", "no_bundle": True}
    (cloud / "app" / "made.json").write_text(json.dumps(built))
    (cloud / "app" / "node_modules" / ".bin" / "make-it").write_text(
        "#!/bin/sh\nmkdir -p dist .wrangler/deploy\ncp src/index.js dist\ncp made.json dist/wrangler.json\n"
        """echo '{"configPath": "../../dist/wrangler.json"}' > .wrangler/deploy/config.json\n"""
    )
    session = nd.session("app", stage="production")
    session.import_wrangler("app", build=True)
    assert [w.name for w in session.catalog.workers.values()] == ["made"]
    assert session.deploy(session.plan())["made"].fetch("/").text == "one"


def test_a_command_that_fails_at_an_import_is_one_line(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is declared then; the command line says the same, and `--build` without a project is refused."""
    wrangler_project(cloud / "app", command="echo first; echo it broke >&2; exit 3")
    session = nd.session("app", stage="production")
    with pytest.raises(nd.SourceError) as caught:
        session.import_wrangler("app", build=True)
    said = (
        "Worker api: build command `cd app && echo first; echo it broke >&2; exit 3` ended with exit code 3: it broke"
    )
    assert str(caught.value) == said
    assert not session.catalog.workers
    session.close()
    assert main(["import", "--wrangler", "app", "--build"]) == 1
    assert capsys.readouterr().err == f"notebook-do: {said}\n"
    assert main(["import", "book.toml", "--build"]) == 2


def test_the_command_line_shows_what_was_run_above_the_cells(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As comments, so that all of it can be pasted; a script gets it by itself."""
    wrangler_project(cloud / "app")
    assert main(["import", "--wrangler", "app", "--build"]) == 0
    built, opened, *_ = capsys.readouterr().out.split("\n\n")
    assert built == "# Worker api: `cd app && make-it` was run.\n# making"
    assert opened == "# --- cell 1 of 2 ---\n%durable session app --stage production"
    assert main(["import", "--wrangler", "app", "--build", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["built"] == ["Worker api: `cd app && make-it` was run.", "making"]
