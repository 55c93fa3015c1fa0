"""What is the same on every `%durable` line: comments, `--json`, words of other tools, and cells without a body."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import provisionalcompleter

import notebook_do as nd
from notebook_do.errors import CommandError
from notebook_do.model import BINDING_TYPES, NAMESPACE_FIELDS, WORKER_FIELDS
from notebook_do.notebook import verbs
from notebook_do.notebook.topics import ALL
from notebook_do.notebook.verbs.help import usage
from notebook_do.notebook.verbs.topics import page_of
from notebook_do.notebook.views.help_page import plain_text
from notebook_do.settings import SETTINGS, VARIABLES

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def run(ip: InteractiveShell, cell: str) -> Any:
    """Run a cell and give its value, or raise what it raised."""
    done = ip.run_cell(cell)
    done.raise_error()
    return done.result


@pytest.fixture
def shell(ip: InteractiveShell, cloud: Path) -> InteractiveShell:
    """Give a shell with an open session."""
    del cloud
    run(ip, "%durable session tour")
    return ip


@pytest.mark.parametrize("use_jedi", [True, False])
def test_tab_offers_the_public_names_and_nothing_else(ip: InteractiveShell, use_jedi: bool) -> None:  # noqa: FBT001
    """Issue 16.8: `nd.<TAB>` shows what a person may use."""
    run(ip, "import notebook_do as nd")
    ip.Completer.use_jedi = use_jedi
    with provisionalcompleter():
        offered = {one.text.removeprefix(".") for one in ip.Completer.completions("nd.", 3)}
    assert offered == set(nd.__all__)


@pytest.mark.parametrize(
    "line",
    [
        "%durable namespace counter --class Counter # the count of visitors",
        "%durable namespace counter --class Counter   # --kv is not meant",
        "x = %durable namespace counter --class Counter # a comment",
    ],
)
def test_a_comment_behind_a_line_is_a_comment(shell: InteractiveShell, line: str) -> None:
    """Issue 16.8: as in a shell, and in Python."""
    run(shell, line)
    assert nd.current().catalog.namespaces["counter"].sqlite is None


def test_a_hash_inside_of_a_word_or_of_quotes_is_none(shell: InteractiveShell) -> None:
    """A value may have it."""
    run(shell, "%%durable worker api --var COLOUR=#fff --var HASH=a#b --var TITLE='# 1' # all three\nexport default {}")
    bound = nd.current().catalog.workers["api"].bindings
    assert [bound[name].text for name in ("COLOUR", "HASH", "TITLE")] == ["#fff", "a#b", "# 1"]  # type: ignore[union-attr]


@pytest.mark.parametrize("flag", ["--yes", "-y", "--force", "--auto-approve"])
@pytest.mark.parametrize(
    "line",
    [
        "%durable deploy",
        "%durable destroy api",
        "%durable put rooms kitchen topic 1",
        "%durable delete rooms kitchen topic",
        '%durable execute rooms kitchen "DELETE FROM messages"',
        "%durable alarm rooms kitchen off",
        "%durable wipe rooms kitchen",
        "%durable restore rooms kitchen kitchen.ndsnap",
    ],
)
def test_the_word_of_another_tool_is_answered_with_ours(shell: InteractiveShell, line: str, flag: str) -> None:
    """Issue 16.8: nothing is sent because somebody is sure; what is sent is a plan, or a change, that was read."""
    with pytest.raises(CommandError) as caught:
        run(shell, f"{line} {flag}")
    assert str(caught.value).endswith(f'unknown option "{flag}", did you mean --approve DIGEST?')


def test_json_on_a_line_that_declares_is_a_binding(shell: InteractiveShell) -> None:
    """Issue 16.8: `--json NAME=JSON`, as often as wanted, also with `=` in the word."""
    run(shell, "%%durable worker api --json LIMITS='{\"max\": 20}' --json=LIST=[1]\nexport default {}")
    bound = nd.current().catalog.workers["api"].bindings
    assert [bound[name].value for name in ("LIMITS", "LIST")] == [{"max": 20}, [1]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "cell",
    [
        "%%durable worker api --json\nexport default {}",
        "%%durable worker api --json --var A=b\nexport default {}",
        "%durable worker api --entrypoint w.js --json",
        "%durable namespace counter --class Counter --json",
        "%%durable --json\n[namespaces.counter]\nclass_name = 'Counter'",
    ],
)
def test_json_alone_on_a_line_that_declares_is_an_error_that_says_so(shell: InteractiveShell, cell: str) -> None:
    """Issue 16.8: it has one meaning a verb, and here the other one is none."""
    with pytest.raises(
        CommandError, match=r"--json alone means nothing where something is declared: `--json NAME=JSON`"
    ):
        run(shell, cell)
    assert not nd.current().catalog.workers
    assert not nd.current().catalog.namespaces


def test_a_declaring_verb_does_not_promise_json() -> None:
    """Help and completion are made of the same table."""
    for name in ("namespace", "worker"):
        assert "give the result as JSON" not in usage(verbs.BY_NAME[name])
    assert "give the result as JSON" in usage(verbs.BY_NAME["plan"])


def test_a_cell_of_one_line_needs_no_body_where_it_names_a_file(shell: InteractiveShell) -> None:
    """Issue 16.8: IPython would refuse `%%durable worker ... --entrypoint FILE` before we see it."""
    Path("w.js").write_text("export default {}")
    run(shell, "%%durable worker api --entrypoint w.js")
    assert nd.current().catalog.workers["api"].entrypoint == "w.js"
    run(shell, "%%durable namespace counter --class Counter\n")
    assert "counter" in nd.current().catalog.namespaces
    with pytest.raises(CommandError, match=r"the cell has no body; write the source below, or --entrypoint FILE\.$"):
        run(shell, "%%durable worker other")


def test_unloading_takes_the_body_of_a_cell_away(ip: InteractiveShell) -> None:
    """Loading twice adds nothing twice."""
    before = len(ip.input_transformers_cleanup)
    run(ip, "%reload_ext notebook_do")
    assert len(ip.input_transformers_cleanup) == before
    run(ip, "%unload_ext notebook_do")
    assert len(ip.input_transformers_cleanup) == before - 1


# --- %durable help


@pytest.mark.parametrize("topic", ["", *dict.fromkeys((*ALL, *verbs.BY_NAME))])
def test_help_has_a_page_for_every_topic_and_verb(ip: InteractiveShell, topic: str) -> None:
    """Issue 16.8: `%durable help [TOPIC]`, without a session, as text, Markdown and JSON."""
    page = run(ip, f"%durable help {topic}")
    assert page._repr_mimebundle_() == {"text/plain": str(page), "text/markdown": page_of(topic)}
    told = run(ip, f"text = %durable help {topic} --json\ntext")
    assert json.loads(told) == {"topic": topic, "text": page_of(topic)}


@pytest.mark.parametrize("topic", ["", *ALL])
def test_a_terminal_shows_a_page_without_the_marks_of_markdown(ip: InteractiveShell, topic: str) -> None:
    """No fence, mark of code or emphasis, heading or rule of a table; within 100 columns, but for what is copied."""
    page = str(run(ip, f"%durable help {topic}"))
    assert "`" not in page
    assert "**" not in page
    lines = page.split("\n")
    assert [line for line in lines if line.startswith(("#", "|"))] == []
    assert [line for line in lines if len(line) > 100 and "npx wrangler" not in line] == []


def test_a_page_says_in_a_terminal_all_that_its_markdown_says() -> None:
    """Every word of the Markdown stands in the text, in its order."""
    for topic in ALL:
        marked, shown = page_of(topic), plain_text(page_of(topic))
        words = [word for word in re.findall(r"[A-Za-z]{3,}", marked) if word not in {"text", "python", "toml"}]
        assert sorted(set(words) - set(re.findall(r"[A-Za-z]{3,}", shown))) == [], topic


def test_the_list_of_all_fits_on_one_screen(ip: InteractiveShell) -> None:
    """Verbs and topics in groups, in fewer lines than there are of them; `-h` shows the same."""
    shown = str(run(ip, "%durable help"))
    lines = shown.split("\n")
    assert len(lines) <= 40
    assert all(f"  {name}  " in shown for name in (*ALL, *verbs.BY_NAME))
    assert [line.split("  ")[0] for line in lines if re.match(r"[A-Z][a-z ]+  ", line)] == [*verbs.GROUPS, "Topics"]
    assert ip.magics_manager.magics["line"]["durable"].__doc__ == shown


def test_the_name_of_a_verb_and_of_a_topic_shows_both(ip: InteractiveShell) -> None:
    """`%durable help objects` is the help of the verb, and below it the page that README names."""
    shown = str(run(ip, "%durable help objects"))
    assert shown.startswith("%durable objects NAMESPACE")
    assert "Live objects\n============" in shown


def test_help_says_the_nearest_topic(ip: InteractiveShell) -> None:
    """A typo costs one look."""
    with pytest.raises(CommandError, match=r'there is no topic "setings", did you mean "settings"\?$'):
        run(ip, "%durable help setings")


def test_the_pages_are_made_of_the_tables() -> None:
    """What is added to a table stands on its page."""
    assert all(setting.name in page_of("settings") for setting in SETTINGS)
    assert all(f"NOTEBOOK_DO_{name}" in page_of("settings") for name in VARIABLES)
    assert all(row.flag.name in page_of("bindings") for row in BINDING_TYPES.values() if row.flag)
    assert all(f'{{{row.toml} = "..."}}' in page_of("bindings") for row in BINDING_TYPES.values() if row.toml)
    assert all(name in page_of("toml") for name, row in {**NAMESPACE_FIELDS, **WORKER_FIELDS}.items() if row.toml)
    assert all(len(line) <= 100 for topic in ("bindings", "toml") for line in page_of(topic).split("\n"))
