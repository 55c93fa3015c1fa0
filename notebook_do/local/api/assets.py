"""Static assets on their way in: sessions that say which files are missing, and the token that stands for all of them.

Emulated: a token looks like a JWT and is known by its text alone; sessions end with the process, while the files stay.
The media type that a client sends is kept, but workerd serves a file as the type of its ending.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.metadata import check_script_name
from notebook_do.local.api.envelope import answer, cloud_of, read_object, received
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.sites import is_plain
from notebook_do.local.services.server import Database

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.blobs import Blobs
    from notebook_do.local.account.records import Version

MOST_FILES = 20_000  # Cloudflare's page "Limits": files of a Worker, and bytes of a file
LARGEST_FILE = 25 << 20
BUCKET = 100
UPLOAD = "/workers/assets/upload"
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "html_handling": ("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"),
    "not_found_handling": ("none", "404-page", "single-page-application"),
}
_TEXTS = ("_headers", "_redirects", "base_path")
_HASH = re.compile(r"[0-9a-f]{32}\Z")
_SCHEMA = "CREATE TABLE IF NOT EXISTS file (hash TEXT PRIMARY KEY, digest TEXT NOT NULL, type TEXT);"
_MOST_SESSIONS = 100


@dataclass(slots=True)
class UploadSession:
    """One upload under way: hashes and sizes by path, and the hashes that are still missing."""

    files: dict[str, tuple[str, int]]
    missing: set[str]
    completion: str


class AssetUploads:
    """The sessions of one server, and every file that was ever uploaded, by the client's hash."""

    def __init__(self, path: Path, blobs: Blobs) -> None:
        self._db, self._blobs = Database(path, _SCHEMA), blobs
        self._sessions: dict[str, UploadSession] = {}
        self._complete: dict[str, UploadSession] = {}

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def opens(self, token: str) -> bool:
        """Say whether a token is that of a session."""
        return token in self._sessions

    def begin(self, manifest: Any) -> dict[str, Any]:
        """Open a session; returns its token and the missing files in buckets, or at once the token of completion."""
        files = _manifest(manifest)
        # By the client's hash, which is compared with nothing: it only saves an upload of the same file again.
        missing = {hash_ for hash_, _ in files.values() if self._kept(hash_) is None}
        session = UploadSession(files=files, missing=set(missing), completion=_token())
        if not missing:
            self._remember(self._complete, session.completion, session)
            return {"jwt": session.completion, "buckets": []}
        token = _token()
        self._remember(self._sessions, token, session)
        ordered = sorted(missing)
        return {"jwt": token, "buckets": [ordered[n : n + BUCKET] for n in range(0, len(ordered), BUCKET)]}

    def receive(self, token: str, name: str, encoded: bytes, kind: str) -> None:
        """Take one file of a session, in base64."""
        session = self._sessions[token]
        sizes = dict(session.files.values())
        try:
            content = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise refuse("bad_field", where=name[:64], why="must be base64") from None
        # The hash is not made again, since how is a matter of each client: the size is all that can be checked.
        if name not in sizes or len(content) != sizes[name]:
            raise refuse("bad_field", where=name[:64], why="is no file of this session, or not of its size")
        digest = self._blobs.store(content)
        with self._db.writing() as db:
            row = (name, digest, None if kind == "application/null" else kind)  # wrangler's word for "no type"
            db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", row)
        session.missing.discard(name)

    def progress(self, token: str) -> dict[str, Any]:
        """Return the answer to an upload: the token of completion once nothing is missing."""
        session = self._sessions[token]
        if session.missing:
            return {"jwt": None}
        self._remember(self._complete, session.completion, session)
        return {"jwt": session.completion}

    def of_upload(self, metadata: Mapping[str, Any], previous: Version | None) -> dict[str, Any] | None:
        """Return what a version keeps of the assets that an upload names, or of those that it keeps."""
        if metadata.get("assets") is None:
            return previous.assets if previous and metadata.get("keep_assets") is True else None
        assets = as_object(metadata["assets"], "assets")
        config = _config(as_object(assets.get("config") or {}, "assets.config"))
        # A configuration alone: the files stay, as after an upload in which no file changed.
        if assets.get("jwt") is None and previous is not None and previous.assets is not None:
            return {**previous.assets, "config": config}
        session = self._complete.get(str(assets.get("jwt")))
        if session is None:
            raise refuse("asset_token")
        files = {}
        for path, (hash_, _) in session.files.items():
            digest, kind = self._kept(hash_) or ("", None)
            if not digest:
                raise refuse("asset_token")
            files[path] = {"digest": digest, "type": kind, "hash": hash_}
        return {"files": files, "config": config}

    def _kept(self, hash_: str) -> tuple[str, str | None] | None:
        """Return the digest and type of a file that is still on the disk, by the client's hash."""
        with self._db.reading() as db:
            row = db.execute("SELECT digest, type FROM file WHERE hash = ?", (hash_,)).fetchone()
        return (str(row[0]), row[1]) if row and self._blobs.path(row[0]).exists() else None

    @staticmethod
    def _remember(sessions: dict[str, UploadSession], token: str, session: UploadSession) -> None:
        while len(sessions) >= _MOST_SESSIONS:  # the oldest: a client that gave up never says so
            sessions.pop(next(iter(sessions)))
        sessions[token] = session


def _manifest(manifest: Any) -> dict[str, tuple[str, int]]:
    files: dict[str, tuple[str, int]] = {}
    for path, entry in as_object(manifest, "manifest").items():
        fields = as_object(entry, "manifest")
        hash_, size = fields.get("hash"), fields.get("size")
        if not is_plain(path) or not isinstance(hash_, str) or not _HASH.match(hash_):
            raise refuse("bad_field", where=f"manifest[{path[:100]}]", why="must be a path with its hash of 32 digits")
        if not isinstance(size, int) or not 0 <= size <= LARGEST_FILE:
            raise refuse("bad_field", where=f"manifest[{path[:100]}]", why=f"has at most {LARGEST_FILE} bytes")
        files[path] = (hash_, size)
    if len(files) > MOST_FILES:
        raise refuse("bad_field", where="manifest", why=f"has at most {MOST_FILES} files")
    if both := next((str(p) for path in files for p in PurePosixPath(path).parents if str(p) in files), None):
        raise refuse("bad_field", where=f"manifest[{both[:100]}]", why="is a file and a directory")
    return files


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """Check what can be checked here; whether rules can be read, workerd says when the upload is started once."""
    for key, known in _CHOICES.items():
        if config.get(key) is not None and config[key] not in known:
            raise refuse("bad_field", where=f"assets.config.{key}", why=f"must be one of {', '.join(known)}")
    for key in _TEXTS:
        if not isinstance(config.get(key) or "", str):
            raise refuse("bad_field", where=f"assets.config.{key}", why="must be a string")
    kept = (*_CHOICES, "run_worker_first", *_TEXTS)
    return {key: config[key] for key in kept if config.get(key) is not None}


def _token() -> str:
    """Make a token of a JWT's shape: clients read when it ends."""
    parts = ({"alg": "none"}, {"exp": int(time.time()) + 3600})
    head = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*head, secrets.token_urlsafe(32)))


async def begin_session(request: Request) -> Response:
    """Open a session for a manifest."""
    check_script_name(request.path_params["script_name"])
    cloud, body = cloud_of(request), await read_object(request)
    return answer(cloud.uploads.begin(body.get("manifest")))


async def upload(request: Request) -> Response:
    """Take the files of one bucket; the session's token stands in for the account's."""
    cloud = cloud_of(request)
    token = request.headers["authorization"].partition(" ")[2]
    if not cloud.uploads.opens(token):
        raise refuse("asset_token")
    async with received(request) as form:
        for part in form.parts:
            part.file.finish()
            kind = f"{part.content_type}; charset={part.charset}" if part.charset else part.content_type
            cloud.uploads.receive(token, part.name, part.file.path.read_bytes(), kind)
    return answer(cloud.uploads.progress(token), status=201)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    return [
        Route(account + "/workers/scripts/{script_name}/assets-upload-session", begin_session, methods=["POST"]),
        Route(account + UPLOAD, upload, methods=["POST"]),
    ]
