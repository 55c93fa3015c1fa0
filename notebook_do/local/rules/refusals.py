"""What is refused here, in one table: Cloudflare's code, HTTP status and text, and how well each text is known.

`documented` texts stand in Cloudflare's documentation or published sources, `observed` ones were reported from the
real API, `emulated` ones (a plain `Rule`) are our wording for a refusal whose real wording is not known to us. Behind a
row stands where it is known from: an issue, or `distilled`, alchemy-run's tables of errors captured from the real API.

What the declarative `exports` are refused for is one refusal here (100402), and a table of its own in `scenarios`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """One refusal; `text` is a format string."""

    code: int
    text: str
    status: int = 400
    source: Literal["documented", "observed", "emulated"] = "emulated"


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """A refusal by the API: the HTTP status and the `errors` of the envelope."""

    def __init__(self, status: int, errors: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(error["message"]) for error in errors))
        self.status, self.errors = status, errors


def refuse(rule_name: str, **words: object) -> Refused:
    """Return the refusal of one rule of the table."""
    return refuse_each(rule_name, [words])


def refuse_each(rule_name: str, each: list[dict[str, object]]) -> Refused:
    """Return one refusal with one error for each set of words."""
    rule = RULES[rule_name]
    return Refused(rule.status, [{"code": rule.code, "message": rule.text.format(**words)} for words in each])


_documented = partial(Rule, source="documented")
_observed = partial(Rule, source="observed")
_SUBJECT = "Cannot apply {migration}-class migration to class '{name}'"

RULES: dict[str, Rule] = {
    # --- who asks, and for what
    "no_route": _observed(7003, "Could not route to {path}, perhaps your object identifier is invalid?", status=404),
    "no_method": Rule(10405, "Method {method} is not allowed for this endpoint.", status=405),
    "no_token": _observed(9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"),  # cloudflare-python#2678
    "bad_token_form": _observed(6003, "Invalid request headers"),
    "wrong_token": _observed(10000, "Authentication error", status=401),
    "invalid_token": _observed(1000, "Invalid API Token", status=401),  # on tokens/verify; elsewhere it is 10000
    # To wrangler `account_id` of its configuration is stronger than the variable, so that has to go first.
    "wrong_account": Rule(
        9109,
        "Unauthorized to access requested resource: account {given} is not this local Cloudflare's. Take `account_id` "
        "out of the configuration, or set it to {own}, and set CLOUDFLARE_ACCOUNT_ID={own}, as `notebook-do local "
        "status` prints it.",
        status=403,
    ),
    "wrong_host": Rule(10023, "This server answers only to its own loopback address.", status=421),
    "cross_site": Rule(10023, "Requests from web pages are refused.", status=403),
    "unknown": _observed(10013, "An unknown error has occurred.", status=500),
    # --- the form of a request
    "too_large": _documented(10027, "workers.api.error.script_too_large", status=413),
    "too_many_parts": Rule(10027, "The upload has more than {most} parts.", status=413),
    "too_slow": Rule(10013, "The request body did not arrive in time.", status=408),
    "encoded_body": Rule(10001, "Content-Encoding '{encoding}' is not supported for request bodies.", status=415),
    "content_type": Rule(10001, "Content-Type must be {wanted}.", status=415),
    "bad_multipart": Rule(10001, "The multipart body cannot be read: {why}"),
    "bad_json": Rule(10001, "{what} is not valid JSON: {why}"),
    "bad_field": Rule(10001, "{where}: {why}"),
    "no_runtime": Rule(10001, "Nothing was changed: {why}"),
    "bad_page": Rule(10077, "Invalid value for '{name}': {value}"),
    "no_metadata": Rule(10021, "The upload has no `metadata` part."),
    "no_entry": Rule(10021, "metadata has neither `main_module` nor `body_part`."),
    "entry_missing": _observed(10021, 'No such module "{name}".'),  # of the validator
    "module_twice": Rule(10021, "There are two modules named '{name}'."),
    "module_name": Rule(10021, "'{name}' cannot be the name of a module."),
    "module_type": Rule(10021, "Module '{name}' has the unknown content type '{kind}'."),
    "service_worker": Rule(
        10021, "Scripts in service-worker format are not supported here; use ES modules (`main_module`)."
    ),
    "script_name": Rule(10016, "'{name}' is not a valid script name."),
    "future_date": _observed(10021, "Can't set compatibility date in the future: {date}"),  # of the validator; by UTC
    "bad_date": Rule(10021, "'{date}' is not a compatibility date (YYYY-MM-DD)."),
    "startup": _observed(10021, "{text}"),  # the text is V8's, with the position
    "no_handlers": _observed(10068, "The uploaded script has no registered event handlers."),
    "assets": Rule(10021, "Static assets are uploaded with a script, not here."),
    "asset_token": Rule(10021, "The token of the assets is not that of a complete upload session."),
    # --- things that are not there
    "no_script": _documented(10007, "This Worker does not exist on your account.", status=404),
    "no_service": _documented(10090, "workers.api.error.service_not_found", status=404),
    "no_version": _documented(
        100146,
        "The requested Worker version could not be found, please check the ID being passed and try again.",
        status=404,
    ),
    "no_deployment": Rule(10336, "The requested deployment could not be found.", status=404),
    "no_versions": _documented(
        10222, "This Worker has no versions, which means this Worker has no content or versioned settings.", status=404
    ),
    "no_namespace": _documented(10066, "Durable Object namespace ID '{id}' not found.", status=404),
    "no_object": Rule(10179, "Durable Object '{name}' has stored nothing in namespace '{id}'.", status=404),
    "object_moved": Rule(10078, "Durable Object '{name}' was written to meanwhile; nothing was changed.", status=409),
    "not_started": Rule(10001, "The objects could not be asked: {why}."),
    "no_table": Rule(10180, "{why}", status=404),
    "not_a_read": Rule(10181, "{why}"),
    "bad_statement": Rule(10183, "{why}"),
    "bad_query": Rule(10182, "{why}."),
    "no_secret": Rule(10056, "Secret '{name}' not found.", status=404),  # the code: distilled
    "no_tail": Rule(10057, "Tail '{id}' not found.", status=404),
    # --- KV, R2, D1
    "kv_exists": _observed(10014, "a namespace with this account ID and title already exists"),  # distilled
    "resource_exists": Rule(10014, "a {kind} resource with the name '{name}' already exists."),
    "resource_refused": Rule(7500, "{why}"),
    "bucket_not_empty": Rule(10008, "The bucket '{name}' you tried to delete is not empty.", status=409),
    "no_bucket": _documented(10006, "The specified bucket does not exist.", status=404),
    "object_too_large": _documented(100100, "Your proposed upload exceeds the maximum allowed object size."),
    "no_database": Rule(7404, "The database {id} could not be found.", status=404),
    "store_secret_exists": Rule(10014, "a secret named '{name}' already exists in this store.", status=409),
    "no_store_secret": Rule(10404, "Secret '{id}' does not exist in this store.", status=404),
    "nothing_sent": Rule(10404, "Nothing that was sent has the id {id} and a content of its own.", status=404),
    "bad_cron": _observed(10100, "invalid cron string: {cron}"),
    # --- zones
    "route_script": _observed(
        10019,
        "Cannot configure a route for a Worker which does not exist. Please ensure this Worker exists and try again.",
    ),  # distilled#368: also for some seconds after the first upload
    "no_zone": Rule(1001, "Invalid zone identifier '{id}'.", status=404),
    "no_route_id": Rule(10009, "Route '{id}' does not exist.", status=404),
    "bad_pattern": Rule(10022, "'{pattern}' is not a route pattern of this zone."),  # the code: distilled
    "route_exists": Rule(10020, "A route with the pattern '{pattern}' already exists.", status=409),
    "no_domain": Rule(100114, "Custom domain '{id}' does not exist.", status=404),
    "domain_taken": Rule(100116, "Hostname '{host}' is already in use by Worker '{script}'.", status=409),
    # --- queues
    "no_queue": Rule(11000, "Queue '{id}' does not exist.", status=404),
    "queue_exists": Rule(11009, "Queue name '{name}' is already taken.", status=409),
    "no_consumer": Rule(11003, "Queue consumer '{id}' does not exist.", status=404),
    "consumer_exists": _observed(11004, "workers.api.error.consumer_exists"),  # workers-sdk#5347
    "queue_handler_missing": _observed(11001, "workers.api.error.queue_handler_missing"),  # on upload: workers-sdk#2543
    "no_queue_handler": _observed(11001, "queue handler is missing"),  # on a consumer: distilled#273
    # --- workflows
    "no_workflow": _observed(10200, "workflows.api.error.workflow.not_found", status=404),
    "workflow_body": _observed(10002, "workflows.api.error.malformed_body: {why}"),  # the code; the text is emulated
    "workflow_jurisdiction": Rule(10209, "The jurisdiction of workflow '{name}' cannot be changed."),  # code: wrangler
    "workflow_script": Rule(10001, "Workflow '{name}': there is no Worker '{script}'."),
    "workflow_inactive": Rule(10001, "Workflow '{name}' is inactive: its Worker '{script}' {why}."),
    "no_instance": _observed(10400, "workflows.api.error.instance.not_found", status=404),  # workerd's engine
    "instance_exists": _observed(10405, "workflows.api.error.instance.already_exists", status=409),  # likewise
    "workflow_refused": Rule(10001, "{why}"),
    # --- bindings
    "binding_form": _observed(10021, "binding {name} of type {type} must have a valid `{key}` specified"),
    "workflow_name": Rule(
        10021, "'{name}' is not a valid workflow name: 1 to 64 letters, digits, - or _, and no - at the beginning."
    ),
    "workflow_class": Rule(
        10021, "Workflow '{name}' names class '{class_name}', which the script does not export as a WorkflowEntrypoint."
    ),
    "part_missing": Rule(10021, "binding {name} of type {type} names part '{part}', which is not in the upload."),
    "binding_name": Rule(10021, "'{name}' is not a valid binding name."),
    "binding_twice": Rule(10021, "There are two bindings named '{name}'."),
    "inherit": Rule(
        10057, "inherit binding '{name}' is invalid: the previous version has no binding named '{old_name}'."
    ),
    "service_missing": _observed(
        10143,
        "Could not resolve service binding '{name}'. Target script '{service}' not found. Please verify the target "
        "script and try again.",
    ),  # solstatus#24; 10007 was the answer of 2023: workers-sdk#2968
    "environment_missing": _observed(
        10144,
        "Could not resolve service binding '{name}'. Target environment '{environment}' not found for target script "
        "'{service}'. Please verify the target and try again.",
    ),  # workers-sdk#10168
    "tail_missing": _observed(
        10203, "Tail Worker does not exist on this account. Check the Worker name and try again."
    ),
    # --- KV, R2, D1 and queues in a binding, where they must have been made (`--strict`)
    "kv_missing": _observed(10041, "KV namespace '{id}' not found."),  # the code: distilled
    "kv_id": _observed(
        10042, "KV namespace '{id}' is not valid. Please verify the namespace_id in your configuration."
    ),
    "bucket_missing": _observed(10085, "R2 bucket '{id}' not found. Please use a different name and try again."),
    "queue_missing": Rule(11000, "Queue '{name}' not found."),  # the code: workers-sdk#2161
    "d1_missing": _observed(
        10181,
        "D1 binding '{name}' references database '{id}' which was not found. Verify the database exists in your "
        "account and that the database_id in your configuration is correct.",
    ),  # distilled
    # --- settings of a script; the texts of the first two were observed, their code is not known to us
    "too_many_tags": _observed(
        10021, "You have exceeded the limit of 10 tags per Worker. Remove a tag to add another.", status=403
    ),  # alchemy#811
    "tag_large": _observed(10021, "Tag is too large"),  # alchemy#824: at 1,025 bytes
    "tag_form": Rule(10021, "Tag '{tag}' has a character that tags cannot have: ',' or '&'."),
    "update_strategy": Rule(10021, "code_update_strategy: {why}"),
    "unmigrated_binding": _observed(
        10061,
        "Cannot create binding for class '{name}' because it is not currently configured to implement Durable "
        "Objects. Ensure a --new-class migration has been applied to it.",
    ),  # workers-sdk#10246, #10034, #7899
    "unexported_binding": _observed(10061, "Cannot create binding for class {name} that is not exported by the script"),
    "binding_host": _observed(10061, "Cannot create binding for class in script '{script}' that does not exist."),
    "deleted_yet_bound": _observed(
        10061,
        "Cannot apply --delete-class migration to class '{name}' without also removing the binding that references it.",
    ),  # workers-sdk#8210, #8203
    "deleted_yet_used": Rule(
        10061, "Cannot apply --delete-class migration to class '{name}' while other Workers bind to it: {scripts}."
    ),
    "version_binding": Rule(
        10123, "Cannot create binding for class '{name}': it depends on a migration that has not been applied."
    ),  # the code is in wrangler
    "version_unprovisioned": Rule(
        100406,
        "Cannot create binding for class '{name}': it is declared in `exports` but not provisioned yet. Deploy the "
        "version that declares it first, or use `ctx.exports.{name}`.",
    ),  # the code is in wrangler
    # --- class migrations
    "tag": _observed(
        10079,
        'Migration tag precondition failed; current tag is {current} (got "{got}" when expected tag is "{current}")',
        status=412,
    ),  # workers-sdk#705
    "no_tag_yet": Rule(10079, 'Migration tag precondition failed; the Worker has no tag (got "{got}")', status=412),
    "tag_dropped": Rule(10079, "The Worker has the migration tag {current}: a migration must have a `new_tag`."),
    "migration_form": Rule(10021, "migrations: {why}"),
    "target_twice": _observed(10074, "class '{name}' cannot be the target of more than one migration"),
    "new_unexported": _observed(10070, _SUBJECT + " that is not exported by script"),  # workers-sdk#4943
    "exists": _observed(10074, _SUBJECT + " that is already depended on by existing Durable Objects"),
    "no_previous": _observed(10074, _SUBJECT + " which was not exported in the previous version of the script"),
    "moved_unexported": Rule(10070, _SUBJECT + " that is not exported by script"),
    "occupied": Rule(10074, _SUBJECT + ": class '{to}' is already depended on by existing Durable Objects"),
    "same_name": Rule(10074, _SUBJECT + ": source and destination are the same"),
    "transfer_script": Rule(10074, _SUBJECT + ": script '{script}' does not exist"),
    "transfer_class": Rule(10074, _SUBJECT + " which is not a Durable Object class of script '{script}'"),
    "transfer_declared": Rule(
        10074, _SUBJECT + ": script '{script}' declares its classes in `exports`; transfer it there"
    ),
    "dropped": _observed(
        10064,
        "New version of script does not export class '{name}' which is depended on by existing Durable Objects. If "
        "you want to delete the Durable Objects, apply a delete-class migration for the class.",
        status=403,
    ),  # one class at a time: iterate#1796
    "sqlite_only": _observed(
        10097,
        "In order to use Durable Objects with a free plan, you must create a namespace using a `new_sqlite_classes` "
        "migration.",
    ),  # workers-chat-demo#43
    "no_more_kv": _observed(
        10099,
        "Creating new key-value backed Durable Object namespaces is no longer supported on this account. Please "
        "create a namespace using a `new_sqlite_classes` migration instead.",
    ),  # since July 2026: simple-agent-manager#1614
    "both_lifecycles": Rule(10021, "`exports` and `migrations` cannot be used in one upload."),
    "one_way": Rule(10021, "This Worker declares its classes in `exports`: `migrations` can no longer be used."),
    "exports": _documented(100402, "Durable Object exports reconciliation failed"),
    # --- versions and deployments
    "version_migration": _observed(
        10211,
        "Version upload failed. You attempted to upload a version of a Worker that includes a Durable Object "
        "migration, but migrations must be fully applied via a non-versioned deployment. Refer to the documentation "
        "for more information.",
    ),  # cloudflare-docs#32982
    "split_exports": Rule(100405, "The versions of a deployment must have identical Durable Object `exports`."),
    "deployment_form": Rule(10001, "deployment: {why}"),
    "lifecycle_rollback": Rule(
        10211,
        "Version {version} cannot be deployed: this Worker's Durable Object classes changed after it was uploaded.",
    ),
    "secret_changed": Rule(
        10220, "Version {version} is deployed with `force` only. The following secrets have changed: {names}"
    ),  # the code is in wrangler, which takes the names out of the second sentence
    "latest_not_deployed": Rule(
        10215, "The latest version of this Worker is not deployed; deploy it before changing its secrets."
    ),  # the code is in wrangler
    "active_deployment": _documented(10001, "The active deployment cannot be deleted."),
    "active_version": Rule(10001, "A deployed version cannot be deleted."),
    "script_exists": Rule(10040, "A Worker named '{name}' already exists on your account.", status=409),
    # --- deleting a script
    "still_bound": Rule(
        10064,
        "This Worker is still referenced by Durable Object bindings in Workers: {scripts}. Delete it with `force` to "
        "delete it with all data of its Durable Objects.",
    ),
    "still_called": Rule(10142, "This Worker is still referenced by service bindings in Workers: {scripts}."),
    "still_hosts": Rule(10064, "This Worker is still in use by its own Durable Objects."),
    "still_consumes": _observed(10064, "script still in use as a consumer for a queue"),  # workers-sdk#3370
}
