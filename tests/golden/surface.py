"""What a user types and reads: verbs, options, help texts, settings, names, signatures, codes and variables."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

from inside import planned_codes
from small_account import SmallAccount
from world import cloudflare, folder, home, run_cell, shell

import notebook_do as nd
from notebook_do.cli import main
from notebook_do.notebook.verbs import BY_NAME

ROOT = Path(nd.__file__).parent
_OURS = re.compile(r"\bNOTEBOOK_DO_[A-Z_]+\b")
_CLOUDFLARES = re.compile(r"\b(?:CLOUDFLARE|CF)_[A-Z][A-Z_]*[A-Z]\b")
_OF_MODEL = ("Module", "ModuleKind", "NamespaceBinding", "ServiceBinding")
_LONG_OPTION = re.compile(r"(-\w) ([A-Z ]+), (--[\w-]+) \2")


def magics() -> dict[str, list[str]]:
    """Give what `%durable -h` and `-h` of every verb that it lists print, by verb, line by line; and the settings."""
    told: dict[str, list[str]] = {"": _printed("%durable -h")}
    listed = "\n".join(told[""]).partition("Topics")[0]
    told |= {verb: _printed(f"%durable {verb} -h") for verb in BY_NAME if re.search(rf"(?<=  ){verb}  ", listed)}
    with shell() as ip:
        settings = ip.magics_manager.registry["Durable"].traits(config=True)
        told["%config Durable"] = [f"{name}: {trait.help}" for name, trait in sorted(settings.items())]
        told["magics"] = [
            f"{n} {kind}" for kind, all_ in ip.magics_manager.magics.items() for n in all_ if "durable" in n
        ]
    return told


def _printed(line: str) -> list[str]:
    with shell() as ip, contextlib.redirect_stdout(io.StringIO()) as out:
        run_cell(ip, line)
    return out.getvalue().rstrip().splitlines()


def command_line() -> dict[str, str]:
    """Give what `notebook-do -h` and `-h` of every command that it lists print, by command, in one line each.

    Line breaks are argparse's, and differ between versions of Python, as the way to write a short option does.
    """
    told = {"": _helped("-h")}
    (commands,) = re.findall(r"COMMAND (.*?) options:", told[""])
    names = re.findall(r"(?<=\x00)[a-z]+", _helped("-h", marked=True))
    assert len(names) > 10, commands
    return told | {name: _helped(name, "-h") for name in names}


def _helped(*words: str, marked: bool = False) -> str:
    wide = mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"})
    with wide, contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(words)
    text = re.sub(r"^ {4}(?=[a-z])", "\x00", out.getvalue(), flags=re.MULTILINE) if marked else out.getvalue()
    return _LONG_OPTION.sub(r"\1, \3 \2", " ".join(text.split(" " if marked else None)))


# --- names and signatures


def public() -> dict[str, Any]:
    """Give every public name with what it takes; of a class its public attributes too, of an error its ancestors."""
    return {name: _described(name, getattr(nd, name)) for name in sorted(nd.__all__)} | _values()


def _described(name: str, value: Any) -> dict[str, Any]:
    if inspect.ismodule(value):  # `nd.session` while a module of that name, made callable, is bound over the function
        return {"takes": _taken(type(value).__call__)}
    if inspect.isclass(value) and issubclass(value, BaseException):
        return {"takes": _taken(value), "is": [c.__name__ for c in value.__mro__ if c not in (BaseException, object)]}
    if inspect.isclass(value):
        made = {} if value is nd.Session else {"takes": _taken(value)}  # a session is opened, never made
        return made | _attributes(value)
    if not callable(value):
        return {"value": repr(value)}
    return {"takes": _taken(value)}


_PLAIN = tuple | dict | str | int


def _attributes(kind: type) -> dict[str, Any]:
    """Give what a class offers: of a method what it takes, of anything else that it is there."""
    found: dict[str, Any] = {}
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        if name.startswith("_") or (
            issubclass(kind, _PLAIN) and name in {*dir(tuple), *dir(dict), *dir(str), *dir(int)}
        ):
            continue
        value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        found[name] = _taken(value) if inspect.isfunction(value) else "value"
    return found


def _taken(function: Any) -> str:
    """Write the parameters of a function: names, kinds and defaults."""
    parameters = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]
    return str(inspect.Signature(p for p in parameters if p.name not in {"self", "cls"}))


def _values() -> dict[str, Any]:
    """Give the classes that a user meets as values: plan, result, deployed Worker, status, table, declarations."""
    with folder() as place, shell() as ip, cloudflare(SmallAccount(), place) as session:
        worker = nd.Worker("w", script="class Default: pass", lang="py", compatibility_date="2026-01-01")
        plan = session.plan()
        result = session.deploy(plan)
        refused = run_cell(ip, "import notebook_do as nd\nnd.current().plan(['nobody'])")
        met = {
            "(a plan)": plan,
            "(a change)": plan.changes[0],
            "(a refusal)": refused.refusals[0],
            "(a baseline)": plan.baseline,
            "(a result)": result,
            "(an outcome)": result.outcomes[0],
            "(a deployed Worker)": result["w"],
            "(a status)": session.status(),
            "(a table)": session.show("state"),
            "(a declared namespace)": nd.DurableObjectNamespace("c", class_name="C"),
            "(a declared Worker)": worker,
        }
        return {name: _offered(value) for name, value in met.items()}


def _offered(value: Any) -> dict[str, Any]:
    offered = {name for name in dir(value) if not name.startswith("_")}
    return dict.fromkeys(sorted(offered), "value") | {
        name: takes for name, takes in _attributes(type(value)).items() if name in offered
    }


# --- codes, variables, names that cells of the first edition use


def codes() -> dict[str, list[str]]:
    """Give the codes of refusals, the variables of the environment, and what `from notebook_do import model` has."""
    from notebook_do import model

    return {
        "refusals": sorted(planned_codes(ROOT)),
        "variables of ours": _settings(),
        "variables of Cloudflare's tools": sorted(_variables()),
        "model": [
            name for name in ("Module", "ModuleKind", "NamespaceBinding", "ServiceBinding") if hasattr(model, name)
        ],
        "kinds of modules": sorted(kind.value for kind in model.ModuleKind),
    }


def _settings() -> list[str]:
    """Ask for the variables that begin as ours do: a wrong one is told with those that are known."""
    with folder() as place, home(place), mock.patch.dict(os.environ, {f"NOTEBOOK_DO_{60 * '0'}": "1"}):
        try:
            nd.session("golden")
        except nd.CommandError as error:
            return sorted(set(_OURS.findall(str(error))))
    raise AssertionError("an unknown variable was taken")


def _variables() -> set[str]:
    """Find the variables that the source names."""
    texts = {
        node.value
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {name for text in texts for name in _CLOUDFLARES.findall(text)}
