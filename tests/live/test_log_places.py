"""An exception names the line of the source that was uploaded: of a file, of a bundle's files, of a cell; or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.live.fetching import request_id_of

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.sources.located import LocatedStack

INDEX = """import { Failure, fails } from "./lib/fails";

type Answer = { text: string };

export default {
  async fetch(request: Request): Promise<Response> {
    const answer: Answer = fails(new URL(request.url).pathname);
    return new Response(answer.text);
  },
};
"""
FAILS = """export class Failure extends Error {}


export function fails(path: string): { text: string } {
  throw new Failure(`no ${path}`);
}
"""


def thrown(session: nd.Session, worker: str) -> LocatedStack:
    """Send a request that fails; give the stack of its exception."""
    answer = session.fetch(worker, "/x", follow=True)
    assert answer.status_code == 500
    _, records = session.request_logs(str(request_id_of(answer)), wait=50)
    (found,) = (one for one in records if one.record.exception)
    assert found.stack
    return found.stack


@pytest.fixture
def project(cloud: Path) -> Path:
    """Give a project of two TypeScript files."""
    (cloud / "src" / "lib").mkdir(parents=True)
    (cloud / "src" / "index.ts").write_text(INDEX)
    (cloud / "src" / "lib" / "fails.ts").write_text(FAILS)
    return cloud


def test_a_bundle_names_the_files_that_it_is_made_of(project: Path) -> None:
    """Frames of a bundle lead to the lines of its files, by the source map of the upload."""
    session = nd.session("chat")
    nd.Worker("chat", entrypoint="src/index.ts")
    session.deploy(session.plan())
    found = thrown(session, "chat")
    assert found.place == "line 5 of src/lib/fails.ts"
    assert found.what == "fails"
    assert ">   5 |   throw new Failure(`no ${path}`);" in found.excerpt
    assert [line.rpartition("→ ")[2] for line in found.lines] == ["src/lib/fails.ts:5", "src/index.ts:7"]
    # The file is another one now: its line is known, but not what stood there.
    (project / "src" / "lib" / "fails.ts").write_text(f"// new\n{FAILS}")
    again = thrown(session, "chat")
    assert (again.place, again.excerpt) == ("line 5 of src/lib/fails.ts", "")


def test_typescript_in_a_script_names_its_line(cloud: Path) -> None:
    """A TypeScript source without a file is bundled; its frames lead to the lines that were written."""
    del cloud
    session = nd.session("chat")
    source = INDEX.replace('import { Failure, fails } from "./lib/fails";', FAILS.replace("export ", ""))
    nd.Worker("chat", script=source, lang="ts")
    session.deploy(session.plan())
    found = thrown(session, "chat")
    assert found.place == "line 5 of the script of Worker chat"
    assert ">   5 |   throw new Failure(`no ${path}`);" in found.excerpt


def test_a_file_that_goes_up_as_it_is_names_its_line(cloud: Path) -> None:
    """A JavaScript file without imports is the module itself."""
    (cloud / "worker.js").write_text("export default {\n  fetch() { throw new TypeError('no'); },\n};\n")
    session = nd.session("chat")
    nd.Worker("chat", entrypoint="worker.js")
    session.deploy(session.plan())
    assert thrown(session, "chat").place == "line 2 of worker.js"


def test_a_source_that_is_not_the_uploaded_one_names_no_line(cloud: Path) -> None:
    """Declared anew and not deployed: an exception of what is live has the line of what was deployed, by this kernel.

    Where another kernel deployed, and another source is declared here, no line is named.
    """
    source = "export default {\n  fetch() { throw new TypeError('no'); },\n};\n"
    session = nd.session("chat")
    nd.Worker("chat", script=source)
    session.deploy(session.plan())
    nd.Worker("chat", script=f"// one line more\n{source}")
    assert thrown(session, "chat").place == "line 2 of the script of Worker chat"
    session._deploys.clear()  # as in a kernel that was started anew
    found = thrown(session, "chat")
    assert (found.place, found.lines) == ("", ("at Object.fetch (index.js:2:19)",))
    nd.Worker("chat", script=source)
    assert thrown(session, "chat").place == "line 2 of the script of Worker chat"
    del cloud
