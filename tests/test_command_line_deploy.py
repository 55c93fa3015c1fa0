"""`notebook-do deploy` in one process: asked in a real terminal, or sent by `--approve safe`, or not sent at all."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pexpect
import pytest

from notebook_do.cli import main
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from notebook_do.local.process.home import LocalTarget

COMMAND = [sys.executable, "-m", "notebook_do.cli"]
ASKED = r"Type 'deploy' to send \d+ changes? to dev on local: "
TOML = """
[namespaces.counter]
class_name = "Counter"
protect = false

[workers.api]
bindings.COUNTER = {namespace = "counter"}
bindings.MODE = "fast"
entrypoint = "api.js"
no_bundle = true
"""
FIELDS = {
    *("plan_digest", "stage", "target", "started", "ended", "counts", "outcomes", "failure", "cancelled"),
    *("workers", "namespaces", "requests", "notes", "deployed"),
}
"""What a deploy answers with `--json`."""
SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  add() { return this.ctx.storage.put("n", 1); }
}
export default {
  async fetch(request, env) {
    await env.COUNTER.getByName("a").add();
    return new Response(`first ${env.MODE} ${env.WORD ?? ""}`);
  },
};
"""


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def shop(cloud: Path) -> Path:
    """Give a directory with one Worker and one namespace, declared in TOML."""
    (cloud / "shop.toml").write_text(TOML)
    (cloud / "api.js").write_text(SOURCE)
    return cloud


@pytest.fixture
def run(shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Give what runs a command in this process, where nobody can be asked."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # of which a command makes the path of a kernel

    def run(*words: str) -> Done:
        capsys.readouterr()
        return Done(main(words), *capsys.readouterr())

    return run


@pytest.fixture
def terminal(shop: Path) -> Iterator[Callable[..., pexpect.spawn]]:
    """Give a starter of commands in a terminal of their own."""
    started: list[pexpect.spawn] = []

    def start(*words: str) -> pexpect.spawn:
        command, *options = [*COMMAND, *words]
        place = {"cwd": str(shop), "encoding": "utf-8", "timeout": 60, "dimensions": (200, 200)}
        started.append(pexpect.spawn(command, options, **place))
        return started[-1]

    yield start
    for child in started:
        child.close(force=True)


def ended(child: pexpect.spawn) -> tuple[int, list[str]]:
    """Wait for the end; give the exit status and the lines since the last match."""
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus, [line for line in child.before.splitlines() if line.strip()]


def running() -> LocalTarget:
    """Give the local Cloudflare, which the tests keep running."""
    target = launch.status()
    assert target is not None
    return target


def fetched() -> str:
    """Call the Worker."""
    headers = {"Host": f"api-dev.localhost:{running().workers_port}"}
    return httpx.get(running().url, headers=headers, trust_env=False, timeout=30).text


def ask(method: str, path: str, **sent: Any) -> Any:
    """Ask the account about the script, or change it, as another tool does."""
    target = running()
    url = f"{target.api}/accounts/{target.account_id}/workers/scripts/api-dev{path}"
    headers = {"Authorization": f"Bearer {target.token()}"}
    return httpx.request(method, url, headers=headers, trust_env=False, **sent).raise_for_status().json()["result"]


# --- in a terminal


def test_the_plan_is_shown_and_the_word_sends_it(terminal: Callable[..., pexpect.spawn], shop: Path) -> None:
    """Issue 13.8: one process plans, shows the plan, asks for the word, and deploys; the status is 0."""
    child = terminal("deploy", "shop.toml")
    child.expect(r"session: shop")
    child.expect(ASKED)
    assert "is created from file api.js" in child.before
    assert not (shop / ".notebook_do").exists()
    child.sendline("deploy")
    child.expect("3 steps in")
    assert ended(child)[0] == 0
    assert "first fast" in fetched()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("yes\n", "notebook-do: the word deploy was not typed; nothing was sent."),
        pytest.param("\x04", "notebook-do: no answer; nothing was sent.", marks=pytest.mark.thorough),
        ("\x03", "notebook-do: interrupted; nothing was sent."),
    ],
    ids=["a wrong word", "the end of the input", "Ctrl-C"],
)
def test_any_other_answer_sends_nothing_and_is_one_line(
    terminal: Callable[..., pexpect.spawn], shop: Path, answer: str, said: str
) -> None:
    """Issue 13.8: the exit status is 3, and no state file is made."""
    child = terminal("deploy", "shop.toml")
    child.expect(ASKED)
    child.send(answer)
    status, lines = ended(child)
    assert (status, lines[-1]) == (3, said)
    assert len(lines) <= 2, "what was typed, and the line"
    assert not (shop / ".notebook_do").exists()


def test_what_was_typed_before_the_plan_was_shown_approves_nothing(
    terminal: Callable[..., pexpect.spawn], shop: Path
) -> None:
    """Issue 13.8: a line that waited in the terminal is no answer to a question that came later."""
    child = terminal("deploy", "shop.toml")
    child.sendline("deploy")
    child.expect(ASKED)
    with pytest.raises(pexpect.TIMEOUT):
        child.expect("steps in", timeout=2)
    child.sendeof()
    assert ended(child)[0] == 3
    assert not (shop / ".notebook_do").exists()


@pytest.mark.parametrize("other", ["stdin", "stdout"])
def test_nothing_is_asked_where_one_side_is_no_terminal(shop: Path, other: str) -> None:
    """Issue 13.8: the plan waits, with the line that approves it, and the status is 3."""
    ours, theirs = pty.openpty()
    sides: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
    sides[other] = subprocess.DEVNULL if other == "stdin" else subprocess.PIPE
    with subprocess.Popen([*COMMAND, "deploy", "shop.toml"], **sides) as process:
        os.close(theirs)
        said = process.communicate(timeout=60)[0] if other == "stdout" else _read_all(ours)
        assert process.wait(timeout=60) == 3
    os.close(ours)
    assert b"To send exactly this plan" in said
    assert b"Type 'deploy'" not in said
    assert not (shop / ".notebook_do").exists()


def _read_all(terminal: int) -> bytes:
    """Read a terminal until nobody writes to it any more."""
    read = b""
    try:
        while piece := os.read(terminal, 65536):
            read += piece
    except OSError:  # Linux says so that the other side is closed
        return read
    return read


@pytest.mark.thorough
def test_a_stale_plan_is_refused_shown_anew_and_asked_for_once_more(
    terminal: Callable[..., pexpect.spawn], shop: Path
) -> None:
    """Issue 13.8: what is sent is exactly the plan that was shown; a second time the command ends with 3."""
    child = terminal("deploy", "shop.toml")
    child.expect(ASKED)
    (shop / "api.js").write_text(SOURCE.replace("first", "second"))
    child.sendline("deploy")
    child.expect(r"Nothing was sent: a file of Worker api was edited after this plan was shown \(")
    child.expect(ASKED)
    assert "is created from file api.js" in child.before
    assert not (shop / ".notebook_do" / "shop" / "dev" / "state.json").exists()
    (shop / "api.js").write_text(SOURCE.replace("first", "third"))
    child.sendline("deploy")
    status, lines = ended(child)
    assert status == 3
    assert "nothing was sent" in lines[-1]
    again = terminal("deploy", "shop.toml")
    again.expect(ASKED)
    (shop / "api.js").write_text(SOURCE.replace("first", "fourth"))
    again.sendline("deploy")
    again.expect("Nothing was sent")
    again.expect(ASKED)
    again.sendline("deploy")
    again.expect("3 steps in")
    assert ended(again)[0] == 0
    assert "fourth fast" in fetched()


def test_a_loss_is_asked_for_by_its_phrase(terminal: Callable[..., pexpect.spawn], run: Callable[..., Done]) -> None:
    """Issue 13.8: `destroy` asks in the same way; the word deploy is not enough, and the phrase is."""
    assert run("deploy", "shop.toml", "--approve", "safe").status == 0
    assert "first" in fetched()
    child = terminal("destroy", "shop.toml", "api", "counter")
    child.expect("Type '(destroy counter [0-9a-f]{8})' to allow it: ")
    phrase = child.match[1]
    child.sendline("deploy")
    status, lines = ended(child)
    assert (status, lines[-1]) == (3, "notebook-do: that is not the phrase; nothing was sent.")
    assert "first" in fetched()
    child = terminal("destroy", "shop.toml", "api", "counter")
    child.expect("to allow it: ")
    child.sendline(phrase)
    child.expect("steps? in")
    assert ended(child)[0] == 0
    assert "first" not in fetched()


def test_a_secret_is_asked_for_in_a_terminal(terminal: Callable[..., pexpect.spawn], shop: Path) -> None:
    """Issue 13.8: `--secret KEY=prompt` works: its value is not shown, and is in the Worker afterwards."""
    with (shop / "shop.toml").open("a") as file:
        file.write('bindings.WORD = {secret = "WORD", source = "prompt"}\n')
    child = terminal("deploy", "shop.toml")
    child.expect("Value of secret WORD: ")
    child.sendline("hush-hush")
    child.expect(ASKED)
    assert "hush" not in child.before
    child.sendline("deploy")
    child.expect("3 steps in")
    assert ended(child)[0] == 0
    assert "first fast hush-hush" in fetched()


# --- for scripts


def test_a_safe_plan_is_printed_and_sent(shop: Path, run: Callable[..., Done]) -> None:
    """Issue 13.8: a first deploy, new code and a changed binding are safe; then there is nothing to do."""
    done = run("deploy", "shop.toml", "--approve", "safe")
    assert (done.status, done.err) == (0, "")
    assert done.out.index("is created from file api.js") < done.out.index("3 steps in")
    assert "first fast" in fetched()
    (shop / "api.js").write_text(SOURCE.replace("first", "second"))
    assert run("deploy", "shop.toml", "--approve", "safe").status == 0
    (shop / "shop.toml").write_text(TOML.replace("fast", "slow"))
    done = run("deploy", "shop.toml", "--approve", "safe", "--quiet")
    assert (done.status, done.err) == (0, "")
    assert "update  binding MODE of Worker api  fast → slow" in done.out, "what is sent is shown, however quiet"
    assert "steps in" not in done.out
    assert "second slow" in fetched()
    done = run("deploy", "shop.toml", "--approve", "safe")
    assert done.status == 0
    assert "nothing to do" in done.out


def test_the_answer_in_json_stays_one_object(run: Callable[..., Done]) -> None:
    """Issue 13.8: with --json the plan goes to the other side."""
    done = run("deploy", "shop.toml", "--approve", "safe", "--json")
    assert done.status == 0, done.err
    answer = json.loads(done.out)
    assert {one["status"] for one in answer["outcomes"]} == {"done"}
    assert set(answer) == FIELDS
    assert set(answer["outcomes"][0]) == {"text", "status", "detail", "script_name", "started", "ended"}
    assert datetime.fromisoformat(answer["started"]) < datetime.fromisoformat(answer["ended"])
    assert "is created from file api.js" in done.err


PATCH = {"settings": (None, json.dumps({"bindings": [
    {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},
    {"type": "plain_text", "name": "MODE", "text": "theirs"},
]}), "application/json")}  # fmt: skip
"""What changes a variable without an upload, as the dashboard does."""


def without_mode(shop: Path) -> None:
    """Leave a declared variable out."""
    (shop / "shop.toml").write_text(TOML.replace('bindings.MODE = "fast"\n', ""))


def changed_mode(shop: Path) -> None:
    """Change a variable outside."""
    ask("PATCH", "/settings", files=PATCH)


def changed_mode_beside(shop: Path) -> None:
    """Change a variable outside, and declare another one besides."""
    ask("PATCH", "/settings", files=PATCH)
    with (shop / "shop.toml").open("a") as file:
        file.write('bindings.MORE = "more"\n')


def closed(shop: Path) -> None:
    """Close the address outside, and change the code."""
    ask("POST", "/subdomain", json={"enabled": False})
    (shop / "api.js").write_text(SOURCE.replace("first", "second"))


def another_session(shop: Path) -> None:
    """Declare the live Worker in another session, which adopts it."""
    (shop / "shop.toml").write_text(TOML.replace("[workers.api]", '[workers.api]\nadopt = true\nname = "api-dev"'))
    (shop / ".notebook_do").rename(shop / "elsewhere")


def lost_state(shop: Path) -> None:
    """Lose the state file."""
    (shop / ".notebook_do").rename(shop / "elsewhere")


def foreign(shop: Path) -> None:
    """Declare the live Worker in another session, which does not adopt it."""
    other = TOML.replace("[workers.api]", '[workers.api]\nname = "api-dev"')
    (shop / "shop.toml").write_text(other)


NOT_SAFE: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "a binding left out": (without_mode, (), "Deletion: Binding MODE of api-dev is removed"),
    "a variable changed outside": (changed_mode, (), "Put-back: Binding MODE of api-dev is changed. It was changed"),
    "the same beside a change": (changed_mode_beside, (), "Put-back: Bindings or settings of api-dev may have been"),
    "an address closed outside": (closed, (), "Put-back: The URL of api-dev was switched elsewhere"),
    "a Worker of another session": (
        another_session,
        ("--session", "other"),
        "Take-over: Worker api-dev is live and was not made from here",
    ),
    "a lost state file": (lost_state, (), "Take-over: Worker api-dev is live as this session's"),
    "a refused plan": (
        foreign,
        ("--session", "other"),
        "Refusal: what is yours to decide stands in the plan above: api (worker-exists)",
    ),
}


@pytest.mark.parametrize("case", NOT_SAFE)
def test_what_is_not_safe_is_printed_and_not_sent(shop: Path, run: Callable[..., Done], case: str) -> None:
    """Issue 13.8: the status is 3, and one line says which of these it was; nothing is sent."""
    edit, options, said = NOT_SAFE[case]
    assert run("deploy", "shop.toml", "--approve", "safe").status == 0
    edit(shop)
    before = ask("GET", "/deployments")
    done = run("deploy", "shop.toml", *options, "--approve", "safe")
    after = ask("GET", "/deployments")
    assert done.status == 3, done.out + done.err
    assert done.out.startswith("Plan"), "the plan is printed all the same"
    (line,) = done.err.splitlines()
    assert line.startswith("notebook-do: --approve safe sent nothing. ")
    assert said in line
    assert after == before


def test_destroy_is_never_safe(run: Callable[..., Done]) -> None:
    """Issue 13.8: it is refused with 3 before anything is read; and a phrase goes with a digest only."""
    assert run("deploy", "shop.toml", "--approve", "safe").status == 0
    done = run("destroy", "shop.toml", "api", "--approve", "safe")
    assert (done.status, done.out) == (3, "")
    (line,) = done.err.splitlines()
    assert line == (
        "notebook-do: --approve safe never destroys; nothing was sent. "
        "To read the plan: notebook-do destroy shop.toml api"
    )
    done = run("deploy", "shop.toml", "--approve", "safe", "--confirm", "destroy counter 01234567")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "first" in fetched()


def test_a_file_without_cells_loads_no_notebook_library(shop: Path) -> None:
    """Issue 13.8: of a TOML file neither IPython nor pandas nor widgets are loaded, whether it deploys or plans."""
    code = (
        "import sys; from notebook_do.cli import main; status = main(sys.argv[1:]); "
        "heavy = {'IPython', 'pandas', 'numpy', 'ipywidgets', 'traitlets', 'nbformat', 'uvicorn', 'rich', 'click'}; "
        "print(status, sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    for words in (("deploy", "shop.toml", "--approve", "safe"), ("plan", "shop.toml")):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stderr.splitlines()[-1] == "0 []"
