"""A text of which parts have a look: code, bold, a link. To everything that only wants text, it is a `str`.

Who writes a sentence knows which of its words are names, values or commands; HTML draws those in their look, plain text
reads the same without it. A look is never found by reading a text: what it quotes is other people's.
"""

from __future__ import annotations

from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from notebook_do.display.formats import short_namespace, storage_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Look = Literal["", "code", "strong", "link"]


class TextPart(NamedTuple):
    """A piece of a text, and its look."""

    text: str
    look: Look = ""


_NOTHING = TextPart("")


class Rich(str):
    """A text that knows the look of its parts; equal to, and hashed as, the plain text.

    Its parts are put together whenever it is drawn: most of the texts of a large plan never are.
    """

    __slots__ = ("_pieces",)
    _pieces: tuple[str | TextPart, ...]

    def __new__(cls, pieces: Iterable[str | TextPart]) -> Self:
        """Put texts, each of which keeps its looks, and parts behind each other."""
        kept = tuple(pieces)
        made = super().__new__(cls, "".join([piece.text if isinstance(piece, TextPart) else piece for piece in kept]))
        made._pieces = kept
        return made

    @property
    def parts(self) -> tuple[TextPart, ...]:
        """The parts, none of them empty; neighbours of one look are one."""
        return _joined(part for piece in self._pieces for part in parts_of(piece))

    def __getnewargs__(self) -> tuple[tuple[TextPart, ...]]:  # type: ignore[override]  # a copy is made of its parts
        return (self.parts,)


def _joined(parts: Iterable[TextPart]) -> tuple[TextPart, ...]:
    kept: list[TextPart] = []
    last = _NOTHING
    for part in parts:
        if last[1] == part[1] and part[1] != "link":
            last = TextPart(last[0] + part[0], part[1])
            continue
        if last[0]:
            kept.append(last)
        last = part
    if last[0]:
        kept.append(last)
    return tuple(kept)


def parts_of(text: str | TextPart) -> tuple[TextPart, ...]:
    """Return the parts of any text; a plain one is one part without a look."""
    if isinstance(text, TextPart):
        return (text,)
    return text.parts if isinstance(text, Rich) else (TextPart(str(text)),)


def code(text: str) -> Rich:
    """Return a name in code, a value, a command or an id."""
    return Rich((TextPart(str(text), "code"),))


def strong(text: str) -> Rich:
    """Return the name that a row is about."""
    return Rich((TextPart(str(text), "strong"),))


def link(url: str) -> Rich:
    """Return an address that may be followed; it is drawn as plain text unless it is http or https."""
    return Rich((TextPart(str(url), "link"),))


def rich(*texts: str) -> Rich:
    """Put texts behind each other; each part keeps its look."""
    return Rich(texts)


def joined(between: str, texts: Iterable[str]) -> Rich:
    """Put texts behind each other with `between` between them."""
    pieces = [piece for text in texts for piece in (between, text)]
    return rich(*pieces[1:])


def capitalized(text: str) -> Rich:
    """Return a text that begins a sentence."""
    first, *rest = parts_of(text)
    return Rich((first._replace(text=first.text[:1].upper() + first.text[1:]), *rest))


def formatted(template: str, facts: Mapping[str, Any]) -> str:
    """Fill a format string in; what stands between backticks of the template is code, and a fact keeps its look.

    Backticks in a fact are only letters: the template is ours, the facts are other people's. `{id:short}` is an id as
    it is written where it proves nothing, `{kind:storage}` the word for a kind of storage.
    """
    pieces, are_rich = _pieces(template), Rich in map(type, facts.values())
    if len(pieces) == 1 and not pieces[0].own and not are_rich:
        return template.format_map(facts)
    parts: list[TextPart] = []
    for piece in pieces:
        if piece.own or (not piece.look and (are_rich or piece.reaches)):
            parts += _filled(piece.text, facts, piece.look)
        else:
            parts.append(TextPart(piece.text.format_map(facts), piece.look))
    return Rich(parts)


_SPECS = {"short": short_namespace, "storage": storage_words}


class _Piece(NamedTuple):
    """What stands in a template from one backtick to the next."""

    text: str
    look: Look
    own: bool
    """It has a format of ours, which `str.format` does not know."""
    reaches: bool
    """It names something of a fact, which may have a look though the fact is no text."""


@cache
def _pieces(template: str) -> tuple[_Piece, ...]:
    """Take a template apart, once: there are as many as sentences in the tables, and each is said for every row."""
    looks: tuple[Look, Look] = ("", "code")
    found = []
    for at, text in enumerate(template.split("`")):
        fields = [(name, spec) for _, name, spec, _ in Formatter().parse(text) if name is not None]
        own = any(spec in _SPECS for _, spec in fields)
        reaches = any("." in name or "[" in name for name, _ in fields)
        found.append(_Piece(text, looks[at % 2], own, reaches))
    return tuple(found)


def _filled(piece: str, facts: Mapping[str, Any], look: Look) -> Iterator[TextPart]:
    formatter = Formatter()
    for literal, name, spec, conversion in formatter.parse(piece):
        yield TextPart(literal, look)
        if name is None:
            continue
        value, _ = formatter.get_field(name, (), facts)
        value = formatter.convert_field(value, conversion) if conversion else value
        if isinstance(value, Rich) and not look:
            yield from value.parts
        else:
            own = _SPECS.get(spec or "")
            yield TextPart(own(str(value)) if own else format(value, spec or ""), look)
