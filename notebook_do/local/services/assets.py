"""The binding to a Worker's own static assets: `env.ASSETS.fetch(request)` gives a file, a redirect or a 404."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.local.services.exchange import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from notebook_do.local.gateway.static import Found, StaticSite

CACHING = "public, max-age=0, must-revalidate"


class AssetService:
    """Answers for every script; `site` gives a script's files, `path` the file of one content."""

    def __init__(self) -> None:
        self.site: Callable[[str], StaticSite | None] = lambda _script: None
        self.path: Callable[[str], Path] | None = None

    def handle(self, request: Request) -> Answer:
        """Answer one request; the resource is the script's name."""
        site = self.site(request.resource)
        if site is None:
            return Answer(status=404)
        if request.method not in {"GET", "HEAD"}:
            return Answer(status=405, headers=(("allow", "GET, HEAD"),))
        found = site.find(request.path) or site.not_found(request.path)
        answer = self.answer(found, request.query_text, request.headers.get("if-none-match"))
        return replace(answer, body=b"") if request.method == "HEAD" else answer

    def answer(self, found: Found | None, query: str, known: str | None) -> Answer:
        """Turn what was found into an answer; `known` is the tag that the client has already."""
        if found is None:
            return Answer(status=404)
        if found.location is not None:
            where = found.location + (f"?{query}" if query else "")
            return Answer(status=found.status, headers=(("location", where),))
        if found.file is None or self.path is None:
            raise AssertionError("an asset without its file")
        tag = f'"{found.file.hash}"'
        headers = [("etag", tag), ("cache-control", CACHING)]
        if found.status == 200 and known is not None and known.removeprefix("W/") == tag:
            return Answer(status=304, headers=tuple(headers))
        if found.file.type is not None:
            headers.append(("content-type", found.file.type))
        return Answer(status=found.status, headers=tuple(headers), body=self.path(found.file.digest).read_bytes())
