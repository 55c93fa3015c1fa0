"""How many requests a deploy sends, against the real local Cloudflare: a constant, and what is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.sessions.session import Session

SCRIPTS, NAMESPACES = "GET scripts", "GET durable_objects/namespaces"
MANY = 6


def declare(name: str, note: str = "", *, class_name: str = "Counter", uses: str = "") -> None:
    """Declare a Worker with a class; `uses` names a Worker whose class it binds too."""
    source = f"export class {class_name} {{}}\nexport default {{ fetch() {{ return new Response('{note}') }} }};"
    bindings = {"COUNTER": nd.DurableObjectNamespace(f"of-{name}", class_name=class_name)}
    if uses:
        bindings["OTHER"] = nd.DurableObjectNamespace(f"of-{uses}", class_name="Counter", script_name=uses)
    nd.Worker(name, script=source, name=name, bindings=bindings)


def deployed(session: Session, sent: list[str]) -> list[str]:
    """Plan, deploy, and return what the deploy alone asked."""
    plan = session.plan()
    sent.clear()
    result = session.deploy(plan)
    assert result.ok
    assert result.requests == len(sent)
    return list(sent)


def test_one_worker(cloud: Path, sent: list[str]) -> None:
    """Issue 13.2: the first deploy of one Worker takes 5 requests, one of them for the ids in its mark; any other 3."""
    session = nd.session("one")
    declare("w")
    first = deployed(session, sent)
    assert first[:3] == [SCRIPTS, "PUT scripts/w", NAMESPACES]
    assert sorted(first[3:]) == ["PATCH scripts/w/script-settings", "POST scripts/w/subdomain"]
    declare("w", "changed")
    assert deployed(session, sent) == [SCRIPTS, "PUT scripts/w", SCRIPTS]
    declare("w", "changed", class_name="Tally")
    assert deployed(session, sent) == [SCRIPTS, "PUT scripts/w", NAMESPACES]
    assert deployed(session, sent) == []


def test_many_workers(cloud: Path, sent: list[str]) -> None:
    """Issue 13.4: what is sent together is compared with one list before it and seen in one list after it."""
    session = nd.session("many")
    for number in range(MANY):
        declare(f"w{number}")
    first = deployed(session, sent)
    assert len(first) == 2 + 3 * MANY
    assert [line for line in first if line.startswith("GET")] == [SCRIPTS, NAMESPACES]
    for number in range(MANY):
        declare(f"w{number}", "changed")
    second = deployed(session, sent)
    assert [second[0], second[-1]] == [SCRIPTS, SCRIPTS]
    assert sorted(second[1:-1]) == [f"PUT scripts/w{number}" for number in range(MANY)]


def test_one_list_for_each_later_wave(cloud: Path, sent: list[str]) -> None:
    """Issue 13.2: a Worker that binds another one's class is sent after it, and compared with one list more."""
    session = nd.session("waves")
    declare("a")
    declare("b", uses="a")
    first = deployed(session, sent)
    puts = [line for line in first if line.startswith("PUT")]
    assert puts == ["PUT scripts/a", "PUT scripts/b"]
    between = first[first.index(puts[0]) + 1 : first.index(puts[1])]
    assert [line for line in between if line.startswith("GET")] == [NAMESPACES, SCRIPTS]
    declare("a", "changed")
    declare("b", "changed", uses="a")
    assert deployed(session, sent) == [SCRIPTS, "PUT scripts/a", SCRIPTS, "PUT scripts/b", SCRIPTS]
