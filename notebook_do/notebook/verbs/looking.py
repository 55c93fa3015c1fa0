"""The verbs that look at what runs: Workers, and the objects of a namespace."""

from __future__ import annotations

from notebook_do.declare.line import Option
from notebook_do.notebook.verbs.verb import APPROVE, CONFIRM, JSON_OR_TEXT, WOKEN, Verb

_NAMESPACE = Option(name="namespace", value="NAMESPACE", required=True, knows="namespace", help="its stable ID")
_OBJECT = Option(name="--object", value="O", knows="object", help="one object, by its name or id; default all")


def _timeout(seconds: int) -> Option:
    return Option(name="--timeout", value="SECONDS", help=f"how long to wait for an answer; default {seconds}")


VERBS = (
    Verb(
        name="fetch",
        summary="call a deployed Worker and show its answer",
        brief="ask a Worker over HTTP",
        own=(
            Option(name="worker", value="WORKER", required=True, knows="reachable", help="Worker id or script name"),
            Option(name="path", value="PATH", help="path and query; default /"),
            Option(name="--method", value="M", help="HTTP method; default GET, with --data POST"),
            Option(name="--data", value="D", help="request body"),
            Option(name="--header", value="K:V", many=True, help="request header"),
            _timeout(60),
        ),
        example="%durable fetch my-worker /",
    ),
    Verb(
        name="call",
        summary="call a method of one object and show what it returns or throws",
        brief="a method of one object",
        own=(
            _NAMESPACE,
            Option(name="object", value="OBJECT", required=True, knows="object", help="its name or id"),
            Option(name="method", value="METHOD", required=True, knows="method", help="a method of its class"),
            Option(name="args", value="JSON", many=True, help=f"an argument; {JSON_OR_TEXT}"),
            _timeout(20),
        ),
        example="%durable call rooms kitchen post ada hello",
        about="As with fetch, no plan guards what the method does; an object that is not there is made.",
    ),
    Verb(
        name="map",
        summary="call a method for each row of a DataFrame, or with --change put, delete or execute",
        brief="a method, for rows of a frame",
        form="both",
        own=(
            _NAMESPACE,
            Option(name="frame", value="DF", required=True, knows="variable", help="a variable that holds the frame"),
            Option(name="--object", value="COLUMN", required=True, help="the column of the objects' names"),
            Option(name="--call", value="METHOD", knows="method", help="a method of their class"),
            Option(
                name="--change", value="C", choices=("put", "delete", "execute"), help="a change, in place of a call"
            ),
            Option(
                name="--args",
                value="A,B",
                many=True,
                help="the columns of its arguments: of put KEY,VALUE, of delete KEY, of execute SQL,...",
            ),
            Option(name="--concurrency", value="N", help="how many objects are called at a time; default 8"),
            _timeout(20),
            APPROVE,
            CONFIRM,
        ),
        example="%durable map rooms df --object room --call post --args author,text",
        about="A row that fails fails alone; x = %durable map ... keeps the result. A change is shown first, whole.",
    ),
    Verb(
        name="logs",
        summary="show what a Worker logged, as a DataFrame; with --follow as it comes",
        brief="what a Worker logged",
        own=(
            Option(name="worker", value="WORKER", required=True, knows="reachable", help="Worker id or script name"),
            Option(name="--since", value="TIME", help="such as 30m (default), 2h, 7d"),
            Option(name="--object", value="O", help="one object only, by its name or id"),
            Option(
                name="--level",
                value="LEVEL",
                choices=("debug", "info", "log", "warn", "error"),
                help="this level and above",
            ),
            Option(name="--limit", value="N", help="the most lines to read; default 1,000"),
            Option(name="--follow", help="show what it logs from now on, until Stop is pressed, or the interrupt"),
        ),
        example="%durable logs my-worker --since 1h --level error",
    ),
    Verb(
        name="objects",
        summary="list the stored objects of a namespace as a DataFrame",
        brief="the objects of a namespace",
        own=(
            _NAMESPACE,
            Option(name="--limit", value="N", help="the most to read; default 1,000"),
            Option(name="--after", value="ID", help="go on behind the object with this id"),
            Option(name="--all", help="read all, however many"),
        ),
        example="%durable objects counter",
        about="Where there are more, the last line says how to go on.",
    ),
    Verb(
        name="values",
        summary="read what objects stored by key (storage.put) as a DataFrame",
        brief="what objects stored by key",
        own=(_NAMESPACE, _OBJECT),
        example="%durable values counter --object visitors",
        about=WOKEN,
    ),
    Verb(
        name="query",
        summary="run a SELECT on the SQLite storage of objects, all or one, as a DataFrame",
        brief="SELECT on their SQLite",
        form="both",
        own=(
            _NAMESPACE,
            Option(name="sql", value="SQL", help="the statement, in quotes; or the body of the cell"),
            _OBJECT,
            Option(name="--param", value="V", many=True, help=f"value for a ? of the statement; {JSON_OR_TEXT}"),
        ),
        example='%durable query rooms "SELECT * FROM messages"',
        about=WOKEN,
    ),
)
