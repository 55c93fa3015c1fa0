"""All verbs of `%durable`, in the order of the help."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from notebook_do.display.formats import listed
from notebook_do.errors import CommandError
from notebook_do.notebook.verbs import changing, declaring, deploying, exchanging, looking, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from notebook_do.notebook.verbs.verb import Verb

GROUPS: dict[str, tuple[Verb, ...]] = {
    "Session": session.VERBS,
    "Declare": declaring.VERBS,
    "Deploy": deploying.VERBS,
    "Ask": looking.VERBS,
    "Object": changing.VERBS,
    "Exchange": exchanging.VERBS,
}
"""The verbs by what a person wants to do, in the order of the help."""
VERBS: tuple[Verb, ...] = tuple(verb for group in GROUPS.values() for verb in group)

BY_NAME = {verb.name: verb for verb in VERBS}
OF_SESSION = tuple(option for option in BY_NAME["session"].own if option.name.startswith("--") and option.value)
"""The options that say which session is meant."""
FILLED = frozenset(("session", "deploy", "destroy"))
"""The verbs on whose lines `${py:NAME}` stands for a value of the notebook: the session, and the approved plan."""
_IN_CELLS = frozenset(("session", "namespace", "worker", "rm", "inspect", "form", "require", "help", "map"))
ON_COMMAND_LINE = tuple(verb for verb in VERBS if verb.name not in _IN_CELLS)
"""The verbs that `notebook-do` has too: those that act on declarations or show something."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean "..."?`, or nothing when no word is near."""
    found = get_close_matches(word, list(known), n=1, cutoff=0.55)
    return f', did you mean "{found[0]}"?' if found else ""


def known_elsewhere(flag: str) -> str:
    """Return where an option is known that a line does not take, as the end of its error; empty where nowhere."""
    if verbs := [verb.name for verb in VERBS if not verb.declares and any(o.name == flag for o in verb.own)]:
        return f"; it is an option of {listed(verbs, 4)}."
    from notebook_do.declare.options import options_by_field  # brings the model, which loading does not need

    said = next((by[flag] for kind in ("worker", "namespace") if flag in (by := options_by_field(kind))), "")
    return f"; it is said where something is declared: {said}." if said else ""


def check_ids(ids: Sequence[str], known: set[str]) -> None:
    """Refuse for `destroy` an id that is not known, and a kind before one."""
    if ids[0] in {"namespace", "worker"} and ids[0] not in known and known.issuperset(ids[1:]) and ids[1:]:
        raise CommandError(f"%durable destroy: takes the ID alone: %durable destroy {' '.join(ids[1:])}")
    if unknown := next((i for i in ids if i not in known), None):
        hint = did_you_mean(unknown, known) or f"; known: {', '.join(sorted(known)) or 'none'}."
        raise CommandError(f'%durable destroy: no Worker or namespace "{unknown}"{hint}')


def find(word: str) -> Verb:
    """Return the verb called `word`; raises CommandError with the nearest one."""
    if word in BY_NAME:
        return BY_NAME[word]
    hint = did_you_mean(word, BY_NAME) or f"; verbs: {', '.join(BY_NAME)}."
    raise CommandError(f'%durable: unknown verb "{word}"{hint}')
