"""200 hostile strings, and every view with one of them in each name and value: for a parser and for a browser."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.deploy.result import DeployResult, Failure, Outcome
from notebook_do.display import TitledTable as Rows
from notebook_do.display.rich import code, link, rich, strong
from notebook_do.errors import StalePlan
from notebook_do.model import Bindings, Json, Namespace, NamespaceBinding, PlainText, ServiceBinding, StableId, Worker
from notebook_do.model.steps import SetUrl
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views.blocks import (
    Code,
    Diagram,
    Diff,
    Edge,
    Folded,
    Group,
    Header,
    Item,
    Items,
    Line,
    Link,
    Table,
    Tone,
)
from notebook_do.notebook.views.declarations import DeclarationMistake, DeclaredView, declared_document
from notebook_do.notebook.views.declared_bindings import Around
from notebook_do.notebook.views.stale import stale_document
from notebook_do.plan.code import CodeDiff, text_diff
from notebook_do.plan.plan import Action, Baseline, Change, Consent, Plan, Refusal

if TYPE_CHECKING:
    from notebook_do.notebook.views.blocks import Document

TAGS = (
    "script",
    "img",
    "svg",
    "iframe",
    "style",
    "a",
    "details",
    "math",
    "object",
    "base",
    "form",
    "textarea",
    "td",
    "video",
    "body",
    "link",
)
ENDS = ("", "</td>", "</table></div>", "-->", "]]>", "</pre></code>", "\x00", "\u202e", "\x1b[31m")
HOSTILE = (
    *(
        f"{end}<{tag} src=x onerror=alert(1) href=javascript:alert(1) id=x>"
        for tag, end in itertools.product(TAGS, ENDS)
    ),
    *(f'"{q} onmouseover={q}alert(1){q} x={q}' for q in ("'", '"', "`", "", "&quot;")),
    *(f"{scheme}alert(1)" for scheme in ("javascript:", "data:text/html,<script>", "vbscript:", "JaVaScRiPt:\t")),
    *(chr(code) * 3 for code in (*range(32), 0x7F, 0x85, 0xAD, 0x200B, 0x200E, 0x202A, 0x202E, 0x2066, 0xFEFF, 0xD800)),
    *("&lt;script&gt;", "{{7*7}}", "${alert(1)}", "%s%n", "$(id)", "`id`", "<![CDATA[<x>]]>", "<!--", "\\u003cscript"),
    *(
        "\U0001d54f" * 40,
        "e" + "\u0301" * 60,
        "ط" * 50,
        "a" * 5000,
        "<" * 300,
        "'; DROP TABLE x; --",
        "\r\n\r\n",
        "\u2028\u2029",
    ),
    *("style=background:url(x)", 'x" style="position:fixed', "[x](javascript:alert(1))", "$$\\href{x}{y}$$"),
)


def plan_of(text: str) -> Plan:
    """Give a plan with `text` in every place that a person or an account can fill."""
    change = Change(
        action=Action.DELETE, kind="namespace", id=text, worker=text, name=text, before=text, after=text, detail=text
    )
    return Plan(
        session=text,
        stage=text,
        target="local",
        baseline=Baseline(lineage="l", serial=1, account_id=text, api_origin=text, scripts=(), namespaces=()),
        changes=(change,),
        drift=(change,),
        refusals=(Refusal(code="x", subject=text, message=text, choices=(text,)),),
        consents=(
            Consent(phrase=text, stable_id=StableId(text), namespace_id=text, class_name=text, worker=text),  # type: ignore[arg-type]
        ),
        warnings=(text,),
        binding_rows=(
            {"worker": text, "binding": text, "type": text, "target": text, "class_name": text, "action": "create"},
        ),
        migration_rows=({"worker": text, "step": text, "stable_id": text},),
    )


def sent_plan(text: str) -> Plan:
    """Give a plan that is sent, with `text` in every place: rows with words of their own, drift, code, two steps."""
    plan = plan_of(text)
    row = replace(plan.changes[0], happens=rich(code(text), text), action=Action.UPDATE)
    changes = tuple(
        replace(row, kind=kind) for kind in ("worker", "namespace", "binding", "setting", "url", "cron", text)
    )
    lost = replace(plan.changes[0], destructive=True, namespace_id=text)
    drift = (replace(row, kind="binding"), replace(row, kind="code", field="etag"), lost)
    module = text_diff(text, text, f"{text}\n{text}")
    steps = tuple(SetUrl(worker=text, script_name=text, enabled=on) for on in (True, False))
    diff = CodeDiff(worker=text, script_name=text, modules=(module,), declared=text, source=text, live_lines=1)
    known = {"addresses": ((text, text),), "deployed_at": text, "read_at": text, "unread": text, "notes": (text,)}
    return replace(
        plan,
        refusals=(),
        changes=(lost, *changes),
        drift=drift,
        steps=steps,
        code=(diff,),
        target="cloudflare",
        **known,
    )


def block_document(evil: str, tone: Tone | None) -> Document:
    """Give every kind of block, with `evil` in each of its strings."""
    return (
        Header(evil, ((evil, evil),)),
        Line(evil, tone, strong=True, role="alert"),
        Table(evil, (evil, evil), ((evil, Link(evil)),), (tone,), 3, evil),
        Items(evil, (Item(evil, tone, (evil,)),)),
        Diagram(evil, (Edge(evil, evil, evil, tone, about=evil, role=evil), Edge("b", evil, evil))),
        Code(evil, f"{evil}\n{evil}"),
        Diff((evil, f"-{evil}", f"+{evil}", f"@@{evil}"), evil),
        Folded(evil, (Line(evil),)),
        *looks(rich(evil, code(evil), strong(evil), link(evil)), tone),
    )


def looks(text: str, tone: Tone | None) -> Document:
    """Give every kind of block that takes a text whose parts have looks."""
    return (
        Header(text, ((text, text),), "production"),
        Header(text, (), "live"),
        Line(text, tone, small=True),
        Table(text, (text,), (Group(text), (text,)), (None, tone)),
        Table("", (), ((text, text),), (tone,)),
        Items(text, (Item(text, tone, (text,)), Item(text))),
        Folded(text, (Folded(text, (Diff((text,)),), opened=True),)),
    )


def declared(evil: str) -> Document:
    """Give the view of declarations."""
    space = Namespace(evil, class_name=evil, script_name=evil, environment=evil)  # type: ignore[arg-type]
    value = "\ufffd" if evil.encode(errors="replace") == b"???" else evil  # half a character is refused as a value
    bindings = {
        evil: NamespaceBinding(stable_id=evil),  # type: ignore[arg-type]
        "A": PlainText(text=value),
        "B": ServiceBinding(worker=evil),
        "C": Json(value),
    }
    worker = Worker(evil, name=evil, entrypoint=evil, bindings=Bindings(evil, bindings), compatibility_date=evil)
    before = replace(worker, entrypoint="other.ts", bindings=Bindings(evil, {"A": PlainText(text="a"), "D": Json(1)}))
    shown = DeclaredView(
        items=(space, worker),
        around=Around(namespaces={evil: space}, workers={evil: worker}, hosts={evil: evil}),
        session=evil,
        stage=evil,
        replaced={("worker", evil): before},
        scripts={evil: evil},
        exports={evil: (evil, "default")},
        notes=(evil,),
    )
    wrong = (DeclarationMistake(kind="worker", id=evil, text=evil, choices=(evil,)),)
    alone = replace(shown, items=(worker,))
    documents = (shown, replace(shown, mistakes=wrong), alone, replace(alone, replaced={}, mistakes=wrong))
    return tuple(block for one in documents for block in declared_document(one))


def stopped(evil: str) -> Document:
    """Give the record of a deploy that failed, with `evil` in all that was answered and in the lines of the source."""
    failure = Failure(index=0, message=evil, code=10021, worker=evil, line=1, cell=evil, excerpt=evil)
    outcomes = (Outcome(text=evil, status="not done", detail=evil), Outcome(text=evil, status="uncertain"))
    return views.document_of(DeployResult(plan_digest=evil, outcomes=outcomes, failure=failure, notes=(evil,)))


def every_view(evil: str) -> dict[str, Document]:
    """Give each view by its name, with `evil` in every name and value."""
    row = dict.fromkeys(("id", "name", "url", "status", "stable_id", "namespace_id", "worker", "binding"), evil)
    row |= dict.fromkeys(("type", "target", "class_name", "script_name", "step", "role", "class_history"), evil)
    tables = {
        name: views.document_of(Rows(name=name, title=evil, rows=(row, row)))
        for name in ("workers", "namespaces", "bindings", "migrations", "state")
    }
    result = DeployResult(
        plan_digest=evil,
        outcomes=(Outcome(text=evil, status="done", detail=evil),),
        workers={evil: evil},
        namespaces={evil: evil},
    )
    return {
        "plan": views.document_of(plan_of(evil)),
        "sent plan": views.document_of(sent_plan(evil)),
        "long plan": views.document_of(replace(sent_plan(evil), changes=sent_plan(evil).changes * 8)),
        "diff": views.document_of(sent_plan(evil).code[0]),
        "declared": declared(evil),
        "result": views.document_of(result),
        "stopped": stopped(evil),
        "stale": stale_document(StalePlan(evil), plan_of(evil), plan_of(f"{evil} now")),
        "blocks": block_document(evil, Tone.ALERT),
        **tables,
    }
