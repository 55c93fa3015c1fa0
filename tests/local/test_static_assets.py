"""Static assets over the workers port: workerd's own asset service answers as Cloudflare's pages say."""

from __future__ import annotations

import asyncio
import re
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from notebook_do.local.runtime.sites import is_plain, make_sites
from notebook_do.local.runtime.spec import RunnableWorker, ScriptInvalid, StaticSite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORKER = """
import { WorkerEntrypoint } from "cloudflare:workers";
export class Named extends WorkerEntrypoint { fetch() { return new Response("named"); } }
export default class extends WorkerEntrypoint {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/by-binding") return this.env.ASSETS.fetch("https://any/about");
    if (pathname === "/rules") return this.env.ASSETS.fetch("https://any/old", { redirect: "manual" });
    return new Response("worker " + pathname + (this.ctx.props.key ?? ""));
  }
  hello() { return "hello by rpc"; }
}
"""
CALLER = """export default {
  async fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    if (pathname === "/rpc") return new Response(await env.SITE.hello());
    return env[search.slice(1) || "SITE"].fetch("https://any" + pathname);
  },
};
"""
FILES = (
    *("index.html", "about.html", "docs/index.html", "both.html", "both/index.html", "data.json", "404.html"),
    *("pl+us.txt", "with space.txt", "é.txt", ".well-known/x.json", "index/index.html", "none.weird", "docs/404.html"),
)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., StaticSite]:
    """Give a way to make static assets; each file holds its own path."""

    def make(**config: Any) -> StaticSite:
        files = {}
        for number, name in enumerate(FILES):
            files[f"/{name}"] = tmp_path / f"file-{number}"
            files[f"/{name}"].write_text(name)
        return StaticSite(files=files, config=config)

    return make


ADDRESSES = {
    "auto-trailing-slash": """
        /                  index.html            /index.html        -> /
        /index             -> /                  /about             about.html
        /about/            -> /about             /about.html        -> /about
        /about/index       -> /about             /about/index.html  -> /about
        /docs              -> /docs/             /docs/             docs/index.html
        /docs/index        -> /docs/             /docs/index.html   -> /docs/
        /both              both.html             /both/             both/index.html
        /both.html         -> /both              /both/index.html   -> /both/
        //about            -> /about             ///docs/           -> /docs/
        /data.json         data.json             /data              worker
        /data.json/        worker                /none.weird        none.weird
        /pl+us.txt         -> /pl%2Bus.txt       /pl%2Bus.txt       pl+us.txt
        /with%20space.txt  with%20space.txt      /%C3%A9.txt        %C3%A9.txt
        /.well-known/x.json .well-known/x.json   /%61bout           -> /about
        /About             worker                /docs/../about     about.html
        /about?x=/1        about.html            /about.html?x=1    -> /about?x=1
        /docs%2F           -> /docs/             /404               404.html
        /_headers          worker                /..%2f..%2fetc     worker
    """,
    "force-trailing-slash": """
        /about             -> /about/            /about/            about.html
        /about.html        -> /about/            /docs              -> /docs/
        /docs/             docs/index.html       /docs/index.html   -> /docs/
        /                  index.html            /index.html        -> /
        /both              -> /both/             /data.json         data.json
    """,
    "drop-trailing-slash": """
        /about             about.html            /about/            -> /about
        /about.html        -> /about             /docs              docs/index.html
        /docs/             -> /docs              /docs/index.html   -> /docs
        /                  index.html            /index.html        -> /
        /both/             -> /both              /data.json         data.json
    """,
    "none": """
        /about             worker                /about.html        about.html
        /docs              worker                /docs/             worker
        /docs/index.html   docs/index.html       /                  worker
        /index.html        index.html            /data.json         data.json
    """,
}
ROW = re.compile(r"(/\S*)\s+(-> )?(\S+)")


async def get(stage: Any, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    """Ask for a path exactly as it is written: httpx would tidy it up."""

    def ask() -> tuple[int, str, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", stage.port, timeout=30)
        try:
            connection.request(method, path, headers={"host": stage.host("site"), **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("handling", ADDRESSES)
def test_addresses(play: Callable[..., None], site: Callable[..., StaticSite], handling: str) -> None:
    """Each address is a file, a 307 to the file's one address, or the Worker's."""

    async def story(stage: Any) -> None:
        stage.put("site", WORKER, assets=site(html_handling=handling))
        wrong = []
        for path, arrow, wanted in ROW.findall(ADDRESSES[handling]):
            status, text, headers = await get(stage, path)
            worker = f"worker {path.partition('?')[0]}"
            expected = (307, wanted) if arrow else (200, worker if wanted == "worker" else unquote(wanted))
            if expected != (status, headers.get("location", text)):
                wrong.append((path, expected, (status, headers.get("location", text))))
        assert not wrong

    play(story)


def test_who_answers(play: Callable[..., None], site: Callable[..., StaticSite]) -> None:
    """Methods, navigations, paths for the Worker first and pages for what is not found are told apart."""

    async def story(stage: Any) -> None:
        first = ["/docs/*", "/api/*", "!/api/about"]
        stage.put("site", WORKER, assets=site(not_found_handling="404-page", run_worker_first=first))
        assert (await get(stage, "/docs/"))[1] == "worker /docs/"
        assert (await get(stage, "/api/x"))[1] == "worker /api/x"
        assert (await get(stage, "/api/about"))[:2] == (404, "404.html")
        assert (await get(stage, "/nope"))[:2] == (404, "404.html")  # with paths for the Worker it gets no others
        await stage.deploy("site", WORKER, assets=site(not_found_handling="404-page"))
        navigates = {"sec-fetch-mode": "navigate"}
        assert (await get(stage, "/nope"))[1] == "worker /nope"
        assert (await get(stage, "/nope", **navigates))[:2] == (404, "404.html")
        assert (await get(stage, "/docs/no/pe", **navigates))[:2] == (404, "docs/404.html")
        status, text, headers = await get(stage, "/about", "HEAD")
        assert (status, text, headers["content-length"]) == (200, "", str(len("about.html")))
        assert headers["cache-control"] == "public, max-age=0, must-revalidate"
        assert (await get(stage, "/about", **{"if-none-match": headers["etag"]}))[:2] == (304, "")
        assert (await get(stage, "/about", "POST"))[0] == 405
        assert (await get(stage, "/nope", "POST"))[1] == "worker /nope"
        await stage.deploy("site", WORKER, assets=site(not_found_handling="single-page-application"))
        assert (await get(stage, "/any/where", **navigates))[:2] == (200, "index.html")
        old = {"compatibility_date": "2025-03-31"}
        await stage.deploy("site", WORKER, assets=site(not_found_handling="404-page"), **old)
        assert (await get(stage, "/nope", **navigates))[1] == "worker /nope"

    play(story)


def test_rules(play: Callable[..., None], site: Callable[..., StaticSite]) -> None:
    """`_headers` and `_redirects` apply to files, below `base_path`, and not to what the Worker says."""
    headers = "/*\n  x-all: 1\n/docs/*\n  ! x-all\n  cache-control: max-age=9\nno rule\n"
    redirects = "/old /about 301\n/posts/:id /blog/:id 302\n/proxy/* /about 200\n/out https://example.com/:x\n"

    async def story(stage: Any) -> None:
        stage.put("site", WORKER, assets=site(_headers=headers, _redirects=redirects))
        assert (await get(stage, "/about"))[2]["x-all"] == "1"
        docs = (await get(stage, "/docs/"))[2]
        assert ("x-all" in docs, docs["cache-control"]) == (False, "max-age=9")
        assert "x-all" not in (await get(stage, "/worker"))[2]
        status, _, moved = await get(stage, "/old")
        assert (status, moved["location"]) == (301, "/about")
        assert (await get(stage, "/posts/7"))[2]["location"] == "/blog/7"
        assert (await get(stage, "/proxy/a/b"))[:2] == (200, "about.html")
        await stage.deploy("site", WORKER, assets=site(base_path="/shop", _redirects="/shop/old /shop/about\n"))
        assert (await get(stage, "/shop/about"))[1] == "about.html"
        assert (await get(stage, "/shop/about.html"))[2]["location"] == "/shop/about"
        assert (await get(stage, "/shop/old"))[2]["location"] == "/shop/about"
        assert (await get(stage, "/about"))[1] == "worker /about"

    play(story)


def test_bindings(play: Callable[..., None], site: Callable[..., StaticSite]) -> None:
    """The Worker's own binding reads files; another Worker's service binding meets files, calls and entrypoints."""
    own = ({"type": "assets", "name": "ASSETS"},)
    service = {"type": "service", "service": "site"}
    bound = (
        {**service, "name": "SITE"},
        {**service, "name": "NAMED", "entrypoint": "Named"},
        {**service, "name": "PROPS", "props": {"key": " with props"}},
    )

    async def story(stage: Any) -> None:
        stage.put("site", WORKER, assets=site(_redirects="/old /about\n"), bindings=own)
        stage.put("caller", CALLER, bindings=bound)
        stage.put("bare", WORKER, bindings=own)
        assert (await get(stage, "/by-binding"))[1] == "about.html"
        assert (await get(stage, "/rules"))[2]["location"] == "/about"
        assert await stage.text("caller", "/rpc") == "hello by rpc"
        assert await stage.text("caller", "/about") == "about.html"
        assert await stage.text("caller", "/x") == "worker /x"
        assert await stage.text("caller", "/about?NAMED") == "named"
        assert await stage.text("caller", "/about?PROPS") == "worker /about with props"
        await stage.call("bare", "/by-binding")
        event = await stage.event("bare", lambda item: bool(item["exceptions"]))
        assert event["exceptions"][0]["message"] == 'binding "ASSETS": Worker "bare" has no static assets'

    play(story)


def test_directories(play: Callable[..., None], site: Callable[..., StaticSite]) -> None:
    """Workers with the same files share a directory, which goes when no process serves from it; files are links."""

    async def story(stage: Any) -> None:
        root = stage.data / "sites"
        one, other = site(), site(html_handling="none")
        stage.put("site", WORKER, assets=one)
        stage.put("second", WORKER, assets=other)
        await stage.text("site")
        await stage.text("second", "/about.html")
        assert [folder.name for folder in root.iterdir()] == [one.digest]
        assert (root / one.digest / "about.html").stat().st_nlink == 2
        serving = [stage.island("site"), stage.island("second")]
        await stage.deploy("site", WORKER)
        assert await stage.text("second", "/about.html") == "about.html"
        del stage.workers["second"]
        await stage.runtime.changed(["second"])
        for island in serving:
            await island.gone.wait()  # it may still serve a request that is inside
        await stage.runtime.changed([])
        assert list(root.iterdir()) == []

    play(story)


def test_what_is_left_goes_at_the_next_start(play: Callable[..., None], tmp_path: Path) -> None:
    """A killed server leaves directories, whole ones and unfinished ones; its successor begins with none."""
    for name in ("0" * 32, "tmpabc"):
        (tmp_path / "data" / "sites" / name).mkdir(parents=True)

    async def story(stage: Any) -> None:
        await stage.runtime.start()
        assert list((stage.data / "sites").iterdir()) == []

    play(story)


def test_rules_that_workerd_cannot_read(play: Callable[..., None], site: Callable[..., StaticSite]) -> None:
    """An upload is refused with the reason alone; a Worker that got in before says it, and its neighbours run."""
    bad = site(run_worker_first=["api/*"])
    own = ({"type": "assets", "name": "ASSETS"},)

    async def story(stage: Any) -> None:
        worker = stage.put("site", WORKER, assets=bad, bindings=own)
        with pytest.raises(ScriptInvalid) as refused:
            await stage.runtime.trials.check(worker)
        reason = "Invalid routes in `run_worker_first`:\n'api/*': rules must start with '/' or '!/'"
        assert str(refused.value) == reason
        stage.put("caller", CALLER, bindings=({"type": "service", "name": "SITE", "service": "site"},))
        status, text, _ = await get(stage, "/about")
        assert (status, text) == (500, f'Worker "site" does not start: {reason}\n')
        assert (await stage.call("caller", "/about")).text == text

    play(story)


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        *(("/a", True), ("/a/b.c", True), ("/é/ü", True), ("/" + "x" * 255, True), ("/...", True)),
        *(("a", False), ("", False), ("/", False), ("//etc/passwd", False), ("/a/", False), ("/../a", False)),
        *(("/a/./b", False), ("/a/..", False), ("/a\0b", False), ("/" + "x" * 256, False), ("/\ud800", False)),
    ],
)
def test_only_plain_paths_become_files(tmp_path: Path, path: str, *, plain: bool) -> None:
    """No path of an upload leads out of the directory; one that is not plain gets no file."""
    (tmp_path / "content").write_text("content")
    site = StaticSite(files={path: tmp_path / "content"}, config={})
    worker = RunnableWorker(name="w", version="1", main_module="x", modules=(), assets=site)
    asyncio.run(make_sites([worker], tmp_path / "root"))
    made = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "content"]
    assert (is_plain(path), bool(made)) == (plain, plain)
