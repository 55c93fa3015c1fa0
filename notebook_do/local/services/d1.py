"""D1 databases: one SQLite file each, queried in the protocol that workerd's own D1 binding speaks.

What D1 forbids is forbidden here by SQLite's authorizer: other files, transactions of one's own, most pragmas. The
meta of an answer counts rows as this SQLite shows them: `rows_read` is the rows returned, `rows_written` the changes.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.server import ServiceAnswer, ServiceRefusal, ServiceRequest, json_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BOOKMARK_HEADER = "x-cf-d1-session-commit-token"
SECONDS = 30.0
MAX_SQL = 100_000
MAX_VALUE = 2_000_000
# Those of D1's page "Limits".
_LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MAX_SQL,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
}
_FILES = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
_TRANSACTIONS = {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT}
# Those that D1 documents; a pragma that changes how the file is kept is not among them.
_PRAGMAS = frozenset(
    {
        *("table_list", "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "function_list"),
        *("foreign_key_check", "foreign_key_list", "foreign_keys", "defer_foreign_keys", "quick_check", "optimize"),
        *("case_sensitive_like", "ignore_check_constraints", "legacy_alter_table", "recursive_triggers"),
        *("reverse_unordered_selects", "integrity_check"),
    }
)
# What SQLite's own modules ask inside a Worker's statement: FTS5 the first, at every use of a table, R-tree the other,
# when a table is made. They read; with a value `page_size` would change the file.
_READ = frozenset({"data_version", "page_size"})
# The first loads native code, the second takes an address in memory: both reach beyond the database.
_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "sqlite_version"})
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TRANSACTION = "D1 runs no BEGIN, COMMIT or SAVEPOINT of yours; give the statements to batch(), which is a transaction"


class QueryFailed(Exception):  # noqa: N818 - what happened, as D1 says it
    """A query that SQLite or D1's rules refuse; the message is D1's."""


class D1Service:
    """All D1 databases of one data directory. A database begins with its first query."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, _Database] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for database in self._open.values():
                database.close()
            self._open.clear()

    def path_of(self, database_id: str) -> Path:
        """Return the file of a database; an id is never part of a path, its digest is."""
        return self.folder / f"{hashlib.sha256(database_id.encode()).hexdigest()[:32]}.sqlite"

    def drop(self, database_id: str) -> None:
        """Delete a database with its data."""
        with self._lock:
            if known := self._open.pop(database_id, None):
                known.close()
            # Its -wal and -shm go too: SQLite would play an old log into a new database of that id.
            for path in self.folder.glob(f"{self.path_of(database_id).name}*"):
                path.unlink()

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer one request of a D1 binding; the resource is the database id."""
        if request.method != "POST" or request.path not in ("/query", "/execute"):
            raise ServiceRefusal(404, "Not Found")
        asked = request.json()
        queries = asked if isinstance(asked, list) else [asked]
        try:
            results = self._database(request.resource).run([(q["sql"], q.get("params") or []) for q in queries])
        except QueryFailed as failed:
            return json_answer({"success": False, "error": str(failed)}, status=500)
        shown = [_shown(result, request.query.get("resultsFormat", "ARRAY_OF_OBJECTS")) for result in results]
        # Of one length and growing: the binding compares bookmarks as texts to keep the newest.
        return json_answer(shown, headers=((BOOKMARK_HEADER, f"{time.time_ns():032x}"),))

    def _database(self, database_id: str) -> _Database:
        with self._lock:
            if database_id not in self._open:
                self._open[database_id] = _Database(self.path_of(database_id))
            return self._open[database_id]


class _Database:
    """One open database; its queries run one after the other, as on D1."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._ours = False
        self._why = ""
        self._deadline = 0.0
        # No cached statements: one that was compiled as ours would pass as a Worker's, unasked.
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, cached_statements=0)
        # A blob that was cast to text need not be UTF-8, and must not fail the whole query.
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        # Before the authorizer, which lets nobody change how the file is kept. D1 checks foreign keys from the start,
        # SQLite by itself does not.
        for statement in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {statement}")
        for limit, value in _LIMITS.items():
            self._db.setlimit(limit, value)
        self._db.set_authorizer(self._allowed)
        # Asked while a query runs: nothing else ends one that never does, and it holds the lock.
        self._db.set_progress_handler(lambda: int(time.monotonic() > self._deadline), 10_000)

    def close(self) -> None:
        """Close the file, after the query that runs."""
        with self._lock:
            self._db.close()

    def run(self, queries: Sequence[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
        """Run queries as one transaction: all of them, or none and QueryFailed."""
        real = [(sql, params) for sql, params in queries if _COMMENT.sub("", sql).strip(" \t\r\n;")]
        if not real:
            raise QueryFailed("No SQL statements detected.")
        with self._lock:
            self._deadline, self._why = time.monotonic() + SECONDS, ""
            self._control("BEGIN IMMEDIATE" if any(map(_may_write, real)) else "BEGIN")
            try:
                results = [self._query(sql, params) for sql, params in real]
                self._control("COMMIT")
            except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
                self._undo()
                raise QueryFailed(self._why or _words(error)) from None
            # Whatever it is: the next query must not find the connection inside a transaction.
            except BaseException:
                self._undo()
                raise
        return results

    def _undo(self) -> None:
        # Some failures (a full disk, an interrupt) have ended the transaction already.
        if self._db.in_transaction:
            self._control("ROLLBACK")

    def _control(self, statement: str) -> None:
        with self._own():
            self._db.execute(statement)

    @contextmanager
    def _own(self) -> Iterator[None]:
        """Let the authorizer pass the statements of the context: they are ours and not a Worker's."""
        self._ours = True
        try:
            yield
        finally:
            self._ours = False

    def _allowed(self, action: int, first: str | None, second: str | None, *_place: str | None) -> int:
        if self._ours:
            return sqlite3.SQLITE_OK
        if action in _TRANSACTIONS:
            self._why = _TRANSACTION
            return sqlite3.SQLITE_DENY
        pragma = action == sqlite3.SQLITE_PRAGMA and not _is_allowed((first or "").lower(), second)
        function = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS
        return sqlite3.SQLITE_DENY if pragma or function or action in _FILES else sqlite3.SQLITE_OK

    def _query(self, sql: str, params: list[Any]) -> dict[str, Any]:
        began, before, size = time.perf_counter(), self._db.total_changes, self._size()
        # sqlite3 runs one statement at a time.
        *first, last = _statements(sql)
        for statement in first:
            self._db.execute(statement).fetchall()
        cursor = self._db.execute(last, [_bound(value) for value in params])
        rows = [[_plain(value) for value in row] for row in cursor.fetchall()]
        changes, size_after = self._db.total_changes - before, self._size()
        with self._own():
            last_row_id = self._db.execute("SELECT last_insert_rowid()").fetchone()[0]
        meta = {
            "served_by": "notebook-do",
            "duration": (time.perf_counter() - began) * 1000,
            "changes": changes,
            "last_row_id": last_row_id,
            "changed_db": changes > 0 or size != size_after,
            "size_after": size_after,
            "rows_read": len(rows),
            "rows_written": changes,
        }
        return {"columns": [column[0] for column in cursor.description or ()], "rows": rows, "meta": meta}

    def _size(self) -> int:
        # As pragmas, not as the tables of the same name: those a Worker could put its own in front of.
        with self._own():
            pages, size = (self._db.execute(f"PRAGMA {word}").fetchone()[0] for word in ("page_count", "page_size"))
        return int(pages) * int(size)


def _is_allowed(pragma: str, value: str | None) -> bool:
    return pragma in _PRAGMAS or (pragma in _READ and value is None)


def _may_write(query: tuple[str, list[Any]]) -> bool:
    # `WITH` is not among these: it may stand before an INSERT.
    return not _COMMENT.sub("", query[0]).lstrip().lower().startswith(("select", "pragma", "explain", "values"))


def _statements(sql: str) -> list[str]:
    """Split SQL where a statement is complete; what is only blanks or comments goes with its neighbour."""
    found, rest = [], ""
    for piece in re.split(r"(?<=;)", sql):
        rest += piece
        if sqlite3.complete_statement(rest) and _COMMENT.sub("", rest).strip(" \t\r\n;"):
            found.append(rest)
            rest = ""
    if _COMMENT.sub("", rest).strip(" \t\r\n;"):
        found.append(rest)
    return found or [sql]


def _bound(value: Any) -> str | float | bytes | None:
    """Bind as D1 does: every JavaScript number is a double, a list is the bytes of a blob."""
    if isinstance(value, list):
        return bytes(value)
    return float(value) if isinstance(value, int) else value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return list(value)
    # JSON has neither infinity nor NaN.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(result: dict[str, Any], form: str) -> dict[str, Any]:
    columns, rows = result["columns"], result["rows"]
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    results = {"columns": columns, "rows": rows} if form == "ROWS_AND_COLUMNS" else objects
    return {"success": True, "results": results, "meta": result["meta"]}


def _words(error: Exception) -> str:
    """Return an SQLite error as workerd says it: the message, and the code's name behind it."""
    text = str(error)
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, sqlite3.ProgrammingError) and "number of bindings" in text:
        return "Wrong number of parameter bindings for SQL query."
    if name == "SQLITE_INTERRUPT":
        return f"D1 DB query exceeded {SECONDS:.0f} s: SQLITE_INTERRUPT"
    if name == "SQLITE_AUTH" or text == "not authorized":
        return "not authorized: SQLITE_AUTH"
    base = "_".join(name.split("_")[:2])
    extended = f" (extended: {name})" if name != base else ""
    return f"{text}: {base}{extended}" if name else text
