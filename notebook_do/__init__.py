"""Cloudflare Durable Objects from a notebook: declare, read the plan, press Deploy.

>>> import notebook_do as nd
>>> session = nd.session("chat")
>>> counter = nd.DurableObjectNamespace("counter", class_name="Counter")
>>> worker = nd.Worker("my-worker", script=SOURCE, bindings={"COUNTER": counter})
>>> plan = session.plan()
>>> result = session.deploy(plan)

In a notebook: `%load_ext notebook_do`, then `%durable`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notebook_do.declaring import DurableObjectNamespace, Worker
    from notebook_do.errors import (
        ApiError,
        CommandError,
        ConsentRequired,
        CredentialError,
        DeclarationError,
        DeployError,
        DurableError,
        PlanRefused,
        SourceError,
        StalePlan,
        StateCorrupt,
        StateError,
        StateLocked,
        TargetError,
        ToolchainError,
    )
    from notebook_do.model import D1, KV, R2, Json, Queue, Resource, Secret
    from notebook_do.session import Session, current
    from notebook_do.session import open_session as session

_HOMES = {
    **dict.fromkeys(("Session", "current"), "session"),
    **dict.fromkeys(("DurableObjectNamespace", "Worker"), "declaring"),
    **dict.fromkeys(("Json", "Secret", "Resource", "KV", "R2", "D1", "Queue"), "model"),
}

__all__ = [
    "D1",
    "KV",
    "R2",
    "ApiError",
    "CommandError",
    "ConsentRequired",
    "CredentialError",
    "DeclarationError",
    "DeployError",
    "DurableError",
    "DurableObjectNamespace",
    "Json",
    "PlanRefused",
    "Queue",
    "Resource",
    "Secret",
    "Session",
    "SourceError",
    "StalePlan",
    "StateCorrupt",
    "StateError",
    "StateLocked",
    "TargetError",
    "ToolchainError",
    "Worker",
    "current",
    "load_ipython_extension",
    "session",
    "unload_ipython_extension",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its room at first use, so that `%load_ext` stays cheap."""
    if name == "session":
        # `notebook_do.session` is also a module: importing it would set that attribute over this function.
        value: Any = import_module("notebook_do.session").open_session
    elif name in __all__:
        value = getattr(import_module(f"notebook_do.{_HOMES.get(name, 'errors')}"), name)
    else:
        raise AttributeError(f"module 'notebook_do' has no attribute {name!r}")
    globals()[name] = value
    return value


def load_ipython_extension(ip: Any) -> None:
    """Register the `%durable` and `%%durable` magics."""
    import_module("notebook_do.notebook.magics").load(ip)


def unload_ipython_extension(ip: Any) -> None:
    """Take away everything that loading put in."""
    import_module("notebook_do.notebook.magics").unload(ip)
