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
    from notebook_do.deploy.result import DeployResult
    from notebook_do.errors import (
        ApiError,
        CommandError,
        ConsentRequired,
        CredentialError,
        DeclarationError,
        DeployError,
        DurableError,
        JSError,
        PlanRefused,
        SourceError,
        StaleChange,
        StalePlan,
        StateCorrupt,
        StateError,
        StateLocked,
        TargetError,
        ToolchainError,
    )
    from notebook_do.inspector.values import UNDEFINED, bigint
    from notebook_do.model import (
        AI,
        D1,
        KV,
        R2,
        AiSearch,
        AiSearchNamespace,
        AnalyticsEngine,
        Artifacts,
        Assets,
        Browser,
        DispatchNamespace,
        Flagship,
        Hyperdrive,
        Images,
        Json,
        Media,
        Module,
        MtlsCertificate,
        NamespaceBinding,
        Pipeline,
        Queue,
        RateLimit,
        Resource,
        Secret,
        SecretsStoreSecret,
        SendEmail,
        Service,
        Vectorize,
        VersionMetadata,
        VpcNetwork,
        VpcService,
        WorkerLoader,
        Workflow,
    )
    from notebook_do.model.changes import NOTHING, ObjectChange
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.declaring import DurableObjectNamespace, Worker
    from notebook_do.sessions.opening import current
    from notebook_do.sessions.opening import open_session as session
    from notebook_do.sessions.session import Session

_HOMES = {
    **dict.fromkeys(("current", "session"), "sessions.opening"),
    "Session": "sessions.session",
    **dict.fromkeys(("DurableObjectNamespace", "Worker"), "sessions.declaring"),
    "Plan": "plan.plan",
    "DeployResult": "deploy.result",
    **dict.fromkeys(("UNDEFINED", "bigint"), "inspector.values"),
    **dict.fromkeys(("NOTHING", "ObjectChange"), "model.changes"),
}
"""By public name, the module that has it; the others are errors, or words of the model."""

__all__ = [
    "AI",
    "D1",
    "KV",
    "NOTHING",
    "R2",
    "UNDEFINED",
    "AiSearch",
    "AiSearchNamespace",
    "AnalyticsEngine",
    "ApiError",
    "Artifacts",
    "Assets",
    "Browser",
    "CommandError",
    "ConsentRequired",
    "CredentialError",
    "DeclarationError",
    "DeployError",
    "DeployResult",
    "DispatchNamespace",
    "DurableError",
    "DurableObjectNamespace",
    "Flagship",
    "Hyperdrive",
    "Images",
    "JSError",
    "Json",
    "Media",
    "Module",
    "MtlsCertificate",
    "NamespaceBinding",
    "ObjectChange",
    "Pipeline",
    "Plan",
    "PlanRefused",
    "Queue",
    "RateLimit",
    "Resource",
    "Secret",
    "SecretsStoreSecret",
    "SendEmail",
    "Service",
    "Session",
    "SourceError",
    "StaleChange",
    "StalePlan",
    "StateCorrupt",
    "StateError",
    "StateLocked",
    "TargetError",
    "ToolchainError",
    "Vectorize",
    "VersionMetadata",
    "VpcNetwork",
    "VpcService",
    "Worker",
    "WorkerLoader",
    "Workflow",
    "bigint",
    "current",
    "load_ipython_extension",
    "session",
    "unload_ipython_extension",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its room at first use, so that `%load_ext` stays cheap."""
    # Submodules are found by import itself; anything else here would make a private name public.
    if name not in __all__:
        raise AttributeError(f"module 'notebook_do' has no attribute {name!r}")
    homes = [_HOMES[name]] if name in _HOMES else ["errors", "model"]
    rooms = (import_module(f"notebook_do.{home}") for home in homes)
    called = "open_session" if name == "session" else name
    value = next(vars(room)[called] for room in rooms if called in vars(room))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Offer the public names and nothing else."""
    return sorted(__all__)


def load_ipython_extension(ip: Any) -> None:
    """Register the `%durable` and `%%durable` magics."""
    import_module("notebook_do.notebook.magics").load(ip)


def unload_ipython_extension(ip: Any) -> None:
    """Take away everything that loading put in."""
    import_module("notebook_do.notebook.magics").unload(ip)
