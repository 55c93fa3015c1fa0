"""Steps of a history in cells: what a user writes anew, edits, moves, renames, forgets and asks to destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from book import SCRIPTS, Work
from book import Space as Cell

if TYPE_CHECKING:
    import random

    from history import History


def new_cell(history: History, rng: random.Random) -> str | None:
    """Declare a namespace that never was."""
    book = history.here.book
    script = rng.choice(SCRIPTS)
    if len(book.spaces) > 5 or not (free := book.free(script)):
        return None
    id_ = history.fresh()
    book.spaces[id_] = Cell(script=script, class_name=rng.choice(free))
    book.works.setdefault(script, Work())
    return f"declare {id_} as {script}.{book.spaces[id_].class_name}"


def rename_class(history: History, rng: random.Random) -> str | None:
    """Declare a namespace with another class name, or two with each other's."""
    book = history.here.book
    if not book.spaces:
        return None
    id_ = rng.choice(sorted(book.spaces))
    cell = book.spaces[id_]
    beside = [i for i, c in book.spaces.items() if c.script == cell.script and i != id_]
    if beside and rng.random() < 0.5:
        other = book.spaces[rng.choice(sorted(beside))]
        cell.class_name, other.class_name = other.class_name, cell.class_name
        return f"swap the classes {cell.class_name} and {other.class_name} of {cell.script}"
    if not (free := book.free(cell.script)):
        return None
    cell.class_name = rng.choice(free)
    return f"declare {id_} as class {cell.class_name}"


def move(history: History, rng: random.Random) -> str | None:
    """Declare a transfer from where a namespace is live."""
    book = history.here.book
    ids = sorted(i for i in book.spaces if (s := history.oracle.home(i)) and s.id in history.oracle.live)
    if not ids:
        return None
    id_ = rng.choice(ids)
    space = history.oracle.home(id_)
    source = history.oracle.live[space.id][0] if space else ""
    target = rng.choice([s for s in SCRIPTS if s != source])
    if not (free := book.free(target)):
        return None
    cell = book.spaces[id_]
    same = cell.class_name in free and rng.random() < 0.6
    cell.script, cell.class_name = target, cell.class_name if same else rng.choice(free)
    cell.transferred_from = source if rng.random() < 0.9 else None
    book.works.setdefault(target, Work())
    return f"move {id_} from {source} to {target}.{cell.class_name}"


def rename_id(history: History, rng: random.Random) -> str | None:
    """Declare a namespace under another stable ID, with renamed_from."""
    book = history.here.book
    ids = sorted(i for i in book.spaces if history.oracle.home(i))
    if not ids:
        return None
    old, new = rng.choice(ids), history.fresh()
    cell = book.spaces.pop(old)
    cell.renamed_from = old if rng.random() < 0.85 else None
    book.spaces[new] = cell
    book.renamings[new] = old
    if cell.namespace_id:  # an imported cell says which namespace it is, whatever its stable ID
        history.granted.add((new, cell.namespace_id))
    return f"call {old} {new}{'' if cell.renamed_from else ' and do not say so'}"


def forget(history: History, rng: random.Random) -> str | None:
    """Do not run the cell of a namespace, or of a Worker with all its namespaces."""
    book = history.here.book
    if not book.spaces:
        return None
    if rng.random() < 0.25 and len(book.works) > 1:
        script = rng.choice(sorted(book.works))
        del book.works[script]
        for id_ in [i for i, c in book.spaces.items() if c.script == script]:
            del book.spaces[id_]
        return f"do not run the cells of {script}"
    id_ = rng.choice(sorted(book.spaces))
    del book.spaces[id_]
    return f"do not run the cell of {id_}"


def edit_worker(history: History, rng: random.Random) -> str | None:
    """Edit a Worker's code, variable, secret, cron, address, form, or what else it binds."""
    book = history.here.book
    if not book.works:
        return None
    script = rng.choice(sorted(book.works))
    work = book.works[script]
    what = rng.choice(("code", "code", "word", "secret", "crons", "url", "form", "bind"))
    match what:
        case "code":
            work.note = f"version {rng.randrange(1000)}"
        case "word":
            work.word = rng.choice(("", "one", "two"))
        case "secret":
            work.secret = not work.secret
        case "crons":
            work.crons = rng.choice(((), ("0 * * * *",), ("0 0 * * *", "5 * * * *")))
        case "url":
            work.url = not work.url
        case "form":
            work.lifecycle = rng.choice(("auto", "exports", "migrations"))
        case "bind":
            elsewhere = sorted(i for i, c in book.spaces.items() if c.script != script)
            work.others = tuple(rng.sample(elsewhere, k=min(len(elsewhere), rng.randrange(3))))
    return f"edit {what} of {script}"


def change_secret(history: History, rng: random.Random) -> str | None:
    """Give the secret another value."""
    history.secret = f"s3cret-{rng.getrandbits(64):016x}-value"
    history.secrets.append(history.secret)
    history.ask(history.here, "secret", value=history.secret)
    return "another secret"


def destroy(history: History, rng: random.Random) -> str | None:
    """Ask for the destruction of a namespace or a Worker, its protection lifted."""
    book = history.here.book
    ids = sorted(i for i in book.spaces if history.oracle.home(i))
    if not ids:
        return None
    if rng.random() < 0.3:
        script = rng.choice(sorted(book.works))
        history.here.destroying.add(f"worker:{script}")
        for cell in book.spaces.values():
            cell.protect = cell.protect and cell.script != script
        return f"destroy worker {script}"
    id_ = rng.choice(ids)
    book.spaces[id_].protect = False
    history.here.destroying.add(id_)
    return f"destroy {id_}"
