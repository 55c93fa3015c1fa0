"""Looks for secrets in text, in every disguise that software commonly gives them."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote


def disguises(secret: str) -> dict[str, bytes]:
    """Give what to look for: the secret raw, encoded, escaped, and its reverse in pieces of 8."""
    raw = secret.encode()
    found = {
        "raw": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": quote(secret, safe="").encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "html": html.escape(secret).encode(),
    }
    for offset in range(3):
        skip = (3 - offset) % 3
        body = raw[skip:]
        body = body[: len(body) // 3 * 3]
        found[f"base64+{offset}"] = base64.b64encode(body)
        found[f"base64url+{offset}"] = base64.urlsafe_b64encode(body)
    backwards = raw[::-1]
    found |= {f"reversed {i}": backwards[i : i + 8] for i in range(0, len(raw) - 7, 8)}
    return found


def hits(text: str | bytes, secrets: tuple[str, ...]) -> list[str]:
    """Name the disguises of `secrets` that are in `text`."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return [name for s in secrets for name, disguise in disguises(s).items() if disguise in content]
