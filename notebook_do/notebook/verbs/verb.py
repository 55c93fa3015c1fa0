"""What a verb of `%durable` is, and the options that every one of them takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from notebook_do.declare.line import Option


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb. `form` is which of line and cell it takes; one that `declares` has the options of a declaration too.

    `brief` is its place in the list of all, a few words; `summary` stands in its own help.
    """

    name: str
    summary: str
    brief: str = ""
    own: tuple[Option, ...] = ()
    form: Literal["line", "cell", "both"] = "line"
    declares: Literal["", "namespace", "worker"] = ""
    example: str = ""
    about: str = ""

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options and arguments, in the order of the help."""
        if not self.declares:
            return self.own
        from notebook_do.declare.options import options  # brings the model, which loading does not need

        return (*self.own, *options(self.declares))

    @property
    def common(self) -> tuple[Option, ...]:
        """The options that it has like every verb."""
        return DECLARING if self.declares else COMMON


WOKEN = "Local objects stay asleep; on Cloudflare they are woken, and the namespace needs --inspect."
"""What is said of a verb that reads what objects have stored."""
JSON_OR_TEXT = "JSON, or else text"
"""What is said of a word that is read so; the help of its verb says how it is quoted."""
SURE = ("--yes", "-y", "--force", "-f", "--auto-approve")
"""What other tools take from a person who is sure; here a plan or a change is approved by its digest."""
COMMON = (
    Option(
        name="--as", value="VAR", help="keep the result in the variable VAR instead of showing it", knows="variable"
    ),
    Option(name="--json", help="give the result as JSON"),
    Option(name="--quiet", help="show nothing but what waits for your approval"),
    Option(name="-h", help="show this help"),
)
DECLARING = tuple(option for option in COMMON if option.name != "--json")
"""Those of a line that declares: its `--json NAME=JSON` is a binding, and no form of the result."""
APPROVE = Option(
    name="--approve", value="DIGEST", help="send the change with this digest, and no other, now", meant=SURE
)
CONFIRM = Option(
    name="--confirm", value="PHRASE", many=True, help="with --approve: the phrase that the change asks for"
)
"""What sends a change of stored objects without a press: its digest, and its phrase."""
