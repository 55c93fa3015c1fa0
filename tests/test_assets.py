"""Static assets from a declared directory to their answers on the local Cloudflare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import DurableError, SourceError

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

SOURCE = """export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/by-binding") return env.ASSETS.fetch(new Request("https://any/data/one.json"));
    return new Response("worker " + pathname);
  },
};
"""
FILES = {
    "index.html": "<h1>home</h1>",
    "about.html": "<h1>about</h1>",
    "docs/index.html": "<h1>docs</h1>",
    "404.html": "<h1>lost</h1>",
    "data/one.json": '{"one": 1}',
    "logo.bin": "\x00\x01binary",
}


@pytest.fixture
def public(cloud: Path) -> Path:
    """Write a directory of assets."""
    for name, text in FILES.items():
        path = cloud / "public" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cloud / "public"


def declare(session: Session, *, source: str = SOURCE, **served: Any) -> Plan:
    """Declare the Worker with its assets, and plan."""
    nd.Worker("site", script=source, assets={"directory": "public", "binding": "ASSETS", **served})
    return session.plan()


def said(plan: Plan) -> list[str]:
    """Give what a plan says of assets."""
    return [c.detail for c in plan.changes if c.kind == "assets"]


def test_files_are_served_before_the_worker(public: Path) -> None:
    """Pages, folders and files answer at their addresses; what is no file reaches the Worker, which reads them too."""
    session = nd.session("s")
    plan = declare(session)
    assert said(plan) == ["The static assets of site-dev are sent: 6 files, 71 bytes."]
    site = session.deploy(plan)["site"]
    assert site.fetch("/").text == "<h1>home</h1>"
    about = site.fetch("/about")
    assert (about.text, about.headers["content-type"]) == ("<h1>about</h1>", "text/html; charset=utf-8")
    assert site.fetch("/docs/").text == "<h1>docs</h1>"
    moved = site.fetch("/about.html")
    assert (moved.status_code, moved.headers["location"]) == (307, "/about")
    one = site.fetch("/data/one.json")
    assert (one.json(), one.headers["content-type"]) == ({"one": 1}, "application/json")
    again = site.fetch("/data/one.json", headers={"if-none-match": one.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert site.fetch("/no/such").text == "worker /no/such"
    assert site.fetch("/", method="POST").status_code == 405  # a file's address takes GET and HEAD, as at Cloudflare
    assert site.fetch("/no/such", method="POST").text == "worker /no/such"
    assert site.fetch("/by-binding").json() == {"one": 1}


def test_what_changes_is_told_and_what_does_not_is_not_sent(public: Path) -> None:
    """Unchanged assets are no change; a changed file is one; a code update sends no file again; left out, they go."""
    session = nd.session("s")
    first = session.deploy(declare(session))
    assert session.plan().empty
    (public / "about.html").write_text("<h1>about us</h1>")
    plan = session.plan()
    assert said(plan) == ["The static assets of site-dev are replaced: 6 files, 74 bytes."]
    second = session.deploy(plan)
    assert second["site"].fetch("/about").text == "<h1>about us</h1>"
    assert second.requests < first.requests + 1
    plan = declare(session, source=SOURCE.replace("worker ", "new "))
    assert said(plan) == []
    site = session.deploy(plan)["site"]
    assert (site.fetch("/x").text, site.fetch("/docs/").text) == ("new /x", "<h1>docs</h1>")
    nd.Worker("site", script=SOURCE)
    plan = session.plan()
    assert said(plan) == ["The static assets of site-dev, which this session sent, are removed."]
    assert session.deploy(plan)["site"].fetch("/docs/").text == "worker /docs/"
    assert session.plan().empty


def test_how_they_are_served(public: Path) -> None:
    """A 404 page, a single page application and paths for the Worker first are served as declared."""
    session = nd.session("s")
    site = session.deploy(declare(session, run_worker_first=["/docs/*"], not_found_handling="404-page"))["site"]
    assert site.fetch("/docs/").text == "worker /docs/"
    assert site.fetch("/about").text == "<h1>about</h1>"
    lost = site.fetch("/lost", headers={"sec-fetch-mode": "navigate"})
    assert (lost.status_code, lost.text) == (404, "<h1>lost</h1>")
    plan = declare(session, not_found_handling="single-page-application", html_handling="none")
    site = session.deploy(plan)["site"]
    assert site.fetch("/any/where", headers={"sec-fetch-mode": "navigate"}).text == "<h1>home</h1>"
    assert site.fetch("/about.html").text == "<h1>about</h1>"


def test_rules_in_the_directory_are_served(public: Path) -> None:
    """`_headers`, `_redirects` and `base_path` say how files are served; what `.assetsignore` names is not sent."""
    (public / "_headers").write_text("/site/data/*\n  x-kind: data\n  ! cache-control\n")
    (public / "_redirects").write_text("/site/old/:name /site/:name 301\n/site/proxy/* /site/about 200\n")
    (public / ".assetsignore").write_text("# drafts\n*.BIN\nsecret/\n!keep.bin\n")
    (public / "keep.bin").write_text("kept")
    (public / "secret").mkdir()
    (public / "secret" / "key.txt").write_text("key")
    (public / "secret" / "link").symlink_to("/etc")
    session = nd.session("s")
    plan = declare(session, base_path="/site")
    assert said(plan) == ["The static assets of site-dev are sent: 6 files, 67 bytes."]
    site = session.deploy(plan)["site"]
    one = site.fetch("/site/data/one.json")
    assert (one.json(), one.headers["x-kind"], "cache-control" in one.headers) == ({"one": 1}, "data", False)
    moved = site.fetch("/site/old/about")
    assert (moved.status_code, moved.headers["location"]) == (301, "/site/about")
    assert site.fetch("/site/proxy/x").text == "<h1>about</h1>"
    assert site.fetch("/site/keep.bin").text == "kept"
    for path in ("/about", "/site/logo.bin", "/site/secret/key.txt", "/site/_headers"):
        assert site.fetch(path).text == f"worker {path}"
    assert session.plan().empty


def test_paths_that_cannot_be_read_are_refused_with_the_reason(public: Path) -> None:
    """A path for the Worker that workerd cannot read stops the upload, and says which."""
    session = nd.session("s")
    with pytest.raises(DurableError, match=r"must provide at least 1 non-negative rule"):
        session.deploy(declare(session, run_worker_first=["!/api/*"]))


def test_assets_of_somebody_else_are_kept(public: Path) -> None:
    """Another session that imports the Worker and changes its code keeps the assets, and its plan says so."""
    session = nd.session("s")
    session.deploy(declare(session))
    other = nd.session("other")
    imported = other.import_("site-dev")
    assert "Worker site-dev: its static assets are not read; every upload keeps them." in imported.notes
    assert other.plan().empty
    nd.Worker("site-dev", name="site-dev", script=SOURCE.replace("worker ", "new "), bindings={"ASSETS": nd.Assets()})
    plan = other.plan()
    assert said(plan) == ["The static assets of site-dev, which are not declared here, are kept."]
    site = other.deploy(plan)["site-dev"]
    assert (site.fetch("/x").text, site.fetch("/docs/").text) == ("new /x", "<h1>docs</h1>")


def test_export_writes_them(public: Path) -> None:
    """A wrangler project has the files, and says how they are served."""
    session = nd.session("s")
    declare(session, not_found_handling="404-page")
    written = {str(path): Path(path).read_text() for path in session.export_wrangler("out")}
    assert written["out/site-dev/assets/docs/index.html"] == "<h1>docs</h1>"
    assert '"not_found_handling": "404-page"' in written["out/site-dev/wrangler.jsonc"]
    assert '"directory": "./assets"' in written["out/site-dev/wrangler.jsonc"]


def test_a_file_that_changed_after_the_plan_is_stale(public: Path) -> None:
    """What is sent is what was shown: another content needs another plan."""
    session = nd.session("s")
    plan = declare(session)
    (public / "index.html").write_text("other")
    with pytest.raises(DurableError, match=r"a file of Worker .* was edited after plan"):
        session.deploy(plan)


def test_a_link_within_the_project_is_followed(public: Path) -> None:
    """As wrangler does: to a folder beside the directory, and to a file in it."""
    (public.parent / "pictures").mkdir()
    (public.parent / "pictures" / "a.txt").write_text("a picture")
    (public / "img").symlink_to(public.parent / "pictures")
    (public / "again.txt").symlink_to("img/a.txt")
    session = nd.session("s")
    site = session.deploy(declare(session))["site"]
    assert [site.fetch(path).text for path in ("/img/a.txt", "/again.txt")] == ["a picture", "a picture"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda public: public.joinpath("link").symlink_to("/etc"), "link is a link, and none is followed"),
        (lambda public: public.joinpath("loop").symlink_to(public), "loop is a link, and none is followed"),
        (lambda public: public.joinpath(".assetsignore").write_bytes(b"\xff"), ".assetsignore is no UTF-8 text"),
        (lambda public: public.rename(public.with_name("elsewhere")), "public is no directory"),
    ],
)
def test_what_cannot_be_sent_is_one_line(public: Path, spoil: Any, problem: str) -> None:
    """A link that leads out or in a circle, an ignore file that is no text, no directory: refused, by Worker."""
    spoil(public)
    session = nd.session("s")
    with pytest.raises(SourceError, match="Worker site: assets: ") as caught:
        declare(session)
    assert problem in str(caught.value)


def test_toml_and_the_magic_declare_the_same(home: Path) -> None:
    """A table in TOML and `--assets DIR={...}` say what the Python call says."""
    from notebook_do.declare.cell import parse_cell

    made = nd.Worker("w", script="x", assets={"directory": "public", "html_handling": "none"})
    (line,) = parse_cell('worker w --assets \'public={"html_handling": "none"}\'', "x")
    (table,) = parse_cell("", '[workers.w]\nscript = "x"\nassets = {directory = "public", html_handling = "none"}')
    assert made.assets == line.assets == table.assets  # type: ignore[union-attr]
