"""What is wrong with one Worker stays with that Worker; what it says and throws is told under its name."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.local.runtime.spec import ModuleFile, ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.local.runtime.spec import RunnableWorker

NS = "0" * 31 + "4"
HELLO = 'export default { fetch() { return new Response("hello"); } };'
CALLS = """
export default {
  async fetch(request, env) {
    try { return new Response(String(await env.PEER.greet())); } catch (error) { return new Response(error.message); }
  },
};
"""


def test_a_broken_neighbour_is_stood_in_for(play: Callable[..., None]) -> None:
    """A Worker that does not start says why at its own address; the Worker that is tied to it runs."""

    async def story(stage: Any) -> None:
        stage.put("broken", "export default {\n  fetch( {")
        stage.put("page", HELLO, bindings=({"type": "service", "name": "PEER", "service": "broken"},))
        assert await stage.text("page") == "hello"
        answer = await stage.call("broken")
        assert answer.status_code == 500
        assert answer.text.startswith('Worker "broken" does not start: Uncaught SyntaxError: ')
        assert "at index.js:2:" in answer.text

    play(story)


def test_two_broken_neighbours_are_stood_in_for(play: Callable[..., None]) -> None:
    """However many Workers of an island are broken, the others run."""
    both = tuple({"type": "service", "name": n.upper(), "service": n} for n in ("one", "two"))

    async def story(stage: Any) -> None:
        stage.put("one", "throw new Error('boom');")
        stage.put("two", "import './nowhere.js';")
        stage.put("page", HELLO, bindings=both)
        assert await stage.text("page") == "hello"
        assert "boom" in (await stage.call("one")).text
        assert 'No such module "nowhere.js"' in (await stage.call("two")).text

    play(story)


def test_an_entrypoint_that_is_gone_fails_only_where_it_is_used(play: Callable[..., None]) -> None:
    """A binding to a named entrypoint that its Worker no longer exports throws when it is called."""
    binding = {"type": "service", "name": "PEER", "service": "host", "entrypoint": "Gone"}

    async def story(stage: Any) -> None:
        stage.put("host", HELLO)
        stage.put("page", CALLS, bindings=(binding,))
        assert await stage.text("host") == "hello"
        assert 'refers to service "host" with a named entrypoint "Gone"' in await stage.text("page")

    play(story)


TIE = {"type": "service", "name": "TIE", "service": "other"}
"""Workers that are tied to one run in one process, whose start is most of such a test."""
ABSENT: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"type": "service", "service": "nobody"}, "fetch('http://x/')", 'there is no Worker "nobody"'),
    ({"type": "service", "service": "nobody"}, "greet()", 'there is no Worker "nobody"'),
    (
        {"type": "durable_object_namespace", "class_name": "Counter", "script_name": "nobody"},
        "idFromName('a')",
        'there is no Worker "nobody"',
    ),
    (
        {"type": "durable_object_namespace", "class_name": "Nope", "script_name": "other"},
        "getByName('a').greet()",
        'Worker "other" has no namespace of class Nope',
    ),
    ({"type": "vectorize", "index_name": "i"}, "query([1])", "a Vectorize index (binding type vectorize) is not"),
)


def test_what_is_bound_but_not_there_says_so(play: Callable[..., None]) -> None:
    """Using a binding whose target is missing throws an error that names it; the Worker itself runs."""

    async def story(stage: Any) -> None:
        stage.put("other", HELLO)
        for number, (binding, use, _) in enumerate(ABSENT):
            source = CALLS.replace("greet()", use)
            stage.put(f"page-{number}", source, bindings=({"name": "PEER", **binding}, TIE))
        for number, (_, _, message) in enumerate(ABSENT):
            assert message in await stage.text(f"page-{number}")

    play(story)


def test_logs_and_exceptions_arrive_under_the_workers_name(play: Callable[..., None]) -> None:
    """console.log and an uncaught exception arrive as trace items that carry the script's name."""
    source = """
    export default { async fetch(request) { console.log("said", { a: 1 }); throw new TypeError("thrown"); } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", source)
        assert (await stage.call("page", "/here")).status_code == 500
        item = await stage.event("page", lambda item: item["outcome"] == "exception")
        assert item["scriptName"] == "page"
        assert item["logs"][0]["message"] == ["said", {"a": 1}]
        assert (item["exceptions"][0]["name"], item["exceptions"][0]["message"]) == ("TypeError", "thrown")
        assert item["event"]["request"]["url"] == f"http://{stage.host('page')}/here"

    play(story)


def test_a_flood_of_output_hangs_nothing(play: Callable[..., None]) -> None:
    """A Worker that writes megabytes to its console goes on answering."""
    source = 'export default { fetch() { console.log("x".repeat(2 ** 20)); return new Response("hello"); } };'

    async def story(stage: Any) -> None:
        stage.put("page", source)
        for _ in range(8):
            assert await stage.text("page") == "hello"

    play(story)


def test_cron_runs_by_hand(play: Callable[..., None]) -> None:
    """A `scheduled` handler runs when told, with the cron and the time given; what it throws is its outcome."""
    source = """
    export default { async scheduled(event) {
      console.log("cron", event.cron, event.scheduledTime);
      if (event.cron === "bad") throw new Error("no");
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("timer", source)
        assert (await stage.runtime.run_cron("timer", "*/5 * * * *", at=1000.0))["outcome"] == "ok"
        item = await stage.logged("timer", "cron")
        assert item["logs"][0]["message"] == ["cron", "*/5 * * * *", 1_000_000]
        assert (await stage.runtime.run_cron("timer", "bad"))["outcome"] == "exception"
        with pytest.raises(KeyError):
            await stage.runtime.run_cron("nobody", "* * * * *")

    play(story)


def test_a_hosted_class_needs_no_binding(play: Callable[..., None]) -> None:
    """A class that is hosted but bound nowhere is reachable through ctx.exports."""
    source = """
    import { DurableObject } from "cloudflare:workers";
    export class Free extends DurableObject { greet() { return "free"; } }
    export default { async fetch(r, env, ctx) { return new Response(await ctx.exports.Free.getByName("a").greet()); } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", source, hosts={"Free": NS}, compatibility_flags=("enable_ctx_exports",))
        assert await stage.text("page") == "free"

    play(story)


TEXTS = ('"', "\\", '"), (name = "x', "\n\0\x7f\u2028", "ü \N{SNOWMAN}", "#", '\' embed "/etc/passwd"')


def test_values_arrive_as_they_are(play: Callable[..., None]) -> None:
    """Whatever a variable, a JSON value or a binding's name holds, the Worker gets exactly that and nothing else."""
    source = "export default { fetch(request, { TIE, ...env }) { return Response.json(env); } };"

    async def story(stage: Any) -> None:
        stage.put("other", HELLO)
        for number, text in enumerate(TEXTS):
            bindings = (
                {"type": "plain_text", "name": "TEXT", "text": text},
                {"type": "secret_text", "name": "SECRET", "text": text},
                {"type": "json", "name": "JSON", "json": {text: [text, None, 1.5, True]}},
                {"type": "plain_text", "name": text, "text": "named"},
                TIE,
            )
            stage.put(f"page-{number}", source, bindings=bindings)
        for number, text in enumerate(TEXTS):
            found = (await stage.call(f"page-{number}")).json()
            assert found == {"TEXT": text, "SECRET": text, "JSON": {text: [text, None, 1.5, True]}, text: "named"}

    play(story)


def test_a_module_may_have_any_name(play: Callable[..., None], tmp_path: Path) -> None:
    """A module of any name is read from its own file, and no other file appears for it."""
    names = ("a/b.js", "a b.js", 'q".js', "ü.js", "con", "%2e%2e/x.js", "a\\..\\b.js")

    async def story(stage: Any) -> None:
        stage.put("other", HELLO)
        for number, name in enumerate(names):
            stage.put(f"page-{number}", HELLO, modules=with_module(stage, tmp_path, name), bindings=(TIE,))
        before = names_in(tmp_path)
        for number, name in enumerate(names):
            assert await stage.text(f"page-{number}") == "hello", name
        assert names_in(tmp_path) == before

    play(story)


def test_a_module_name_that_leads_out_is_refused(play: Callable[..., None], tmp_path: Path) -> None:
    """A module name that would leave the Worker is refused in one line, by the trial boot and at its address."""

    async def story(stage: Any) -> None:
        for number, name in enumerate(("..", "../../x.js", "/etc/x.js", "a/../b.js")):
            worker = stage.put(f"page-{number}", HELLO, modules=with_module(stage, tmp_path, name))
            with pytest.raises(ScriptInvalid, match="must not begin with"):
                await stage.runtime.trials.check(worker)
            assert "must not begin with" in (await stage.call(worker.name)).text

    play(story)


def with_module(stage: Any, folder: Path, name: str) -> tuple[ModuleFile, ...]:
    """Give the modules of a Worker with one more of this name."""
    other = folder / "blob"
    other.write_text("export default 1;")
    extra = ModuleFile(name=name, content_type="application/javascript+module", path=other)
    return (*stage.make("page", HELLO).modules, extra)


def names_in(folder: Path) -> set[str]:
    """List a folder."""
    return {path.name for path in folder.iterdir()}


LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "0x7f000001")
AROUND = ("10.0.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1", "[fd00::1]", "[fe80::1]")


def test_a_worker_cannot_reach_this_machine(play: Callable[..., None]) -> None:
    """Whatever it is called, loopback is out of a Worker's reach: the connection is never made."""
    source = """
    export default { async fetch(request) {
      try { return new Response((await fetch(await request.text())).status); }
      catch (e) { return new Response("refused"); }
    } };
    """
    reached: list[Any] = []

    async def story(stage: Any) -> None:
        server = await asyncio.start_server(lambda _reader, writer: (reached.append(1), writer.close()), None, 0)
        port = server.sockets[0].getsockname()[1]
        stage.put("page", source)
        for place in LOOPBACK:
            assert await stage.text("page", method="POST", content=f"http://{place}:{port}/") == "refused", place
        server.close()
        assert reached == []

    play(story)


def test_a_worker_cannot_reach_the_network_around(play: Callable[..., None]) -> None:
    """Private, link-local and metadata addresses are refused at once, not after a timeout."""
    source = """
    export default { async fetch(request) {
      try { return new Response((await fetch(await request.text())).status); }
      catch (e) { return new Response("refused"); }
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", source)
        await stage.call("page")  # its process starts
        for address in AROUND:
            async with asyncio.timeout(60):  # a connection that nobody answers takes two minutes
                assert await stage.text("page", method="POST", content=f"http://{address}/") == "refused", address

    play(story)


def test_nothing_leaks_to_the_process(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workerd gets no environment and no secret in its arguments; no file holds its configuration."""
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "token-of-mine")

    async def story(stage: Any) -> None:
        stage.put("page", HELLO, bindings=({"type": "secret_text", "name": "S", "text": "secret-of-mine"},))
        await stage.text("page")
        proc = Path(f"/proc/{stage.pid('page')}")
        assert (proc / "environ").read_bytes() == b""
        assert b"of-mine" not in (proc / "cmdline").read_bytes()
        assert os.getpgid(stage.pid("page")) == stage.pid("page")
        left = [path for path in stage.data.rglob("*") if path.is_file() and b"secret-of-mine" in path.read_bytes()]
        assert left == []
        soft = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max open files"))
        assert int(soft.split()[3]) >= 4096

    play(story)


def test_workerd_dies_with_its_parent(
    play: Callable[..., None], workerd: Path, make_worker: Callable[..., RunnableWorker], tmp_path: Path
) -> None:
    """When the process that runs the runtime is killed, its workerd is gone too."""
    module = make_worker("page", HELLO).modules[0].path
    script = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from notebook_do.local.runtime.runtime import Runtime
        from notebook_do.local.runtime.spec import ModuleFile, RunnableWorker
        module = ModuleFile(name="i.js", content_type="application/javascript+module", path=Path({str(module)!r}))
        worker = RunnableWorker(name="page", version="1", main_module="i.js", modules=(module,))
        async def main():
            runtime = Runtime(data=Path({str(tmp_path / "data")!r}), workerd=Path({str(workerd)!r}),
                              workers=lambda: [worker], events=lambda s, e: None)
            async with runtime.lease("page"):
                print(runtime._by_script["page"].process.pid, flush=True)
                await asyncio.Event().wait()
        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        parent.kill()
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    assert waiting.poll(60_000), "workerd outlived its parent"
    os.close(handle)


def test_an_orphan_is_ended_before_its_directory_is_used(
    play: Callable[..., None], workerd: Path, tmp_path: Path
) -> None:
    """A workerd that outlived its runtime is gone when the next runtime of that directory has started."""
    run = tmp_path / "data" / "run"
    former = run / "config-left"
    former.mkdir(parents=True)
    config = former / "config.capnp"
    config.write_text("""
        using Workerd = import "/workerd/workerd.capnp";
        const config :Workerd.Config = (
          services = [(name = "x", disk = (path = "/"))],
          sockets = [(name = "x", address = "unix:x", http = (), service = "x")],
        );
    """)
    with subprocess.Popen([workerd, "serve", "--control-fd=1", config], stdout=subprocess.PIPE, cwd=former) as orphan:
        assert orphan.stdout is not None
        assert b"listen" in orphan.stdout.readline()

        async def story(stage: Any) -> None:
            stage.put("page", HELLO)
            assert await stage.text("page") == "hello"

        play(story)
        assert orphan.wait(60) == -signal.SIGKILL
