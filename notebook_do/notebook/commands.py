"""What each verb does: words that were read -> a call of the session -> a value to show. One short function a verb."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.declare.cell import parse_cell
from notebook_do.errors import CommandError
from notebook_do.notebook import deploying, exploring, records, verbs
from notebook_do.notebook.views.blocks import Line
from notebook_do.notebook.views.documents import Declared, View, hints
from notebook_do.sessions.opening import current, prepared, use

if TYPE_CHECKING:
    from types import SimpleNamespace

    from notebook_do.display import Shown
    from notebook_do.model import Declaration, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One use of a verb. `words` are those after it; `body` is None for a line.

    `source` is the file, and what else stood there, when it was used on the command line.
    """

    ip: Any
    verb: str
    words: tuple[str, ...]
    body: str | None
    where: Where
    options: SimpleNamespace
    source: str = ""

    def again(self, *words: str) -> str:
        """Write the line that would use this verb again."""
        command = f"notebook-do {self.verb} {self.source}" if self.source else f"%durable {self.verb}"
        return f"{command} {shlex.join(words)}".rstrip()


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
    from notebook_do.notebook.widgets.progress import Download

    o = call.options
    given = {"stage": o.stage, "target": o.target, "account": o.account, "state": o.state, "lock": o.lock}
    opened = prepared(o.name, given)
    opened.connecting.progress = Download(call.ip)
    try:
        status = opened.status()
    except BaseException:  # an interrupted prompt for the token as well
        opened.close()
        raise
    use(opened)
    return status


def declare(call: Call) -> Shown:
    """Read declarations from a line or cell and register them. Sends nothing."""
    line = shlex.join((call.verb, *call.words)) if call.verb else shlex.join(call.words)
    found = parse_cell(line, call.body, where=call.where, values=call.ip.user_ns)
    return declared(current().declare(*found))


def declared(items: tuple[Declaration, ...]) -> Shown:
    """Give one declaration as itself and several as one value."""
    return items[0] if len(items) == 1 else Declared(items)


def show(call: Call) -> Shown:
    """Show a table."""
    return current().show(call.options.what or "namespaces")


def plan(call: Call) -> Shown:
    """Make a plan. Reads only."""
    del call
    return current().plan()


def deploy(call: Call) -> Shown | None:
    """Offer the plan for deploying, or send the approved one."""
    opened = current()
    return deploying.offer(call, opened, opened.plan(), call.again())


def destroy(call: Call) -> Shown | None:
    """Offer a plan that deletes, or send the approved one."""
    opened, ids = current(), call.options.ids
    known = {*opened.catalog.workers, *opened.catalog.namespaces}
    recorded = opened.recorded()
    known |= {w.id for w in recorded.workers} | {str(n.stable_id) for n in recorded.namespaces}
    if unknown := next((i for i in ids if i not in known), None):
        hint = verbs.nearest(unknown, known) or f"; known: {', '.join(sorted(known)) or 'none'}."
        raise CommandError(f'%durable destroy: no Worker or namespace "{unknown}"{hint}')
    return deploying.offer(call, opened, opened.destroy(*ids), call.again(*ids))


def rm(call: Call) -> Shown:
    """Forget a declaration."""
    opened, kind, id_ = current(), call.options.kind, call.options.id
    if not opened.forget(kind, id_):
        known = opened.catalog.workers if kind == "worker" else opened.catalog.namespaces
        hint = verbs.nearest(id_, known) or f"; declared: {', '.join(known) or 'none'}."
        raise CommandError(f'%durable rm: no {kind} "{id_}" is declared{hint}')
    noun = "Worker" if kind == "worker" else "namespace"
    said = Line(f"The declaration of {noun} {id_} is forgotten. What is live stays as it is.")
    return View((said,), data={"forgotten": {"kind": kind, "id": id_}})


def fetch(call: Call) -> Shown:
    """Call a Worker and show its answer."""
    from notebook_do.notebook.views.answer import Answer

    o = call.options
    headers = dict(_header(text) for text in o.header)
    sent: dict[str, Any] = {}
    if o.data is not None:
        sent["content"] = o.data.encode()
        if _is_json(o.data) and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
    method = (o.method or ("GET" if o.data is None else "POST")).upper()
    return Answer.of(current().fetch(o.worker, o.path or "/", method=method, headers=headers, **sent))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandError(f'%durable fetch: --header takes NAME:VALUE, not "{text}".')
    return name.strip(), value.strip()


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def form(call: Call) -> Any:
    """Show a form."""
    from notebook_do.notebook.widgets import forms

    return forms.show(call)


RUN = {
    "": where_am_i,
    "session": session,
    "namespace": declare,
    "worker": declare,
    "show": show,
    "plan": plan,
    "deploy": deploy,
    "destroy": destroy,
    "rm": rm,
    "form": form,
    "fetch": fetch,
    "objects": exploring.objects,
    "values": exploring.values,
    "query": exploring.query,
    "import": records.import_,
    "export": records.export,
    "state": records.state,
    "require": records.require,
    "secret": records.secret,
    "whoami": records.whoami,
}
