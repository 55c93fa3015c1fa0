"""What a request to an inspector signs, and the key that signs it: Ed25519 over a head, which has a digest of each op.

Pure but for `SigningKey.made`, which draws a key. The inspector Worker and the object itself check the same head with
the public key, so that nothing that is deployed could ask anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from notebook_do.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HEADER = "x-notebook-do"
_VERSION = "nd1"
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")
"""A private key as text: its 32 bytes in base64 of URLs, without the padding."""


class SigningKey:
    """A private key that no repr, pickle or copy shows; `public` is what is deployed, 32 bytes in base64."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Hold the key as the library's object, which shows nothing of itself either."""
        self._private = private
        self.public = base64.b64encode(private.public_key().public_bytes_raw()).decode()

    @classmethod
    def made(cls) -> SigningKey:
        """Return a new key; raises CredentialError where the library is missing."""
        return cls(_ed25519().generate())

    @classmethod
    def of_text(cls, text: bytes, source: str) -> SigningKey:
        """Return the key that a file or a variable holds; raises CredentialError, which says nothing of `text`."""
        written = text.decode("ascii", "replace").strip()
        good, length = _TEXT.fullmatch(written) is not None, len(written)
        seed = base64.urlsafe_b64decode(written + "=") if good else b""
        del text, written  # no frame of an error holds them
        if not good:
            raise CredentialError(
                f"{source} is no key of an inspector: it has {length} characters, and a key has 43 of A-Z a-z 0-9 - _; "
                "copy it again from who deployed the inspector."
            )
        return cls(_ed25519().from_private_bytes(seed))

    def text(self) -> bytes:
        """Return the private key as a file or NOTEBOOK_DO_INSPECT_KEY holds it: for who writes that file alone."""
        return base64.urlsafe_b64encode(self._private.private_bytes_raw()).rstrip(b"=")

    def sign(self, text: str) -> str:
        """Return the signature of a text, in base64."""
        return base64.b64encode(self._private.sign(text.encode())).decode()

    def __repr__(self) -> str:
        return f"<SigningKey of {fingerprint(self.public)}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a SigningKey is not copied or pickled")


def fingerprint(public: str) -> str:
    """Return 16 hex digits that name a public key: in the name of the file that has its private one, and to people."""
    return hashlib.sha256(public.encode()).hexdigest()[:16]


def is_public_key(text: str) -> bool:
    """Say whether a text can be a public key: 32 bytes in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def audience_of(account_id: str, script_name: str) -> str:
    """Return for whom a request is signed: the account and the host, so that no other inspector takes it."""
    return f"{account_id}/{script_name}"


def signed_head(key: SigningKey, audience: str, texts: Sequence[str], *, time: int, nonce: str) -> str:
    """Return the header of a request with these ops: its time (ms since 1970), a nonce, digests and the signature.

    The ops are signed by their digests, so that an inspector reads no body of somebody who has not signed.
    """
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    signed = "\n".join([_VERSION, audience, str(time), nonce, *digests])
    head = {"time": time, "nonce": nonce, "digests": digests, "signature": key.sign(signed)}
    return base64.b64encode(json.dumps(head).encode()).decode()


def _ed25519() -> type[Ed25519PrivateKey]:
    # Late: only who inspects objects on Cloudflare needs the library, which is an extra of this package.
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise CredentialError(
            "an inspector on Cloudflare is asked by signed requests, which need the package cryptography: "
            "`%pip install 'notebook-do[inspect]'`, then run this again."
        ) from None
    return Ed25519PrivateKey
