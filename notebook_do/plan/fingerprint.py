"""Names what was sent of a Worker besides its code, so that an unchanged Worker is known without reading it back.

The text kept in the state file has four parts, `<upload>.<url>.<crons>.<assets>`: what the upload carries, whether the
URL is open, the cron triggers, and the static assets (left out where there are none); `-` stands for a part that was
never set. It is compared with itself only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.model import WORKER_FIELDS, ClassBinding, Json, PlainText, Resource, Secret, ServiceBinding

if TYPE_CHECKING:
    from notebook_do.model import DesiredWorker, ScriptBinding

UNSET = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The four parts."""

    upload: str = UNSET
    url: str = UNSET
    crons: str = UNSET
    assets: str = UNSET

    def __str__(self) -> str:
        parts = [self.upload, self.url, self.crons, *([] if self.assets == UNSET else [self.assets])]
        return ".".join(parts)


def read_fingerprint(text: str | None) -> Fingerprint:
    """Read a recorded fingerprint; anything unknown counts as never set, which only causes one more upload."""
    match (text or "").split("."):
        case [upload, url, crons]:
            return Fingerprint(upload=upload, url=url, crons=crons)
        case [upload, url, crons, assets]:
            return Fingerprint(upload=upload, url=url, crons=crons, assets=assets)
    return Fingerprint()


def fingerprint(worker: DesiredWorker) -> Fingerprint:
    """Name the declared settings. An undeclared compatibility date counts as undeclared, whatever is live."""
    upload = [
        worker.main_module,
        [plain_binding(b) for b in worker.bindings],
        *(getattr(worker, row.name) for row in WORKER_FIELDS.values() if row.part == "upload" and not row.setting),
        worker.options.text,
    ]
    return Fingerprint(
        upload=_short(upload),
        url="open" if worker.url else "closed",
        crons=crons_part(worker.crons),
        assets=worker.assets.digest if worker.assets else UNSET,
    )


def crons_part(crons: tuple[str, ...]) -> str:
    """Name a set of cron triggers; none at all is like never set."""
    return _short(sorted(crons)) if crons else UNSET


def plain_binding(binding: ScriptBinding) -> list[Any]:
    """Reduce a binding to JSON values; a secret to being one: its mark tells the rest."""
    if isinstance(binding, ClassBinding):
        return [binding.name, "class", binding.class_name, binding.script_name, binding.environment]
    match binding.value:
        case PlainText(text=text):
            return [binding.name, "text", text]
        case Json(text=text):
            return [binding.name, "json", text]
        case Secret():
            return [binding.name, "secret"]
        case ServiceBinding(worker=worker, entrypoint=entrypoint, environment=environment, props=props):
            told = [binding.name, "service", worker, entrypoint, environment]
            return told if props is None else [*told, props.text]
        case Resource(type=kind, fields=fields):
            return [binding.name, kind, fields.text]


def _short(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
