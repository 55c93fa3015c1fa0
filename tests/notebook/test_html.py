"""HTML: only what a sanitizer keeps, and never anything that was not escaped."""

from __future__ import annotations

import pytest

from notebook_do.notebook.views import html, markup
from notebook_do.notebook.views.blocks import Header, Line, Link, Table, Tone


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
    """Row tints do not survive a front-end's own table style; a text colour breaks one of the two themes."""
    drawn = html.render((Table("", ("a",), (("x",),), (Tone.DROP,)), Header("t", (("k", "v"),)), Line("l", Tone.ALERT)))
    assert drawn.count('<td style="text-align:left') == 2
    assert "rgba(207,34,46,.20)" in drawn
    assert "<tr>" in drawn
    assert ";color" not in drawn.replace("background-color", "")
    assert '"color' not in drawn
