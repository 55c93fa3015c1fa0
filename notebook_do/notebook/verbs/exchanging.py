"""The verbs that write cells of what is there, and projects of what is declared."""

from __future__ import annotations

from notebook_do.declare.line import Option
from notebook_do.notebook.verbs.verb import Verb

VERBS = (
    Verb(
        name="import",
        summary="write the cells that declare live Workers or a wrangler project as they are; sends nothing",
        brief="cells of what is there already",
        own=(
            Option(name="workers", value="WORKER", many=True, knows="live", help="script names of live Workers"),
            Option(name="--from-account", help="all Workers of the account"),
            Option(name="--source", value="FILE", knows="path", help="the file that the live Worker is made of"),
            Option(name="--wrangler", value="PATH", alone=".", knows="path", help="the project of a file or folder"),
            Option(name="--env", value="NAME", help="with --wrangler: this environment, not the top level"),
            Option(name="--build", help="with --wrangler: run the build commands first, and show what they say"),
        ),
        example="%durable import --wrangler . --env staging",
    ),
    Verb(
        name="export",
        summary="write a wrangler project for each declared Worker, or the TypeScript types of its env",
        brief="a wrangler project, or types",
        own=(
            Option(name="format", value="FORMAT", choices=("wrangler", "types"), required=True, help="what to write"),
            Option(name="directory", value="DIR", knows="path", help="where to; default wrangler, or types"),
            Option(
                name="--assets",
                value="[WORKER=]DIR[=JSON]",
                many=True,
                knows="path",
                help="for wrangler: static assets that are live and not declared, and how they are served",
            ),
        ),
        example="%durable export wrangler out --assets site=public",
        about="A project has all that is live: deployed by wrangler it changes nothing. Secrets stay where they are.",
    ),
)
