"""The one table of what is refused here: Cloudflare's code, the HTTP status, the text, and how well each is known.

`documented` texts stand in Cloudflare's documentation or published sources, `observed` ones were reported from the
real API, `emulated` ones are our wording for a refusal whose real wording is not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["documented", "observed", "emulated"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One refusal; `text` is a format string."""

    code: int
    status: int
    text: str
    source: Source


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The API's no: the HTTP status and the `errors` of the envelope."""

    def __init__(self, status: int, errors: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(error["message"]) for error in errors))
        self.status, self.errors = status, errors


def refuse(rule_name: str, **words: object) -> Refused:
    """Build the refusal of one rule of the table."""
    rule = RULES[rule_name]
    return Refused(rule.status, [{"code": rule.code, "message": rule.text.format(**words)}])


def refuse_each(rule_name: str, each: list[dict[str, object]]) -> Refused:
    """Build one refusal with one error for each set of words."""
    rule = RULES[rule_name]
    return Refused(rule.status, [{"code": rule.code, "message": rule.text.format(**words)} for words in each])


def refuse_exports(details: list[dict[str, Any]]) -> Refused:
    """Build the refusal of a declarative `exports` upload: all classes at once, in `meta.details`."""
    rule = RULES["exports"]
    return Refused(rule.status, [{"code": rule.code, "message": rule.text, "meta": {"details": details}}])


_SUBJECT = "Cannot apply {migration}-class migration to class '{name}'"

RULES: dict[str, Rule] = {
    # --- who asks, and for what
    "no_route": Rule(7003, 404, "Could not route to {path}, perhaps your object identifier is invalid?", "observed"),
    "no_method": Rule(10405, 405, "Method {method} is not allowed for this endpoint.", "emulated"),
    "no_token": Rule(9106, 400, "Missing X-Auth-Key, X-Auth-Email or Authorization headers", "observed"),
    "bad_token_form": Rule(6003, 400, "Invalid request headers", "observed"),
    "wrong_token": Rule(10000, 401, "Authentication error", "observed"),
    "invalid_token": Rule(1000, 401, "Invalid API Token", "observed"),
    "wrong_account": Rule(9109, 403, "Unauthorized to access requested resource", "emulated"),
    "wrong_host": Rule(10023, 421, "This server answers only to its own loopback address.", "emulated"),
    "cross_site": Rule(10023, 403, "Requests from web pages are refused.", "emulated"),
    "unknown": Rule(10013, 500, "An unknown error has occurred.", "observed"),
    # --- the form of a request
    "too_large": Rule(10027, 413, "workers.api.error.script_too_large", "documented"),
    "too_many_parts": Rule(10027, 413, "The upload has more than {most} parts.", "emulated"),
    "too_slow": Rule(10013, 408, "The request body did not arrive in time.", "emulated"),
    "encoded_body": Rule(10001, 415, "Content-Encoding '{encoding}' is not supported for request bodies.", "emulated"),
    "content_type": Rule(10001, 415, "Content-Type must be {wanted}.", "emulated"),
    "bad_multipart": Rule(10001, 400, "The multipart body cannot be read: {why}", "emulated"),
    "bad_json": Rule(10001, 400, "{what} is not valid JSON: {why}", "emulated"),
    "bad_field": Rule(10001, 400, "{where}: {why}", "emulated"),
    "no_runtime": Rule(10001, 400, "Nothing was changed: {why}", "emulated"),
    "bad_page": Rule(10077, 400, "Invalid value for '{name}': {value}", "emulated"),
    "no_metadata": Rule(10021, 400, "The upload has no `metadata` part.", "emulated"),
    "no_entry": Rule(10021, 400, "metadata has neither `main_module` nor `body_part`.", "emulated"),
    "entry_missing": Rule(10021, 400, 'No such module "{name}".', "observed"),
    "module_twice": Rule(10021, 400, "There are two modules named '{name}'.", "emulated"),
    "module_name": Rule(10021, 400, "'{name}' cannot be the name of a module.", "emulated"),
    "module_type": Rule(10021, 400, "Module '{name}' has the unknown content type '{kind}'.", "emulated"),
    "service_worker": Rule(
        10021,
        400,
        "Scripts in service-worker format are not supported here; use ES modules (`main_module`).",
        "emulated",
    ),
    "script_name": Rule(10016, 400, "'{name}' is not a valid script name.", "emulated"),
    "future_date": Rule(10021, 400, "Can't set compatibility date in the future: {date}", "observed"),
    "bad_date": Rule(10021, 400, "'{date}' is not a compatibility date (YYYY-MM-DD).", "emulated"),
    "startup": Rule(10021, 400, "{text}", "observed"),
    "no_handlers": Rule(10068, 400, "The uploaded script has no registered event handlers.", "observed"),
    "assets": Rule(10021, 400, "Static assets are uploaded with a script, not here.", "emulated"),
    "asset_token": Rule(10021, 400, "The token of the assets is not that of a complete upload session.", "emulated"),
    # --- things that are not there
    "no_script": Rule(10007, 404, "This Worker does not exist on your account.", "documented"),
    "no_service": Rule(10090, 404, "workers.api.error.service_not_found", "documented"),
    "no_worker": Rule(10007, 404, "This Worker does not exist on your account.", "documented"),
    "no_version": Rule(
        100146,
        404,
        "The requested Worker version could not be found, please check the ID being passed and try again.",
        "documented",
    ),
    "no_deployment": Rule(10336, 404, "The requested deployment could not be found.", "emulated"),
    "no_versions": Rule(
        10222,
        404,
        "This Worker has no versions, which means this Worker has no content or versioned settings.",
        "documented",
    ),
    "no_namespace": Rule(10066, 404, "Durable Object namespace ID '{id}' not found.", "documented"),
    "no_object": Rule(10077, 404, "Durable Object '{name}' has stored nothing in namespace '{id}'.", "emulated"),
    "bad_query": Rule(10001, 400, "The objects could not be queried: {why}.", "emulated"),
    "no_secret": Rule(10056, 404, "Secret '{name}' not found.", "emulated"),
    "no_tail": Rule(10057, 404, "Tail '{id}' not found.", "emulated"),
    "subdomain_taken": Rule(10032, 409, "subdomain_unavailable", "documented"),
    # --- KV, R2, D1
    "kv_exists": Rule(10014, 400, "a namespace with this account ID and title already exists", "observed"),
    "resource_exists": Rule(10014, 400, "a {kind} resource with the name '{name}' already exists.", "emulated"),
    "resource_refused": Rule(7500, 400, "{why}", "emulated"),
    "bucket_not_empty": Rule(10008, 409, "The bucket '{name}' you tried to delete is not empty.", "emulated"),
    "no_database": Rule(7404, 404, "The database {id} could not be found.", "emulated"),
    "bad_cron": Rule(10100, 400, "invalid cron string: {cron}", "observed"),
    # --- zones
    "route_script": Rule(
        10019,
        400,
        "Cannot configure a route for a Worker which does not exist. Please ensure this Worker exists and try again.",
        "observed",
    ),
    "no_zone": Rule(1001, 404, "Invalid zone identifier '{id}'.", "emulated"),
    "no_route_id": Rule(10009, 404, "Route '{id}' does not exist.", "emulated"),
    "bad_pattern": Rule(10022, 400, "'{pattern}' is not a route pattern of this zone.", "emulated"),
    "route_exists": Rule(10020, 409, "A route with the pattern '{pattern}' already exists.", "emulated"),
    "no_domain": Rule(100114, 404, "Custom domain '{id}' does not exist.", "emulated"),
    "domain_taken": Rule(100116, 409, "Hostname '{host}' is already in use by Worker '{script}'.", "emulated"),
    # --- queues
    "no_queue": Rule(11000, 404, "Queue '{id}' does not exist.", "emulated"),
    "queue_exists": Rule(11009, 409, "Queue name '{name}' is already taken.", "emulated"),
    "no_consumer": Rule(11003, 404, "Queue consumer '{id}' does not exist.", "emulated"),
    "consumer_exists": Rule(11004, 400, "workers.api.error.consumer_exists", "observed"),
    "queue_handler_missing": Rule(11001, 400, "workers.api.error.queue_handler_missing", "observed"),
    "no_queue_handler": Rule(11001, 400, "queue handler is missing", "observed"),
    # --- bindings
    "unsupported_binding": Rule(10021, 400, "binding {name} of type {type} is not supported here: {why}", "emulated"),
    "binding_form": Rule(10021, 400, "binding {name} of type {type} must have a valid `{key}` specified", "observed"),
    "part_missing": Rule(
        10021, 400, "binding {name} of type {type} names part '{part}', which is not in the upload.", "emulated"
    ),
    "binding_name": Rule(10021, 400, "'{name}' is not a valid binding name.", "emulated"),
    "binding_twice": Rule(10021, 400, "There are two bindings named '{name}'.", "emulated"),
    "inherit": Rule(
        10057,
        400,
        "inherit binding '{name}' is invalid: the previous version has no binding named '{old_name}'.",
        "emulated",
    ),
    # (10007 was the answer of 2023, github.com/cloudflare/workers-sdk/issues/2968)
    "service_missing": Rule(
        10143,
        400,
        "Could not resolve service binding '{name}'. Target script '{service}' not found. Please verify the target "
        "script and try again.",
        "observed",
    ),
    "environment_missing": Rule(
        10144,
        400,
        "Could not resolve service binding '{name}'. Target environment '{environment}' not found for target script "
        "'{service}'. Please verify the target and try again.",
        "observed",
    ),
    "tail_missing": Rule(
        10203, 400, "Tail Worker does not exist on this account. Check the Worker name and try again.", "observed"
    ),
    # --- KV, R2, D1 and queues in a binding, where they must have been made (`--strict`)
    "kv_missing": Rule(10041, 400, "KV namespace '{id}' not found.", "observed"),
    "kv_id": Rule(
        10042,
        400,
        "KV namespace '{id}' is not valid. Please verify the namespace_id in your configuration.",
        "observed",
    ),
    "bucket_missing": Rule(
        10085, 400, "R2 bucket '{id}' not found. Please use a different name and try again.", "observed"
    ),
    # (11000 is known, from github.com/cloudflare/workers-sdk/pull/2161; its text here is not)
    "queue_missing": Rule(11000, 400, "Queue '{name}' not found.", "emulated"),
    "d1_missing": Rule(
        10181,
        400,
        "D1 binding '{name}' references database '{id}' which was not found. Verify the database exists in your "
        "account and that the database_id in your configuration is correct.",
        "observed",
    ),
    # --- settings of a script; the texts of the first two were observed, their code is not known to us
    "too_many_tags": Rule(
        10021, 403, "You have exceeded the limit of 10 tags per Worker. Remove a tag to add another.", "observed"
    ),
    "tag_large": Rule(10021, 400, "Tag is too large", "observed"),
    "tag_form": Rule(10021, 400, "Tag '{tag}' has a character that tags cannot have: ',' or '&'.", "emulated"),
    "update_strategy": Rule(10021, 400, "code_update_strategy: {why}", "emulated"),
    "unmigrated_binding": Rule(
        10061,
        400,
        "Cannot create binding for class '{name}' because it is not currently configured to implement Durable "
        "Objects. Ensure a --new-class migration has been applied to it.",
        "observed",
    ),
    "unexported_binding": Rule(
        10061, 400, "Cannot create binding for class {name} that is not exported by the script", "observed"
    ),
    "binding_host": Rule(
        10061, 400, "Cannot create binding for class in script '{script}' that does not exist.", "observed"
    ),
    "deleted_yet_bound": Rule(
        10061,
        400,
        "Cannot apply --delete-class migration to class '{name}' without also removing the binding that references it.",
        "observed",
    ),
    "deleted_yet_used": Rule(
        10061,
        400,
        "Cannot apply --delete-class migration to class '{name}' while other Workers bind to it: {scripts}.",
        "emulated",
    ),
    "version_binding": Rule(
        10123,
        400,
        "Cannot create binding for class '{name}': it depends on a migration that has not been applied.",
        "emulated",
    ),
    "version_unprovisioned": Rule(
        100406,
        400,
        "Cannot create binding for class '{name}': it is declared in `exports` but not provisioned yet. Deploy the "
        "version that declares it first, or use `ctx.exports.{name}`.",
        "emulated",
    ),
    # --- class migrations
    "tag": Rule(
        10079,
        412,
        'Migration tag precondition failed; current tag is {current} (got "{got}" when expected tag is "{current}")',
        "observed",
    ),
    "no_tag_yet": Rule(
        10079, 412, 'Migration tag precondition failed; the Worker has no tag (got "{got}")', "emulated"
    ),
    "tag_dropped": Rule(
        10079, 400, "The Worker has the migration tag {current}: a migration must have a `new_tag`.", "emulated"
    ),
    "migration_form": Rule(10021, 400, "migrations: {why}", "emulated"),
    "target_twice": Rule(10074, 400, "class '{name}' cannot be the target of more than one migration", "observed"),
    "new_unexported": Rule(10070, 400, _SUBJECT + " that is not exported by script", "observed"),
    "exists": Rule(10074, 400, _SUBJECT + " that is already depended on by existing Durable Objects", "observed"),
    "no_previous": Rule(
        10074, 400, _SUBJECT + " which was not exported in the previous version of the script", "observed"
    ),
    "moved_unexported": Rule(10070, 400, _SUBJECT + " that is not exported by script", "emulated"),
    "occupied": Rule(
        10074, 400, _SUBJECT + ": class '{to}' is already depended on by existing Durable Objects", "emulated"
    ),
    "same_name": Rule(10074, 400, _SUBJECT + ": source and destination are the same", "emulated"),
    "transfer_script": Rule(10074, 400, _SUBJECT + ": script '{script}' does not exist", "emulated"),
    "transfer_class": Rule(
        10074, 400, _SUBJECT + " which is not a Durable Object class of script '{script}'", "emulated"
    ),
    "transfer_declared": Rule(
        10074, 400, _SUBJECT + ": script '{script}' declares its classes in `exports`; transfer it there", "emulated"
    ),
    "dropped": Rule(
        10064,
        403,
        "New version of script does not export class '{name}' which is depended on by existing Durable Objects. If "
        "you want to delete the Durable Objects, apply a delete-class migration for the class.",
        "observed",
    ),
    "sqlite_only": Rule(
        10097,
        400,
        "In order to use Durable Objects with a free plan, you must create a namespace using a `new_sqlite_classes` "
        "migration.",
        "observed",
    ),
    "no_more_kv": Rule(
        10099,
        400,
        "Creating new key-value backed Durable Object namespaces is no longer supported on this account. Please "
        "create a namespace using a `new_sqlite_classes` migration instead.",
        "observed",
    ),
    "both_lifecycles": Rule(10021, 400, "`exports` and `migrations` cannot be used in one upload.", "emulated"),
    "one_way": Rule(
        10021, 400, "This Worker declares its classes in `exports`: `migrations` can no longer be used.", "emulated"
    ),
    "exports": Rule(100402, 400, "Durable Object exports reconciliation failed", "documented"),
    # --- versions and deployments
    "version_migration": Rule(
        10211,
        400,
        "Version upload failed. You attempted to upload a version of a Worker that includes a Durable Object "
        "migration, but migrations must be fully applied via a non-versioned deployment. Refer to the documentation "
        "for more information.",
        "observed",
    ),
    "split_exports": Rule(
        100405, 400, "The versions of a deployment must have identical Durable Object `exports`.", "emulated"
    ),
    "deployment_form": Rule(10001, 400, "deployment: {why}", "emulated"),
    "lifecycle_rollback": Rule(
        10211,
        400,
        "Version {version} cannot be deployed: this Worker's Durable Object classes changed after it was uploaded.",
        "emulated",
    ),
    "secret_changed": Rule(
        10220,
        400,
        "A secret of this Worker changed after version {version}: {names}. Use `force` to deploy it.",
        "emulated",
    ),
    "latest_not_deployed": Rule(
        10215,
        400,
        "The latest version of this Worker is not deployed; deploy it before changing its secrets.",
        "emulated",
    ),
    "active_deployment": Rule(10001, 400, "The active deployment cannot be deleted.", "documented"),
    "active_version": Rule(10001, 400, "A deployed version cannot be deleted.", "emulated"),
    "script_exists": Rule(10040, 409, "A Worker named '{name}' already exists on your account.", "emulated"),
    # --- deleting a script
    "still_bound": Rule(
        10064,
        400,
        "This Worker is still referenced by Durable Object bindings in Workers: {scripts}. Delete it with `force` to "
        "delete it with all data of its Durable Objects.",
        "emulated",
    ),
    "still_called": Rule(
        10142, 400, "This Worker is still referenced by service bindings in Workers: {scripts}.", "emulated"
    ),
    "still_hosts": Rule(10064, 400, "This Worker is still in use by its own Durable Objects.", "emulated"),
    "still_consumes": Rule(10064, 400, "script still in use as a consumer for a queue", "observed"),
}
