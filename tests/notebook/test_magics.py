"""Every verb in a real shell, on the real local Cloudflare."""

from __future__ import annotations

import atexit
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from notebook_do.errors import (
    CommandError,
    ConsentRequired,
    CredentialError,
    DeclarationError,
    DurableError,
    PlanRefused,
    StalePlan,
)
from notebook_do.local.process import launch
from notebook_do.notebook import verbs
from notebook_do.notebook.parsing import uncommented
from notebook_do.sessions.opening import current, open_session

COUNTER = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async fetch(request) {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return Response.json({ n, method: request.method, said: await request.text() });
  }
}
export default {
  fetch(request, env) { return env.COUNTER.get(env.COUNTER.idFromName("a")).fetch(request); }
};
"""


def run(ip: InteractiveShell, code: str) -> Any:
    """Run a cell and give its result; an error is raised as it was."""
    result = ip.run_cell(code)
    result.raise_error()
    return result.result


def declare(ip: InteractiveShell, source: str = COUNTER, class_name: str = "Counter") -> None:
    """Open the session where none is open, and declare the counter."""
    if "session" not in ip.user_ns:
        run(ip, "%durable session tour --as session")
    run(ip, f"%durable namespace counter --class {class_name} --quiet")
    body = source.replace("class Counter", f"class {class_name}")
    run(ip, f"%%durable worker my-worker --bind COUNTER=counter --quiet\n{body}")


def approve(ip: InteractiveShell, verb: str = "deploy", confirm: str = "") -> Any:
    """Make the plan and approve it, as a person would who read it."""
    plan = current().plan() if verb == "deploy" else current().destroy(*verb.split()[1:])
    return run(ip, f"%durable {verb} --approve {plan.digest} {confirm}")


def test_the_docstring_lists_every_verb(ip: InteractiveShell) -> None:
    """`%durable?` shows the table of verbs."""
    shown = ip.object_inspect_text("%durable")
    assert all(f"{verb.name}  " in shown and verb.brief in shown for verb in verbs.VERBS)


def test_without_a_session_the_bare_magic_shows_how_to_begin(ip: InteractiveShell, cloud: Path) -> None:
    """Nobody has to look up the first line."""
    assert "%durable session tour" in str(run(ip, "%durable"))


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("%durable plaan", CommandError, 'did you mean "plan"?'),
        ("%durable plan", CommandError, "no session is open"),
        ("%durable session x --stge dev", CommandError, 'did you mean "--stage"?'),
        ("%durable session 'a b'", CommandError, "use letters, digits"),
        ("%%durable plan\nx", CommandError, "takes no cell body"),
        ("%durable session x --as 1x", CommandError, "name of a variable"),
        ("%durable namespace", CommandError, "no id is given"),
    ],
)
def test_a_mistake_is_one_line(
    ip: InteractiveShell, cloud: Path, capsys: pytest.CaptureFixture[str], *, code: str, kind: type, said: str
) -> None:
    """No traceback, and the cell has failed, so that a runner stops."""
    with pytest.raises(kind) as error:
        run(ip, code)
    assert said in str(error.value)
    printed = capsys.readouterr().out.strip()
    assert printed == f"{kind.__name__}: {error.value}"


def test_short_errors_can_be_switched_off(ip: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """`%config Durable.short_errors = False` shows where an error came from."""
    run(ip, "%config Durable.short_errors = False")
    with pytest.raises(CommandError):
        run(ip, "%durable plaan")
    assert "Traceback" in capsys.readouterr().err


def test_async_mode_is_a_setting(ip: InteractiveShell) -> None:
    """The setting reaches the bridge."""
    from notebook_do.bridge import bridge

    try:
        run(ip, "%config Durable.async_mode = 'nest'")
        assert bridge.mode == "nest"
    finally:
        run(ip, "%config Durable.async_mode = 'thread'")
    assert bridge.mode == "thread"


def of_shell(ip: InteractiveShell, older: frozenset[threading.Thread]) -> dict[str, Any]:
    """Say what a shell and this process hold: its magics, callbacks, open files, and threads but the `older` ones."""
    return {
        "magics": {kind: sorted(found) for kind, found in ip.magics_manager.magics.items()},
        "registry": sorted(ip.magics_manager.registry),
        "configurables": [type(c).__name__ for c in ip.configurables],
        "matchers": len(ip.Completer.custom_matchers),
        "events": {name: len(found) for name, found in ip.events.callbacks.items()},
        "hooks": {name: str(hook) for name, hook in ip.hooks.items()},
        "threads": sorted(t.name for t in threading.enumerate() if t not in older),
        "at exit": atexit._ncallbacks(),
        "files": sorted(str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_file()),
    }


def test_unloading_leaves_nothing_behind(own_cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that used the extension is, after unload, as it was; twice reloaded it has one of everything."""
    monkeypatch.setitem(launch.ensure.__kwdefaults__, "linger", 0.2)
    ip = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    older = frozenset(threading.enumerate())  # other tests' servers may end meanwhile
    extensions, before = ip.extension_manager, of_shell(ip, older)
    extensions.load_extension("notebook_do")
    loaded = of_shell(ip, older)
    extensions.reload_extension("notebook_do")
    extensions.reload_extension("notebook_do")
    assert of_shell(ip, older) == loaded
    declare(ip)
    run(ip, "%durable plan --quiet")
    assert "notebook-do" in of_shell(ip, older)["threads"]
    extensions.unload_extension("notebook_do")
    for reaper in [t for t in threading.enumerate() if t.name == "notebook-do-local" and t not in older]:
        reaper.join(60)
    assert launch.status() is None, "the local server that this process started ends: it was its last user"
    assert of_shell(ip, older) == before
    extensions.load_extension("notebook_do")
    assert not run(ip, "p = %durable plan\np").empty, "the session kept its declarations"
    extensions.unload_extension("notebook_do")


def test_braces_and_dollars_arrive_untouched(ip: InteractiveShell, cloud: Path) -> None:
    """IPython's expansion never touches a line or a source."""
    run(ip, "%durable session tour --quiet")
    source = "export default { fetch() { return new Response(`{x} ${1 + 1} $HOME {{y}}`) } }\n"
    run(ip, "x = 'oops'")
    worker = run(ip, f"%%durable worker w --var 'A={{x}} $HOME $x'\n{source}")
    assert worker.script == source
    assert worker.bindings["A"].text == "{x} $HOME $x"


def test_only_py_references_in_toml_values_are_filled(ip: InteractiveShell, cloud: Path) -> None:
    """`${py:NAME}` takes a variable; everything else stays."""
    run(ip, "%durable session tour --quiet")
    run(ip, "greeting = 'hello'")
    declared = run(
        ip, "%%durable\n[workers.w]\nscript = '''`x ${y}`'''\n[workers.w.bindings]\nG = '${py:greeting}'\nH = '{z}'\n"
    )
    assert declared.script == "`x ${y}`"
    assert (declared.bindings["G"].text, declared.bindings["H"].text) == ("hello", "{z}")


def test_errors_count_lines_as_a_person_does(ip: InteractiveShell, cloud: Path) -> None:
    """The line is that of the cell, for a line among others and for a body."""
    run(ip, "%durable session tour --quiet")
    with pytest.raises(DurableError) as first:
        run(ip, "x = 1\n\n%durable namespace 'a b' --class Counter")
    assert first.value.line == 3
    with pytest.raises(DeclarationError) as second:
        run(ip, "%%durable\n[namespaces.a]\nclass_name = 'A'\n[namespaces.b]\nclas_name = 'B'\n")
    assert second.value.line in (4, 5)
    assert "class_name" in str(second.value)


def test_as_keeps_json_writes_and_quiet_hides(ip: InteractiveShell, cloud: Path) -> None:
    """The three options of every verb."""
    assert run(ip, "%durable session tour --as where") is None
    assert ip.user_ns["where"].session == "tour"
    assert run(ip, "%durable session tour --quiet") is None
    assert json.loads(run(ip, "%durable --json"))["stage"] == "dev"
    declare(ip)
    plan = json.loads(run(ip, "text = %durable plan --json\ntext"))
    assert plan["digest"] == current().plan().digest
    assert run(ip, "%durable namespace counter --class Counter").class_name == "Counter"


def test_json_is_one_object_whatever_happens(ip: InteractiveShell, cloud: Path, capsys: Any) -> None:
    """A deploy that waits, one that was sent, an import, an export: no table, no progress, only JSON."""
    declare(ip)
    capsys.readouterr()
    waits = json.loads(run(ip, "text = %durable deploy --json\ntext"))
    assert waits["sent"] is False
    assert waits["approve"] == f"%durable deploy --approve {waits['plan']['digest']}"
    with pytest.raises(StalePlan):
        run(ip, "%durable deploy --approve 0123456789abcdef --json")
    sent = json.loads(run(ip, f"text = {waits['approve']} --json\ntext"))
    assert [o["status"] for o in sent["outcomes"]] == ["done", "done", "done"]
    assert sent["deployed"]["my-worker"]["url"].startswith("http://my-worker-dev.localhost:")
    files = json.loads(run(ip, "text = %durable export types --json\ntext"))["files"]
    assert files == ["types/my-worker/worker-configuration.d.ts"]
    assert json.loads(run(ip, "text = %durable state unlock --json\ntext")) == {"holder": None}
    assert json.loads(run(ip, "text = %durable rm worker my-worker --json\ntext"))["forgotten"]["id"] == "my-worker"
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line for line in printed if not line.startswith(("Out[", "{", "}", " ", "StalePlan"))] == []


@pytest.mark.parametrize("line", ["deploy", "destroy my-worker"])
def test_the_magic_takes_a_digest_and_not_safe(ip: InteractiveShell, cloud: Path, line: str) -> None:
    """Issue 13.8: in a notebook a plan is read before it is approved; `--approve safe` is refused before any plan."""
    declare(ip)
    with pytest.raises(CommandError, match=r"--approve takes the digest of a plan .* notebook-do deploy FILE"):
        run(ip, f"%durable {line} --approve safe")
    assert not (cloud / ".notebook_do").exists()


def test_quiet_hides_all_but_what_waits_for_approval(ip: InteractiveShell, cloud: Path, capsys: Any) -> None:
    """A plan that needs an approval is shown with the line that gives it; the approved deploy shows nothing."""
    declare(ip)
    run(ip, "%durable plan --quiet")
    assert capsys.readouterr().out == ""
    run(ip, "%durable deploy --quiet --as waiting")
    shown = capsys.readouterr().out
    assert "Plan for dev on local: 4 changes" in shown
    assert ip.user_ns["waiting"].approve in shown
    run(ip, f"{ip.user_ns['waiting'].approve} --quiet --as result")
    assert capsys.readouterr().out == ""
    assert ip.user_ns["result"].ok


def test_the_whole_way(ip: InteractiveShell, cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Declare, plan, approve, fetch; rename and keep the data; nothing to do; destroy only with its phrase."""
    declare(ip)
    plan = run(ip, "plan = %durable plan\nplan")
    assert plan.df["action"].tolist().count("create") == 3
    assert run(ip, "%durable deploy") is not None
    assert f"--approve {plan.digest}" in capsys.readouterr().out
    assert current().recorded().serial == 0
    with pytest.raises(StalePlan, match=plan.digest) as stale:
        run(ip, "%durable deploy --approve 0123456789abcdef")
    assert stale.value.plan is not None
    result = approve(ip)
    assert result.ok
    assert str(result["my-worker"].url).endswith(
        f"my-worker-dev.localhost:{str(result['my-worker'].url).rsplit(':', 1)[1]}"
    )
    assert run(ip, "%durable fetch my-worker /").json()["n"] == 1
    answer = run(ip, """%durable fetch my-worker /x --data '{"a": 1}' --header X-A:b""")
    assert answer.json() == {"n": 2, "method": "POST", "said": '{"a": 1}'}
    assert '"n": 2' in str(answer)
    declare(ip, class_name="MyCounter")
    assert approve(ip).ok
    assert run(ip, "%durable fetch my-worker / --method put").json() == {"n": 3, "method": "PUT", "said": ""}
    assert "nothing to do" in str(run(ip, "%durable deploy"))
    assert approve(ip).empty
    for what in ("namespaces", "workers", "bindings", "migrations", "state"):
        assert str(run(ip, f"%durable show {what}"))
    with pytest.raises(PlanRefused, match="protected"):
        run(ip, "%durable destroy my-worker")
    run(ip, "%durable namespace counter --class MyCounter --unprotect --quiet")
    phrase = current().destroy("my-worker").consents[0].phrase
    with pytest.raises(ConsentRequired, match="Nothing was sent"):
        approve(ip, "destroy my-worker")
    assert approve(ip, "destroy my-worker", f"--confirm '{phrase}'").ok
    assert current().recorded().namespaces == ()


def test_a_stale_approval_of_what_is_refused_now_offers_no_other_approval(ip: InteractiveShell, cloud: Path) -> None:
    """It says that the plan is refused and what is to be decided: there is no digest that would send it."""
    declare(ip)
    assert approve(ip).ok
    other = COUNTER.replace("class Counter", "class Other")
    run(ip, f"%%durable worker my-worker --bind COUNTER=counter --quiet\n{other}")
    for verb in ("destroy counter", "deploy"):
        with pytest.raises(StalePlan, match="nothing was sent") as error:
            run(ip, f"%durable {verb} --approve 0123456789abcdef")
        assert "The plan as it is now is refused; decide first, then plan again: " in str(error.value)
        assert "--approve" not in str(error.value)
        assert error.value.plan is not None
        first = error.value.plan.refusals[0]
        assert f"{first.subject} ({first.code})" in str(error.value)
        assert first.message not in str(error.value), "it stands in the plan above"


@pytest.mark.parametrize("confirm", ["", "--confirm 'destroy counter'"])
def test_nothing_says_that_it_is_sent_before_its_phrase_is_checked(
    ip: InteractiveShell, cloud: Path, capsys: pytest.CaptureFixture[str], confirm: str
) -> None:
    """Without its phrase, or with a wrong one, an approved destroy is only shown, with the line that allows it."""
    declare(ip)
    assert approve(ip).ok
    run(ip, "%durable namespace counter --class Counter --unprotect --quiet")
    plan = current().destroy("my-worker")
    capsys.readouterr()
    with pytest.raises(ConsentRequired, match="Nothing was sent") as error:
        approve(ip, "destroy my-worker", confirm)
    assert "Destroying" not in capsys.readouterr().out
    line = f"%durable destroy my-worker --approve {plan.digest} --confirm '{plan.consents[0].phrase}'"
    assert str(error.value).endswith(f"To allow it and send exactly this plan: {line}")
    assert run(ip, line).ok, "the line can be pasted as it is"


def test_a_fault_of_the_script_is_one_line_with_its_place(ip: InteractiveShell, cloud: Path) -> None:
    """What only V8 finds wrong is told with workerd's message; the plan stays undeployed."""
    declare(ip, COUNTER.replace("Response.json(", "Response.json(/(/, "))
    with pytest.raises(DurableError) as error:
        approve(ip)
    assert "SyntaxError" in str(error.value)
    assert error.value._render_traceback_() == [f"{type(error.value).__name__}: {error.value}"]
    assert "Not done" not in str(error.value), "the steps stand in the record above it"
    assert str(error.value.result).count("Uncaught SyntaxError") == 1


def test_approval_in_advance_presses_for_plans_that_lose_nothing(
    ip: InteractiveShell, cloud: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`notebook-do run --deploy` deploys creations, and never a deletion."""
    monkeypatch.setenv("NOTEBOOK_DO_DEPLOY", "press")
    declare(ip)
    assert run(ip, "%durable deploy").ok
    run(ip, "%durable namespace counter --class Counter --unprotect --quiet")
    with pytest.raises(ConsentRequired, match="--confirm"):
        run(ip, "%durable destroy my-worker")
    assert len(current().recorded().workers) == 1


def test_rm_forgets_a_declaration_and_nothing_live(ip: InteractiveShell, cloud: Path) -> None:
    """A wrong id is answered with the nearest one."""
    declare(ip)
    with pytest.raises(CommandError, match='did you mean "my-worker"'):
        run(ip, "%durable rm worker my-wrker")
    assert "stays as it is" in str(run(ip, "%durable rm worker my-worker"))
    assert not current().catalog.workers


def test_destroy_of_an_unknown_thing_is_answered_with_the_nearest(ip: InteractiveShell, cloud: Path) -> None:
    """Nothing is planned for a typo."""
    declare(ip)
    with pytest.raises(CommandError, match='did you mean "counter"'):
        run(ip, "%durable destroy conter")


def test_a_form_needs_widgets(ip: InteractiveShell, cloud: Path) -> None:
    """Without a person in front of it, a form says how to do without."""
    declare(ip)
    assert "%durable worker -h" in str(run(ip, "%durable form worker"))


def test_a_changed_stable_id_is_seen_when_it_is_declared(ip: Any, cloud: Path) -> None:
    """The same class under a second stable ID is warned of at once, before any plan."""
    ip.run_cell("%durable session s")
    ip.run_cell("%durable namespace counter --class Counter")
    result = ip.run_cell("%durable namespace tally --class Counter").result
    text = result._repr_mimebundle_()["text/plain"]
    assert "counter, tally" in " ".join(text.split())
    assert "renamed_from" in text


def test_f53_the_session_says_how_it_locks(ip: InteractiveShell, cloud: Path) -> None:
    """F53: `--lock cas-only` is taken by the magic and by Python alike, is another session, and has no third value."""
    run(ip, "%durable session tour --quiet")
    first = current()
    assert first.state.locking == "exclusive"
    run(ip, "%durable session tour --lock cas-only --quiet")
    second = current()
    assert second is not first
    assert second.state.locking == "cas-only"
    assert open_session("tour", lock="cas-only") is second
    with pytest.raises(CommandError, match="known are exclusive, cas-only"):
        open_session("tour", lock="none")  # type: ignore[arg-type]


def test_fetch_of_a_name_that_is_nowhere_is_answered_with_the_nearest(ip: InteractiveShell, cloud: Path) -> None:
    """A typo is no 404 of somebody's Worker; a live script that this session does not know can be called."""
    run(ip, "%durable session tour --quiet")
    with pytest.raises(CommandError, match="no Worker my-worker is declared or live; deploy it first"):
        run(ip, "%durable fetch my-worker /")
    declare(ip)
    with pytest.raises(CommandError) as declared:
        run(ip, "%durable fetch my-worker /")
    assert str(declared.value) == "fetch: Worker my-worker is declared and not deployed yet; first: %durable deploy"
    approve(ip)
    with pytest.raises(CommandError, match="no Worker my-wrker is declared or live; did you mean my-worker"):
        run(ip, "%durable fetch my-wrker /")
    run(ip, "%durable session other --quiet")
    assert run(ip, "%durable fetch my-worker-dev /").json()["n"] == 1


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("fetch my-worker /", "Worker my-worker"),
        ("logs my-worker", "Worker my-worker"),
        ("call counter a increment", "namespace counter"),
        ("objects counter", "namespace counter"),
        ("put counter a n 1", "namespace counter"),
    ],
)
def test_what_is_asked_below_a_plan_that_waits_is_no_mistake(
    ip: InteractiveShell, cloud: Path, line: str, what: str
) -> None:
    """All cells of a new notebook are run at once: nothing is asked before the plan is sent, and no cell fails."""
    declare(ip)
    with pytest.raises(CommandError, match=f"{what} is declared and not deployed yet; first: %durable deploy"):
        run(ip, f"%durable {line}")
    digest = current().plan().digest
    run(ip, "%durable deploy")
    said = str(run(ip, f"%durable {line}")).strip()
    assert said == f"= Nothing was asked: {what} is not deployed yet. Plan {digest[:8]} above waits to be sent."
    with pytest.raises(CommandError, match=r"did you mean|deploy it first"):
        run(ip, f"%durable {line.replace('counter', 'countr').replace('my-worker', 'my-wrker')}")


def test_require_names_what_is_missing_and_shows_no_value(
    ip: InteractiveShell, cloud: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runbook stops in its first cell; a value that was written there by mistake is not repeated."""
    monkeypatch.setenv("NEEDED", "canary-7c1e")
    assert "NEEDED" in str(run(ip, "%durable require env NEEDED"))
    with pytest.raises(CommandError, match="not set in the environment: ABSENT, CLOUDFLARE_API_TOKEN"):
        run(ip, "%durable require env ABSENT NEEDED CLOUDFLARE_API_TOKEN")
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "canary-7c1e" * 3)
    run(ip, "%durable require env CLOUDFLARE_API_TOKEN NEEDED")
    with pytest.raises(CommandError, match="write names only"):
        run(ip, "%durable require env NEEDED=canary-7c1e")
    assert "canary-7c1e" not in capsys.readouterr().out


@pytest.mark.parametrize("lang", ["js", "ts"])
def test_a_fault_of_a_script_in_toml_names_the_line_of_the_cell(ip: InteractiveShell, cloud: Path, lang: str) -> None:
    """Workerd's and esbuild's lines are the script's; what is told is the cell's, when it is declared and when sent."""
    run(ip, "%durable session tour --quiet")
    script = "export default {\n  fetch() {\n    return new Response('x') +;\n  },\n};"
    cell = f"%%durable --quiet\n\n[workers.w]\nlang = '{lang}'\nscript = '''\n{script}\n'''\n"
    with pytest.raises(DurableError) as told:
        run(ip, cell)
    assert told.value.line == 8
    run(ip, cell.replace("new Response('x') +;", "new Response(/(/);"))
    with pytest.raises(DurableError) as error:
        approve(ip)
    # workerd has the line of what was bundled: of TypeScript only the plain script's is the cell's
    assert lang == "ts" or error.value.line == 8


def test_a_session_that_cannot_be_opened_leaves_the_one_before(ip: InteractiveShell, cloud: Path) -> None:
    """Without a token, or with a state file that cannot be read, the open session and its declarations stay."""
    declare(ip)
    before = current()
    with pytest.raises(CredentialError):
        run(ip, "%durable session other --target cloudflare")
    Path("broken.json").write_text("{")
    with pytest.raises(DurableError, match=r"broken\.json"):
        run(ip, "%durable session other --state broken.json")
    assert current() is before
    assert set(before.catalog.workers) == {"my-worker"}
    approve(ip)
    assert run(ip, "%durable fetch my-worker /").json()["n"] == 1


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("deploy   # the plan, and a button", "deploy"),
        ("plan;  # don't show it", "plan;"),
        ("# all of it", ""),
        ("fetch w /a#b", "fetch w /a#b"),
        ("worker w --var C=#fff # white", "worker w --var C=#fff"),
        ("worker w --var 'C= # x' # y", "worker w --var 'C= # x'"),
        ('fetch w --data " # \\" # x"#y', 'fetch w --data " # \\" # x"#y'),
        ("fetch w \\# /#", "fetch w \\# /#"),
        ("fetch w --data 'a\\' # b", "fetch w --data 'a\\'"),
    ],
)
def test_what_is_a_comment_on_a_line(line: str, left: str) -> None:
    """A # is a comment where a word begins, as in a shell; in quotes, behind a backslash or in a word it is none."""
    assert uncommented(line) == left


def test_every_line_may_end_with_a_comment(ip: InteractiveShell, cloud: Path) -> None:
    """A trailing ` # ...` is left out of lines and cells, whatever stands in it."""
    run(ip, "%durable session tour --quiet  # it isn't more than this")
    run(ip, "%durable namespace counter --class Counter --quiet # --kv")
    run(ip, f"%%durable worker my-worker --bind COUNTER=counter --quiet # 'one\n{COUNTER}")
    assert run(ip, "%durable plan;   # not shown") is None
    assert run(ip, "plan = %durable plan # ;") is None
    assert ip.user_ns["plan"].can_deploy


def readme_blocks() -> list[tuple[str, str]]:
    """Read the code blocks of README's section "Twenty lines": (language, text)."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    section = text.partition("## Twenty lines")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_the_twenty_lines_of_the_readme_work_as_printed(ip: InteractiveShell, cloud: Path) -> None:
    """Each block is one cell; the plain Python after them gives the same Worker, also when it is run twice."""
    *cells, (_, python) = readme_blocks()
    source = next(text for language, text in cells if language == "javascript")
    for _, text in cells:
        if "%durable fetch" in text:
            approve(ip)  # the button of the cell before
        shown = run(ip, text)
    assert "1" in str(shown)
    ip.user_ns["SOURCE"] = source.partition("\n")[2]
    for _ in range(2):
        run(ip, python)
        assert run(ip, "result['visits'].fetch('/').status_code") == 200
    with pytest.raises(CommandError, match="no Worker 'visit'; deployed Workers: visits"):
        run(ip, "result['visit']")
    with pytest.raises(CommandError, match="takes the plan that plan\\(\\) gave, not a str"):
        run(ip, "session.deploy('abc')")


def test_a_plan_of_nothing_declared_says_so(ip: InteractiveShell, cloud: Path) -> None:
    """Without a declaration nothing "declared is live"; what is live all the same is named, and stays."""
    run(ip, "%durable session tour --as session")
    text = str(run(ip, "plan = %durable plan\nplan"))
    assert "nothing is declared in this session" in text
    assert "Not declared, and left as it is" not in text
    declare(ip)
    approve(ip)
    assert "1 Worker and 1 namespace are live as declared" in " ".join(str(current().plan()).split())
    run(ip, "%durable rm worker my-worker --quiet")
    run(ip, "%durable rm namespace counter --quiet")
    text = str(current().plan())
    assert "nothing is declared in this session" in text
    assert "everything declared is live" not in text
    assert "Worker my-worker-dev (live)" in text
    assert "namespace counter (live)" in text
    Path(".notebook_do/tour/dev/state.json").unlink()
    assert "Worker my-worker-dev (live, not recorded)" in str(current().plan())


def test_an_import_says_where_each_cell_begins_and_ends(ip: InteractiveShell, cloud: Path) -> None:
    """In a terminal too each cell can be copied by itself, and run."""
    declare(ip)
    approve(ip)
    run(ip, "%durable session other --quiet")
    shown = str(run(ip, "%durable import my-worker-dev"))
    assert shown.startswith("2 cells to paste\n\n# --- cell 1 of 2 ---\n")
    _, namespace, worker, notes = re.split(r"\n\n# --- (?:cell \d of \d|end of the cells) ---\n?", shown)
    assert "Nothing was sent. Paste and run the cells" in notes
    assert run(ip, namespace).class_name == "Counter"
    assert run(ip, worker).name == "my-worker-dev"


def test_an_import_names_the_declarations_that_it_replaces(ip: InteractiveShell, cloud: Path) -> None:
    """New code in a cell is not lost without a word: its Worker is named, and what to do to keep it."""
    declare(ip)
    approve(ip)
    run(ip, "%durable session other --quiet")
    run(ip, "%%durable worker mine --name my-worker-dev --quiet\nexport default { fetch: () => new Response('A2') }")
    shown = " ".join(str(run(ip, "%durable import my-worker-dev")).split())
    assert "Your declaration of Worker mine was replaced by what is live; to keep yours, run In[0] again." in shown
    assert "A2" not in current().catalog.workers["mine"].script
    assert "was replaced" not in str(run(ip, "%durable import my-worker-dev"))


def test_a_refused_destroy_names_the_way_back_and_no_phrase(ip: InteractiveShell, cloud: Path) -> None:
    """Protection is not lifted by a phrase, so none is offered; the plan to make again is that of the destroy."""
    declare(ip)
    approve(ip)
    refused = str(current().destroy("my-worker"))
    assert "is protected" in refused
    assert "to allow it, type" not in refused
    assert "then: %durable destroy my-worker" in refused
    run(ip, "%durable namespace counter --class Counter --unprotect --quiet")
    plan = current().destroy("my-worker")
    assert "to allow it, type: destroy counter" in str(plan)
    with pytest.raises(ConsentRequired, match=r"typed phrase: 'destroy counter \w{8}', not 'destroy counter 123'"):
        run(ip, f"%durable destroy my-worker --approve {plan.digest} --confirm 'destroy counter 123'")


def test_a_stopped_deploy_lists_no_address_of_before(ip: InteractiveShell, cloud: Path) -> None:
    """Issue 16, row 51: a Worker that was live before can be called, and its address is no news of a failure."""
    declare(ip)
    approve(ip)
    declare(ip, COUNTER + "throw new Error('at the top')\n")
    with pytest.raises(DurableError) as error:
        current().deploy(current().plan())
    result = error.value.result
    assert result is not None
    assert "http://my-worker-dev.localhost" not in str(result)
    assert "no workers.dev address" not in str(result)
    assert result["my-worker"].fetch("/").json()["n"] == 1


@pytest.mark.parametrize("place", ["/proc/x", "/etc/passwd", "a-file"])
def test_an_export_to_where_nothing_can_be_written_is_one_line(ip: InteractiveShell, cloud: Path, place: str) -> None:
    """A directory that cannot be made, or that is a file, is named in one line, for both formats."""
    Path("a-file").write_text("mine")
    declare(ip)
    for line in (f"%durable export wrangler {place}", f"%durable export types {place}"):
        with pytest.raises(CommandError, match=f"{place}.*cannot be written: .*Name another directory"):
            run(ip, line)
    assert Path("a-file").read_text() == "mine"


def test_a_kind_that_is_missing_or_too_much_is_answered_with_the_line(ip: InteractiveShell) -> None:
    """`rm` takes a kind and `destroy` takes none: whoever confuses them is told the line that was meant."""
    declare(ip)
    with pytest.raises(CommandError, match="say which it is: %durable rm namespace counter or %durable rm worker coun"):
        run(ip, "%durable rm counter")
    with pytest.raises(CommandError, match=r"takes the ID alone: %durable destroy counter$"):
        run(ip, "%durable destroy namespace counter")
    with pytest.raises(CommandError, match=r"ID is missing; write %durable rm"):
        run(ip, "%durable rm namespace")


def test_a_file_that_is_not_there_is_told_where_it_is_declared(
    ip: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The declaration stands, and is told to be wrong until the file is there."""
    monkeypatch.chdir(tmp_path)
    run(ip, "%durable session tour --as session")
    shown = str(run(ip, "%durable worker api --entrypoint ./nope.ts"))
    assert "! There is no file ./nope.ts in " in " ".join(shown.split())
    assert "A plan is refused until this is fixed." in shown
    assert "api" in current().catalog.workers
    Path("nope.ts").write_text("export default {};")
    assert "There is no file" not in str(run(ip, "%durable worker api --entrypoint ./nope.ts"))
