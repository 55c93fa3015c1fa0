"""A text that nothing shows and nothing holds: what is sealed cannot be reached from what holds the seal.

The text lies beside the object and not in it, so that no repr, debugger, pickle or walk over an exception's frames
comes upon it. `open()` is for the one who sends it.
"""

from __future__ import annotations

from typing import Any, NoReturn
from weakref import WeakKeyDictionary


class Sealed:
    """Holds one secret text, masked everywhere; compares by identity."""

    __slots__ = ("__weakref__",)

    def __init__(self, text: str) -> None:
        """Seal `text`."""
        _TEXTS[self] = text

    def open(self) -> str:
        """Give the text."""
        return _TEXTS[self]

    def __repr__(self) -> str:
        return "Sealed(***)"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("what is sealed is not copied or pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("what is sealed is not copied or pickled")


_TEXTS: WeakKeyDictionary[Sealed, str] = WeakKeyDictionary()
