"""Asks live objects: what can be asked, the answers, and the ways there. No question is sent twice.

A way is chosen by the target (ways.py): locally the API asks, on Cloudflare a Worker of the session's own.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.errors import ApiError, CommandError, DurableError, JSError
from notebook_do.inspector.values import decode, error_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import NamespaceId

MOST_OPS, MOST_BYTES = 40, 8_000_000
"""What one request has at most: ops, and bytes of them."""
SECONDS = 20.0
_MARGIN = 5.0
"""Seconds for the way there and back, beside those of the objects."""

Op = dict[str, Any]
"""`object` ({id} or {name}), `op`, and what that needs: a call has `method`, `args`, `request`, maybe `follow`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """It was done, and gave this value."""

    value: Any
    ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threw:
    """The object's own code threw."""

    error: JSError
    ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMethod:
    """The class has no such method, so nothing was called; it has these, where that is known."""

    methods: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """It was refused; `why` says it to a person. With `done` it was done, and only its result cannot be had."""

    why: str
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotKnown:
    """No answer came. It may have been done, be under way or never be: it is not asked again."""

    why: str


Outcome = Returned | Threw | NoMethod | Declined | NotKnown


def not_sent(error: DurableError) -> Declined:
    """Return what became of an op that an error kept from being sent, where others were."""
    # Of these, that is: others of the same request may have been.
    return Declined(why=f"it was not sent: {str(error).removesuffix('; nothing was sent.')}")


class Inspecting(Protocol):
    """A way to ask the objects of one namespace."""

    async def ask(self, ops: Sequence[Op], *, at_once: int = 8, seconds: float = SECONDS) -> list[Outcome]:
        """Ask each op once, those of one object in order and `at_once` objects at a time; `seconds` are for each.

        Returns what became of each, in their order. Raises DurableError where not one of them was sent.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWay:
    """Asks through the API of a local Cloudflare."""

    client: Client
    namespace_id: NamespaceId

    async def ask(self, ops: Sequence[Op], *, at_once: int = 8, seconds: float = SECONDS) -> list[Outcome]:
        """Ask; see `Inspecting`."""
        outcomes: list[Outcome] = []
        for batch in batches(ops):
            try:
                outcomes += await self._ask(batch, at_once, seconds)
            except DurableError as error:
                if not outcomes:
                    raise
                # What was done is told all the same. An answer that was no answer does not say that nothing was.
                lost = [NotKnown(why=str(error))] * len(batch.texts) if isinstance(error, ApiError) else []
                return [*outcomes, *lost, *[not_sent(error)] * (len(ops) - len(outcomes) - len(lost))]
        return outcomes

    async def _ask(self, batch: Batch, at_once: int, seconds: float) -> list[Outcome]:
        ops = ",".join(batch.texts)
        asked = f'{{"atOnce": {min(at_once, MOST_OPS)}, "timeout": {round(seconds * 1000)}, "ops": [{ops}]}}'
        longest = max(-(-len(batch.texts) // at_once), batch.of_one) * seconds + _MARGIN
        try:
            found = await self.client.ask_objects(self.namespace_id, asked.encode(), longest)
        except NoAnswer as lost:
            if not lost.sent:
                raise
            return [NotKnown(why=str(lost))] * len(batch.texts)
        return [outcome_of(one) for one in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one request asks: each op as JSON; `of_one` is how many of them are for one object, at most."""

    texts: tuple[str, ...]
    of_one: int


def batches(ops: Sequence[Op]) -> list[Batch]:
    """Part ops into requests, in order. Raises CommandError for an op that no request can take."""
    made: list[Batch] = []
    texts: list[str] = []
    objects: Counter[str] = Counter()
    size = 0
    for op in ops:
        text = json.dumps(op, separators=(",", ":"), allow_nan=False)
        if len(text) > MOST_BYTES:
            raise CommandError("the arguments are larger than 8 MB; send them in parts.")
        if texts and (len(texts) == MOST_OPS or size + len(text) > MOST_BYTES):
            made.append(Batch(texts=tuple(texts), of_one=max(objects.values())))
            texts, objects, size = [], Counter(), 0
        texts.append(text)
        objects[str(op["object"])] += 1
        size += len(text)
    return [*made, Batch(texts=tuple(texts), of_one=max(objects.values()))] if texts else made


def outcome_of(answer: dict[str, Any]) -> Outcome:
    """Read what one op was answered with. Raises ApiError for an answer of another shape."""
    match answer:
        case {"ok": value}:
            return Returned(value=decode(value), ms=answer.get("ms"))
        case {"error": dict() as error}:
            return Threw(error=error_of(error), ms=answer.get("ms"))
        case {"absent": methods}:
            return NoMethod(methods=None if methods is None else tuple(methods))
        case {"refused": str() as why}:
            return Declined(why=why, done=answer.get("done") is True)
        case {"unknown": str() as why}:
            return NotKnown(why=why)
    raise ApiError("an object's answer has an unexpected shape: this version cannot read it.")
