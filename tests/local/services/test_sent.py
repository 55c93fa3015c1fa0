"""Data points, records of pipelines and emails: kept where a person can list them, and never more than so many."""

from __future__ import annotations

import asyncio
import email
from typing import TYPE_CHECKING, Any

from notebook_do.local.services import sent as sent_module
from notebook_do.local.services.sent import SentService

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

HITS = {"type": "analytics_engine", "name": "HITS", "dataset": "hits"}
EVENTS = {"type": "pipelines", "name": "EVENTS", "pipeline": "events"}
STREAM = {"type": "pipelines", "name": "STREAM", "stream": "of-events"}
MAIL = {"type": "send_email", "name": "MAIL"}
ONE = {"type": "send_email", "name": "ONE", "destination_address": "a@example.com"}
SOME = {
    "type": "send_email",
    "name": "SOME",
    "allowed_destination_addresses": ["a@example.com", "b@example.com"],
    "allowed_sender_addresses": ["me@example.org"],
}
MAILER = """
import { EmailMessage } from "cloudflare:email";
export default { async fetch(request, env) {
  const { binding, from, to, raw } = await request.json();
  try {
    const message = new EmailMessage(from, to, raw);
    if (!(message instanceof EmailMessage)) throw new Error("no EmailMessage");
    const { messageId } = await env[binding].send(message);
    return Response.json({ sent: messageId.endsWith(`@${from.split("@")[1]}>`) });
  } catch (error) {
    return Response.json({ error: error.message });
  }
} };
"""
ME = "me@example.org"
RAW = "From: Me <me@example.org>\r\nTo: a@example.com\r\nMessage-ID: <1@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n"  # noqa: E501 - one email


def listed(asking: Any, type_: str, name: str | None = None) -> list[Any]:
    """Give what was sent, the oldest first."""
    found = asking.services.sent.listed(type_, name, before=None, limit=1000)
    return [one.item for one in reversed(found)]


def test_data_points_are_kept(ask: Callable[..., None]) -> None:
    """A point has the columns of its index, blobs and doubles; one that Analytics Engine would not take is not kept."""

    async def story(asking: Any) -> None:
        point = {"indexes": ["page"], "doubles": [1, 0, 2.5], "blobs": ["Berlin", {"$bytes": [228, 0]}, None, "ä"]}
        for given in (point, {"doubles": [0] * 21}, {"blobs": ["last"]}):
            assert await asking.one("HITS", "writeDataPoint", given) is None
        # A Worker does not wait for its points.
        async with asyncio.timeout(20):
            while {"blob1": "last"} not in (points := listed(asking, "analytics_engine", "hits")):
                await asking.one("HITS", "writeDataPoint", {"doubles": [0] * 21})
        columns = {"double1": 1, "double3": 2.5, "blob1": "Berlin", "blob2": {"base64": "5AA="}, "blob4": "ä"}
        assert points == [{"index1": "page", **columns}, {"blob1": "last"}]

    ask(story, HITS)


def test_records_of_a_pipeline_are_kept(ask: Callable[..., None]) -> None:
    """Each record is an item of its pipeline or stream, in the order of sending; what is no array is refused."""

    async def story(asking: Any) -> None:
        said = await asking.all(
            ["EVENTS", "send", [{"n": 1}, {"n": 2, "t": "ä"}]],
            ["STREAM", "send", [{"$date": 1}]],
            ["EVENTS", "send", {"n": 3}],
            ["EVENTS", "send", [{"big": "x" * (5 << 20)}]],
        )
        assert said[:2] == [None, None]
        assert said[2] == {"error": "send() needs an array of records"}
        assert said[3]["error"].startswith("send() takes at most 5242880 bytes of records")
        assert listed(asking, "pipelines", "events") == [{"n": 1}, {"n": 2, "t": "ä"}]
        assert listed(asking, "pipelines", "of-events") == ["1970-01-01T00:00:00.001Z"]

    ask(story, EVENTS, STREAM)


def test_an_email_message_is_kept(play: Callable[..., None]) -> None:
    """What a Worker sends as an EmailMessage can be listed and read as it is; what Cloudflare refuses is refused."""

    async def story(stage: Any) -> None:
        stage.put("mailer", MAILER, bindings=(MAIL, ONE, SOME))

        async def send(
            binding: str, to: str = "a@example.com", *, sender: str = "me@example.org", raw: str = RAW
        ) -> Any:
            asked = {"binding": binding, "from": sender, "to": to, "raw": raw}
            return (await stage.call("mailer", method="POST", json=asked)).json()

        assert await send("MAIL", "anybody@example.net") == {"sent": True}
        assert await send("ONE") == {"sent": True}
        assert await send("SOME", "b@example.com") == {"sent": True}
        assert await send("ONE", "b@example.com") == {"error": "email to b@example.com not allowed"}
        assert await send("SOME", "c@example.com") == {"error": "email to c@example.com not allowed"}
        assert await send("SOME", sender="x@example.org") == {"error": "email from x@example.org not allowed"}
        assert await send("MAIL", sender="x@example.org") == {"error": "From: header does not match mail from"}
        assert await send("MAIL", raw=RAW.replace("Message-ID", "X-ID")) == {"error": "invalid message-id"}
        assert await send("MAIL", raw="Received: from x\r\n" + RAW) == {"error": "invalid headers set"}
        newest, *_ = found = stage.runtime.services.sent.listed("send_email", "mailer", before=None, limit=10)
        assert [one.item["to"] for one in found] == [["b@example.com"], ["a@example.com"], ["anybody@example.net"]]
        assert newest.item == {"from": "me@example.org", "to": ["b@example.com"], "subject": "Grüße"}
        assert stage.runtime.services.sent.content(newest.id) == RAW.encode()

    play(story)


def test_an_email_of_fields_is_written(ask: Callable[..., None]) -> None:
    """Fields become an email with text, HTML and attachments; every recipient is judged, and `bcc` is in no header."""

    async def story(asking: Any) -> None:
        fields = {
            "from": {"name": "Me", "email": "me@example.org"},
            "to": ["a@example.com", "B <b@example.com>"],
            "subject": "Grüße",
            "text": "plain",
            "html": "<b>rich</b>",
            "headers": {"X-Own": "1"},
            "attachments": [
                {"filename": "a.bin", "type": "application/x-own", "content": {"$bytes": [0, 255]}},
                {"filename": "b.txt", "type": "text/plain", "content": "ä", "disposition": "inline", "contentId": "b"},
            ],
        }
        said = await asking.all(["SOME", "send", fields], ["MAIL", "send", {**fields, "bcc": "hidden@example.com"}])
        assert [one["messageId"].endswith("@example.org>") for one in said] == [True, True]
        newest, first = asking.services.sent.listed("send_email", "asked", before=None, limit=10)
        assert newest.item["to"] == ["a@example.com", "b@example.com", "hidden@example.com"]
        content = asking.services.sent.content(newest.id)
        assert b"hidden@" not in content
        written = email.message_from_bytes(content, policy=email.policy.default)
        assert (written["From"], written["Subject"], written["X-Own"]) == ("Me <me@example.org>", "Grüße", "1")
        assert written["Message-ID"] == said[1]["messageId"]
        assert written.get_body(["html"]).get_content().strip() == "<b>rich</b>"
        assert written.get_body(["plain"]).get_content().strip() == "plain"
        files = {part.get_filename(): part.get_payload(decode=True) for part in written.walk() if part.get_filename()}
        assert files == {"a.bin": b"\x00\xff", "b.txt": "ä".encode()}
        refused = await asking.all(
            ["SOME", "send", {**fields, "cc": "c@example.com"}],
            ["MAIL", "send", {**fields, "to": "nobody"}],
            ["MAIL", "send", {"from": "me@example.org", "to": "a@example.com", "subject": "empty"}],
            ["MAIL", "send", None],
            ["MAIL", "send", {**fields, "subject": "two\nlines"}],
        )
        assert refused[0] == {"error": "email to c@example.com not allowed"}
        assert refused[1] == {"error": '"nobody" is not an email address'}
        assert refused[2] == {"error": "an email needs `to`, and `text` or `html`"}
        assert refused[3] == {"error": "send() needs an EmailMessage"}
        assert refused[4]["error"].startswith("the email cannot be written: ")
        assert len(asking.services.sent.listed("send_email", "asked", before=None, limit=10)) == 2
        assert first.item["to"] == ["a@example.com", "b@example.com"]

    ask(story, MAIL, SOME)


def test_only_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each name the newest items stay, by number and by size; other names are left alone."""
    monkeypatch.setattr(sent_module, "MOST_ITEMS", 5)
    monkeypatch.setattr(sent_module, "MOST_BYTES", 100)
    service = SentService(tmp_path / "sent.sqlite", clock=lambda: 1.0)
    service.keep("pipelines", "other", [(0, None)])
    service.keep("pipelines", "p", [(number, None) for number in range(8)])
    found = service.listed("pipelines", "p", before=None, limit=10)
    assert [one.item for one in found] == [7, 6, 5, 4, 3]
    assert [one.item for one in service.listed(None, None, before=found[1].id, limit=2)] == [5, 4]
    service.keep("pipelines", "p", [("x" * 90, None)])
    assert [one.item for one in service.listed("pipelines", "p", before=None, limit=10)] == ["x" * 90, 7, 6, 5, 4]
    service.keep("pipelines", "p", [("y" * 90, None)])
    assert [one.item for one in service.listed("pipelines", "p", before=None, limit=10)] == ["y" * 90]
    assert [one.item for one in service.listed("pipelines", "other", before=None, limit=10)] == [0]
    service.close()
