"""Reads what Python code and magics do with names, from the syntax tree of what IPython makes of them, into `Names`."""

from __future__ import annotations

import ast
import re
import shlex

from notebook_do.declare.line import REFERENCE
from notebook_do.notebook.runbook.names import MENTIONS, PACKAGE, UsedNames, root, roots, starts_command, transformed

_RUNS_TEXT = {"exec", "eval", "compile", "run_cell", "run_cell_async", "run_code", "ex", "ev"}
_RUNS_COMMAND = {"system", "getoutput", "getoutput_pexpect", "Popen", "popen", "run", "call", "check_call"}
_RUNS_COMMAND |= {"check_output", "getstatusoutput", "create_subprocess_exec", "create_subprocess_shell"}
_ASKS = {"input", "raw_input", "getpass"}
_MAGICS = {"run_line_magic", "run_cell_magic", "magic"}
_DYNAMIC = {"globals", "locals", "vars", "user_ns", "user_global_ns", "__builtins__", "builtins", "__main__"}
_DYNAMIC |= {"setattr", "exec", "eval", "push", "run_cell", "ex", "__dict__"}
_PROCESS_CALLS = {"chdir", "fchdir", "putenv", "unsetenv", "load_dotenv"}
# Functions that only look at what they are given. Any other may change its arguments in place.
_LOOKS = {"print", "display", "len", "str", "repr", "sorted", "list", "tuple", "set", "dict", "isinstance", "type"}
_LOOKS |= {"int", "float", "bool", "sum", "min", "max", "range", "zip", "enumerate", "any", "all", "abs", "round", "id"}
_LOOKS |= {"frozenset", "format", "hash", "dir", "help", "callable", "bytes", "ord", "chr"}


def read(*nodes: ast.AST) -> UsedNames:
    """Read the names of statements or expressions."""
    reader = _CellReader()
    for node in nodes:
        reader.visit(node)
    return reader.found


def of_code(source: str) -> UsedNames:
    """Read the names of a text that is run as a cell; one that cannot be read has none."""
    try:
        return read(ast.parse(transformed(source)))
    except (SyntaxError, ValueError):
        return UsedNames(texts={source})


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


class _CellReader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found = UsedNames()

    # --- names

    def visit_Name(self, node: ast.Name) -> None:
        (self.found.loads if isinstance(node.ctx, ast.Load) else self.found.binds).add(node.id)
        if node.id in _DYNAMIC:
            self.found.dynamic = True

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._stored(node)
        if node.attr in _DYNAMIC:
            self.found.dynamic = True
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._stored(node)
        self.generic_visit(node)

    def _stored(self, node: ast.Attribute | ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            return
        self._process(node)
        if (name := root(node)) is None:
            return
        self.found.changes.add(name)
        self.found.into.add(name)
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key))) if _is_environment(node.value):
                self.found.variables.add(key)

    def _process(self, node: ast.AST) -> None:
        # By its text: the environment is reached by too many ways (os.environ, from os import environ, an alias) to
        # name each.
        text = ast.unparse(node)
        if re.search(r"\benvironb?\b|^sys\.(path|modules|meta_path)\b|os\.__dict__", text):
            self.found.process = True

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if (name := root(node.target)) is not None:
            self.found.loads.add(name)
            self.found.changes.add(name)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind(node.rest)
        self.generic_visit(node)

    def _bind(self, name: str | None) -> None:
        if name:
            self.found.binds.add(name)

    # --- imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._imported(name, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        for alias in node.names:
            if alias.name != "*":
                self._imported(alias.asname or alias.name, module)
            elif not PACKAGE.fullmatch(module):
                self.found.process = True  # it may bind any name
            else:
                import notebook_do

                for name in notebook_do.__all__:
                    self._imported(name, module)

    def _imported(self, name: str, module: str) -> None:
        self.found.binds.add(name)
        if PACKAGE.fullmatch(module) or module == "__main__":
            self.found.named = True
            self.found.sources.add(name)
        if module in _DYNAMIC:
            self.found.dynamic = True

    # --- scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.found.binds.add(node.name)
        # Decorators and defaults run where the function is defined, its body only where it is called.
        for part in (*node.decorator_list, node.args, *([node.returns] if node.returns else [])):
            self.visit(part)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the name that ast calls

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._function(node.args, [node.body])

    def visit_arg(self, node: ast.arg) -> None:
        if node.annotation is not None:
            self.visit(node.annotation)

    def _function(self, arguments: ast.arguments, body: list[ast.stmt] | list[ast.expr]) -> None:
        inner = read(*body)
        declared = {n for part in body for one in ast.walk(part) if isinstance(one, ast.Global) for n in one.names}
        every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        own = ({a.arg for a in every if a is not None} | inner.binds) - declared
        # Read when the function is called, by whoever calls it; its own names are nobody else's.
        self.found.later |= (inner.loads | inner.later) - own
        self.found.later_binds |= (inner.binds & declared) | inner.later_binds
        self.found.later_changes |= (inner.changes | inner.later_changes) - own
        self.found.later_process |= inner.process or inner.later_process
        self.found.tell(inner)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.found.binds.add(node.name)
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self.found.take(read(*node.body))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        targets = read(*(g.target for g in node.generators)).binds
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        inner = read(*parts, *(one for g in node.generators for one in (g.iter, *g.ifs)))
        self.found.take(inner, hidden=targets)
        self.found.binds |= inner.binds  # of `:=`

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension  # noqa: N815

    # --- what is run

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.texts.add(node.value)
            self.found.named |= PACKAGE.fullmatch(node.value) is not None

    def visit_BinOp(self, node: ast.BinOp) -> None:
        # `"dur" + "able"`: a name put together of constants is as good as written.
        match node:
            case ast.BinOp(ast.Constant(value=str(left)), ast.Add(), ast.Constant(value=str(right))):
                self.visit_Constant(ast.Constant(left + right))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called, given = _called(node), [*node.args, *(k.value for k in node.keywords)]
        constants = [c.value for part in given for c in ast.walk(part) if isinstance(c, ast.Constant)]
        texts = [text for text in constants if isinstance(text, str)]
        if called in _MAGICS and isinstance(node.func, ast.Attribute) and magic(self.found, node):
            return
        self.found.named |= any(text.strip() in {"durable", "%durable", "%%durable"} for text in texts)
        if called == "magic" and texts and texts[0].lstrip("% ").startswith("durable"):
            self.found.named = True
        self._changed(node, called, given)
        self._run(called, given, texts)
        self.generic_visit(node)

    def _changed(self, node: ast.Call, called: str, given: list[ast.expr]) -> None:
        if isinstance(node.func, ast.Attribute):
            if (name := root(node.func)) is not None:
                self.found.changes.add(name)
            if (
                called in {"update", "setdefault", "pop", "clear", "append", "insert", "extend", "remove", "popitem"}
                or called[:2] == "__"
            ):
                self._process(node.func)
        if called in _PROCESS_CALLS:
            self.found.process = True
        if called not in _LOOKS or isinstance(node.func, ast.Attribute):
            for part in given:
                self.found.changes |= roots(part)
            for part in (one for one in node.args if isinstance(one, ast.Name | ast.Attribute)):
                self._process(part)
        if called in {"setattr", "delattr"} and given:
            self.found.into |= roots(given[0])

    def _run(self, called: str, given: list[ast.expr], texts: list[str]) -> None:
        if called in _RUNS_TEXT:
            self.found.run_texts |= set(texts)
            self.found.changes |= {word for text in texts for word in re.findall(r"\w+", text)}
        if called in _RUNS_TEXT | _MAGICS:
            self.found.run_names |= read(*given).loads
        if called in _RUNS_COMMAND and starts_command(" ".join(texts)):
            self.found.wrong = "starts notebook-do as a command; write the %durable line instead"
        if called in {"system", "getoutput"} and texts:
            self.found.refused = f"!{texts[0]}"
            self.found.run_texts |= {" ".join(expanded(texts[0]))}
        if called in _ASKS:
            self.found.refused = f"{called}()"


def _is_environment(node: ast.AST) -> bool:
    return ast.unparse(node) in {"os.environ", "environ"}


# --- magics: those that run Python, that change the process, that only show, and all others

_PYTHON_LINE = {"time", "timeit", "prun", "memit", "mprun", "lprun"}
_PYTHON_CELL = {"time", "timeit", "prun", "capture", "memit"}
_SHELLS = {"bash", "sh", "script", "system", "sx", "!", "zsh"}
_TEXT_CELL = {"html", "HTML", "markdown", "latex", "svg", "SVG", "javascript", "js"}
_SHOWS = {"matplotlib", "autoreload", "pinfo", "pinfo2", "psource", "pdoc", "pfile", "precision", "who", "whos"}
_SHOWS |= {"who_ls", "pwd", "history", "lsmagic", "xmode", "pdb", "pprint", "reset_selective", "ls"}
_INSTALLERS = {"pip", "conda", "mamba", "uv", "run", "load_ext", "reload_ext", "unload_ext"}
_PROCESS_MAGICS = {"env", "set_env", "cd", "pushd", "popd", "dotenv"}


def magic(found: UsedNames, node: ast.Call) -> bool:
    """Read a magic that is called by name; False when its name does not stand there."""
    words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    # A magic whose name or line is computed can be any; the caller refuses what that may be.
    if len(words) < len(node.args) or len(words) < 2:
        return False
    name, line, *body = words
    found.texts |= {line, *body}
    if name.endswith("durable"):
        _durable(found, name, texts=[line, *body])
        return True
    found.run_texts |= {" ".join(expanded(line))}
    if body:
        _cell_magic(found, (name, line, body[0]))
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
        _other_line(found, name, line)
    return True


def _durable(found: UsedNames, name: str, *, texts: list[str]) -> None:
    found.named = True
    found.loads |= {one.strip() for text in texts for one in REFERENCE.findall(text)}
    if name != "durable":
        found.wrong = "has %%durable below its first line; put it first in a cell of its own"


def expanded(text: str) -> set[str]:
    """Return the names that IPython reads for `{EXPRESSION}` and `$NAME` in a shell command or the line of a magic."""
    found = {name for part in re.findall(r"\{([^{}]*)\}", text) for name in of_code(part).loads}
    return found | set(re.findall(r"\$\{?(\w+)", text))


def _other_line(found: UsedNames, name: str, line: str) -> None:
    found.refused = f"%{name} {line}".rstrip()
    if name not in _INSTALLERS:
        found.run_texts |= {" ".join(of_code(line).loads)}
    if name in {"system", "sx", "sc", "!"} and starts_command(line):
        found.wrong = "starts notebook-do as a command; write the %durable line instead"
    elif name in {"alias_magic", "macro"} and re.search(r"\bdurable\b", line):
        found.wrong = "gives %durable another name; write %durable"
    elif name not in _INSTALLERS and MENTIONS.search(line):
        found.wrong = f"uses %durable inside of %{name}; write it on a line of its own"


def _cell_magic(found: UsedNames, parts: tuple[str, str, str]) -> None:
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
