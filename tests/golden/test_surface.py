"""What a user types and reads is as it was: verbs, options, help, settings, names, signatures, codes, exit codes.

After a deliberate change write the files anew with `python tests/golden/write.py surface`, look at their diff, and
commit both together with the reason. Exit codes of real runs are held by tests/test_cli.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from files import golden
from small_account import ID, SmallAccount, serve
from surface import ROOT, codes, command_line, magics, public
from world import TOKEN, as_json, home

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def helped() -> Any:
    """Read all help texts."""
    return as_json({"magics": magics(), "command line": command_line()})


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, texts in golden("help").items() for n in texts])
def test_help_is_as_it_was(kind: str, name: str, helped: Any) -> None:
    """Each verb and command, its options, and the settings of `%config Durable`."""
    assert helped[kind].get(name) == golden("help")[kind][name]


def test_no_verb_and_no_command_is_new(helped: Any) -> None:
    """The overview lists those that the file has."""
    assert {kind: set(texts) for kind, texts in helped.items()} == {k: set(t) for k, t in golden("help").items()}


@pytest.fixture(scope="module")
def offered() -> Any:
    """Look at every public name."""
    return as_json(public())


@pytest.mark.parametrize("name", golden("public"))
def test_a_public_name_is_as_it_was(name: str, offered: Any) -> None:
    """What it takes, what a class offers, what an error is."""
    assert offered.get(name) == golden("public")[name]


def test_no_public_name_is_new(offered: Any) -> None:
    """`__all__` is the list of the file, without a name twice."""
    assert offered.keys() == golden("public").keys()
    assert len(nd.__all__) == len(set(nd.__all__))


@pytest.fixture(scope="module")
def named() -> Any:
    """Find the codes and variables."""
    return codes()


@pytest.mark.parametrize("what", golden("codes"))
def test_codes_and_variables_are_as_they_were(what: str, named: Any) -> None:
    """No refusal code, variable of the environment or kind of module vanishes or appears unseen."""
    assert named[what] == golden("codes")[what]


def test_every_refusal_code_stands_in_the_source_as_a_word() -> None:
    """Wherever a code is kept, it is written there whole: one that vanished is missed whatever the tables look like."""
    words = set(re.findall(r"\"([a-z]+(?:-[a-z]+)*)\"", "".join(p.read_text() for p in ROOT.rglob("*.py"))))
    assert set(golden("codes")["refusals"]) - words == set()


def test_errors_are_one_tree() -> None:
    """Every public error is a DurableError, so that one `except` catches all that a user can cause."""
    errors = {n: of["is"] for n, of in golden("public").items() if "is" in of}
    assert len(errors) >= 15
    assert all(ancestors[-2:] == ["DurableError", "Exception"] for ancestors in errors.values())


WORKER = """[workers.w]
lang = "py"
script = "class Default: pass"
compatibility_date = "2026-01-01"
"""
RUNS = {
    ("plan", "w.toml"): 0,
    ("deploy", "w.toml"): 3,
    ("destroy", "w.toml", "w", "--approve", "safe"): 3,
    ("deploy", "refused.toml", "--approve", "safe"): 3,
    ("deploy", "w.toml", "--approve", "safe"): 0,
    ("plan", "refused.toml"): 3,
    ("fetch", "w.toml", "nobody"): 2,
    ("plan", "nowhere.toml"): 2,
    ("values", "w.toml", "--wrong"): 2,
    ("plan", "wrong.toml"): 1,
}


def test_exit_codes_are_as_they_were(tmp_path: Path) -> None:
    """0 done, 1 failed, 2 wrong usage, 3 refused, waiting for an approval, or not safe to be sent unread."""
    (tmp_path / "w.toml").write_text(WORKER)
    (tmp_path / "wrong.toml").write_text("[workers.w]\\nlang = 'cobol'\\n")
    (tmp_path / "refused.toml").write_text(WORKER + 'domains = ["a.example.org"]\n')
    server, url = serve(SmallAccount())
    code = "import json, sys; from notebook_do.cli import main; print(*[main(w) for w in json.loads(sys.argv[1])])"
    options = ["--session", "golden", "--target", "cloudflare"]
    words = [[verb, str(tmp_path / file), *rest, *options] for verb, file, *rest in RUNS]
    with home(tmp_path):
        told = {"CLOUDFLARE_API_BASE_URL": url, "CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": ID}
        command = [sys.executable, "-c", code, json.dumps(words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **told})
    server.shutdown()
    server.server_close()
    assert [int(status) for status in done.stdout.splitlines()[-1].split()] == list(RUNS.values()), done.stderr


HEAVY = (
    "pandas",
    "numpy",
    "ipywidgets",
    "httpx",
    "httpcore",
    "starlette",
    "uvicorn",
    "websockets",
    "platformdirs",
    "ssl",
)


def test_loading_brings_no_heavy_library() -> None:
    """`%load_ext notebook_do` is cheap: pandas, ipywidgets and httpx wait for the first verb that needs them."""
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; ip = S.instance();"
        f"heavy = {HEAVY!r}; before = set(sys.modules); ip.run_line_magic('load_ext', 'notebook_do');"
        "print('notebook_do' in sys.modules, [m for m in heavy if m in sys.modules and m not in before])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "True []"
