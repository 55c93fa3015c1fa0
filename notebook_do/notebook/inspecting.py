"""The verb `inspect`: it changes how the objects of a namespace can be asked, and says what becomes of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.declare.options import line_of
from notebook_do.errors import CommandError
from notebook_do.model import Namespace
from notebook_do.notebook.views.blocks import Code, Line
from notebook_do.notebook.views.documents import View
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from notebook_do.display import Shown
    from notebook_do.model import Inspect
    from notebook_do.notebook.parsing import Call

_SAID = {
    False: "Objects of {id} can no longer be asked from here, once that is deployed.",
    "calls": "Methods of the objects of {id} can be called from here, once that is deployed.",
    True: "Objects of {id} can be called and looked into from here, once that is deployed.",
}
_LOCAL = "This session is local, where every object can be asked: here it changes nothing."
_KEY = "Every inspector of this session gets another key with it; who has the old one can ask nothing more."


def inspect(call: Call) -> Shown:
    """Declare a namespace anew with another `inspect`. Sends nothing."""
    opened, o = current(), call.options
    if o.off and (o.calls or o.new_key):
        raise CommandError("inspect: --off takes everything back; leave the other option out.")
    known = opened.catalog.namespaces.get(o.namespace)
    before: Inspect = known.inspect if known else False
    how: Inspect = False if o.off else "calls" if o.calls else before if o.new_key and before else True
    declared = opened.inspect(o.namespace, how, new_key=o.new_key)
    said = [_SAID[how].format(id=o.namespace)]
    said += [_KEY] if o.new_key else []
    said += [_LOCAL] if opened.target == "local" else []
    line = line_of("namespace", declared) if isinstance(declared, Namespace) else None
    kept = (Code("The line that declares the same:", f"%durable {line}", paste=True),) if line else ()
    return View((*map(Line, said), *kept, Line("Nothing was sent. Next: %durable plan")), data={"inspect": how})
