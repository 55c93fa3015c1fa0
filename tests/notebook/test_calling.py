"""`%durable call` in cells, on the real local Cloudflare: what it shows, gives, refuses and completes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter

import notebook_do as nd
from notebook_do.errors import CommandError, TargetError
from notebook_do.notebook.views.documents import bundle

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

ROOMS = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.rows = []; }
  post(author, text) { this.rows.push({ author, text }); return this.rows.length; }
  list() { return this.rows; }
  add(who) { return who.words.length; }
  echo(...args) { return args; }
  clear() { this.rows = []; }
  async slow(ms) { await scheduler.wait(ms); }
}
export default { async fetch() { await scheduler.wait(2000); return new Response("late"); } };
"""


@pytest.fixture
def chat(cloud: Path, ip: InteractiveShell, patient: None) -> InteractiveShell:
    """Deploy a Worker in a shell, and talk in one room."""
    del cloud
    session = nd.session("chat")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("chat", script=ROOMS, bindings={"ROOMS": rooms})
    session.deploy(session.plan())
    return ip


def shown(ip: InteractiveShell, line: str) -> Any:
    """Run a magic and give its value."""
    return ip.run_line_magic("durable", line)


def test_a_call_shows_what_it_returned(chat: InteractiveShell) -> None:
    """The call, `returned`, its time, the kind of value; then the value, one item a line (view 6e)."""
    assert shown(chat, "call rooms kitchen post ada hello").value == 1
    shown(chat, "call rooms kitchen post grace 'hello there'")
    listed = shown(chat, "call rooms kitchen list")
    text = bundle(listed)["text/plain"].split("\n")
    assert text[0].startswith("rooms / kitchen . list()  returned  ")
    assert text[0].endswith(" ms  array of 2")
    assert text[1:] == [
        "",
        "  [",
        '    {"author": "ada", "text": "hello"},',
        '    {"author": "grace", "text": "hello there"}',
        "  ]",
    ]
    html = bundle(listed)["text/html"]
    assert "rooms / kitchen . list()</code>" in html
    assert "returned</b>" in html
    assert "returned" in str(shown(chat, "call rooms kitchen clear"))


def test_arguments_are_json_or_text(chat: InteractiveShell) -> None:
    """What JSON reads is that value; a word that it does not read is the word."""
    line = """call rooms kitchen echo 5 -1 true null [1,2] '{"a": {"b": 1.5}}' '"5"' NaN word"""
    called = shown(chat, line)
    assert called.value == [5, -1, True, None, [1, 2], {"a": {"b": 1.5}}, "5", "NaN", "word"]
    assert 'echo(5, -1, true, null, [1, 2], {"a": {"b": 1.5}}, "5", "NaN", "word")' in str(called)


def test_a_call_shows_what_was_thrown(chat: InteractiveShell) -> None:
    """`threw`, the error with the method and the object, and its stack folded (view 6f); the cell does not fail."""
    called = shown(chat, "call rooms kitchen add ada")
    assert isinstance(called.error, nd.JSError)
    text = bundle(called)["text/plain"].split("\n")
    assert text[0].startswith('rooms / kitchen . add("ada")  threw  ')
    assert text[2].startswith(
        "  ! TypeError: Cannot read properties of undefined (reading 'length') in Room.add (kitchen)"
    )
    assert "Stack (1 frame)" in text
    assert "<details" in bundle(called)["text/html"]
    with pytest.raises(nd.JSError):
        called.value  # noqa: B018 - it raises


def test_an_unknown_method_is_an_error_that_lists_what_there_is(chat: InteractiveShell) -> None:
    """One line, with the nearest method."""
    with pytest.raises(CommandError) as raised:
        shown(chat, "call rooms kitchen lst")
    assert str(raised.value) == (
        "rooms / kitchen . lst(): class Room has no method lst; it has post, list, add, echo, clear, slow. "
        "Did you mean list?"
    )


def test_timeouts_of_calls_and_fetches(chat: InteractiveShell) -> None:
    """`--timeout SECONDS` holds for both; a word that is none is refused."""
    with pytest.raises(TargetError, match=r"no answer in 0.2 s: whether it was done is not known"):
        shown(chat, "call rooms kitchen slow 700 --timeout 0.2")
    with pytest.raises(TargetError, match=r"has not answered in 0.2 s"):
        shown(chat, "fetch chat / --timeout 0.2")
    for wrong in ("soon", "0", "nan", "-1"):
        for verb in ("call rooms kitchen list", "fetch chat /"):
            with pytest.raises(CommandError, match=r"--timeout takes seconds"):
                shown(chat, f"{verb} --timeout {wrong}")


def test_a_call_as_json_and_in_a_variable(chat: InteractiveShell) -> None:
    """`--json` gives the value as tagged JSON, or the error; `--as` keeps what was called."""
    shown(chat, "call rooms kitchen echo 5 --as kept")
    assert chat.user_ns["kept"].value == [5]
    assert json.loads(str(shown(chat, "call rooms kitchen echo 5 --json"))) == [5]
    said = json.loads(str(shown(chat, "call rooms kitchen add 5 --json")))
    assert said["error"]["name"] == "TypeError"


def test_objects_and_methods_are_completed_without_a_request(chat: InteractiveShell, sent: list[str]) -> None:
    """Objects that were named before, and methods of the class as its source has them; nothing is sent."""
    nd.current().object("rooms", "kitchen")

    def completed(line: str) -> list[str]:
        with provisionalcompleter():
            return [line[: c.start] + c.text for c in chat.Completer.completions(line, len(line))]

    assert completed("%durable call rooms ki") == ["%durable call rooms kitchen"]
    assert completed("%durable values rooms --object ki") == ["%durable values rooms --object kitchen"]
    assert completed("%durable call rooms kitchen l") == ["%durable call rooms kitchen list"]
    assert completed("%durable call ro") == ["%durable call rooms"]
    assert sent == []


def test_a_frame_is_mapped_by_a_line_and_by_a_cell(chat: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """`%durable map` and `%%durable map` call for each row of the frame that a variable holds, and give the result."""
    chat.user_ns["df"] = pd.DataFrame({"room": ["a", "b"], "author": ["ada", "bob"], "text": ["x", "y"]})
    line = "map rooms df --object room --call post --args author,text --concurrency 2 --timeout 50"
    found = shown(chat, line)
    assert found.result.tolist() == [1, 1]
    assert chat.run_cell_magic("durable", line, "\n").result.tolist() == [2, 2]
    chat.user_ns["x"] = found = shown(chat, "map rooms df --object room --call add --args author")
    monkeypatch.setattr("IPython.get_ipython", lambda: chat)  # the shell of the process, as in a kernel
    lines = bundle(found.view)["text/plain"].split("\n")
    again = "failed = x[x.error.notna()]", "%durable map rooms failed --object room --call add --args author"
    assert [line.strip() for line in lines[-2:]] == [*again]
    done = chat.run_cell("\n".join(again))
    done.raise_error()
    assert (len(done.result), done.result.error.notna().all()) == (2, True)
    del chat.user_ns["x"]
    number = chat.execution_count - 1
    chat.user_ns["Out"][7] = found
    assert "failed = Out[7][Out[7].error.notna()]" in bundle(found.view)["text/plain"], number
    chat.user_ns["x"] = found
    chat.user_ns["chat_session"] = nd.current()
    text = bundle(found.view)["text/plain"]
    assert "2 failures (x[x.error.notna()])" in text
    assert 'chat_session.map("rooms", x[x.error.notna()], object="room", call="add", args=["author"])' in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("map rooms", "DF is missing; write %durable map NAMESPACE DF [options]"),
        ("map rooms df --call post", "--object is missing"),
        ("map rooms tabel --object room --call post", "there is no variable tabel; did you mean table?"),
        ("map rooms df --object room --call post --concurrency x", 'takes a whole number, not "x"'),
    ],
)
def test_a_wrong_line_of_map_is_one_line(chat: InteractiveShell, line: str, said: str) -> None:
    """What is missing or unknown is named."""
    chat.user_ns["df"] = chat.user_ns["table"] = pd.DataFrame({"room": ["a"]})
    with pytest.raises(CommandError, match=re.escape(said)):
        shown(chat, line)
    with pytest.raises(CommandError, match="its cell has no body"):
        chat.run_cell_magic("durable", "map rooms df --object room --call post", "SELECT 1")


def test_stored_text_cannot_drive_a_terminal(chat: InteractiveShell) -> None:
    """What an object returns, and what its error says, is written out where a terminal would obey it."""
    text = str(shown(chat, "call rooms kitchen echo '\x1b[2J\u202e'"))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_call_shows_what_it_logged_and_the_line_of_the_cell(chat: InteractiveShell) -> None:
    """Below the value stand the lines of exactly this call, and an exception has its line in the cell."""
    for cell in (
        "%durable session said",
        "%durable namespace halls --class Hall",
        (
            '%%durable worker said --bind HALLS=halls\nimport { DurableObject } from "cloudflare:workers";\n'
            "export class Hall extends DurableObject {\n"
            '  say(word) { console.log("said", word); return word; }\n'
            "  add(who) { return who.words.length; }\n"
            "}\nexport default { fetch() { return new Response(); } };"
        ),
        "import notebook_do as nd; s = nd.current(); s.deploy(s.plan())",
    ):
        chat.run_cell(cell).raise_error()
    text = bundle(shown(chat, "call halls kitchen say hello"))["text/plain"]
    assert "1 log line of this call" in text
    assert "Hall.say (" in text
    assert "said hello" in text
    text = " ".join(bundle(shown(chat, "call halls kitchen add ada"))["text/plain"].split())
    assert ", line 5 of In[0] " in text
    assert "→ In[0], line 5" in text


def test_a_call_from_python_is_shown_as_one_of_a_line(chat: InteractiveShell) -> None:
    """`room.called(...)` shows the call, what became of it and its value; in a list a few words, and no dataclass."""
    room = nd.current().object("rooms", "kitchen")
    made = [room.called("post", "ada", "hello"), room.called("add", {}), room.called("nothing")]
    posted, threw, lacking = (str(one) for one in made)
    assert re.match(r'rooms / kitchen \. post\("ada", "hello"\)  returned  .* number\n\n1$', posted)
    assert re.match(r"rooms / kitchen \. add\(.*\)  threw  .*\n\n +! TypeError: ", threw)
    assert re.match(r"rooms / kitchen \. nothing\(\)  not called  .*\n\n! class Room has no method nothing; ", lacking)
    assert repr(made[:1]) == "[<call of post of object 'kitchen' of namespace rooms: returned>]"
    assert bundle(made[0])["text/html"]
    assert chat.user_ns is not None


def test_a_column_called_key_is_shown(chat: InteractiveShell) -> None:
    """It tells rows apart, as a key of storage does; a column of a secret's name is hidden, and so is its shape."""
    chat.user_ns["df"] = pd.DataFrame(
        {"room": ["a", "b"], "key": ["topic", f"sk_live_{'a1' * 9}"], "api_key": "hunter2"}
    )
    text = bundle(shown(chat, "map rooms df --object room --call add --args key,api_key").view)["text/plain"]
    assert "topic" in text
    assert "key=" in text
    assert "key=hidden because of" not in text.replace("api_key=hidden because of", "")
    assert "sk_live" not in text
    assert "hunter2" not in text
