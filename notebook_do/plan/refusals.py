"""What a plan is refused for that is about the state file, Workers and their triggers, and the one table of all.

By code it has the sentence, and what the user can choose instead. A code has several rows where its reasons have
choices of their own. `{subject}`, the id that the refusal is about, is a fact of every row.
"""

from __future__ import annotations

from notebook_do.plan.namespaces.destroy_refusals import DESTROY_REFUSALS
from notebook_do.plan.namespaces.namespace_refusals import NAMESPACE_REFUSALS
from notebook_do.plan.sentences import Again, Row
from notebook_do.plan.source_refusals import SOURCE_REFUSALS
from notebook_do.plan.workers.inspect_refusals import INSPECT_REFUSALS

_BOUND = (
    "{binders} {reason} a namespace that is or was class {name} of Worker {script}; the upload could no longer tell "
    "what became of that name, and at its next deploy {binders} could reach other objects by it."
)
_ANOTHER_SESSION = (
    "begin anew there, with a state file of its own: "
    "`%durable session {desired.session}-2 --stage {desired.stage} --target {target}`"
)

REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    # --- the state file, and Workers
    "other-account": (
        Row(
            "this session was deployed to another local Cloudflare (account {recorded.account_id:short}) than the one "
            "that runs now (account {observed.account_id:short}): the data of the two are in two directories.",
            "go on with the one that it was deployed to: set NOTEBOOK_DO_DATA to the directory of its data, unset it "
            "for the default one, and restart the kernel",
            _ANOTHER_SESSION,
            locals="",
        ),
        Row(
            "this session was deployed to {reason}.",
            "go on there: `%durable session {desired.session} --stage {desired.stage} --target {before}`",
            _ANOTHER_SESSION,
            from_local="the local Cloudflare, and its target is Cloudflare now (account {observed.account_id:short})",
            to_local="Cloudflare (account {recorded.account_id:short}), and its target is local now",
        ),
        Row(
            "this session was deployed to account {recorded.account_id:short}, and uses account "
            "{observed.account_id:short} now.",
            "go on there: `%durable session {desired.session} --stage {desired.stage} --target {before} --account "
            "{recorded.account_id}`, with a token that reaches it",
            _ANOTHER_SESSION,
            accounts="",
        ),
    ),
    "state-behind": Row(
        "Worker {subject} was deployed with another copy of this state file (at serial {serial}; this one is at "
        "{recorded.serial}), or the journal of that deploy is lost: what this file says of it is old.",
        "bring this file up to date: `%durable import {scripts}`",
        "go on with the copy that deployed last, in place of this one",
        "open a session of another name, which has a state file of its own",
    ),
    "worker-exists": (
        Row(
            "a Worker called {live.name} already exists in the account: {reason}.",
            Again("take it over, its namespaces are kept", of="worker", adopt=True),
            Again("give this one a name that is free", of="worker", name="{live.name}-2"),
            session="it was made by session {mark.session}, stage {mark.stage}",
            alchemy="its tags say that Alchemy manages it",
            tool="it was last deployed from {live.last_deployed_from}",
            unknown="it was not made by this session",
        ),
        Row(
            "Worker {live.name} was not made by this session, so it is not deleted.",
            Again("take it over and deploy that, then destroy it", of="worker", adopt=True),
            destroy="",
        ),
    ),
    "worker-renamed": Row(  # its data would stay behind: github.com/cloudflare/workers-sdk/issues/4921
        "Worker {subject} is deployed as {record.script_name} and now declared as {worker.script_name}: on Cloudflare "
        "that is another Worker, with empty namespaces.",
        Again("keep the name", of="worker", name="{record.script_name}"),
        "declare the new one under another id, with `--transferred-from {record.script_name}` on each namespace that "
        "moves, deploy that, and then `%durable destroy {subject}`",
    ),
    "lifecycle-mix": Row(  # one-way by Cloudflare's page on class exports
        "Worker {worker.id} uses `exports`, and Cloudflare lets no Worker return to `migrations`.",
        Again("go on with `exports`", of="worker", lifecycle="exports"),
    ),
    "unknown-tag": Row(
        "Worker {script} bears the migration tag {tag}, this session {reason}: something else changed its classes.",
        Again("look at what is live (`%durable show namespaces`), then take it over", of="worker", adopt=True),
        "deploy it with the tool that set the tag",
        left="left {left}",
        unrecorded="knows none",
    ),
    "split-deployment": Row(  # 100405: the versions of one deployment need the same `exports`
        "Worker {script} runs two versions at once (a gradual deployment), and classes cannot change meanwhile.",
        "bring one version to 100 % first (`npx wrangler versions deploy --name {script}`), then plan again",
        "deploy without the change of classes first: that ends it at 100 % of the declared code",
    ),
    "alias-impossible": Row(
        "Worker {script} must export a class under a second name for a moment, which can be generated for JavaScript "
        "modules only.",
        "change the class names one at a time, over a name that is in no use, each in a plan of its own",
    ),
    "secret-missing": Row(
        "secret {secret} of Worker {script} was never set, and there is no value for it: {problem}",
        "give it a value as said there",
        "take secret {secret} out of the declaration of Worker {script}",
    ),
    **INSPECT_REFUSALS,
    # --- triggers
    "trigger-taken": Row(
        "{trigger.label} belongs to Worker {live.script}, and this session never takes one away from another.",
        "remove it from {live.script} with the tool that set it",
        "take {trigger.key} out of the declaration of Worker {subject}",
    ),
    "trigger-twice": Row(
        "{trigger.label} is declared by Worker {first}{place} and by Worker {subject}; one Worker has it.",
        "take it out of the declaration of {first} or out of that of {subject}",
    ),
    "zone-missing": Row(
        "{trigger.label} of Worker {subject}: no zone of this account holds that host name (or the token may not read "
        "zones).",
        "add the zone to the account, and give the token Zone: Read and Workers Routes: Edit",
        "take {trigger.key} out of the declaration of Worker {subject}",
    ),
    # --- what `exports` has besides the declared classes
    "entry-conflict": Row(
        "namespace {subject} would be class {class_name} of Worker {script}, whose `exports` has an entry of that name "
        "and of type {type}, which another tool made.",
        "declare another class name for namespace {subject}",
        "remove that entry with the tool that made it",
    ),
    "entry-lost": Row(
        "the `exports` entry of class {class_name} of Worker {script} (namespace {subject}) has {rest}, which is not "
        "known here and cannot be taken along to {goal}.",
        "keep class {class_name} on Worker {script}",
        "move the class with the tool that made that entry",
    ),
    "class-name-bound": (
        Row(
            _BOUND,
            "deploy {binders} with the present class name, deploy {script} once more, then plan again",
            "choose a class name for namespace {subject} that was not in use on Worker {script}",
            one="binds",
            several="bind",
        ),
        Row(
            _BOUND,
            "plan again: who binds the classes of Worker {script} could not be read",
            "choose a class name for namespace {subject} that was not in use on Worker {script}",
            unread="may still bind",
        ),
    ),
    **NAMESPACE_REFUSALS,
    **SOURCE_REFUSALS,
    **DESTROY_REFUSALS,
}


def rows_of(code: str) -> tuple[Row, ...]:
    """Return the rows of a code."""
    rows = REFUSALS[code]
    return (rows,) if isinstance(rows, Row) else rows
