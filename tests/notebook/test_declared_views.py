"""What a declaration shows: the contract of views.md, section 8, and its examples 1a to 1g, in a real shell."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from sharing import COUNTER
from traitlets.config import Config

import notebook_do as nd
from notebook_do.errors import DurableError
from notebook_do.notebook.views.documents import bundle
from notebook_do.sources import esbuild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = COUNTER.lstrip()
PLANTED = "s3cr3tNeverShown0123456789abcdef"
API = f"""%%durable worker api --bind COUNTER=counter --var LIMIT=20 --json LIMITS='{{"max":20,"burst":5}}' \
--var SESSION_TOKEN={PLANTED} --secret STRIPE_KEY --compat-date 2026-11-01
""".replace("\\\n", "")


@pytest.fixture
def run(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Run cells as a kernel does, with their numbers: the session is opened in cell [1]."""
    del cloud
    monkeypatch.setenv("STRIPE_KEY", PLANTED)
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.run_line_magic("load_ext", "notebook_do")

    def run_cell(source: str) -> Any:
        with redirect_stdout(io.StringIO()):
            done = shell.run_cell(source, store_history=True)
            done.raise_error()
        return done.result

    run_cell("%durable session shop")
    yield run_cell
    shell.run_line_magic("unload_ext", "notebook_do")


def told(value: Any) -> str:
    """Give the text of a value, its words with one blank between them."""
    shown = bundle(value)
    assert PLANTED not in str(shown)
    return " ".join(shown["text/plain"].split())


def test_a_namespace_says_what_it_is_and_what_is_missing(run: Callable[[str], Any]) -> None:
    """1a: its class, its storage and its protection; nothing binds it yet."""
    assert str(run("%durable namespace counter --class Counter")).splitlines() == [
        "Declared namespace counter  session: shop  stage: dev",
        "class Counter · SQLite storage · protected against destroy",
        "~ No Worker binds it yet. Next: %%durable worker ID --bind COUNTER=counter",
        "Nothing was sent.",
    ]


def test_a_worker_says_script_source_exports_and_its_bindings_in_order(run: Callable[[str], Any]) -> None:
    """1b: namespaces, then values, then secrets; what looks like a secret is hidden, and how it is one is said."""
    run("%durable namespace counter --class Counter")
    assert str(run(API + SOURCE)).splitlines() == [
        "Declared Worker api  session: shop  stage: dev",
        "script api-dev · 13 lines of JavaScript · exports Counter and a default handler · compatibility date",
        "2026-11-01",
        "",
        "  binding        type            value",
        "  -------------  --------------  ---------------------------------------------",
        "  COUNTER        Durable Object  namespace counter, class Counter, hosted here",
        "  LIMIT          text            20",
        '  LIMITS         JSON            {"burst": 5, "max": 20}',
        "  SESSION_TOKEN  text            hidden because of its name (32 characters)",
        "  STRIPE_KEY     secret          from environment variable STRIPE_KEY (set)",
        "",
        "~ SESSION_TOKEN is plain text: everybody who can open the dashboard can read it. Use --secret",
        "  SESSION_TOKEN.",
        "Nothing was sent. Next: %durable plan",
    ]


def test_declared_again_shows_what_changed_and_by_which_cell_it_was_before(run: Callable[[str], Any]) -> None:
    """1c: the cell, a row for each difference, the code as a diff, and what is the same as a count."""
    run("%durable namespace counter --class Counter")
    run(API + SOURCE)
    other = API.replace("LIMIT=20", "LIMIT=5 --var STEP=2").replace(" --secret STRIPE_KEY", "")
    shown = str(run(other + SOURCE.replace("+ 1;", "+ this.env.STEP;\n    console.log(value);")))
    assert shown.splitlines()[:9] == [
        "Declared Worker api again  session: shop  stage: dev",
        "Replaces the declaration of cell [3]. Changed since then:",
        "",
        "     what                before                                      now",
        "     ------------------  ------------------------------------------  ----------------",
        "  ~  code                13 lines                                    14 lines (+2 −1)",  # noqa: RUF001
        "  ~  binding LIMIT       20                                          5",
        "  +  binding STEP                                                    2 (text)",
        "  -  binding STRIPE_KEY  from environment variable STRIPE_KEY (set)  removed",
    ]
    assert "Code: 2 lines added, 1 removed" in shown
    assert '    -    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;' in shown.splitlines()
    assert shown.endswith("3 bindings unchanged. Nothing was sent. Next: %durable plan")


def test_nothing_changed_is_one_line(run: Callable[[str], Any]) -> None:
    """1d: with the cell of the declaration before."""
    run("%durable namespace counter --class Counter")
    run(API + SOURCE)
    assert str(run(API + SOURCE)) == "= Worker api is declared as before (cell [3]). Nothing was sent."
    assert str(run("nd_now = None\nimport notebook_do as nd\nnd.current().catalog.workers['api']")).startswith(
        "Declared Worker api  session: shop  stage: dev\nscript api-dev"
    )


def test_a_class_that_is_not_exported_is_told_with_both_ways_out(run: Callable[[str], Any]) -> None:
    """1e: in the cell of the Worker and in that of the namespace; the cell does not fail, and a plan is refused."""
    run("%durable namespace counter --class Countr")
    first = run(f"%%durable worker api --bind COUNTER=counter\n{SOURCE}")
    assert str(first).splitlines() == [
        "Declared Worker api, with 1 mistake  session: shop  stage: dev",
        "",
        "  ! Class Countr of namespace counter is not exported by this source. It exports Counter and a",
        "    default handler.",
        "      - The class is Counter: %durable namespace counter --class Counter",
        "      - The class is Countr: write export class Countr extends DurableObject in this cell",
        "",
        "script api-dev · 13 lines of JavaScript · 1 binding: COUNTER → namespace counter",
        "Nothing was sent. A plan is refused until this is fixed.",
    ]
    again = told(run("%durable namespace counter --class Countr --unprotect"))
    assert "Declared namespace counter again, with 1 mistake" in again
    assert "is not exported by the source of Worker api (cell [3])." in again
    assert "write export class Countr extends DurableObject in cell [3]" in again
    assert [refusal.code for refusal in nd.current().plan().refusals] == ["class-not-exported"]
    mended = told(run("%durable namespace counter --class Counter"))
    assert "mistake" not in mended
    assert "~ class Countr Counter" in mended


def test_a_deployed_class_that_is_renamed_in_its_declaration_only(run: Callable[[str], Any]) -> None:
    """Issue 16.2: the same words at the declaration and in the plan, whatever the new name looks like."""
    run("%durable namespace counter --class Counter")
    run(f"%%durable worker api --bind COUNTER=counter\n{SOURCE}")
    nd.current().deploy(nd.current().plan())
    shown = told(run("%durable namespace counter --class Visits"))
    said = "Class Counter of namespace counter is declared as Visits, and not renamed in the source of Worker api"
    assert f"{said} (cell [3])." in shown
    assert (
        "The class is renamed: write export class Visits extends DurableObject in cell [3], in place of Counter"
        in shown
    )
    assert said.replace("Class", "class", 1) in nd.current().plan().refusals[0].message


def test_several_are_a_table_with_what_is_new_changed_and_the_same(run: Callable[[str], Any]) -> None:
    """1g: one line for each, and what changed of which at the end."""
    Path("desk.ts").write_text("export default {}")
    run("%durable namespace counter --class Counter")
    run(f"%%durable worker api --bind COUNTER=counter --var LIMIT=20\n{SOURCE}")
    tables = """%%durable
[namespaces.counter]
class_name = "Counter"
[workers.api]
script = \'\'\'
SOURCE\'\'\'
bindings = {COUNTER = {namespace = "counter"}, LIMIT = "5"}
[workers.desk]
entrypoint = "desk.ts"
bindings = {COUNTER = {worker = "api", binding = "COUNTER"}, API = {service = "api"}}
""".replace("SOURCE", SOURCE)
    assert str(run(tables)).splitlines() == [
        "Declared 1 namespace and 2 Workers  session: shop  stage: dev",
        "",
        "     what               declared as                             bindings",
        "     -----------------  --------------------------------------  -------------------------------",
        "  =  namespace counter  class Counter, hosted by api",
        "  ~  Worker api         script api-dev, 13 lines of JavaScript  COUNTER, LIMIT=5",
        "  +  Worker desk        script desk-dev, file desk.ts           COUNTER (of api), API (service)",
        "",
        "New: 1. Changed: Worker api (binding LIMIT 20 → 5). The same: namespace counter. Nothing was sent.",
        "Next: %durable plan",
    ]
    assert str(run(tables)) == "= 1 namespace and 2 Workers are declared as before (cell [4]). Nothing was sent."


@pytest.mark.parametrize(
    ("cell", "binds", "hides"),
    [
        (
            "%%durable worker api --var COUNTERS=counters --var apiKey=x\nexport default {}",
            "--bind COUNTERS=counters",
            "--secret apiKey=API_KEY",
        ),
        (
            "%%durable\n[workers.api]\nscript = 'export default {}'\nbindings = {COUNTERS = 'counters', apiKey = 'x'}",
            'COUNTERS = {namespace = "counters"}',
            'apiKey = {secret = "API_KEY"}',
        ),
        (
            (
                "import notebook_do as nd\nB = {'COUNTERS': 'counters', 'apiKey': 'x'}\n"
                "nd.Worker('api', script='export default {}', bindings=B)"
            ),
            '"COUNTERS": nd.NamespaceBinding(stable_id="counters")',
            '"apiKey": nd.Secret.from_env("API_KEY")',
        ),
    ],
    ids=["line", "toml", "python"],
)
def test_a_text_that_is_a_stable_id_is_pointed_out_in_the_form_used(
    run: Callable[[str], Any], cell: str, binds: str, hides: str
) -> None:
    """Issue 16.8: with the way to bind the namespace, and to keep a secret, that can be pasted there."""
    before = told(run(cell))
    assert "is the text counters" not in before  # it may be any text, as long as no namespace is called so
    after = told(run("%durable namespace counters --class Counters"))
    assert (
        f"COUNTERS of Worker api is the text counters, and not the namespace of that name. To bind it: {binds}" in after
    )
    run("%durable rm worker api")
    shown = told(run(cell))
    assert f"~ COUNTERS is the text counters, and not the namespace of that name. To bind it: {binds}" in shown
    assert f"Use {hides}." in shown
    run("%durable rm namespace counters")
    run("%%durable worker host --bind C=counters\nexport class Counters {}\nexport default {}")
    run("%durable namespace counters --class Counters")
    note = (
        f"Binding COUNTERS of Worker api is the text counters, and not the namespace of that name. To bind it: {binds}"
    )
    assert note in nd.current().plan().warnings


def test_the_script_name_of_another_session_is_told_at_the_declaration(run: Callable[[str], Any]) -> None:
    """Issue 16.8: what its state file says is known without a request; a deploy from here would be refused."""
    run("%%durable worker api\nexport default { fetch() { return new Response(); } }")
    nd.current().deploy(nd.current().plan())
    run("%durable session desk")
    shown = told(run("%%durable worker api\nexport default { a: 1 }"))
    assert (
        "~ Script api-dev is Worker api of session shop, stage dev already: a deploy from here would be refused. "
        "Another name: --name desk-api-dev" in shown
    )
    assert [refusal.code for refusal in nd.current().plan().refusals] == ["worker-exists"]
    assert "already" not in told(run("%%durable worker api --name desk-api-dev\nexport default { a: 1 }"))


def test_two_workers_of_one_script_name_are_told_at_once(run: Callable[[str], Any]) -> None:
    """A plan of them cannot be made; the second cell says so."""
    run("%%durable worker a.b\nexport default {}")
    shown = told(run("%%durable worker a-b\nexport default {}"))
    assert "! Workers a.b and a-b are both called a-b-dev. - Give one another name: --name a-b-dev-2" in shown
    with pytest.raises(DurableError, match="are both called a-b-dev"):
        nd.current().plan()


@pytest.mark.parametrize(
    ("declares", "name"),
    [
        ("%durable namespace counter --class Counter", "cell [2]"),
        ("import notebook_do as nd\nx = nd.DurableObjectNamespace('counter', class_name='Counter')", "cell [2]"),
    ],
)
def test_every_declaration_knows_its_cell(run: Callable[[str], Any], declares: str, name: str) -> None:
    """The number beside the cell, its first line, and the line of the statement; however it was declared."""
    run(declares)
    where = nd.current().catalog.namespaces["counter"].where
    assert where is not None
    found = (where.name, where.first, where.line)
    assert found == (name, declares.partition("\n")[0], declares.count("\n") + 1)
    assert told(run("%durable namespace counter --class Counter --unprotect")).startswith(
        "Declared namespace counter again session: shop stage: dev Replaces the declaration of cell [2]."
    )


def test_a_program_has_its_file_and_line(home: Path) -> None:
    """Outside of a notebook a declaration is named by its file; its errors name no line of a cell."""
    del home
    nd.session("shop")
    worker = nd.Worker("api", script="export default {}")
    assert worker.where is not None
    assert worker.where.name == f"{Path(__file__).name}:{worker.where.line}"
    with pytest.raises(DurableError) as caught:
        nd.Worker("api")
    assert str(caught.value).startswith("Worker api has no source")


def test_nothing_is_said_of_exports_where_esbuild_is_not_there(
    run: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 16.2: no claim where the source cannot be checked, and no download for one."""
    monkeypatch.setattr(esbuild, "has_esbuild", lambda: False)
    monkeypatch.setattr(esbuild, "parse", lambda *_, **__: pytest.fail("it was looked at"))
    run("%durable namespace counter --class Countr")
    shown = told(run(f"%%durable worker api --bind COUNTER=counter\n{SOURCE}"))
    assert "export" not in shown
    assert "mistake" not in shown
