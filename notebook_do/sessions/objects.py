"""One live object, as `session.object(namespace, name_or_id)` returns it. Making it sends nothing; its verbs do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from notebook_do.cloudflare import refusing
from notebook_do.errors import CommandError
from notebook_do.live import calling
from notebook_do.live.inspecting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWay:
    """How an object of a session gets to what is live: `look` asks with its connection and record, `run` waits."""

    look: Callable[..., Coroutine[Any, Any, Any]]
    run: Callable[[Coroutine[Any, Any, Any]], Any]


class LiveObject:
    """A Durable Object of a namespace of this session, by its name or its id.

    `room.messages(1)` calls the class's method `messages`, as `room.call("messages", 1)` does. The verbs of this class
    win over methods of the same name, which `call` reaches. A name that begins with `_` is no method.
    """

    def __init__(self, way: SessionWay, stable_id: str, name_or_id: str) -> None:
        self._way, self._stable_id, self._name_or_id = way, stable_id, name_or_id
        calling.where_of(name_or_id)

    def __repr__(self) -> str:
        return f"<object {self._name_or_id!r} of namespace {self._stable_id}>"

    def __getattr__(self, name: str) -> ObjectMethod:
        # IPython, pandas and copy look for names of their own: these are never a method of the object.
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return ObjectMethod(self, name)

    def call(self, method: str, *args: Any, timeout: float = SECONDS) -> Any:
        """Call a method of the object's class and return what it returns, as a Python value.

        Raises JSError where it throws, CommandError where nothing was called, and TargetError where no answer came in
        `timeout` seconds: whether it was done is not known then, and it is not called again. As with `fetch`, what the
        method does is the Worker's business: no plan guards it, and calling an object that is not there makes it.
        """
        return self.called(method, *args, timeout=timeout).value()

    async def acall(self, method: str, *args: Any, timeout: float = SECONDS) -> Any:  # noqa: ASYNC109 - `call`'s own
        """Call a method; see `call`."""
        return (await self._called(method, args, timeout)).value()

    def called(self, method: str, *args: Any, timeout: float = SECONDS) -> calling.Called:
        """Call a method, and return what became of it, an error too; see `call`."""
        called: calling.Called = self._way.run(self._called(method, args, timeout))
        return called

    async def _called(self, method: str, args: tuple[Any, ...], seconds: float) -> calling.Called:
        refusing.check("session.object(...).call")
        called: calling.Called = await self._way.look(
            calling.call, self._stable_id, self._name_or_id, method, args, seconds
        )
        return called

    def getdoc(self) -> str:
        """Return what `room?` shows: IPython calls this by its name, which would be a call of the object."""
        return type(self).__doc__ or ""


class ObjectMethod:
    """A method of a live object, which is called when this is."""

    def __init__(self, of: LiveObject, name: str) -> None:
        self._of, self._name = of, name

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._of!r}>"

    def __call__(self, *args: Any, timeout: float = SECONDS, **named: Any) -> Any:
        """Call it; see `LiveObject.call`."""
        if named:
            _no_keywords(self._name, named)
        return self._of.call(self._name, *args, timeout=timeout)


def _no_keywords(method: str, named: dict[str, Any]) -> NoReturn:
    raise CommandError(
        f"{method}: JavaScript has no keyword arguments ({', '.join(named)}); send them in order, or one dict."
    )
