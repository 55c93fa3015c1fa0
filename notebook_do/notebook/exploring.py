"""The verbs that look at what is deployed: `fetch` calls a Worker, the others give a DataFrame of live objects."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import httpx

from notebook_do.display import Shown, clean
from notebook_do.errors import CommandError, DurableError, TargetError
from notebook_do.live.fetching import request_id_of
from notebook_do.live.inventory import deployed_namespace
from notebook_do.live.pages import worker_of
from notebook_do.notebook.arguments import parameter
from notebook_do.notebook.calling import seconds
from notebook_do.notebook.views import text
from notebook_do.notebook.views.documents import View
from notebook_do.notebook.views.fetched import fetched_document, no_answer_document
from notebook_do.notebook.views.objects import objects_document, values_document
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from notebook_do.live.logs import RequestLogs
    from notebook_do.notebook.parsing import Call
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.sessions.logs import LocatedRecord
    from notebook_do.sessions.session import Session

    Records = tuple[LocatedRecord, ...]
    ReadLogs = Callable[[httpx.Response], tuple[RequestLogs | None, Records, str]]


class Fetched(Shown, httpx.Response):
    """What a Worker answered: an `httpx.Response` in every respect, shown with its body and what it logged.

    `logs` are the records of exactly this request, and of the objects that it reached; None where they are not known.
    """

    logs: RequestLogs | None
    document: Document

    @classmethod
    def of(cls, response: httpx.Response, read: ReadLogs | None = None) -> Fetched:
        """Return `response` as one that shows itself; nothing of it is copied or read again."""
        # httpx.Response has no copy: the new object shares all that the old one holds, its body included.
        answer = cls.__new__(cls)
        answer.__dict__ = response.__dict__
        logs, records, note = read(response) if read else (None, (), "")
        answer.logs = logs
        answer.document = fetched_document(response, shown_url(response), logs, records, note)
        return answer

    def __repr__(self) -> str:
        return clean(httpx.Response.__repr__(self))


def shown_url(answer: httpx.Response) -> str:
    """Return the address that was asked, as a person knows it: of a local Worker the name is in the Host header."""
    host = answer.request.headers.get("host")
    url = answer.request.url
    return f"{url.scheme}://{host}{url.raw_path.decode('ascii')}" if host else str(url)


def fetch(call: Call) -> Shown:
    """Call a Worker and show its answer, with what it logged."""
    o, session = call.options, current()
    headers = dict(_header(text) for text in o.header)
    sent: dict[str, Any] = {}
    if o.data is not None:
        sent["content"] = o.data.encode()
        # As curl --json would: a Worker that reads request.json() gets the type that it may ask for.
        if _is_json(o.data) and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
    timeout = seconds(o.timeout, "fetch", 60.0)
    method = (o.method or ("GET" if o.data is None else "POST")).upper()
    try:
        answer = session.fetch(
            o.worker, o.path or "/", method=method, follow=True, headers=headers, timeout=timeout, **sent
        )
    except TargetError as error:
        error.details = _until_then(session, error, o.worker, timeout)
        raise
    return Fetched.of(answer, lambda one: _logs_of(session, one, o.worker))


def _logs_of(session: Session, answer: httpx.Response, worker: str) -> tuple[RequestLogs | None, Records, str]:
    """Return what a request logged; where that cannot be had, why: the answer itself is shown all the same."""
    request_id = request_id_of(answer)
    if request_id is None:
        return None, (), ""
    try:
        logs, records = session.request_logs(request_id)
        absent = not logs.known and answer.status_code == httpx.codes.NOT_FOUND and _is_gone(session, worker)
    except DurableError as error:
        return None, (), f"Its log lines cannot be read: {error.message}"
    if absent:
        said = f"Worker {worker} is not live any more, so it logged nothing. To deploy it again: %durable deploy"
        return logs, records, said
    return logs, records, "" if logs.known else f"Its log lines come later: %durable logs {worker} --since 5m"


def _is_gone(session: Session, worker: str) -> bool:
    """Say whether a Worker that this session deployed is no longer live."""
    script = session.script_name(worker)
    return any(row["name"] == script and row["status"] == "gone" for row in session.worker_rows())


def _until_then(session: Session, error: TargetError, worker: str, timeout: float) -> str:
    """Return what a request that got no answer in time logged until then, as text below the error."""
    if error.request_id is None:
        return ""
    try:
        logs, records = session.request_logs(error.request_id, wait=0.2)
    except DurableError:
        return ""  # the error that is raised says more
    return text.render(no_answer_document(timeout, worker, logs, records))


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


def objects(call: Call) -> pd.DataFrame:
    """List the objects of a namespace."""
    o = call.options
    if o.all and o.limit:
        raise CommandError("%durable objects: --all reads all; leave out --limit.")
    if o.limit and not (o.limit.isascii() and o.limit.isdigit()):
        raise CommandError(f'%durable objects: --limit takes a whole number, not "{o.limit}".')
    given: dict[str, Any] = {"limit": None if o.all else int(o.limit)} if o.all or o.limit else {}
    session = current()
    found = session.objects(o.namespace, after=o.after, **given)
    return viewed_objects(session, o.namespace, found)


def viewed_objects(session: Session, stable_id: str, found: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of a namespace's objects as one that a notebook shows as a list."""
    from notebook_do.frames import records, viewed
    from notebook_do.notebook.completion import KnownNames  # brings IPython, which a command does without

    recorded = session.recorded()
    namespace = deployed_namespace(recorded, stable_id)
    names = KnownNames()
    first = next(iter(names.objects(stable_id)), "my-object")
    method = next(iter(names.methods(stable_id)), "METHOD")
    document = objects_document(
        records(found),
        stable_id=stable_id,
        class_name=namespace.class_name,
        worker=worker_of(recorded, namespace),
        local=session.target == "local",
        more=bool(found.attrs.get("more")),
        said=getattr(found, "said", ""),
        call=f"%durable call {stable_id} {shlex.quote(first)} {method}",
    )
    return viewed(found, View(document))


def values(call: Call) -> pd.DataFrame:
    """Read what objects stored by key."""
    from notebook_do.frames import records, viewed

    o = call.options
    found = current().values(o.namespace, object=o.object)
    return viewed(found, View(values_document(records(found), o.namespace, only=o.object)))


def query(call: Call) -> pd.DataFrame:
    """Run the statement of the line or of the cell's body."""
    o = call.options
    if (o.sql is None) is (call.body is None):
        raise CommandError(
            f'%durable query: write the statement once: %durable query {o.namespace} "SELECT ...", '
            f"or as the body of %%durable query {o.namespace}."
        )
    sql = o.sql if call.body is None else call.body
    return current().query(o.namespace, sql, *(parameter(text, "query") for text in o.param), object=o.object)
