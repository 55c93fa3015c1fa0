"""What earlier editions left behind: state file, journal, and the account with its tags, as their code wrote them.

Each directory of `editions/` was written by running `HISTORY` with the code of its time against the small account
(`early`: b37d968, before secrets and triggers; `first`: 1bab368, the end of the first edition; `second`: the edition
before the house was rebuilt). They are never written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from corpus import DATE, source
from small_account import SmallAccount
from world import SESSION, Step, cloudflare, folder, planned_of, run_cell, shell, shown

FOLDER = Path(__file__).parent / "editions"
NAMES = ("early", "first", "second")
BESIDE = ("state.json", "journal.jsonl")
SECRET = {"MY_KEY": "first"}
PLACE = Path(".notebook_do") / SESSION / "production"


def history(*, early: bool = False) -> tuple[Step, ...]:
    """Give what was done in every edition; the early one had neither secrets nor routes."""
    more = "" if early else " --secret KEY=MY_KEY --route 'example.com/*'"
    head, tail = "%%durable worker w --bind COUNTER=counter", f"{more} --cron '0 0 * * *' {DATE}\n"
    return (
        Step(
            cells=(
                "%durable namespace counter --class Counter --script w",
                "%durable namespace gone --class Gone --script w --unprotect",
                f"{head} --bind GONE=gone{tail}{source('Counter', 'Gone')}",
            )
        ),
        Step(
            cells=(
                "%durable rm namespace gone",
                "%durable namespace counter --class Tally --script w",
                f"{head}{tail}{source('Tally')}",
            ),
            destroy=("gone",),
        ),
        Step(
            cells=(
                "%durable namespace room --class Room --script m",
                f"%%durable worker m --bind ROOM=room --lifecycle migrations {DATE}\n{source('Room')}",
            )
        ),
        Step(cells=(f"%%durable worker client --bind COUNTER=counter {DATE}\nexport default {{}}\n",)),
    )


def last_cells(name: str) -> list[str]:
    """Give the cells that say what is live at the end of an edition's history."""
    steps = history(early=name == "early")
    return [cell for step in steps[1:] for cell in step.cells if not cell.startswith("%durable rm")]


def played(*, early: bool = False) -> dict[str, str]:
    """Play the history with the code of today: the state file, the journal and the account that it leaves."""
    account = SmallAccount()
    with folder() as place, shell() as ip, cloudflare(account, place) as session:
        os.environ.update({} if early else SECRET)
        for step in history(early=early):
            for cell in step.cells:
                run_cell(ip, cell)
            plan = session.plan(step.destroy)
            assert session.deploy(plan, confirm=[c.phrase for c in plan.consents]).ok
        left = {f.name: getattr(account, f.name) for f in fields(account) if f.name not in {"sent", "awaited", "parts"}}
        texts = {name: (PLACE / name).read_text() for name in BESIDE}
    return {**texts, "account.json": json.dumps(left, indent=1, sort_keys=True) + "\n"}


def still(name: str, text: str) -> Any:
    """Read a state file or a journal, without the moments, the address and the digests of all that."""
    if name == "state.json":
        state = json.loads(text)
        state["target"]["api_origin"] = "ORIGIN"
        for grave in state["tombstones"]:
            grave["at"] = "AT"
        return {key: value for key, value in state.items() if key != "checksum"}
    entries = [json.loads(line) for line in text.splitlines()]
    for entry in entries:
        if "at" in entry.get("done", {}):
            entry["done"]["at"] = "AT"
    return [{k: 0 if k == "sent_at" else v for k, v in entry.items() if k != "sum"} for entry in entries]


# --- an edition read by the code of today


def pinned(plan: Any) -> dict[str, Any]:
    """Give what is pinned of a plan here: all but its digest, which is pinned in one file only."""
    return {key: value for key, value in planned_of(plan).items() if key != "digest"}


def account_of(name: str) -> SmallAccount:
    """Give the account as the edition left it."""
    return SmallAccount(**json.loads((FOLDER / name / "account.json").read_text()))


def put_state(name: str, origin: str) -> bytes:
    """Put the edition's state file here, bound to the address that the account has now; gives what was written.

    Its checksum is written as the format says: the sha256 of the rest as JSON with sorted keys and no spaces.
    """
    state = {k: v for k, v in json.loads((FOLDER / name / "state.json").read_text()).items() if k != "checksum"}
    state["target"]["api_origin"] = origin
    body = json.dumps(state, sort_keys=True, separators=(",", ":")).encode()
    state["checksum"] = "sha256:" + hashlib.sha256(body).hexdigest()
    PLACE.mkdir(parents=True)
    text = json.dumps(state, indent=1, sort_keys=True).encode() + b"\n"
    (PLACE / "state.json").write_bytes(text)
    return text


def put_journal(name: str, *, interrupted: bool) -> bytes:
    """Put the edition's journal here; one of an interrupted deploy lacks how its last mutation ended."""
    lines = (FOLDER / name / "journal.jsonl").read_bytes().splitlines(keepends=True)
    content = b"".join(lines[:-1] if interrupted else lines)
    (PLACE / "journal.jsonl").write_bytes(content)
    return content


def taken_over(name: str, *, interrupted: bool) -> dict[str, Any]:
    """Go on from what an edition left: read it, plan the cells that say what is live, and see what is written.

    An `interrupted` journal lacks its last line.
    """
    account = account_of(name)
    with folder() as place, shell() as ip, cloudflare(account, place) as session:
        os.environ.update(SECRET)
        state = put_state(name, os.environ["CLOUDFLARE_API_BASE_URL"].split("/client/")[0])
        journal = put_journal(name, interrupted=interrupted)
        for cell in last_cells(name):
            run_cell(ip, cell)
        rows = session.show("state").df.to_dict("records")
        plan = session.plan()
        untouched = [(PLACE / n).read_bytes() for n in BESIDE] == [state, journal]
        again = session.plan()
        assert not account.sent, "what is live already was sent again"
        return {
            "recorded": [{key: str(value) for key, value in row.items()} for row in rows],
            "planned": pinned(plan),
            "warnings": list(plan.warnings),
            "again": pinned(again) | {"warnings": len(again.warnings)},
            "untouched": untouched,
            **{n: still(n, (PLACE / n).read_text()) for n in BESIDE},
        }


def changed_after(name: str) -> dict[str, Any]:
    """Change the code of one Worker of an edition: what is sent, and how its state file and journal go on."""
    account = account_of(name)
    with folder() as place, shell() as ip, cloudflare(account, place) as session:
        os.environ.update(SECRET)
        put_state(name, os.environ["CLOUDFLARE_API_BASE_URL"].split("/client/")[0])
        count = put_journal(name, interrupted=False).count(b"\n")
        for cell in last_cells(name):
            run_cell(ip, cell + "// changed\n" if "worker w " in cell else cell)
        plan = session.plan()
        assert session.deploy(plan).ok
        told = {n: still(n, (PLACE / n).read_text()) for n in BESIDE}
        return {
            "planned": pinned(plan),
            "sent": [shown(request) for request in account.sent],
            "state.json": told["state.json"],
            "journal.jsonl": told["journal.jsonl"][count:],
        }


def known_by_tags(name: str) -> dict[str, Any]:
    """Plan without a state file what an edition left live: its tags alone tell what is whose."""
    with folder() as place, shell() as ip, cloudflare(account_of(name), place, digit="1") as session:
        os.environ.update(SECRET)
        for cell in last_cells(name):
            run_cell(ip, cell)
        plan = session.plan()
        columns = ["worker", "binding", "target", "class_name", "script_name", "namespace_id", "action"]
        return {
            "tags": {n: s["metadata"]["tags"] for n, s in sorted(account_of(name).scripts.items())},
            "planned": pinned(plan),
            "bindings": plan.bindings[columns].to_dict("records"),
            "migrations": plan.migrations.to_dict("records"),
        }


def read_edition(name: str) -> dict[str, Any]:
    """Give all that is pinned of an edition."""
    return {
        "taken over": taken_over(name, interrupted=False),
        "taken over after an interruption": taken_over(name, interrupted=True),
        "changed": changed_after(name),
        "known by tags": known_by_tags(name),
    }
