"""Nothing that is live and only kept is exported as absent: it is in the project, or the export refuses by name."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.errors import CommandError, SourceError
from notebook_do.model import Module, ModuleKind

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "export default { fetch: () => new Response('worker') };"


@pytest.fixture
def site(cloud: Path) -> nd.Session:
    """Deploy a Worker with static assets by one session, and import it by another, which only keeps them."""
    (cloud / "public" / "docs").mkdir(parents=True)
    (cloud / "public" / "index.html").write_text("<h1>home</h1>")
    (cloud / "public" / "docs" / "one.bin").write_bytes(bytes(range(256)))
    (cloud / "public" / "_headers").write_text("/*\n  x-a: b\n")
    first = nd.session("first")
    nd.Worker("site", script=SOURCE, assets={"directory": "public", "binding": "ASSETS"})
    first.deploy(first.plan())
    second = nd.session("second")
    second.import_("site-dev")
    return second


def project(folder: Path) -> dict[str, Any]:
    """Read what was written for wrangler."""
    read: dict[str, Any] = json.loads((folder / "site-dev" / "wrangler.jsonc").read_text())
    return read


def test_kept_assets_are_never_exported_as_absent(cloud: Path, site: nd.Session) -> None:
    """Without their directory the export says one line, which names Worker and option, and writes no file."""
    with pytest.raises(CommandError, match=r"static assets of Worker site-dev .*--assets site-dev=./public") as refused:
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
    with pytest.raises(
        CommandError, match=r"whose assets are in public: --assets other=public or --assets site-dev=public"
    ):
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


def put(session: nd.Session, method: str, path: str, **content: Any) -> None:
    """Change something on the local Cloudflare, as another tool would."""
    connection = session._run(session._connect())
    answer = httpx.request(
        method,
        f"{connection.base_url}/accounts/{connection.account_id}{path}",
        headers={"Authorization": f"Bearer {connection.token.reveal()}"},
        trust_env=False,
        timeout=60,
        **content,
    )
    assert answer.status_code == 200, answer.text


def test_what_is_live_and_never_declared_is_in_the_project(cloud: Path) -> None:
    """Settings, cron triggers, preview URLs, routes and domains that others set stand beside those declared."""
    session = nd.session("s")
    nd.Worker("w", script=CRON, name="w", routes=["example.com/declared/*"])
    session.deploy(session.plan())
    settings = {"observability": {"enabled": True, "head_sampling_rate": 0.5}, "logpush": True, "tags": ["team"]}
    put(session, "PATCH", "/workers/scripts/w/script-settings", json=settings)
    put(session, "PUT", "/workers/scripts/w/schedules", json=[{"cron": "0 3 * * *"}])
    put(session, "POST", "/workers/scripts/w/subdomain", json={"enabled": True, "previews_enabled": True})
    put(session, "PUT", "/workers/domains", json={"hostname": "kept.example.com", "service": "w"})
    session.export_wrangler("out")
    config = json.loads((cloud / "out" / "w" / "wrangler.jsonc").read_text())
    assert config["observability"] == settings["observability"]
    assert (config["logpush"], config["preview_urls"]) == (True, True)
    assert config["triggers"] == {"crons": ["0 3 * * *"]}
    assert config["routes"] == [{"pattern": "kept.example.com", "custom_domain": True}, "example.com/declared/*"]
    assert "tags" not in config
    assert "unsafe" not in config, "wrangler has no key for tags, and keeps those that are live"


CRON = "export default { fetch: () => new Response('w'), async scheduled() {}, async queue() {} };"
MAP = b'{"version":3,"file":"index.js","sources":["../src/index.ts"],"mappings":""}'


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ((Module(name="src/index.js", content=b"export default {}"),), "module src/index.js lies in a directory"),
        ((Module(name="index", content=b"export default {}"),), "module index .* does not end in .js or .mjs"),
        (
            (
                Module(name="i.js", content=b"export default {}"),
                Module(name="d.json", content=b"1", kind=ModuleKind.JSON),
            ),
            "module d.json is of type json, which wrangler cannot send",
        ),
        (
            (
                Module(name="i.js", content=b"export default {}"),
                Module(name="i.js.map", content=MAP, kind=ModuleKind.SOURCE_MAP),
            ),
            r"module i.js.map is a source map that no module names",
        ),
        (
            (
                Module(name="i.js", content=b"export default {}\n//# sourceMappingURL=i.js.map"),
                Module(name="i.js.map", content=MAP, kind=ModuleKind.SOURCE_MAP),
            ),
            r"module i.js.map is a source map that wrangler would send with other paths",
        ),
    ],
)
def test_a_module_that_wrangler_would_change_is_refused(cloud: Path, modules: tuple[Module, ...], why: str) -> None:
    """What wrangler would send under another name or not at all is one line with its name; nothing is written."""
    session = nd.session("s")
    nd.Worker("w", modules=modules)
    with pytest.raises(CommandError, match=f"export: Worker w: {why}"):
        session.export_wrangler("out")
    assert not (cloud / "out").exists()


def test_what_wrangler_has_no_key_for_is_metadata_or_refused(cloud: Path) -> None:
    """Tags of a new Worker are metadata; a tag that is not live yet, and a blob without its part, are refused."""
    session = nd.session("s")
    nd.Worker("w", script=SOURCE, limits={"cpu_ms": 5}, tags=["team"])
    session.export_wrangler("out")
    config = json.loads((cloud / "out" / "w-dev" / "wrangler.jsonc").read_text())
    assert config["unsafe"] == {"metadata": {"tags": ["team"]}}, "nothing is live that would keep them"
    nd.Worker("w", script=SOURCE)
    session.deploy(session.plan())
    nd.Worker("w", script=SOURCE, tags=["team"])
    with pytest.raises(CommandError, match="tag team of Worker w is declared and not live; deploy it first"):
        session.export_wrangler("out2")
    nd.Worker("w", script=SOURCE, bindings={"B": nd.Resource(type="text_blob", fields=nd.Json({"part": "x"}))})
    with pytest.raises(
        CommandError, match=r"Worker w: binding B \(text_blob\): its part x is not among the Worker's modules"
    ):
        session.export_wrangler("out2")


def test_assets_are_no_modules(cloud: Path) -> None:
    """Only modules are found by wrangler's rules: pages and texts among the assets stay assets."""
    (cloud / "public").mkdir()
    (cloud / "public" / "page.html").write_text("page")
    session = nd.session("s")
    nd.Worker("one", script=SOURCE, assets={"directory": "public"})
    modules = (
        Module(name="index.js", content=b"export default {}"),
        Module(name="assets/words.txt", content=b"w", kind=ModuleKind.TEXT),
    )
    nd.Worker("two", modules=modules, assets={"directory": "public"})
    session.export_wrangler("out")
    one, two = (json.loads((cloud / "out" / f"{n}-dev" / "wrangler.jsonc").read_text()) for n in ("one", "two"))
    assert one["find_additional_modules"] is False
    rules = {r["type"]: (r["globs"], r["fallthrough"]) for r in two["rules"]}
    assert rules == {"Text": (["assets/words.txt"], False), "Data": ([], False), "CompiledWasm": ([], False)}
    assert two["assets"]["directory"] == "./static-assets"
    assert (cloud / "out" / "two-dev" / "static-assets" / "page.html").exists()


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
    assert "--assets site-dev=./public" in refused.stderr
    command += ["--assets", 'site-dev=public={"html_handling": "none"}']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done
    assert project(cloud / "out")["assets"]["html_handling"] == "none"
    assert (cloud / "out" / "site-dev" / "assets" / "index.html").exists()
