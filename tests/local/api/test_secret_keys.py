"""A secret key is a CryptoKey in `env`: served, never shown, and refused without its text where it is none."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from typing import Any

import pytest

KEY = b"a key that nobody may see " * 2
RAW = b64encode(KEY).decode()
PRIVATE = (
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2vsaIgi0kpE2SF702umHZCB656RFS1wXHPBYNLNuJNGhRANC"
    "AATGpWkyCi+Ly6Om7L6Ok4GAzOh6zqgyb7Fel48nSiVyZWrEmxq5tG9TddjCnOaesY1F4TefSdr+KWs7yfbrrhWc"
)
"""Made for this test."""
SIGN = """
const hex = (bytes) => [...new Uint8Array(bytes)].map((b) => b.toString(16).padStart(2, "0")).join("");
export default {
  async fetch(request, env) {
    const { name, hash } = env.KEY.algorithm;
    const algorithm = name === "ECDSA" ? { name, hash: "SHA-256" } : name;
    const signed = await crypto.subtle.sign(algorithm, env.KEY, new TextEncoder().encode("text"));
    return Response.json({ name, extractable: env.KEY.extractable, signed: hex(signed) });
  },
};
"""
HMAC = {"name": "HMAC", "hash": "SHA-256"}


def key(form: str, algorithm: Any = None, **more: Any) -> dict[str, Any]:
    """Write a binding of a key that signs."""
    base = {"type": "secret_key", "name": "KEY", "format": form, "usages": ["sign"]}
    return {**base, "algorithm": algorithm or HMAC, **more}


@pytest.mark.parametrize(
    "binding",
    [
        key("raw", key_base64=RAW),
        key("jwk", key_jwk={"kty": "oct", "k": b64encode(KEY, b"-_").decode().rstrip("="), "alg": "HS256"}),
        key("pkcs8", {"name": "ECDSA", "namedCurve": "P-256"}, key_base64=PRIVATE),
    ],
    ids=lambda binding: binding["format"],
)
def test_a_worker_signs_with_a_key_that_it_cannot_read(server: Any, script: str, binding: dict[str, Any]) -> None:
    """Raw, as JSON and as PKCS#8; what is read back has no key in it, and an upload keeps it."""
    assert server.upload(script, SIGN, bindings=[binding]).status_code == 200
    answer = server.call(script).json()
    assert (answer["name"], answer["extractable"]) == (binding["algorithm"]["name"], False)
    if answer["name"] == "HMAC":
        assert answer["signed"] == hmac.new(KEY, b"text", hashlib.sha256).hexdigest()
    shown = server.http.get(f"{server.scripts}/{script}/settings").text
    assert "secret_key" in shown
    assert not any(text in shown for text in (RAW[:20], PRIVATE[40:60], "key_jwk", "key_base64"))
    server.upload(script, SIGN, keep_bindings=["secret_key"])
    assert server.call(script).json()["name"] == answer["name"]


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        (key("raw"), "needs a `format` of raw, pkcs8, spki or jwk, and the key"),
        (key("der", key_base64=RAW), "needs a `format` of raw"),
        (key("raw", 5, key_base64=RAW), "needs an `algorithm`"),
        (key("raw", key_base64=RAW, usages=["peek"]), "needs `usages`, a list of encrypt"),
        (key("pkcs8", {"name": "ECDSA", "namedCurve": "P-256"}, key_base64=RAW), ""),
        (key("jwk", key_jwk={"kty": "none", "k": RAW}), ""),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(server: Any, script: str, binding: dict[str, Any], said: str) -> None:
    """The refusal names the binding and what it needs; no text of a key is in it."""
    answer = server.upload(script, SIGN, bindings=[binding])
    assert server.code_of(answer) == 10021
    assert said in answer.text
    assert RAW[:20] not in answer.text
