"""The one table of verbs: the parser, `-h`, `%durable?`, the command line and completion are all made of it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from notebook_do.declare.line import Option
from notebook_do.errors import CommandError
from notebook_do.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb. `form` is which of line and cell it takes; one that `declares` has the options of a declaration too."""

    name: str
    summary: str
    own: tuple[Option, ...] = ()
    form: Literal["line", "cell", "both"] = "line"
    declares: Literal["", "namespace", "worker"] = ""
    example: str = ""
    about: str = ""

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options and arguments, in the order of the help."""
        if not self.declares:
            return self.own
        from notebook_do.declare.options import options  # brings the model, which loading does not need

        return (*self.own, *options(self.declares))


COMMON = (
    Option(
        name="--as", value="VAR", help="keep the result in the variable VAR instead of showing it", knows="variable"
    ),
    Option(name="--json", help="give the result as JSON"),
    Option(name="--quiet", help="show nothing but what waits for your approval"),
    Option(name="-h", help="show this help"),
)

_APPROVE = (
    Option(name="--approve", value="DIGEST", help="send the plan with this digest, and no other, without a button"),
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

_ONE_OF = {setting.name: setting.choices for setting in SETTINGS}
_NAMESPACE = Option(name="namespace", value="NAMESPACE", required=True, knows="namespace", help="its stable ID")
_OBJECT = Option(name="--object", value="O", help="one object, by its name or id; default all")

VERBS = (
    Verb(
        name="session",
        summary="open or create a session: its declarations, target and state file",
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
        name="namespace",
        summary="declare a Durable Object namespace by its stable ID",
        form="both",
        declares="namespace",
        own=(Option(name="id", value="ID", required=True, knows="namespace", help="stable ID: the permanent name"),),
        example="%durable namespace counter --class Counter",
    ),
    Verb(
        name="worker",
        summary="declare a Worker; the cell's body is the source of its main module",
        form="both",
        declares="worker",
        own=(Option(name="id", value="ID", required=True, knows="worker", help="the Worker's id in this session"),),
        example="%%durable worker my-worker --bind COUNTER=counter",
    ),
    Verb(
        name="show",
        summary="show a table of what is declared, recorded and live",
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
        name="plan",
        summary="compare declared, recorded and live, and show what a deploy would do; sends nothing",
        own=(_REFRESH, _BUILD),
        example="plan = %durable plan",
    ),
    Verb(
        name="deploy",
        summary="show the plan with its Deploy button; nothing is sent until you press it",
        own=(*_APPROVE, _REFRESH),
        example="%durable deploy",
        about="Where no button can be pressed, read the plan and approve its digest.",
    ),
    Verb(
        name="destroy",
        summary="show a plan that deletes Workers or namespaces, with its typed confirmation",
        own=(
            Option(name="ids", value="WORKER|ID", many=True, required=True, knows="declared", help="what to delete"),
            *_APPROVE,
            _REFRESH,
        ),
        example="%durable destroy my-worker",
    ),
    Verb(
        name="rm",
        summary="forget a declaration; what is live stays",
        own=(
            Option(name="kind", choices=("namespace", "worker"), required=True, help="what it declares"),
            Option(name="id", value="ID", required=True, knows="declared", help="its id"),
        ),
        example="%durable rm worker my-worker",
    ),
    Verb(
        name="form",
        summary="declare or deploy with widgets",
        own=(
            Option(name="what", choices=("namespace", "worker", "deploy"), required=True, help="which form"),
            Option(name="id", value="ID", knows="declared", help="declaration to begin with"),
        ),
        example="%durable form worker my-worker",
    ),
    Verb(
        name="fetch",
        summary="call a deployed Worker and show its answer",
        own=(
            Option(name="worker", value="WORKER", required=True, knows="reachable", help="Worker id or script name"),
            Option(name="path", value="PATH", help="path and query; default /"),
            Option(name="--method", value="M", help="HTTP method; default GET, with --data POST"),
            Option(name="--data", value="D", help="request body"),
            Option(name="--header", value="K:V", many=True, help="request header"),
        ),
        example="%durable fetch my-worker /",
    ),
    Verb(
        name="objects",
        summary="list the stored objects of a namespace as a DataFrame",
        own=(
            _NAMESPACE,
            Option(name="--limit", value="N", help="the most to read; default 10,000"),
            Option(name="--after", value="ID", help="go on behind the object with this id"),
            Option(name="--all", help="read all, however many"),
        ),
        example="%durable objects counter",
        about="Where there are more, the last line says how to go on.",
    ),
    Verb(
        name="values",
        summary="read what objects stored by key (storage.put) as a DataFrame; on the local target",
        own=(_NAMESPACE, _OBJECT),
        example="%durable values counter --object visitors",
    ),
    Verb(
        name="query",
        summary="run a SELECT on the SQLite storage of objects, all or one, as a DataFrame; on the local target",
        form="both",
        own=(
            _NAMESPACE,
            Option(name="sql", value="SQL", help="the statement, in quotes; or the body of the cell"),
            _OBJECT,
            Option(name="--param", value="V", many=True, help="value for a ? of the statement; JSON, or else text"),
        ),
        example='%durable query rooms "SELECT * FROM messages"',
    ),
    Verb(
        name="import",
        summary="write the cells that declare live Workers or a wrangler project as they are; sends nothing",
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
    Verb(
        name="state",
        summary="look after the state file: what it holds, its backups, its lock",
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
        own=(Option(name="key", value="KEY", required=True, help="KEY of NAME=prompt:KEY, else NAME"),),
        example="%durable secret API_KEY",
    ),
    Verb(
        name="whoami",
        summary="say which token is used: where it was found, its account, the last four characters of its id",
        example="%durable whoami",
    ),
)

BY_NAME = {verb.name: verb for verb in VERBS}
OF_SESSION = tuple(option for option in BY_NAME["session"].own if option.name.startswith("--") and option.value)
"""The options that say which session is meant."""
ON_COMMAND_LINE = tuple(v for v in VERBS if v.name not in {"session", "namespace", "worker", "rm", "form", "require"})
"""The verbs that `notebook-do` has too: those that act on declarations or show something."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean "..."?`, or nothing when no word is near."""
    found = get_close_matches(word, list(known), n=1, cutoff=0.55)
    return f', did you mean "{found[0]}"?' if found else ""


def find(word: str) -> Verb:
    """Return the verb called `word`; raises CommandError with the nearest one."""
    if word in BY_NAME:
        return BY_NAME[word]
    hint = did_you_mean(word, BY_NAME) or f"; verbs: {', '.join(BY_NAME)}."
    raise CommandError(f'%durable: unknown verb "{word}"{hint}')


def usage(verb: Verb) -> str:
    """Write the help of one verb, as wide as a terminal."""
    prefix = "%%durable" if verb.form == "cell" else "%durable"
    # Five options still fit on the line; more would hide what must be given.
    flags = [option for option in verb.options if option.name.startswith("-")]
    shown = [option for option in verb.options if option not in flags or len(flags) <= 5]
    words = " ".join([*(_usage_word(option) for option in shown), *(["[options]"] if len(flags) > 5 else [])])
    lines = [f"{prefix} {verb.name} {words}".rstrip(), f"  {verb.summary[0].upper()}{verb.summary[1:]}."]
    lines += [f"  {verb.about}"] if verb.about else []
    rows = [(_option_words(option), option) for option in (*verb.options, *COMMON)]
    width = max(len(left) for left, _ in rows)
    for left, option in rows:
        more = f" ({', '.join(option.choices)})" if option.choices and not option.value else ""
        lines.append(f"    {left.ljust(width)}  {option.help}{more}")
    return "\n".join([*lines, *([f"  Example: {verb.example}"] if verb.example else [])])


def _usage_word(option: Option) -> str:
    word = option.value or "|".join(option.choices) or option.name
    if option.name.startswith("-"):
        word = f"{option.name} {_value(option)}".rstrip()
    word = word if option.required else f"[{word}]"
    return f"{word}..." if option.many else word


def _value(option: Option) -> str:
    return "|".join(option.choices) if option.choices else option.value


def _option_words(option: Option) -> str:
    if option.name == "-h":
        return "-h, --help"
    return f"{option.name} {_value(option)}".strip() if option.name.startswith("-") else option.value or option.name


def overview() -> str:
    """Write what `%durable?` shows: all verbs, and how line and cell differ."""
    width = max(len(verb.name) for verb in VERBS)
    verbs = "\n".join(f"    {verb.name.ljust(width)}  {verb.summary}" for verb in VERBS)
    return (
        "Declare Cloudflare Durable Objects, read the plan, press Deploy.\n\n"
        "    %durable                 where am I, and what next\n"
        "    %durable VERB ...        a line acts or shows\n"
        "    %%durable worker ID ...  a cell declares: the body is the Worker's source\n"
        "    %%durable                a cell of TOML declares several: [namespaces.ID], [workers.ID]\n\n"
        f"Verbs (each has -h):\n{verbs}\n\n"
        "Every verb takes --as VAR, --json and --quiet. Nothing is sent but by the Deploy button or --approve DIGEST."
    )
