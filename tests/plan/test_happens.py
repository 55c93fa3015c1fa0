"""What the rows of a plan's view say of a change: each sentence of the table, and values before and after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plan_world import Book, body

from notebook_do.display.rich import code, rich
from notebook_do.model import (
    BundledSource,
    ClassBinding,
    DesiredWorker,
    Json,
    Module,
    ModuleKind,
    NamespaceId,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    StableId,
    ValueBinding,
)
from notebook_do.plan.build import build_plan
from notebook_do.plan.code import CodeDiff, code_diff, replaced, text_diff, unread
from notebook_do.plan.happens import (
    CalledNames,
    bound,
    bound_change,
    bound_texts,
    lists_change,
    setting_change,
    setting_texts,
)
from notebook_do.plan.sentences import say
from notebook_do.sources.bundle import reader

KNOWN = CalledNames(workers={"api-dev": "api", "desk-dev": "desk"}, namespaces={"a" * 32: "counter"})
KV = "3f2ae0c4" + "0" * 20 + "9d1b"


@pytest.mark.parametrize(
    ("name", "reason", "facts", "said"),
    [
        *(
            ("row-adopted", reason, {"session": "tour", "stage": "dev"}, text)
            for reason, text in (
                ("session", "taken over from session tour, stage dev; its namespaces are kept"),
                ("unknown", "taken over; its namespaces are kept"),
            )
        ),
        ("row-code-unread", "", {"problem": "no"}, "is replaced; what is live could not be read: no"),
        ("row-code-same", "", {}, "the same lines are sent again"),
        ("row-forgotten", "", {}, "no longer in the account; only its entry in the state file is removed"),
        ("row-stable-id", "", {"before": "a", "after": "b"}, "stable ID a → b; its objects stay"),
        ("row-settings", "", {}, "sent as declared; what differs is not shown by Cloudflare"),
        ("row-tag-noted", "", {"tag": "v1"}, "v1, set by another project, is taken note of"),
        (
            *("row-mark", "", {"stable_ids": "a and b"}),
            "get the namespace id of a and b, which an interrupted deploy left out",
        ),
        *(
            ("row-secret", reason, {"source": rich("environment variable ", code("K"))}, text)
            for reason, text in (
                ("set", "from environment variable K"),
                ("changed", "environment variable K holds another value than at the last deploy"),
                ("again", "set again: it was last set elsewhere"),
            )
        ),
        ("row-secret-removed", "", {}, "was set from here, and is no longer declared"),
        *(
            ("row-follows", verb, {"stable_id": "counter"}, f"follows the {verb} of namespace counter")
            for verb in ("rename", "transfer")
        ),
    ],
)
def test_each_sentence_of_a_row(name: str, reason: str, facts: dict[str, Any], said: str) -> None:
    """Short words, under heads that name the Worker and the thing."""
    assert say(name, reason, **facts) == said


def value(given: Any, name: str = "B") -> ValueBinding:
    """Give a binding of a value."""
    return ValueBinding(name=name, value=given)


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        (value(PlainText(text="20")), "20"),
        (value(PlainText(text="x" * 61)), "x" * 57 + "…"),
        (value(Json({"b": 1, "a": [2]})), '{"a": [2], "b": 1}'),
        (value(PlainText(text="p"), "API_KEY"), "hidden because of its name (1 character)"),
        (value(Secret.from_env("K")), "from environment variable K"),
        (value(ServiceBinding(worker="desk-dev", entrypoint="E")), "service: Worker desk (entrypoint E)"),
        (
            value(Resource(type="kv_namespace", fields=Json({"namespace_id": "3f2ae0c4" + "0" * 20 + "9d1b"}))),
            "KV 3f2ae0c4…9d1b",
        ),
        (value(Resource(type="r2_bucket", fields=Json({"bucket_name": "uploads"}))), "R2 bucket uploads"),
        (ClassBinding(name="B", class_name="C", stable_id=StableId("counter")), "namespace counter"),
        (
            ClassBinding(name="B", class_name="C", script_name="desk-dev", stable_id=StableId("counter")),
            "namespace counter of Worker desk",
        ),
        (ClassBinding(name="B", class_name="C", namespace_id=NamespaceId("a" * 32)), "namespace counter"),
        (ClassBinding(name="B", class_name="C", script_name="other"), "class C of other"),
    ],
)
def test_what_a_binding_is_bound_to(binding: Any, said: str) -> None:
    """A value, or where a secret comes from; the names that people gave, never a class of Cloudflare's."""
    assert bound(binding, "api-dev", KNOWN) == said


def test_before_and_after_are_whole_and_a_row_is_short() -> None:
    """The frame has the values; what is hidden only changed, in both."""
    old, new = value(PlainText(text="x" * 61)), value(PlainText(text="y"))
    assert bound_change(old, new, "api-dev", KNOWN) == "x" * 57 + "… → y"
    assert bound_texts(old, new, "api-dev", KNOWN) == ("x" * 61, "y")
    secret = [value(PlainText(text=text), "TOKEN") for text in "ab"]
    assert bound_change(*secret, "api-dev", KNOWN) == "hidden, changed"
    assert bound_texts(*secret, "api-dev", KNOWN) == ("hidden because of its name (1 character)", "hidden, changed")
    assert bound_change(value(PlainText(text="fast")), None, "api-dev", KNOWN) == "was fast"
    assert bound_change(value(PlainText(text="1")), value(Json(2)), "api-dev", KNOWN) == "1 → 2"


def test_a_binding_follows_its_namespace() -> None:
    """By the id that it reaches, and not by a name: another namespace is another binding."""
    live = ClassBinding(name="B", class_name="Counter", script_name="api-dev", namespace_id=NamespaceId("a" * 32))
    now = ClassBinding(name="B", class_name="Visits", script_name="api-dev", stable_id=StableId("counter"))
    assert bound_change(live, now, "desk-dev", KNOWN) == "follows the rename of namespace counter"
    moved = replace(now, script_name="desk-dev")
    assert bound_change(live, moved, "api-dev", KNOWN) == "follows the transfer of namespace counter"
    other = replace(live, namespace_id=NamespaceId("b" * 32))
    assert bound_change(other, now, "api-dev", KNOWN) == "class Counter of api → namespace counter"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", '{"enabled": true}', "off → on"),
        ('{"enabled": true}', "", "on → off"),
        ('{"cpu_ms": 50}', '{"cpu_ms": 100}', "JSON, 1 of 1 values: .cpu_ms 50 → 100"),
        ("", '{"cpu_ms": 50}', '{"cpu_ms": 50}'),
        ('{"cpu_ms": 50}', "", 'was {"cpu_ms": 50}'),
        ("a, b", "c", "a, b → c"),
    ],
)
def test_a_setting_says_its_values(before: str, after: str, said: str) -> None:
    """On and off where it is nothing else; of a table the paths that differ."""
    assert setting_change("limits", before, after) == said
    assert setting_texts("limits", before, after) == {"before": before, "after": after}


def test_cron_triggers_are_said_as_lists() -> None:
    """Both lists, or the one that there is."""
    assert lists_change(["*/5 * * * *"], ["0 * * * *"]) == "*/5 * * * * → 0 * * * *"
    assert lists_change([], ["0 * * * *"]) == "0 * * * *"
    assert lists_change(["0 * * * *"], []) == "was 0 * * * *"


# --- code

OLD = "".join(f"line {n}\n" for n in range(1, 21))


def test_a_diff_has_three_lines_of_context_and_hunks() -> None:
    """As `diff -u` writes it, with the counts."""
    found = text_diff("index.js", OLD, OLD.replace("line 5\n", "five\nfive and a half\n").replace("line 20\n", ""))
    assert (found.added, found.removed) == (2, 2)
    assert found.lines == (
        *("@@ -2,7 +2,8 @@", " line 2", " line 3", " line 4", "-line 5", "+five", "+five and a half"),
        *(" line 6", " line 7", " line 8", "@@ -17,4 +18,3 @@", " line 17", " line 18", " line 19", "-line 20"),
    )


def test_a_hunk_names_the_class_that_it_is_in() -> None:
    """The nearest line above it that begins something."""
    source = "class A {\n" + OLD + "}\n"
    assert text_diff("a", source, source.replace("line 15", "x")).lines[0] == "@@ -13,7 +13,7 @@ class A {"


def test_what_is_hidden_in_code_only_changed() -> None:
    """A literal that looks like a secret is compared and not shown."""
    found = text_diff("a", 'a = "ghp_aaaaaa111111";\n', 'a = "ghp_bbbbbb222222";\n')
    assert found.lines[1:] == ('-a = "hidden because it looks like a secret";', '+a = "hidden, changed";')


def diff_of(*modules: Any, **more: Any) -> CodeDiff:
    """Give the difference of some modules."""
    return CodeDiff(worker="api", script_name="api-dev", modules=modules, **more)


def test_the_words_of_a_diff() -> None:
    """Counts, the module or how many; a bundle is called that; sizes where there are no lines."""
    one = text_diff("index.js", "a\nb\n", "a\nc\nd\ne\n")
    assert diff_of(one).words == "3 lines added, 1 removed (+3 \N{MINUS SIGN}1), in index.js"
    only = text_diff("index.js", "a\nb\n", "a\n")
    assert diff_of(only).words == "1 line removed (+0 \N{MINUS SIGN}1), in index.js"
    assert diff_of(one, replace(one, name="b.js")).words.endswith("in 2 modules: index.js and b.js")
    assert diff_of(one, bundled="file desk.ts").words.endswith("in the bundle of file desk.ts")
    binary = replace(one, name="a.wasm", lines=(), added=0, removed=0, sizes=(70, 12_400))
    assert diff_of(binary).words == "a.wasm 70 bytes → 12.4 kB"
    assert diff_of().words == say("row-code-same")


def test_a_long_text_is_compared_at_once() -> None:
    """A bundle of 40,000 lines of which all differ is shown as replaced: its lines are not matched one by one."""
    many = [f"a{n}" for n in range(40_000)]
    found = text_diff("a", "\n".join(many), "\n".join(line.upper() for line in many))
    assert (found.added, found.removed) == (40_000, 40_000)


def test_modules_are_paired_by_name_and_main_by_place() -> None:
    """A main module of another name is the same one; source maps are no code."""

    def module(name: str, text: str, kind: ModuleKind = ModuleKind.ESM) -> Module:
        return Module(name=name, content=text.encode(), kind=kind)

    new = (module("index.js", "a\n"), module("b.js", "b\n"), module("index.js.map", "{}", ModuleKind.SOURCE_MAP))
    given: dict[str, Any] = {"main_module": "index.js", "modules": new, "bindings": (), "content_digest": ""}
    worker = DesiredWorker(id="api", script_name="api-dev", source="1 line of JavaScript", **given)
    found = code_diff(worker, (module("worker.js", "x\n"), module("c.js", "c\n")))
    assert [(m.name, m.added, m.removed) for m in found.modules] == [("index.js", 1, 1), ("b.js", 1, 0), ("c.js", 0, 1)]
    assert found.live_lines == 1
    assert unread(worker, "not now").words == "is replaced; what is live could not be read: not now"


def test_the_sources_of_a_bundle_are_paired_and_those_that_differ_are_shown() -> None:
    """By their paths, or their names where another tool has other paths; one of a package has its sizes alone."""

    def source(name: str, text: str | None, size: int = 0, folder: str = "../") -> BundledSource:
        mark = str(text) if text is not None else str(size)
        return BundledSource(path=folder + name, name=name, text=text, size=size or len(text or ""), mark=mark)

    was = (source("a.ts", "a\n"), source("b.ts", "b\n"), source("gone.ts", "g\n"), source("p/i.js", None, 7))
    now = (source("a.ts", "a\n"), source("b.ts", "b\nc\n"), source("new.ts", "n\n"), source("p/i.js", None, 9))

    def shown(was: tuple[BundledSource, ...]) -> list[tuple[Any, ...]]:
        bundle = Module(name="index.js", content=b"x\n", kind=ModuleKind.ESM)
        given: dict[str, Any] = {"main_module": "index.js", "modules": (bundle,), "bindings": (), "content_digest": ""}
        worker = DesiredWorker(id="api", script_name="api-dev", source="file a.ts", bundled=True, sources=now, **given)
        found = code_diff(worker, (replace(bundle, content=b"y\n"),), was, certain=True)
        return [(m.name, m.added, m.removed, m.sizes) for m in found.modules if found.of_sources]

    differ = [("b.ts", 1, 0, None), ("new.ts", 1, 0, None), ("p/i.js", 0, 0, (7, 9)), ("gone.ts", 0, 1, None)]
    assert shown(was) == differ
    assert shown(tuple(replace(one, path=f"src/{one.name}") for one in was)) == differ
    assert shown(now) == []
    assert shown((source("other.ts", "o\n"),)) == [], "nothing in common: not the same bundle"


def test_code_is_read_where_it_is_replaced() -> None:
    """Of a Worker that is live and gets other code; not of a new one, nor where other things change."""
    book = Book()
    book.cell("worker api --no-url", body())
    assert replaced(book.plan()) == frozenset()
    book.deploy()
    book.cell("worker api --no-url --var A=1", body())
    assert not book.plan().empty
    assert replaced(book.plan()) == frozenset()
    book.cell("worker api --no-url", "export const other = 1;\n" + body())
    assert replaced(book.plan()) == {"api"}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"modified_on": None}, "replaced outside"),
        ({"modified_on": "2026-11-27T10:11:12Z"}, "uploaded 2026-11-27 10:11"),
        (
            {"modified_on": "2026-11-27T10:11:12Z", "last_deployed_from": "wrangler"},
            "uploaded 2026-11-27 10:11 by wrangler",
        ),
        ({"modified_on": None, "last_deployed_from": "wrangler"}, "uploaded by wrangler"),
    ],
)
def test_what_was_replaced_outside_says_when_and_by_what(facts: dict[str, Any], said: str) -> None:
    """As far as Cloudflare tells it."""
    book = Book()
    book.cell("worker api --no-url", body())
    book.deploy()
    observed = book.world.observed()
    scripts = tuple(replace(s, **{"etag": "theirs", "last_deployed_from": None, **facts}) for s in observed.scripts)
    desired = book.catalog.desired("s", "production", read=reader())
    given: dict[str, Any] = {"target": "local", "default_compatibility_date": "2026-01-01"}
    plan = build_plan(desired, book.world.recorded, replace(observed, scripts=scripts), **given)
    assert [str(c.happens) for c in plan.drift if c.field == "etag"] == [said]
