"""Turns HTTP answers into Cloudflare's results, page after page, or into one typed error that holds no request.

An answer that cannot be read (HTML, cut-off JSON, a redirect) is an `ApiError` without a code: it proves nothing
about what the server did. Only `retry.is_definite` decides what an error proves.

Lists come by cursor or by number. `result_info` says what comes next: `cursor` or `cursors.after` (both are in use), or
`total_pages`, or `total_count` with `per_page`. Where it says nothing, a page of a size that was asked for is the last
one when it is not full. Cloudflare's own SDK has a class of pages for each; here one function reads all, since a list
that ends too early reads as if what is missing were gone.
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
from notebook_do.display.hiding import without_known_secrets
from notebook_do.errors import ApiError, TargetError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    Read = Callable[[str, dict[str, Any] | None], Awaitable[tuple[Any, dict[str, Any]]]]


LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes; Cloudflare's largest script is as large, and no other answer comes near it."""
MOST_PAGES = 500
"""A list that still goes on is an error: what is compared with a list that was cut would look as if it were gone."""
_DEEPEST_JSON = 100
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"\\'))
_LONGEST_TEXT = 2000
_SHORTEST_SECRET = 4
"""Masking shorter secrets would mask parts of ordinary words, and say by that what they are."""

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
        """Return the error for this answer."""
        error = ApiError(text, code=code, status=self.status, method=self.method, path=self.path)
        error.retry_after = retry_after(self.headers)
        return error


Result = tuple[Any, dict[str, Any]]
"""(result, result_info) of an answer that says yes."""


def read(answer: Answer, secrets: tuple[str, ...] = ()) -> Result | ApiError:
    """Return the result of an answer that says yes, the error of any other.

    `secrets` were part of the request: an error text that echoes one is masked. The error is returned and not raised,
    for a traceback would hold this frame, and with it the secrets.
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
    words = display.one_line(text[: limit * 4])  # cut before it is folded: an error page may have megabytes
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
    """Return the forms in which a server that echoes a request shows a secret, longest first."""
    forms = {secret, quote(secret, safe=""), *(json.dumps(secret, ensure_ascii=a)[1:-1] for a in (True, False))}
    # Longest first: a form that is part of another one would leave the rest of that one in the text.
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


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
    # Counted before the standard library parses: its own end of a text of 100,000 brackets is a RecursionError.
    text = body.decode("utf-8")
    if not _is_shallow(body) and _depth(text) > _DEEPEST_JSON:
        raise ValueError("JSON nested too deeply")
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite)


def _is_shallow(body: bytes) -> bool:
    """Say whether brackets alone show that JSON is not nested deeply: False where strings have some too.

    What counts them one by one takes eight times as long as all of parsing does, and lists are long.
    """
    # An empty pair of quotes is left of a string without brackets and escapes; of any other a quote stays.
    left = body.translate(None, _NO_BRACKETS).replace(b'""', b"")
    for _ in range(_DEEPEST_JSON // 2):  # each time takes away two levels at most
        left = left.replace(b"[]", b"").replace(b"{}", b"")
        if not left:
            return True
    return False


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', text, re.DOTALL):
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        deepest = max(deepest, depth)
    return deepest


def _finite(word: str) -> float:
    if not math.isfinite(value := float(word)):
        raise ValueError("a number that no float holds")
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _refusal(envelope: dict[str, Any]) -> tuple[str, int]:
    """Return the text and code of a refusal; all texts, because each may name another class."""
    errors = objects_in(envelope.get("errors"))
    # The first code decides what is done about a refusal; the others are in the text.
    code = next((e["code"] for e in errors if type(e.get("code")) is int), 0)
    texts = [one_line(str(e.get("message") or "no message")) for e in errors]
    texts += [_detail(d) for d in _details(envelope)]
    hint = _HINTS.get(code)
    # What a Worker threw at its start is a refusal too, with whatever it said of its settings.
    text = without_known_secrets("; ".join(dict.fromkeys(texts))) or "Cloudflare refused without a reason"
    return (f"{one_line(text)} → {hint}." if hint else one_line(text)), code


def _scenarios(envelope: dict[str, Any]) -> frozenset[str]:
    """Return Cloudflare's own tags of what was wrong with `exports`, class by class (code 100402)."""
    return frozenset(str(d["scenario"]) for d in _details(envelope) if isinstance(d, dict) and "scenario" in d)


def _details(envelope: dict[str, Any]) -> list[Any]:
    """Return the details of an exports reconciliation failure: one for each class that does not fit."""
    metas = (e["meta"] for e in objects_in(envelope.get("errors")) if isinstance(e.get("meta"), dict))
    return [d for meta in metas if isinstance(meta.get("details"), list) for d in meta["details"]]


def _detail(detail: Any) -> str:
    """Write one line of an exports reconciliation failure."""
    if not isinstance(detail, dict):
        return one_line(str(detail))
    scripts = ", ".join(texts_in(detail.get("referencing_scripts")))
    parts = [str(detail.get("message") or detail.get("scenario") or "refused"), str(detail.get("suggestion") or "")]
    return one_line(" ".join(p for p in parts if p) + (f" (bound by {scripts})" if scripts else ""))


# --- shapes


def list_of(value: Any) -> list[Any]:
    """Return `value` where it is a list; raises ApiError otherwise: another shape is not "there is nothing"."""
    if not isinstance(value, list):
        raise ApiError(f"Cloudflare's answer has an unexpected shape: a list was expected, not {type(value).__name__}.")
    return value


def dict_of(value: Any) -> dict[str, Any]:
    """Return `value` where it is an object; raises ApiError otherwise."""
    if not isinstance(value, dict):
        raise ApiError(
            f"Cloudflare's answer has an unexpected shape: an object was expected, not {type(value).__name__}."
        )
    return value


def named(fields: dict[str, Any], key: str, what: str) -> str:
    """Return the text by which `what` is known; raises ApiError where it has none."""
    if (value := text_in(fields, key)) is None:
        raise ApiError(f"Cloudflare's answer has an unexpected shape: {what} without {key}.")
    return value


def text_in(fields: Mapping[str, Any], key: str) -> str | None:
    """Return a text that need not be there; None for an empty one too."""
    value = fields.get(key)
    return value if isinstance(value, str) and value else None


def texts_in(value: Any) -> tuple[str, ...]:
    """Return the texts of a list that need not be there."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list that need not be there."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# --- lists that come in pages


async def pages(
    read: Read, path: str, params: Mapping[str, Any] | None = None, *, key: str | None = None
) -> AsyncGenerator[list[Any], None]:
    """Yield one page after the other; `key` is where the list stands in an answer that is an object.

    Raises ApiError for a cursor that comes back, a page that was not asked for, and a list of more than `MOST_PAGES`.
    """
    asked: dict[str, Any] = dict(params or {})
    if "per_page" in asked:
        asked = {"page": 1, **asked}
    cursors: set[str] = set()
    for number in range(1, MOST_PAGES + 1):
        result, info = await read(path, asked or None)
        items = list_of(result if key is None else dict_of(result).get(key))
        yield items
        cursor = _cursor_of(info)
        if cursor in cursors:
            raise ApiError(f"the list at {path} does not end: page {number} gives a cursor that was used before.")
        if cursor:  # also after an empty page: the last one has no cursor
            cursors.add(cursor)
            asked = {**(params or {}), "cursor": cursor}
        elif items and _goes_on(path, info, len(items), number, asked):
            asked = {"page": number + 1, **(params or {})}
        else:
            return
    raise ApiError(f"the list at {path} has more than {MOST_PAGES} pages; nothing is done with a part of it.")


async def read_all(
    read: Read, path: str, params: Mapping[str, Any] | None = None, *, key: str | None = None
) -> list[Any]:
    """Read all pages of a list."""
    return [item async for items in pages(read, path, params, key=key) for item in items]


def _cursor_of(info: Mapping[str, Any]) -> str:
    """Return what stands for the next page; empty where this one is the last, or pages have numbers."""
    cursors = info.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return next((c for c in (after, info.get("cursor")) if isinstance(c, str) and c), "")


def _goes_on(path: str, info: Mapping[str, Any], count: int, number: int, asked: Mapping[str, Any]) -> bool:
    """Say whether a numbered page has one behind it."""
    given = info.get("page")
    if type(given) is int and given != number:  # a server that ignores `page` would give the first one for ever
        raise ApiError(f"the list at {path} does not end: page {number} was asked for, and page {given} came.")
    total, everything, size = (info.get(name) for name in ("total_pages", "total_count", "per_page"))
    if type(total) is int:
        return number < total
    if type(everything) is int and type(size) is int and size > 0:
        return number * size < everything
    return count == asked.get("per_page")
