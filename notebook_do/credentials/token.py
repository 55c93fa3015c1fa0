"""Seals secret texts, and finds the API token: in the environment, the keyring, Colab's secrets, or by a prompt.

A token is checked before anything uses it, never shown, and belongs to the first origin it was used with: it is not
sent to another.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakKeyDictionary

from notebook_do.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOKEN_VARIABLE = "CLOUDFLARE_API_TOKEN"  # noqa: S105 - a name, not a token
_TOKEN = re.compile(r"[A-Za-z0-9._-]{20,512}")
KEYRING_SERVICE = "notebook_do"


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
    """Holds one secret text; compares by identity.

    The text lies beside the object and not in it, so that no repr, debugger, pickle or walk over an exception's frames
    comes upon it (pydantic's SecretStr holds it in the object). `open()` is for the one who sends it.
    """

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


class Token(Masked):
    """An API token that no repr, str, format, JSON, copy or pickle shows; `reveal()` is for the client only."""

    __slots__ = ("_origin", "_text", "source")

    def __init__(self, text: str, *, source: str = "given") -> None:
        """Strip and check `text`; raises CredentialError, which says its length and nothing else of it."""
        # Before anything uses it: of a token with a line break in it httpx prints the whole header in its error.
        text = text.strip()
        length, good = len(text), _TOKEN.fullmatch(text) is not None
        self._text, self._origin, self.source = Sealed(text), "", source
        del text  # no frame of the error holds it
        if not good:
            raise CredentialError(
                f"the API token ({source}) has {length} characters and cannot be one: "
                "a token has 20 or more of A-Z a-z 0-9 . _ -; copy it again."
            )

    def bind(self, origin: str) -> None:
        """Tie the token to `origin`; raises CredentialError when it is tied to another."""
        if self._origin not in ("", origin):
            raise CredentialError(
                f"the API token ({self.source}) is for {self._origin}; it is not sent to {origin}. "
                "Open a session for that target with its own token."
            )
        self._origin = origin

    def reveal(self) -> str:
        """Return the token itself. Only cloudflare/client.py calls this."""
        return self._text.open()

    def __repr__(self) -> str:
        return f"Token(from {self.source})"

    __str__ = __repr__


def find_token(environ: Mapping[str, str] | None = None, *, prompt: bool = True) -> tuple[Token, str]:
    """Find the token; return it and where it came from. The prompt is used only in an interactive process.

    Raises CredentialError that names what to set; none of its frames holds the environment or a token.
    """
    found = _search(os.environ if environ is None else environ, prompt=prompt)
    if isinstance(found, str):
        raise CredentialError(found)
    return found, found.source


def _search(environ: Mapping[str, str], *, prompt: bool) -> Token | str:
    """Return the token, or what is wrong: that is not raised, for a traceback would hold this frame and the secrets."""
    if environ.get("CLOUDFLARE_API_KEY") and not environ.get(TOKEN_VARIABLE):
        return (
            "a global API key (CLOUDFLARE_API_KEY) is not used: it can do everything. "
            f"Create a token and set {TOKEN_VARIABLE}."
        )
    sources: tuple[tuple[str, Callable[[], str | None]], ...] = (
        (TOKEN_VARIABLE, lambda: environ.get(TOKEN_VARIABLE)),
        ("keyring", lambda: from_keyring(TOKEN_VARIABLE)),
        ("Colab secrets", _from_colab),
        ("prompt", _from_prompt if prompt else lambda: None),
    )
    # In the order of how deliberate they are: a variable that a user set for this kernel wins over what is kept.
    try:
        for source, find in sources:
            if text := find():
                return Token(text, source=source)
    except CredentialError as error:
        return error.message
    return (
        f"no Cloudflare API token: set {TOKEN_VARIABLE} to a token with the permission Workers Scripts: Edit, "
        "or use the local target, which needs none."
    )


def from_keyring(name: str) -> str | None:
    """Return the system keyring's `name` of our service; None where it has none, or there is no keyring package."""
    try:
        import keyring
        from keyring.errors import KeyringError, NoKeyringError
    except ImportError:
        return None
    problem = ""
    try:
        found: str | None = keyring.get_password(KEYRING_SERVICE, name)
    except NoKeyringError:
        return None  # the package is there, a keyring is not
    except KeyringError as error:
        problem = type(error).__name__
    if problem:  # raised outside, so that no backend's error with what it read hangs on this one
        raise CredentialError(f"the keyring cannot be read ({problem}); unlock it or set {name} in the environment.")
    return found


def _from_colab() -> str | None:
    """Return the token from Colab's user secrets; they are asked for only inside Colab."""
    try:
        from google.colab import userdata
    except ImportError:
        return None
    try:
        found: str | None = userdata.get(TOKEN_VARIABLE)
    except (userdata.SecretNotFoundError, userdata.NotebookAccessError):
        return None  # there is no such secret for this notebook: the next source is asked
    return found


def _from_prompt() -> str | None:
    return ask("Cloudflare API token: ")


def ask(question: str) -> str | None:
    """Return what a person answers, without echo; None where nobody can answer, or nothing was answered."""
    import getpass
    import sys

    kernel_asks = getpass.getpass.__module__ != "getpass"  # a kernel puts its own in place of the terminal's
    if not kernel_asks and not (sys.stdin and sys.stdin.isatty()):
        return None
    try:
        return getpass.getpass(question) or None
    except (EOFError, NotImplementedError):
        return None  # a headless kernel: nobody can answer
