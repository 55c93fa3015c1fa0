"""What is said of declarations in the session that they stand in: what they replaced, what is wrong, what is around."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.declare.notes import binds_secret, form_of, names_class, names_script, texts_of_namespaces
from notebook_do.display import shortened
from notebook_do.display.rich import code, rich, strong
from notebook_do.errors import CommandError, StateError
from notebook_do.model import Namespace, NamespaceBinding, Worker
from notebook_do.notebook.views.declarations import DeclarationMistake, DeclaredView, exports_rich, value_notes
from notebook_do.notebook.views.declared_bindings import Around
from notebook_do.sessions.neighbours import taken_names
from notebook_do.sessions.opening import current
from notebook_do.sessions.placing import run_now
from notebook_do.sources.checking import exports_of, mistakes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from notebook_do.declare.catalog import Catalog
    from notebook_do.model import Declaration
    from notebook_do.model.building import NotExported
    from notebook_do.sessions.session import Session
    from notebook_do.sources.checking import Mistake


def declared_view(items: Sequence[Declaration]) -> DeclaredView:
    """Return all that is said of declarations; where their session is not open any more, what they say themselves."""
    try:
        session = current()
    except CommandError:
        return _alone(items)
    catalog = session.catalog
    known = (*catalog.namespaces.values(), *catalog.workers.values())
    # It was declared in a session that is no longer open, or something else was since: its neighbours are not its own.
    if any(item not in known for item in items):
        return _alone(items)
    return _with_session(items, session)


def _alone(items: Sequence[Declaration]) -> DeclaredView:
    namespaces = {str(item.id): item for item in items if isinstance(item, Namespace)}
    workers = {item.id: item for item in items if isinstance(item, Worker)}
    around = Around(namespaces=namespaces, workers=workers)
    return DeclaredView(items=items, around=around, exports=_exports(workers.values()), notes=tuple(_values(items)))


def _with_session(items: Sequence[Declaration], session: Session) -> DeclaredView:
    catalog = session.catalog
    scripts = {id_: catalog.script_name(id_, session.stage) for id_ in catalog.workers}
    return DeclaredView(
        items=items,
        around=Around(
            namespaces=catalog.namespaces,
            workers=catalog.workers,
            hosts=_hosts(catalog, session.stage, scripts),
            is_set=session.secret_is_set,
        ),
        session=session.name,
        stage=session.stage,
        replaced=_replaced(items, catalog),
        scripts=scripts,
        exports=_exports(item for item in items if isinstance(item, Worker)),
        mistakes=(*_clashes(items, scripts, catalog), *_mistakes(items, session, scripts)),
        notes=(*_values(items), *_notes(items, session)),
    )


def _exports(workers: Iterable[Worker]) -> dict[str, tuple[str, ...] | None]:
    return {worker.id: exports_of(worker) for worker in workers}


def _replaced(items: Iterable[Declaration], catalog: Catalog) -> dict[tuple[str, str], Declaration]:
    """Return what these took the place of, where they are shown by the cell that declares them.

    Shown again later, a declaration is looked at for what it says.
    """
    now, found = run_now(), dict[tuple[str, str], "Declaration"]()
    for item in items:
        here = now is None or item.where is None or item.where.run in {0, now}
        if here and (earlier := catalog.replaced(item)) is not None:
            found["namespace" if isinstance(item, Namespace) else "worker", item.id] = earlier
    return found


def _hosts(catalog: Catalog, stage: str, scripts: Mapping[str, str]) -> dict[str, str]:
    """Return the Worker that hosts each namespace; where that is not resolved yet, the only one that binds it."""
    ids = {script: id_ for id_, script in scripts.items()}
    places = catalog.places(stage)
    if places:
        return {stable: ids.get(script, script) for stable, (script, _) in places.items()}
    found = {}
    for stable in catalog.namespaces:
        binders = [w.id for w in catalog.workers.values() if _binds(w, stable)]
        if len(binders) == 1:
            found[stable] = binders[0]
    return found


def _binds(worker: Worker, stable_id: str) -> bool:
    values = worker.bindings.values()
    return any(isinstance(v, NamespaceBinding) and not v.through and v.stable_id == stable_id for v in values)


# --- what is wrong


def _clashes(
    items: Sequence[Declaration], scripts: Mapping[str, str], catalog: Catalog
) -> Iterator[DeclarationMistake]:
    """Yield the Workers that have one script name: a plan of them cannot be made."""
    for item in items:
        others = [id_ for id_, name in scripts.items() if name == scripts.get(item.id) and id_ != item.id]
        if isinstance(item, Worker) and others:
            worker = catalog.workers[item.id]
            name = names_script(form_of(worker), f"{scripts[item.id]}-2")
            text = rich("Workers ", strong(others[0]), " and ", strong(item.id), " are both called ")
            yield DeclarationMistake(
                kind="worker",
                id=item.id,
                text=rich(text, code(scripts[item.id]), "."),
                choices=(rich("Give one another name: ", code(name)),),
            )


def _mistakes(
    items: Sequence[Declaration], session: Session, scripts: Mapping[str, str]
) -> Iterator[DeclarationMistake]:
    yield from (_no_file(item) for item in items if isinstance(item, Worker) and _lacks_file(item))
    catalog, concerned = session.catalog, {(isinstance(item, Namespace), item.id) for item in items}
    for found in mistakes(catalog.workers, catalog.places(session.stage), scripts, _former(session)):
        subject = found.lacking.subject if found.lacking and found.lacking.kind == "namespace" else ""
        if (False, found.worker) in concerned or (True, subject) in concerned:
            here = (False, found.worker) in concerned
            yield _mistake(found, catalog, here=here)


def _lacks_file(worker: Worker) -> bool:
    """Say whether the file of a Worker is not there; one that a build command makes need not be yet."""
    if worker.entrypoint is None or worker.build:
        return False
    try:
        return not Path(worker.entrypoint).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # no file can be called so
        return True


def _no_file(worker: Worker) -> DeclarationMistake:
    text = rich("There is no file ", code(str(worker.entrypoint)), f" in {shortened(Path.cwd())}.")
    ways = ("Write it, or give a path relative to the notebook",)
    return DeclarationMistake(kind="worker", id=worker.id, text=text, choices=ways)


def _former(session: Session) -> dict[str, tuple[str, ...]]:
    """Return the class names that the namespaces were deployed with."""
    with suppress(StateError):  # the verb that uses the state file tells of it
        return {str(n.stable_id): (n.class_name,) for n in session.recorded().namespaces}
    return {}


def _mistake(found: Mistake, catalog: Catalog, *, here: bool) -> DeclarationMistake:
    worker, lacking = catalog.workers[found.worker], found.lacking
    if lacking is None:
        said = str(found.error).removeprefix(f"Worker {worker.id}: ")
        return DeclarationMistake(kind="worker", id=worker.id, text=f"{said[:1].upper()}{said[1:]}.")
    where = "this source" if here else rich("the source of Worker ", strong(worker.id), _at(worker))
    cell = "this cell" if here else worker.where.name if worker.where and worker.where.name else "its source"
    if lacking.kind == "nothing":
        text = rich(_begun(where), " exports nothing, so that nothing could ever call it.")
        write = code("export default { fetch(request, env) { ... } }")
        handler = rich("Write ", write, f" in {cell}, or export a class")
        return DeclarationMistake(kind="worker", id=worker.id, text=text, choices=(handler,))
    return DeclarationMistake(
        kind="worker", id=worker.id, text=_lacking(lacking, where), choices=tuple(_ways(lacking, catalog, cell))
    )


def _begun(where: str) -> str:
    return "This source" if where == "this source" else rich("T", where[1:])


def _at(worker: Worker) -> str:
    return f" ({worker.where.name})" if worker.where and worker.where.name else ""


def _lacking(lacking: NotExported, where: str) -> str:
    of = rich(f"{lacking.kind} ", strong(lacking.subject))
    exported = rich(" It exports ", exports_rich(lacking.exports), ".")
    if lacking.was:
        begun = rich("Class ", code(lacking.was), " of ", of, " is declared as ", code(lacking.class_name))
        return rich(begun, ", and not renamed in ", where, ".", exported)
    return rich("Class ", code(lacking.class_name), " of ", of, " is not exported by ", where, ".", exported)


def _ways(lacking: NotExported, catalog: Catalog, cell: str) -> Iterator[str]:
    base = "WorkflowEntrypoint" if lacking.kind == "workflow" else "DurableObject"
    write = rich("write ", code(f"export class {lacking.class_name} extends {base}"), f" in {cell}")
    if lacking.kind == "namespace" and (meant := lacking.was or lacking.near):
        form = form_of(catalog.namespaces[lacking.subject])
        command = code(names_class(form, lacking.subject, meant))
        stays = f"The class stays {meant}: " if lacking.was else f"The class is {meant}: "
        yield rich(stays, command)
    if lacking.was:
        yield rich("The class is renamed: ", write, ", in place of ", code(lacking.was))
    else:
        yield rich(f"The class is {lacking.class_name}: ", write)


# --- what else to know


def _values(items: Iterable[Declaration]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Worker):
            form = form_of(item)
            yield from value_notes(item, {name: binds_secret(form, name) for name in item.bindings})


def _notes(items: Sequence[Declaration], session: Session) -> Iterator[str]:
    catalog, ids = session.catalog, {item.id for item in items}
    texts = list(texts_of_namespaces(catalog.namespaces, catalog.workers))
    meant = {text.stable_id for text in texts}
    for item in items:
        bound = isinstance(item, Worker) or item.script_name or item.id in meant or _is_bound(item, catalog)
        if not bound:
            name = item.id.upper().replace("-", "_")
            command = f"%%durable worker ID --bind {name}={item.id}"
            yield rich("No Worker binds ", "it" if len(items) == 1 else strong(item.id), " yet. Next: ", code(command))
    for text in texts:
        if text.worker in ids or text.stable_id in ids:
            yield rich(
                code(text.name),
                " of Worker " if text.worker not in ids else " is the text ",
                *((strong(text.worker), " is the text ") if text.worker not in ids else ()),
                code(text.stable_id),
                ", and not the namespace of that name. To bind it: ",
                code(text.binds),
            )
    for taken in taken_names(session):
        if taken.worker in ids:
            other = names_script(form_of(catalog.workers[taken.worker]), f"{session.name}-{taken.script_name}".lower())
            yield rich(
                "Script ",
                code(taken.script_name),
                f" is {taken.owner} already: a deploy from here would be refused. Another name: ",
                code(other),
            )
    for warning in catalog.warnings():
        if any(f" {id_}" in warning for id_ in ids):
            yield f"{warning[:1].upper()}{warning[1:]}"


def _is_bound(item: Namespace, catalog: Catalog) -> bool:
    return any(_binds(worker, item.id) for worker in catalog.workers.values())
