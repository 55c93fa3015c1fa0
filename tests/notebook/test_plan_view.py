"""The view of a plan: plain sentences, counts, and a way on; the same in text and in HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING

import pytest

from notebook_do.notebook.views.documents import bundle
from notebook_do.notebook.views.plan import change_count, counts, masked
from notebook_do.plan.plan import Action, Change, Plan

if TYPE_CHECKING:
    from collections.abc import Callable


def words(text: str) -> set[str]:
    """Give the words a person reads."""
    return set(re.findall(r"[^\W_]+", text))


def read(html: str) -> str:
    """Take the tags out."""
    return unescape(re.sub(r"<[^>]+>", " ", html))


def test_the_counts_say_what_happens(make_plan: Callable[..., Plan]) -> None:
    """One caption tells the whole plan."""
    assert counts(make_plan()) == "1 Worker to create, 1 class to create, 1 binding to create."
    assert change_count(make_plan()) == "3 changes"


def test_text_and_html_tell_the_same(make_plan: Callable[..., Plan], deletion: Plan, refused: Plan) -> None:
    """No view knows more than the other."""
    for plan in (make_plan(), deletion, refused, make_plan(drift=make_plan().changes, warnings=("mind the gap",))):
        shown = bundle(plan)
        assert words(shown["text/plain"]) == words(read(shown["text/html"]))


def test_an_empty_plan_says_so(make_plan: Callable[..., Plan]) -> None:
    """Nothing to do is one sentence, with no next command."""
    text = bundle(make_plan(changes=(), steps=(), binding_rows=(), migration_rows=()))["text/plain"]
    assert "Nothing to do: everything declared is live." in text
    assert "deploy" not in text


def test_a_refusal_comes_first_with_its_choices_and_line(refused: Plan) -> None:
    """A refused plan begins with what has to be decided, and never names a deploy."""
    text = bundle(refused)["text/plain"]
    first = text.index("Refused: 1 decision is yours")
    assert first < text.index("1 Worker to create")
    assert "line 3 of its cell" in text
    assert all(choice in text for choice in refused.refusals[0].choices)
    assert "%durable deploy" not in text


def test_what_would_be_lost_is_counted_and_named(deletion: Plan) -> None:
    """A deletion shows the live count, the namespace id and the phrase, and points at destroy."""
    text = bundle(deletion)["text/plain"]
    assert "12 stored objects would be deleted for ever" in text
    assert "destroy counter abababab" in text
    assert "Next: %durable destroy counter" in text


def test_an_unknown_count_is_never_shown_as_none(deletion: Plan) -> None:
    """Not known is said as that."""
    unknown = replace(deletion, consents=(replace(deletion.consents[0], objects=None),))
    assert "an unknown number of objects" in bundle(unknown)["text/plain"]
    more = replace(deletion, consents=(replace(deletion.consents[0], objects=100, objects_more=True),))
    assert "more than 100 stored objects" in bundle(more)["text/plain"]


def test_a_rename_names_both_classes_and_the_namespace_id(make_plan: Callable[..., Plan]) -> None:
    """A rename is one line, and says which data it is about."""
    change = Change(
        action=Action.RENAME,
        kind="namespace",
        id="counter",
        before="Counter",
        after="MyCounter",
        namespace_id="cd" * 16,
    )
    text = " ".join(bundle(make_plan(changes=(change,)))["text/plain"].split())
    assert "1 class to rename." in text
    assert "Counter → MyCounter" in text
    assert "cd" * 16 in text


@pytest.mark.parametrize("target", ["local", "cloudflare"])
def test_the_header_says_where(make_plan: Callable[..., Plan], target: str) -> None:
    """Nobody takes the account for the machine on the desk."""
    text = bundle(make_plan(target=target))["text/plain"]
    assert ("LIVE" in text) is (target == "cloudflare")
    assert masked("a1" * 16) == "a1a1…a1a1"


def test_long_plans_show_200_rows_and_count_the_rest(make_plan: Callable[..., Plan]) -> None:
    """10,000 changes stay readable; the frame has all of them."""
    many = tuple(Change(action=Action.CREATE, kind="binding", id="w", name=f"B{n}") for n in range(10_000))
    plan = make_plan(changes=many)
    shown = bundle(plan)
    assert "9,800 more rows. plan.df has all." in shown["text/plain"]
    assert shown["text/html"].count("binding B") == 200
    assert len(plan.df) == 10_000


def test_bindings_are_drawn_as_arrows(make_plan: Callable[..., Plan]) -> None:
    """Two Workers on one namespace are seen as that."""
    row = {**make_plan().binding_rows[0], "role": "host"}
    client = {**row, "worker": "client", "binding": "SHARED", "action": "noop", "role": "client"}
    text, html = bundle(make_plan(binding_rows=(row, client))).values()
    assert "│ my-worker ├─ + COUNTER ──▶ counter · Durable Object class Counter of my-worker-dev" in text
    assert "│ client    ├─ = SHARED ───▶ counter\n" in text
    assert html.count("<rect ") == 3


def test_an_address_is_opened_or_closed(make_plan: Callable[..., Plan]) -> None:
    """A URL is counted with the word for what happens to it."""
    change = Change(action=Action.UPDATE, kind="url", id="my-worker", worker="my-worker", after="open")
    shut = replace(change, id="other", after="closed")
    assert "1 URL to close, 1 URL to open." in bundle(make_plan(changes=(change, shut)))["text/plain"]
