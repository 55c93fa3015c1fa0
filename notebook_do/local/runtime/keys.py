"""A secret key, which is a CryptoKey in the Worker's `env`, as a value of workerd's configuration."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.capnp import Struct, Usage
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_PEM = {"pkcs8": "PRIVATE KEY", "spki": "PUBLIC KEY"}


def crypto_key(binding: Mapping[str, Any]) -> Struct:
    """Make the key of a binding; raises ScriptInvalid, without the key, for one that workerd could not read."""
    form, usages = binding.get("format"), binding.get("usages")
    key = binding.get("key_jwk") if form == "jwk" else binding.get("key_base64")
    if form not in {"raw", "jwk", *_PEM} or not key:
        raise _wrong(binding, "a `format` of raw, pkcs8, spki or jwk, and the key in `key_base64`, of jwk in `key_jwk`")
    if not isinstance(binding.get("algorithm"), dict | str):
        raise _wrong(binding, "an `algorithm`")
    if not isinstance(usages, list) or not set(map(str, usages)) <= Usage.__members__.keys():
        raise _wrong(binding, f"`usages`, a list of {', '.join(Usage.__members__)}")
    algorithm = {"json": json.dumps(binding["algorithm"])}
    return {**_material(str(form), key), "algorithm": algorithm, "usages": [Usage[usage] for usage in usages]}


def _material(form: str, key: Any) -> Struct:
    if form == "jwk":
        return {"jwk": json.dumps(key)}
    if form == "raw":
        return {"base64": str(key)}
    # Sent as the bytes alone, in base64; workerd reads the text around them too.
    lines = [f"-----BEGIN {_PEM[form]}-----", *textwrap.wrap(str(key), 64), f"-----END {_PEM[form]}-----", ""]
    return {form: "\n".join(lines)}


def _wrong(binding: Mapping[str, Any], needed: str) -> ScriptInvalid:
    return ScriptInvalid(f"binding {binding['name']} of type secret_key needs {needed}")
