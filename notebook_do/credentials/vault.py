"""Reads the values of declared secrets, from where each says, and tells two values apart without keeping either.

A value is read when a plan is made, sealed, and forgotten with the vault. What may be kept of it is its mark: a keyed
HMAC over script, binding and value. Without the key, which lies with neither the state file nor the project, nothing
can be guessed from a mark.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from typing import TYPE_CHECKING, assert_never

from notebook_do.credentials.sealed import Sealed
from notebook_do.credentials.token import KEYRING_SERVICE, from_keyring
from notebook_do.errors import CredentialError
from notebook_do.model.states import SecretReading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Secret


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
        """Mark the value of one binding: `<which key>.<HMAC>`. Equal values of two bindings have unequal marks."""
        told = json.dumps([script_name, binding, self.read(secret).open()]).encode()
        return f"{_key_id(key)}.{hmac.new(key, told, hashlib.sha256).hexdigest()[:32]}"

    def look(self, secret: Secret, key: bytes, script_name: str, binding: str) -> SecretReading:
        """Give the mark of a value, or why there is no value: what a plan may know."""
        try:
            return SecretReading(mark=self.mark(secret, key, script_name, binding))
        except CredentialError as error:
            return SecretReading(problem=error.message)

    def _find(self, secret: Secret) -> Sealed | None:
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


def fleeting_key() -> bytes:
    """Make a key that nobody keeps: under it no mark equals one that was kept."""
    return secrets.token_bytes(32)


def _key_id(key: bytes) -> str:
    """Name a key without telling of it."""
    return hashlib.sha256(b"notebook_do key id" + key).hexdigest()[:8]


def _missing(secret: Secret) -> str:
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
