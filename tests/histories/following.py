"""Does what a choice says: to the cells, to the account, or by a command."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from book import Space as Cell
from book import Work
from kernels import KILLED

if TYPE_CHECKING:
    from history import History, Place
    from resolver import Effect


def follow(history: History, place: Place, effect: Effect, refusal: dict[str, Any]) -> bool:
    """Follow a choice; False when there was nothing to do for it."""
    history.count["choices followed"] += 1
    history.log(
        f"    {refusal['code']} {refusal['subject']} -> {effect.kind} {effect.id} {effect.value}{effect.script}"
    )
    history.oracle.look()  # what a killed kernel sent may only be there by now
    doer = _DOERS.get(effect.kind)
    return bool(doer(history, place, effect)) if doer else effect.kind in {"again", "wait"}


def _cell(place: Place, effect: Effect) -> Cell | None:
    return place.book.spaces.get(effect.id)


def own(history: History, place: Place, id_: str) -> Any:
    """Give the namespace that the user means by a stable ID, also where it is only just called so."""
    cell = place.book.spaces.get(id_)
    formers = [*filter(None, [cell.renamed_from if cell else None]), *place.book.formers(id_)]
    return next(filter(None, map(history.oracle.home, (id_, *formers))), None)


def _namespace_id(history: History, place: Place, effect: Effect) -> bool:
    cell, space = _cell(place, effect), history.oracle.spaces.get(effect.value)
    if cell is None or space is None or any(c.namespace_id == space.id for c in place.book.spaces.values()):
        return False
    cell.namespace_id = effect.value
    history.granted.add((effect.id, effect.value))
    if effect.id not in space.names:  # his own explicit choice, whatever it was before
        history.oracle.grant(effect.id, space)
    return True


def _name_it(history: History, place: Place, effect: Effect) -> bool:
    cell, space = _cell(place, effect), own(history, place, effect.id)
    if cell is None:
        return False
    if space is None:  # nothing of it is left to name
        history.log(f"    nothing is left of {effect.id}")
        return False
    if any(other.namespace_id == space.id for id_, other in place.book.spaces.items() if id_ != effect.id):
        del place.book.spaces[effect.id]  # it goes by another stable ID now
        return True
    cell.namespace_id = space.id
    return True


def _renamed_from(history: History, place: Place, effect: Effect) -> bool:
    cell, home = _cell(place, effect), history.oracle.home
    space = home(effect.value) or home(effect.id) or history.oracle.spaces.get(effect.namespace_id)
    if cell is None or space is None:
        return False
    for other in place.book.spaces.values():
        if other.renamed_from == effect.value:
            other.renamed_from = None
    cell.renamed_from = effect.value
    place.book.spaces.pop(effect.value, None)
    history.oracle.grant(effect.id, space)
    return True


def _keep_both(history: History, place: Place, effect: Effect) -> bool:
    """Let a namespace have no former name any more; the cell of that name runs again if it is another one."""
    cell = _cell(place, effect)
    if cell is None:
        return False
    both = own(history, place, effect.id), own(history, place, effect.value)
    cell.renamed_from = None
    if both[0] is not both[1]:
        _run(history, place, replace(effect, id=effect.value))
    return True


def _new_id(history: History, place: Place, effect: Effect) -> bool:
    """Begin an empty namespace under a stable ID that never was."""
    if _cell(place, effect) is None:
        return False
    old = place.book.spaces.pop(effect.id)
    place.book.spaces[history.fresh()] = Cell(script=old.script, class_name=old.class_name)
    return True


def _unbind(history: History, place: Place, effect: Effect) -> bool:
    """Take a binding out and deploy that; the destruction is for another time."""
    place.destroying.discard(effect.id)
    for work in place.book.works.values():
        work.others = tuple(o for o in work.others if o != effect.id)
    return True


def _call_back(history: History, place: Place, effect: Effect) -> bool:
    """Take a new name of a namespace back."""
    if _cell(place, effect) is None:
        return False
    cell = place.book.spaces.pop(effect.id)
    if effect.value in place.book.spaces:
        return True
    cell.renamed_from = None
    place.book.spaces[effect.value] = cell
    return True


def _run(history: History, place: Place, effect: Effect) -> bool:
    """Run the cell of a namespace that is live, as it is live; one that only an import named is written anew."""
    space = history.oracle.home(effect.id) or history.oracle.spaces.get(effect.namespace_id)
    if space is None or space.id not in history.oracle.live:
        return False
    history.oracle.grant(effect.id, space)
    script, class_name = history.oracle.live[space.id]
    place.book.works.setdefault(script, Work())
    _make_room(place, script, class_name, effect.id)
    place.book.spaces[effect.id] = Cell(script=script, class_name=class_name)
    return True


def _declare(history: History, place: Place, effect: Effect) -> bool:
    """Run the line that a refusal prints; the user puts the name that he knows for ID."""
    space = history.oracle.spaces.get(effect.namespace_id) or history.oracle.at(effect.script, effect.class_name)
    if space is None:
        return False
    called = [i for i in place.book.spaces if i not in space.names and own(history, place, i) is space]
    names = called or [n for n in space.names if n in place.book.spaces] or space.names
    printed = effect.id != "ID" and effect.id not in place.book.spaces and history.oracle.home(effect.id) is None
    id_ = effect.id if effect.id in names or (not names and printed) else names[-1] if names else history.fresh()
    cell = Cell(script=effect.script, class_name=effect.class_name, namespace_id=effect.namespace_id or None)
    if (declared := place.book.spaces.get(id_)) is not None:
        declared.namespace_id = space.id  # it is declared as something else already: say which one it is
        if called:
            history.granted.add((id_, space.id))
            history.oracle.grant(id_, space)
        return True
    cell.protect = "--unprotect" not in effect.text
    _make_room(place, cell.script, cell.class_name, id_)
    place.book.spaces[id_] = cell
    place.book.works.setdefault(cell.script, Work())
    if not names:
        history.oracle.grant(id_, space)
    return True


def _make_room(place: Place, script: str, class_name: str, id_: str) -> None:
    other = place.book.slots().get((script, class_name))
    if other not in {None, id_} and (free := place.book.free(script)):
        place.book.spaces[str(other)].class_name = free[0]


def _instead(history: History, place: Place, effect: Effect) -> bool:
    if forgotten := re.search(r"rm namespace ([\w.-]*\w)", effect.text):
        place.book.spaces.pop(forgotten[1], None)
    return _run(history, place, effect)


def _destroy(history: History, place: Place, effect: Effect) -> bool:
    """Ask for a destruction; what still has objects goes by the user's explicit choice only."""
    place.destroying.add(effect.id)
    return True


def _destroy_alone(history: History, place: Place, effect: Effect) -> bool:
    """Ask for one destruction, and for the others later."""
    place.destroying.clear()
    return _destroy(history, place, effect)


def _spare(history: History, place: Place, effect: Effect) -> bool:
    place.destroying.discard(effect.id)
    return True


def _unprotect(history: History, place: Place, effect: Effect) -> bool:
    if effect.id not in place.book.spaces and not _run(history, place, effect):
        return False
    place.book.spaces[effect.id].protect = False
    return True


def _adopt(history: History, place: Place, effect: Effect) -> bool:
    """Take a Worker over. Without a mark of ours on it, its class names are what the user goes by."""
    script = effect.id
    work = place.book.works.setdefault(script, Work())
    already, work.adopt = work.adopt, True
    if not history.is_marked(script):
        for id_, cell in place.book.spaces.items():
            if cell.script == script and (space := history.oracle.at(script, cell.class_name)):
                history.granted.add((id_, space.id))
    return not already


def _adopt_first(history: History, place: Place, effect: Effect) -> bool:
    """Take a Worker over, and leave its destruction to a later plan."""
    place.destroying -= {effect.id, f"worker:{effect.id}"}
    _adopt(history, place, effect)
    return True


def _script(history: History, place: Place, effect: Effect) -> bool:
    cell, space = _cell(place, effect), own(history, place, effect.id)
    if cell is None:
        return False
    cell.script, cell.transferred_from = effect.value, None
    place.book.works.setdefault(effect.value, Work())
    if space and space.id in history.oracle.live:
        class_name = history.oracle.live[space.id][1]
        _make_room(place, cell.script, class_name, effect.id)
        cell.class_name = class_name
    return True


def _back(history: History, place: Place, effect: Effect) -> bool:
    """Declare what is concerned as it is live; one change less."""
    done = False
    for id_ in [i for i in place.book.spaces if effect.id in {i, place.book.spaces[i].script} or "," in effect.id]:
        if (space := own(history, place, id_)) and space.id in history.oracle.live:
            script, class_name = history.oracle.live[space.id]
            cell = place.book.spaces[id_]
            if (cell.script, cell.class_name) != (script, class_name):
                _make_room(place, script, class_name, id_)
                cell.script, cell.class_name, cell.transferred_from = script, class_name, None
                place.book.works.setdefault(script, Work())
                done = True
    return done


def _transferred_from(history: History, place: Place, effect: Effect) -> bool:
    if (cell := _cell(place, effect)) is None:
        return False
    cell.transferred_from = effect.value
    return True


def _move_first(history: History, place: Place, effect: Effect) -> bool:
    """Move a namespace, and leave the destruction of the Worker that has it to a later plan."""
    place.destroying -= {effect.script, f"worker:{effect.script}"}
    return _transferred_from(history, place, effect)


def _exports(history: History, place: Place, effect: Effect) -> bool:
    cell = _cell(place, effect)
    if effect.script:  # one that is not declared here yet
        place.book.works.setdefault(effect.script, Work())
    scripts = {effect.id} if effect.id in place.book.works else {cell.script, cell.transferred_from} if cell else set()
    for script in scripts & place.book.works.keys():
        place.book.works[script].lifecycle = "exports"
    if "first" in effect.text:
        _back(history, place, effect)
    return bool(scripts)


def _migrations(history: History, place: Place, effect: Effect) -> bool:
    del history
    work = place.book.works.get(effect.script)
    if work:
        work.lifecycle = "migrations"
    return work is not None


def _another_class(history: History, place: Place, effect: Effect) -> bool:
    cell = _cell(place, effect)
    free = place.book.free(cell.script) if cell else []
    if cell and free:
        cell.class_name = history.rng.choice(free)
    return bool(free)


def _no_namespace_id(history: History, place: Place, effect: Effect) -> bool:
    cell = _cell(place, effect)
    changed = cell is not None and cell.namespace_id is not None
    if cell is not None:
        cell.namespace_id = None
    return changed


def _no_transfer(history: History, place: Place, effect: Effect) -> bool:
    if (cell := _cell(place, effect)) is None:
        return False
    cell.transferred_from = None
    return True


def _rename_first(history: History, place: Place, effect: Effect) -> bool:
    if (cell := _cell(place, effect)) is None:
        return False
    _make_room(place, effect.script, effect.value, effect.id)
    cell.script, cell.class_name, cell.transferred_from = effect.script, effect.value, None
    place.book.works.setdefault(cell.script, Work())
    return True


def _run_worker(history: History, place: Place, effect: Effect) -> bool:
    cell = _cell(place, effect)
    script = effect.script or (cell.script if cell else "")
    if not script or script in place.book.works:
        return _back(history, place, effect)
    place.book.works[script] = Work()
    return True


def _whole(history: History, place: Place, effect: Effect) -> bool:
    return history.tool.whole(effect.id) is not None


def _import(history: History, place: Place, effect: Effect) -> bool:
    """Import a Worker, once more where the kernel died of it."""
    if history.adopt_live(place, effect.script) == KILLED:
        history.adopt_live(place, effect.script)
    return True


def _wait(history: History, place: Place, effect: Effect) -> bool:
    history.later(place)
    return True


_DOERS: dict[str, Any] = {
    "namespace_id": _namespace_id,
    "name_it": _name_it,
    "renamed_from": _renamed_from,
    "call_back": _call_back,
    "keep_both": _keep_both,
    "new_id": _new_id,
    "unbind": _unbind,
    "run": _run,
    "declare": _declare,
    "instead": _instead,
    "destroy": _destroy,
    "destroy_alone": _destroy_alone,
    "spare": _spare,
    "unprotect": _unprotect,
    "adopt": _adopt,
    "adopt_first": _adopt_first,
    "script": _script,
    "one_less": _back,
    "transferred_from": _transferred_from,
    "move_first": _move_first,
    "exports": _exports,
    "migrations": _migrations,
    "another_class": _another_class,
    "no_namespace_id": _no_namespace_id,
    "no_transfer": _no_transfer,
    "rename_first": _rename_first,
    "run_worker": _run_worker,
    "whole": _whole,
    "import": _import,
    "wait": _wait,
}
