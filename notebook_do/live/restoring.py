"""Puts back a snapshot that an object wrote down: in parts, then all at once, in one transaction of the object."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING

from notebook_do.live.inspecting import Declined

if TYPE_CHECKING:
    from notebook_do.live.inspecting import Inspecting, Op, Outcome
    from notebook_do.model.changes import ObjectChange

_PART = 6_000_000
"""Characters of one part: what a request takes, and a little less."""
_SECONDS = 60.0


def restored_by_itself(change: ObjectChange) -> bool:
    """Say whether the object writes back what is restored: on Cloudflare, and what was taken there."""
    return bool(json.loads(change.edits[0].op).get("form") == "rows")


async def put_back(way: Inspecting, op: Op, content: bytes) -> Outcome:
    """Send the parts and the op that puts them back; returns what became of that. Without it no part does anything."""
    letters = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    parts = [letters[at : at + _PART] for at in range(0, len(letters), _PART)]
    about = {"object": op["object"], "op": "stage", "content": op["content"]}
    staged = [{**about, "at": at, "part": part} for at, part in enumerate(parts)]
    *before, last = await way.ask([*staged, {**op, "parts": len(parts)}], seconds=_SECONDS)
    # Why a part was refused says more than that the whole was not there.
    refused = next((one for one in before if isinstance(one, Declined)), None)
    return refused if refused is not None and isinstance(last, Declined) else last
