"""Nothing that is live and only kept is exported as absent: it is in the project, or the export refuses by name."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import CommandError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "export default { fetch: () => new Response('worker') };"


@pytest.fixture
def site(cloud: Path) -> nd.Session:
    """Deploy a Worker with static assets by one session, and import it by another, which only keeps them."""
    (cloud / "public" / "docs").mkdir(parents=True)
    (cloud / "public" / "index.html").write_text("<h1>home</h1>")
    (cloud / "public" / "docs" / "one.bin").write_bytes(bytes(range(256)))
    first = nd.session("first")
    nd.Worker("site", script=SOURCE, assets={"directory": "public", "binding": "ASSETS"})
    first.deploy(first.plan())
    (cloud / "public" / "_headers").write_text("/*\n  x-a: b\n")  # the local Cloudflare takes no rules
    second = nd.session("second")
    second.import_("site-dev")
    return second


def project(folder: Path) -> dict[str, Any]:
    """Read what was written for wrangler."""
    read: dict[str, Any] = json.loads((folder / "site-dev" / "wrangler.jsonc").read_text())
    return read


def test_kept_assets_are_never_exported_as_absent(cloud: Path, site: nd.Session) -> None:
    """Without their directory the export says one line, which names Worker and option, and writes no file."""
    with pytest.raises(CommandError, match=r"static assets of Worker site-dev .*--assets site-dev=DIR") as refused:
        site.export_wrangler("out")
    assert "\n" not in str(refused.value)
    assert not (cloud / "out").exists()


@pytest.mark.parametrize("given", ["public", {"site-dev": "public"}, {"site-dev": {"directory": "public"}}])
def test_the_directory_that_is_given_is_in_the_project(cloud: Path, site: nd.Session, given: Any) -> None:
    """A directory alone, or by Worker: its files are copied, rules included, and the live binding stays."""
    written = site.export_wrangler("out", assets=given)
    folder = cloud / "out" / "site-dev" / "assets"
    assert project(cloud / "out")["assets"] == {"directory": "./assets", "binding": "ASSETS"}
    assert (folder / "index.html").read_text() == "<h1>home</h1>"
    assert (folder / "docs" / "one.bin").read_bytes() == bytes(range(256))
    assert (folder / "_headers").read_text() == "/*\n  x-a: b\n"
    assert len(written) == 5


def test_how_they_are_served_can_be_said(cloud: Path, site: nd.Session) -> None:
    """What is not readable is given beside the directory, and checked as in a declaration."""
    site.export_wrangler("out", assets={"site-dev": {"directory": "public", "html_handling": "none"}})
    assert project(cloud / "out")["assets"]["html_handling"] == "none"
    with pytest.raises(CommandError, match="Worker site-dev: html_handling of assets 'nine'"):
        site.export_wrangler("out2", assets={"site-dev": {"directory": "public", "html_handling": "nine"}})


def test_what_does_not_fit_is_one_line(site: nd.Session) -> None:
    """An unknown Worker, a missing directory, a directory alone for several Workers, and one that is not needed."""
    with pytest.raises(CommandError, match="no Worker sit-dev is declared; did you mean site-dev"):
        site.export_wrangler("out", assets={"sit-dev": "public"})
    with pytest.raises(SourceError, match="Worker site-dev: assets: nowhere is no directory"):
        site.export_wrangler("out", assets="nowhere")
    nd.Worker("other", script=SOURCE)
    with pytest.raises(CommandError, match=r"whose assets are in public: --assets WORKER=public, with other, site-dev"):
        site.export_wrangler("out", assets="public")
    with pytest.raises(CommandError, match="Worker other has no static assets; leave out --assets for it"):
        site.export_wrangler("out", assets={"other": "public", "site-dev": "public"})


def test_assets_that_are_to_be_removed_are_no_kept_ones(cloud: Path) -> None:
    """What this session sent and declares no longer is exported as the next plan would leave it: absent."""
    (cloud / "public").mkdir()
    (cloud / "public" / "index.html").write_text("home")
    session = nd.session("s")
    nd.Worker("site", script=SOURCE, assets={"directory": "public"})
    session.deploy(session.plan())
    nd.Worker("site", script=SOURCE)
    session.export_wrangler("out")
    assert "assets" not in project(cloud / "out")


def test_the_command_line_takes_it(cloud: Path, site: nd.Session) -> None:
    """`notebook-do export FILE wrangler` refuses with status 2 and, told where they are, writes the project."""
    told = f"""[workers.site-dev]
name = "site-dev"
script = {json.dumps(SOURCE)}
bindings = {{ASSETS = {{type = "assets"}}}}
compatibility_date = "{site.catalog.workers["site-dev"].compatibility_date}"
"""
    (cloud / "second.toml").write_text(told)
    command = [sys.executable, "-m", "notebook_do.cli", "export", "second.toml", "wrangler", "out"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused
    assert "--assets site-dev=DIR" in refused.stderr
    command += ["--assets", 'site-dev=public={"html_handling": "none"}']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done
    assert project(cloud / "out")["assets"]["html_handling"] == "none"
    assert (cloud / "out" / "site-dev" / "assets" / "index.html").exists()
