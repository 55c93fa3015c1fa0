"""The verbs that declare, and that take a declaration back."""

from __future__ import annotations

from notebook_do.declare.line import Option
from notebook_do.notebook.verbs.verb import Verb

VERBS = (
    Verb(
        name="namespace",
        summary="declare a Durable Object namespace by its stable ID",
        brief="a Durable Object namespace",
        form="both",
        declares="namespace",
        own=(Option(name="id", value="ID", required=True, knows="namespace", help="stable ID: the permanent name"),),
        example="%durable namespace counter --class Counter",
    ),
    Verb(
        name="worker",
        summary="declare a Worker; the cell's body is the source of its main module",
        brief="a Worker; the cell is its code",
        form="both",
        declares="worker",
        own=(Option(name="id", value="ID", required=True, knows="worker", help="the Worker's id in this session"),),
        example="%%durable worker my-worker --bind COUNTER=counter",
    ),
    Verb(
        name="rm",
        summary="forget a declaration; what is live stays",
        brief="forget a declaration",
        own=(
            Option(name="kind", choices=("namespace", "worker"), required=True, help="what it declares"),
            Option(name="id", value="ID", required=True, knows="declared", help="its id"),
        ),
        example="%durable rm worker my-worker",
    ),
    Verb(
        name="inspect",
        summary="declare that the objects of a namespace can be asked on Cloudflare; local ones always can be",
        brief="let objects be asked remotely",
        own=(
            Option(name="namespace", value="NAMESPACE", required=True, knows="namespace", help="its stable ID"),
            Option(
                name="--calls", help="only their methods, by an inspector Worker beside the host, which stays as it is"
            ),
            Option(name="--off", help="take it back: the plan removes what was deployed for it"),
            Option(name="--new-key", help="give every inspector of this session another key"),
        ),
        example="%durable inspect rooms --calls",
        about="It changes the declaration and sends nothing; the next plan shows what would be sent.",
    ),
    Verb(
        name="form",
        summary="declare or deploy with widgets",
        brief="declare with widgets",
        own=(
            Option(name="what", choices=("namespace", "worker", "deploy"), required=True, help="which form"),
            Option(name="id", value="ID", knows="declared", help="declaration to begin with"),
        ),
        example="%durable form worker my-worker",
    ),
)
