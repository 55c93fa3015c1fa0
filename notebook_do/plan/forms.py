"""Settles the wire form of Workers that are free to choose: by what they take over and by what they begin.

`exports` is the default. A Worker that takes a namespace over speaks as the one that gives it. Key-value storage can
begin only in the `migrations` form: `exports` takes `legacy-kv` for namespaces that are key-value already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.model import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Lifecycle
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.identity import Held
    from notebook_do.plan.standing import Standing


def settle_forms(held: Iterable[Held], standings: dict[str, Standing], facts: Facts, findings: Findings) -> None:
    """Settle `standings` in place; refusals go to `findings`."""
    listed = list(held)
    for one in listed:
        standing = standings[one.desired.script_name]
        if standing.free and one.live and one.live.script_name != one.desired.script_name:
            standings[one.desired.script_name] = replace(standing, form=form_of(one.live.script_name, standings, facts))
    for one in listed:
        if one.live is not None or one.desired.storage is not Storage.KV:
            continue
        standing = standings[one.desired.script_name]
        takes_over = any(o.desired.host == one.desired.host and _moves(o) for o in listed)
        if standing.free and not takes_over:
            standings[one.desired.script_name] = replace(standing, form="migrations")
        elif standing.form == "exports":
            findings.refuse(
                "kv-not-creatable",
                one.desired.stable_id,
                f"namespace {one.desired.stable_id} asks for key-value storage on Worker {one.desired.script_name}, "
                "which uses `exports`; there a new namespace can only be SQLite.",
                "leave sqlite=False (--kv) out",
                where=one.desired.where,
            )


def _moves(held: Held) -> bool:
    return held.live is not None and held.live.script_name != held.desired.script_name


def form_of(script: str, standings: dict[str, Standing], facts: Facts) -> Lifecycle:
    """Give the form of a script that hosts namespaces, declared or only live."""
    if script in standings:
        return standings[script].form
    live = facts.scripts.get(script)
    return (live.lifecycle if live else None) or "migrations"
