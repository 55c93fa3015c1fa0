"""Finds the API token and the account, and decides to which addresses a token may be sent.

Order: environment, keyring, Colab's secrets, prompt. A token is checked before anything uses it, never shown, and
belongs to the first origin it was used with: it is not sent to another.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from notebook_do.cloudflare.answer import one_line
from notebook_do.credentials.sealed import Sealed
from notebook_do.errors import CredentialError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from notebook_do.cloudflare.client import Client

CLOUDFLARE_API = "https://api.cloudflare.com/client/v4"
TOKEN_VARIABLE = "CLOUDFLARE_API_TOKEN"  # noqa: S105 - a name, not a token
ACCOUNT_VARIABLE = "CLOUDFLARE_ACCOUNT_ID"
BASE_URL_VARIABLE = "CLOUDFLARE_API_BASE_URL"
_TOKEN = re.compile(r"[A-Za-z0-9._-]{20,512}")
KEYRING_SERVICE = "notebook_do"
PROXY_VARIABLE = "NOTEBOOK_DO_PROXY"
_SHOWN_ACCOUNTS = 10
_ACCOUNT = re.compile(r"[0-9a-f]{32}")
_CLOUDFLARE_HOSTS = frozenset({"api.cloudflare.com"})
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class Token:
    """An API token that no repr, str, format, JSON, copy or pickle shows; `reveal()` is for the client only."""

    __slots__ = ("_origin", "_text", "source")

    def __init__(self, text: str, *, source: str = "given") -> None:
        """Strip and check `text`; raises CredentialError, which says its length and nothing else of it."""
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
        """Give the token itself. Only cloudflare/client.py calls this."""
        return self._text.open()

    def __repr__(self) -> str:
        return f"Token(from {self.source})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Token is not copied or pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Token is not copied or pickled")


def find_token(environ: Mapping[str, str] | None = None, *, prompt: bool = True) -> tuple[Token, str]:
    """Find the token; gives it and where it came from. The prompt is used only in an interactive process.

    Raises CredentialError that names what to set; none of its frames holds the environment or a token.
    """
    found = _search(os.environ if environ is None else environ, prompt=prompt)
    if isinstance(found, str):
        raise CredentialError(found)
    return found, found.source


def _search(environ: Mapping[str, str], *, prompt: bool) -> Token | str:
    """Give the token, or what is wrong: it is returned and not raised, as this frame has seen secrets."""
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
    """Look in the system's keyring for `name` of our service; None without the keyring package, or without such."""
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
    if problem:
        raise CredentialError(f"the keyring cannot be read ({problem}); unlock it or set {name} in the environment.")
    return found


def _from_colab() -> str | None:
    """Look in Colab's user secrets; they are asked for only inside Colab."""
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
    """Ask without echo; None where nobody can answer, or nothing was answered."""
    import getpass
    import sys

    kernel_asks = getpass.getpass.__module__ != "getpass"  # a kernel puts its own in place of the terminal's
    if not kernel_asks and not (sys.stdin and sys.stdin.isatty()):
        return None
    try:
        return getpass.getpass(question) or None
    except (EOFError, NotImplementedError):
        return None  # a headless kernel: nobody can answer


def api_base_url(environ: Mapping[str, str] | None = None) -> str:
    """Give the API's base URL: Cloudflare's, or CLOUDFLARE_API_BASE_URL where that is allowed."""
    environ = os.environ if environ is None else environ
    return allowed_base_url(environ.get(BASE_URL_VARIABLE) or CLOUDFLARE_API)


def allowed_base_url(url: str) -> str:
    """Check an API base URL: https to Cloudflare's API host, or loopback. Raises TargetError for any other."""
    problem = TargetError(
        "the API base URL is not allowed: only https://api.cloudflare.com and loopback addresses are. "
        f"Correct or unset {BASE_URL_VARIABLE}."
    )
    if not url.isascii() or any(c.isspace() or c in '\\"<>' or ord(c) < 33 for c in url):
        raise problem
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise problem from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or "@" in url:
        raise problem
    cloudflare = parts.scheme == "https" and host in _CLOUDFLARE_HOSTS and port in (None, 443)
    loopback = parts.scheme in ("http", "https") and host in _LOOPBACK_HOSTS
    if not (cloudflare or loopback):
        raise problem
    return url.rstrip("/")


def proxy_for(base_url: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Give the proxy that NOTEBOOK_DO_PROXY asks for; other variables are not heard, and loopback has none."""
    asked = (os.environ if environ is None else environ).get(PROXY_VARIABLE, "").strip()
    if not asked or urlsplit(base_url).hostname in _LOOPBACK_HOSTS:
        return None
    if not _is_address(asked):
        del asked  # it may hold a password
        raise TargetError(f"{PROXY_VARIABLE} is no address of a proxy; write http://HOST:PORT, or unset it.")
    return asked


def _is_address(text: str) -> bool:
    """Say whether a text is http(s)://HOST[:PORT]; a password with a `/` in it, say, makes it another one."""
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and parts.path in {"", "/"} and text.isascii() and not any(c.isspace() for c in text)


def origin_of(base_url: str) -> str:
    """Give scheme://host[:port] of a base URL."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


async def find_account(base_url: str, token: Token, environ: Mapping[str, str] | None = None) -> str:
    """Give CLOUDFLARE_ACCOUNT_ID, or the only account that the token can see; raises CredentialError otherwise."""
    from notebook_do.cloudflare.client import Client

    if named := (os.environ if environ is None else environ).get(ACCOUNT_VARIABLE, "").strip():
        return checked_account(named)
    async with Client(base_url, "", token) as client:
        accounts = await client.list_accounts()
    if len(accounts) == 1:
        return checked_account(str(accounts[0].get("id")))
    if not accounts:
        raise CredentialError(
            f"the API token ({token.source}) can see no account: it is limited to none, or may not list them. "
            f"Set {ACCOUNT_VARIABLE}, or use %durable session ... --account ID."
        )
    shown = [f"{account.get('id')} ({one_line(str(account.get('name')), 60)})" for account in accounts]
    more = f" and {len(shown) - _SHOWN_ACCOUNTS} more" if len(shown) > _SHOWN_ACCOUNTS else ""
    raise CredentialError(
        f"the API token ({token.source}) can see {len(shown)} accounts: {', '.join(shown[:_SHOWN_ACCOUNTS])}{more}. "
        f"Choose one: set {ACCOUNT_VARIABLE}, or use %durable session ... --account ID."
    )


def checked_account(account_id: str) -> str:
    """Give the id back when it is one: 32 hex digits; it becomes part of every path."""
    if not _ACCOUNT.fullmatch(account_id):
        raise CredentialError(f"an account id is 32 hex digits; this one has {len(account_id)} characters.")
    return account_id


async def whoami(client: Client, token: Token) -> dict[str, str]:
    """Ask who the token is: source, account, account name, status, and the last four characters of the token's id."""
    verified = await client.verify_token()
    account = await client.get_account()
    return {
        "source": token.source,
        "account_id": client.account_id,
        "account": str(account.get("name") or ""),
        "status": str(verified.get("status") or "unknown"),
        "token_id": "…" + str(verified.get("id") or "")[-4:],
    }
