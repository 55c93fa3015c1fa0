"""The plans of one story on the real local Cloudflare: each shows the change itself, and keeps the contract."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.display import width_of
from notebook_do.live.connection import connect_local
from notebook_do.notebook.views import markup
from notebook_do.notebook.views.documents import bundle, written

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.plan.plan import Plan

SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;
    await this.ctx.storage.put("value", value);
    return value;
  }
}
export default { fetch() { return new Response("ok") } };
"""
PLANTED = "planted-secret-1"
EDITED = SOURCE.replace(
    "    const value = ((await",
    f'    const API_KEY = "{PLANTED}-in-code"; // ghp_16C7e42F292c6912E7710c8383\n    const value = 1 + ((await',
).replace(" ?? 0) + 1;", " ?? 0);")
LIMITS = {"max": 20, "burst": 5, "auth": {"password": f"{PLANTED}-in-json"}, "list": [1, 2]}
_played: dict[str, tuple[Plan, dict[str, str]]] = {}


def declare(source: str = SOURCE, *, kind: str = "Counter", **changed: Any) -> nd.Worker:
    """Declare the Worker of the story."""
    counter = nd.DurableObjectNamespace("counter", class_name=kind, protect=False)
    bindings = {
        "COUNTER": counter,
        "LIMIT": "20",
        "LIMITS": nd.Json(LIMITS),
        "SESSION_TOKEN": f"{PLANTED}-by-name",
        "NOTE": "sk_live_4eC39HqLyjWDarj",
    }
    given = {"bindings": {**bindings, **changed.pop("bindings", {})}, **changed}
    return nd.Worker("api", script=source, **given)


@pytest.fixture
def story(cloud: Path) -> dict[str, tuple[Plan, dict[str, str]]]:
    """Play the story once, and give each plan with its two views by name."""
    if not _played:
        _play()
    return _played


def _play() -> None:
    session = nd.session("shop")

    def keep(name: str) -> Plan:
        plan = session.plan()
        _played[name] = (plan, bundle(plan))
        return plan

    declare()
    session.deploy(keep("first"))
    keep("nothing")
    declare(bindings={"LIMIT": "5"})
    keep("value")
    changed = {**LIMITS, "max": 50, "auth": {"password": f"{PLANTED}-new"}}
    hidden = {"LIMITS": nd.Json(changed), "SESSION_TOKEN": f"{PLANTED}-other", "STEP": "2"}
    api = declare(EDITED, bindings=hidden, observability={"enabled": True})
    nd.Worker("desk", script="export default { fetch() {} };", bindings={"COUNTER": api.bindings.COUNTER})
    session.deploy(keep("code"))
    declare(EDITED.replace("class Counter", "class Visits"), kind="Visits")
    session.deploy(keep("rename"))
    _upload_outside()
    keep("drift")


def _upload_outside() -> None:
    """Upload another code for desk, as another tool does."""
    connection, _ = connect_local()
    bound = {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Visits", "script_name": "api-dev"}
    metadata = {"main_module": "index.js", "compatibility_date": "2026-01-01", "bindings": [bound]}
    hotfix = "// hotfix by ops\n// see INC-204\nexport default { fetch() {} };"
    files = {
        "metadata": ("metadata", json.dumps(metadata), "application/json"),
        "index.js": ("index.js", hotfix, "application/javascript+module"),
    }
    url = f"{connection.base_url}/accounts/{connection.account_id}/workers/scripts/desk-dev"
    headers = {"authorization": f"Bearer {connection.token.reveal()}", "user-agent": "wrangler/4.0"}
    answer = httpx.put(url, files=files, headers=headers)
    assert answer.status_code == 200, answer.text


def read(html: str) -> str:
    """Take the tags out."""
    return unescape(re.sub(r"<[^>]+>", " ", html))


def lines(story: dict[str, Any], name: str) -> list[str]:
    """Give the rows of a text, blanks made one."""
    return [" ".join(line.split()) for line in story[name][1]["text/plain"].split("\n")]


def test_a_first_deploy_says_what_is_created(story: dict[str, Any]) -> None:
    """Lines of source, how a namespace begins, values, the URL; then the steps."""
    shown = lines(story, "first")
    assert shown[0] == "Plan for dev on local: 8 changes session: shop"
    assert "Worker api · script api-dev" in shown
    assert "+ create Worker is created with 9 lines of JavaScript" in shown
    assert "+ create namespace counter starts empty: class Counter, SQLite storage" in shown
    assert "+ create binding COUNTER namespace counter" in shown
    assert "+ create binding LIMIT 20" in shown
    assert any(line.startswith("+ create URL opens http://api-dev.localhost:") for line in shown)
    assert "1 create Worker api-dev: create class Counter (SQLite) for namespace counter" in shown


def test_nothing_to_do_is_one_line(story: dict[str, Any]) -> None:
    """With what is live, and what was not read again."""
    plan, shown = story["nothing"]
    said = " ".join(shown["text/plain"].split())
    assert said.startswith(
        "= Plan for dev on local: nothing to do. 1 Worker and 1 namespace are live as declared. "
        f"(session shop, plan {plan.digest[:8]})"
    )
    assert plan.code == ()


def test_one_value_is_one_row_before_and_after(story: dict[str, Any]) -> None:
    """`20 -> 5`, without heads, groups, a drawing or steps."""
    assert [line for line in lines(story, "value") if line][1] == "~ update binding LIMIT of Worker api 20 → 5"
    assert len([line for line in lines(story, "value") if line]) == 3
    plan = story["value"][0]
    row = plan.df[plan.df["action"] == "update"].iloc[0]
    assert (row["before"], row["after"]) == ("20", "5")


def test_code_json_and_settings_show_what_differs(story: dict[str, Any]) -> None:
    """Counts and a folded diff of the code, the paths of JSON, a setting by its name."""
    plan, shown = story["code"]
    rows = lines(story, "code")
    assert "~ update code 2 lines added, 1 removed (+2 \N{MINUS SIGN}1), in index.js" in rows
    text = " ".join(rows)
    assert "~ update binding LIMITS JSON, 2 of 5 values: .auth.password hidden, changed; .max 20 → 50" in text
    assert "~ update binding SESSION_TOKEN hidden, changed" in rows
    assert "~ update setting observability off → on" in rows
    assert "+ create binding STEP 2" in rows
    assert "Worker desk · script desk-dev · after api, because it binds a class of api" in rows
    assert "+ create binding COUNTER namespace counter of Worker api" in rows
    assert "Diff of the code: index.js +2 \N{MINUS SIGN}1" in rows
    assert "    @@ -1,7 +1,8 @@" in shown["text/plain"].split("\n")
    assert shown["text/html"].count("<details") == 2
    assert "<details open" not in shown["text/html"]
    assert str(plan.diff("api")).startswith("--- live: index.js\n+++ declared: ")
    with pytest.raises(nd.CommandError, match=r"replaces no code of a Worker desk; it does of: api\."):
        plan.diff("desk")


def test_a_rename_says_that_objects_stay(story: dict[str, Any]) -> None:
    """Both classes and the namespace id in full; bindings follow."""
    plan, _ = story["rename"]
    rows = lines(story, "rename")
    (id_,) = {c.namespace_id for c in plan.changes if c.kind == "namespace"}
    text = " ".join(rows)
    assert rows[0].startswith("Plan for dev on local: 1 rename, ")
    assert f"~ rename namespace counter class Counter → Visits; its objects stay, namespace id {id_}" in text
    assert text.count("~ update binding COUNTER follows the rename of namespace counter") == 2
    assert "1 upload Worker api-dev: rename class Counter to Visits" in text


def test_what_was_changed_outside_stands_beside_what_is_declared(story: dict[str, Any]) -> None:
    """With the diff from live to declared, and the way to keep what is live."""
    rows = lines(story, "drift")
    text = " ".join(rows)
    assert "~ Changed outside since the last deploy of " in text
    assert ": 1 thing. A deploy puts it back." in text
    assert re.search(r"~ update code 1 line of \S+ 3 lines, uploaded \d{4}-\d\d-\d\d \d\d:\d\d", text)
    assert "Diff of the code, live → declared: index.js +0 \N{MINUS SIGN}2" in rows
    assert "-// see INC-204" in rows
    assert "To keep what is live instead: %durable import desk-dev gives the cells that declare it." in rows


def test_no_planted_secret_is_in_any_form(story: dict[str, Any]) -> None:
    """By name and by shape, in text, JSON and code: not in HTML, text, the DataFrame, JSON or the diff; it says so."""
    for plan, shown in story.values():
        forms = [
            *shown.values(),
            plan.df.to_csv(),
            plan.bindings.to_csv(),
            plan.to_json(),
            written(plan),
            repr(plan.df),
        ]
        forms += [str(diff) for diff in plan.code]
        for form in forms:
            assert PLANTED not in form
            assert "sk_live_4eC39" not in form
            assert "ghp_16C7" not in form
    first, code = (story[name][1]["text/plain"] for name in ("first", "code"))
    assert "hidden because of its name (24 characters)" in first
    assert "hidden because it looks like a secret" in first
    assert 'const API_KEY = "hidden because of its name (24 characters)"; // hidden because it' in code


def test_what_is_hidden_still_counts_for_the_digest(story: dict[str, Any]) -> None:
    """The JSON of two plans may be the same: what is approved is what is sent."""
    session = nd.session("shop")
    digests, shown = set(), set()
    for token in ("a", "b"):
        declare(bindings={"SESSION_TOKEN": f"{PLANTED}-{token}"})
        plan = session.plan()
        digests.add(plan.digest)
        shown.add(re.sub(r"[0-9a-f]{16}", "", plan.to_json()))  # digests of what is recorded
    assert len(story) > 1
    assert len(digests) == 2
    assert len(shown) == 1


KEPT = {
    "a": {"href", "rel", "style", "target"},
    "details": {"open", "style"},
    "div": {"class", "role", "style"},
    **{tag: {"colspan", "scope", "style"} for tag in ("td", "th")},
}
"""What JupyterLab's sanitizer keeps of what a view may hold; SVG it takes, and what is left of that is text."""


@pytest.mark.parametrize("name", ["first", "nothing", "value", "code", "rename", "drift"])
def test_each_view_keeps_the_contract(story: dict[str, Any], name: str) -> None:
    """Equal words, 100 columns, no ANSI, only what a sanitizer keeps, no hash but the digest, each fact once."""
    plan, shown = story[name]
    text, html = shown["text/plain"], shown["text/html"]
    assert set(re.findall(r"[^\W_]+", text)) == set(re.findall(r"[^\W_]+", read(html)))
    assert max(map(width_of, text.split("\n"))) <= 100
    assert "\x1b" not in text + html
    for tag, attributes in re.findall(
        r"<(\w+)((?: [\w-]+=\"[^\"]*\")*)>", re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    ):
        assert tag in markup.TAGS
        assert set(re.findall(r" ([\w-]+)=", attributes)) <= KEPT.get(tag, {"style", "class"})
    proofs = {plan.digest, *(c.namespace_id for c in plan.changes)}
    assert set(re.findall(r"\b(?=[a-f]*\d)[0-9a-f]{12,}\b", text)) <= proofs
    assert text.count("session") == 1
    assert text.count(" on local") == 1
    assert ";color" not in html.replace("background-color", "")
