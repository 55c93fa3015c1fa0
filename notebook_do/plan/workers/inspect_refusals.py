"""What a plan is refused for that is about inspectors: rows of the table of refusals."""

from __future__ import annotations

from notebook_do.plan.sentences import Again, Row

_LEAVE_OUT = Again("leave inspect out", of="namespace", inspect=False)
_CALLS = Again("have its methods called, and nothing more", of="namespace", inspect="calls")
_INSPECTOR = "namespace {subject}: its inspector would be Worker {name}, {reason}."

INSPECT_REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    "inspector-name": (
        Row(
            _INSPECTOR,
            "give Worker {script} a shorter name, with --name",
            _LEAVE_OUT,
            long="which is more than the 63 characters that a name can have",
        ),
        Row(
            _INSPECTOR,
            "give the Worker that is called {name} another id and name",
            _LEAVE_OUT,
            taken="and a Worker of that name is declared",
        ),
    ),
    "inspect-not-hosted": Row(
        "namespace {subject} is hosted by Worker {script}, which is not declared here: only its methods can be called, "
        "since looking into its objects needs an upload of that Worker.",
        _CALLS,
        "declare Worker {script} here as well",
    ),
    "inspect-not-generated": Row(
        "namespace {subject}: the main module of Worker {script} is no ES module, and only before one can ours be put.",
        _CALLS,
        "write the source of Worker {script} as an ES module (`export class ... extends DurableObject`)",
    ),
    "inspector-exists": Row(
        "a Worker called {live.name} already exists in the account and was not made by this session; that is the name "
        "of the inspector which is declared with inspect.",
        "delete Worker {live.name}, where nobody needs it, with the tool that made it",
        "leave inspect out of the declarations, or give the host another name",
    ),
}
