"""The verbs that look at live objects; each gives a DataFrame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    import pandas as pd

    from notebook_do.notebook.commands import Call


def objects(call: Call) -> pd.DataFrame:
    """List the objects of a namespace."""
    o = call.options
    if o.all and o.limit:
        raise CommandError("%durable objects: --all reads all; leave out --limit.")
    if o.limit and not (o.limit.isascii() and o.limit.isdigit()):
        raise CommandError(f'%durable objects: --limit takes a whole number, not "{o.limit}".')
    given: dict[str, Any] = {"limit": None if o.all else int(o.limit)} if o.all or o.limit else {}
    return current().objects(o.namespace, after=o.after, **given)


def values(call: Call) -> pd.DataFrame:
    """Read what objects stored by key."""
    return current().values(call.options.namespace, object=call.options.object)


def query(call: Call) -> pd.DataFrame:
    """Run the statement of the line or of the cell's body."""
    o = call.options
    if (o.sql is None) is (call.body is None):
        raise CommandError(
            f'%durable query: write the statement once: %durable query {o.namespace} "SELECT ...", '
            f"or as the body of %%durable query {o.namespace}."
        )
    sql = o.sql if call.body is None else call.body
    return current().query(o.namespace, sql, *map(_param, o.param), object=o.object)


def _param(text: str) -> Any:
    """Read a parameter as a JSON scalar; anything else is the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | None) else text
