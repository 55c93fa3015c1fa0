"""The commands of the page `wrangler`, as printed, by a person's shell: start, deploy, a secret, stop."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from notebook_do.notebook.topics import page


@pytest.mark.thorough
def test_the_commands_of_the_page_run_as_printed(node: Path, node_packages: Path, tmp_path: Path) -> None:
    """In the folder of a wrangler project, one after the other in one shell."""
    beside, secret = re.findall(r"^```sh\n(.*?)^```$", page("wrangler"), re.MULTILINE | re.DOTALL)
    start, deploy, stop = beside.splitlines()
    project = tmp_path / "project"
    project.mkdir()
    (project / "node_modules").symlink_to(node_packages)
    (project / "wrangler.jsonc").write_text(
        '{"name": "page", "main": "index.js", "compatibility_date": "2026-10-01", "send_metrics": false}'
    )
    (project / "index.js").write_text('export default { fetch() { return new Response("hello"); } };')
    # npx stands beside an older node on many machines: it runs with the one that comes first.
    first = tmp_path / "bin"
    first.mkdir()
    (first / "node").symlink_to(node)
    env = {
        **os.environ,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), str(first), os.environ["PATH"])),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "CI": "1",
        "NOTEBOOK_DO_DATA": str(tmp_path / "data"),
    }
    lines = f"{start}\n{deploy}\n{secret}\n{stop}"
    done = subprocess.run(
        ["bash", "-euc", lines],
        cwd=project,
        env=env,
        input="the value\n",
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Uploaded page" in done.stdout
