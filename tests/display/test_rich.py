"""A text that knows which of its parts are names, values and commands."""

from __future__ import annotations

import copy
import json
import pickle

from notebook_do.display.rich import Rich, TextPart, code, formatted, joined, link, rich, strong
from notebook_do.model.plain import canonical


def test_it_is_the_plain_text_to_everybody_else() -> None:
    """Equal to, hashed and written as the text of its parts."""
    text = rich("class ", code("A"), " → ", code("B"))
    assert text == "class A → B"
    assert {text: 1}["class A → B"] == 1
    assert json.loads(json.dumps([text])) == ["class A → B"]
    assert canonical([text]) == canonical(["class A → B"])
    assert type(str(text)) is str


def test_a_copy_keeps_the_looks() -> None:
    """A plan is copied and pickled: its sentences are drawn the same afterwards."""
    text = rich("of ", strong("api"), link("http://x"))
    for other in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert isinstance(other, Rich)
        assert other.parts == text.parts == (TextPart("of "), TextPart("api", "strong"), TextPart("http://x", "link"))


def test_neighbours_of_one_look_are_one_part() -> None:
    """And what is empty is none."""
    assert rich("a", "b", "", code(""), code("x")).parts == (TextPart("ab"), TextPart("x", "code"))
    assert joined(", ", [code("a"), "b"]).parts == (TextPart("a", "code"), TextPart(", b"))
    assert joined(", ", []) == ""


def test_a_template_says_what_is_code_and_a_fact_cannot() -> None:
    """Backticks of the template are looks; those of a name are letters."""
    found = formatted("class `{was}` of {worker}: {more:,}", {"was": "A`b`", "worker": "`x`", "more": 1204})
    assert found == "class A`b` of `x`: 1,204"
    assert isinstance(found, Rich)
    assert found.parts == (TextPart("class "), TextPart("A`b`", "code"), TextPart(" of `x`: 1,204"))
    assert formatted("{a}!", {"a": code("v")}) == "v!"
    assert formatted("`{a!r}` {b:,}", {"a": "x", "b": 1204}) == "'x' 1,204"
    assert formatted("{a}!", {"a": code("v")}).parts[0].look == "code"  # type: ignore[attr-defined]
    assert not isinstance(formatted("{a}", {"a": "plain"}), Rich)
