"""Answers from static assets as Cloudflare's asset server does: which file, redirect or error page a path means.

Rules: developers.cloudflare.com/workers/static-assets/routing (html_handling, not_found_handling, run_worker_first).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

HTML_HANDLING = ("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none")
NOT_FOUND_HANDLING = ("none", "404-page", "single-page-application")
NAVIGATES_SINCE = "2025-04-01"
"""From this compatibility date on, a browser's navigation prefers the not-found page to the Worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file of a version: its content's digest, its media type (None: none is sent), and the client's hash."""

    digest: str
    type: str | None
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What answers: a file with its status, or a redirect to `location`."""

    status: int
    file: StaticFile | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSite:
    """The files of a version by path, and how they are served."""

    files: Mapping[str, StaticFile]
    config: Mapping[str, Any]

    def find(self, path: str) -> Found | None:
        """Give what a path means, None where no file does; `path` is percent-encoded."""
        plain = _decoded(path)
        for candidate, location in self._candidates(plain):
            if candidate in self.files:
                if location is not None and location != plain:
                    return Found(status=307, location=quote(location, safe="/:@!$&'()*+,;=~-._"))
                return Found(status=200, file=self.files[candidate])
        return None

    def not_found(self, path: str) -> Found | None:
        """Give the page for a path without a file, None where none is configured or there is none."""
        match self.config.get("not_found_handling", "none"):
            case "single-page-application" if "/index.html" in self.files:
                return Found(status=200, file=self.files["/index.html"])
            case "404-page":
                parts = _decoded(path).split("/")[:-1]
                for depth in range(len(parts), 0, -1):
                    page = "/".join((*parts[:depth], "404.html"))
                    if page in self.files:
                        return Found(status=404, file=self.files[page])
        return None

    def worker_first(self, path: str) -> bool:
        """Say whether the Worker is asked before the files."""
        rule = self.config.get("run_worker_first", False)
        if not isinstance(rule, list):
            return rule is True
        fits = [p for p in rule if _fits(p.removeprefix("!"), path)]
        return bool(fits) and not any(p.startswith("!") for p in fits)

    def _candidates(self, path: str) -> list[tuple[str, str | None]]:
        """List the files that a path may mean, in order, each with the address that it is served at."""
        mode = self.config.get("html_handling", "auto-trailing-slash")
        if mode == "none":
            return [(path, None)]
        stem = path.rstrip("/") if path != "/" else ""
        for ending in ("/index.html", "/index", ".html"):
            if path.endswith(ending) and (path in self.files or path + ".html" in self.files):
                stem = path[: -len(ending)]
                break
        else:
            if path in self.files:  # a file that is no page is served where it is
                return [(path, None)]
        page, index = f"{stem}.html", f"{stem}/index.html"
        places = {
            "auto-trailing-slash": [(page, stem), (index, f"{stem}/")],
            "force-trailing-slash": [(page, f"{stem}/"), (index, f"{stem}/")],
            "drop-trailing-slash": [(page, stem), (index, stem or "/")],
        }[str(mode)]
        # With a slash at the end the folder is meant first, else the page.
        return list(reversed(places)) if path.endswith(("/", "/index", "/index.html")) else list(places)


def site_of(assets: Mapping[str, Any] | None) -> StaticSite | None:
    """Read what a version keeps."""
    if assets is None:
        return None
    files = {path: StaticFile(**fields) for path, fields in assets["files"].items()}
    return StaticSite(files=files, config=assets["config"])


def front(site: StaticSite, method: str, path: str, *, prefers_page: bool) -> Found | None:
    """Give the answer that comes before the Worker's; None where the Worker is asked.

    With `prefers_page`, a path without a file gets the not-found page, where there is one, and not the Worker.
    """
    if method not in {"GET", "HEAD"} or site.worker_first(path):
        return None
    return site.find(path) or (site.not_found(path) if prefers_page else None)


def _decoded(path: str) -> str:
    return re.sub(r"/{2,}", "/", unquote(path))


def _fits(pattern: str, path: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), path) is not None
