"""The state file: what was deployed, under which permanent names, bound to one account.

Bytes reach the disk whole or not at all (disk.py), are read strictly (strict.py), mean what document.py says, and are
written only under a lock on another file (lock.py) that excludes (exclusion.py). Other rooms use `StateFile`, and the
key under which secrets are marked (key.py).
"""

from __future__ import annotations

from notebook_do.state.exclusion import Locking
from notebook_do.state.file import Backup, StateFile
from notebook_do.state.key import load_key, make_key
from notebook_do.state.lock import Holder

__all__ = ["Backup", "Holder", "Locking", "StateFile", "load_key", "make_key"]
