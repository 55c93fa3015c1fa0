"""Emails that Workers send: whether a `send_email` binding may, and the MIME text of what is sent as fields.

The texts of the refusals are those of Cloudflare's own local simulator (workers-sdk, miniflare). What needs a person's
account is not asked here: whether an address was verified, and whether the sender's domain is the account's.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import formataddr, parseaddr
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.server import ServiceRefusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """One email as it would be sent."""

    sender: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    content: bytes


def judged(asked: Mapping[str, Any], content: bytes) -> Email:
    """Read an email that a Worker wrote as MIME text; raises the refusal of one that may not be sent."""
    sender, recipient = str(asked["from"]), str(asked["to"])
    _check(asked["rules"], sender, [recipient])
    message = message_from_bytes(content)
    if message["Message-ID"] is None:
        raise ServiceRefusal(400, "invalid message-id")
    if parseaddr(str(message["From"]))[1] != sender:
        raise ServiceRefusal(400, "From: header does not match mail from")
    if message["Received"] is not None:
        raise ServiceRefusal(400, "invalid headers set")
    subject = str(make_header(decode_header(str(message["Subject"] or ""))))
    return Email(sender=sender, recipients=(recipient,), subject=subject, message_id=_fresh(sender), content=content)


def composed(fields: Mapping[str, Any], rules: Mapping[str, Any]) -> Email:
    """Write an email that a Worker gave as fields; raises the refusal of one that may not be sent."""
    sender = _address(fields.get("from"))[1]
    recipients = tuple(_address(one)[1] for key in ("to", "cc", "bcc") for one in _several(fields.get(key)))
    _check(rules, sender, recipients)
    if not recipients or not any(fields.get(key) for key in ("text", "html")):
        raise ServiceRefusal(400, "an email needs `to`, and `text` or `html`")
    message_id, subject = _fresh(sender), str(fields.get("subject") or "")
    try:
        content = _message(fields, subject, message_id).as_bytes()
    except (MessageError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServiceRefusal(400, f"the email cannot be written: {error}") from None
    return Email(sender=sender, recipients=recipients, subject=subject, message_id=message_id, content=content)


def _message(fields: Mapping[str, Any], subject: str, message_id: str) -> EmailMessage:
    message = EmailMessage()
    # Whom `bcc` names is among the recipients and in no header.
    for header, key in (("From", "from"), ("To", "to"), ("Cc", "cc"), ("Reply-To", "replyTo")):
        if several := _several(fields.get(key)):
            message[header] = ", ".join(formataddr(_address(one)) for one in several)
    message["Subject"], message["Message-ID"] = subject, message_id
    for header, value in (fields.get("headers") or {}).items():
        message[header] = str(value)
    texts = [(fields[key], subtype) for key, subtype in (("text", "plain"), ("html", "html")) if fields.get(key)]
    for number, (text, subtype) in enumerate(texts):
        (message.add_alternative if number else message.set_content)(text, subtype=subtype)
    for file in fields.get("attachments") or []:
        main, _, sub = str(file.get("type") or "application/octet-stream").partition("/")
        about: dict[str, Any] = {"filename": file["filename"], "disposition": file.get("disposition") or "attachment"}
        if file.get("contentId"):
            about["cid"] = f"<{file['contentId']}>"
        message.add_attachment(base64.b64decode(file["content"]), maintype=main, subtype=sub, **about)
    return message


def _check(rules: Mapping[str, Any], sender: str, recipients: Iterable[str]) -> None:
    """Refuse addresses that the binding does not allow."""
    senders = rules.get("allowed_sender_addresses")
    if senders is not None and sender not in senders:
        raise ServiceRefusal(400, f"email from {sender} not allowed")
    one, several = rules.get("destination_address"), rules.get("allowed_destination_addresses")
    for recipient in recipients:
        if (one is not None and recipient != one) or (several is not None and recipient not in several):
            raise ServiceRefusal(400, f"email to {recipient} not allowed")


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _address(value: Any) -> tuple[str, str]:
    """Read an address as (name, address): text, with a name or without, or {name, email}."""
    named = value if isinstance(value, dict) else {}
    name, address = parseaddr(value) if isinstance(value, str) else (named.get("name") or "", named.get("email"))
    if not isinstance(address, str) or "@" not in address:
        raise ServiceRefusal(400, f"{json.dumps(value)[:100]} is not an email address")
    return str(name), address


def _fresh(sender: str) -> str:
    return f"<{secrets.token_urlsafe(27)}@{sender.rpartition('@')[2]}>"
