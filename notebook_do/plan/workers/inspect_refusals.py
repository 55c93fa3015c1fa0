"""What a plan is refused for that is about inspectors: rows of the table of refusals."""

from __future__ import annotations

from notebook_do.plan.sentences import Row

INSPECT_REFUSALS: dict[str, Row] = {
    "inspector-name": Row(
        "namespace {subject}: its inspector would be Worker {name}, {reason}.",
        "give the host a shorter name (--name), or rename the Worker that is called {name}",
        "leave inspect out of the declaration of {subject}",
        long="which is more than the 63 characters that a name can have",
        taken="and a Worker of that name is declared",
    ),
    "inspect-not-hosted": Row(
        "namespace {subject} is hosted by Worker {script}, which is not declared here: only its methods can be called, "
        "since looking into its objects needs an upload of that Worker.",
        'declare inspect="calls" (--inspect calls) on {subject}',
        "declare Worker {script} here as well, or run its cell",
    ),
    "inspect-not-generated": Row(
        "namespace {subject}: the main module of Worker {script} is no ES module, and only before one can ours be put.",
        'declare inspect="calls" (--inspect calls) on {subject}',
        "write the source of {script} as an ES module (export class ... extends DurableObject)",
    ),
    "inspector-exists": Row(
        "a Worker called {live.name} already exists in the account and was not made by this session; that is the name "
        "of the inspector which is declared with inspect.",
        "delete that Worker, where nobody needs it, with the tool that made it",
        "leave inspect out of the declarations, or give the host another name",
    ),
}
