"""The verbs of one object: what it has stored, and changes of it that are shown before they are sent."""

from __future__ import annotations

from notebook_do.declare.line import Option
from notebook_do.notebook.verbs.verb import APPROVE, CONFIRM, JSON_OR_TEXT, WOKEN, Verb

_OF_ONE = (
    Option(name="namespace", value="NAMESPACE", required=True, knows="namespace", help="its stable ID"),
    Option(name="object", value="OBJECT", required=True, knows="object", help="its name or id"),
)
_KEY = Option(name="key", value="KEY", required=True, help="the key, as storage.put has it")
_ABOUT = "It is shown with what is there now; a press, or --approve with its digest, sends it."

VERBS = (
    Verb(
        name="object",
        summary="show what one object has stored: tables, keys, size, last write, alarm",
        brief="all that one object stored",
        own=_OF_ONE,
        example="%durable object rooms kitchen",
        about=WOKEN,
    ),
    Verb(
        name="put",
        summary="change the value of one key of an object; shown first",
        brief="write one key",
        own=(*_OF_ONE, _KEY, Option(name="value", value="JSON", required=True, help=JSON_OR_TEXT), APPROVE),
        example="%durable put rooms kitchen topic cooking",
        about=_ABOUT,
    ),
    Verb(
        name="delete",
        summary="delete one key of an object; shown first",
        brief="delete one key",
        own=(*_OF_ONE, _KEY, APPROVE),
        example="%durable delete rooms kitchen topic",
        about=_ABOUT,
    ),
    Verb(
        name="execute",
        summary="run a statement on the SQLite storage of an object; the rows that change are shown first",
        brief="a statement on its SQLite",
        form="both",
        own=(
            *_OF_ONE,
            Option(name="sql", value="SQL", help="the statement, in quotes; or the body of the cell"),
            Option(name="--param", value="V", many=True, help=f"value for a ? of the statement; {JSON_OR_TEXT}"),
            APPROVE,
        ),
        example="%durable execute rooms kitchen \"UPDATE messages SET text = '' WHERE author = 'ada'\"",
        about=_ABOUT,
    ),
    Verb(
        name="alarm",
        summary="set or delete the alarm of an object, or run its alarm() now; shown first",
        brief="set, delete or run its alarm",
        own=(
            *_OF_ONE,
            Option(
                name="when",
                value="TIME",
                required=True,
                help="2026-12-24T18:00Z, 5m (s, m, h, d) from now, off, or run for now and once",
            ),
            APPROVE,
        ),
        example="%durable alarm rooms kitchen 5m",
        about=f"{_ABOUT}\n  That a digest is good once stands in changes.log beside the state file. Where that is not, "
        "as in another\n  checkout, the digest of run, which leaves nothing else behind, is another one.",
    ),
    Verb(
        name="wipe",
        summary="delete all that an object has stored; asks for a phrase",
        brief="delete all that it stored",
        own=(*_OF_ONE, APPROVE, CONFIRM),
        example="%durable wipe rooms kitchen",
        about="A snapshot keeps it: %durable snapshot.",
    ),
    Verb(
        name="snapshot",
        summary="write all that an object has stored to a new file, which restore takes",
        brief="write it all to a file",
        own=(*_OF_ONE, Option(name="path", value="FILE", required=True, knows="path", help="the file to write")),
        example="%durable snapshot rooms kitchen kitchen.ndsnap",
    ),
    Verb(
        name="restore",
        summary="put what a snapshot holds in place of what an object has; asks for a phrase",
        brief="put a snapshot in its place",
        own=(
            *_OF_ONE,
            Option(name="path", value="FILE", required=True, knows="path", help="a file that snapshot wrote"),
            Option(name="--other", help="the snapshot is of another object, and this is meant"),
            APPROVE,
            CONFIRM,
        ),
        example="%durable restore rooms kitchen kitchen.ndsnap",
    ),
)
