"""What stands before the Workers on their port: whose a host name is, and which path a static asset answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.local.gateway.static import NAVIGATES_SINCE, front, site_of

if TYPE_CHECKING:
    from notebook_do.local.account.publish import Cloud
    from notebook_do.local.gateway.static import StaticSite
    from notebook_do.local.services.exchange import Answer


class Front:
    """Looks things up in the account as it is now."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._sites: dict[str, tuple[str, StaticSite | None]] = {}
        self._service = cloud.runtime.services.assets
        self._service.site, self._service.path = self.site, cloud.account.blobs.path

    def script_at(self, host: str, path: str) -> str | None:
        """Give the script that has a host name and path by a custom domain or a route."""
        return self._cloud.zones.script_at(host, path)

    def site(self, script: str) -> StaticSite | None:
        """Give the static assets of the version that serves."""
        version = self._cloud.account.serving.get(script)
        if version is None:
            return None
        known = self._sites.get(script)
        if known is None or known[0] != version.id:
            known = self._sites[script] = version.id, site_of(version.assets)
        return known[1]

    def static(self, script: str, method: str, target: str, headers: dict[bytes, bytes]) -> Answer | None:
        """Give the answer of a static asset; None where the Worker is asked. `target` is the path with its query."""
        site, version = self.site(script), self._cloud.account.serving.get(script)
        if site is None or version is None:
            return None
        path, _, query = target.partition("?")
        navigates = headers.get(b"sec-fetch-mode") == b"navigate"
        prefers_page = navigates and version.code.compatibility_date >= NAVIGATES_SINCE
        found = front(site, method, path, prefers_page=prefers_page)
        known = headers.get(b"if-none-match", b"").decode("latin-1") or None
        return None if found is None else self._service.answer(found, query, known)
