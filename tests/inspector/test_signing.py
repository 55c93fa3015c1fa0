"""The key of an inspector: where it lies, who may read it, and that nothing shows it. The head: what is signed."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import pickle
import traceback
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


@pytest.mark.usefixtures("keys")
def test_no_frame_of_an_error_has_a_key_that_is_miscopied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that of the variable, whatever its bytes, nor that of a file: a traceback may show what frames hold."""
    planted = "A" * 42
    for given in (planted + "!", planted + "\udcff"):
        monkeypatch.setenv(inspect_keys.VARIABLE, given)
        with pytest.raises(CredentialError) as wrong:
            inspect_keys.held("x")
        assert planted not in _held_by_frames(wrong.value)
    monkeypatch.delenv(inspect_keys.VARIABLE)
    place = inspect_keys.file_of("x")
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.write_text(planted + "!")
    with pytest.raises(CredentialError) as wrong:
        inspect_keys.held("x")
    assert planted not in _held_by_frames(wrong.value)
    place.unlink()


def _held_by_frames(error: Exception) -> str:
    """Return what the frames of an error hold, but for that of the test."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack[1:]
    return str([frame.locals for frame in frames])


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
