"""Tokens: found in one order, checked before use, sent to one origin, and shown by nothing."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import sys
import types
from typing import Any

import httpx
import pytest

from notebook_do.cloudflare.client import Client
from notebook_do.credentials import token as credentials
from notebook_do.credentials.account import find_account, whoami
from notebook_do.credentials.addresses import allowed_base_url, api_base_url, proxy_for
from notebook_do.credentials.token import Token, find_token
from notebook_do.errors import CredentialError, TargetError

GOOD = "CANARY_token-0123456789.abcdef"


SHOWS = (repr, str, "{}".format, "{:>60}".format, lambda t: f"{t!r:<60}", lambda t: "%s" % t)  # noqa: UP031


@pytest.mark.parametrize("show", SHOWS)
def test_s01_a_token_is_masked(show: Any) -> None:
    """S01: no way of making text of a token shows it."""
    assert "CANARY" not in show(Token(GOOD, source="test"))


@pytest.mark.parametrize(
    "take",
    [
        json.dumps,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        vars,
        lambda t: json.dumps({"t": t}),
        lambda t: t.__getstate__(),
    ],
)
def test_s01_a_token_cannot_be_taken(take: Any) -> None:
    """S01: JSON, pickle and copies of a token are refused, and the refusal does not show it."""
    try:
        taken = take(Token(GOOD))
    except TypeError as error:
        assert "CANARY" not in str(error)  # noqa: PT017 - some of these refuse, the others show nothing
    else:
        assert "CANARY" not in repr(taken)


@pytest.mark.parametrize(
    "bad",
    [GOOD + "\nX", GOOD + " x", GOOD + "\x00", GOOD + "😀", "short", "", " ", GOOD + "ä", "Bearer " + GOOD, "a" * 600],
)
def test_s04_bad_characters_are_refused_by_length_only(bad: str) -> None:
    """S04: a token with a bad character is refused before any use; the error tells its length and nothing of it."""
    with pytest.raises(CredentialError) as caught:
        Token(bad)
    assert f"{len(bad.strip())} characters" in str(caught.value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("around", ["\n", " ", "\t", "\r\n"])
def test_s04_blanks_around_a_token_are_taken_off(around: str) -> None:
    """S04: a pasted token may have a newline or blanks around it."""
    assert Token(around + GOOD + around).reveal() == GOOD


def test_s05_a_global_key_is_refused() -> None:
    """S05: a global API key is refused with what to make instead; its value is not shown."""
    with pytest.raises(CredentialError, match="global API key") as caught:
        find_token({"CLOUDFLARE_API_KEY": "CANARY" * 6, "CLOUDFLARE_EMAIL": "me@example.com"})
    assert "CANARY" not in str(caught.value)


class Sources:
    """Stands in for the modules that hold secrets, which this machine does not have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keyring: str | None = None
        self.colab: str | None = None
        keyring, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")
        errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
        errors.NoKeyringError = type("NoKeyringError", (errors.KeyringError,), {})  # type: ignore[attr-defined]
        keyring.get_password = lambda _service, _name: self.keyring  # type: ignore[attr-defined]
        google, colab, userdata = (types.ModuleType(n) for n in ("google", "google.colab", "google.colab.userdata"))
        userdata.SecretNotFoundError = type("SecretNotFoundError", (Exception,), {})  # type: ignore[attr-defined]
        userdata.NotebookAccessError = type("NotebookAccessError", (Exception,), {})  # type: ignore[attr-defined]
        userdata.get = self.from_colab  # type: ignore[attr-defined]
        colab.userdata = userdata  # type: ignore[attr-defined]
        self.missing = userdata.SecretNotFoundError  # type: ignore[attr-defined]
        self.broken = errors.KeyringError  # type: ignore[attr-defined]
        self.module = keyring
        for module in (keyring, errors, google, colab, userdata):
            monkeypatch.setitem(sys.modules, module.__name__, module)

    def from_colab(self, _name: str) -> str:
        """Give the secret as Colab does."""
        if self.colab is None:
            raise self.missing
        return self.colab


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Sources:
    """Give a keyring and Colab secrets, both empty, and nobody at the prompt."""
    monkeypatch.setattr(credentials, "_from_prompt", lambda: None)
    return Sources(monkeypatch)


def test_s27_order_of_sources(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """S27: environment, keyring, Colab secrets, prompt: the first that has a token is used, and named."""
    environ = {"CLOUDFLARE_API_TOKEN": "environ-0123456789abcdef"}
    sources.keyring, sources.colab = "keyring-0123456789abcdef", "colab-0123456789abcdefgh"
    monkeypatch.setattr(credentials, "_from_prompt", lambda: "prompt-0123456789abcdef")
    found = [find_token(environ), find_token({})]
    sources.keyring = None
    found.append(find_token({}))
    sources.colab = None
    found.append(find_token({}))
    assert [(t.reveal().split("-")[0], s) for t, s in found] == [
        ("environ", "CLOUDFLARE_API_TOKEN"),
        ("keyring", "keyring"),
        ("colab", "Colab secrets"),
        ("prompt", "prompt"),
    ]


@pytest.mark.usefixtures("sources")
def test_no_token_names_what_to_set() -> None:
    """Without any token the error names the variable, and the target that needs none."""
    with pytest.raises(CredentialError, match=r"CLOUDFLARE_API_TOKEN.*local target"):
        find_token({})


def test_a_broken_keyring_is_told(sources: Sources) -> None:
    """A keyring that cannot be read is an error, not an absence."""

    def locked(*_: str) -> str:
        raise sources.broken("CANARY")

    sources.module.get_password = locked  # type: ignore[attr-defined]
    with pytest.raises(CredentialError, match="keyring cannot be read") as caught:
        find_token({})
    assert "CANARY" not in str(caught.value)


def test_nobody_at_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headless, the prompt is not tried: there is no token, and the error says so at once."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CredentialError, match="no Cloudflare API token"):
        find_token({})


ALLOWED = [
    "https://api.cloudflare.com/client/v4",
    "https://api.cloudflare.com:443/client/v4",
    "https://API.cloudflare.com/client/v4",
    "http://127.0.0.1:8787/client/v4",
    "http://localhost:8787/client/v4",
    "http://[::1]:8787/client/v4",
    "https://127.0.0.1:8787/client/v4",
]
REFUSED = [
    "http://api.cloudflare.com/client/v4",
    "https://api.cloudflare.com:8443/client/v4",
    "https://api.cloudflare.com.evil.example/client/v4",
    "https://evil-api.cloudflare.com/client/v4",
    "https://api.cloudflare.com@evil.example/client/v4",
    "https://evil.example/client/v4",
    "https://user:pass@api.cloudflare.com/client/v4",
    "http://127.0.0.1.evil.example/client/v4",
    "http://127.0.0.1@evil.example/client/v4",
    "http://0.0.0.0:8787/client/v4",
    "http://2130706433/client/v4",
    "http://127.1/client/v4",
    "http://169.254.169.254/client/v4",
    "https://api.cloudflare.com\\@evil.example/",
    "https://api.cloudflare.com\n.evil.example/",
    "https://аpi.cloudflare.com/client/v4",  # noqa: RUF001 - the first letter is Cyrillic: that is the attack
    "https://xn--pi-6kc.cloudflare.com/client/v4",
    "https://api.cloudflare.com/client/v4?next=https://evil.example",
    "https://api.cloudflare.com/client/v4#@evil.example",
    "https://api.cloudflare.com:99999/client/v4",
    "ftp://api.cloudflare.com/client/v4",
    "file:///etc/passwd",
    "//api.cloudflare.com/client/v4",
    "https://[::ffff:127.0.0.1]/client/v4",
    "api.cloudflare.com",
    "",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_s24_allowed_addresses(url: str) -> None:
    """S24: Cloudflare's API over https and loopback are allowed."""
    assert allowed_base_url(url + "/") == url


@pytest.mark.parametrize("url", REFUSED)
def test_s24_refused_addresses(url: str) -> None:
    """S24: every other address is refused, and the token is not sent: there is no client to send it."""
    with pytest.raises(TargetError) as caught:
        Client(url, "a" * 32, Token(GOOD))
    assert "pass@" not in str(caught.value)


def test_the_base_url_of_the_environment() -> None:
    """CLOUDFLARE_API_BASE_URL is used where it is allowed; without it Cloudflare's own."""
    assert api_base_url({}) == "https://api.cloudflare.com/client/v4"
    assert api_base_url({"CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:1/client/v4"}) == "http://127.0.0.1:1/client/v4"
    with pytest.raises(TargetError, match="CLOUDFLARE_API_BASE_URL"):
        api_base_url({"CLOUDFLARE_API_BASE_URL": "https://evil.example"})


@pytest.mark.parametrize(
    "asked",
    [
        "http://me:pass/word@proxy:80",
        "http://me:password@proxy:port",
        "http://me:password@[proxy",
        "socks5://me:word@p:1",
    ],
)
def test_a_proxy_that_is_no_address_is_one_line_without_its_password(asked: str) -> None:
    """A password with a `/` in it is read as another host: what of the address was meant is not told from it."""
    with pytest.raises(TargetError, match="NOTEBOOK_DO_PROXY is no address of a proxy") as caught:
        proxy_for("https://api.cloudflare.com/client/v4", {"NOTEBOOK_DO_PROXY": asked})
    assert "word" not in str(caught.value)
    assert "pass" not in str(caught.value)


def test_a_proxy_with_a_password() -> None:
    """It is used as it is, for Cloudflare and not for loopback."""
    asked = {"NOTEBOOK_DO_PROXY": "http://me:password@proxy:8080/"}
    assert proxy_for("https://api.cloudflare.com/client/v4", asked) == asked["NOTEBOOK_DO_PROXY"]
    assert proxy_for("http://127.0.0.1:1/client/v4", asked) is None


class Accounts(httpx.AsyncHTTPTransport):
    """Answers the account list."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer any read."""
        path = request.url.path
        if path.endswith("/accounts"):
            return httpx.Response(200, json={"success": True, "result": [{"id": i, "name": "Me"} for i in self.ids]})
        result = {"id": "0123456789wxyz", "status": "active"} if "verify" in path else {"id": "a" * 32, "name": "Me"}
        return httpx.Response(200, json={"success": True, "result": result})

    async def aclose(self) -> None:
        """Hold nothing."""


@pytest.mark.parametrize(
    ("ids", "environ", "outcome"),
    [
        (("a" * 32,), {}, "a" * 32),
        (("a" * 32, "b" * 32), {"CLOUDFLARE_ACCOUNT_ID": "b" * 32}, "b" * 32),
        ((), {}, "no account"),
        (("a" * 32, "b" * 32), {}, "2 accounts"),
        ((), {"CLOUDFLARE_ACCOUNT_ID": "../../zones"}, "32 hex digits"),
    ],
)
def test_the_account(
    monkeypatch: pytest.MonkeyPatch, ids: tuple[str, ...], environ: dict[str, str], outcome: str
) -> None:
    """The account is the named one, or the only one of the token; several or none need a name."""
    make = Client.__init__
    monkeypatch.setattr(Client, "__init__", lambda self, *a, **k: make(self, *a, **{**k, "transport": Accounts(*ids)}))
    looked = find_account("https://api.cloudflare.com/client/v4", Token(GOOD), environ)
    if len(outcome) == 32:
        assert asyncio.run(looked) == outcome
    else:
        with pytest.raises(CredentialError, match=outcome):
            asyncio.run(looked)


def test_s27_whoami() -> None:
    """S27: whoami tells source, account and the last four characters of the token's id; not the token."""

    async def ask() -> dict[str, str]:
        token = Token(GOOD, source="keyring")
        async with Client("https://api.cloudflare.com/client/v4", "a" * 32, token, transport=Accounts()) as client:
            return await whoami(client, token)

    assert asyncio.run(ask()) == {
        "source": "keyring",
        "account_id": "a" * 32,
        "account": "Me",
        "status": "active",
        "token_id": "…wxyz",
    }
