"""Lines and bodies become declarations; whatever is wrong is told in one line that names the cell's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.declare.options import options
from notebook_do.errors import CommandError, DeclarationError, DurableError
from notebook_do.model import (
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Secret,
    ServiceBinding,
    SharedBinding,
    StableId,
    Where,
    Worker,
)
from notebook_do.notebook import verbs
from notebook_do.notebook.verbs.help import usage
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "export default {}\n"


def test_namespace_line() -> None:
    """Every option of a namespace line ends up in its declaration."""
    line = (
        "namespace counter --class Counter --kv --script host --environment production --renamed-from old "
        f"--transferred-from other --namespace-id {'0' * 32} --unprotect"
    )
    (found,) = parse_cell(line, None)
    assert found == Namespace(
        StableId("counter"),
        class_name="Counter",
        sqlite=False,
        script_name="host",
        environment="production",
        namespace_id="0" * 32,
        renamed_from=StableId("old"),
        transferred_from="other",
        protect=False,
    )


def test_worker_cell() -> None:
    """Every option of a Worker cell ends up in its declaration; values may be quoted and written with `=`."""
    line = (
        "worker api --name my-api --bind COUNTER=counter --bind FAR=host.COUNTER --var GREETING='hello world' "
        """--json 'LIMITS={"a": [1]}' --secret TOKEN --secret KEY=OTHER_KEY --service AUTH=auth """
        "--compat-date=2026-01-02 --compat-flag nodejs_compat --no-url --cron '*/5 * * * *' --adopt "
        "--lifecycle migrations"
    )
    (found,) = parse_cell(line, SOURCE)
    assert isinstance(found, Worker)
    assert dict(found.bindings) == {
        "COUNTER": NamespaceBinding(stable_id=StableId("counter")),
        "FAR": SharedBinding(worker="host", name="COUNTER"),
        "GREETING": PlainText(text="hello world"),
        "LIMITS": Json({"a": [1]}),
        "TOKEN": Secret.from_env("TOKEN"),
        "KEY": Secret.from_env("OTHER_KEY"),
        "AUTH": ServiceBinding(worker="auth"),
    }
    assert (found.name, found.script, found.compatibility_date) == ("my-api", SOURCE, "2026-01-02")
    assert (found.compatibility_flags, found.crons) == (("nodejs_compat",), ("*/5 * * * *",))
    assert (found.url, found.adopt, found.lifecycle) == (False, True, "migrations")


def test_positions() -> None:
    """A declaration knows its cell and line, and a Worker the line on which its source begins."""
    (namespace,) = parse_cell("namespace counter --class Counter", None, where=Where(cell="7", line=3))
    assert namespace.where == Where(cell="7", line=3)
    (worker,) = parse_cell("worker api", SOURCE, where=Where(cell="8"))
    assert worker.where == Where(cell="8", line=1, body_line=2)


@pytest.mark.parametrize(
    ("line", "body", "message"),
    [
        ("namespac x", None, "line 1: namespac declares nothing; did you mean namespace?"),
        ("namespace", None, "line 1: namespace: no id is given; write %durable namespace ID [options]"),
        ("namespace a b --class C", None, "line 1: namespace: b is one word too many"),
        ("namespace a", None, "line 1: namespace a: --class NAME is missing"),
        ("namespace a --clas C", None, "line 1: namespace: unknown option --clas; did you mean --class?"),
        ("namespace a --class", None, "line 1: namespace: --class needs a value: --class NAME"),
        ("namespace a --class --kv", None, "line 1: namespace: --class needs a value"),
        ("namespace a --class C --class D", None, "line 1: namespace: --class is given twice"),
        ("namespace a --kv=1 --class C", None, "line 1: namespace: --kv takes no value"),
        ("namespace a --class C", "class C {}", "line 2: namespace takes no body"),
        ("namespace a --class 'C", None, "line 1: cannot read the line: no closing quotation"),
        ("namespace a --class 9C", None, "line 1: namespace a: class name '9C' must be an ASCII JavaScript identifier"),
        ("namespace a --class C --namespace-id 12", None, "32 hexadecimal digits"),
        ("namespace a --class C --renamed-from a", None, "renamed_from names the namespace itself"),
        ("namespace a --class C --script w --transferred-from w", None, "transferred_from and script_name both name w"),
        ("worker api", "  \n", "line 1: worker api: the cell has no body"),
        ("worker api --entrypoint x.js", SOURCE, "line 2: worker api: --entrypoint and a body are given"),
        ("worker api --bind COUNTER", SOURCE, "line 1: worker: --bind COUNTER: write --bind BINDING=ID"),
        ("worker api --bind A=a --var A=b", SOURCE, "line 1: worker api: binding A is given twice"),
        ("worker api --json A={", SOURCE, "line 1: worker: --json A: '{' is not JSON"),
        ("worker api --lang jss", SOURCE, "line 1: worker: --lang jss: did you mean js?"),
        ("worker api --bind A=b.c.d.A --bind class=b", SOURCE, "binding name 'class' is reserved"),
        ("worker api --bind A=api.B", SOURCE, "binding A is shared from the Worker itself"),
        ("worker api --compat-date 2026-13-01", SOURCE, "compatibility date '2026-13-01' must be a day"),
        ("worker api --compat-date 20261101", SOURCE, "compatibility date '20261101' must be a day"),
        ("worker api --cron 'every day'", SOURCE, "cron 'every day' must have five fields"),
        ("worker api --name Api", SOURCE, "name 'Api' must be 1 to 63 lower-case letters"),
        ("worker api --name api-", SOURCE, "ends with -, which no workers.dev address can"),
        ("", None, "nothing to declare"),
    ],
)
def test_errors(line: str, body: str | None, message: str) -> None:
    """A mistake is one line that says what to write instead."""
    with pytest.raises((CommandError, DeclarationError)) as caught:
        parse_cell(line, body)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_count_from_the_line_of_the_magic() -> None:
    """A magic that stands further down in its cell reports that line."""
    with pytest.raises(CommandError, match=r"^line 5: "):
        parse_cell("namespace a --clas C", None, where=Where(line=5))


def test_usage_names_every_option() -> None:
    """The help comes from the same table as the parser."""
    for kind in ("namespace", "worker"):
        shown = usage(verbs.BY_NAME[kind])
        assert len(options(kind)) >= 8
        assert all(f"    {option.name}" in shown for option in options(kind))


TABLES = """\
[namespaces.counter]
class_name = "Counter"
protect = false

[workers.api]
script = "export default {}"
compatibility_flags = ["nodejs_compat"]
observability = {enabled = true}

[workers.api.bindings]
COUNTER = {namespace = "counter"}
FAR = {worker = "host", binding = "COUNTER"}
NAME = "${py:name}"
LIMITS = {json = {a = 1}}
KEY = {secret = "KEY"}
FILES = {r2 = "files"}
AI = {type = "ai"}
"""


def test_tables() -> None:
    """TOML tables have the keys of the Python API; `${py:NAME}` in a value is replaced; tables know their line."""
    namespace, worker = parse_cell("", TABLES, values={"name": "Ada"})
    assert namespace == Namespace(StableId("counter"), class_name="Counter", protect=False)
    assert isinstance(worker, Worker)
    assert worker.bindings["NAME"] == PlainText(text="Ada")
    assert worker.bindings["COUNTER"] == NamespaceBinding(stable_id=StableId("counter"))
    assert worker.bindings["FAR"] == SharedBinding(worker="host", name="COUNTER")
    assert worker.bindings["LIMITS"] == Json({"a": 1})
    assert worker.options.value == {"observability": {"enabled": True}}
    assert [d.where.line for d in (namespace, worker) if d.where] == [2, 6]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[namespaces.a]\nclass_name = 1\n", "line 3: namespace a: class_name must be a string, not 1"),
        ("\n[namespaces.a]\nclas_name = 'A'\n", "line 4: namespace a: unknown key clas_name; did you mean class_name?"),
        ("[namespace.a]\nclass_name = 'A'\n", "line 2: unknown TOML table [namespace]; did you mean namespaces?"),
        ("a = 1\n\n[x]\n", "line 2: unknown TOML table [a]; known are namespaces, workers."),
        ("[namespaces.a]\nclass_name = 'A\n", "line 3: the TOML cannot be read"),
        ("[namespaces.a]\nsqlite = true\n", "line 2: namespace a: class_name is missing"),
        ("[namespaces]\na = 1\n", "line 3: [namespaces.a] must be a table of keys"),
        ("[namespaces]\na.class_name = 'A'\na.protct = true\n", "line 4: namespace a: unknown key protct"),
        ('[namespaces."a"]\nclass_name = "A"\n\n# c\n"sqlit" = true\n', "line 6: namespace a: unknown key sqlit"),
        ("[workers.a]\nscript = ''\nlang = 'c'\n", "line 4: worker a: lang 'c': known are js, ts, py"),
        ("[workers.a]\nscript = '''\nlang = 1\n\n'''\nlang = 2\n", "line 7: worker a: lang must be a string"),
        ('[workers.a]\nscript = """\nx\n"""\nlang = 2\n', "line 6: worker a: lang must be a string"),
        ("[workers.a]\nscript = ''\ncrons = [\n  '* * * * *',\n]\nlang = 1", "line 7: worker a: lang must be a string"),
        ("[workers.a]\nscript = ''\ncrons = [1]\n", "line 4: worker a: crons must be a list of strings"),
        ("[workers.a]\nscript = ''\nbindings = {B = {kvv = 'x'}}\n", "line 4: worker a: binding B: kvv is no kind"),
        ("[workers.a]\nscript = ''\n[workers.a.bindings]\nA = 'a'\nB = {namespac = 'x'}\n", "line 6: worker a: bind"),
        (
            "[workers.a]\nbindings.B = {namespac = 'x'}\n",
            "binding B: namespac is no kind of binding; did you mean namespace?",
        ),
        (
            "[workers.a]\n\nbindings.B = {}\n",
            "line 4: worker a: binding B: an empty table is no kind of binding; known are",
        ),
        ("[workers.a]\nbindings.B = 3\n", "line 3: worker a: binding B: write a string, or {json = ...} for 3."),
        ("[workers.a]\nbindings.B = {worker = 'x'}\n", 'binding B: write {worker = "...", binding = "..."}'),
        ("[workers.a]\nbindings.B = {kv = 3}\n", "line 3: worker a: binding B: kv must be a string, not 3"),
        (
            "[workers.a]\nscript = '${py:missing}'\n",
            "line 3: ${py:missing}: there is no value of that name; define missing",
        ),
        ("[workers.a.bindings]\nA = 'x'\n\nB = 'at ${py:no}'\n", "line 5: ${py:no}: there is no value of that name"),
        ("[workers.a]\nname = 'a'\n", "Worker a has no source; give exactly one of script, entrypoint or modules"),
        ("[namespaces.a]\nclass_name='A'\n[namespaces.a]\nclass_name='A'\n", "line 4: the TOML cannot be read"),
    ],
)
def test_table_errors(body: str, message: str) -> None:
    """A mistake in TOML is one line that names the cell's line; line 1 is the magic."""
    with pytest.raises(DurableError) as caught:
        parse_cell("", body)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("[workers.a]\nscript = '''\nfirst\n'''\n", 4),
        ("[workers.a]\nname = 'x'\nscript = '''first\nsecond'''\n", 4),
        ('[workers]\n[workers.a]\n\nscript = """\nfirst"""\n', 6),
        ("[workers.a]\nscript = 'first'\n", 3),
        ("workers.a.script = 'first'\n", 2),
        ('[workers.a]\nscript = "first\\nsecond"\n', None),
        ("[workers.a]\nscript = '${py:source}'\n", None),
    ],
)
def test_a_script_in_a_table_knows_its_first_line(body: str, line: int | None) -> None:
    """So that a mistake in the source is told with the cell's line; a text that is not there line by line has none."""
    (worker,) = parse_cell("", body, values={"source": "a\nb"})
    assert worker.where is not None
    assert worker.where.body_line == line


def test_python_values_keep_their_type_and_leave_scripts_alone() -> None:
    """`${py:NAME}` alone is the value itself, inside a string its text; the body of a script is never touched."""
    body = """
[workers.gate]
bindings.LIMIT = { json = "${py:limit}" }
bindings.NOTE = "at most ${py:limit}"
script = "export default { fetch: () => new Response(`${py:limit} {limit}`) }"

[workers.other]
script = "${py:source}"
"""
    gate, other = parse_cell("", body, values={"limit": 5, "source": "export default {}"})
    assert isinstance(gate, Worker)
    assert isinstance(other, Worker)
    assert gate.bindings["LIMIT"] == Json(5)
    assert gate.bindings["NOTE"] == PlainText(text="at most 5")
    assert "`${py:limit} {limit}`" in (gate.script or "")
    assert other.script == "export default {}"


@pytest.mark.parametrize(
    "words",
    [
        "--secret hunter2",
        "--secret KEY=hunter2",
        "--secret KEY hunter2",
        "--secret KEY:hunter2",
        "--secret KEY= hunter2",
    ],
)
def test_a_value_in_the_place_of_a_secret_s_name_is_not_shown(words: str) -> None:
    """Whoever writes the value itself behind `--secret` is told what to write, and does not read it again."""
    with pytest.raises(CommandError) as caught:
        parse_cell(f"worker w {words}", "export default {}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "body", "message"),
    [
        ("namespace a --clas C", None, "line 3 of this cell: namespace: unknown option --clas; "),
        ("namespace a --class 9C", None, "line 3 of this cell: namespace a: class name '9C' must be"),
        ("", "[namespaces.a]\nclas_name = 'A'\n", "line 5 of this cell: namespace a: unknown key clas_name; "),
        ("namespace a --observability", None, "line 3 of this cell: namespace: unknown option --observability; known"),
        (
            "worker a --observabilty",
            SOURCE,
            "unknown option --observabilty; did you mean --setting observability=JSON?",
        ),
        ("worker a --crons x", SOURCE, "unknown option --crons; did you mean --cron?"),
        ("worker a --bindings x", SOURCE, "unknown option --bindings; did you mean --bind?"),
        ("worker a --ts", SOURCE, "unknown option --ts; did you mean --lang ts?"),
    ],
)
def test_a_kernel_says_of_which_cell_a_line_is(line: str, body: str | None, message: str) -> None:
    """In the cell that runs it is this cell's; what stands in the place of an option is what says the same."""
    with pytest.raises((CommandError, DeclarationError)) as caught:
        parse_cell(line, body, where=Where(line=3, run=7))
    assert message in str(caught.value)


def test_an_error_of_another_cell_names_it(tmp_path: Path) -> None:
    """What a plan finds wrong was written in a cell that ran before: the line is one of that."""
    (worker,) = parse_cell("worker api --bind A=gone", SOURCE, where=Where(line=3, run=7))
    catalog = Catalog()
    catalog.declare(worker)
    with pytest.raises(DeclarationError, match=r"^line 3 of cell \[7\]: Worker api: binding A names namespace gone"):
        catalog.desired("s", "dev", read=reader(tmp_path))
