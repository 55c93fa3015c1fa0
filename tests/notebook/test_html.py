"""HTML: only what a sanitizer keeps, and never anything that was not escaped."""

from __future__ import annotations

import re

import pytest

from notebook_do.display.rich import code, link, rich, strong
from notebook_do.notebook.views import html, markup
from notebook_do.notebook.views.blocks import Diff, Folded, Header, Line, Link, Table, Tone


def test_a_child_is_text_unless_element_made_it() -> None:
    """There is no way to put markup in but `element`."""
    assert markup.element("b", "<i>&", markup.element("span", "x")) == "<b>&lt;i&gt;&amp;<span>x</span></b>"


@pytest.mark.parametrize("tag", ["script", "style", "img", "iframe", "use", "foreignObject"])
def test_a_tag_outside_the_list_is_a_bug(tag: str) -> None:
    """Views cannot grow tags beyond their list."""
    with pytest.raises(ValueError, match="may not hold"):
        markup.element(tag)


def test_an_attribute_outside_the_list_is_a_bug() -> None:
    """No event handler, no id."""
    with pytest.raises(ValueError, match="may not hold"):
        markup.element("div", onclick="x")


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "http://x/ onclick=1", 'http://x/"y', "//x"]
)
def test_only_web_addresses_become_links(url: str) -> None:
    """Anything else is shown as the text that it is."""
    assert "<a" not in html.render((Table("", ("url",), ((Link(url),),)),))


def test_a_web_address_is_a_link() -> None:
    """A deployed Worker can be opened with a click."""
    drawn = html.render((Table("", ("url",), ((Link("http://w.localhost:8787/a?b=1"),),)),))
    assert '<a href="http://w.localhost:8787/a?b=1" target="_blank" rel="noopener" style=' in drawn


def test_tints_are_on_cells_and_text_has_no_colour() -> None:
    """A row has none of its own, which would be striped; a text colour breaks one of the two themes."""
    rows = (("create", "a"), ("delete", "b"), ("delete", "with objects"))
    table = Table("", ("action", "what"), rows, (Tone.ADD, Tone.DROP, Tone.ALERT))
    drawn = html.render((table, Header("t", (("k", "v"),)), Line("l", Tone.ALERT)))
    tints = [re.findall("rgba[^;]*", row) for row in drawn.split("<tr")[2:]]
    assert [len([t for t in row if not t.startswith("rgba(128")]) for row in tints] == [2, 2, 4], "ALERT tints a row"
    assert drawn.count('<tr style="background-color:transparent">') == 3
    assert ";color" not in drawn.replace("background-color", "")
    assert '"color' not in drawn


def test_a_live_target_makes_a_band_of_the_title() -> None:
    """Red with 8 pixels for production, amber with 6 for another stage there, none on this machine."""
    production, staging, here = (html.render((Header("t", (), live),)) for live in ("production", "live", ""))
    assert "border-left:8px solid rgba(207,34,46,.75)" in production
    assert "! LIVE PRODUCTION</b>" in production
    assert "border-left:6px solid rgba(191,135,0,.75)" in staging
    assert "! LIVE</b>" in staging
    assert "border-left" not in here


def test_a_text_keeps_the_looks_of_its_parts() -> None:
    """Names and values are code, what a row is about is bold, an address is a link; all of it is escaped."""
    drawn = html.render((Line(rich("of ", strong("a<b"), " ", code("x>y"), " ", link("http://w.localhost/"))),))
    assert "<b>a&lt;b</b>" in drawn
    assert re.search("<code style=[^>]*>x&gt;y</code>", drawn)
    assert '<a href="http://w.localhost/"' in drawn


def test_a_fold_is_shut_unless_it_says_otherwise() -> None:
    """And a long diff says where the rest of it is."""
    lines = tuple(f"+{n}" for n in range(512))
    drawn = html.render((Folded("Diff", (Diff(lines, 'plan.diff("api") has all'),)), Folded("Steps", (), opened=True)))
    assert drawn.count("<details style") == drawn.count("<details open=") == 1
    assert "… 312 more lines; plan.diff(&quot;api&quot;) has all" in drawn
    assert drawn.count("rgba(45,164,78,.22)") == 200
