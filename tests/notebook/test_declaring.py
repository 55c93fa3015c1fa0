"""`nd.Worker`, `nd.DurableObjectNamespace` and `nd.session` as a person meets them: classes, keywords, clear lines."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import provisionalcompleter

import notebook_do as nd
import notebook_do.sessions.opening as session_module
from notebook_do import model
from notebook_do.declare.cell import parse_cell
from notebook_do.model import NAMESPACE_FIELDS, WORKER_FIELDS
from notebook_do.model.worker import REQUIRED

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

SOURCE = "export default {}"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nd.Session:
    """Open a session in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session_module, "_current", None)
    return nd.session("app")


def test_they_are_classes_of_what_they_declare(session: nd.Session) -> None:
    """`isinstance` holds for what a call gives and for what a cell declared, and for nothing else."""
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    worker = nd.Worker("w", script=SOURCE, bindings={"COUNTER": counter})
    (of_cell,) = session.declare(*parse_cell("worker other", SOURCE))
    assert inspect.isclass(nd.Worker)
    assert inspect.isclass(nd.DurableObjectNamespace)
    assert [isinstance(x, nd.Worker) for x in (worker, of_cell, counter, "w")] == [True, True, False, False]
    assert [isinstance(x, nd.DurableObjectNamespace) for x in (counter, worker)] == [True, False]
    assert type(worker) is model.Worker
    match worker:
        case nd.Worker(id=found):
            assert found == "w"


def test_only_a_call_registers(session: nd.Session) -> None:
    """A copy, a pickle and a changed value are values: the session declares what was called for."""
    worker = nd.Worker("w", script=SOURCE, bindings={"A": "a"}, crons=["* * * * *"])
    for made in (
        copy.copy(worker),
        copy.deepcopy(worker),
        pickle.loads(pickle.dumps(worker)),
        replace(worker, url=False),
        replace(worker, id="another"),
    ):
        assert isinstance(made, nd.Worker)
        assert session.catalog.workers == {"w": worker}
    assert pickle.loads(pickle.dumps(worker)) == worker
    assert nd.Worker("w", script="export default 1") == session.catalog.workers["w"]


@pytest.mark.parametrize(
    ("declaring", "fields"), [(nd.Worker, WORKER_FIELDS), (nd.DurableObjectNamespace, NAMESPACE_FIELDS)]
)
def test_the_signature_is_that_of_the_table(declaring: Any, fields: Any) -> None:
    """Every field is a keyword with the table's default, written out, beside the id and the place."""
    parameters = dict(inspect.signature(declaring).parameters)
    assert parameters.pop("id").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters.pop("where").default is None
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    defaults = {name: REQUIRED if p.default is p.empty else p.default for name, p in parameters.items()}
    empty = {"tail_consumers": None, "tags": None, "bindings": None}
    assert {n: empty.get(n, d) for n, d in defaults.items()} == {n: f.default for n, f in fields.items()}


WORKER = "Worker w: "
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": "no"}, "url must be true or false, not 'no'."),
    ({"url": 1}, "url must be true or false, not 1."),
    ({"adopt": "maybe"}, "adopt must be true or false, not 'maybe'."),
    ({"lifecycle": "foo"}, "lifecycle 'foo': known are auto, exports, migrations."),
    ({"lang": "rust"}, "lang 'rust': known are js, ts, py."),
    ({"lang": 3}, "lang must be a string, not 3."),
    ({"script": 5}, "script must be a string, not 5."),
    ({"compatibility_date": 20260101}, "compatibility_date must be a string, not 20260101."),
    (
        {"compatibility_flags": "nodejs_compat"},
        "compatibility_flags must be a list of strings, not the string 'nodejs_compat'; write ['nodejs_compat'].",
    ),
    ({"crons": "* * * * *"}, "crons must be a list of strings, not the string '* * * * *'; write ['* * * * *']."),
    ({"routes": "a.com/*"}, "routes must be a list of strings, not the string 'a.com/*'; write ['a.com/*']."),
    ({"crons": [5]}, "crons must be a list of strings, not [5]."),
    ({"consumes": 5}, "consumes must be a table of settings by queue, or a list of queues, not 5."),
    ({"limits": "x"}, "limits must be a table, not 'x'."),
    ({"logpush": "on"}, "logpush must be true or false, not 'on'."),
    ({"assets": "public"}, "assets must be a table with a directory, not 'public'."),
    ({"modules": "index.js"}, "modules must be a list of nd.Module(name=..., content=...), not a str."),
    ({"bindings": ["hidden"]}, "bindings must be a table of values by name, not a list."),
    ({"bindings": {5: "x"}}, "binding name 5 must be a string."),
    ({"binding": {}}, "unknown keyword binding; did you mean bindings?"),
    ({"scrpt": "x"}, "unknown keyword scrpt; did you mean script?"),
    ({"compat_date": "2026-01-01"}, "unknown keyword compat_date; did you mean compatibility_date?"),
    ({"zzz": 1}, "unknown keyword zzz; known are name, script, bindings, "),
    ({"usage_model": "x"}, "usage_model cannot be declared: every account has the standard usage model"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[str(given) for given, _ in WRONG])
def test_a_wrong_keyword_is_one_clear_line(session: nd.Session, given: dict[str, Any], said: str) -> None:
    """It is told at once, names the Worker, and nothing is declared."""
    with pytest.raises(nd.DeclarationError) as caught:
        nd.Worker("w", **{"script": SOURCE, **given})
    assert str(caught.value).startswith(f"{WORKER}{said}")
    assert "\n" not in str(caught.value)
    assert not session.catalog.workers


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nd.Worker(5, script=SOURCE), "Worker: its id must be a string, not 5."),
        (lambda: nd.Worker(script=SOURCE), "Worker: missing a required argument: 'id'."),
        (lambda: nd.Worker("w", SOURCE), "Worker w: too many positional arguments."),
        (lambda: nd.Worker("w"), "Worker w has no source; give exactly one of script, entrypoint or modules."),
        (lambda: nd.DurableObjectNamespace("c"), "namespace c: missing a required argument: 'class_name'."),
        (
            lambda: nd.DurableObjectNamespace("c", class_name=None),
            "namespace c: class_name must be a string, not ",
        ),
        (lambda: nd.DurableObjectNamespace("c", class_name="C", sqlite="no"), "namespace c: sqlite must be true or "),
        (lambda: nd.DurableObjectNamespace("c", class_name="C", protect="no"), "namespace c: protect must be true or "),
        (
            lambda: nd.DurableObjectNamespace("c", clas_name="C"),
            "namespace c: unknown keyword clas_name; did you ",
        ),
        (lambda: nd.Module(name="a", content="text"), "module 'a': name must be a string and content bytes."),
        (lambda: nd.Module(name="a", content=b"", kind="txt"), "module a: kind 'txt': did you mean text?"),
    ],
)
def test_a_wrong_call_is_one_clear_line(session: nd.Session, make: Any, said: str) -> None:
    """Also where Python itself would refuse it."""
    with pytest.raises(nd.DeclarationError) as caught:
        make()
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("toml", "given", "said"),
    [
        ("url = 'no'", {"url": "no"}, "url must be true or false, not 'no'."),
        ("crons = '* * * * *'", {"crons": "* * * * *"}, "; write ['* * * * *']."),
        ("lang = 'rust'", {"lang": "rust"}, "lang 'rust': known are js, ts, py."),
        ("assets = 'public'", {"assets": "public"}, "assets must be a table with a directory, not 'public'."),
        ("limits = {cpu_ms = 0}", {"limits": {"cpu_ms": 0}}, "cpu_ms of limits must be a whole number of at least 1"),
        ("crons = ['x']", {"crons": ["x"]}, "cron 'x' must have five fields"),
    ],
)
def test_toml_and_python_say_the_same(toml: str, given: dict[str, Any], said: str) -> None:
    """One check a field, whoever asks."""
    with pytest.raises(nd.DeclarationError, match="orker w: ") as of_toml:
        parse_cell("", f"[workers.w]\nscript = 'x'\n{toml}\n")
    with pytest.raises(nd.DeclarationError, match=r"^Worker w: ") as of_python:
        nd.Worker("w", **{"script": "x", **given})
    assert said in str(of_toml.value)
    assert str(of_toml.value).partition("orker w: ")[2] == str(of_python.value).partition("orker w: ")[2]


def test_any_iterable_and_mapping_will_do(session: nd.Session) -> None:
    """A set, a generator, a tuple: what Python has for a list."""
    crons = (cron for cron in ("* * * * *",))
    worker = nd.Worker(
        "w", script=SOURCE, crons=crons, tags={"b:1", "a:1"}, tail_consumers=("logs",), consumes=iter(["jobs"])
    )
    assert worker.crons == ("* * * * *",)
    assert worker.options.value == {"tags": ["a:1", "b:1"], "tail_consumers": [{"service": "logs"}]}
    assert [t.key for t in worker.triggers] == ["jobs"]


def test_session_is_a_function_with_names(session: nd.Session) -> None:
    """`inspect.signature` shows its keywords; one that it does not have is told with the nearest."""
    assert inspect.isfunction(nd.session)
    named = ["name", "stage", "target", "account", "state", "lock", "crons"]
    assert list(inspect.signature(nd.session).parameters) == named
    with pytest.raises(nd.CommandError, match=r"^nd\.session: unknown keyword stag; did you mean stage\?$"):
        nd.session("app", stag="dev")  # type: ignore[call-arg]
    with pytest.raises(nd.CommandError, match=r"^nd\.session: missing a required argument: 'name'\.$"):
        nd.session()  # type: ignore[call-arg]
    with pytest.raises(nd.CommandError, match=r"^session 5: use letters"):
        nd.session(5)  # type: ignore[arg-type]


def test_dir_offers_the_public_names_and_nothing_else(ip: InteractiveShell) -> None:
    """`dir(nd)` is `__all__`, and so is what `nd.<TAB>` gives."""
    assert dir(nd) == sorted(nd.__all__)
    assert all(getattr(nd, name) is not None for name in nd.__all__)
    ip.run_cell("import notebook_do as nd")
    for jedi in (False, True):
        ip.Completer.use_jedi = jedi
        with provisionalcompleter():
            found = {c.text.lstrip(".") for c in ip.Completer.completions("nd.", 3)}
        assert found == set(nd.__all__), jedi
