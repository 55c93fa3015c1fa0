"""`%durable` and `%%durable`: words in, one verb run, its value out. Loading this must stay cheap.

The rooms below (session, pandas, ipywidgets, httpx) are imported by the first verb that needs them.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import re
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
    from types import SimpleNamespace


class JsonText(str):
    """JSON that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _trait(setting: Setting) -> TraitType[Any, Any]:
    """Make the `%config` entry of a setting; None is not set here, so that what is set elsewhere counts.

    It takes any value: of what a trait refuses IPython only logs a line, keeps the old value and goes on. `settled`
    refuses a wrong one by its name, in the next line that would use it.
    """
    words = f"{setting.help}. None: {setting.variable}, pyproject.toml, or {setting.default}"
    kind: Any = Enum if setting.choices else Bool if isinstance(setting.default, bool) else Unicode
    values = (setting.choices,) if setting.choices else ()
    taking = type(kind.__name__, (kind,), {"validate": lambda _self, _obj, value: value})  # its help names the kind
    trait: TraitType[Any, Any] = taking(*values, default_value=None, allow_none=True, help=words).tag(config=True)
    return trait


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
        if name in verbs.FILLED:
            rest = filled(name, rest, self.shell.user_ns)
        options = read_options(name, rest, body)
        if getattr(options, "help", False):
            print(usage(verbs.find(name)))  # noqa: T201
            return None
        from notebook_do.notebook.commands import RUN
        from notebook_do.notebook.declaring import declare
        from notebook_do.sessions.placing import place_of_magic

        call = Call(
            ip=self.shell,
            verb=name,
            words=tuple(options.rest) if hasattr(options, "rest") else tuple(rest),
            body=body,
            where=place_of_magic(self.shell, in_cell=body is not None),
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
        # `--quiet` shows nothing, and what the verb has shown itself is not shown twice.
        silent = options.quiet or getattr(options, "shown", False)
        return None if silent and _stands_alone(self.shell) else value


def _stands_alone(ip: Any) -> bool:
    """Say whether the magic that runs is a statement of its own in the cell, so that IPython may show its value."""
    from notebook_do.sessions.placing import frame_of_cell

    frame = frame_of_cell(ip)
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
    ip.input_transformers_cleanup.append(with_body)
    configured.update({s.name: getattr(magic, s.name) for s in SETTINGS})  # what ipython_config.py says
    completion.load(ip)
    return magic


def unload(ip: Any) -> None:
    """Take away all that `load` put in, and stop what was started since. The open session keeps its declarations."""
    _take_away(ip)
    if (session := sys.modules.get("notebook_do.sessions.opening")) is not None:  # without it nothing was started
        session.close_all()


def with_body(lines: list[str]) -> list[str]:
    """Give a `%%durable` cell of one line an empty second one: IPython refuses a cell magic without a body.

    `%%durable worker ID --entrypoint FILE` needs none, and of the others our own line says what is missing.
    """
    if len(lines) == 1 and re.match(r"%%durable\b", lines[0]):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


def _take_away(ip: Any) -> None:
    ip.input_transformers_cleanup[:] = [t for t in ip.input_transformers_cleanup if t.__module__ != __name__]
    for kind in ("line", "cell"):
        ip.magics_manager.magics[kind].pop("durable", None)
    ip.magics_manager.registry.pop("Durable", None)
    ip.configurables[:] = [c for c in ip.configurables if not isinstance(c, Durable)]
    completion.unload(ip)
    # After an unload nothing set by %config counts any more; the next load reads ipython_config.py anew.
    configured.clear()
