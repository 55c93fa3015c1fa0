"""The one way to make HTML here: only tags and attributes that a notebook's sanitizer keeps, every text escaped.

Measured: JupyterLab 4.6 takes `id`, `aria-label`, `color` and all of SVG out of an untrusted output, and keeps these
with the inline styles that the views use.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from html import escape

from notebook_do.display import clean

TAGS = frozenset(
    "a b br caption code details div li pre span summary table tbody td th thead tr ul".split()  # noqa: SIM905 - reads well
)
ATTRIBUTES = frozenset(("class", "colspan", "href", "open", "rel", "role", "scope", "style", "target"))
SHAPES = frozenset(("path", "rect", "svg", "text"))
SHAPE_ATTRIBUTES = frozenset(
    (
        *("d", "fill", "fill-opacity", "font-family", "font-size", "font-weight", "height", "rx", "stroke", "style"),
        *("stroke-dasharray", "stroke-opacity", "stroke-width", "viewBox", "width", "x", "y"),
    )
)


PICTURES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))
"""The types of pictures that are drawn: none of them can hold a script."""


class Markup(str):
    """HTML made by `element`."""

    __slots__ = ()


def element(tag: str, *children: Markup | str, **attributes: str) -> Markup:
    """Make one element; a child that is not `Markup` is text, and is cleaned and escaped."""
    inside = "".join([c if isinstance(c, Markup) else escape(clean(c)) for c in children])
    return Markup(f"{_start(tag, tuple(attributes.items()))}{inside}</{tag}>")


def picture(kind: str, content: bytes, about: str) -> Markup:
    """Make a picture of its own bytes, 320 pixels high at most: a view asks no server for anything."""
    if kind not in PICTURES:
        raise ValueError(f"a view may not hold a picture of type {kind}")
    source = f"data:{kind};base64,{b64encode(content).decode()}"
    return Markup(f'<img src="{source}" alt="{escape(clean(about))}" style="max-height:320px;max-width:100%">')


@lru_cache(maxsize=256)
def _start(tag: str, attributes: tuple[tuple[str, str], ...]) -> str:
    """Make a start tag; the cells of a table share a few."""
    allowed = ATTRIBUTES if tag in TAGS else SHAPE_ATTRIBUTES if tag in SHAPES else frozenset()
    if not allowed or not allowed.issuperset(name for name, _ in attributes):
        raise ValueError(f"a view may not hold <{tag} {' '.join(name for name, _ in attributes)}>")
    named = "".join(f' {name}="{escape(clean(value))}"' for name, value in attributes if value)
    return f"<{tag}{named}>"
