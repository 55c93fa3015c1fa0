"""A text of which parts have a look: code, bold, a link. To everything that only wants text, it is a `str`.

Who writes a sentence knows which of its words are names, values or commands; HTML draws those in their look, plain text
reads the same without it. A look is never found by reading a text: what it quotes is other people's.
"""

from __future__ import annotations

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
    """A text that knows the look of its parts; equal to, and hashed as, the plain text."""

    __slots__ = ("parts",)
    parts: tuple[TextPart, ...]

    def __new__(cls, parts: Iterable[TextPart]) -> Self:
        """Join the parts; neighbours of one look become one."""
        kept = _joined(parts)
        made = super().__new__(cls, "".join([text for text, _ in kept]))
        made.parts = tuple(kept)
        return made

    @classmethod
    def of_one(cls, text: str, look: Look) -> Self:
        """Make a text of one part."""
        plain = str(text)
        made = super().__new__(cls, plain)
        made.parts = (TextPart(plain, look),) if plain else ()
        return made

    def __getnewargs__(self) -> tuple[tuple[TextPart, ...]]:  # type: ignore[override]  # a copy is made of its parts
        return (self.parts,)


def _joined(parts: Iterable[TextPart]) -> list[TextPart]:
    # Each row of a plan has some texts of this kind, and a large plan ten thousand rows.
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
    return kept


def parts_of(text: str) -> tuple[TextPart, ...]:
    """Return the parts of any text; a plain one is one part without a look."""
    return text.parts if isinstance(text, Rich) else (TextPart(str(text)),)


def code(text: str) -> Rich:
    """Return a name in code, a value, a command or an id."""
    return Rich.of_one(text, "code")


def strong(text: str) -> Rich:
    """Return the name that a row is about."""
    return Rich.of_one(text, "strong")


def link(url: str) -> Rich:
    """Return an address that may be followed; it is drawn as plain text unless it is http or https."""
    return Rich.of_one(url, "link")


def rich(*texts: str) -> Rich:
    """Put texts behind each other; each part keeps its look."""
    return Rich([part for text in texts for part in parts_of(text)])


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
    if (
        "`" not in template
        and not any(f":{spec}}}" in template for spec in _SPECS)
        and Rich not in map(type, facts.values())
    ):
        return template.format(**facts) if "{" in template or "}" in template else template
    looks: tuple[Look, Look] = ("", "code")
    pieces = template.split("`")
    return Rich(part for at, piece in enumerate(pieces) for part in _filled(piece, facts, looks[at % 2]))


_SPECS = {"short": short_namespace, "storage": storage_words}


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
