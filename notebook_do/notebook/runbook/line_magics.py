"""What a magic does with names: those that run Python, that change the process, that only show, and all others."""

from __future__ import annotations

import ast
import re
import shlex
from typing import TYPE_CHECKING

from notebook_do.notebook.runbook.names import MENTIONS, REFERENCE, Names, starts_command

if TYPE_CHECKING:
    from collections.abc import Callable

_PYTHON_LINE = {"time", "timeit", "prun", "memit", "mprun", "lprun"}
_PYTHON_CELL = {"time", "timeit", "prun", "capture", "memit"}
_SHELLS = {"bash", "sh", "script", "system", "sx", "!", "zsh"}
_TEXT_CELL = {"html", "HTML", "markdown", "latex", "svg", "SVG", "javascript", "js"}
_SHOWS = {"matplotlib", "autoreload", "pinfo", "pinfo2", "psource", "pdoc", "pfile", "precision", "who", "whos"}
_SHOWS |= {"who_ls", "pwd", "history", "lsmagic", "xmode", "pdb", "pprint", "reset_selective", "ls"}
_INSTALLERS = {"pip", "conda", "mamba", "uv", "run", "load_ext", "reload_ext", "unload_ext"}
_PROCESS_MAGICS = {"env", "set_env", "cd", "pushd", "popd", "dotenv"}


def magic(found: Names, node: ast.Call, of_code: Callable[[str], Names]) -> bool:
    """Read a magic that is called by name; False when its name does not stand there."""
    words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if len(words) < len(node.args) or len(words) < 2:
        return False
    name, line, *body = words
    found.texts |= {line, *body}
    if name.endswith("durable"):
        _durable(found, name, texts=[line, *body])
        return True
    found.run_texts |= {" ".join(expanded(line, of_code))}
    if body:
        _cell_magic(found, (name, line, body[0]), of_code)
    elif name in _PYTHON_LINE:
        inner = of_code(re.sub(r"^(\s*-\w+(\s*\d+)?)+\s", "", line))
        found.take(inner)
        found.binds |= inner.binds
    elif name in _PROCESS_MAGICS or (name == "config" and "Durable" in line):
        found.process = True
        if name in {"env", "set_env"} and (variable := re.match(r"\s*(\w+)[=\s]", line)):
            found.variables.add(variable[1])
    elif name in {"load_ext", "reload_ext", "unload_ext"} and line.strip() in {"notebook_do", "autoreload", "dotenv"}:
        found.shows = line.strip() != "dotenv"
    elif name in _SHOWS or name == "config":
        found.shows = True
    else:
        _other_line(found, name, line, of_code)
    return True


def _durable(found: Names, name: str, *, texts: list[str]) -> None:
    found.named = True
    found.loads |= {one.strip() for text in texts for one in REFERENCE.findall(text)}
    if name != "durable":
        found.wrong = "has %%durable below its first line; put it first in a cell of its own"


def expanded(text: str, of_code: Callable[[str], Names]) -> set[str]:
    """Give the names that IPython reads for `{EXPRESSION}` and `$NAME` in a shell command or the line of a magic."""
    found = {name for part in re.findall(r"\{([^{}]*)\}", text) for name in of_code(part).loads}
    return found | set(re.findall(r"\$\{?(\w+)", text))


def _other_line(found: Names, name: str, line: str, of_code: Callable[[str], Names]) -> None:
    found.refused = f"%{name} {line}".rstrip()
    if name not in _INSTALLERS:
        found.run_texts |= {" ".join(of_code(line).loads)}
    if name in {"system", "sx", "sc", "!"} and starts_command(line):
        found.wrong = "starts notebook-do as a command; write the %durable line instead"
    elif name in {"alias_magic", "macro"} and re.search(r"\bdurable\b", line):
        found.wrong = "gives %durable another name; write %durable"
    elif name not in _INSTALLERS and MENTIONS.search(line):
        found.wrong = f"uses %durable inside of %{name}; write it on a line of its own"


def _cell_magic(found: Names, parts: tuple[str, str, str], of_code: Callable[[str], Names]) -> None:
    name, line, body = parts
    if name in _PYTHON_CELL:
        inner = of_code(body)
        found.take(inner)
        found.binds |= inner.binds
        if name == "capture" and line.split() and not line.split(maxsplit=1)[0].startswith("-"):
            found.binds.add(line.split(maxsplit=1)[0])
        return
    if name in _TEXT_CELL:
        found.shows = True
        return
    found.refused = f"%%{name}"
    python = name in {"writefile", "file"} and line.strip().endswith(".py")
    if name in {"writefile", "file"} and len(words := shlex.split(line, posix=True)) == 1:
        found.writes[words[0]] = body
    if name in _SHELLS:
        if starts_command(body):
            found.wrong = "starts notebook-do as a command; write the %durable line instead"
    elif name not in {"writefile", "file"}:
        found.run_texts |= {" ".join(of_code(body).loads)}
    if (python or name not in {"writefile", "file", *_SHELLS}) and MENTIONS.search(body):
        found.wrong = f"uses notebook_do inside of %%{name}; write it in a cell of its own, without %%{name}"
