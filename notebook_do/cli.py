"""The command line: run a runbook headless, use a verb on a file, open JupyterLab, look after the local Cloudflare.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused (a plan that needs consent, a refused or a stale plan).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do.display import clean, coloured
from notebook_do.errors import CommandError, ConsentRequired, DurableError, PlanRefused, StalePlan
from notebook_do.notebook.verbs import OF_SESSION, ON_COMMAND_LINE, did_you_mean, usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.local.process.launch import LocalTarget
    from notebook_do.notebook.verbs import Verb

_REFUSALS = (PlanRefused, StalePlan, ConsentRequired)
_QUICKSTART = "quickstart.ipynb"
_WHAT_IS_RUN = """\
Of a notebook, a cell is run in which notebook_do, a value made with it, or %durable that is not alone on its line
stands, with what it needs of the cells above; and lines of %durable that declare. Nothing is sent meanwhile: a cell
that would send, or that cannot be run here, is an error that names it.
Declarations hidden in a module of your own cannot be seen."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    parser = _parser()
    # The words of a verb are read by the magic's own parser, so that both say the same.
    arguments, words = parser.parse_known_args(argv)
    if words and "verb" not in arguments:
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    arguments.words = words
    try:
        return int(arguments.command(arguments))
    except DurableError as error:
        print(f"notebook-do: {error}", file=sys.stderr)
        return 3 if isinstance(error, _REFUSALS) else 2 if isinstance(error, CommandError) else 1
    except KeyboardInterrupt as stopped:  # a plan says that it was stopped
        sys.stderr.write(f"notebook-do: {stopped}\n" if str(stopped) else "")
        return 130
    except BrokenPipeError:  # who reads has read enough, as `head` has
        # Else Python writes the rest at its end, and reports a broken pipe after all.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="notebook-do", description="Cloudflare Durable Objects from a notebook.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute a runbook headless and print what happened")
    run.add_argument("notebook", type=Path)
    run.add_argument("--deploy", action="store_true", help="press Deploy for plans that delete nothing")
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--out", type=Path, metavar="FILE", help="write the executed notebook here")
    run.add_argument("--timeout", type=int, default=600, metavar="SECONDS", help="the most that one cell may take")
    run.set_defaults(command=_run)

    lab = commands.add_parser("lab", help="open JupyterLab on the quickstart")
    lab.add_argument("notebook", type=Path, nargs="?")
    lab.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    lab.set_defaults(command=_lab)

    for verb in ON_COMMAND_LINE:
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
    local.set_defaults(command=_local)
    return parser


# --- verbs -----------------------------------------------------------------------------------------------


def _add_verb(commands: Any, verb: Verb) -> None:
    """Add a verb of the magic: its file, what is its session's, and then its own words."""
    parser = commands.add_parser(
        verb.name,
        help=verb.summary,
        usage=f"notebook-do {verb.name} FILE [options] [words as below]",
        description=_WHAT_IS_RUN,
        epilog=usage(verb),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, help="a notebook, or a TOML file of declarations")
    parser.add_argument("--session", metavar="NAME", dest="name", help="default: the notebook's, or the file's name")
    for option in OF_SESSION:
        parser.add_argument(option.name, metavar=option.value, help=option.help)
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.set_defaults(command=_verb, verb=verb.name)


def _verb(arguments: argparse.Namespace) -> int:
    """Use one verb of the magic on the declarations of a file."""
    from notebook_do.notebook.runbook import batch

    given = {name: getattr(arguments, name) for name in ("name", *(o.name[2:] for o in OF_SESSION))}
    given = {name: value for name, value in given.items() if value is not None}
    repeated = [w for name, value in given.items() for w in (f"--{'session' if name == 'name' else name}", value)]
    repeated += [w for pair in arguments.parameter for w in ("-p", *pair)]
    asked = batch.Asked(
        verb=arguments.verb,
        words=arguments.words,
        file=arguments.file,
        options=given,
        parameters={name: _value(text) for name, text in arguments.parameter},
        line=shlex.join([str(arguments.file), *repeated]),
    )
    text, status = batch.run(asked)
    if text:
        print(text, flush=True)
    return status


# --- run -------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    """Execute a notebook in a kernel of this Python, printing each cell and its text outputs as they come."""
    try:
        import nbclient
        import nbformat
    except ImportError:
        raise CommandError("run needs nbclient and ipykernel: pip install 'notebook-do[lab]'.") from None
    notebook = _read(arguments.notebook)
    if arguments.out and not arguments.out.resolve().parent.is_dir():
        raise CommandError(f"run: there is no directory {arguments.out.parent} for --out.")
    _inject(notebook, [(name, _value(text)) for name, text in arguments.parameter])
    started = time.monotonic()
    client = nbclient.NotebookClient(
        notebook,
        timeout=arguments.timeout,
        kernel_name="python3",  # of this Python, whatever the one that the notebook was written with is called
        # Widget state would put what is typed into fields into the file, and dead widgets with it.
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(arguments.notebook.resolve().parent)}},
        on_cell_execute=lambda cell, cell_index: _print_source(cell),  # noqa: ARG005 - nbclient's keyword
        on_cell_executed=lambda cell, cell_index, execute_reply: _print_outputs(cell),  # noqa: ARG005
    )
    # ipykernel's debugger warns on every start where the standard library is frozen.
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if arguments.deploy:
        environment["NOTEBOOK_DO_DEPLOY"] = "press"
    status = 0
    try:
        client.execute(env=environment)
    except nbclient.exceptions.CellExecutionError as error:
        status = 3 if error.ename in {kind.__name__ for kind in _REFUSALS} else 1
    except nbclient.exceptions.CellTimeoutError:
        status = _failed(f"the cell above took more than {arguments.timeout} s; --timeout allows more.")
    except nbclient.exceptions.DeadKernelError:
        status = _failed("the kernel died in the cell above.")
    if arguments.out:
        nbformat.write(notebook, arguments.out)
    verdict = "done" if status == 0 else "refused" if status == 3 else "failed"
    print(f"\n{clean(str(arguments.notebook))}: {verdict} in {time.monotonic() - started:.1f} s", flush=True)
    return status


def _failed(why: str) -> int:
    print(f"notebook-do: run: {why}", file=sys.stderr)
    return 1


def _read(path: Path) -> Any:
    import nbformat

    if not path.is_file():
        raise CommandError(f"run: there is no notebook at {path}.")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError):
        raise CommandError(f"run: {path} is no notebook that can be read.") from None
    return notebook


def _inject(notebook: Any, parameters: list[tuple[str, Any]]) -> None:
    """Put assignments after the cell tagged `parameters` (papermill's convention), or first.

    Raises CommandError for a name that such a cell does not set: the notebook would not notice it.
    """
    if not parameters:
        return
    import nbformat

    from notebook_do.notebook.runbook.statements import assigned

    tagged = next((i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", ())), None)
    known = [] if tagged is None else assigned(notebook.cells[tagged].source)
    for name, _ in parameters:
        if not name.isidentifier():
            raise CommandError(f"run: parameter {name!r} is not a Python name.")
        if known and name not in known:
            hint = did_you_mean(name, known) or f"; it has {', '.join(known)}."
            raise CommandError(f"run: the notebook has no parameter {name}{hint}")
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters)
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(0 if tagged is None else tagged + 1, cell)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _print_source(cell: Any) -> None:
    if cell.cell_type == "code" and cell.source.strip():
        print("\n" + "\n".join(f"> {clean(line)}" for line in cell.source.splitlines()), flush=True)


def _print_outputs(cell: Any) -> None:
    for output in cell.get("outputs", ()):
        match output.output_type:
            case "stream":
                print(coloured(output.text).rstrip("\n"))
            case "error":
                print(coloured("\n".join(output.traceback)))
            case _:
                print(clean(output.data.get("text/plain", "")))
    sys.stdout.flush()


# --- lab -------------------------------------------------------------------------------------------------


def _lab(arguments: argparse.Namespace) -> int:
    """Start JupyterLab on a notebook and wait for it."""
    try:
        import jupyterlab  # noqa: F401 - only asked whether it is there
    except ImportError:
        raise CommandError("lab needs JupyterLab: pip install 'notebook-do[lab]'.") from None
    notebook = arguments.notebook or _quickstart()
    if not notebook.is_file():
        raise CommandError(f"lab: there is no notebook at {notebook}.")
    folder, name = notebook.resolve().parent, quote(notebook.name)
    places = (f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{name}")
    command = [sys.executable, "-m", "jupyterlab", *places]
    if arguments.no_browser:
        command.append("--no-browser")
    # JupyterLab refuses to start as root without it, as in a container.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with subprocess.Popen(command) as lab:  # noqa: S603 - our own interpreter
        try:
            return lab.wait()
        except KeyboardInterrupt:
            lab.send_signal(signal.SIGTERM)
            return lab.wait()


def _quickstart() -> Path:
    """Find the quickstart: here, in the source tree, or the packaged one, of which a copy is made here."""
    here = Path("notebooks") / _QUICKSTART
    package = Path(__file__).parent
    beside = package.parent / "notebooks" / _QUICKSTART
    packaged = package / _QUICKSTART
    if not here.is_file() and beside.is_file():
        return beside
    if not here.is_file() and packaged.is_file():
        here.parent.mkdir(exist_ok=True)
        shutil.copyfile(packaged, here)
    return here


# --- local -----------------------------------------------------------------------------------------------


def _local(arguments: argparse.Namespace) -> int:
    from notebook_do.local.process import launch

    match arguments.action:
        case "start":
            ports = {"api_port": arguments.api_port, "workers_port": arguments.workers_port}
            target = launch.start(arguments.data, **ports, strict=arguments.strict, progress=_progress)
            _announce(target, as_json=arguments.json)
        case "status":
            found = launch.status(arguments.data)
            if found is None:
                print("{}" if arguments.json else "The local Cloudflare is not running.")
                return 1
            _announce(found, as_json=arguments.json)
        case "stop":
            stopped = launch.stop(arguments.data)
            if not arguments.json:
                print("The local Cloudflare has stopped." if stopped else "The local Cloudflare was not running.")
        case _:
            launch.run_foreground(
                arguments.data,
                api_port=arguments.api_port,
                workers_port=arguments.workers_port,
                strict=arguments.strict,
                announce=lambda target: _announce(target, as_json=arguments.json),
            )
    return 0


def _announce(target: LocalTarget, *, as_json: bool) -> None:
    """Print where the local Cloudflare listens and what other clients need, as shell lines or as JSON."""
    facts = target.to_json()
    if as_json:
        print(json.dumps(facts), flush=True)
        return
    print(f"Local Cloudflare, process {facts['pid']}, data in {facts['data']}")
    print(f"  API      {facts['api']}")
    print(f"  Workers  http://<script name>.localhost:{facts['url'].rsplit(':', 1)[1].rstrip('/')}/")
    if facts["strict"]:
        print("  Strict   KV, R2, D1 and queues must have been made before they are bound, as on Cloudflare")
    print("\nFor wrangler, Alchemy, the SDK or curl:")
    for name, value in facts["env"].items():
        print(f"  export {name}={value}")
    sys.stdout.flush()


def _progress(done: int, total: int) -> None:
    """Draw the one download that the local Cloudflare ever needs, on stderr."""
    if sys.stderr.isatty():
        end = "\n" if done >= total else "\r"
        print(f"Fetching workerd {done / 1e6:.0f} of {total / 1e6:.0f} MB", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
