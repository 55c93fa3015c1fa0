"""Reads the values of declared secrets, from where each says, and tells two values apart without keeping either.

A value is read when a plan is made, sealed, and forgotten with the vault. What may be kept of it is its mark: a keyed
HMAC over script, binding and value (a plain hash of a short value could be guessed).

The key is random, one for each state file, and not beside it: it lies in the user's own state directory, or in
NOTEBOOK_DO_KEYS, so that whoever gets the project, its backups or its repository has marks and no key. A lost key loses
nothing: each secret is then set once more.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from notebook_do.credentials.token import KEYRING_SERVICE, Sealed, from_keyring
from notebook_do.errors import CredentialError, StateError
from notebook_do.model.states import SecretReading
from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Secret

_KEY_BYTES = 32


class Vault:
    """The secrets of one plan or deploy. Each is read once, so that what was looked at is what is sent.

    `answers` are those that a person gave at a prompt, by key.
    """

    def __init__(self, answers: Mapping[str, Sealed | None] | None = None) -> None:
        """Hold nothing but `answers` yet."""
        self._answers = dict(answers or {})
        self._values: dict[Secret, Sealed] = {}

    def read(self, secret: Secret) -> Sealed:
        """Read one value; raises CredentialError that says where it was looked for and what to do."""
        if secret not in self._values:
            found = self._find(secret)
            if found is None:
                raise CredentialError(_missing(secret))
            self._values[secret] = found
        return self._values[secret]

    def mark(self, secret: Secret, key: bytes, script_name: str, binding: str) -> str:
        """Return the mark of one binding's value: `<which key>.<HMAC>`. Equal values of two bindings differ in it."""
        marked = json.dumps([script_name, binding, self.read(secret).open()]).encode()
        # Which key comes first: under another key nothing can be compared, and the secret counts as not known.
        return f"{_key_id(key)}.{hmac.new(key, marked, hashlib.sha256).hexdigest()[:32]}"

    def look(self, secret: Secret, key: bytes, script_name: str, binding: str) -> SecretReading:
        """Return the mark of a value, or why there is no value: what a plan may know."""
        try:
            return SecretReading(mark=self.mark(secret, key, script_name, binding))
        except CredentialError as error:  # the plan is shown all the same, and says which value is missing
            return SecretReading(problem=error.message)

    def _find(self, secret: Secret) -> Sealed | None:
        """Read a value from where the declaration says; None where it is not set."""
        match secret.source:
            case "env":
                text = os.environ.get(secret.key)
            case "keyring":
                text = from_keyring(secret.key)
            case "prompt":
                return self._answers.get(secret.key)
            case _:
                assert_never(secret.source)
        return None if text is None else Sealed(text)  # an empty text is a value


def _key_id(key: bytes) -> str:
    """Return a name for a key that says nothing of it."""
    return hashlib.sha256(b"notebook_do key id" + key).hexdigest()[:8]


def _missing(secret: Secret) -> str:
    """Say where a value was looked for, and what to do."""
    match secret.source:
        case "env":
            return f"the environment variable {secret.key} is not set; set it and plan again."
        case "keyring":
            return (
                f"the keyring has no {secret.key} for {KEYRING_SERVICE}; add it with "
                f"`keyring set {KEYRING_SERVICE} {secret.key}` and plan again."
            )
        case "prompt":
            return (
                f"no value was given for {secret.key}, or nobody can be asked for it here; plan again where a prompt "
                "can be answered, or take it from the environment (nd.Secret.from_env) or the keyring."
            )
        case _:
            assert_never(secret.source)


# --- the key of the marks


def fleeting_key() -> bytes:
    """Return a key that nobody keeps, for a plan before the first deploy: under it no mark equals one that was kept."""
    return secrets.token_bytes(_KEY_BYTES)


def key_path(lineage: str) -> Path:
    """Return where the key of a state file's lineage is, or would be."""
    if given := os.environ.get("NOTEBOOK_DO_KEYS"):
        return Path(given) / f"{lineage}.key"
    import platformdirs

    return Path(platformdirs.user_state_dir("notebook_do", appauthor=False)) / "keys" / f"{lineage}.key"


def load_key(lineage: str) -> bytes | None:
    """Read the key; None where this user of this machine never made one."""
    path = key_path(lineage)
    key = disk.read(path)
    if key is not None and len(key) != _KEY_BYTES:
        raise StateError(f"{path} is no key of ours; remove it: each secret is then set once more.")
    return key


def make_key(lineage: str) -> bytes:
    """Read the key, or make it: 0600 in a 0700 directory. The state's lock must be held, or two would be made."""
    if (key := load_key(lineage)) is None:
        key, path = secrets.token_bytes(_KEY_BYTES), key_path(lineage)
        try:
            disk.private_directory(path.parent)
            disk.replace(path, key)
        except StateError:
            raise StateError(
                f"{path}: the key for marking secrets cannot be written, and nothing was sent; "
                "set NOTEBOOK_DO_KEYS to a private directory."
            ) from None
    return key
