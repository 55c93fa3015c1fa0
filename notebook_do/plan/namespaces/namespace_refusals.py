"""What a plan is refused for that is about namespaces: which live one a stable ID is, its storage, and its moves."""

from __future__ import annotations

from typing import Any

from notebook_do.plan.sentences import Again, Each, Row

_RENAMED = (
    "namespace {subject} (class {desired.class_name}) is new on Worker {desired.script_name}, and {likely} is live "
    "there and not declared any more. Is it the same one under a new stable ID?"
)
_THE_SAME = (
    Again("yes, keep the objects", of="desired", each="known", renamed_from="{it.stable_id}"),
    Again(
        "it is the live one of class {it.namespace.class_name}, not known here yet",
        of="desired",
        each="strange",
        namespace_id="{it.namespace.namespace_id}",
    ),
)
_NO = (
    Each("no, and {it.stable_id} can go, with its objects: `%durable destroy {it.stable_id}`", of="known"),
    Each("correct the cell of {it.stable_id}, which names it", of="named_in_cells"),
)
_TWO_FORMS = (
    "namespace {subject} would move from Worker {live.script_name}, which uses `{source_form}`, to "
    "{desired.script_name}, which uses `{form}`; a move needs the same form on both."
)
_WHERE_IT_IS: dict[str, Any] = {"script_name": "{live.script_name}", "transferred_from": None}

NAMESPACE_REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    # --- which live namespace a stable ID is, and what was declared before
    "identity-unknown": Row(
        "namespace {subject} is known as class {slot.class_name} of Worker {slot.script} only, and by no id that "
        "tells; classes can change their names, so which of the live namespaces it is cannot be told.",
        Again(
            "it is the one of class {it.class_name} ({it.storage:storage})",
            of="desired",
            each="candidates",
            otherwise="`%durable namespace {subject} --class {it.class_name} --script {it.script_name} --namespace-id "
            "{it.namespace_id}`",
            namespace_id="{it.namespace_id}",
        ),
    ),
    "namespace-id-conflict": Row(
        "namespace {subject} is recorded as {record.namespace_id:short} and declared as {desired.namespace_id:short}.",
        Again("keep the recorded one", of="desired", namespace_id=None),
        "declare the other namespace under a stable ID of its own: `%durable namespace {subject}-2 --class "
        "{desired.class_name} --script {desired.script_name} --namespace-id {desired.namespace_id}`",
    ),
    "namespace-unknown": Row(
        "namespace {subject}: no namespace {namespace_id:short} is in the account.",
        "correct its namespace id: `%durable show namespaces` lists those that are live",
        Again("begin an empty namespace", of="desired", namespace_id=None),
    ),
    "namespace-gone": (
        Row(
            "namespace {subject} ({record.namespace_id:short}, class {record.class_name} of Worker "
            "{record.script_name}) is no longer in the account. It is not created again by itself: that would hide "
            "the loss.",
            "forget it, and begin an empty one with the next plan: `%durable destroy {record.stable_id}`",
            "it lives on under another id: give it that namespace id; `%durable show namespaces` lists those that are "
            "live",
            "restore it outside",
            recorded="",
        ),
        Row(
            "Worker {slot.script} is marked to host namespace {subject} as class {slot.class_name}, and that namespace "
            "is not in the account now; the state file does not know it either.",
            "it lives on under another id: give it that namespace id; `%durable show namespaces` lists those that are "
            "live",
            "begin an empty one under another stable ID: `%durable namespace {subject}-2 --class {slot.class_name}`",
            marked="",
        ),
    ),
    "namespace-claimed": (
        Row(
            "namespace {live.namespace_id:short} already belongs to the stable ID {other}, so {subject} cannot be it "
            "too.",
            Again("{subject} is its new stable ID", of="desired", renamed_from="{other}", namespace_id=None),
            "keep the stable ID {other}: `%durable rm namespace {subject}`",
            known="",
        ),
        Row(
            "class {live.class_name} of Worker {live.script_name} is namespace {live.namespace_id:short}, which "
            "belongs to the stable ID {others}; by its class name alone it does not become {subject}.",
            "take it over under its stable ID: declare {others}, and forget this one: `%durable rm namespace "
            "{subject}`",
            Again("take it over as {subject}", of="desired", namespace_id="{live.namespace_id}"),
            adopted="",
        ),
    ),
    "renamed-from-taken": Row(
        "namespace {subject} has objects of its own ({record.namespace_id:short}), so it cannot become what "
        "{former.stable_id} is ({former.namespace_id:short}).",
        Again("keep both, with the cell of {former.stable_id} as it was", of="desired", renamed_from=None),
        "lose the objects of {subject}, then plan again: `%durable destroy {subject}`",
    ),
    "missing-declaration": Row(
        "Worker {script} hosts {left.name}, which is not declared in this session. It is kept, so the Worker cannot be "
        "uploaded without it.",
        "declare it: `{left.cell}`",
        "{reason}",
        recorded="destroy it: `%durable destroy {left.stable_id}`",
        unrecorded="to destroy it, declare it first",
    ),
    "stable-id-changed": Row(
        _RENAMED,
        *_THE_SAME,
        # Never both: of one host a class is one namespace.
        Each("no, keep {it.stable_id} alone: `%durable rm namespace {subject}`, then `{it.cell}`", of="known"),
        *_NO,
    ),
    "ambiguous-rename": Row(
        _RENAMED,
        *_THE_SAME,
        Each("no, start this one empty and keep {it.stable_id} too: `{it.cell}`", of="known"),
        Each("no, declare that one too: `{it.cell}`", of="strange"),
        *_NO,
    ),
    # --- storage, and moves between Workers
    "storage-flip": Row(
        "namespace {subject} ({live.namespace_id:short}) has {live.storage:storage} storage, and Cloudflare cannot "
        "convert it to {desired.storage:storage}.",
        Again("keep it as it is", of="desired", sqlite=None),
        "declare a new namespace under a new stable ID, and copy the objects through a Worker that binds both",
    ),
    "kv-not-creatable": Row(
        "namespace {subject} asks for key-value storage on Worker {script}, which uses `exports`; there a new "
        "namespace can only be SQLite.",
        Again("begin it as SQLite", of="desired", sqlite=None),
    ),
    "host-changed": Row(  # the silent loss of github.com/alchemy-run/alchemy/issues/800
        "namespace {subject} ({live.namespace_id:short}) lives on Worker {live.script_name} and is declared on "
        "{desired.script_name}{reason}. Without a transfer it would begin empty there.",
        Again("move it with its objects", of="desired", transferred_from="{live.script_name}"),
        Again("keep it where it is", of="desired", **_WHERE_IT_IS),
        undeclared="",
        another=", and transferred_from names {desired.transferred_from}",
    ),
    "host-missing": Row(
        "namespace {subject} is declared on Worker {desired.script_name}, which is not declared here and has no class "
        "{desired.class_name} of that identity{reason} in the account; its classes: {classes}.",
        "run the cell of Worker {desired.script_name}",
        Again(
            "it is the live one of class {it.class_name}",
            of="desired",
            each="hosted",
            namespace_id="{it.namespace_id}",
        ),
        "correct the name of its Worker, or of its class; `%durable show namespaces` lists those that are live",
        known=" ({wanted})",
        unknown="",
    ),
    "transfer-source-missing": Row(
        "namespace {subject} would move from Worker {live.script_name}, whose upload hands it over in the `exports` "
        "form, and that Worker is not declared here.",
        "run the cell of Worker {live.script_name}, without class {live.class_name}",
    ),
    "mixed-lifecycle-transfer": (
        Row(
            _TWO_FORMS,
            Again(
                "deploy a switch of the one that uses `migrations` first",
                of="older",
                otherwise="declare lifecycle='exports' on Worker {live.script_name}",
                lifecycle="exports",
            ),
            live="",
        ),
        Row(_TWO_FORMS, Again("create the new one in that form", of="there", lifecycle="exports"), from_exports=""),
        Row(
            _TWO_FORMS,
            Again("create the new one in that form", of="there", lifecycle="migrations"),
            "where others move to it from Workers that use `exports`: declare lifecycle='exports' on Worker "
            "{live.script_name} and deploy that first",
            from_migrations="",
        ),
    ),
    "convert-first": Row(
        "namespace {subject} would move from Worker {live.script_name}, while one of the two Workers is switched to "
        "`exports` in this plan.",
        Again("deploy the switch first, and move it with the next plan", of="desired", **_WHERE_IT_IS),
    ),
    "crossed-transfer": Row(
        "the Workers {scripts} hand namespaces to each other, and each upload needs the other one first.",
        "move the namespaces of one direction in one plan, and of the other direction in the next",
    ),
    "transfer-and-rename": Row(
        "namespace {subject} arrives on Worker {goal.script} as class {at.class_name}, a name that is in use there; it "
        "cannot move and take another name in one plan.",
        Again(
            "rename it to {goal.class_name} on Worker {at.script} first, and move it with the next plan",
            of="desired",
            script_name="{at.script}",
            transferred_from=None,
        ),
    ),
}
