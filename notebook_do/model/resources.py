"""The constructors of bindings: one a binding type that is a resource, named as in the table of binding types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.errors import DeclarationError
from notebook_do.model.bindings import resource_problem
from notebook_do.model.declared import Json, Resource, ServiceBinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def _resource(type_: str, /, **fields: Any) -> Resource:
    given = {name: value for name, value in fields.items() if value is not None and value != []}
    made = Resource(type=type_, fields=Json(given))
    if problem := resource_problem(made):
        raise DeclarationError(problem)
    return made


# --- each reads like the binding that it declares, hence the capitals


def KV(namespace_id: str) -> Resource:  # noqa: N802
    """Bind a KV namespace by its id."""
    return _resource("kv_namespace", namespace_id=namespace_id)


def R2(bucket_name: str, *, jurisdiction: str | None = None) -> Resource:  # noqa: N802
    """Bind an R2 bucket by its name; `jurisdiction` is `eu`, `fedramp`, ... for a bucket that has one."""
    return _resource("r2_bucket", bucket_name=bucket_name, jurisdiction=jurisdiction)


def D1(database_id: str) -> Resource:  # noqa: N802
    """Bind a D1 database by its id."""
    # Both spellings are in use: wrangler sends `id`, the published schema has `database_id`.
    return _resource("d1", id=database_id, database_id=database_id)


def Queue(queue_name: str) -> Resource:  # noqa: N802
    """Bind a queue as a producer, by its name."""
    return _resource("queue", queue_name=queue_name)


def Service(  # noqa: N802
    worker: str,
    *,
    entrypoint: str | None = None,
    environment: str | None = None,
    props: dict[str, Any] | None = None,
) -> ServiceBinding:
    """Bind another Worker by its id here or its live name; `entrypoint` is a named WorkerEntrypoint class of it.

    `props` is what that entrypoint finds in `ctx.props`: any JSON object.
    """
    if props is not None and not isinstance(props, dict):
        raise DeclarationError(f"props of a service must be a table, not {props!r}.")
    kept = None if props is None else Json(props)
    return ServiceBinding(worker=worker, entrypoint=entrypoint, environment=environment, props=kept)


def Hyperdrive(id: str) -> Resource:  # noqa: A002, N802 - Cloudflare's own word
    """Bind a Hyperdrive configuration by its id."""
    return _resource("hyperdrive", id=id)


def Vectorize(index_name: str) -> Resource:  # noqa: N802
    """Bind a Vectorize index by its name."""
    return _resource("vectorize", index_name=index_name)


def AnalyticsEngine(dataset: str) -> Resource:  # noqa: N802
    """Bind an Analytics Engine dataset by its name."""
    return _resource("analytics_engine", dataset=dataset)


def RateLimit(namespace_id: str, *, limit: int, period: int) -> Resource:  # noqa: N802
    """Bind a rate limit of `limit` calls in `period` (10 or 60) seconds; Workers with one namespace id share it."""
    return _resource("ratelimit", namespace_id=namespace_id, simple={"limit": limit, "period": period})


def VersionMetadata() -> Resource:  # noqa: N802
    """Bind the id, tag and time of the running version."""
    return _resource("version_metadata")


def AI() -> Resource:  # noqa: N802
    """Bind Workers AI."""
    return _resource("ai")


def AiSearch(instance_name: str, *, namespace: str | None = None) -> Resource:  # noqa: N802
    """Bind an AI Search instance by its name."""
    return _resource("ai_search", instance_name=instance_name, namespace=namespace)


def AiSearchNamespace(namespace: str) -> Resource:  # noqa: N802
    """Bind all AI Search instances of a namespace."""
    return _resource("ai_search_namespace", namespace=namespace)


def Browser() -> Resource:  # noqa: N802
    """Bind Browser Rendering."""
    return _resource("browser")


def Images() -> Resource:  # noqa: N802
    """Bind Cloudflare Images."""
    return _resource("images")


def Media() -> Resource:  # noqa: N802
    """Bind Media Transformations."""
    return _resource("media")


def MtlsCertificate(certificate_id: str) -> Resource:  # noqa: N802
    """Bind a client certificate by its id."""
    return _resource("mtls_certificate", certificate_id=certificate_id)


def Pipeline(pipeline: str) -> Resource:  # noqa: N802
    """Bind a pipeline by its name."""
    return _resource("pipelines", pipeline=pipeline)


def SendEmail(  # noqa: N802
    destination_address: str | None = None,
    *,
    allowed_destination_addresses: Iterable[str] = (),
    allowed_sender_addresses: Iterable[str] = (),
) -> Resource:
    """Bind the sending of email, to one address, to some, or (with neither) to any verified one."""
    return _resource(
        "send_email",
        destination_address=destination_address,
        allowed_destination_addresses=list(allowed_destination_addresses),
        allowed_sender_addresses=list(allowed_sender_addresses),
    )


def DispatchNamespace(namespace: str, *, outbound: Mapping[str, Any] | None = None) -> Resource:  # noqa: N802
    """Bind a Workers for Platforms dispatch namespace; `outbound` is Cloudflare's own table."""
    return _resource("dispatch_namespace", namespace=namespace, outbound=dict(outbound) if outbound else None)


def Assets() -> Resource:  # noqa: N802
    """Bind the Worker's own static assets."""
    return _resource("assets")


def Workflow(workflow_name: str, *, class_name: str | None = None, script_name: str | None = None) -> Resource:  # noqa: N802
    """Bind a Workflow by its name; `class_name` when this Worker has it, `script_name` when another has."""
    return _resource("workflow", workflow_name=workflow_name, class_name=class_name, script_name=script_name)


def SecretsStoreSecret(store_id: str, secret_name: str) -> Resource:  # noqa: N802
    """Bind a secret of a Secrets Store; its value stays there."""
    return _resource("secrets_store_secret", store_id=store_id, secret_name=secret_name)


def WorkerLoader() -> Resource:  # noqa: N802
    """Bind the loading of Workers at run time."""
    return _resource("worker_loader")


def VpcService(service_id: str) -> Resource:  # noqa: N802
    """Bind a VPC service by its id."""
    return _resource("vpc_service", service_id=service_id)


def VpcNetwork(*, network_id: str | None = None, tunnel_id: str | None = None) -> Resource:  # noqa: N802
    """Bind a private network by its id or by its tunnel's."""
    return _resource("vpc_network", network_id=network_id, tunnel_id=tunnel_id)


def Artifacts(namespace: str) -> Resource:  # noqa: N802
    """Bind an Artifacts namespace."""
    return _resource("artifacts", namespace=namespace)


def Flagship(app_id: str) -> Resource:  # noqa: N802
    """Bind a Flagship app by its id."""
    return _resource("flagship", app_id=app_id)
