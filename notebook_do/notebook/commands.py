"""What each verb does: words that were read -> a call of the session -> a value to show. One short function a verb."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.display import TitledTable
from notebook_do.display.formats import counted
from notebook_do.errors import CommandError, CredentialError
from notebook_do.notebook import deploying, verbs
from notebook_do.notebook.declaring import declare
from notebook_do.notebook.shells import shell_of, watching
from notebook_do.notebook.views.blocks import Code, Header, Item, Items, Line, Tone
from notebook_do.notebook.views.documents import View, hints
from notebook_do.sessions.opening import current, prepared, set_clock, use

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.display import Shown
    from notebook_do.interchange.cells import Imported
    from notebook_do.notebook.parsing import Call
    from notebook_do.sessions.session import Session


def where_am_i(call: Call) -> Shown:
    """Show the session's status, or how to begin."""
    del call
    try:
        return current().status()
    except CommandError:
        return hints(
            "No session is open",
            (("to begin", "type one of these"),),
            (
                "%durable session tour",
                "%durable namespace counter --class Counter",
                "%%durable worker my-worker --bind COUNTER=counter",
                "%durable plan",
                "%durable -h",
            ),
        )


def session(call: Call) -> Shown:
    """Open a session and say where it is; the first use fetches the local runtime, with a progress line.

    Where its target cannot be reached or its state not be read, the session before stays open, declarations included.
    """
    from notebook_do.notebook.shells import Download

    o = call.options
    given = {"stage": o.stage, "target": o.target, "account": o.account, "state": o.state, "lock": o.lock}
    opened = prepared(o.name, given)
    opened.connecting.progress = Download(call.ip)
    try:
        set_clock(opened, on=o.crons)
        status = opened.status()
    except BaseException:  # an interrupted prompt for the token as well
        opened.close()
        raise
    use(opened, crons=o.crons)
    return status


def show(call: Call) -> Shown:
    """Show a table."""
    return current().show(call.options.what or "namespaces")


def plan(call: Call) -> Shown:
    """Make a plan. Reads only, but for the build commands where they are asked for."""
    o = call.options
    return current().plan(refresh=o.refresh, build=o.build, emit=watching(call))


def deploy(call: Call) -> Shown | None:
    """Offer the plan for deploying, or send the approved one."""
    deploying.check_approval(call, call.again())
    opened = current()
    planned = opened.plan(refresh=call.options.refresh, emit=watching(call))
    return deploying.offer(call, opened, planned, call.again())


def destroy(call: Call) -> Shown | None:
    """Offer a plan that deletes, or send the approved one."""
    deploying.check_approval(call, call.again(*call.options.ids))
    opened, ids, recorded = current(), call.options.ids, current().recorded()
    known = {*opened.catalog.workers, *opened.catalog.namespaces}
    known |= {w.id for w in recorded.workers} | {str(n.stable_id) for n in recorded.namespaces}
    verbs.check_ids(ids, known)
    planned = opened.plan(ids, refresh=call.options.refresh, emit=watching(call))
    return deploying.offer(call, opened, planned, call.again(*ids))


def rm(call: Call) -> Shown:
    """Forget a declaration."""
    opened, kind, id_ = current(), call.options.kind, call.options.id
    if not opened.forget(kind, id_):
        known = opened.catalog.workers if kind == "worker" else opened.catalog.namespaces
        hint = verbs.did_you_mean(id_, known) or f"; declared: {', '.join(known) or 'none'}."
        raise CommandError(f'%durable rm: no {kind} "{id_}" is declared{hint}')
    said = Line(
        f"The declaration of {'Worker' if kind == 'worker' else kind} {id_} is forgotten. What is live stays as it is."
    )
    return View((said,), data={"forgotten": {"kind": kind, "id": id_}})


def form(call: Call) -> Shown | None:
    """Show the form that was asked for, or how to do without one."""
    what = call.options.what
    if what == "deploy":
        # `form` has no --approve, which `offer` asks for: a form shows a button and sends nothing.
        call.options.approve = None
        return deploying.offer(call, current(), current().plan(), "%durable deploy")
    if shell_of(call.ip) != "notebook":
        line = f"%durable {what} -h"
        said = Line(f"There are no widgets here. Declare with a line: {line}", Tone.CHANGE)
        return View((said,), data={"widgets": False, "line": line})
    from notebook_do.notebook.widgets import forms  # nobody else needs ipywidgets

    forms.show(call)
    return None


def import_(call: Call) -> Shown:
    """Show the cells that declare live Workers or a project; files that the cells name are written beside it."""
    from notebook_do.interchange.cells import END_OF_CELLS, labelled
    from notebook_do.interchange.exporting import write_files

    imported = _imported(call.options)
    written = write_files(Path.cwd(), imported.files)
    return View(
        (
            *(Line(said) for said in imported.built),
            Header(f"{counted(len(imported.cells), 'cell')} to paste"),
            *(Code(label, cell, paste=True, apart=True) for label, cell in labelled(imported.cells)),
            Line(END_OF_CELLS, small=True),
            *(Line(note, Tone.CHANGE) for note in imported.notes),
            *([Items("Files written", tuple(Item(str(p)) for p in written))] if written else []),
            Line("Nothing was sent. Paste and run the cells, then: %durable plan"),
        ),
        data={"cells": imported.cells, "notes": imported.notes, "files": written, "built": imported.built},
    )


def _imported(options: Any) -> Imported:
    """Import what is asked for: live Workers, or a wrangler project."""
    o = options
    if o.wrangler is None:
        if o.env is not None:
            raise CommandError("%durable import: --env is an environment of a project; add --wrangler PATH.")
        if o.build:
            raise CommandError("%durable import: --build runs what builds a project; add --wrangler PATH.")
        return current().import_(*o.workers, from_account=o.from_account, source=o.source)
    if o.workers or o.from_account or o.source:
        raise CommandError("%durable import: --wrangler takes a project whole; import live Workers separately.")
    return opened_for(Path(o.wrangler), o.env).import_wrangler(o.wrangler, o.env, build=o.build)


def opened_for(path: Path, env: str | None) -> Session:
    """Return the open session; raises CommandError with the line that opens the one that a project needs."""
    from notebook_do.sessions.exchanging import read_wrangler

    try:
        return current()
    except CommandError:
        name, stage = read_wrangler(path, env).session
        raise CommandError(f"import: no session is open; first: %durable session {name} --stage {stage}") from None


def export(call: Call) -> Shown:
    """Write a wrangler project for each declared Worker, or the types of its `env`."""
    o = call.options
    if o.format == "types":
        if o.assets:
            raise CommandError("%durable export types: --assets is for export wrangler; leave it out.")
        paths = current().export_types(o.directory or "types")
        use = 'Name the file in "include" of tsconfig.json; it needs the types of @cloudflare/workers-types.'
        return View((Header("Types of env"), _files(paths), Line(use)), data={"files": paths})
    paths = current().export_wrangler(o.directory or "wrangler", assets=_assets(o.assets))
    use = "Nothing was sent. In each directory: wrangler deploy (with --env NAME where all of it stands below an env)"
    return View((Header("Exported for wrangler"), _files(paths), Line(use)), data={"files": paths})


def _assets(words: list[str]) -> str | dict[str, Any] | None:
    """Read `[WORKER=]DIR[=JSON]` of each --assets: a directory alone, or directories by Worker."""
    found: dict[str, Any] = {}
    for word in words:
        text, given, served = word.partition("={")
        worker, named, directory = text.partition("=")
        if not named and (given or len(words) > 1):
            raise CommandError(f"%durable export: --assets {word}: say whose they are: --assets WORKER={word}.")
        if not named:
            return text
        if worker in found:
            raise CommandError(f"%durable export: --assets of {worker} is given twice; give it once.")
        found[worker] = {"directory": directory, **_served(word, "{" + served)} if given else directory
    return found or None


def _served(word: str, text: str) -> dict[str, Any]:
    try:
        served: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise CommandError(f"%durable export: --assets {word}: its JSON cannot be read: {error}.") from None
    return served


def _files(paths: tuple[Path, ...]) -> Items:
    return Items("Files", tuple(Item(str(path)) for path in paths))


def state(call: Call) -> Shown:
    """Look after the state file: what it holds, its backups, its lock."""
    o, file = call.options, current().state
    match o.action or "list":
        case "backups":
            rows = tuple({"serial": b.serial, "readable": b.readable, "path": str(b.path)} for b in file.backups())
            return TitledTable(name="backups", title="Backups of the state file", rows=rows)
        case "restore":
            recorded = file.restore(_serial(o.value))
            said = Line(f"Restored serial {o.value} as serial {recorded.serial}. Next: %durable plan")
            return View((said,), data={"restored": int(o.value), "serial": recorded.serial})
        case "unlock":
            if not o.value:
                holder = file.holder()
                text = f"The lock is held by {holder}." if holder else "Nobody holds the lock."
                return View((Line(text),), data={"holder": holder})
            released = file.unlock(o.value)
            return View((Line(released),), data={"released": released})
    return current().show("state")


def _serial(text: str | None) -> int:
    if not text or not text.isdigit():
        raise CommandError("%durable state restore: give the serial of a backup; %durable state backups lists them.")
    return int(text)


def require(call: Call) -> Shown:
    """Stop here, with one line, when the environment lacks something that the cells below need."""
    names = call.options.names
    # Somebody wrote NAME=VALUE; the error must not repeat the value.
    if wrong := next((name for name in names if not name.isidentifier()), None):
        name = wrong.partition("=")[0]
        raise CommandError(
            f"%durable require env {name}...: write names only; a value in a cell is saved with the notebook."
        )
    if lacking := _missing(*names):
        raise CommandError(
            f"not set in the environment: {', '.join(lacking)}; set it where the kernel starts (a value in a cell "
            "is saved with the notebook), then run this cell again."
        )
    return View((Line(f"Set, and not shown: {', '.join(names)}."),), data={"set": names})


def secret(call: Call) -> Shown:
    """Ask anew for the value of a secret."""
    key = call.options.key
    if not current().ask_secret(key):
        said = Line(f"Nothing was answered for secret {key}; it stays as it is.")
        return View((said,), data={"key": key, "answered": False})
    said = Line(f"The answer for secret {key} is held until this kernel ends. Next: %durable plan")
    return View((said,), data={"key": key, "answered": True})


def whoami(call: Call) -> Shown:
    """Return which token is used, without the token."""
    del call
    return current().whoami()


def help_(call: Call) -> Shown:
    """Show the page of a topic or verb."""
    from notebook_do.notebook.verbs.topics import page_of
    from notebook_do.notebook.views.help_page import HelpPage

    topic = call.options.topic or ""
    return HelpPage(topic=topic, text=page_of(topic))


def _missing(*names: str) -> tuple[str, ...]:
    """Return those of `names` that the environment lacks; the API token may also lie in keyring or Colab's secrets."""
    from notebook_do.credentials.token import TOKEN_VARIABLE, find_token

    lacking = [name for name in names if not os.environ.get(name)]
    if TOKEN_VARIABLE in lacking:
        with contextlib.suppress(CredentialError):  # then it is missing
            find_token(prompt=False)
            lacking.remove(TOKEN_VARIABLE)
    return tuple(lacking)


def _on_what_runs(call: Call) -> Any:
    """Run a verb that asks or changes what runs: what it needs is loaded with the first of them."""
    from notebook_do.notebook.running import run

    return run(call)


RUN: dict[str, Callable[[Call], Any]] = {
    "": where_am_i,
    "status": where_am_i,
    "session": session,
    "namespace": declare,
    "worker": declare,
    "show": show,
    "plan": plan,
    "deploy": deploy,
    "destroy": destroy,
    "rm": rm,
    "inspect": _on_what_runs,
    "form": form,
    "fetch": _on_what_runs,
    "call": _on_what_runs,
    "map": _on_what_runs,
    "logs": _on_what_runs,
    "objects": _on_what_runs,
    "values": _on_what_runs,
    "query": _on_what_runs,
    "object": _on_what_runs,
    "put": _on_what_runs,
    "delete": _on_what_runs,
    "execute": _on_what_runs,
    "alarm": _on_what_runs,
    "wipe": _on_what_runs,
    "snapshot": _on_what_runs,
    "restore": _on_what_runs,
    "import": import_,
    "export": export,
    "state": state,
    "require": require,
    "secret": secret,
    "whoami": whoami,
    "help": help_,
}
