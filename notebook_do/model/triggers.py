"""What calls a Worker besides its workers.dev address and its cron triggers: routes, custom domains and queues."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from notebook_do.model.declared import Json

TriggerKind = Literal["route", "domain", "consumer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger of a Worker, declared or recorded as ours.

    `key` is the pattern of a route, the host name of a custom domain, the name of a consumed queue; in an account there
    is at most one of a kind and key. `settings` are those of a consumer, in Cloudflare's words.
    """

    kind: TriggerKind
    key: str
    settings: Json = field(default=Json({}))

    @property
    def label(self) -> str:
        """Name it for a person."""
        return f"{_WORDS[self.kind]} {self.key}"


_WORDS: dict[TriggerKind, str] = {"route": "route", "domain": "custom domain", "consumer": "consumer of queue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTrigger:
    """What is live at one kind and key.

    `script` is the Worker that holds it, None where nobody does. `parent` is the id of its zone or queue, None where
    the account has none. `id` is Cloudflare's own, for changing and removing it.
    """

    kind: TriggerKind
    key: str
    script: str | None = None
    settings: Json = field(default=Json({}))
    id: str | None = None
    parent: str | None = None
