"""The one table of what a plan is refused for: code -> the sentence, and what the user can choose instead.

A code has several rows where its reasons have choices of their own. `{subject}`, the id that the refusal is about, is a
fact of every row.
"""

from __future__ import annotations

from notebook_do.plan.sentences import Each, Row
from notebook_do.plan.source_refusals import SOURCE_REFUSALS
from notebook_do.plan.workers.inspect_refusals import INSPECT_REFUSALS

_BOUND = (
    "{binders} {reason} a namespace that is or was class {name} of {script}; the upload could no longer tell what "
    "became of that name, and at its next deploy {binders} could reach other objects by it."
)
_RENAMED = (
    "namespace {subject} (class {desired.class_name}) is new on Worker {desired.script_name}, and {likely} is live "
    "there and not declared any more. Is it the same one under a new stable ID?"
)
_THE_SAME = (
    Each(
        "yes, keep the objects: `%durable namespace {subject} --class {desired.class_name} --renamed-from "
        "{it.stable_id}`, in Python renamed_from={it.stable_id!r}",
        of="known",
    ),
    Each(
        "the same, under a new name: declare namespace_id={it.namespace.namespace_id!r} on {subject}",
        of="strange",
        unnamed="the same, not known here yet: declare namespace_id={it.namespace.namespace_id!r} on {subject}",
    ),
)
_TWO_FORMS = (
    "namespace {subject} would move from {live.script_name}, which uses `{source_form}`, to {desired.script_name}, "
    "which uses `{form}`; a move needs the same form on both."
)
_LOSE_OR_MEND = (
    Each("no, and {it.stable_id} can go, with its objects: `%durable destroy {it.stable_id}` first", of="known"),
    Each("mend the cell of {it.stable_id}, which names it", of="named_in_cells"),
)

REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    # --- the state file, and Workers
    "other-account": Row(
        "the state file belongs to account {recorded.account_id} at {recorded.api_origin}; this is account "
        "{observed.account_id} at {observed.api_origin}.",
        "use the account that it belongs to",
        "open a session with another state file for this account",
    ),
    "state-behind": Row(
        "Worker {subject} was deployed with another copy of this state file (at serial {serial}; this one is at "
        "{recorded.serial}), or the journal of that deploy is lost: what this file says of it is old.",
        "bring this file up to date: %durable import {scripts}",
        "go on with the copy that deployed last",
        "open a session of another name",
    ),
    "worker-exists": (
        Row(
            "a Worker called {live.name} already exists in the account: {reason}.",
            "take it over: declare adopt=True (--adopt); its namespaces are kept",
            "declare another name (--name NAME)",
            session="it was made by session {mark.session}, stage {mark.stage}",
            alchemy="its tags say that Alchemy manages it",
            tool="it was last deployed from {live.last_deployed_from}",
            unknown="it was not made by this session",
        ),
        Row(
            "Worker {live.name} was not made by this session, so it is not deleted.",
            "leave the destruction out: declare adopt=True on it (--adopt), deploy that, then destroy it",
            destroy="",
        ),
    ),
    "worker-renamed": Row(  # its data would stay behind: github.com/cloudflare/workers-sdk/issues/4921
        "Worker {subject} is deployed as {record.script_name} and now declared as {worker.script_name}: on Cloudflare "
        "that is another Worker, with empty namespaces.",
        "keep the name: declare name={record.script_name!r} (--name {record.script_name})",
        "declare the new one under another id, with transferred_from={record.script_name!r} on each namespace that "
        "moves, and destroy {subject} afterwards",
    ),
    "lifecycle-mix": Row(  # one-way by Cloudflare's page on class exports
        "Worker {script} uses `exports`, and Cloudflare lets no Worker return to `migrations`.",
        "declare lifecycle='exports' or leave it out",
    ),
    "unknown-tag": Row(
        "Worker {script} bears the migration tag {tag}, this session {reason}: something else changed its classes.",
        "look at what is live (%durable show namespaces), then take it over with adopt=True (--adopt)",
        "deploy it with the tool that set the tag",
        left="left {left}",
        unrecorded="knows none",
    ),
    "split-deployment": Row(  # 100405: the versions of one deployment need the same `exports`
        "Worker {script} runs two versions at once (a gradual deployment), and classes cannot change meanwhile.",
        "bring one version to 100 % first (npx wrangler versions deploy), then plan again",
        "deploy without the change of classes first: that ends it at 100 % of the declared code",
    ),
    "alias-impossible": Row(
        "Worker {script} must export a class under a second name for a moment, which can be generated for JavaScript "
        "modules only.",
        "change the class names one at a time, over a name that is in no use, each in a plan of its own",
    ),
    "secret-missing": Row(
        "secret {secret} of Worker {script} was never set, and there is no value for it: {problem}",
        "give it a value where it says, and plan again",
        "leave the secret out of the declaration",
    ),
    **INSPECT_REFUSALS,
    # --- triggers
    "trigger-taken": Row(
        "{trigger.label} belongs to Worker {live.script}, and this session never takes one away from another.",
        "remove it from {live.script} with the tool that set it, then plan again",
        "take {trigger.key} out of the declaration of {subject}",
    ),
    "trigger-twice": Row(
        "{trigger.label} is declared by {first} and by {subject}; one Worker has it.",
        "take it out of {first} or out of {subject}",
    ),
    "zone-missing": Row(
        "{trigger.label}: no zone of this account holds that host name (or the token may not read zones).",
        "add the zone to the account, and give the token Zone: Read and Workers Routes: Edit",
        "take {trigger.key} out of the declaration of {subject}",
    ),
    # --- what `exports` has besides the declared classes
    "entry-conflict": Row(
        "namespace {subject} would be class {class_name} of {script}, whose `exports` has an entry of that name and of "
        "type {type}, which another tool made.",
        "declare another class name",
        "remove that entry with the tool that made it, then plan again",
    ),
    "entry-lost": Row(
        "the `exports` entry of class {class_name} of {script} has {rest}, which is not known here and cannot be taken "
        "along to {goal}.",
        "keep class {class_name} on {script}",
        "move the class with the tool that made that entry",
    ),
    "class-name-bound": (
        Row(
            _BOUND,
            "deploy {binders} with the present class name, deploy {script} once more, then plan again",
            "choose a class name for {subject} that was not in use on {script}",
            one="binds",
            several="bind",
        ),
        Row(
            _BOUND,
            "plan again: who binds the classes of {script} could not be read",
            "choose a class name for {subject} that was not in use on {script}",
            unread="may still bind",
        ),
    ),
    # --- which live namespace a stable ID is, and what was declared before
    "identity-unknown": Row(
        "namespace {subject} is known as class {slot.class_name} of Worker {slot.script} only, and by no id that "
        "tells; classes can change their names, so which of the live namespaces it is cannot be told.",
        Each(
            "class {it.class_name} ({it.storage}): declare namespace_id={it.namespace_id!r} "
            "(--namespace-id {it.namespace_id})",
            of="candidates",
        ),
    ),
    "namespace-id-conflict": Row(
        "namespace {subject} is recorded as {record.namespace_id} and declared as {desired.namespace_id}.",
        "leave namespace_id out to keep the recorded one",
        "declare the other namespace under a stable ID of its own",
    ),
    "namespace-unknown": Row(
        "namespace {subject}: no namespace {namespace_id} is in the account.",
        "correct namespace_id, or leave it out to begin an empty namespace",
    ),
    "namespace-gone": (
        Row(
            "namespace {subject} ({record.namespace_id}, class {record.class_name} of {record.script_name}) is no "
            "longer in the account. It is not created again by itself: that would hide the loss.",
            "forget it: destroy {record.stable_id}, then plan again to begin an empty one",
            "it lives on as another one: declare namespace_id= (--namespace-id ID) on {subject}; see %durable show "
            "namespaces",
            "restore it outside, then plan again",
            recorded="",
        ),
        Row(
            "Worker {slot.script} is marked to host namespace {subject} as class {slot.class_name}, and that namespace "
            "is not in the account now; the state file does not know it either.",
            "name the live namespace: namespace_id= (--namespace-id ID); see %durable show namespaces",
            "begin an empty one under another stable ID",
            marked="",
        ),
    ),
    "namespace-claimed": (
        Row(
            "namespace {live.namespace_id} already belongs to the stable ID {other}, so {subject} cannot be it too.",
            "rename the stable ID: declare renamed_from={other!r} on {subject}",
            "keep the stable ID {other}",
            known="",
        ),
        Row(
            "class {live.class_name} of Worker {live.script_name} is namespace {live.namespace_id}, which belongs to "
            "the stable ID {others}; by its class name alone it does not become {subject}.",
            "take it over under its stable ID: declare {others} instead of {subject}",
            "take it over as {subject}: declare namespace_id={live.namespace_id!r} (--namespace-id "
            "{live.namespace_id})",
            adopted="",
        ),
    ),
    "renamed-from-taken": Row(
        "namespace {subject} has objects of its own ({record.namespace_id}), so it cannot become what "
        "{former.stable_id} is ({former.namespace_id}).",
        "leave renamed_from out and declare {former.stable_id} again",
        "destroy {subject}, then plan again",
    ),
    "missing-declaration": Row(
        "Worker {script} hosts {left.name}, which is not declared in this session. It is kept, so the Worker cannot be "
        "uploaded without it.",
        "run its cell: {left.cell}",
        "{reason}",
        recorded="destroy it: %durable destroy {left.stable_id}",
        unrecorded="declare it first to destroy it",
    ),
    "stable-id-changed": Row(
        _RENAMED, *_THE_SAME, Each("no, keep {it.stable_id}: declare it, and not {subject}", of="known"), *_LOSE_OR_MEND
    ),
    "ambiguous-rename": Row(
        _RENAMED,
        *_THE_SAME,
        Each("keep both: run the cell of {it.stable_id} too", of="known"),
        Each("keep both: run its cell too: {it.cell}", of="strange"),
        *_LOSE_OR_MEND,
    ),
    # --- storage, and moves between Workers
    "storage-flip": Row(
        "namespace {subject} ({live.namespace_id}) is stored as {live.storage}, and Cloudflare cannot convert it to "
        "{desired.storage}.",
        "leave sqlite= out to keep it as it is",
        "declare a new namespace under a new stable ID and copy the objects through a Worker that binds both",
    ),
    "kv-not-creatable": Row(
        "namespace {subject} asks for key-value storage on Worker {script}, which uses `exports`; there a new "
        "namespace can only be SQLite.",
        "leave sqlite=False (--kv) out",
    ),
    "host-changed": Row(  # the silent loss of github.com/alchemy-run/alchemy/issues/800
        "namespace {subject} ({live.namespace_id}) lives on Worker {live.script_name} and is declared on "
        "{desired.script_name}{reason}. Without a transfer it would begin empty there.",
        "move it with its objects: declare transferred_from={live.script_name!r} "
        "(--transferred-from {live.script_name})",
        "keep it where it is: declare script_name={live.script_name!r} (--script {live.script_name})",
        undeclared="",
        another=", and transferred_from names {desired.transferred_from}",
    ),
    "host-missing": Row(
        "namespace {subject} is declared on Worker {desired.script_name}, which is not declared here and has no class "
        "{desired.class_name} of that identity{reason} in the account; its classes: {classes}.",
        "run the cell of that Worker",
        "correct script_name (--script) or the class name, or name the one that is meant: namespace_id= "
        "(--namespace-id ID)",
        known=" ({wanted}...)",
        unknown="",
    ),
    "transfer-source-missing": Row(
        "namespace {subject} would move from {live.script_name}, whose upload hands it over in the `exports` form, and "
        "that Worker is not declared here.",
        "run the cell of Worker {live.script_name}, without class {live.class_name}",
    ),
    "mixed-lifecycle-transfer": (
        Row(_TWO_FORMS, "declare lifecycle='exports' on the one that uses `migrations` and deploy that first", live=""),
        Row(_TWO_FORMS, "declare lifecycle='exports' on Worker {desired.host}", from_exports=""),
        Row(
            _TWO_FORMS,
            "declare lifecycle='migrations' on Worker {desired.host}",
            "where others move to it from Workers that use `exports`: declare lifecycle='exports' on Worker "
            "{live.script_name} and deploy that first",
            from_migrations="",
        ),
    ),
    "convert-first": Row(
        "namespace {subject} would move from {live.script_name}, while one of the two Workers is switched to `exports` "
        "in this plan.",
        "deploy the switch (lifecycle='exports') first, then declare transferred_from",
    ),
    "crossed-transfer": Row(
        "the Workers {scripts} hand namespaces to each other, and each upload needs the other one first.",
        "move the namespaces of one direction in one plan, and of the other direction in the next",
    ),
    "transfer-and-rename": Row(
        "namespace {subject} arrives on {goal.script} as class {at.class_name}, a name that is in use there; it cannot "
        "move and take another name in one plan.",
        "rename it to {goal.class_name} first, on {at.script}, and move it in the next plan",
    ),
    **SOURCE_REFUSALS,
    # --- what is to be destroyed
    "unknown-destroy": Row(
        "destroy {subject}: nothing of that name was deployed by this session; deployed are {known}."
    ),
    "ambiguous-destroy": Row(
        "{subject} is both a namespace and a Worker.", "destroy namespace:{subject}", "destroy worker:{subject}"
    ),
    "protected": Row(
        "namespace {subject} is protected against destroy.",
        "allow it, then destroy again: `{line}`",
    ),
    "destroy-conflict": Row(
        "namespace {live.namespace_id} is declared as {subject} and to be destroyed as {destroyed}.",
        "keep it: do not destroy {destroyed}",
        "lose it: `%durable rm namespace {subject}`, then destroy {destroyed}",
    ),
    "destroy-first": Row(
        "namespace {subject} would take class {goal.class_name} of {goal.script}, which {destroyed} still has until it "
        "is destroyed.",
        "deploy a plan that only destroys {destroyed}, then plan again",
    ),
    "host-destroyed": Row(
        "namespace {subject} is declared on Worker {desired.script_name}, which is to be deleted, and lives on "
        "{live.script_name} as class {live.class_name}.",
        "keep it where it is: declare script_name={live.script_name!r} (--script {live.script_name})",
        "lose it too: destroy {subject}",
    ),
    "host-not-declared": Row(
        "namespace {subject} is deleted by an upload of Worker {at.script}, which is not declared.",
        "run the cell of Worker {at.script}, without class {at.class_name}",
        "destroy the Worker with everything in it",
    ),
    "unmanaged-namespace": Row(
        "Worker {live.script_name} hosts class {live.class_name} ({live.namespace_id}), which has no stable ID; its "
        "objects would be lost with the Worker.",
        "declare it: %durable namespace ID --class {live.class_name} --script {live.script_name} --namespace-id "
        "{live.namespace_id} --unprotect",
    ),
    "transfer-first": Row(
        "namespace {subject} is still on Worker {script}, which is to be deleted, and declared on "
        "{desired.script_name}.",
        "deploy its move first (transferred_from={script!r}), then destroy {worker}",
    ),
    "still-bound": Row(  # never forced: `force=true` deletes what other Workers bind, with its objects
        "{subject} is still bound by {binders}.",
        "take the binding out of that Worker's cell and deploy, then destroy again",
        "destroy that Worker too",
    ),
    "forget-first": Row(
        "{gone} is gone from the account already, and is forgotten by a plan of its own.",
        "destroy {gone} alone and deploy that, then destroy the others",
    ),
}


def rows_of(code: str) -> tuple[Row, ...]:
    """Return the rows of a code."""
    rows = REFUSALS[code]
    return (rows,) if isinstance(rows, Row) else rows
