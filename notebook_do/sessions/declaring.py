"""`nd.Worker` and `nd.DurableObjectNamespace`: classes that are called to declare.

A call makes a plain value of the model and registers it with the current session. `isinstance` holds for whatever was
declared, by a cell too; `copy`, `pickle` and `dataclasses.replace` of such a value declare nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.declare.making import FIELDS, Kind, binding_values, check, field_problem, namespace_of, worker_of
from notebook_do.errors import DeclarationError, wrong_call
from notebook_do.model import Namespace
from notebook_do.model import Worker as WorkerDeclaration
from notebook_do.sessions.opening import in_force, register
from notebook_do.sessions.placing import place_of_call

if TYPE_CHECKING:
    from notebook_do.model import Inspect, Module, Where


class Declaring(type):
    """The type of a class that declares. Calling it makes an instance of the plain class below it, and registers that.

    So an instance can be made anew by `dataclasses.replace`, which calls the class of its instance, without a second
    declaration.
    """

    if not TYPE_CHECKING:  # an editor and mypy read the signature of __init__

        def __call__(cls, *args: Any, **given: Any) -> Any:
            """Declare; raises DeclarationError, one line, for what does not fit or can never be right."""
            # Before the signature is bound: Python's own TypeError names no near keyword and comes with a traceback.
            if problem := _wrong_keywords(cls, args, given):
                raise DeclarationError(problem)
            # An instance of the plain class: `dataclasses.replace` calls the class of its instance, and must not
            # register.
            item = object.__new__(_plain(cls))
            cls.__init__(item, *args, **{"where": _place(), **given})
            check(item)
            bound = (given.get("bindings") or {}).values()
            register(*(value for value in bound if isinstance(value, Namespace)), item)
            return item

    @property
    def __signature__(cls) -> inspect.Signature:
        """Return the signature of a call."""
        _, *parameters = inspect.signature(inspect.getattr_static(cls, "__init__")).parameters.values()
        return inspect.Signature(parameters)

    def __instancecheck__(cls, instance: object) -> bool:
        """Return whether something is a declaration of this kind, whoever declared it."""
        return isinstance(instance, _plain(cls))


def _place() -> Where:
    where = place_of_call()
    imposed = in_force()
    return where if imposed is None or where.file else imposed.placed(where)


def _plain(cls: type) -> type:
    return next(one for one in cls.__mro__ if not isinstance(one, Declaring))


def _wrong_keywords(cls: Declaring, args: tuple[Any, ...], given: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a call as such: a keyword that is none, an id that is missing."""
    kind: Kind = "namespace" if issubclass(cls, Namespace) else "worker"
    what = _named(kind, args[0] if args else given.get("id", ""))
    for name in given:
        if name not in cls.__signature__.parameters and (problem := field_problem(kind, name, None, word="keyword")):
            return f"{what}: {problem}"
    problem = wrong_call(cls.__signature__, args, given)
    return f"{what}: {problem}" if problem else None


def _named(kind: Kind, id_: Any) -> str:
    word = "Worker" if kind == "worker" else kind
    return f"{word} {id_}" if isinstance(id_, str) and id_ else word


def _given(kind: Kind, id_: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of fields among `keywords`, in the form that TOML has; refuses a wrong one."""
    what, given = _named(kind, id_), dict[str, Any]()
    for name in FIELDS[kind]:
        given[name] = _as_in_toml(name, FIELDS[kind][name].takes, keywords[name])
        if problem := field_problem(kind, name, given[name]):
            raise DeclarationError(f"{what}: {problem}")
    if not isinstance(id_, str):
        raise DeclarationError(f"{what}: its id must be a string, not {id_!r}.")
    return given


def _as_in_toml(name: str, takes: str, value: Any) -> Any:
    """Return a list for any iterable and a dict for any mapping, where a field takes one."""
    if isinstance(value, Mapping):
        return dict(value) if takes in {"table", "pairs", "bindings", "queues"} else value
    if takes not in {"list", "tables", "texts", "modules", "queues"} or isinstance(value, str | bytes):
        return value
    listed = list(value) if isinstance(value, Iterable) else value
    if name == "tags" and isinstance(listed, list) and all(isinstance(tag, str) for tag in listed):
        listed = sorted(set(listed))  # a set of tags has no order
    if name == "tail_consumers" and isinstance(listed, list):
        listed = [{"service": one} if isinstance(one, str) else one for one in listed]
    return (listed or None) if takes in {"list", "tables"} else listed


def _fill(item: Any, made: Any) -> None:
    """Fill a declaration that is being made with the values of another one, past the guard that keeps it frozen."""
    for name in type(made).__dataclass_fields__:
        object.__setattr__(item, name, getattr(made, name))


class DurableObjectNamespace(Namespace, metaclass=Declaring):
    """Declare a Durable Object namespace; `id` is its stable ID, permanent for the life of its objects.

    Registers with the current session where one is open. `sqlite=None` is SQLite for a new namespace and "as it is" for
    a live one; `sqlite=False` asks for legacy KV storage. `script_name` names the Worker that hosts the class when that
    is not the only Worker which binds it. `renamed_from` is the stable ID this one replaces, `transferred_from` the
    Worker its class moves away from. `inspect` lets its objects be asked from a notebook on Cloudflare: "calls" their
    methods, True their storage and alarm as well; local objects always can be. Raises DeclarationError for what can
    never be right.
    """

    __slots__ = ()

    def __init__(  # noqa: PLR0913 - Cloudflare's own facts
        self,
        id: str,  # noqa: A002 - the name that the seed of this project gave it
        *,
        class_name: str,
        sqlite: bool | None = None,
        script_name: str | None = None,
        environment: str | None = None,
        namespace_id: str | None = None,
        renamed_from: str | None = None,
        transferred_from: str | None = None,
        protect: bool = True,
        inspect: Inspect = False,
        where: Where | None = None,
    ) -> None:
        _fill(self, namespace_of(id, _given("namespace", id, locals()), where))


class Worker(WorkerDeclaration, metaclass=Declaring):
    """Declare a Worker from its source (`script`) or a file (`entrypoint`), with its bindings by name.

    Registers with the current session where one is open, together with the namespaces it binds. A binding is a
    namespace, `worker.bindings.NAME` of another Worker, another Worker, a str, `nd.Json(value)`,
    `nd.Secret.from_env("K")` (or from_keyring, from_prompt), or a resource such as `nd.KV(id)`. `tail_consumers` are
    Workers by id or name. From `no_bundle` to `build` the fields say how a source becomes what is uploaded, as
    wrangler's keys of these names do; `build` is a shell command. `containers` are the classes that have one at
    Cloudflare, where wrangler alone deploys it: they run without. `previews=None` leaves preview URLs as they are.
    `routes` are patterns (`example.com/*`), `domains` host names, `consumes` queues with the settings of their
    consumer, `assets` a directory of static files and how they are served; from `observability` on to
    `code_update_strategy` they are settings in Cloudflare's own words. Raises DeclarationError for what can never be
    right.
    """

    __slots__ = ()

    def __init__(  # noqa: PLR0913 - Cloudflare's own facts
        self,
        id: str,  # noqa: A002
        *,
        name: str | None = None,
        script: str | None = None,
        entrypoint: str | None = None,
        no_bundle: bool = False,
        find_additional_modules: bool | None = None,
        base_dir: str | None = None,
        rules: Iterable[Mapping[str, Any]] | None = None,
        define: Mapping[str, str] | None = None,
        alias: Mapping[str, str] | None = None,
        minify: bool = False,
        tsconfig: str | None = None,
        build: str | None = None,
        modules: Iterable[Module] = (),
        lang: Literal["js", "ts", "py"] = "js",
        bindings: Mapping[str, Any] | None = None,
        compatibility_date: str | None = None,
        compatibility_flags: Iterable[str] = (),
        url: bool = True,
        previews: bool | None = None,
        crons: Iterable[str] = (),
        containers: Iterable[str] = (),
        routes: Iterable[str] = (),
        domains: Iterable[str] = (),
        consumes: Mapping[str, Mapping[str, Any]] | Iterable[str] = (),
        assets: Mapping[str, Any] | None = None,
        observability: Mapping[str, Any] | None = None,
        placement: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        logpush: bool | None = None,
        tail_consumers: Iterable[str | Mapping[str, Any]] = (),
        tags: Iterable[str] = (),
        cache_options: Mapping[str, Any] | None = None,
        code_update_strategy: Mapping[str, Any] | None = None,
        adopt: bool = False,
        lifecycle: Literal["auto", "exports", "migrations"] = "auto",
        where: Where | None = None,
    ) -> None:
        given = _given("worker", id, locals())
        _fill(self, worker_of(id, given | {"bindings": binding_values(id, given["bindings"] or {})}, where))
