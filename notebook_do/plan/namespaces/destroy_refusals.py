"""What a plan is refused for that is about what is to be destroyed."""

from __future__ import annotations

from notebook_do.plan.sentences import Again, Each, Row

DESTROY_REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    "unknown-destroy": Row(
        "nothing called {subject} was deployed by this session, which deployed {known}.",
        Each("did you mean {it}? `%durable destroy {it}`", of="near"),
    ),
    "ambiguous-destroy": Row(
        "{subject} is both a namespace and a Worker.",
        "destroy the namespace: `%durable destroy namespace:{subject}`",
        "destroy the Worker: `%durable destroy worker:{subject}`",
    ),
    "protected": Row(
        "namespace {subject} is protected against destroy.",
        "allow it, then destroy again: `{line}`",
    ),
    "destroy-conflict": Row(
        "namespace {live.namespace_id:short} is declared as {subject} and to be destroyed as {destroyed}.",
        "keep it, and do not destroy {destroyed}: `%durable plan`",
        "lose it: `%durable rm namespace {subject}`, then `%durable destroy {destroyed}`",
    ),
    "destroy-first": Row(
        "namespace {subject} would take class {goal.class_name} of Worker {goal.script}, which {destroyed} still has "
        "until it is destroyed.",
        "destroy it first: `%durable rm namespace {subject}`, then `%durable destroy {destroyed}`; declare {subject} "
        "after that",
    ),
    "host-destroyed": Row(
        "namespace {subject} is declared on Worker {desired.script_name}, which is to be deleted, and lives on "
        "{live.script_name} as class {live.class_name}.",
        Again("keep it where it is", of="desired", script_name="{live.script_name}"),
        "lose it too: `%durable destroy {subject} {desired.host}`",
    ),
    "host-not-declared": Row(
        "namespace {subject} is deleted by an upload of Worker {at.script}, which is not declared.",
        "run the cell of Worker {at.script}, without class {at.class_name}",
        "destroy the Worker with everything in it: `%durable destroy {worker}`",
    ),
    "unmanaged-namespace": Row(
        "Worker {live.script_name} hosts class {live.class_name} ({live.namespace_id:short}), which has no stable ID; "
        "its objects would be lost with the Worker.",
        "declare it, then destroy again: `%durable namespace {suggested} --class {live.class_name} --script "
        "{live.script_name} --namespace-id {live.namespace_id} --unprotect`",
    ),
    "transfer-first": Row(
        "namespace {subject} is still on Worker {script}, which is to be deleted, and declared on "
        "{desired.script_name}.",
        Again("deploy its move first, then destroy {worker}", of="desired", transferred_from="{script}"),
    ),
    "still-bound": Row(  # never forced: `force=true` deletes what other Workers bind, with its objects
        "{what} is still bound by {binders}.",
        Each(
            "take {it.bound} out of the declaration of Worker {it.worker}{it.place}, deploy that, then destroy again",
            of="declared",
        ),
        Each("deploy Worker {it} without that binding, then destroy again", of="outside"),
        Each("destroy Worker {it} too: `%durable destroy {asked} {it}`", of="ours"),
    ),
    "forget-first": Row(
        "{gone} is gone from the account already, and is forgotten by a plan of its own.",
        "forget it first: `%durable destroy {words}`, deploy that, then destroy the others",
    ),
}
