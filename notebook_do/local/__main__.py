"""The server's own process: `python -m notebook_do.local --data DIR`, started by `launch`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import DurableError
from notebook_do.local.process.listening import PATIENCE
from notebook_do.local.process.server import serve

if TYPE_CHECKING:
    from notebook_do.local.process.home import LocalTarget


def main() -> int:
    """Serve until nobody needs it; what went wrong is told to the process that waits for the start."""
    parser = argparse.ArgumentParser(prog="python -m notebook_do.local")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--api-port", type=int, default=0)
    parser.add_argument("--workers-port", type=int, default=0)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--patience", type=float, default=PATIENCE)
    parser.add_argument("--linger", type=float, default=None)
    parser.add_argument("--ready-fd", type=int, default=None)
    options = parser.parse_args()
    os.umask(0o077)

    def tell(said: dict[str, object]) -> None:
        if options.ready_fd is not None:
            os.write(options.ready_fd, json.dumps(said).encode() + b"\n")
            os.close(options.ready_fd)

    def ready(target: LocalTarget) -> None:
        tell({"pid": target.pid})

    if options.ready_fd is not None:
        # Not for workerd: a copy of it there would hide this process' death.
        os.set_inheritable(options.ready_fd, False)  # noqa: FBT003
    work = serve(
        options.data,
        api_port=options.api_port,
        workers_port=options.workers_port,
        strict=options.strict,
        linger=options.linger,
        patience=options.patience,
        announce=ready,
    )
    try:
        asyncio.run(work)
    except DurableError as error:
        tell({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
