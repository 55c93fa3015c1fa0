"""Writes the golden files anew: `python tests/golden/write.py [plans|...]`, all of them without a name.

Do so after a deliberate change only; read the diff, and commit it together with the change and its reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from corpus import CASES
from editions import BESIDE, NAMES, played, read_edition, still
from files import write
from world import run


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


WRITERS = {"plans": plans, "states": states}

if __name__ == "__main__":
    for name in sys.argv[1:] or WRITERS:
        WRITERS[name]()
