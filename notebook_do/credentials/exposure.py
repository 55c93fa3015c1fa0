"""Says what a person should know about a token before it is used: who else can reach it, and what more it may do.

Each is one line, and nothing is claimed that was not seen: a token that may not read its own permissions has none here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.cloudflare.client import Client

_SHARED = {
    "COLAB_RELEASE_TAG": "Google Colab",
    "COLAB_JUPYTER_IP": "Google Colab",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "BINDER_SERVICE_HOST": "Binder",
    "JUPYTERHUB_SERVICE_PREFIX": "JupyterHub",
    "JUPYTERHUB_API_URL": "JupyterHub",
}
"""Variables that such a place sets in its kernels."""
_NEEDED = ("Workers ", "Queues ")
_SHOWN = 3


def shared_kernel(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Warn where a kernel runs on somebody else's machine, or beside other people's."""
    place = next((place for variable, place in _SHARED.items() if environ.get(variable)), None)
    if place is None:
        return ()
    warning = (
        f"this kernel runs on {place}: whoever can run code in it, or administers it, can use the API token. "
        "Use a token that is limited to Workers Scripts: Edit on one account, and revoke it afterwards."
    )
    return (warning,)


async def excess(client: Client) -> tuple[str, ...]:
    """Warn of a token that may change more than Workers, where it may read that of itself; else claim nothing."""
    try:
        policies = await client.token_policies()
    except (ApiError, NoAnswer):
        return ()  # most tokens may not read their own permissions, and then nothing can be said
    names = sorted({name for policy in policies for name in _granted(policy) if _exceeds(name)})
    if not names:
        return ()
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    warning = (
        f"the API token may do more than a deploy needs: {', '.join(names[:_SHOWN])}{more}. "
        "Create one with the permission Workers Scripts: Edit only."
    )
    return (warning,)


def _granted(policy: Any) -> list[str]:
    """Name the permission groups that one policy allows."""
    if not isinstance(policy, dict) or policy.get("effect") != "allow":
        return []
    groups = policy.get("permission_groups")
    return [str(g["name"]) for g in groups if isinstance(g, dict) and "name" in g] if isinstance(groups, list) else []


def _exceeds(name: str) -> bool:
    return not name.startswith(_NEEDED) and not name.endswith(" Read")
