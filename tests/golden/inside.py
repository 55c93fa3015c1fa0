"""The one place of these tests that names what is inside the package. After a move, adapt this file and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

ORIGIN = "http://127.0.0.1:1"


def digest_of(plan: Any) -> str:
    """Give the digest of a plan as if the account's address, which is a free port here, were always the same."""
    return str(replace(plan, baseline=replace(plan.baseline, api_origin=ORIGIN)).digest)
