"""Sends static assets: a session says which files Cloudflare does not have, those go up, and a token stands for all.

Paths as in Cloudflare's page "Direct uploads" of static assets. A file is known by its content, and no Worker shows
what was sent until an upload names the token: a repetition of any of these requests changes nothing, so they are
repeated like reads.
"""

from __future__ import annotations

import base64
import mimetypes
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.credentials.token import Sealed
from notebook_do.errors import ApiError, DeployError, SourceError
from notebook_do.model import asset_hash

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.model import AssetFile, StaticAssets


async def send_assets(client: Client, script: str, assets: StaticAssets) -> Sealed:
    """Send what Cloudflare does not have yet; return the token by which an upload of `script` names all files.

    Raises SourceError where a file is no longer what the plan says, and DeployError where no answer came.
    """
    path = client.path("workers", "scripts", script, "assets-upload-session")
    manifest = {f.path: {"hash": f.hash, "size": f.size} for f in assets.files}
    try:
        session = await client.pace.repeat(lambda: client.change("POST", path, {"manifest": manifest}))
        token, buckets = _decode_session(session)
        # Where nothing is missing the session's own token is already the one for all files.
        return await _send_buckets(client, assets, token, buckets) if buckets else token
    except NoAnswer as error:
        raise DeployError(
            f"the static assets of {script} could not be sent: {error} The Worker is as it was."
        ) from None


async def _send_buckets(client: Client, assets: StaticAssets, token: Sealed, buckets: list[list[str]]) -> Sealed:
    """Send the files that are asked for, bucket by bucket; the last answer has the token for all."""
    path = client.path("workers", "assets", "upload")
    by_hash = {f.hash: f for f in assets.files}
    # Only what the plan showed goes up, whatever an answer asks for.
    if unknown := next((name for bucket in buckets for name in bucket if name not in by_hash), None):
        raise ApiError(f"Cloudflare asks for an asset that was not offered: {str(unknown)[:40]}.")
    completed = None
    for bucket in buckets:
        answer = await client.pace.repeat(partial(client.send_files, path, token, [_part(by_hash[n]) for n in bucket]))
        completed = answer.get("jwt") if isinstance(answer, dict) else None
    if not isinstance(completed, str) or not completed:
        raise ApiError("Cloudflare took the assets and gave no token for them; deploy again.")
    return Sealed(completed)


def _decode_session(session: Any) -> tuple[Sealed, list[list[str]]]:
    """Read the answer to a new session: its token, and the hashes of the files that are missing, by request."""
    token = session.get("jwt") if isinstance(session, dict) else None
    buckets = session.get("buckets") if isinstance(session, dict) else None
    if not isinstance(token, str) or not isinstance(buckets or [], list):
        raise ApiError("Cloudflare's answer has an unexpected shape: a session of assets without jwt.")
    return Sealed(token), [bucket for bucket in buckets or [] if isinstance(bucket, list) and bucket]


def content_of(file: AssetFile) -> bytes:
    """Read one file; raises SourceError where it is no longer what the plan says.

    A plan keeps no contents, for assets may be large; so what is sent is compared with what was shown.
    """
    try:
        content = Path(file.source).read_bytes()
    except OSError as error:
        raise SourceError(f"asset {file.path} cannot be read ({error.strerror}); plan again.") from None
    if asset_hash(content, file.path) != file.hash:
        raise SourceError(f"asset {file.path} changed since the plan was shown; plan again.")
    return content


def _part(file: AssetFile) -> tuple[str, tuple[str, bytes, str]]:
    """Write one file for the form, in base64, with the media type that it is served as."""
    return file.hash, (file.hash, base64.b64encode(content_of(file)), media_type(file.path))


def media_type(path: str) -> str:
    """Return the media type of a file by its ending; `application/null` is Cloudflare's word for none."""
    # These three first: what mimetypes says of them depends on the machine (its registry, its Python).
    found = {"js": "text/javascript", "mjs": "text/javascript", "wasm": "application/wasm"}.get(path.rpartition(".")[2])
    found = found or mimetypes.guess_type(path)[0] or "application/null"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
