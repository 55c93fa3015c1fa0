"""The verbs of the session itself: opening it, its state file, its secrets and token."""

from __future__ import annotations

from notebook_do.declare.line import Option
from notebook_do.notebook.verbs.verb import Verb
from notebook_do.settings import SETTINGS

_ONE_OF = {setting.name: setting.choices for setting in SETTINGS}
VERBS = (
    Verb(
        name="session",
        summary="open or create a session: its declarations, target and state file",
        brief="open or create a session",
        own=(
            Option(name="name", value="NAME", required=True, help="letters, digits, - and _"),
            Option(name="--stage", value="S", help="dev (default), production, or a name of yours"),
            Option(name="--target", value="T", choices=_ONE_OF["target"], help="local (default) needs no account"),
            Option(name="--account", value="ID", help="Cloudflare account id, when the token reaches several"),
            Option(
                name="--state",
                value="PATH",
                knows="path",
                help="state file; default .notebook_do/NAME/STAGE/state.json",
            ),
            Option(
                name="--lock",
                value="L",
                choices=_ONE_OF["lock"],
                help="exclusive (default), or cas-only: deploy even where file locks exclude nobody",
            ),
            Option(name="--crons", help="local: run the cron triggers of its Workers by the clock, in UTC"),
        ),
        example="%durable session chat --stage dev --target local",
    ),
    Verb(
        name="status",
        summary="say where this session is, what is declared and deployed, and what comes next",
        brief="where am I, and what next",
        example="%durable status",
        about="The same as %durable alone.",
    ),
    Verb(
        name="show",
        summary="show a table of what is declared, recorded and live",
        brief="tables of all that is there",
        own=(
            Option(
                name="what",
                choices=("namespaces", "workers", "bindings", "migrations", "state"),
                help="which table; default namespaces",
            ),
        ),
        example="%durable show namespaces",
    ),
    Verb(
        name="state",
        summary="look after the state file: what it holds, its backups, its lock",
        brief="the state file: backups, lock",
        own=(
            Option(
                name="action",
                value="ACTION",
                choices=("list", "backups", "restore", "unlock"),
                help="list (default), backups, restore SERIAL, unlock LOCKID",
            ),
            Option(name="value", value="VALUE", help="the serial to restore, or the id of the lock to release"),
        ),
        example="%durable state backups",
    ),
    Verb(
        name="require",
        summary="stop a runbook early when the environment lacks what it needs; shows no value",
        brief="stop if a variable is missing",
        own=(
            Option(name="kind", value="env", choices=("env",), required=True, help="what to look at: env"),
            Option(
                name="names",
                value="NAME",
                many=True,
                required=True,
                knows="environment",
                help="environment variables; CLOUDFLARE_API_TOKEN may also be in keyring or Colab's secrets",
            ),
        ),
        example="%durable require env CLOUDFLARE_API_TOKEN",
    ),
    Verb(
        name="secret",
        summary="ask anew for the value of a secret that is declared with a prompt; the next plan tells if it changed",
        brief="ask anew for a secret's value",
        own=(Option(name="key", value="KEY", required=True, help="KEY of NAME=prompt:KEY, else NAME"),),
        example="%durable secret API_KEY",
    ),
    Verb(
        name="whoami",
        summary="say which token is used: where it was found, its account, the last four characters of its id",
        brief="which token is used",
        example="%durable whoami",
    ),
    Verb(
        name="help",
        summary="show the help of a verb or a topic; without one, all of them",
        brief="the help of a verb or topic",
        own=(Option(name="topic", value="TOPIC", knows="topic", help="a topic (%durable help lists them) or a verb"),),
        example="%durable help bindings",
    ),
)
