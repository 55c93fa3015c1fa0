"""Asks in a terminal for the words that send a plan; what was typed before a question is no answer to it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from notebook_do.display import clean
from notebook_do.notebook.views.plan import change_count, lost

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan

WORD = "deploy"
_input = input
"""As it was before any cell of a notebook ran: none of them answers in a person's place."""
NOT_THE_PHRASE = "that is not the phrase"


def unanswered(plan: Plan, *, word_too: bool = False) -> str:
    """Ask for the phrase of each loss, and for the word `deploy` where nothing is lost, or for both with `word_too`.

    Return why the plan is not to be sent; empty where all was typed as it was asked for.
    """
    try:
        for consent in plan.consents:
            print(clean(lost(consent)))  # noqa: T201 - a terminal
            if _typed(f"Type '{consent.phrase}' to allow it: ") != consent.phrase:
                return NOT_THE_PHRASE
        question = f"Type '{WORD}' to send {change_count(plan)} to {plan.stage} on {plan.target}: "
        if (word_too or not plan.consents) and _typed(question) != WORD:
            return f"the word {WORD} was not typed"
    except (KeyboardInterrupt, EOFError) as answer:  # Ctrl-C and Ctrl-D are answers too
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
