"""How many requests plans, deploys and a destruction send, as a session grows: counted on the real local Cloudflare.

Each size is a run of its own (`-k "[100]"`); all Workers are really uploaded, so that a thousand take minutes.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

SOURCE = """import {{ DurableObject }} from "cloudflare:workers";
export class Room extends DurableObject {{}}
export default {{ fetch() {{ return new Response("{note}"); }} }};"""


def declare(number: int, note: str) -> None:
    """Declare a Worker with a namespace of its own."""
    room = nd.DurableObjectNamespace(f"room-{number}", class_name="Room", script_name=f"w-{number}", protect=False)
    nd.Worker(f"w-{number}", script=SOURCE.format(note=note), bindings={"ROOM": room}, url=False)


def counted(sent: list[str], rows: dict[str, int], name: str, act: Callable[[], Plan]) -> Plan:
    """Plan, and count the requests of it."""
    sent.clear()
    plan = act()
    rows[name] = len(sent)
    return plan


def deployed(session: Session, sent: list[str], rows: dict[str, int], name: str, plan: Plan) -> None:
    """Deploy a plan, and count the requests of it; `plan` aside."""
    sent.clear()
    session.deploy(plan, confirm=[consent.phrase for consent in plan.consents])
    rows[name] = len(sent)


@pytest.mark.benchmark
@pytest.mark.parametrize("workers", [1, 10, 100, 1000])
def test_requests(workers: int, own_cloud: Path, sent: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 13.2: nothing, one and all changed, the first plan, deploys, and a destruction of one Worker."""
    session, rows = nd.session("many"), dict[str, int]()
    for number in range(workers):
        declare(number, "first")
    deployed(session, sent, rows, "deploy", counted(sent, rows, "first plan", session.plan))
    counted(sent, rows, "plan after it", session.plan)
    counted(sent, rows, "nothing changed", session.plan)
    declare(0, "second")
    deployed(session, sent, rows, "deploy of one", counted(sent, rows, "one changed", session.plan))
    session.plan()
    for number in range(workers):
        declare(number, "third")
    deployed(session, sent, rows, "deploy of all", counted(sent, rows, "all changed", session.plan))
    session.plan()
    destroy = counted(sent, rows, "destroy one", lambda: session.destroy("w-0"))
    deployed(session, sent, rows, "deploy of that", destroy)
    bound = {"nothing changed": f"at most {2 + math.ceil(workers / 100) + 8}"}
    lines = [f"{name:16}{count:8,}  {bound.get(name, '')}".rstrip() for name, count in rows.items()]
    with capsys.disabled():
        sys.stdout.write(f"\nrequests for {workers:,} Workers\n" + "\n".join(lines) + "\n")
