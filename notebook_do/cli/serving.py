"""`notebook-do local`: runs the local Cloudflare here, or starts it, shows it and stops it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from notebook_do.local.process import launch

if TYPE_CHECKING:
    import argparse

    from notebook_do.local.process.launch import LocalTarget


def local(arguments: argparse.Namespace) -> int:
    """Run, start, show or stop the local Cloudflare; return the exit status."""
    match arguments.action:
        case "start":
            ports = {"api_port": arguments.api_port, "workers_port": arguments.workers_port}
            switches = {"strict": arguments.strict, "crons": arguments.crons}
            target = launch.start(arguments.data, **ports, **switches, progress=_progress)
            _announce(target, as_json=arguments.json)
        case "status":
            found = launch.status(arguments.data)
            if found is None:
                print("{}" if arguments.json else "The local Cloudflare is not running.")
                return 1
            _announce(found, as_json=arguments.json)
        case "stop":
            stopped = launch.stop(arguments.data)
            if not arguments.json:
                print("The local Cloudflare has stopped." if stopped else "The local Cloudflare was not running.")
        case _:
            launch.run_foreground(
                arguments.data,
                api_port=arguments.api_port,
                workers_port=arguments.workers_port,
                strict=arguments.strict,
                crons=arguments.crons,
                announce=lambda target: _announce(target, as_json=arguments.json),
            )
    return 0


def _announce(target: LocalTarget, *, as_json: bool) -> None:
    """Print where the local Cloudflare listens and what other clients need, as shell lines or as JSON."""
    facts = target.to_json()
    if as_json:
        print(json.dumps(facts), flush=True)
        return
    print(f"Local Cloudflare, process {facts['pid']}, data in {facts['data']}")
    print(f"  API      {facts['api']}")
    print(f"  Workers  http://<script name>.localhost:{facts['url'].rsplit(':', 1)[1].rstrip('/')}/")
    if facts["strict"]:
        print("  Strict   KV, R2, D1 and queues must have been made before they are bound, as on Cloudflare")
    if facts["crons"]:
        print("  Crons    the cron triggers of all Workers run by the clock, in UTC")
    print("\nFor wrangler, Alchemy, the SDK or curl:")
    for name, value in facts["env"].items():
        print(f"  export {name}={value}")
    sys.stdout.flush()


def _progress(done: int, total: int) -> None:
    """Draw the one download that the local Cloudflare ever needs, on stderr."""
    if sys.stderr.isatty():
        end = "\n" if done >= total else "\r"
        print(f"Fetching workerd {done / 1e6:.0f} of {total / 1e6:.0f} MB", end=end, file=sys.stderr, flush=True)
