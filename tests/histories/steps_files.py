"""Steps of a history with state files: lost, copied, kept, put back when they are old, restored from a backup."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from history import History


def lose(history: History, rng: random.Random) -> str | None:
    """Lose the state file, or all that is beside it too; sometimes under a running kernel."""
    place = history.here
    if rng.random() < 0.7:
        history.end_kernel(place)
    if not place.state.exists():
        return None
    place.intact = False
    if rng.random() < 0.6:
        shutil.rmtree(place.state)
        return "lose the directory of the state file"
    for path in place.state.rglob("state.json"):
        path.unlink()
    return "lose the state file"


def copy(history: History, rng: random.Random) -> str | None:
    """Copy the directory; both go on."""
    if len(history.places) > 2 or not history.here.state.exists():
        return None
    made = history.copy(history.here, "abc"[len(history.places)])
    return f"copy {history.here.path.name} to {made.path.name}"


def switch(history: History, rng: random.Random) -> str | None:
    """Go on in another directory."""
    if len(history.places) < 2:
        return None
    history.here = rng.choice([p for p in history.places if p is not history.here])
    return f"go on in {history.here.path.name}"


def save(history: History, rng: random.Random) -> str | None:
    """Keep a copy of the state file, as a backup or a checkout does."""
    place = history.here
    if not place.state.exists():
        return None
    kept = history.folder / f"saved-{place.path.name}-{len(place.saved)}"
    shutil.copytree(place.state, kept)
    place.saved.append((kept, place.book.copy()))
    return f"keep a copy of {place.path.name}'s state"


def put_back(history: History, rng: random.Random) -> str | None:
    """Put an older state file back: the file alone, or the whole directory; with today's cells, or those of then."""
    place = history.here
    if not place.saved:
        return None
    place.intact = False
    history.end_kernel(place)
    kept, book = rng.choice(place.saved)
    if rng.random() < 0.5:
        shutil.rmtree(place.state, ignore_errors=True)
        shutil.copytree(kept, place.state)
    else:
        for path in kept.rglob("state.json"):
            target = place.state / path.relative_to(kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    then = rng.random() < 0.3
    if then:
        place.book = book.copy()
    return f"put an older state back{' with its cells' if then else ''}"


def restore(history: History, rng: random.Random) -> str | None:
    """Restore a backup with %durable state restore."""
    serials = history.ask(history.here, "backups").get("serials")
    if not serials:
        return None
    serial, history.here.intact = rng.choice(serials), False
    done = history.ask(history.here, "restore", serial=serial)
    return f"restore {serial}: {done.get('message', 'done')}"
