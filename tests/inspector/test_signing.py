"""The key of an inspector: where it lies, who may read it, and that nothing shows it. The head: what is signed."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import pickle
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from notebook_do.credentials import inspect_keys
from notebook_do.errors import CredentialError
from notebook_do.inspector.signing import SigningKey, audience_of, fingerprint, is_public_key, signed_head

if TYPE_CHECKING:
    from pathlib import Path


def test_a_head_is_signed_over_all_that_it_says() -> None:
    """Time, nonce, audience and the digest of each op, in their order; verified by another library's own function."""
    key, texts = SigningKey.made(), ['{"op":"call"}', "ü"]
    head = json.loads(base64.b64decode(signed_head(key, audience_of("acc", "chat"), texts, time=5, nonce="n")))
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    assert head["digests"] == digests
    said = "\n".join(["nd1", "acc/chat", "5", "n", *digests]).encode()
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public)).verify(base64.b64decode(head["signature"]), said)


def test_a_key_survives_its_text_and_shows_nothing() -> None:
    """The text makes the same key again; repr, pickle and copies have nothing of it."""
    key = SigningKey.made()
    text = key.text()
    again = SigningKey.of_text(text + b"\n", "a file")
    assert (again.public, again.sign("x")) == (key.public, key.sign("x"))
    assert text.decode() not in repr(key) + str(key) + f"{key}"
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied or pickled"):
            way(key)
    assert is_public_key(key.public)
    assert not is_public_key(text.decode())


@pytest.mark.parametrize("text", [b"", b"short", b"a" * 44, "ü".encode() * 43, b"-----BEGIN PRIVATE KEY-----"])
def test_what_is_no_key_is_told_by_its_length(text: bytes) -> None:
    """The error says where it was found and how long it is, and nothing of it."""
    with pytest.raises(CredentialError, match=r"NAME is no key of an inspector: it has \d+ characters") as wrong:
        SigningKey.of_text(text, "NAME")
    assert len(text) < 5 or text.decode() not in str(wrong.value)


def test_a_key_waits_until_it_is_deployed(tmp_path: Path, keys: Path) -> None:
    """Each plan before the first deploy has the same key, in this process and in others; a kept one is written once."""
    state = tmp_path / "state.json"
    key = inspect_keys.waiting(state)
    assert inspect_keys.waiting(state).public == key.public
    assert inspect_keys.waiting(tmp_path / "other.json").public != key.public
    assert inspect_keys.held(key.public) is None
    inspect_keys.keep(key)
    inspect_keys.forget_waiting(state)
    held = inspect_keys.held(key.public)
    assert held is not None
    assert held.public == key.public
    assert inspect_keys.waiting(state).public != key.public
    file = inspect_keys.file_of(key.public)
    assert (file.parent, file.name) == (keys, f"inspect-{fingerprint(key.public)}.key")
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}
