"""One table of verbs: parsing, mistakes and help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from notebook_do.errors import CommandError
from notebook_do.notebook import parsing, verbs
from notebook_do.notebook.verbs.help import usage

if TYPE_CHECKING:
    from notebook_do.notebook.verbs.verb import Verb

TABLE = [verb for verb in verbs.VERBS if not verb.declares]


@pytest.mark.parametrize("verb", verbs.VERBS, ids=lambda v: v.name)
def test_help_names_every_option_and_an_example(verb: Verb) -> None:
    """Nothing that a verb takes is left out of its help."""
    text = usage(verb)
    assert all(option.name in text or option.value in text for option in verb.options)
    assert "--as VAR" in text
    assert verb.example in text
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("verb", TABLE, ids=lambda v: v.name)
def test_every_verb_has_the_common_options(verb: Verb) -> None:
    """--as, --json, --quiet and -h mean the same everywhere."""
    needed = [o for o in verb.options if o.required]
    places = [w for o in needed for w in ([o.name] if o.name.startswith("-") else []) + [(*o.choices, "x")[0]]]
    found = parsing.parse(verb, [*places, "--as", "v", "--json", "--quiet"])
    assert (found.as_, found.json, found.quiet, found.help) == ("v", True, True, False)
    assert parsing.parse(verb, ["-h"]).help


def test_words_follow_posix_shell_rules() -> None:
    """Quotes are taken off, and a semicolon at the end is IPython's."""
    assert parsing.split("""fetch w '/a b' --data "{\\"x\\": 1}";""") == ["fetch", "w", "/a b", "--data", '{"x": 1}']


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plaan", 'unknown verb "plaan", did you mean "plan"?'),
        ("xyzzy", "verbs: session, status, show"),
    ],
)
def test_a_mistyped_verb_is_answered_with_the_nearest(words: str, said: str) -> None:
    """A typo costs one look."""
    with pytest.raises(CommandError, match="unknown verb") as error:
        verbs.find(words)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("verb", "line", "said"),
    [
        ("session", "x --stag dev", 'unknown option "--stag", did you mean "--stage"?'),
        ("session", "", "NAME is missing; write %durable session NAME"),
        ("session", "x --target moon", '--target "moon" is not known; known are local, cloudflare.'),
        ("session", "x --target locl", '--target "locl" is not known, did you mean "local"?'),
        ("session", "x --stage", "expected one argument"),
        ("deploy", "now", '"now" is one word too many'),
        ("show", "namespcaes", '"namespcaes" is not known, did you mean "namespaces"?'),
        ("state", "bakups", 'did you mean "backups"?'),
        ("export", "wranglr", 'did you mean "wrangler"?'),
        ("form", "depoly", 'did you mean "deploy"?'),
        ("rm", "wroker x", 'did you mean "worker"?'),
        ("rm", "worker", "ID is missing; write %durable rm namespace|worker ID"),
        ("destroy", "", "WORKER|ID is missing; write %durable destroy WORKER|ID..."),
        ("require", "evn X", 'did you mean "env"?'),
        ("require", "env", "NAME is missing"),
        ("fetch", "w --sta", "unknown option"),
        ("session", "x --cloudflare", 'unknown option "--cloudflare", did you mean "--target cloudflare"?'),
        ("show", "--workers", 'unknown option "--workers", did you mean "workers"?'),
        ("plan", "--observability", "it is said where something is declared: --setting observability=JSON."),
        ("plan", "--class-name=C", "it is said where something is declared: --class."),
        ("plan", "--since 1h", "it is an option of logs."),
        ("plan", "--approve x", "it is an option of deploy, destroy, map and 6 more."),
        ("plan", "--zzz", 'unknown option "--zzz"; see %durable plan -h.'),
    ],
)
def test_a_mistake_is_one_clear_line(verb: str, line: str, said: str) -> None:
    """Argparse never ends the process, and never abbreviates."""
    with pytest.raises(CommandError) as error:
        parsing.parse(verbs.BY_NAME[verb], line.split())
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_open_quote_is_said() -> None:
    """The line is named, not a Python error."""
    with pytest.raises(CommandError, match="no closing quotation"):
        parsing.split("worker 'x")
