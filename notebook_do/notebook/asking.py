"""Asks in a terminal for the words that send a plan; what was typed before a question is no answer to it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from notebook_do.display import clean
from notebook_do.notebook.views.purpose import place_of, purpose_of

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

_input = input
"""As it was before any cell of a notebook ran: none of them answers in a person's place."""
NOT_THE_PHRASE = "that is not the phrase"


def unanswered(plan: Plan, *, word_too: bool = False) -> str:
    """Ask for the phrase of each loss, and for a word where nothing is lost, or for both with `word_too`.

    Return why the plan is not to be sent; empty where all was typed as it was asked for.
    """
    try:
        for consent in plan.consents:  # what each loses stands in the plan above
            if _typed(f"Type '{consent.phrase}' to allow it: ") != consent.phrase:
                return NOT_THE_PHRASE
        word, purpose = word_of(plan), purpose_of(plan)
        what = f"{purpose.words()} in" if purpose.destroyed else f"send {purpose.changes} to"
        question = f"Type '{word}' to {what} {place_of(plan)}: "
        if (word_too or not plan.consents) and _typed(question) != word:
            return f"the word {word} was not typed"
    except (KeyboardInterrupt, EOFError) as answer:  # Ctrl-C and Ctrl-D are answers too
        print()  # noqa: T201 - below the question
        return "interrupted" if isinstance(answer, KeyboardInterrupt) else "no answer"
    return ""


def word_of(plan: Plan) -> str:
    """Return the word that sends a plan in which no objects are lost."""
    return "destroy" if purpose_of(plan).only_destroys else "deploy"


def unsent(phrase: str | None, does: str) -> str:
    """Ask for the phrase of a change of stored objects, or the word `yes`; return why it is not sent, or nothing."""
    wanted = "yes" if phrase is None else phrase
    try:
        if _typed(f"Type '{wanted}' to do it ({does}): ") != wanted:
            return "the word yes was not typed" if phrase is None else NOT_THE_PHRASE
    except (KeyboardInterrupt, EOFError) as answer:
        print()  # noqa: T201 - below the question
        return "interrupted" if isinstance(answer, KeyboardInterrupt) else "no answer"
    return ""


def _typed(question: str) -> str:
    _forget_what_was_typed()
    return _input(clean(question)).strip()


def _forget_what_was_typed() -> None:
    """Drop the lines that a terminal holds already: whoever typed them had not read the question."""
    try:
        import termios
    except ImportError:  # Windows has no such queue that could be asked
        return
    # A standard input that is no terminal, as in a test that replaces it, holds nothing back.
    with contextlib.suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
