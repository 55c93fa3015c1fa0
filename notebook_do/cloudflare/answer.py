"""Turns one HTTP answer into Cloudflare's result, or into one typed error that holds nothing of the request.

An answer that cannot be read (HTML, cut-off JSON, a redirect) is an `ApiError` without a code: it proves nothing
about what the server did. Only `retry.is_definite` decides what an error proves.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do import display
from notebook_do.errors import ApiError, TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_ANSWER = 64 * 1024 * 1024
_DEEPEST_JSON = 100
_LONGEST_TEXT = 2000
_SHORTEST_SECRET = 4

_HINTS = {
    1000: "the API token is not valid; create one with the permission Workers Scripts: Edit",
    6003: "the API token is malformed; copy it again",
    9106: "this token cannot be used here; use one with the permission Workers Scripts: Edit",
    9109: "the token is not allowed to do this; it needs the permission Workers Scripts: Edit",
    10000: "the token lacks a permission or belongs to another account; it needs Workers Scripts: Edit on this account",
    10063: "open Workers & Pages in the dashboard once to choose a workers.dev subdomain",
    10079: "somebody else deployed this Worker meanwhile; plan again",
    10020: "a route with that pattern is there already; plan again to see whose",
    100117: "delete that DNS record or choose another host name; a deploy never overrides one",
    10097: "declare the namespace with sqlite=True",
    10099: "declare the namespace with sqlite=True",
}


class NoAnswer(TargetError):  # noqa: N818 - what happened
    """No answer arrived. `sent` is False when the request certainly never reached the server."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer, fully read: nothing of the request but its method and path."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def error(self, text: str, *, code: int = 0) -> ApiError:
        """Make the error for this answer."""
        error = ApiError(text, code=code, status=self.status, method=self.method, path=self.path)
        error.retry_after = retry_after(self.headers)
        return error


Result = tuple[Any, dict[str, Any]]
"""(result, result_info) of an answer that says yes."""


def read(answer: Answer, secrets: tuple[str, ...] = ()) -> Result | ApiError:
    """Give the result of an answer that says yes, the error of any other. It is returned, not raised: no frame of it.

    `secrets` were part of the request: an error text that echoes one is masked.
    """
    if 300 <= answer.status < 400:
        return answer.error("the API answered with a redirect, which is never followed; check the API's base URL.")
    if answer.status < 300 and not answer.body.strip() and answer.method == "DELETE":
        return None, {}  # the delete endpoint documents an empty body
    envelope = _envelope(answer)
    if isinstance(envelope, ApiError):
        return envelope
    if envelope["success"] is True and answer.status < 300:
        info = envelope.get("result_info")
        return envelope.get("result"), info if isinstance(info, dict) else {}
    refusal = _masked(envelope, secrets)
    text, code = _refusal(refusal)
    error = answer.error(text, code=code)
    error.scenarios = _scenarios(refusal)
    return error


def one_line(text: str, limit: int = _LONGEST_TEXT) -> str:
    """Fold foreign text into one printable line, not longer than `limit`."""
    words = display.one_line(text[: limit * 4])
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _masked(value: Any, secrets: tuple[str, ...]) -> Any:
    """Mask the secrets in every text of a JSON value, before anything is folded or cut."""
    if isinstance(value, dict):
        return {key: _masked(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, secrets) for inner in value]
    if isinstance(value, str):
        for secret in secrets:
            for form in _forms(secret) if len(secret) >= _SHORTEST_SECRET else ():
                value = value.replace(form, "***")
    return value


def _forms(secret: str) -> tuple[str, ...]:
    """Give the forms in which a server that echoes a request shows a secret, longest first."""
    told = {secret, quote(secret, safe=""), *(json.dumps(secret, ensure_ascii=a)[1:-1] for a in (True, False))}
    return tuple(sorted(told, key=lambda form: (-len(form), form)))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in seconds, in both forms; a date is read against the answer's own Date, not our clock."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d+)?", text):
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None  # absent, or a form that nobody defined: the caller's own pace applies
    return max(0.0, wait.total_seconds())


def _envelope(answer: Answer) -> dict[str, Any] | ApiError:
    kind = one_line(answer.headers.get("content-type", "no content type"), 60)
    try:
        value = parse_json(answer.body)
    except ValueError as error:
        return answer.error(f"the answer is not Cloudflare's JSON ({kind}; {type(error).__name__}).")
    if not isinstance(value, dict) or not isinstance(value.get("success"), bool):
        return answer.error(f"the answer is JSON, but not an answer of Cloudflare's API ({kind}).")
    return value


def parse_json(body: bytes) -> Any:
    """Parse JSON of bounded depth, without NaN; raises ValueError for anything else, whatever it is."""
    text = body.decode("utf-8")
    depth = deepest = 0
    for bracket in re.findall(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', text, re.DOTALL):
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        deepest = max(deepest, depth)
    if deepest > _DEEPEST_JSON:
        raise ValueError("JSON nested too deeply")
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite)


def _finite(word: str) -> float:
    if not math.isfinite(value := float(word)):
        raise ValueError("a number that no float holds")
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _refusal(envelope: dict[str, Any]) -> tuple[str, int]:
    """Give the text and code of a refusal; all texts, because each may name another class."""
    errors = [e for e in _list(envelope.get("errors")) if isinstance(e, dict)]
    code = next((e["code"] for e in errors if type(e.get("code")) is int), 0)
    texts = [one_line(str(e.get("message") or "no message")) for e in errors]
    texts += [_detail(d) for d in _details(envelope)]
    hint = _HINTS.get(code)
    text = "; ".join(dict.fromkeys(texts)) or "Cloudflare refused without a reason"
    return (f"{one_line(text)} → {hint}." if hint else one_line(text)), code


def _scenarios(envelope: dict[str, Any]) -> frozenset[str]:
    """Give Cloudflare's own tags of what was wrong with `exports`, class by class (code 100402)."""
    return frozenset(str(d["scenario"]) for d in _details(envelope) if isinstance(d, dict) and "scenario" in d)


def _details(envelope: dict[str, Any]) -> list[Any]:
    """Give the details of an exports reconciliation failure: one for each class that does not fit."""
    metas = (e.get("meta") for e in _list(envelope.get("errors")) if isinstance(e, dict))
    return [d for meta in metas if isinstance(meta, dict) for d in _list(meta.get("details"))]


def _detail(detail: Any) -> str:
    """Write one line of an exports reconciliation failure."""
    if not isinstance(detail, dict):
        return one_line(str(detail))
    scripts = ", ".join(str(s) for s in _list(detail.get("referencing_scripts")))
    parts = [str(detail.get("message") or detail.get("scenario") or "refused"), str(detail.get("suggestion") or "")]
    return one_line(" ".join(p for p in parts if p) + (f" (bound by {scripts})" if scripts else ""))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def list_of(value: Any) -> list[Any]:
    """Insist on a list: another shape must never read as "there is nothing"."""
    if not isinstance(value, list):
        raise ApiError(f"Cloudflare's answer has an unexpected shape: a list was expected, not {type(value).__name__}.")
    return value


def dict_of(value: Any) -> dict[str, Any]:
    """Insist on an object."""
    if not isinstance(value, dict):
        raise ApiError(
            f"Cloudflare's answer has an unexpected shape: an object was expected, not {type(value).__name__}."
        )
    return value
