"""A real kernel with a person in front of it: outputs in order, queued cells, interrupts, a kernel that is killed."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

COUNTER = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch(request) {
    if (new URL(request.url).pathname === "/slow") await new Promise((done) => setTimeout(done, 30000));
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return new Response(String(n));
  }
}
export default { fetch(request, env) { return env.COUNTER.get(env.COUNTER.newUniqueId()).fetch(request); } };
"""
DECLARE = (
    "%load_ext notebook_do",
    "%durable session tour --quiet",
    "%durable namespace counter --class Counter --quiet",
    f"%%durable worker my-worker --bind COUNTER=counter --quiet\n{COUNTER}",
)


SAY_WHEN_WAITING = """
from notebook_do.bridge import bridge

def say_and_wait(coroutine, wait=bridge.run):
    async def said():
        print("begun", flush=True)
        return await coroutine

    return wait(said())

bridge.run = say_and_wait
"""
"""Until the verb waits for its answer, an interrupt hits its preparations, which is no case of this test."""


class Kernel:
    """A running kernel; cells are sent as a front-end sends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Not by TCP: of the ports that are chosen for a kernel others may have one before it starts to listen.
        self.manager = KernelManager(kernel_name="python3", transport="ipc")
        with (directory / "kernel-errors").open("ab") as errors:
            self.manager.start_kernel(cwd=str(directory), stderr=errors)
        self.updates: list[dict[str, Any]] = []
        """What took the place of an output that was there, whichever cell or thread did it."""
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()

    def wait(self) -> None:
        """Wait until it takes cells."""
        self.client.wait_for_ready(timeout=60)

    def end(self) -> None:
        """End its process at once."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def send(self, code: str) -> str:
        """Queue a cell and give the id of its request."""
        return str(self.client.execute(code, allow_stdin=True))

    def run_as(self, cell: str, code: str) -> list[dict[str, Any]]:
        """Run code as the cell with this id, as JupyterLab does."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(message)
        return self.outputs(str(message["header"]["msg_id"]))

    def answer(self, text: str) -> dict[str, Any]:
        """Answer the question that a cell asks, and give the question."""
        asked = self.client.get_stdin_msg(timeout=60)["content"]
        self.client.input(text)
        return dict(asked)

    def reply(self, request: str) -> dict[str, Any]:
        """Wait for the reply to one request; replies come in order."""
        while True:
            message = self.client.get_shell_msg(timeout=60)
            if message["parent_header"].get("msg_id") == request:
                return dict(message["content"])

    def outputs(self, request: str) -> list[dict[str, Any]]:
        """Give everything that one cell showed, up to its end; what it printed is one text, as a front-end has it.

        A kernel sends it in pieces, whenever its timer says so.
        """
        shown: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "update_display_data":
                self.updates.append(message["content"])
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return shown
            content = dict(message["content"])
            if message["msg_type"] == "stream" and shown and shown[-1].get("name") == content["name"]:
                shown[-1]["text"] += content["text"]
            elif message["msg_type"] in {"display_data", "execute_result", "stream", "error"}:
                shown.append(content)

    def click(self, comm_id: str) -> None:
        """Click a button as a front-end does."""
        content = {"comm_id": comm_id, "data": {"method": "custom", "content": {"event": "click"}}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def interrupt_while_waiting(self, code: str) -> None:
        """Run a cell and interrupt it when it waits for an answer: before, it would be in its preparations."""
        self.run(SAY_WHEN_WAITING)
        request = self.send(code)
        while self.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        self.manager.interrupt_kernel()
        assert self.reply(request)["ename"] == "KeyboardInterrupt"

    def states(self, output: dict[str, Any]) -> list[str]:
        """Give the texts that an output had, one after the other."""
        later = [u for u in self.updates if u["transient"] == output["transient"]]
        return [one["data"]["text/plain"] for one in (output, *later)]

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run one cell and give its outputs."""
        return self.outputs(self.send(code))


OLD = ("ipykernel==6.31.*",)
"""The last ipykernel before 7, whose event loop is another; with it come the packages that it asks for."""


@pytest.fixture
def kernel(
    cloud: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, install: Callable[..., Path]
) -> Iterator[Kernel]:
    """Give a kernel in a directory of its own, with the counter declared: of the ipykernel installed, or of `old`."""
    old = [str(install("ipykernel-6.31", OLD))] if "old" in getattr(request, "param", ()) else []
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*old, *sys.path]))
    monkeypatch.setenv("IPYTHONDIR", str(cloud / "ipython"))
    made = Kernel(cloud)
    try:
        made.wait()
        for cell in DECLARE:
            assert made.run(cell) == []
        if "nest" in getattr(request, "param", ()):
            made.run("%config Durable.async_mode = 'nest'")
        yield made
    finally:
        made.end()


PRESS = """import ipywidgets
buttons = [w for w in ipywidgets.Widget.widgets.values() if getattr(w, "description", "").startswith("Deploy ")]
for _ in range(3):
    buttons[-1].click()
"""
AWAIT_END = """import threading
for thread in threading.enumerate():
    if thread.name == "notebook-do-deploy":
        thread.join(60)
print(result.ok, len(result.outcomes))
"""


def test_the_plan_and_the_record_are_outputs_of_their_own_before_the_panel(kernel: Kernel) -> None:
    """Issue 16.3: what stays readable without a kernel comes first, and holds the result, put there by the thread.

    Three presses deploy once; `--as` keeps the result.
    """
    plan, record, panel = kernel.run("%durable deploy --as result")
    assert plan["data"]["text/plain"].startswith("Plan")
    assert "application/vnd.jupyter.widget-view+json" in panel["data"]
    assert panel["data"]["text/plain"] == "", "where no widget is drawn the record says all"
    kernel.run(PRESS)
    (printed,) = kernel.run(AWAIT_END)
    assert printed["text"] == "True 3\n"
    (state,) = kernel.run("import notebook_do\nprint(notebook_do.current().recorded().serial)")
    assert state["text"] == "3\n"
    before, running, after = kernel.states(record)
    assert re.match(r"= Not deployed yet\. Plan [0-9a-f]{8} waits for the button below\.", before)
    assert running.startswith("~ Deploying since 2")
    assert after.startswith("✓ Deployed 4 changes to dev on local, 2")
    assert "http://my-worker-dev.localhost" in after
    assert "done  create Worker my-worker-dev" in after
    (gone,) = [u for u in kernel.updates if u["transient"] == panel["transient"]]
    assert gone["data"] == {"text/plain": "", "text/html": ""}, "no dead widget is saved"


def test_the_record_of_a_killed_kernel_is_true(kernel: Kernel) -> None:
    """Issue 16.3: a kernel that ends during a deploy leaves a line that says just that, and how to go on."""
    _, record, _ = kernel.run("%durable deploy")
    kernel.run(SPENT)  # the deploy waits now, as long as anybody likes
    kernel.run(PRESS)
    while len(kernel.states(record)) < 2:
        kernel.run("import time; time.sleep(0.1)")
    kernel.manager.shutdown_kernel(now=True)
    text = " ".join(kernel.states(record)[-1].split())
    assert re.match(r"~ Deploying since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.", text)
    assert text.endswith(
        "If you read this in a saved notebook, the kernel ended first: %durable deploy tells what is done."
    )


def test_a_replaced_panel_names_the_cell_of_the_newer_plan(kernel: Kernel) -> None:
    """Issue 16, row 53: the older record says by which cell it was replaced, with the number that stands beside it."""
    _, record, _ = kernel.run("%durable deploy")
    request = kernel.send("%durable deploy")
    number = kernel.reply(request)["execution_count"]
    kernel.outputs(request)
    assert kernel.states(record)[1:] == [
        f"= This plan was replaced by the one of cell [{number}]; nothing was sent from here."
    ]


def test_queued_cells_all_end(kernel: Kernel) -> None:
    """Run All with verbs, awaits and completions queued together: every cell gets its reply, in order."""
    kernel.run("%durable deploy --as result")
    kernel.run(PRESS)
    kernel.run(AWAIT_END)
    cells = ("%durable plan --quiet", "%durable fetch my-worker / --quiet", "import notebook_do as nd") * 2
    requests = [kernel.send(cell) for cell in cells]
    requests.append(kernel.send("p = await nd.current().aplan()\np.empty"))
    completion = kernel.client.complete("%durable pl", 11)
    requests.append(kernel.send("%durable plan --quiet"))
    statuses = [kernel.reply(request)["status"] for request in requests[:-1]]
    assert statuses == ["ok"] * len(statuses)
    assert kernel.reply(completion)["matches"] == ["plan"]
    assert kernel.reply(requests[-1])["status"] == "ok"


def test_an_interrupt_ends_a_verb_and_leaves_the_session_usable(kernel: Kernel) -> None:
    """Stop in the front-end stops waiting for a slow Worker."""
    kernel.run("%durable deploy --as result")
    kernel.run(PRESS)
    kernel.run(AWAIT_END)
    kernel.interrupt_while_waiting("%durable fetch my-worker /slow")
    # A kernel turns away what comes in the moment after an error, so that queued cells do not run on.
    answers = next(found for _ in range(20) if (found := kernel.run("%durable fetch my-worker /")))
    assert "200 OK" in answers[-1]["data"]["text/plain"].splitlines()[0]


def test_a_live_tail_holds_no_cell_up_and_an_interrupt_or_its_cell_run_again_ends_it(kernel: Kernel) -> None:
    """Issue 15, picture 5b: cells run while it follows; idle, the interrupt ends it; what stays has no widget."""
    kernel.run("import notebook_do as nd, time\nsession = nd.current()\nresult = session.deploy(session.plan())")
    panel, picture = kernel.run_as("one", "%durable logs my-worker --follow")
    assert panel["data"]["text/plain"] == ""
    assert picture["data"]["text/plain"].startswith("Logs of my-worker, since ")
    (answer,) = kernel.run("print(session.fetch('my-worker').text)")
    assert answer["text"] == "1\n"
    _, again = kernel.run_as("one", "%durable logs my-worker --follow")
    until_it_ends(kernel, picture)
    assert len(kernel.states(again)) == 1
    kernel.manager.interrupt_kernel()
    until_it_ends(kernel, again)
    gone = [one["data"] for one in kernel.updates if one["transient"] == panel["transient"]]
    assert gone == [{"text/plain": "", "text/html": ""}], "no dead widget is saved"
    assert "KeyboardInterrupt" not in str(kernel.run("1 + 1"))


def until_it_ends(kernel: Kernel, picture: dict[str, Any]) -> None:
    """Wait until a live tail is what stays of it."""
    for _ in range(300):
        if kernel.states(picture)[-1].startswith("Logs of my-worker, from 2"):
            return
        kernel.run("time.sleep(0.1)")
    raise AssertionError(kernel.states(picture)[-1])


SPENT = """from dataclasses import replace
import time
import notebook_do as nd
from notebook_do.cloudflare.rate import Rate

rate, connecting = Rate(), nd.current().connecting
told = {"ratelimit": '"default";r=0;t=600', "ratelimit-policy": '"default";q=1200;w=300'}
rate.heed(200, told, time.monotonic())

async def connect(real=connecting.connect):
    return replace(await real(), rate=rate)

connecting.connect = connect
"""
"""From now on the API has told this kernel that the requests of this window are spent."""


def test_a_wait_in_a_plan_is_shown_and_an_interrupt_ends_it_with_one_line(kernel: Kernel) -> None:
    """Issue 13.3: who waits for the rate limit, how long and how to stop it; an interrupt ends the plan at once."""
    kernel.run(SPENT)
    request = kernel.send("%durable plan")
    while (message := kernel.client.get_iopub_msg(timeout=60))["msg_type"] != "display_data":
        pass
    text = message["content"]["data"]["text/plain"]
    assert re.fullmatch(r"The plan waits \d+ s: Cloudflare's rate limit: .* \(interrupt the kernel to stop\)", text)
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(request)
    assert reply["ename"] == "Interrupted"
    assert reply["traceback"] == [f"Interrupted: {reply['evalue']}"]
    assert "nothing was changed" in reply["evalue"]
    last = text
    while message["msg_type"] != "error":
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "update_display_data":
            last = message["content"]["data"]["text/plain"]
    assert last == ""


@pytest.mark.thorough
def test_refresh_shows_how_far_it_is_where_a_person_looks_and_leaves_nothing_in_a_file(kernel: Kernel) -> None:
    """Issue 13.2: in an open notebook a line says how many Workers are read; a run that is only saved has none."""
    kernel.run("import notebook_do as nd\nsession = nd.current()\nresult = session.deploy(session.plan())")
    line, _ = kernel.run("%durable plan --refresh")
    assert line["data"]["text/plain"] == "Reading: 1 of 1 Workers"
    (line,) = kernel.run("session.plan(refresh=True).empty or 1 / 0;")
    assert line["data"]["text/plain"] == "Reading: 1 of 1 Workers"
    saved = kernel.outputs(kernel.client.execute("%durable plan --refresh", allow_stdin=False))
    assert [shown["data"]["text/plain"].split()[:2] for shown in saved] == [["=", "Plan"]]
    for silent in ("--json", "--quiet"):
        assert "Reading" not in str(kernel.run(f"%durable plan --refresh {silent}"))


CLICK = """import ipywidgets
clicks = []
button = ipywidgets.Button()
button.on_click(lambda _: clicks.append(session.fetch("my-worker").text))
print(button.comm.comm_id)"""
TROUBLE = re.compile(rb"RuntimeError|already entered|never awaited|was destroyed|Exception in callback|[Cc]annot enter")


@pytest.mark.parametrize(
    "kernel",
    [
        (),
        pytest.param(("nest",), marks=pytest.mark.thorough),
        pytest.param(("old",), marks=[pytest.mark.clients, pytest.mark.thorough]),
        pytest.param(("old", "nest"), marks=[pytest.mark.clients, pytest.mark.thorough]),
    ],
    indirect=True,
    ids=lambda words: "-".join(words) or "as-installed",
)
def test_a_burst_of_cells_completions_and_clicks(kernel: Kernel, cloud: Path) -> None:
    """Run All while a widget is clicked and Tab is pressed: all ends, also after an interrupt; nothing is left undone.

    On both lines of ipykernel, on the background thread and nested in the kernel's own loop.
    """
    kernel.run("import notebook_do as nd, asyncio\nsession = nd.current()\nresult = session.deploy(session.plan())")
    (printed,) = kernel.run(CLICK)
    requests = []
    for number in range(6):
        code = f"await session.afetch('my-worker')\n{number}" if number % 3 == 0 else "%durable plan --quiet"
        requests.append(kernel.send(code))
        kernel.client.complete("%durable pl", 11)
        kernel.click(printed["text"].strip())
    requests.append(kernel.send("len(clicks)"))
    assert [kernel.reply(request)["status"] for request in requests] == ["ok"] * 7
    kernel.interrupt_while_waiting("%durable fetch my-worker /slow")
    answers = next(found for _ in range(20) if (found := kernel.run("%durable fetch my-worker / --json")))
    assert '"status": 200' in answers[-1]["data"]["text/plain"]
    (counted,) = kernel.run("print(len(clicks), set(clicks))")
    assert counted["text"] == "6 {'1'}\n"
    assert not TROUBLE.findall((cloud / "kernel-errors").read_bytes())


@pytest.mark.thorough
def test_a_plan_tells_of_what_a_cell_no_longer_declares(kernel: Kernel) -> None:
    """A cell whose stable ID was edited left the old one declared: the next plan says so, and how to forget it."""
    both = "%durable namespace first --class A --quiet\n%durable namespace second --class B --quiet"
    plain = "%%durable worker first --quiet\nexport default { fetch() { return new Response('') } };"
    for kind, code, place in (("worker", plain, "data"), ("namespace", both, "evalue")):
        kernel.run_as(kind, code)
        assert "is still declared" not in str(kernel.run("%durable plan"))
        kernel.run_as(kind, code.replace("first", "other"))
        (shown,) = (str(output[place]) for output in kernel.run("%durable plan"))
        words = " ".join(shown.replace("\\n", " ").split())
        assert f"{kind} first is still declared, though its cell declares something else now" in words
        assert f"%durable rm {kind} first" in words
        assert "namespace second is still declared" not in words
        kernel.run(f"%durable rm {kind} first")
        assert "is still declared" not in str(kernel.run("%durable plan"))


def test_a_secret_is_asked_for_once_and_without_echo(kernel: Kernel) -> None:
    """A secret of the prompt is asked for by the cell that plans; later plans know it, and `secret` asks anew."""
    source = "export default { fetch(request, env) { return new Response(env.KEY) } };"
    kernel.run(f"%%durable worker asking --secret KEY=prompt --quiet\n{source}")
    request = kernel.send("import notebook_do as nd\nplan = %durable plan")
    assert kernel.answer("first-canary") == {"prompt": "Value of secret KEY: ", "password": True}
    shown = kernel.outputs(request)
    shown += kernel.run("result = nd.current().deploy(plan)")
    shown += kernel.run("again = %durable plan\nprint('empty:', again.empty)")
    assert "empty: True" in str(shown)
    request = kernel.send("%durable secret KEY")
    kernel.answer("second-canary")
    shown += kernel.outputs(request)
    shown += kernel.run(
        "plan = %durable plan\nprint([c.detail for c in plan.changes])\nresult = nd.current().deploy(plan)"
    )
    assert "Secret KEY of asking-dev is changed" in str(shown)
    assert "canary" not in str(shown)
    assert "second-canary" in str(kernel.run("print(nd.current().fetch('asking').text)"))


STOP_THERE = """
import asyncio
from notebook_do.deploy import sender

async def stop_there(*args, **options):
    print("there", flush=True)
    await asyncio.Event().wait()

sender.{place} = stop_there
"""
"""Between the intent in the journal and the request (send), or between the commit and the record of it (verify)."""
LIVE = """
session = notebook_do.current()
namespaces, workers = session.namespace_rows(), session.worker_rows()
print(len(namespaces), len(workers), [row["status"] for row in namespaces], session.fetch("my-worker").text)
"""


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("send", "interrupted before it happened"),
        pytest.param("verify", "interrupted after it; it is recorded now", marks=pytest.mark.thorough),
    ],
)
def test_f41_the_next_kernel_goes_on(kernel: Kernel, cloud: Path, place: str, told: str) -> None:
    """F30, F41: killed before or after the upload was carried out, one Run All ends it; nobody edits or unlocks."""
    kernel.run(STOP_THERE.format(place=place))
    kernel.run("%durable deploy --as result")
    kernel.send(PRESS)
    printed = ""
    while "there\n" not in printed:
        message = kernel.client.get_iopub_msg(timeout=60)
        assert message["msg_type"] != "error", message["content"]
        printed += message["content"].get("text", "")
    journal = next(cloud.rglob("journal.jsonl")).read_text()
    assert '"is":"intent"' in journal
    assert '"is":"end"' not in journal
    kernel.manager.signal_kernel(signal.SIGKILL)
    after = Kernel(cloud)
    try:
        after.wait()
        go_on(after, told)
    finally:
        after.end()


def go_on(kernel: Kernel, told: str) -> None:
    """Run the whole notebook once more, in the kernel that comes after; press where there is something to do."""
    for cell in DECLARE:
        assert kernel.run(cell) == []
    (plan,) = kernel.run("%durable plan")
    assert told in " ".join(plan["data"]["text/plain"].split())
    (opened, *_) = kernel.run("%durable deploy --as result")
    assert opened["data"]["text/plain"].startswith("Plan")
    kernel.run(PRESS)
    (printed,) = kernel.run(AWAIT_END)
    assert printed["text"].startswith("True ")
    (empty,) = kernel.run("import notebook_do\nprint(notebook_do.current().plan().empty)")
    assert empty["text"] == "True\n"
    (live,) = kernel.run(LIVE)
    assert live["text"] == "1 1 ['live'] 1\n"
