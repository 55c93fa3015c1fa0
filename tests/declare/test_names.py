"""Names and sizes, F24 and F25: accepted exactly as written, or refused in one line; never changed silently."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from notebook_do.declare.catalog import Catalog
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import CommandError, DeclarationError, SourceError
from notebook_do.model import Bindings, Worker
from notebook_do.sources import bundle
from notebook_do.sources.bundle import reader

ODD = [
    "\u0421ounter",  # Cyrillic capital Es
    "C\u03bfunter",  # Greek omicron
    "Cafe\u0301",
    "Café",
    "\u202eretnuoC",
    "Counter\u200b",
    "🦊",
    "Counter\x00",
    "Counter\n",
    "Cou nter",
    "__proto__",
    "constructor",
    "prototype",
    "toString",
    "default",
    "class",
    "await",
    "eval",
    "arguments",
    "1Counter",
    "-Counter",
    "",
    ".",
    "..",
    "../../etc",
    "a/b",
    "a:b",
    "a,b",
    "a&b",
    "a;b",
    "a=b",
    "a%b",
    "C" * 64,
    "C" * 65,
    "C" * 255,
    "C" * 256,
    "counter",
    "Counter",
    "COUNTER",
    "_x",
    "$x",
    "x-y",
    "x_y",
]


def corpus() -> list[str]:
    """Give 500 names: the odd ones, and what comes of mixing their characters."""
    random_ = random.Random(24)
    letters = "".join(ODD)
    mixed = ["".join(random_.choices(letters, k=random_.randint(1, 12))) for _ in range(500 - len(ODD))]
    return ODD + mixed


@pytest.mark.parametrize("field", ["class", "id", "binding", "worker", "name"])
def test_f24_names_round_trip_or_are_refused(field: str) -> None:
    """F24: of 500 names each is kept byte for byte or refused in one short line, in every place a name can stand."""
    kept, lines = 0, []
    for name in corpus():
        catalog = Catalog()
        words = {"class": "Counter", "id": "counter", "binding": "COUNTER", "worker": "api", "name": "api"} | {
            field: name
        }
        quoted = {key: "'" + value.replace("'", "'\\''") + "'" for key, value in words.items()}
        try:
            catalog.declare(*parse_cell(f"namespace {quoted['id']} --class={quoted['class']}", None))
            line = f"worker {quoted['worker']} --name={quoted['name']} --bind={quoted['binding']}={quoted['id']}"
            catalog.declare(*parse_cell(line, "export default {}"))
            desired = catalog.desired("s", "dev", read=reader())
        except (CommandError, DeclarationError) as error:
            lines.append(str(error))
            continue
        kept += 1
        (namespace,), (worker,) = desired.namespaces, desired.workers
        found = {
            "class": namespace.class_name,
            "id": namespace.stable_id,
            "binding": worker.bindings[0].name,
            "worker": worker.id,
            "name": worker.script_name,
        }
        assert found == words
        assert name.isascii()
    assert kept
    assert kept + len(lines) == 500
    assert all(len(line) < 700 and "\n" not in line for line in lines)


def test_f24_ids_that_differ_in_case_only_are_two() -> None:
    """F24: nothing folds case: `counter` and `Counter` are two namespaces."""
    catalog = Catalog()
    catalog.declare(*parse_cell("namespace counter --class A --script api", None))
    catalog.declare(*parse_cell("namespace Counter --class B --script api", None))
    catalog.declare(*parse_cell("worker api", "export default {}"))
    assert {n.stable_id for n in catalog.desired("s", "dev", read=reader()).namespaces} == {"counter", "Counter"}


def test_f25_scripts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """F25: a script is kept once, never printed, and refused in one line above the limit, which is one constant."""
    size = 16 * 2**20
    script = "//" + "x" * (size - 2)
    worker = Worker("big", script=script, bindings=Bindings("big", {}))
    tracemalloc.start()
    name, modules, digest = bundle.bundle(worker, base=Path())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (name, len(modules[0].content), len(digest)) == ("index.js", size, 64)
    assert peak < 3 * size
    assert len(repr(modules)) < 200
    assert len(repr(worker)) < 400
    monkeypatch.setattr(bundle, "MAX_BYTES", size - 1)
    with pytest.raises(SourceError, match=r"Worker big: its modules are 16\.0 MiB"):
        bundle.bundle(worker, base=Path())
