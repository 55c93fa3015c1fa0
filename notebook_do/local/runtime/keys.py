"""A secret key, which is a CryptoKey in the Worker's `env`, in the language of workerd's configuration."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.spec import ScriptInvalid
from notebook_do.local.runtime.text import listed, string, struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_PEM = {"pkcs8": "PRIVATE KEY", "spki": "PUBLIC KEY"}
_USAGES = ("encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey")


def crypto_key(binding: Mapping[str, Any]) -> str:
    """Write the key of a binding; raises ScriptInvalid, without the key, for one that workerd could not read."""
    form, usages = binding.get("format"), binding.get("usages")
    key = binding.get("key_jwk") if form == "jwk" else binding.get("key_base64")
    if form not in {"raw", "jwk", *_PEM} or not key:
        raise _wrong(binding, "a `format` of raw, pkcs8, spki or jwk, and the key in `key_base64`, of jwk in `key_jwk`")
    if not isinstance(binding.get("algorithm"), dict | str):
        raise _wrong(binding, "an `algorithm`")
    if not isinstance(usages, list) or not set(map(str, usages)) <= set(_USAGES):
        raise _wrong(binding, f"`usages`, a list of {', '.join(_USAGES)}")
    algorithm = struct(json=string(json.dumps(binding["algorithm"])))
    return struct(**_material(str(form), key), algorithm=algorithm, usages=listed(usages))


def _material(form: str, key: Any) -> dict[str, str]:
    if form == "jwk":
        return {"jwk": string(json.dumps(key))}
    if form == "raw":
        return {"base64": string(str(key))}
    # Sent as the bytes alone, in base64; workerd reads the text around them too.
    lines = [f"-----BEGIN {_PEM[form]}-----", *textwrap.wrap(str(key), 64), f"-----END {_PEM[form]}-----", ""]
    return {form: string("\n".join(lines))}


def _wrong(binding: Mapping[str, Any], needed: str) -> ScriptInvalid:
    return ScriptInvalid(f"binding {binding['name']} of type secret_key needs {needed}")
