"""The answer of a Worker: an `httpx.Response` that can also be read in a notebook."""

from __future__ import annotations

import json

import httpx

from notebook_do.display import Shown, clean, in_json
from notebook_do.notebook.views.blocks import Code, Document, Header

_SHOWN = 10_000


class Answer(Shown, httpx.Response):
    """An `httpx.Response` in every respect, shown with its status, content type and body."""

    @classmethod
    def of(cls, response: httpx.Response) -> Answer:
        """Show `response`; nothing of it is copied or read again."""
        answer = cls.__new__(cls)
        answer.__dict__ = response.__dict__
        return answer

    def __repr__(self) -> str:
        return clean(httpx.Response.__repr__(self))


def answer_document(answer: Answer) -> Document:
    """Show status, content type and body; JSON is indented, bytes are only counted."""
    kind = answer.headers.get("content-type", "no content type")
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    return (Header(status, (("content type", kind),)), Code("", _body(answer, kind)))


def _body(answer: Answer, kind: str) -> str:
    if not answer.content:
        return "(empty body)"
    if "json" in kind:
        try:
            return _cut(in_json(json.dumps(answer.json(), indent=2, ensure_ascii=False)))
        except ValueError:
            return _cut(answer.text)
    text = kind.startswith("text/") or any(word in kind for word in ("javascript", "xml", "urlencoded"))
    if text or kind == "no content type":
        return _cut(answer.text)
    return f"({len(answer.content)} bytes)"


def _cut(text: str) -> str:
    text = text.rstrip("\n")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\n… {len(text) - _SHOWN} more characters; .text has all."
