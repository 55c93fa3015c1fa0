"""A text that nothing shows and nothing holds: what is sealed cannot be reached from what holds the seal.

The text lies beside the object and not in it, so that no repr, debugger, pickle or walk over an exception's frames
comes upon it (pydantic's SecretStr holds it in the object). `open()` is for the one who sends it.
"""

from __future__ import annotations

from typing import Any, NoReturn
from weakref import WeakKeyDictionary


class Masked:
    """What shows its repr alone, in every format, and is never copied or pickled."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not copied or pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not copied or pickled")


class Sealed(Masked):
    """Holds one secret text; compares by identity."""

    __slots__ = ("__weakref__",)

    def __init__(self, text: str) -> None:
        """Seal `text`."""
        _TEXTS[self] = text

    def open(self) -> str:
        """Return the text."""
        return _TEXTS[self]

    def __repr__(self) -> str:
        return "Sealed(***)"


_TEXTS: WeakKeyDictionary[Sealed, str] = WeakKeyDictionary()
