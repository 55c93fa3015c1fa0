"""No view of logs, and no printed line of them, shows what looks like a secret or has such a name; frames have all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.live.logs import PastLogs, asked_logs
from notebook_do.live.records import records_of
from notebook_do.notebook import logs as verb
from notebook_do.notebook.following import FollowedLogs
from notebook_do.notebook.views import html, text
from notebook_do.notebook.views.fetched import exception_blocks, log_blocks
from notebook_do.notebook.views.logged import (
    FOLDS,
    LiveLogs,
    exception_folds,
    live_document,
    past_document,
)
from notebook_do.sessions.logs import LocatedRecord
from notebook_do.sources.located import locate

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.notebook.views.blocks import Document

NOW = datetime(2026, 11, 26, 14, 2, 41, 512000, tzinfo=UTC)
SECRETS = (
    "sk_live_hunter2abcdefgh",
    "eyJhbGciOiJIUzI1NiJ9.eyJodW50ZXIyIjoiMSJ9.hunter2abcdef",
    "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    "postgres://ada:hunter2@db/shop",
    {"password": "hunter2", "nested": [{"apiKey": "hunter2"}]},
    json.dumps({"password": "hunter2"}),
)


def located(event: dict[str, Any]) -> list[LocatedRecord]:
    """Return the records of an event, as they come of a tail."""
    event = {"outcome": "ok", "event": {}, **event}
    return [
        LocatedRecord(record=one, stack=locate(one.stack, None) if one.stack else None)
        for one in records_of(event, "chat")
    ]


def told() -> list[LocatedRecord]:
    """Return lines and exceptions with secrets wherever an event has a text."""
    request = {"request": {"url": "https://x/reset/sk_live_hunter2abcdefgh?t=hunter2", "method": "GET"}}
    found: list[LocatedRecord] = []
    for one in SECRETS:
        found += located({"logs": [{"timestamp": 1, "level": "log", "message": ["it is", one]}], "event": request})
    stack = "Error: x\n at f (sk_live_hunter2abcdefgh.js:1:1)\n    at postgres://ada:hunter2@db/shop"
    for one in SECRETS:
        error = {"timestamp": 1, "name": "sk_live_hunter2abcdefgh", "message": f"no {one}".replace("'", '"')}
        event = {"exceptions": [{**error, "stack": stack}], "name": "sk_live_hunter2abcdefgh", "object": "a" * 64}
        found += located(event)
    return found


def test_no_view_of_logs_shows_a_secret() -> None:
    """Past logs, live ones, those of a request and its exception: in messages, stacks, paths and names of objects."""
    records = tuple(told())
    past = PastLogs(since=NOW, until=NOW, records=tuple(one.record for one in records), lines=len(records))
    views: list[Document] = [
        past_document(past, records, worker="chat", session="data", stage="dev", asked=""),
        live_document(LiveLogs(worker="chat", since=NOW, records=records, lines=len(records))),
        *(tuple(exception_blocks(one)) for one in records if one.record.exception),
        tuple(log_blocks(SimpleNamespace(known=True, complete=True, began=None, shared=()), records)),  # type: ignore[arg-type]
    ]
    for view in views:
        for shown in (text.render(view), html.render(view)):
            assert "hunter2" not in shown
            assert "hidden because" in shown


def test_a_followed_line_is_printed_without_its_secrets_and_the_frame_has_it_as_it_is(
    cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no output can be replaced each line is printed, and is in the frame what the Worker logged."""
    del cloud
    session = nd.session("chat")
    nd.Worker(
        "chat",
        script="""export default { fetch() {
  console.log("it is", { password: "hunter2", a: "kept" });
  console.error(new Error("no postgres://ada:hunter2@db/shop"));
  return new Response("ok");
} };
""",
    )
    session.deploy(session.plan())
    with session.tail("chat") as tail:
        logs = FollowedLogs(session, tail, asked_logs())
        printed = verb.TailPrint(logs)
        session.fetch("chat", "/")
        records = []
        while len(records) < 2:
            record = tail.next(20)
            assert record is not None
            records.append(record)
        printed.show(logs.take(records))
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert "kept" in shown
    assert "hidden because of its name" in shown
    assert "hidden because it looks like a secret" in shown
    assert any("hunter2" in one.message for one in records)


@pytest.mark.thorough
def test_a_view_draws_a_bounded_part_of_long_and_of_many_exceptions() -> None:
    """Twice a second the whole view is drawn: what it has more is counted, and in the frame."""
    many: list[LocatedRecord] = []
    for n in range(100):
        stack = "E: x\n" + "\n".join(f" at f{m} (a{'b' * 5_000}.js:1:1)" for m in range(100))
        error = {"timestamp": n + 1, "name": "E", "message": f"{n}-" + "y" * 5_000, "stack": stack}
        many += located({"exceptions": [error]})
    folds = exception_folds(many)
    drawn = text.render(tuple(folds))
    assert len(folds) == FOLDS + 1
    assert "Stacks of the last 20 different exceptions; 80 other exceptions came before them." in drawn
    assert "99-y" in drawn
    assert "… 60 more frames" in drawn
    assert "more characters" in drawn
    assert len(drawn) < FOLDS * 20_000
    whole = live_document(LiveLogs(worker="chat", since=NOW, records=tuple(many), lines=len(many)))
    assert len(html.render(whole)) < 1_500_000
