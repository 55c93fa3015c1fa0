"""The inspector of a host: the Worker through which its objects can be asked from a notebook on Cloudflare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.model.words import Inspect, StableId


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A namespace whose objects an inspector reaches: for calls, or (True) to look into them as well."""

    stable_id: StableId
    class_name: str
    inspect: Inspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """What makes a Worker the inspector of the host `script_name`; `key` is the public key of who may ask, in base64.

    Its namespaces are sorted by stable ID.
    """

    script_name: str
    key: str
    namespaces: tuple[Inspected, ...]
