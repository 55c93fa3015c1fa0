"""What one session knows of its declared secrets: the answers to its prompts, sealed, and how each value is marked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from notebook_do.credentials.vault import Vault, fleeting_key, load_key
from notebook_do.errors import CommandError
from notebook_do.model import Secret, ValueBinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.credentials.token import Sealed
    from notebook_do.declare.catalog import Catalog
    from notebook_do.model import Desired, Recorded
    from notebook_do.model.states import SecretReading

SecretReadings = dict[tuple[str, str], "SecretReading"]
"""By script name and binding."""


class SessionSecrets:
    """What one session knows of its declared secrets."""

    def __init__(self) -> None:
        self._answers: dict[str, Sealed | None] = {}
        self._key = fleeting_key()

    def vault(self) -> Vault:
        """Open a vault with the answers given so far; it reads environment and keyring anew, and once."""
        return Vault(self._answers)

    def is_set(self, secret: Secret) -> bool | None:
        """Say whether a secret has a value; None for a keyring, which may ask for its password."""
        match secret.source:
            case "env":
                return secret.key in os.environ
            case "prompt":
                return self._answers.get(secret.key) is not None
        return None

    def ask_missing(self, catalog: Catalog, recorded: Recorded, *, again: bool = False) -> None:
        """Ask for each secret that is declared with a prompt and was never set, once.

        With `again`, those that nobody answered are asked for too. A kernel can only ask on the thread of its cells.
        """
        if again:
            self._answers = {key: answer for key, answer in self._answers.items() if answer is not None}
        known = {(w.id, name) for w in recorded.workers for name, _ in w.secrets}
        for worker, name, key in prompted(catalog):
            if (worker, name) not in known:
                self._answer(key)

    def ask(self, catalog: Catalog, key: str) -> bool:
        """Ask anew for one secret, whatever was set; False when nothing was answered. Raises CommandError."""
        declared = list(dict.fromkeys(k for _, _, k in prompted(catalog)))
        if key not in declared:
            known = ", ".join(declared) or "none"
            raise CommandError(f"secret: no secret with that key is declared with a prompt; there are: {known}.")
        # A prompt that is left empty does not lose the answer of before.
        before = self._answers.pop(key, None)
        self._answer(key)
        answered = self._answers[key] is not None
        if not answered and before is not None:
            self._answers[key] = before
        return answered

    def secret_readings(self, desired: Desired, lineage: str, vault: Vault) -> SecretReadings:
        """Return of every declared secret the mark of its value, or why there is none. Writes nothing."""
        # Before the first deploy the state has no key: a fleeting one still tells a changed value within this kernel.
        key = load_key(lineage) or self._key
        return {
            (worker.script_name, binding.name): vault.look(binding.value, key, worker.script_name, binding.name)
            for worker in desired.workers
            for binding in worker.bindings
            if isinstance(binding, ValueBinding) and isinstance(binding.value, Secret)
        }

    def marks_of_environment(self, desired: Desired, lineage: str) -> dict[tuple[str, str], str]:
        """Return by script and binding the marks of the secrets that environment variables hold.

        Empty where this user has no key of the state file: no mark would be equal to a recorded one.
        """
        key, vault = load_key(lineage), self.vault()
        return {
            (worker.script_name, binding.name): reading.mark
            for worker in desired.workers
            for binding in worker.bindings
            if key is not None
            and isinstance(binding, ValueBinding)
            and isinstance(binding.value, Secret)
            and binding.value.source == "env"
            and (reading := vault.look(binding.value, key, worker.script_name, binding.name)).mark
        }

    def _answer(self, key: str) -> None:
        # An empty answer is kept as None, so that the next plan of a run does not ask again.
        from notebook_do.credentials.token import Sealed, ask

        if key not in self._answers:
            text = ask(f"Value of secret {key}: ")
            self._answers[key] = Sealed(text) if text else None


def changed(before: Mapping[tuple[str, str], SecretReading], now: SecretReadings) -> list[str]:
    """Return the secrets that are not as they were looked at, in words."""
    return [f"{name} of {script}" for (script, name), reading in before.items() if now.get((script, name)) != reading]


def prompted(catalog: Catalog) -> list[tuple[str, str, str]]:
    """List (Worker id, binding, key) of the secrets that are declared with a prompt."""
    return [
        (worker.id, name, value.key)
        for worker in catalog.workers.values()
        for name, value in worker.bindings.items()
        if isinstance(value, Secret) and value.source == "prompt"
    ]
