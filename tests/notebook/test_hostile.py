"""200 hostile strings in every name and value, through every view: what comes out is text, and nothing but."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import html5lib
import pytest
from hostile import HOSTILE, block_document, every_view

from notebook_do import display as letters
from notebook_do.display.rich import Rich, code, link, rich, strong
from notebook_do.model import Json
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import html, text
from notebook_do.notebook.views.blocks import Tone

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.notebook.views.blocks import Document
    from notebook_do.plan.plan import Plan

SVG = "{http://www.w3.org/2000/svg}"
CELL = {"style", "colspan", "scope"}
SHAPE = {"fill", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray"}
ALLOWED: dict[str, set[str]] = {
    **{tag: {"style", "role"} for tag in ("span", "b", "code", "pre", "li", "ul", "summary")},
    "details": {"style", "open"},
    "table": {"style"},
    "caption": {"style"},
    "thead": set(),
    "tbody": set(),
    "tr": {"style"},
    "th": CELL,
    "td": CELL,
    "div": {"style", "role", "class"},
    "a": {"href", "target", "rel", "style"},
    f"{SVG}svg": {"viewBox", "width", "height", "font-family", "font-size", "fill", "style"},
    f"{SVG}rect": {"x", "y", "width", "height", "rx", "fill-opacity", *SHAPE},
    f"{SVG}path": {"d", *SHAPE},
    f"{SVG}text": {"x", "y", "font-weight", "fill-opacity"},
}
STYLE = re.compile(r"[a-z-]+:[A-Za-z0-9 .,()%#-]+(;[a-z-]+:[A-Za-z0-9 .,()%#-]+)*;?")
SHAPED = re.compile(r"[A-Za-z0-9 .,()-]*")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def faults(document: Document) -> list[str]:
    """Say what either drawing holds that it may not, as the parser of a browser reads it."""
    drawn, plain = html.render(document), text.render(document)
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    found = []
    for node in parser.parseFragment(drawn).iter():
        if not isinstance(node.tag, str):
            found.append("a comment")
        elif node.tag != "DOCUMENT_FRAGMENT":
            may_have = ALLOWED.get(node.tag, set())
            found += [f"<{node.tag}>"] if node.tag not in ALLOWED else []
            found += [f"<{node.tag} {name}={v}>" for name, v in node.attrib.items() if name not in may_have]
            found += [f"<{node.tag} {name}={v}>" for name, v in node.attrib.items() if not _plain(node.tag, name, v)]
    found += map(str, parser.errors)
    found += UNSEEN.findall(plain + drawn)
    # A command is copied whole, however long it is.
    lines = (line for line in plain.split("\n") if not line.lstrip().startswith("%durable "))
    found += [line for line in lines if letters.width_of(line) > text.WIDTH]
    plain.encode()
    drawn.encode()
    return found


def _plain(tag: str, name: str, value: str) -> bool:
    if name == "style":
        return bool(STYLE.fullmatch(value))
    if name == "href" and not value.startswith(("http://", "https://")):
        return False
    return not tag.startswith(SVG) or bool(SHAPED.fullmatch(value))


def poisoned(value: Any, evil: str) -> Any:
    """Put `evil` in place of every string below `value`."""
    match value:
        case bool() | None:
            return value
        case Rich():
            return rich(evil, code(evil), strong(evil), link(evil))
        case str() if type(value) is str:
            return evil
        case Json():
            return Json(evil)
        case tuple():
            return tuple(poisoned(item, evil) for item in value)
        case dict():
            return {key: item if key == "action" else poisoned(item, evil) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if f.name not in {"target", "kind", "wire", "modules", "options"}]
        return replace(value, **{name: poisoned(getattr(value, name), evil) for name in names})
    return value


SOME_OR_ALL = pytest.mark.parametrize(
    "strings", [HOSTILE[::14], pytest.param(HOSTILE, marks=pytest.mark.thorough)], ids=["some", "all"]
)


def test_there_are_enough() -> None:
    """The list is what it says."""
    assert len(set(HOSTILE)) >= 200


@SOME_OR_ALL
@pytest.mark.parametrize("which", ["make_plan", "deletion", "refused"])
def test_plans(which: str, strings: list[str], request: pytest.FixtureRequest) -> None:
    """Every string of a plan."""
    found = request.getfixturevalue(which)
    plan = found() if callable(found) else found
    for evil in strings:
        bad = poisoned(plan, evil)
        assert faults(views.document_of(replace(bad, drift=bad.changes, warnings=(evil,)))) == []


@SOME_OR_ALL
def test_every_block(strings: list[str]) -> None:
    """Every string of every kind of block."""
    for evil, tone in itertools.product(strings, (None, *Tone)):
        assert faults(block_document(evil, tone)) == []


@SOME_OR_ALL
@pytest.mark.parametrize("name", sorted(every_view("x")))
def test_every_view(name: str, strings: list[str]) -> None:
    """Declarations, results and tables, however their rows came to be."""
    for evil in strings:
        assert faults(every_view(evil)[name]) == []


def test_a_plan_is_still_readable_when_poisoned(make_plan: Callable[..., Plan]) -> None:
    """What was written is shown, letter by letter."""
    drawn = html.render(views.document_of(make_plan(warnings=("<script>alert(1)</script>",))))
    assert any("<script>alert(1)</script>" in piece for piece in html5lib.parseFragment(drawn).itertext())
