"""The command line: run a runbook headless, use a verb on a file, open JupyterLab, look after the local Cloudflare.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused (a plan that needs consent or was not agreed to, a refused or a
stale plan); then nothing was sent.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import io
import os
import re
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, ConsentRequired, DurableError, PlanRefused, StalePlan
from notebook_do.notebook.verbs import BY_NAME, OF_SESSION, ON_COMMAND_LINE, did_you_mean, known_elsewhere
from notebook_do.notebook.verbs.help import usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from notebook_do.notebook.verbs.verb import Verb

_REFUSALS = (PlanRefused, StalePlan, ConsentRequired)
_WHAT_IS_RUN = """\
Of a notebook, a cell is run in which notebook_do, a value made with it, or %durable that is not alone on its line
stands, with what it needs of the cells above; and lines of %durable that declare. Nothing is sent meanwhile: a cell
that would send, or that cannot be run here, is an error that names it.
Declarations hidden in a module of your own cannot be seen."""

_HOW_IT_IS_SENT = {
    "deploy": """

In a terminal the plan is shown, and sent when the word deploy is typed, or for each loss its phrase; else the exit
status is 3 and nothing is sent. For scripts: --approve safe prints the plan, then sends it if it has no refusal, asks
for no phrase, deletes nothing, takes nothing over and puts nothing back that was changed outside; else the exit status
is 3, and a line says which of these it was.""",
    "destroy": """

In a terminal the plan is shown, and sent when the phrase of each loss is typed, or without a loss the word destroy;
else the exit status is 3 and nothing is sent. --approve safe never destroys.""",
}
"""What the command line does beyond the magic, below the help that both have."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = argparse.Namespace()
    try:
        arguments = _read(given)
        return int(arguments.command(arguments))
    except DurableError as error:
        said = str(error)
        if getattr(arguments, "file", None) is not None:
            from notebook_do.notebook.views.in_shell import in_shell

            said = in_shell(said, _line_of(arguments))
        print(f"notebook-do: {said}", file=sys.stderr)
        return 3 if isinstance(error, _REFUSALS) else 2 if isinstance(error, CommandError) else 1
    except KeyboardInterrupt as stopped:  # a plan says that it was stopped
        sys.stderr.write(f"notebook-do: {stopped}\n" if str(stopped) else "")
        return 130
    except BrokenPipeError:  # who reads has read enough, as `head` has
        # Else Python writes the rest at its end, and reports a broken pipe after all.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


_OWN = ("run", "lab", "local", "help")


def _read(given: list[str]) -> argparse.Namespace:
    """Read a command line; raises CommandError, with the nearest right word, for a command or an option of none."""
    word = given[0] if given and not given[0].startswith("-") else ""
    known = (*_OWN, *(verb.name for verb in ON_COMMAND_LINE))
    if word and word not in known:
        if word in BY_NAME:
            raise CommandError(f"{word} is a line of a notebook: {usage(BY_NAME[word]).splitlines()[0]}")
        hint = did_you_mean(word, known) or f"; known are {', '.join(known)}."
        raise CommandError(f'unknown command "{word}"{hint}')
    parser = _parser(word)
    # The words of a verb are read by the magic's own parser, so that both say the same.
    arguments, words = parser.parse_known_args(given)
    if words and "verb" not in arguments:
        hint = did_you_mean(words[0], _options_of(word)) or known_elsewhere(words[0].partition("=")[0])
        raise CommandError(f'{word}: unknown option "{words[0]}"{hint or f"; see notebook-do {word} -h."}')
    arguments.words = words
    return arguments


def _options_of(command: str) -> list[str]:
    """Return the options of a command that is no verb, as its usage has them, and the words that it takes."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        _parser(command).parse_args([command, "--help"])
    used = said.getvalue().partition("\n\n")[0]
    words = [word for taken in re.findall(r"\{([a-z,]+)\}", used) for word in taken.split(",")]
    return [*re.findall(r"(?<![\w-])--?[a-z][a-z-]*", used), *words]


def _parser(asked: str) -> argparse.ArgumentParser:
    """Make the parser of all commands; where a verb is `asked` for, without the other verbs."""
    parser = argparse.ArgumentParser(prog="notebook-do", description="Cloudflare Durable Objects from a notebook.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute a runbook headless and print in short what happened")
    run.add_argument("notebook", type=Path)
    sends = run.add_mutually_exclusive_group()
    sends.add_argument("--deploy", action="store_true", help="press Deploy for plans that delete nothing")
    sends.add_argument("--approve", metavar="DIGEST", help="send the plan with this digest, and no other")
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--out", type=Path, metavar="FILE", help="write the executed notebook here")
    run.add_argument("--timeout", type=int, default=600, metavar="SECONDS", help="the most that one cell may take")
    run.add_argument("--verbose", action="store_true", help="print all of each cell, and not its first lines only")
    run.set_defaults(command=_run)

    lab = commands.add_parser("lab", help="open JupyterLab on the quickstart")
    lab.add_argument("notebook", type=Path, nargs="?")
    lab.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    lab.set_defaults(command=_lab)

    for verb in [verb for verb in ON_COMMAND_LINE if verb.name == asked] or ON_COMMAND_LINE:
        _add_verb(commands, verb)

    local = commands.add_parser("local", help="the local Cloudflare: run it here, start, status, stop")
    local.add_argument(
        "action", nargs="?", choices=("start", "status", "stop"), help="without one: run in the foreground"
    )
    local.add_argument("--data", type=Path, metavar="DIR", help="its data directory")
    local.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    local.add_argument("--api-port", type=int, default=0, metavar="PORT")
    local.add_argument("--workers-port", type=int, default=0, metavar="PORT")
    local.add_argument("--strict", action="store_true", help="refuse resources that nobody made, as Cloudflare")
    local.add_argument("--crons", action="store_true", help="run the cron triggers of all Workers by the clock")
    local.set_defaults(command=_local)

    help_ = commands.add_parser("help", help="this list, or the help of a COMMAND, or the page of a TOPIC")
    help_.add_argument("topic", nargs="?", default="", metavar="COMMAND|TOPIC")
    help_.set_defaults(command=_help)
    return parser


# --- verbs -----------------------------------------------------------------------------------------------


def _add_verb(commands: Any, verb: Verb) -> None:
    """Add a verb of the magic: its file, what is its session's, and then its own words."""
    projects = verb.name == "import"  # it reads them too, which are no FILE of declarations
    parser = commands.add_parser(
        verb.name,
        help=verb.summary,
        usage=f"notebook-do {verb.name} {'FILE|--wrangler PATH' if projects else 'FILE'} [options] [words as below]",
        description=_WHAT_IS_RUN,
        epilog=usage(verb) + _HOW_IT_IS_SENT.get(verb.name, ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    said = "a notebook, or a TOML file of declarations"
    parser.add_argument("file", type=Path, nargs="?" if projects else None, help=said)
    if projects:
        parser.add_argument("--wrangler", type=Path, nargs="?", const=Path(), metavar="PATH", help="a wrangler project")
        parser.add_argument("--env", metavar="NAME", help="with --wrangler: this environment, not the top level")
        parser.add_argument(
            "--out", type=Path, metavar="NOTEBOOK", help="with --wrangler: write a notebook of the cells"
        )
    parser.add_argument("--session", metavar="NAME", dest="name", help="default: the notebook's, or the file's name")
    for option in OF_SESSION:
        parser.add_argument(option.name, metavar=option.value, help=option.help)
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.set_defaults(command=_verb, verb=verb.name)


def _verb(arguments: argparse.Namespace) -> int:
    """Use one verb of the magic on the declarations of a file, or import a project."""
    # What is followed may go on for hours.
    with contextlib.nullcontext() if "--follow" in arguments.words else _hardly_collected():
        return _used(arguments)


@contextmanager
def _hardly_collected() -> Iterator[None]:
    """Look for garbage a thousand times less often, and not at the end.

    What is loaded is never garbage. To look for some in it took a seventh of the time of a deploy at 50,000 objects,
    and at the end, where Python looks through all there is, a fifth.
    """
    before = gc.get_threshold()
    gc.set_threshold(1_000_000)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _used(arguments: argparse.Namespace) -> int:
    from notebook_do.cli.parameters import value_of

    with _httpx_without_its_own_command():
        from notebook_do.notebook.runbook import batch

    given = _given(arguments)
    if arguments.verb == "import" and (said := _project(arguments, given)) is not None:
        _print(said)
        return 0
    asked = batch.Asked(
        verb=arguments.verb,
        words=arguments.words,
        file=arguments.file,
        options=given,
        parameters={name: value_of(text) for name, text in arguments.parameter},
        line=_line_of(arguments),
    )
    text, status = batch.run(asked)
    _print(text)
    return status


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options of the session that were given."""
    given = {name: getattr(arguments, name) for name in ("name", *(o.name[2:] for o in OF_SESSION))}
    return {name: value for name, value in given.items() if value is not None}


def _line_of(arguments: argparse.Namespace) -> str:
    """Return what stands behind a verb: the file, and what opens the same session with the same parameters."""
    repeated = [w for k, value in _given(arguments).items() for w in (f"--{'session' if k == 'name' else k}", value)]
    repeated += [w for pair in arguments.parameter for w in ("-p", *pair)]
    return shlex.join([str(arguments.file), *repeated])


def _print(text: str) -> None:
    if text:
        print(text, flush=True)


def _project(arguments: argparse.Namespace, given: dict[str, str]) -> str | None:
    """Import a wrangler project and return what to print; None where none is asked for, but a FILE."""
    with _httpx_without_its_own_command():
        from notebook_do.notebook.runbook import importing

    if arguments.wrangler is None:
        beside = next((f"--{name}" for name in ("env", "out") if getattr(arguments, name) is not None), None)
        if beside:
            raise CommandError(f"import: {beside} is for a wrangler project; add --wrangler PATH.")
        if arguments.file is None:
            raise CommandError("import: give a FILE, or --wrangler PATH.")
        return None
    if arguments.file is not None:
        raise CommandError("import: --wrangler takes no FILE; leave it out, or import live Workers of FILE.")
    asked = importing.AskedProject(
        path=arguments.wrangler, env=arguments.env, out=arguments.out, words=arguments.words, options=given
    )
    return importing.import_project(asked)


@contextmanager
def _httpx_without_its_own_command() -> Iterator[None]:
    """Keep httpx, when it is loaded meanwhile, from loading the command line that it brings along."""
    # That one needs click, pygments and rich, a quarter of all that is loaded; httpx expects that it may be missing.
    name = "httpx._main"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # how Python is told that a module is not to be had
    try:
        yield
    finally:
        del sys.modules[name]


# --- what is not loaded before it is asked for


def _run(arguments: argparse.Namespace) -> int:
    from notebook_do.cli.executing import run

    out = [] if arguments.out is None else ["--out", str(arguments.out)]
    parameters = [w for pair in arguments.parameter for w in ("-p", *pair)]
    return run(
        arguments.notebook,
        [(name, text) for name, text in arguments.parameter],
        press="press" if arguments.deploy else arguments.approve,
        out=arguments.out,
        timeout=arguments.timeout,
        verbose=arguments.verbose,
        refusals={kind.__name__ for kind in _REFUSALS},
        again=shlex.join(["notebook-do", "run", str(arguments.notebook), *parameters, *out]),
    )


def _lab(arguments: argparse.Namespace) -> int:
    from notebook_do.cli.lab import lab

    return lab(arguments.notebook, browser=not arguments.no_browser)


def _help(arguments: argparse.Namespace) -> int:
    """Print what `--help` does, of all or of one command; of what only a notebook has its page, and of a topic."""
    topic = arguments.topic
    if not topic or topic in {*_OWN, *(verb.name for verb in ON_COMMAND_LINE)}:
        _parser(topic).parse_args([*([topic] if topic else []), "--help"])  # it ends the process with 0
    from notebook_do.notebook.topics import ALL
    from notebook_do.notebook.verbs.topics import page_of

    if topic not in BY_NAME and topic not in ALL:
        hint = did_you_mean(topic, [*_OWN, *BY_NAME, *ALL]) or f"; topics: {', '.join(ALL)}; or the name of a command."
        raise CommandError(f'help: there is no command or topic "{topic}"{hint}')
    _print(usage(BY_NAME[topic]) if topic in BY_NAME else page_of(topic))
    return 0


def _local(arguments: argparse.Namespace) -> int:
    from notebook_do.cli.serving import local

    return local(arguments)
