"""The view of a plan made by hand: its title, its order, its folds and its last line; the same in text and in HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.display.rich import code, rich
from notebook_do.notebook.views.decisions import command_in
from notebook_do.notebook.views.documents import bundle
from notebook_do.notebook.views.plan import change_count, masked, title_words
from notebook_do.plan.plan import Action, Baseline, Change, Plan, WrittenLately

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AT = "2026-11-26T14:02:11+00:00"


def words(text: str) -> set[str]:
    """Give the words a person reads."""
    return set(re.findall(r"[^\W_]+", text))


def read(html: str) -> str:
    """Take the tags out."""
    return unescape(re.sub(r"<[^>]+>", " ", html))


def text_of(plan: Plan) -> str:
    """Give the text of a plan on one line."""
    return " ".join(bundle(plan)["text/plain"].split())


def test_the_title_says_what_happens_and_where(make_plan: Callable[..., Plan], deletion: Plan, refused: Plan) -> None:
    """The count stands in the title: no sentence below counts again."""
    assert bundle(make_plan())["text/plain"].startswith("Plan for dev on local: 3 changes  session: tour\n")
    assert bundle(deletion)["text/plain"].startswith("Plan for dev on local: destroy 1 namespace  session: tour\n")
    assert bundle(refused)["text/plain"].startswith(
        "Plan for dev on local: refused, 1 decision is yours  session: tour\n"
    )
    assert change_count(make_plan()) == "3 changes"


def change(action: Action, kind: str = "binding", n: int = 0, **fields: str) -> Change:
    """Give a change of a Worker."""
    return Change(action=action, kind=kind, id=f"w.{n}", worker="w", name=f"B{n}", **fields)  # type: ignore[arg-type]


def test_renames_and_destructions_are_named_in_the_title(make_plan: Callable[..., Plan]) -> None:
    """Deploying and destroying are two words, and a rename is no update."""
    rename, update = change(Action.RENAME, "namespace"), change(Action.UPDATE)
    gone = replace(change(Action.DELETE, "namespace", 1), destructive=True)
    assert title_words(make_plan(changes=(rename, update, change(Action.UPDATE, n=2)))) == "1 rename, 2 updates"
    assert title_words(make_plan(changes=(rename, update, change(Action.CREATE, n=2)))) == "1 rename, 2 other changes"
    assert title_words(make_plan(changes=(update, gone))) == "1 change, and destroy 1 namespace"
    worker = change(Action.DELETE, "worker", 2)
    assert title_words(make_plan(changes=(gone, worker))) == "destroy 1 namespace and 1 Worker"
    # A variable that goes is no destruction.
    assert title_words(make_plan(changes=(change(Action.DELETE),))) == "1 change"
    # Nor is what is gone already, and is only forgotten.
    assert title_words(make_plan(changes=(change(Action.DELETE, "namespace"),))) == "1 change"


def test_text_and_html_tell_the_same(make_plan: Callable[..., Plan], deletion: Plan, refused: Plan) -> None:
    """No view knows more than the other."""
    for plan in (make_plan(), deletion, refused, make_plan(drift=make_plan().changes, warnings=("mind the gap",))):
        shown = bundle(plan)
        assert words(shown["text/plain"]) == words(read(shown["text/html"]))


def test_an_empty_plan_is_one_line(make_plan: Callable[..., Plan]) -> None:
    """Nothing to do is one sentence, with no next command; the digest is short, and there is no band."""
    same = tuple(replace(c, action=Action.NOOP) for c in make_plan().changes[:2])
    plan = make_plan(changes=same, steps=(), migration_rows=())
    said = "= Plan for dev on local: nothing to do. 1 Worker and 1 namespace are live as declared."
    assert text_of(plan) == f"{said} (session tour, plan {plan.digest[:8]})"
    live = text_of(replace(plan, target="cloudflare"))
    assert "(session tour, account a1a1…a1a1, plan" in live


def test_that_nothing_is_declared_is_another_line(make_plan: Callable[..., Plan]) -> None:
    """It is never said that everything declared is live where nothing is declared."""
    text = text_of(make_plan(changes=(), steps=(), binding_rows=(), undeclared=("Worker api (live)",)))
    assert "nothing is declared in this session" in text
    assert "Worker api (live)" in text
    assert "live as declared" not in text


def test_a_refusal_comes_first_with_its_choices_and_line(refused: Plan) -> None:
    """A refused plan begins with what has to be decided, folds what would go with it, and never names a deploy."""
    text = bundle(refused)["text/plain"]
    first = text.index("! Stable ID counter is recorded for class Counter")
    assert (
        first < text.index("Nothing can be sent until you choose") < text.index("The 3 changes that would go with it")
    )
    assert all(f"{choice[:1].upper()}{choice[1:]}" in text for choice in refused.refusals[0].choices)
    assert "%durable deploy" not in text
    placed = replace(refused, refusals=(replace(refused.refusals[0], message="no.", place="line 3 of cell [7]"),))
    assert "! No (line 3 of cell [7])." in text_of(placed)
    placed = replace(refused, refusals=(replace(refused.refusals[0], message="it is. Is it?", place="a.py:12"),))
    assert "! It is. Is it? Declared in a.py:12." in text_of(placed)


def test_the_command_of_a_choice_is_code() -> None:
    """What can be pasted looks so."""
    assert command_in("forget it: %durable rm worker a").parts[-1] == code("%durable rm worker a").parts[0]  # type: ignore[attr-defined]
    assert command_in("declare protect=False") == "declare protect=False"
    assert command_in(rich("a")) == "a"


def test_what_would_be_lost_is_counted_and_named_once(deletion: Plan) -> None:
    """A deletion shows the live count, the namespace id and the phrase, and points at destroy."""
    text = text_of(deletion)
    assert text.count("12 stored objects would be deleted for ever.") == 1
    assert text.count("12 stored objects") == 1
    assert "to allow it, type: destroy counter abababab" in text
    assert "next: %durable destroy counter" in text
    assert "! delete namespace counter" in text


def test_an_unknown_count_is_never_shown_as_none(deletion: Plan) -> None:
    """Not known is said as that, and is a loss; none at all is said, and is no loss."""
    unknown = replace(deletion, consents=(replace(deletion.consents[0], objects=None),))
    assert "an unknown number of stored objects" in text_of(unknown)
    assert "! delete" in text_of(unknown)
    more = replace(deletion, consents=(replace(deletion.consents[0], objects=100, objects_more=True),))
    assert "more than 100 stored objects" in text_of(more)
    none = replace(deletion, consents=(replace(deletion.consents[0], objects=0),))
    assert "~ counter stores no object. Its id is gone for ever all the same." in text_of(none)
    assert "- delete namespace counter" in text_of(none)


def test_what_was_written_lately_is_said_of_one_object_as_of_one(deletion: Plan) -> None:
    """How many of several and the newest; of a single one just that it was, and its name."""
    lately = WrittenLately(namespace_id=deletion.consents[0].namespace_id, within_hour=3, newest=("a", "b"), at=AT)
    assert "3 of them were written to in the hour before 2026-11-26 14:02 UTC; the newest: a, b." in text_of(
        replace(deletion, written=(lately,))
    )
    one = replace(deletion, consents=(replace(deletion.consents[0], objects=1),))
    lately = replace(lately, within_hour=1, newest=("a",))
    said = "1 stored object would be deleted for ever. It was written to in the hour before 2026-11-26 14:02 UTC"
    assert f"{said}; its name: a." in text_of(replace(one, written=(lately,)))
    lately = replace(lately, within_hour=0)
    assert "It was not written to in the hour before" in text_of(replace(one, written=(lately,)))


@pytest.mark.parametrize(
    ("target", "stage", "band"),
    [
        ("local", "production", ""),
        ("cloudflare", "dev", "! LIVE  Plan"),
        ("cloudflare", "production", "! LIVE PRODUCTION  Plan"),
    ],
)
def test_a_live_target_is_a_band(make_plan: Callable[..., Plan], target: str, stage: str, band: str) -> None:
    """Nobody takes the account for the machine on the desk."""
    plan = make_plan(target=target, stage=stage, read_at="2026-11-26T14:02:11Z")
    shown = bundle(plan)
    assert shown["text/plain"].startswith(band or "Plan for production on local")
    assert ("border-left:" in shown["text/html"]) is bool(band)
    assert ("account: a1a1…a1a1" in shown["text/plain"]) is bool(band)
    assert ("read 2026-11-26 14:02:11 UTC" in shown["text/plain"]) is ("PRODUCTION" in band)
    assert masked("a1" * 16) == "a1a1…a1a1"


def test_one_change_needs_no_heads(make_plan: Callable[..., Plan]) -> None:
    """One row, its Worker in it, and the last line."""
    one = change(Action.UPDATE, happens="20 → 5")
    plan = make_plan(changes=(one, replace(one, action=Action.NOOP)), steps=make_plan().steps[:1], binding_rows=())
    lines = bundle(plan)["text/plain"].split("\n")
    assert lines[2] == "  ~  update  binding B0 of Worker w  20 → 5"
    assert lines[4] == f"1 unchanged · plan {plan.digest} · next: %durable deploy"
    assert len(lines) == 5


def test_long_plans_are_one_row_a_worker(make_plan: Callable[..., Plan]) -> None:
    """10,000 changes stay readable, Workers that change alike are one row; the frame has all of them."""
    many = tuple(
        Change(
            action=Action.CREATE, kind="binding", id=f"w{n % 100:02d}.B", worker=f"w{n % 100:02d}", name=f"B{n // 100}"
        )
        for n in range(10_000)
    )
    plan = make_plan(changes=many)
    shown = bundle(plan)
    assert "10,000 changes to 100 of 100 Workers" in shown["text/plain"]
    assert "w00 … w99 (100 alike)" in shown["text/plain"]
    assert "All 10,000 changes, by Worker" in shown["text/plain"]
    assert "more rows. plan.df has all." in shown["text/plain"]
    assert len(plan.df) == 10_000


def test_bindings_are_drawn_as_arrows(make_plan: Callable[..., Plan]) -> None:
    """Two Workers on one namespace are seen as that; a plan of values alone draws nothing."""
    row = {**make_plan().binding_rows[0], "role": "host"}
    client = {**row, "worker": "client", "binding": "SHARED", "action": "noop", "role": "client"}
    value = {"worker": "client", "binding": "A", "type": "plain_text", "target": "1", "action": "update"}
    kept = {**value, "binding": "B", "action": "noop"}
    text, html = bundle(make_plan(binding_rows=(row, client, value, kept))).values()
    assert "│ my-worker     ├═ + COUNTER ══▶ counter · class Counter" in text
    assert "│ hosts counter │" in text
    assert "│ client        ├─ = SHARED  ──▶ counter\n" in text
    assert "Not drawn: 1 variable." in text, "one that changes has a row of its own, and is not counted again"
    assert html.count("<rect ") == 3
    assert "<svg" not in bundle(make_plan(binding_rows=(client, value)))["text/html"]


def test_an_address_is_opened_or_closed(make_plan: Callable[..., Plan]) -> None:
    """A URL is created or goes, and is a link where it is known."""
    opened = Change(action=Action.UPDATE, kind="url", id="a", worker="a", name="a-dev", field="workers.dev")
    opened = replace(opened, after="open", happens="opens")
    shut = replace(opened, id="b", worker="b", name="b-dev", after="closed", happens="closes")
    plan = make_plan(changes=(opened, shut), addresses=(("a-dev", "http://a-dev.localhost:1"),))
    assert "+ create URL opens http://a-dev.localhost:1" in text_of(plan)
    assert "- delete URL closes its workers.dev address" in text_of(plan)
    assert '<a href="http://a-dev.localhost:1"' in bundle(plan)["text/html"]


def test_a_deleted_worker_has_its_url_where_it_is_known_to_be_open(cloud: Path) -> None:
    """Picture 3g: whoever reads it may know the Worker by that address; of one that has none nothing is said."""
    del cloud
    session = nd.session("gone")
    body = "export default { fetch() { return new Response('1'); } };"
    nd.Worker("open", script=body)
    nd.Worker("shut", script=body, url=False)
    result = session.deploy(session.plan())
    url = result["open"].url
    said = text_of(session.destroy("worker:open", "worker:shut"))
    assert f"- delete Worker open and its URL {url} - delete Worker shut is deleted" in said
    assert f'<a href="{url}"' in bundle(session.destroy("worker:open"))["text/html"]


def test_drift_shows_what_is_declared_beside_what_is_live(make_plan: Callable[..., Plan]) -> None:
    """With the day of the last deploy; it is part of the count, because a deploy puts it back."""
    drift = change(Action.UPDATE, before="slow", after="fast", happens="slow → fast")
    plan = make_plan(changes=(), drift=(drift,), deployed_at="2026-11-25T18:40:00Z", binding_rows=())
    text = text_of(plan)
    assert text.startswith("Plan for dev on local: 1 change session: tour")
    assert "~ Changed outside since the last deploy of 2026-11-25 18:40: 1 thing. A deploy puts it back." in text
    assert "action what declared live now" in text
    assert "~ update binding B0 fast slow" in text


def test_warnings_are_lines_with_a_symbol(make_plan: Callable[..., Plan]) -> None:
    """Without a heading, and amber: red is for loss, refusal and failure."""
    shown = bundle(make_plan(warnings=("Mind the gap.",)))
    assert "  ~ Mind the gap." in shown["text/plain"]
    assert "rgba(207,34,46" not in shown["text/html"]


def test_no_view_of_a_loss_alone_says_deploy(deletion: Plan) -> None:
    """Destroying says destroy."""
    assert "eploy" not in bundle(deletion)["text/plain"]


def test_the_last_line_has_the_whole_digest(make_plan: Callable[..., Plan]) -> None:
    """Which `--approve` takes; nothing else in the view is a hash."""
    baseline = Baseline(lineage="l", serial=3, account_id="b2" * 16, api_origin="x", scripts=(), namespaces=())
    plan = make_plan(baseline=baseline)
    text = bundle(plan)["text/plain"]
    assert text.split("\n")[-1] == f"plan {plan.digest} · next: %durable deploy"
    assert re.findall(r"\b(?=\w*\d)[0-9a-f]{12,}\b", text) == [plan.digest]
