"""What the command line makes of a notebook's cells: run with what it declares, an error that names it, or not run."""

from __future__ import annotations

import builtins
import json
import random
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from sharing import thinned
from traitlets.config import Config

import notebook_do.sessions.opening as session_module
from notebook_do.cloudflare import refusing
from notebook_do.errors import DurableError
from notebook_do.notebook import commands
from notebook_do.notebook.runbook import batch
from notebook_do.settings import configured
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
ND = "import notebook_do as nd"
OPEN = f"{ND}\nnd.session('chat')"
JS = "export default {}"


@pytest.fixture
def place(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty directory, with no session open before and after."""
    monkeypatch.setattr(session_module, "_current", None)
    monkeypatch.setenv("NOTEBOOK_DO_DEPLOY", "")
    # what a cell of a test may put something of its own in the place of is put back
    monkeypatch.setattr(session_module.Session, "deploy", session_module.Session.deploy)
    monkeypatch.setattr(refusing, "check", refusing.check)
    monkeypatch.setitem(commands.RUN, "plan", commands.RUN["plan"])
    yield home
    vars(builtins).pop("d", None)
    configured.clear()


def book(path: Path, *cells: str | tuple[str, str]) -> Path:
    """Write a notebook; a cell may come with a tag."""
    made = []
    for number, cell in enumerate(cells):
        source, *tags = (cell,) if isinstance(cell, str) else cell
        made.append({"cell_type": "code", "source": source, "metadata": {"tags": tags}, "id": f"c{number}"})
        made[-1] |= {"execution_count": None, "outputs": []}
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def declare(
    place: Path, *cells: str | tuple[str, str], options: dict[str, str] | None = None, **parameters: Any
) -> tuple[dict[str, Any], session_module.Imposed]:
    """Run what the command line runs of these cells; give what it opened and declared."""
    file = book(place / "book.ipynb", *cells)
    asked = batch.Asked(verb="plan", words=(), file=file, options=options or {}, parameters=parameters, line="")
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    with refusing.imposing(session_module.Imposed(options=options or {})) as imposed:
        batch.declare(asked, file.read_text(), shell)
    session = session_module.current()
    found = {
        "session": session.name,
        "stage": session.stage,
        "target": session.target,
        "ids": {*session.catalog.workers, *map(str, session.catalog.namespaces)},
    }
    return found, imposed


def worker(name: str, *, of: str = "nd.Worker") -> str:
    """Write the line that declares a Worker."""
    return f"{of}({name!r}, script={JS!r})"


RUN: dict[str, tuple[tuple[str | tuple[str, str], ...], dict[str, Any]]] = {
    "session in Python": (
        (f"{ND}\nnd.session('chat', stage='production', target='cloudflare')", worker("a")),
        {"session": "chat", "stage": "production", "target": "cloudflare", "ids": {"a"}},
    ),
    "session in Python, declarations by magic": (
        (f"{ND}\ns = nd.session('chat', stage='qa')", "%durable namespace n --class N"),
        {"session": "chat", "stage": "qa", "ids": {"n"}},
    ),
    "from import with another name": (
        ("from notebook_do import Worker as W, session as s", "s('chat')", worker("a", of="W")),
        {"ids": {"a"}},
    ),
    "import of a module of the package": (
        (
            "import notebook_do.sessions.declaring as d\nimport notebook_do\nnotebook_do.session('x')",
            worker("a", of="d.Worker"),
        ),
        {"session": "x", "ids": {"a"}},
    ),
    "import_module": (
        (
            "import importlib\nlib = importlib.import_module('notebook_do')",
            "lib.session('chat')",
            worker("a", of="lib.Worker"),
        ),
        {"ids": {"a"}},
    ),
    "dunder import and sys.modules": (
        (
            "m = __import__('notebook_do')\nm.session('chat')",
            "import sys",
            worker("a", of="sys.modules['notebook_do'].Worker"),
        ),
        {"ids": {"a"}},
    ),
    "star import": (("from notebook_do import *", "session('chat')", worker("a", of="Worker")), {"ids": {"a"}}),
    "alias": ((OPEN, "d = nd.Worker", worker("a", of="d")), {"ids": {"a"}}),
    "alias in a container": (
        (OPEN, "kinds = {}\nrows = [1]", "kinds['w'] = nd.Worker", worker("a", of="kinds['w']")),
        {"ids": {"a"}},
    ),
    "alias by append": ((OPEN, "made = []", "made.append(nd.Worker)", worker("a", of="made[0]")), {"ids": {"a"}}),
    "alias held elsewhere": (
        (OPEN, "box = {'x': {}}", "inner = box['x']", "inner['w'] = nd.Worker", worker("a", of="box['x']['w']")),
        {"ids": {"a"}},
    ),
    "alias kept by a function": (
        (
            OPEN,
            "STORE = []\ndef keep(one):\n    STORE.append(one)",
            "keep(nd.Worker)",
            worker("a", of="STORE[0]"),
        ),
        {"ids": {"a"}},
    ),
    "alias through globals": ((OPEN, "globals()['d'] = nd.Worker", worker("a", of="d")), {"ids": {"a"}}),
    "alias through builtins": ((OPEN, "import builtins\nbuiltins.d = nd.Worker", worker("a", of="d")), {"ids": {"a"}}),
    "getattr": ((OPEN, "kind = 'Wor' + 'ker'", worker("a", of="getattr(nd, kind)")), {"ids": {"a"}}),
    "function of another cell": (
        (
            OPEN,
            "def make(name):\n    return nd.Worker(name, script=SOURCE)",
            f"SOURCE = {JS!r}",
            "make('a')\nmake('b')",
        ),
        {"ids": {"a", "b"}},
    ),
    "function that imports": (
        (
            f"def make(n):\n    import notebook_do as lib\n    lib.session('in')\n    lib.Worker(n, script={JS!r})",
            "make('a')",
        ),
        {"session": "in", "ids": {"a"}},
    ),
    "function that calls a function": (
        (
            OPEN,
            "def outer(n):\n    return inner(n)",
            f"def inner(n):\n    return {worker('x').replace(repr('x'), 'n')}",
            "outer('a')",
        ),
        {"ids": {"a"}},
    ),
    "lambda and partial": (
        (
            OPEN,
            f"import functools\nmake = functools.partial(nd.Worker, script={JS!r})",
            "go = lambda n: make(n)",
            "go('a')",
        ),
        {"ids": {"a"}},
    ),
    "global set in a function": (
        (OPEN, "def setup():\n    global kind\n    kind = nd.Worker", "setup()", worker("a", of="kind")),
        {"ids": {"a"}},
    ),
    "class": (
        (OPEN, f"class App:\n    def __init__(self, n):\n        nd.Worker(n, script={JS!r})", "app = App('a')"),
        {"ids": {"a"}},
    ),
    "decorator": (
        (
            OPEN,
            f"def declared(f):\n    nd.Worker(f.__name__, script={JS!r})\n    return f",
            "@declared\ndef api():\n    pass",
        ),
        {"ids": {"api"}},
    ),
    "loop over names of another cell": (
        (
            OPEN,
            "NAMES = ['a']",
            "NAMES.append('b')",
            "NAMES += ['c']",
            f"for n in NAMES:\n    nd.Worker(n, script={JS!r})",
        ),
        {"ids": {"a", "b", "c"}},
    ),
    "comprehension": ((OPEN, f"[nd.Worker(f'w{{i}}', script={JS!r}) for i in range(2)]"), {"ids": {"w0", "w1"}}),
    "walrus and condition": (
        (OPEN, f"if (w := nd.Worker)('a', script={JS!r}):\n    w('b', script={JS!r})"),
        {"ids": {"a", "b"}},
    ),
    "with": (
        (OPEN, "import contextlib", "with contextlib.nullcontext(nd.Worker) as w:\n    pass", worker("a", of="w")),
        {"ids": {"a"}},
    ),
    "magic in if": (
        (
            "%durable session chat",
            "big = True",
            "if big:\n    %durable namespace n --class N\nelse:\n    %durable namespace m --class M",
        ),
        {"ids": {"n"}},
    ),
    "magic in for, with its session": (
        (
            "stage = 'qa'",
            "for one in [stage]:\n    %durable session chat --stage ${py:one}\n    %durable namespace n --class N",
        ),
        {"stage": "qa", "ids": {"n"}},
    ),
    "magic in if, with a value of another cell": (
        ("stage = 'qa'", "if True:\n    %durable session chat --stage ${py:stage}", "%durable namespace n --class N"),
        {"stage": "qa", "ids": {"n"}},
    ),
    "magic in def": (
        ("%durable session chat", "def go():\n    %durable namespace n --class N", "go()"),
        {"ids": {"n"}},
    ),
    "magic in try": (
        ("%durable session chat", "try:\n    %durable namespace n --class N\nexcept Exception:\n    pass"),
        {"ids": {"n"}},
    ),
    "magic by its name": (
        ("%durable session chat", "get_ipython().run_line_magic('durable', 'namespace n --class ' + 'N')"),
        {"ids": {"n"}},
    ),
    "magic after another statement of the line": (
        ("%durable session chat", "get_ipython().run_line_magic('durable', 'namespace n --class N'); x = 1"),
        {"ids": {"n"}},
    ),
    "assigned declaration": (
        (
            "%durable session chat",
            "n = %durable namespace n --class N",
            f"{ND}\nnd.Worker('a', script={JS!r}, bindings={{'N': n}})",
        ),
        {"ids": {"n", "a"}},
    ),
    "time": (("%durable session chat", "%time %durable namespace n --class N"), {"ids": {"n"}}),
    "cell magic time": ((OPEN, f"%%time\n{worker('a')}"), {"ids": {"a"}}),
    "cell magic capture": (
        (OPEN, f"%%capture out\n%durable namespace n --class N\n{worker('a')}"),
        {"ids": {"a", "n"}},
    ),
    "async": (
        (OPEN, f"async def make():\n    return nd.Worker('a', script={JS!r})", "w = await make()"),
        {"ids": {"a"}},
    ),
    "parameters": (
        (("stage = 'dev'\nname = 'chat'", "parameters"), f"{ND}\nnd.session(name, stage=stage)", worker("a")),
        {"session": "chat", "stage": "dev", "ids": {"a"}},
    ),
    "session line with values": (
        (
            ("stage = 'dev'\nname = 'chat'", "parameters"),
            "%durable session ${py:name} --stage x-${py:stage}",
            "%durable namespace n --class N",
        ),
        {"session": "chat", "stage": "x-dev", "ids": {"n"}},
    ),
    "value of a TOML cell made in Python": (
        (
            "%durable session chat",
            "import json",
            "limit = json.loads('7')",
            "%%durable\n[workers.a]\nscript='x'\nbindings.L={json='${py:limit}'}",
        ),
        {"ids": {"a"}},
    ),
    "settings": (
        (
            "%load_ext notebook_do\n%config Durable.stage = 'qa'",
            "%durable session chat",
            "%durable namespace n --class N",
        ),
        {"stage": "qa", "ids": {"n"}},
    ),
    "environment": (
        (
            "import os\nos.environ['NOTEBOOK_DO_STAGE'] = 'qa'",
            "%durable session chat",
            "%durable namespace n --class N",
        ),
        {"stage": "qa", "ids": {"n"}},
    ),
    "environment by magic": (
        ("%env NOTEBOOK_DO_STAGE=qa", "%durable session chat", "%durable namespace n --class N"),
        {"stage": "qa", "ids": {"n"}},
    ),
    "several sessions": (
        ("%durable session one", "%durable namespace n --class N", f"{ND}\nnd.session('two', stage='qa')", worker("a")),
        {"session": "two", "stage": "qa", "ids": {"a"}},
    ),
    "no session": ((ND, worker("a"), "%durable namespace n --class N"), {"session": "book", "ids": {"a", "n"}}),
    "only Python, no session": ((ND, worker("a")), {"session": "book", "ids": {"a"}}),
    "forgotten again": ((OPEN, worker("a"), worker("b"), "nd.current().forget('worker', 'b')"), {"ids": {"a"}}),
    "name bound again": (
        (OPEN, worker("a"), "nd = 5", "nd + 1\nraise RuntimeError('not run')", "%durable namespace n --class N"),
        {"ids": {"a", "n"}},
    ),
    "other statements beside an import": (
        (f"%load_ext notebook_do\n{ND}\n!false\nraise RuntimeError('not run')", "nd.session('chat')", worker("a")),
        {"ids": {"a"}},
    ),
    "lines that act": (
        (
            OPEN,
            worker("a"),
            "%durable deploy\n%durable fetch a /",
            "r = %durable deploy --approve 0123456789abcdef",
            "%durable import x",
        ),
        {"ids": {"a"}},
    ),
    "magic without its sign": (("durable session chat", "durable namespace n --class N"), {"ids": {"n"}}),
    "alias by the shell's names": (
        (OPEN, "W = get_ipython().user_ns['nd'].Worker", worker("a", of="W")),
        {"ids": {"a"}},
    ),
    "module by a sum of texts": (
        (
            "from importlib import import_module as get\nlib = get('note' + 'book_do')\nlib.session('x')",
            worker("a", of="lib.Worker"),
        ),
        {"ids": {"a"}},
    ),
    "directory": (
        (
            "import os\nos.makedirs('sub')\nopen('sub/w.js', 'w')",
            "%cd .",
            "%durable session chat",
            "%durable namespace n --class N",
        ),
        {"ids": {"n"}},
    ),
    "shell and show magics elsewhere": (
        (
            "%matplotlib inline\n%pip install notebook-do",
            "!pip install notebook-do",
            OPEN,
            f"%matplotlib inline\n{worker('a')}",
        ),
        {"ids": {"a"}},
    ),
}
"""By what is tried: the cells, and what the command line then has."""


@pytest.mark.parametrize("case", thinned(RUN, of=2), ids=lambda c: c.replace(" ", "-"))
def test_a_cell_that_names_us_is_run(place: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it needs, so that what it opens and declares is what is planned."""
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "none")
    monkeypatch.setenv("NOTEBOOK_DO_STAGE", "dev")
    cells, expected = RUN[case]
    found, _ = declare(place, *cells)
    assert {key: found[key] for key in expected} == expected


FAILS: dict[str, tuple[tuple[str | tuple[str, str], ...], str]] = {
    "deploy": ((OPEN, worker("a"), "nd.current().deploy(nd.current().plan)"), "cell 3: session.deploy is refused here"),
    "deploy behind a function": (
        (OPEN, worker("a"), "def go():\n    nd.current().deploy(None)", "go()"),
        "cell 4: session.deploy is refused here, as cells are run only for what they declare; notebook-do run",
    ),
    "deploy in a loop": (
        (OPEN, worker("a"), "for _ in range(3):\n    nd.current().deploy(None)"),
        "cell 3: session.deploy",
    ),
    "deploy that is caught": (
        (OPEN, worker("a"), "try:\n    nd.current().deploy(None)\nexcept BaseException:\n    pass", worker("b")),
        "cell 3: session.deploy",
    ),
    "deploy in a thread": (
        (
            OPEN,
            worker("a"),
            (
                "import threading\ndef go():\n    try:\n        nd.current().deploy(None)\n"
                "    except BaseException:\n        pass\nt = threading.Thread(target=go)\nt.start(); t.join()"
            ),
        ),
        "cell 3: session.deploy",
    ),
    "awaited deploy": ((OPEN, worker("a"), "await nd.current().adeploy(None)"), "cell 3: session.deploy"),
    "deploy by magic in if": (
        (OPEN, worker("a"), "if True:\n    %durable deploy"),
        "cell 3: %durable deploy is refused here",
    ),
    "result of a deploy": (
        (OPEN, worker("a"), "r = %durable deploy", "r['a'].fetch('/')"),
        "cell 3, line 1: what %durable deploy gives",
    ),
    "fetch": ((OPEN, worker("a"), "nd.current().fetch('a').text"), "cell 3: session.fetch is refused here"),
    "import": ((OPEN, worker("a"), "nd.current().import_('x')"), "cell 3: session.import_"),
    "import of a wrangler project": (
        (OPEN, worker("a"), "nd.current().import_wrangler('.')"),
        "cell 3: session.import_wrangler",
    ),
    "apply": ((OPEN, worker("a"), "nd.current().apply(None)"), "cell 3: session.apply"),
    "map": ((OPEN, worker("a"), "nd.current().map('a', None, object='name', call='grow')"), "cell 3: session.map"),
    "state": ((OPEN, worker("a"), "nd.current().state.restore(1)"), "cell 3: session.state"),
    "export": ((OPEN, worker("a"), "nd.current().export_types()"), "cell 3: session.export_types"),
    "client of one's own": (
        (
            OPEN,
            worker("a"),
            "from notebook_do.cloudflare.client import Client\nfrom notebook_do.credentials.token import Token",
            "client = Client('http://127.0.0.1:9/client/v4', 'a' * 32, Token('x' * 40, source='here'))",
            "await client.change('DELETE', '/accounts')",
        ),
        "cell 5: DELETE /accounts is refused here",
    ),
    "patched deploy": (
        (OPEN, worker("a"), "nd.Session.deploy = lambda *a, **k: None"),
        "cell 3: changes notebook_do itself (notebook_do.sessions.session.Session.deploy); leave that out",
    ),
    "patched session object": (
        (OPEN, worker("a"), "nd.current().plan = lambda: None"),
        "changes notebook_do itself (Session.plan)",
    ),
    "patched table": (
        (OPEN, worker("a"), "from notebook_do.notebook import commands\ncommands.RUN['plan'] = print"),
        "changes notebook_do itself (notebook_do.notebook.commands.RUN['plan'])",
    ),
    "patched refusal": (
        (OPEN, worker("a"), "import notebook_do.cloudflare.refusing as r\nr.check = lambda m: None"),
        "changes notebook_do itself (notebook_do.cloudflare.refusing.check)",
    ),
    "exec": (
        (OPEN, "exec(\"nd.Worker('a', script='x')\")"),
        "cell 2, line 1 runs notebook_do from a text; write that as code",
    ),
    "exec of a variable": (
        ("code = '''import notebook_do as lib\nlib.session('x')'''", "exec(code)", "%durable namespace n --class N"),
        "cell 2, line 1 runs notebook_do from a text",
    ),
    "run_cell": (
        ("%durable session chat", "get_ipython().run_cell('%durable namespace n --class N')"),
        "cell 2, line 1 runs notebook_do from a text",
    ),
    "shell command": (
        ("%durable session chat", "!notebook-do deploy x.ipynb --approve 1"),
        "cell 2, line 1 starts notebook-do as a command",
    ),
    "shell command in Python": (
        ("%durable session chat", "import subprocess\nsubprocess.run(['notebook-do', 'deploy', 'x'])"),
        "cell 2, line 2 starts notebook-do as a command",
    ),
    "bash": (
        ("%durable session chat", "%%bash\ncd x && notebook-do deploy y"),
        "cell 2, line 1 starts notebook-do as a command",
    ),
    "unknown line magic over our names": (
        (OPEN, "%mine nd.Worker('a', script='x')"),
        "cell 2, line 1 runs notebook_do from a text",
    ),
    "unknown cell magic over our names": (
        (OPEN, "%%mine\nnd.Worker('a', script='x')"),
        "cell 2, line 1 runs notebook_do from a text",
    ),
    "expression in a shell command": (
        (OPEN, "!echo {nd.Worker('a', script='x')}"),
        "cell 2, line 1 runs notebook_do from a text",
    ),
    "cell magic below a comment": (
        ("%durable session x", "# mine\n%%durable\n[workers.a]\nscript = 'x'"),
        "cell 2",
    ),
    "another name for the magic": (
        ("%alias_magic d durable", "%d session x"),
        "cell 1, line 1 gives %durable another name",
    ),
    "module written here": (
        (
            "%%writefile app.py\nimport notebook_do as nd\nnd.Worker('a')",
            "import app",
            "%durable namespace n --class N",
        ),
        "cell 1, line 1 uses notebook_do inside of %%writefile",
    ),
    "unknown cell magic": (
        ("%durable session x", "%%mine\n%durable namespace n --class N"),
        "uses notebook_do inside of %%mine",
    ),
    "syntax error that concerns us": ((OPEN, "nd.Worker('a'"), "cell 2 cannot be read: SyntaxError"),
    "asked": (
        (ND, "name = input('name')", "nd.session(name)", worker("a")),
        "cell 2, line 1 asks with input(), and declarations need it",
    ),
    "from the shell": ((ND, "name = !hostname", "nd.session(name[0])"), "cell 2, line 1: !hostname is not run here"),
    "from another file": (
        (f"{ND}\nnd.session('x')\n%run setup.py", worker("a")),
        "cell 1, line 3: %run setup.py is not run here",
    ),
    "another extension": ((f"{ND}\nnd.session('x')\n%load_ext sql", worker("a")), "%load_ext sql is not run here"),
    "undefined": ((OPEN, "nd.Worker(nowhere, script='x')"), "cell 2: NameError: name 'nowhere' is not defined"),
    "an error of the notebook": ((OPEN, worker("a"), "nd.Worker('b', scrpt='x')"), "book.ipynb, cell 3:"),
    "the last output": ((OPEN, worker("a"), "_.bindings"), "cell 3, line 1 uses the output of another cell, _"),
    "a verb that is none": (
        ("%durable session x", "%durable wroker a"),
        'cell 2: %durable: unknown verb "wroker", did you mean',
    ),
    "a session below declarations": (
        ("%durable namespace n --class N", OPEN),
        "cell 2: opens a session below book.ipynb, cell 1",
    ),
    "no value of that name": (
        ("%durable session ${py:nowhere}",),
        "cell 1: %durable session: ${py:nowhere}: there is no value of that name",
    ),
    "a value that is no text": (
        ("n = 5", "%durable session ${py:n}"),
        "cell 2: %durable session: ${py:n}: n must be a str, not int",
    ),
    "magic with words kept elsewhere": (
        ("%durable session x", "words = ('durable', 'namespace n --class N')", "get_ipython().run_line_magic(*words)"),
        "cell 3, line 1 runs notebook_do from a text",
    ),
    "source that is written by a cell": (
        ("%durable session x", "%%writefile w.js\nexport default {}", "%durable worker a --entrypoint w.js"),
        "cell 2, line 1 writes w.js, which is not there as this cell has it; run that cell first",
    ),
    "nothing": (("1", "print('%durable worker')"), "declares nothing with %durable, nor with notebook_do in Python"),
}
"""By what is tried: the cells, and what the one line says."""


@pytest.mark.parametrize("case", thinned(FAILS, of=2), ids=lambda c: c.replace(" ", "-"))
def test_what_cannot_be_run_is_an_error_that_names_the_cell(place: Path, case: str) -> None:
    """It says what to write instead, or what runs it; nothing is skipped."""
    cells, said = FAILS[case]
    with pytest.raises(DurableError) as error:
        declare(place, *cells)
    assert said in str(error.value)
    assert "\n" not in str(error.value).strip()


UNTOUCHED: dict[str, str] = {
    "side effect": "import pathlib\npathlib.Path('ran').touch()",
    "f-string that mentions it": "who = 'you'\nprint(f'%durable plan, {who}, or notebook-do x')\nopen('ran', 'w')",
    "text like markdown": 'text = """\n# notebook_do\n%durable worker a\n%%durable\n"""\nopen("ran", "w").write(text)',
    "comment": "# %durable worker a\n# nd.Worker('a')\nopen('ran', 'w')",
    "syntax error of its own": "open('ran', 'w'\n",
    "same words, other names": "class App:\n    def Worker(self, n): open('ran', 'w')\napp = App()\napp.Worker('a')",
    "shell": "!touch ran",
    "bash": "%%bash\ntouch ran",
    "markdown cell magic": "%%markdown\n%durable worker, notebook_do",
    "local name": "def f():\n    nd = open('ran', 'w')\n    return nd\nf()",
    "parameter": "(lambda nd: open('ran', 'w'))(1)",
    "exec of something else": "exec(\"open('ran', 'w')\")",
    "asks": "x = input()",
    "acting line": "x = %durable fetch a /",
}


@pytest.mark.parametrize("case", UNTOUCHED, ids=lambda c: c.replace(" ", "-"))
def test_a_cell_that_has_nothing_to_do_with_us_is_not_run(place: Path, case: str) -> None:
    """Whatever it says or does."""
    found, _ = declare(place, OPEN, UNTOUCHED[case], worker("a"))
    assert found["ids"] == {"a"}
    assert not (place / "ran").exists()


def test_a_variable_that_is_set_is_not_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that asks for a token is left out where the token is in the environment, else it is named."""
    asks = "import os, getpass\nif 'SOME_TOKEN' not in os.environ:\n    os.environ['SOME_TOKEN'] = getpass.getpass()"
    cells = (asks, "%durable session x", "%durable namespace n --class N")
    with pytest.raises(DurableError, match=r"cell 1, line 2 asks with getpass\(\)"):
        declare(place, *cells)
    monkeypatch.setenv("SOME_TOKEN", "set")
    assert declare(place, *cells)[0]["ids"] == {"n"}


def test_the_press_in_advance_is_not_the_notebook_s(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook cannot approve its own plan for the command line."""
    declare(place, OPEN, worker("a"), "import os\nos.environ['NOTEBOOK_DO_DEPLOY'] = 'press'\nnd.session('other')")
    assert session_module.current().auto_approve is False
    session_module._current = None
    monkeypatch.setenv("NOTEBOOK_DO_DEPLOY", "")
    declare(place, OPEN, worker("a"), "nd.current().auto_approve = True")
    assert session_module.current().auto_approve is False


def test_a_source_that_a_cell_wrote_is_taken_as_it_is(place: Path) -> None:
    """Where the file is what the cell has; nothing is written."""
    (place / "w.js").write_text(f"{JS}\n")
    found, _ = declare(place, "%durable session x", f"%%writefile w.js\n{JS}", "%durable worker a --entrypoint w.js")
    assert found["ids"] == {"a"}


def test_a_file_that_is_run_and_uses_us_is_refused(place: Path) -> None:
    """`%run FILE` is no module of the user's own: it can be seen."""
    (place / "setup.py").write_text("import notebook_do as nd\nnd.Worker('a', script='x')")
    with pytest.raises(DurableError, match=r"cell 1, line 1 runs setup.py, which uses notebook_do"):
        declare(place, "%run setup.py", "%durable session x\n%durable namespace n --class N")


def test_what_is_needed_is_run_and_no_more(place: Path) -> None:
    """Of a cell that a declaration needs something of, the statements that make it, and not those beside them."""
    needed = "LIMITS = {}\nopen('ran', 'w')\ndef limit(n):\n    return LIMITS[n]"
    found, _ = declare(
        place, OPEN, needed, "LIMITS['a'] = 'one'\nopen('ran', 'w')", f"nd.Worker(limit('a'), script={JS!r})"
    )
    assert found["ids"] == {"one"}
    assert not (place / "ran").exists()


SHARED = {
    "kept in a list": ("kept = []", "kept.append(cfg)", "kept[0]['id'] = 'two'"),
    "kept by a call": ("other = dict(a=cfg)", "other['a']['id'] = 'two'"),
    "given by a function": ("def get():\n    return cfg", "get()['id'] = 'two'"),
    "given by a generator": ("def each():\n    yield cfg", "for one in each():\n    one['id'] = 'two'"),
    "an attribute of a class": ("class Book:\n    kept = cfg", "Book.kept['id'] = 'two'"),
    "two names of one value": ("a = b = cfg", "b['id'] = 'two'"),
    "a pattern": ("match [cfg]:\n    case [one]:\n        one['id'] = 'two'",),
    "a text that is run": ('exec(\'cfg["id"] = "two"\')',),
    "an item of another": ("all_ = {'a': cfg}", "cfg = all_.get('a')", "all_['a']['id'] = 'two'"),
    "a star": ("from told import *",),
    "a module's attribute": ("import told", "told.cfg['id'] = 'two'", "cfg = told.cfg"),
}


@pytest.mark.parametrize("case", SHARED)
def test_what_changes_a_declaration_by_another_name_is_run(
    place: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that a declaration needs may be changed through whatever holds it: that is run as well."""
    (place / "told.py").write_text("cfg = {'id': 'two'}\n" if case == "a star" else "cfg = {'id': 'one'}\n")
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "told", raising=False)
    found, _ = declare(place, OPEN, "cfg = {'id': 'one'}", *SHARED[case], f"nd.Worker(cfg['id'], script={JS!r})")
    assert found["ids"] == {"two"}


@pytest.mark.parametrize(
    "cells",
    [
        ("import os as o", "o.environ['NOTEBOOK_DO_STAGE'] = 'qa'"),
        ("from os import environ as e", "e['NOTEBOOK_DO_STAGE'] = 'qa'"),
        ("import os\nos.environ.__setitem__('NOTEBOOK_DO_STAGE', 'qa')",),
        ("import os\ndef put(e, k):\n    e[k] = 'qa'", "put(os.environ, 'NOTEBOOK_DO_STAGE')"),
        ("import os\ngetattr(os, 'environ')['NOTEBOOK_DO_STAGE'] = 'qa'",),
        ("__import__('os').environ['NOTEBOOK_DO_STAGE'] = 'qa'",),
    ],
)
def test_the_environment_that_a_cell_sets_is_that_of_the_plan(
    place: Path, cells: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever name it is set: a plan for another stage than the notebook's is never shown."""
    monkeypatch.setenv("NOTEBOOK_DO_STAGE", "dev")
    assert declare(place, *cells, OPEN, worker("a"))[0]["stage"] == "qa"


def test_a_parameter_is_stronger_than_the_cell_and_must_be_one(place: Path) -> None:
    """`-p` comes after the tagged cell; one that the notebook would not notice is refused."""
    cells = (
        ("stage = 'dev'", "parameters"),
        "%durable session chat --stage ${py:stage}",
        "%durable namespace n --class N",
    )
    assert declare(place, *cells, stage="production")[0]["stage"] == "production"
    with pytest.raises(DurableError, match='no parameter stge, did you mean "stage"'):
        declare(place, *cells, stge="production")
    with pytest.raises(DurableError, match=r"-p stage: book.ipynb, cell 1 sets stage again"):
        declare(place, "stage = 'dev'", *cells[1:], stage="production")


def test_an_option_is_stronger_and_what_the_notebook_says_is_told(place: Path) -> None:
    """The line names both; an option that would make one session of several is refused."""
    cells = (f"{ND}\nnd.session('chat', stage='production')", worker("a"))
    found, imposed = declare(place, *cells, options={"stage": "dev"})
    assert found["stage"] == "dev"
    assert list(imposed.unlike.values()) == ["--stage dev is used; the notebook says production (book.ipynb, cell 1)."]
    found, imposed = declare(place, ND, "nd.session('chat')", worker("a"), options={"stage": "qa"})
    assert (found["stage"], imposed.unlike) == ("qa", {})
    both = f"{ND}\nfor stage in ('dev', 'production'):\n    nd.session('chat', stage=stage)\n    {worker('a')}"
    with pytest.raises(DurableError, match="opens several sessions, and --stage would make one of them"):
        declare(place, both, options={"stage": "dev"})


def test_the_magic_takes_values_on_session_lines(place: Path, ip: InteractiveShell) -> None:
    """In a notebook as on the command line: only text, and only what is defined."""
    ip.user_ns.update(name="chat", stage="qa", number=5)
    for line, said in (("${py:nme}", "no value of that name"), ("${py:number}", "number must be a str, not int")):
        with pytest.raises(DurableError, match=said):
            ip.run_line_magic("durable", f"session {line}")
    ip.run_line_magic("durable", "session ${py:name} --target cloudflare --stage ${py:stage} -h")


def test_an_approval_may_be_a_value_of_the_notebook(place: Path, ip: InteractiveShell) -> None:
    """`--approve ${py:approve}` takes a text; of a number, which a digest of digits becomes, it says how it is kept."""
    for value, said in (
        (None, "there is no value of that name; define approve in Python first"),
        (1234567890123456, "approve must be a str, not int; .* with papermill by -r approve TEXT"),
        ("safe", "--approve takes the digest of a plan that was shown"),
    ):
        if value is not None:
            ip.user_ns["approve"] = value
        with pytest.raises(DurableError, match=said):
            ip.run_line_magic("durable", "deploy --approve ${py:approve}")


@pytest.mark.parametrize("name", sorted(p.name for p in NOTEBOOKS.glob("*.ipynb")))
def test_our_own_notebooks_can_be_planned(place: Path, cloud: Path, name: str) -> None:
    """All but those whose Python calls Workers or objects, which is said."""
    cells = [c for c in json.loads((NOTEBOOKS / name).read_text())["cells"] if c["cell_type"] == "code"]
    given = [("".join(c["source"]), *c["metadata"].get("tags", ())) for c in cells]
    calling = {
        "explore.ipynb": "session.object(...).call is refused here",
        "map-a-dataframe.ipynb": "what %durable map gives is used, and only a run of the notebook does it",
    }
    if name in calling:
        with pytest.raises(DurableError, match=re.escape(calling[name])):
            declare(place, *given)
    else:
        declare(place, *given)
        assert session_module.current().plan().steps


def shuffled(names: list[str]) -> st.SearchStrategy[list[str]]:
    """Give some of these, in any order."""
    return st.lists(st.sampled_from(names), min_size=6, max_size=12)


PIECES = {
    "open": "session = nd.session('one')",
    "open by magic": "%durable session two --stage qa",
    "namespace": "%durable namespace n --class N",
    "namespace in if": "if True:\n    %durable namespace n --class M",
    "worker": "w = nd.Worker('a', script=SOURCE, bindings={'N': nd.DurableObjectNamespace('n', class_name='N')})",
    "function": "def make(id, *, of=None):\n    return nd.Worker(id, script=SOURCE, bindings=dict(NAMES))",
    "called": "try:\n    make('b')\nexcept NameError:\n    pass",
    "values": "NAMES['X'] = str(len(NAMES))",
    "values by update": "NAMES.update(Y='y')",
    "more": "SOURCE += '//'",
    "toml": "%%durable\n[workers.c]\nscript = 'export default {}'\nbindings.L = {json = \"${py:NAMES}\"}",
    "forget": "nd.current().forget('worker', 'b')",
    "loop": "for n in sorted(NAMES):\n    nd.Worker(n.lower(), script=SOURCE)",
    "other": "print('nothing to do with it')",
    "look": "len(nd.current().catalog.workers)",
}
START = ("%load_ext notebook_do\nimport notebook_do as nd", "SOURCE = 'export default {}'\nNAMES = {}", PIECES["open"])


@settings(max_examples=settings.default.max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(picked=["values", "loop"])
@example(picked=["values by update", "function", "more", "called", "open by magic", "toml"])
@given(picked=shuffled(sorted(PIECES)))
def test_what_is_declared_is_what_the_notebook_declares_by_hand(place: Path, picked: list[str]) -> None:
    """In any order of cells: the same session, and declarations of which every plan is the same."""
    cells = (*START, *(PIECES[name] for name in picked), PIECES["worker"])
    session_module._current = None
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in cells:
        assert shell.run_cell(cell, silent=True).success
    by_hand = session_module.current()
    session_module._current = None
    declare(place, *cells)
    here = session_module.current()
    assert here.identity == by_hand.identity
    assert here.catalog.desired(here.name, here.stage, read=reader()) == by_hand.catalog.desired(
        here.name, here.stage, read=reader()
    )


@pytest.mark.parametrize("seed", thinned(range(4), of=4))
def test_the_digest_is_that_of_a_run_by_hand(place: Path, cloud: Path, seed: int) -> None:
    """The plan of what the command line declares is the plan that the notebook shows, by its digest."""
    picked = random.Random(seed).sample(sorted(set(PIECES) - {"forget"}), 6)
    cells = (*START, *(PIECES[name] for name in picked), PIECES["worker"])
    session_module._current = None
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in cells:
        assert shell.run_cell(cell, silent=True).success
    by_hand = session_module.current().plan().digest
    session_module._current = None
    declare(place, *cells)
    assert session_module.current().plan().digest == by_hand
