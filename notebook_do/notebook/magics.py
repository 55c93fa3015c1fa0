"""`%durable` and `%%durable`: words in, one verb run, its value out. Loading this must stay cheap.

The rooms below (session, pandas, ipywidgets, httpx) are imported by the first verb that needs them.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import sys
import traceback
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, TraitType, Unicode, observe

from notebook_do.errors import DurableError
from notebook_do.notebook import completion, verbs
from notebook_do.notebook.parsing import Call, filled, read_options, split, uncommented
from notebook_do.notebook.verbs.help import overview, usage
from notebook_do.settings import SETTINGS, Setting, configured, settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, SimpleNamespace


class JsonText(str):
    """JSON that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _trait(setting: Setting) -> TraitType[Any, Any]:
    """Make the `%config` entry of a setting; None is not set here, so that what is set elsewhere counts."""
    words = f"{setting.help}. None: {setting.variable}, pyproject.toml, or {setting.default}"
    if setting.choices:
        return Enum(setting.choices, default_value=None, allow_none=True, help=words).tag(config=True)
    kind = Bool if isinstance(setting.default, bool) else Unicode
    return kind(None, allow_none=True, help=words).tag(config=True)


Settings: Any = type(Magics)("Settings", (Magics,), {s.name: _trait(s) for s in SETTINGS})  # type: ignore[misc]


@magics_class
class Durable(Settings):  # type: ignore[misc]  # made of the table of settings
    """The magic and its settings: `%config Durable` lists them."""

    acts: Callable[[Call], Any] | None = None
    """What carries out a call in place of its verb; the command line sets it."""

    @observe(*(s.name for s in SETTINGS))
    def _configure(self, change: Any) -> None:
        configured[change["name"]] = change["new"]
        if change["name"] == "async_mode":
            from notebook_do.bridge import bridge

            bridge.mode = settled({})["async_mode"]

    @no_var_expand
    @line_cell_magic
    def durable(self, line: str, cell: str | None = None) -> Any:
        """Stand in for the text that is made of the table of verbs."""
        line = uncommented(line)
        # A script may end with a semicolon, so only the line form is silenced by one.
        silenced = cell is None and line.rstrip().endswith(";")
        try:
            value = self._run(line.rstrip().removesuffix(";") if silenced else line, cell)
        except DurableError:
            if not settled({})["short_errors"]:
                traceback.print_exc()
            raise
        # Nothing is shown where the line stands alone; `p = %durable plan --quiet` is for its value.
        return None if silenced and _stands_alone(self.shell) else value

    durable.__doc__ = overview()

    def _run(self, line: str, body: str | None) -> Any:
        words = split(line)
        if words[:1] in (["-h"], ["--help"]):
            print(overview())  # noqa: T201 - help is text
            return None
        name = words[0] if words and not words[0].startswith("-") else ""
        rest = words[1:] if name else words
        if name == "session":
            rest = filled(rest, self.shell.user_ns)
        options = read_options(name, rest, body)
        if getattr(options, "help", False):
            print(usage(verbs.find(name)))  # noqa: T201
            return None
        from notebook_do.notebook.commands import RUN, declare

        call = Call(
            ip=self.shell,
            verb=name,
            words=tuple(options.rest) if hasattr(options, "rest") else tuple(rest),
            body=body,
            where=where(self.shell, in_cell=body is not None),
            options=options,
        )
        act = self.acts or (declare if not name and body is not None else RUN[name])
        return self._deliver(act(call), options)

    def _deliver(self, value: Any, options: SimpleNamespace) -> Any:
        if options.json and value is not None:
            from notebook_do.notebook.views.documents import written

            value = JsonText(written(value))
        if options.as_:
            if value is not None and self.shell is not None:
                self.shell.user_ns[options.as_] = value
            return None
        return None if options.quiet and _stands_alone(self.shell) else value


def where(ip: Any, *, in_cell: bool) -> Any:
    """Return which cell this is and on which of its lines the magic stands, as a person counts them."""
    from notebook_do.model import Where

    kernel = getattr(ip, "kernel", None)
    parent = kernel.get_parent("shell") if kernel is not None else {}
    # JupyterLab sends the cell's id; nbclient does not (measured), and there the execution count names the cell.
    run = _number_of_run(ip)
    cell = parent.get("metadata", {}).get("cellId") or f"In[{run}]"
    code = parent.get("content", {}).get("code", "")
    # IPython drops blank lines before the first word; a person's line numbers count them.
    above = len(code) - len(code.lstrip("\n \t")) if code.strip() else 0
    blank = code[:above].count("\n")
    line = 1 + blank if in_cell else _line_in_cell(ip) + blank
    return Where(cell=str(cell), line=line, body_line=line + 1 if in_cell else None, run=run)


def _number_of_run(ip: Any) -> int:
    """Return the number that stands beside the cell that runs."""
    # IPython 8 counts on after a cell, IPython 9 before its first line (measured, 9.18); both keep its text before.
    history = getattr(ip, "history_manager", None)
    return len(history.input_hist_parsed) - 1 if history is not None else ip.execution_count


def _line_in_cell(ip: Any) -> int:
    frame = _frame_of_cell(ip)
    return frame.f_lineno if frame is not None else 1


def _frame_of_cell(ip: Any) -> FrameType | None:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the frame that IPython runs for the cell
    while frame is not None and frame.f_globals is not ip.user_ns:
        frame = frame.f_back
    return frame


def _stands_alone(ip: Any) -> bool:
    """Say whether the magic that runs is a statement of its own in the cell, so that IPython may show its value."""
    frame = _frame_of_cell(ip)
    if frame is None:  # a program called it, and wants the value
        return False
    lines = linecache.getlines(frame.f_code.co_filename)  # IPython keeps the text of its cells there
    place = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    try:
        statements = ast.walk(ast.parse("".join(lines)))
    except SyntaxError:
        return True
    values = [one.value for one in statements if isinstance(one, ast.Expr)]
    return not lines or any(place == (one.lineno, one.end_lineno, one.col_offset, one.end_col_offset) for one in values)


def load(ip: Any) -> Any:
    """Register the magic, its settings and its completion; return the magic."""
    _take_away(ip)
    magic = Durable(shell=ip, parent=ip)
    ip.register_magics(magic)
    configured.update({s.name: getattr(magic, s.name) for s in SETTINGS})  # what ipython_config.py says
    completion.load(ip)
    return magic


def unload(ip: Any) -> None:
    """Take away all that `load` put in, and stop what was started since. The open session keeps its declarations."""
    _take_away(ip)
    if (session := sys.modules.get("notebook_do.sessions.opening")) is not None:  # without it nothing was started
        session.close_all()


def _take_away(ip: Any) -> None:
    for kind in ("line", "cell"):
        ip.magics_manager.magics[kind].pop("durable", None)
    ip.magics_manager.registry.pop("Durable", None)
    ip.configurables[:] = [c for c in ip.configurables if not isinstance(c, Durable)]
    completion.unload(ip)
    # After an unload nothing set by %config counts any more; the next load reads ipython_config.py anew.
    configured.clear()
