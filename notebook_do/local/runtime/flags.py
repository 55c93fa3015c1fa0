"""The compatibility flags that workerd knows and that cannot be honoured here, each with why.

Found by deploying a Worker with every kind of binding under each of the 350 flags of workerd 1.20261117.1: the
experimental ones alone, the others in groups. Experimental ones are honoured, as workerd is started with
`--experimental`; one that it does not know it refuses itself, by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PYTHON = "workerd would need a Pyodide bundle from the network for Python"
_NOT_HONOURED = {
    "python_workers": _PYTHON,
    # Under it workerd calls its R2 by JavaScript RPC, and here an HTTP service answers ("Network connection lost.").
    "r2_binding_jsrpc": "R2 is answered over HTTP here",
    "replica_routing": "workerd has no replicas of Durable Objects",
}


def not_honoured(flags: Iterable[str]) -> str | None:
    """Return in one line which flag cannot be honoured and why; None where all can."""
    for flag in flags:
        if flag in _NOT_HONOURED:
            return (
                f"compatibility flag {flag} cannot be honoured by the local runtime, because {_NOT_HONOURED[flag]}; "
                "leave it out, or deploy to Cloudflare."
            )
    return None
