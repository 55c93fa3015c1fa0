"""What passes between workerd and a service: one request, one answer, and the refusal of one.

The rule kept here: which resource is meant comes from workerd's configuration and never from a Worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

SERVICE_HEADER = "notebook-do-service"
RESOURCE_HEADER = "notebook-do-resource"
PROTOCOL_HEADER = "notebook-do-protocol"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `path` is as it was sent (percent-encoded); header names are in lower case."""

    method: str
    path: str
    query_text: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: BinaryIO
    size: int
    resource: str

    def json(self) -> Any:
        """Read the whole body as JSON."""
        return json.loads(self.body.read())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: `body`, and `file_size` bytes of `file` behind it. The file is closed once it was sent."""

    status: int = 200
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    file: BinaryIO | None = None
    file_size: int = 0


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """The request asks for what cannot be; workerd shows status and text to the Worker."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    def answer(self) -> Answer:
        """Say it as an answer; the text is its reason phrase, where KV and queues look for it."""
        return Answer(status=self.status, reason=self.text, body=self.text.encode())


Handler = Callable[[Request], Answer]


def json_answer(value: Any, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Answer with a JSON value."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status=status, headers=(("content-type", "application/json"), *headers), body=body)
