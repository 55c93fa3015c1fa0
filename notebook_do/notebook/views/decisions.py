"""What a plan leaves to a person: what it is refused for, with the choices, and what would be lost."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from notebook_do.display.formats import counted
from notebook_do.display.rich import Rich, capitalized, code, joined, rich, strong
from notebook_do.notebook.views.blocks import Block, Item, Items, Line, Tone
from notebook_do.notebook.views.purpose import written_words

if TYPE_CHECKING:
    from notebook_do.plan.plan import Consent, Plan, Refusal


def refusals(plan: Plan) -> tuple[Block, ...]:
    """Return each reason with what can be chosen instead, and the line that goes on."""
    if not plan.refusals:
        return ()
    items = tuple(
        Item(_refusal(r), Tone.ALERT, tuple(capitalized(command_in(c)) for c in r.choices)) for r in plan.refusals
    )
    again = f"%durable destroy {shlex.join(plan.asked)}" if plan.asked else "%durable plan"
    return Items("", items), Line(rich("Nothing can be sent until you choose; then: ", code(again)))


def _refusal(refusal: Refusal) -> str:
    """Return the sentence and where the thing is declared: in brackets, or after several sentences in one more."""
    said, place = capitalized(refusal.message), refusal.place
    if not place:
        return said
    *most, last = said.parts
    if not last.text.endswith(".") or re.search(r"[.?:] ", said):
        return rich(said, f" Declared in {place}.")
    return rich(Rich((*most, last._replace(text=last.text[:-1]))), f" ({place}).")


def command_in(text: str) -> str:
    """Return a choice with the command that it ends with in the look of code."""
    at = min((found for sign in ("%%durable ", "%durable ") if (found := text.find(sign)) >= 0), default=-1)
    if at < 0 or isinstance(text, Rich):
        return text
    end = len(text) - text.endswith((")", "."))
    return rich(text[:at], code(text[at:end]), text[end:])


def lost(consent: Consent) -> str:
    """Return in a sentence what one consent gives up."""
    name = strong(consent.stable_id)
    if consent.objects is None:
        # What is not known is never shown as none: it would read as safe to delete.
        return rich(name, ": an unknown number of stored objects would be deleted for ever.")
    if consent.objects == 0:
        return rich(name, " stores no object. Its id is gone for ever all the same.")
    more = f"more than {consent.objects:,} stored objects"
    count = more if consent.objects_more else counted(consent.objects, "stored object")
    return rich(name, f": {count} would be deleted for ever.")


def losses(plan: Plan, *, offered: bool) -> tuple[Block, ...]:
    """Return what would be lost; a plan that is refused is allowed by no phrase, and a panel asks for it itself."""
    if not plan.consents:
        return ()
    silent = plan.refusals or offered
    items = (
        Item(
            joined(" ", filter(None, (lost(c), written_words(plan, c)))),
            Tone.CHANGE if c.objects == 0 else Tone.ALERT,
            () if silent else (rich("to allow it, type: ", code(c.phrase)),),
        )
        for c in plan.consents
    )
    return (Items("", tuple(items)),)
