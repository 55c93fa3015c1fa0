"""Reads refusals and errors as a user does, and follows one of the choices that they print.

The user of a history knows which objects are whose: where a choice says so, he takes the one that is true. What no
choice names he does not do. A choice that is read here becomes an `Effect` on the notebook, the account or the kernel.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from book import Book
    from oracle import Oracle, Space

_ID = r"[0-9a-f]{32}"
_NAME = r"[A-Za-z0-9_.-]*[A-Za-z0-9_]"
_READINGS: tuple[tuple[str, str], ...] = (
    # what a choice says -> the kind of effect; the first that fits counts
    (rf"%durable import (?P<script>{_NAME})", "import"),
    (r"^allow it", "unprotect"),
    (
        (
            r"under a stable ID of its own|declare the new one under another id|give this one a name|"
            r"go on with the copy that|open a session of another name|declare it first|destroy Worker \S+ too|"
            r"deploy it with the tool|declare another class name|correct the cell of"
        ),
        "elsewhere",
    ),
    (rf"keep both, with the cell of (?P<value>{_NAME}) as it was: .*namespace (?P<id>{_NAME})", "keep_both"),
    (r"restore it outside", "elsewhere"),
    (r"correct its namespace id", "name_it"),
    (r"under another stable ID", "new_id"),
    (r"it lives on under another id", "name_it"),
    (rf"choose a class name for namespace (?P<id>{_NAME}) that was not in use", "another_class"),
    (r"deploy the switch", "one_less"),
    (rf"rename it to (?P<value>\w+) on Worker (?P<script>{_NAME}) first", "rename_first"),
    (r"keep the recorded one|begin an empty namespace", "no_namespace_id"),
    (rf"no, keep (?P<id>{_NAME}) alone", "instead"),
    # These have a line with all that is declared already, a former name too.
    (
        (
            rf"deploy its move first, then destroy (?P<script>{_NAME}): .*namespace (?P<id>{_NAME}) "
            rf".*--transferred-from (?P<value>{_NAME})"
        ),
        "move_first",
    ),
    (rf"keep it where it is: .*namespace (?P<id>{_NAME}) .*--script (?P<value>{_NAME})", "script"),
    (rf"move it .*: .*namespace (?P<id>{_NAME}) .*--transferred-from (?P<value>{_NAME})", "transferred_from"),
    (rf"(?:^it is|^take it over as) .*namespace (?P<id>{_NAME}) .*--namespace-id (?P<value>{_ID})", "namespace_id"),
    (rf"%durable namespace (?P<id>{_NAME}) .*--renamed-from (?P<value>{_NAME})", "renamed_from"),
    (rf"%durable namespace (?P<id>{_NAME}) .*--transferred-from (?P<value>{_NAME})", "transferred_from"),
    (rf"declare (?P<value>{_NAME}), and forget this one: %durable rm namespace (?P<id>{_NAME})", "call_back"),
    (r"take binding|without that binding", "unbind"),
    (rf"keep it, and do not destroy (?P<id>{_NAME})", "spare"),
    (r"take it over and deploy that, then destroy it", "adopt_first"),
    (r"take it over", "adopt"),
    (rf"declare lifecycle='exports' on Worker (?P<script>{_NAME})", "exports"),
    (r"--lifecycle exports|lifecycle ?= ?\"exports\"", "exports"),
    (rf"lifecycle ?= ?\"migrations\" for Worker (?P<script>{_NAME})", "migrations"),
    (rf"forget it first: %durable destroy (?P<id>{_NAME})", "destroy_alone"),
    (rf"then %durable destroy (?P<id>{_NAME})", "destroy"),
    (rf"%durable namespace (?P<id>{_NAME}) --class (?P<cls>\w+) --script (?P<script>{_NAME})", "declare"),
    (rf"keep the stable ID (?P<value>{_NAME})", "call_back"),
    (rf"run the cell of (?:that Worker|Worker (?P<script>{_NAME}))", "run_worker"),
    (rf"run the cells? of (?P<id>{_NAME})(?! Worker)", "run"),
    (rf"only destroys (?P<id>{_NAME})|[Dd]estroy (?!it\b|that\b)(?P<id2>{_NAME})", "destroy"),
    (r"100 ?%", "whole"),
    (r"[Ll]ook again|10 minutes|not known yet|wait", "wait"),
    (r"one at a time|of one direction", "one_less"),
    (r"transferred_from out", "no_transfer"),
    (r"plan again|%durable plan", "again"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What following a choice means."""

    kind: str
    text: str
    id: str = ""
    value: str = ""
    script: str = ""
    class_name: str = ""
    namespace_id: str = ""


_STATEMENT = re.compile(r"nd\.(DurableObjectNamespace|Worker)\(.*?\)(?=$|[\s;,.])")
_VERBS = {"DurableObjectNamespace": "namespace", "Worker": "worker"}
_FLAGS = {"class_name": "class", "script_name": "script"}


def as_line(text: str) -> str:
    """Write the statements of a choice as lines of the magic, which say the same."""
    return _STATEMENT.sub(lambda found: _line(found[0], _VERBS[found[1]]), text)


def _line(statement: str, verb: str) -> str:
    call = ast.parse(statement, mode="eval").body
    assert isinstance(call, ast.Call)
    words = ["%durable", verb, *(str(ast.literal_eval(one)) for one in call.args)]
    for keyword in call.keywords:
        name = _FLAGS.get(str(keyword.arg), str(keyword.arg)).replace("_", "-")
        match ast.literal_eval(keyword.value):
            case False if name == "protect":
                words.append("--unprotect")
            case True:
                words.append(f"--{name}")
            case value:
                words += [f"--{name}", str(value)]
    return " ".join(words)


def read(text: str, subject: str = "") -> Effect | None:
    """Read one choice; None when it is in no words that are known."""
    text = as_line(text)
    for pattern, kind in _READINGS:
        if found := re.search(pattern, text):
            named = {k: v or "" for k, v in found.groupdict().items()}
            id_ = named.get("id") or named.get("id2") or subject
            extra = re.search(rf"--namespace-id ({_ID})", text)
            return Effect(
                kind=kind,
                text=text,
                id=id_,
                value=named.get("value", ""),
                script=named.get("script", ""),
                class_name=named.get("cls", ""),
                namespace_id=extra[1] if extra else "",
            )
    return None


@dataclass(slots=True, kw_only=True)
class Reader:
    """The user who reads: the truth as he knows it, and his notebook."""

    book: Book
    oracle: Oracle
    chance: Callable[[], float]
    unread: list[str]
    """Choices that nobody here understands."""

    def choose(self, refusal: dict[str, Any], tried: Container[Effect] = ()) -> Effect | None:
        """Give the choice to follow: a true one, else one that nothing is known of; None when there is none.

        What was `tried` in the same place and changed nothing, the user does not try a second time.
        """
        read_ones = [(c, read(c, refusal["subject"])) for c in refusal["choices"]]
        self.unread += [c for c, effect in read_ones if effect is None]
        told = {id_ for id_ in self.oracle.spaces if f"{id_[:4]}…{id_[-8:]}" in refusal["message"]}
        named = told.pop() if len(told) == 1 else ""  # the one that the refusal is about
        effects = [replace(e, namespace_id=e.namespace_id or named) for _, e in read_ones if e is not None]
        found = [e for e in map(self._corrected, effects) if e not in tried]
        ranked = sorted(found, key=lambda e: (-self.truth(e), self.chance()))
        return ranked[0] if ranked else None

    def _corrected(self, effect: Effect) -> Effect:
        """Where a namespace id is to be named, name the one that the user knows."""
        home = self.oracle.home(effect.id) if effect.kind == "namespace_id" else None
        return replace(effect, value=home.id) if home else effect

    def truth(self, effect: Effect) -> int:
        """Say how well a choice fits what is true: 2 true, 1 possible, 0 not what the user means, -1 a loss."""
        home = self.oracle.home
        match effect.kind:
            case "namespace_id":
                return self._fits(effect.id, effect.value)
            case "renamed_from":
                return self._renames(effect)
            case "call_back":
                return self._calls_back(effect)
            case "declare" | "run" | "instead":
                space = self.oracle.spaces.get(effect.namespace_id)
                return 2 if effect.id in (space.names if space else {effect.id}) or not space else 1
            case "destroy" | "destroy_alone":
                if home(effect.id.rpartition(":")[2]) is None:
                    return 1
                return 0 if effect.text.startswith("forget it") else -1  # the record's namespace is gone, his lives
            case "name_it":
                return 2 if home(effect.id) else 1
            case _:
                return {"again": 0, "migrations": 0, "elsewhere": -2}.get(effect.kind, 1)

    def _renames(self, effect: Effect) -> int:
        space = self.oracle.spaces.get(effect.namespace_id)
        meant = effect.value in self.book.formers(effect.id) or (space and self.means(effect.id, space))
        return 2 if meant or self._called_now(effect.id, effect.value) else 0

    def _calls_back(self, effect: Effect) -> int:
        others = (i for i in self.book.spaces if i != effect.id)
        if any(effect.value in self.book.formers(i) for i in others):
            return -1  # it has another name by now
        return 0 if self._called_now(effect.id, effect.value) else 1

    def _called_now(self, stable_id: str, before: str) -> bool:
        """Say whether the objects go by this stable ID, and no longer by the one before."""
        return self.oracle.home(stable_id) is not None and self.oracle.home(before) is None

    def means(self, stable_id: str, space: Space) -> bool:
        """Say whether a stable ID is a new name of a namespace, and nothing else has it."""
        return self.oracle.home(stable_id) is None and bool({*self.book.formers(stable_id)} & {*space.names})

    def _fits(self, stable_id: str, namespace_id: str) -> int:
        space = self.oracle.spaces.get(namespace_id)
        if space is None:
            return 0
        if stable_id in space.names or self.means(stable_id, space):
            return 2
        return 1 if not space.names and self.oracle.home(stable_id) is None else 0


def advice(message: str) -> Iterable[Effect]:
    """Give what an error tells to do, in its own order."""
    parts = re.split(r"(?<=[;.:])\s+|\bor\b", message)
    heard = {"import", "wait", "again", "adopt", "exports"}
    return [e for part in parts if (e := read(part)) is not None and e.kind in heard]
