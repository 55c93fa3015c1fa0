"""Writes the golden files anew, all or some: `python tests/golden/write.py [plans|states|tables|surface]`.

Do so after a deliberate change only; read the diff, and commit it together with the change and its reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from corpus import CASES
from editions import BESIDE, NAMES, played, read_edition, still
from files import write
from inside import launch
from surface import codes, command_line, magics, public
from tables import on_cloudflare, on_the_local_target
from world import folder, run


def plans() -> None:
    """Plan and deploy the corpus."""
    digests, uploads = {}, {}
    for case in CASES:
        digests[case.name], uploads[case.name] = run(case)
    write("digests", digests)
    write("uploads", uploads)


def states() -> None:
    """Read what earlier editions left, and play their history with the code of today."""
    write("editions", {name: read_edition(name) for name in NAMES})
    write("written", {name: still(name, text) for name, text in played().items() if name in BESIDE})


def tables() -> None:
    """Look at every DataFrame; starts a local Cloudflare."""
    with folder() as place:
        try:
            write("frames", {"cloudflare": on_cloudflare(), "local": on_the_local_target(place)})
        finally:
            launch.stop(place / "local-data")


def surface() -> None:
    """Read help texts, names, signatures, codes and variables."""
    write("help", {"magics": magics(), "command line": command_line()})
    write("public", public())
    write("codes", codes())


WRITERS = {"plans": plans, "states": states, "tables": tables, "surface": surface}

if __name__ == "__main__":
    for name in sys.argv[1:] or WRITERS:
        WRITERS[name]()
