"""The verbs that ask or change what runs, in a module of their own: `commands` loads it with the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.notebook import calling, changing, exploring, inspecting, logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.notebook.parsing import Call

ON_WHAT_RUNS: dict[str, Callable[[Call], Any]] = {
    "inspect": inspecting.inspect,
    "fetch": exploring.fetch,
    "call": calling.call,
    "map": calling.map_,
    "logs": logs.logs,
    "objects": exploring.objects,
    "values": exploring.values,
    "query": exploring.query,
    "object": changing.object_page,
    "put": changing.put,
    "delete": changing.delete,
    "execute": changing.execute,
    "alarm": changing.alarm,
    "wipe": changing.wipe,
    "snapshot": changing.snapshot,
    "restore": changing.restore,
}
