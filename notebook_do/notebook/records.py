"""The verbs about what is kept elsewhere: live Workers, projects for wrangler, the state file, the environment."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.display import Table
from notebook_do.errors import CommandError, CredentialError
from notebook_do.notebook.views.blocks import Code, Header, Item, Items, Line, Tone
from notebook_do.notebook.views.documents import View
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from notebook_do.display import Shown
    from notebook_do.notebook.commands import Call


def import_(call: Call) -> Shown:
    """Show the cells that declare live Workers; files that the cells name are written beside the notebook."""
    from notebook_do.interchange.exporting import write_files

    o = call.options
    imported = current().import_(*o.workers, from_account=o.from_account)
    written = write_files(Path.cwd(), imported.files)
    return View(
        (
            Header("Cells to paste", (("cells", str(len(imported.cells))),)),
            *(Code("", cell, paste=True) for cell in imported.cells),
            *(Line(note, Tone.CHANGE) for note in imported.notes),
            *([Items("Files written", tuple(Item(str(p)) for p in written))] if written else []),
            Line("Nothing was sent. Paste and run the cells, then: %durable plan"),
        ),
        data={"cells": imported.cells, "notes": imported.notes, "files": written},
    )


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
            return Table(name="backups", title="Backups of the state file", rows=rows)
        case "restore":
            recorded = file.restore(_serial(o.value))
            said = Line(f"Restored serial {o.value} as serial {recorded.serial}. Next: %durable plan")
            return View((said,), data={"restored": int(o.value), "serial": recorded.serial})
        case "unlock":
            if not o.value:
                holder = file.holder()
                text = f"Held: {holder}" if holder else "Nobody holds the lock."
                return View((Line(text),), data={"holder": holder})
            return View((Line(file.unlock(o.value)),))
    return current().show("state")


def _serial(text: str | None) -> int:
    if not text or not text.isdigit():
        raise CommandError("%durable state restore: give the serial of a backup; %durable state backups lists them.")
    return int(text)


def require(call: Call) -> Shown:
    """Stop here, with one line, when the environment lacks something that the cells below need."""
    names = call.options.names
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
    return View((Line(f"Set, and not shown: {', '.join(names)}."),))


def secret(call: Call) -> Shown:
    """Ask anew for the value of a secret."""
    key = call.options.key
    if not current().ask_secret(key):
        return View((Line(f"Nothing was answered for secret {key}; it stays as it is."),))
    return View((Line(f"The answer for secret {key} is held until this kernel ends. Next: %durable plan"),))


def whoami(call: Call) -> Shown:
    """Say which token is used, without the token."""
    del call
    return current().whoami()


def _missing(*names: str) -> tuple[str, ...]:
    """Give those of `names` that the environment lacks; the API token may also lie in keyring or Colab's secrets."""
    from notebook_do.credentials.token import TOKEN_VARIABLE, find_token

    lacking = [name for name in names if not os.environ.get(name)]
    if TOKEN_VARIABLE in lacking:
        with contextlib.suppress(CredentialError):  # then it is missing
            find_token(prompt=False)
            lacking.remove(TOKEN_VARIABLE)
    return tuple(lacking)
