"""The modules that are put before a Worker's own, so that its objects can be asked; their texts, and nothing that runs.

They hold the Worker's modules as they are: a main module that exports all that the Worker's own does, and adds the one
method to each class that a namespace has. Both targets run the same text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

OWN = "__notebook_do_"
"""What every name begins with that is ours: the added method's, and that of the line which begins the log of a call."""
_FOLDER = "notebook-do"
_BESIDE = ("object.js", "contents.js", "wire.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClass:
    """A class that a Worker exports for a namespace.

    `rpc` says that it extends DurableObject; of one that does not another one is exported in its place.
    """

    name: str
    rpc: bool = True


def host_modules(
    taken: Collection[str], main: str, classes: Iterable[HostClass], settings: str, *, uses: str = ""
) -> Mapping[str, str]:
    """Return the modules to put before those of a Worker, by name; the first is the main module from then on.

    `taken` are the names of the Worker's modules, of which `main` was its main module. `settings` is JavaScript: what
    `inspectable` of object.js takes; `uses` is one more module of this room, whose exports it can name as `used`.
    """
    folder = next(one for one in _folders() if not any(name.startswith(f"{one}/") for name in taken))
    host = _host(json.dumps(f"../{main}"), tuple(classes), settings, uses)
    beside = (*_BESIDE, *([uses] if uses else []))
    return {f"{folder}/host.js": host, **{f"{folder}/{name}": script(name) for name in beside}}


def _folders() -> Iterable[str]:
    yield _FOLDER
    number = 1
    while True:
        number += 1
        yield f"{_FOLDER}{number}"


def _host(main: str, classes: tuple[HostClass, ...], settings: str, uses: str) -> str:
    lines = [
        'import { inspectable } from "./object.js";',
        *([f'import * as used from "./{uses}";'] if uses else []),
        f"import * as main from {main};",
        f"export * from {main};",
        "const whole = main.default ?? {};",  # a module without a default export has no handlers, as this has none
        "export { whole as default };",
        f"const settings = {settings};",
    ]
    for number, one in enumerate(classes):
        name = json.dumps(one.name)
        # A class that is changed in place need not be exported anew, which would export one that is not there.
        lines.append(f"const made{number} = inspectable(main[{name}], settings);")
        lines += [] if one.rpc else [f"export {{ made{number} as {name} }};"]
    return "\n".join([*lines, ""])


@cache
def script(name: str) -> str:
    """Return the text of a JavaScript module of this room."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
