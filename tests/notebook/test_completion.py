"""Completion as IPython gives it, in lines and in cell bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from IPython.core.completer import provisionalcompleter

from notebook_do.sessions.opening import current, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

LIVE = "%durable namespace x --script wrangler-made"
SCRIPT = "export class Counter extends DurableObject {}"


def completed(ip: InteractiveShell, code: str) -> list[str]:
    """Give the whole code as each completion would leave it, cut at the start of its last line."""
    with provisionalcompleter():
        found = list(ip.Completer.completions(code, len(code)))
    return [(code[: c.start] + c.text).split("\n")[-1] for c in found]


@pytest.fixture
def declared(ip: InteractiveShell, cloud: Path) -> InteractiveShell:
    """Give a shell with a session that declares a Worker and two namespaces."""
    open_session("tour", state=cloud / "state.json")
    ip.run_cell("%durable namespace counter --class Counter --quiet")
    ip.run_cell("%durable namespace rooms --class Room --quiet")
    ip.run_cell(f"%%durable worker my-worker --bind COUNTER=counter --quiet\n{SCRIPT}")
    ip.run_cell("limit = 3")
    current().live = frozenset({"my-worker", "wrangler-made"})
    return ip


@pytest.mark.parametrize(
    ("code", "first"),
    [
        ("%durable pl", ["%durable plan"]),
        ("x = %durable de", ["x = %durable deploy", "x = %durable destroy", "x = %durable delete"]),
        ("%durable session x --st", ["%durable session x --stage", "%durable session x --state"]),
        (
            "%durable session x --target ",
            ["%durable session x --target local", "%durable session x --target cloudflare"],
        ),
        ("%durable show na", ["%durable show namespaces"]),
        ("%durable fetch my", ["%durable fetch my-worker"]),
        ("%durable destroy ro", ["%durable destroy rooms"]),
        ("%durable rm namespace ro", ["%durable rm namespace rooms"]),
        ("%durable namespace x --class C", ["%durable namespace x --class Counter"]),
        ("%%durable worker w --bind COUNTER=co", ["%%durable worker w --bind COUNTER=counter"]),
        ("%%durable\n[nam", ["[namespaces.", "[namespaces.counter]", "[namespaces.rooms]"]),
        ("%%durable\n[namespaces.r", ["[namespaces.rooms]"]),
        ("%%durable\n[namespaces.x]\ncl", ["class_name"]),
        ("%%durable\n[namespaces.x]\nsqlite = t", ["sqlite = true"]),
        ('%%durable\n[namespaces.x]\nrenamed_from = "r', ['renamed_from = "rooms']),
        ("%%durable\n[workers.x]\ncompat", ["compatibility_date", "compatibility_flags"]),
        ('%%durable\n[workers.x]\nlang = "t', ['lang = "ts']),
        ("%%durable\n[workers.x.bindings]\nA = {name", ["A = {namespace"]),
        ("%%durable --quiet --as x\n[namespaces.x]\ncl", ["class_name"]),
        ("%%durable\n[workers.x.bindings]\nA = '${py:lim", ["A = '${py:limit"]),
        ("%durable fetch wrang", ["%durable fetch wrangler-made"]),
        ("%durable import wr", ["%durable import wrangler-made"]),
        ("%%durable worker w --service AUTH=wr", ["%%durable worker w --service AUTH=wrangler-made"]),
        ("%durable namespace x --script ", ["%durable namespace x --script my-worker", LIVE]),
        ('%%durable\n[namespaces.x]\nscript_name = "wr', ['script_name = "wrangler-made']),
        ("%durable require env CLOUDFLARE_API_T", ["%durable require env CLOUDFLARE_API_TOKEN"]),
        ('%%durable\n[namespaces.x]\nclass_name = "C', ['class_name = "Counter']),
        ('%%durable\n[workers.x.bindings]\nA = {namespace = "c', ['A = {namespace = "counter']),
    ],
)
def test_what_can_be_completed(declared: InteractiveShell, code: str, first: list[str]) -> None:
    """Verbs, options, choices, names and TOML keys; nothing else is mixed in."""
    assert completed(declared, code) == first


@pytest.mark.parametrize(
    "code",
    [
        "%durable fetch my-worker / --method ",
        "x = %durable config",
        "%durable put counter a n",
        '%%durable\n[namespaces.x]\nclass_name = "Zz',
    ],
)
def test_where_nothing_is_known_nothing_is_offered(declared: InteractiveShell, code: str) -> None:
    """IPython would mix in `and`, `if`, `%%HTML`: what is typed stays as it is."""
    assert completed(declared, code) == [code.rsplit("\n", maxsplit=1)[-1]]


def test_code_that_names_the_magic_is_code(declared: InteractiveShell) -> None:
    """Behind a text that holds one, Python is completed."""
    assert 'print("%durable plan"); import' in completed(declared, 'print("%durable plan"); impor')


@pytest.mark.parametrize("code", ["impor", "%%durable worker w\nimpor", "x.durable pl"])
def test_other_completions_are_left_alone(declared: InteractiveShell, code: str) -> None:
    """In code, and in the source of a Worker, IPython completes as ever."""
    assert not any("plan" in text or "class_name" in text for text in completed(declared, code))


def test_reload_and_unload_leave_one_matcher_and_none(ip: InteractiveShell) -> None:
    """Reloading never doubles completions."""

    def ours() -> int:
        return sum(getattr(m, "matcher_identifier", "") == "notebook_do" for m in ip.Completer.custom_matchers)

    ip.run_line_magic("reload_ext", "notebook_do")
    ip.run_line_magic("reload_ext", "notebook_do")
    assert ours() == 1
    ip.run_line_magic("unload_ext", "notebook_do")
    assert ours() == 0
