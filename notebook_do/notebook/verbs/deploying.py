"""The verbs that plan and deploy."""

from __future__ import annotations

from notebook_do.declare.line import Option
from notebook_do.notebook.verbs.verb import SURE, Verb

APPROVE = (
    Option(
        name="--approve",
        value="DIGEST",
        help="send the plan with this digest, and no other, without a button",
        meant=SURE,
    ),
    Option(
        name="--confirm",
        value="PHRASE",
        many=True,
        knows="phrase",
        help="with --approve: a phrase that the plan asks for because something would be lost",
    ),
)

_REFRESH = Option(name="--refresh", help="read all that is live, and not only what may have changed since it was read")

_BUILD = Option(name="--build", help="run the build commands of the Workers first, and show what they say")

VERBS = (
    Verb(
        name="plan",
        summary="compare declared, recorded and live, and show what a deploy would do; sends nothing",
        brief="what a deploy would do",
        own=(_REFRESH, _BUILD),
        example="plan = %durable plan",
    ),
    Verb(
        name="deploy",
        summary="show the plan with its Deploy button; nothing is sent until you press it",
        brief="the plan and its button",
        own=(*APPROVE, _REFRESH),
        example="%durable deploy",
        about="Where no button can be pressed, read the plan and approve its digest.",
    ),
    Verb(
        name="destroy",
        summary="show a plan that deletes Workers or namespaces, with its typed confirmation",
        brief="delete Workers or namespaces",
        own=(
            Option(name="ids", value="WORKER|ID", many=True, required=True, knows="declared", help="what to delete"),
            *APPROVE,
            _REFRESH,
        ),
        example="%durable destroy my-worker",
    ),
)
