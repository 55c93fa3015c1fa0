"""Find the running local Cloudflare of a data directory, or start it in a process of its own.

Nothing heavy is imported here: finding a running server costs a kernel a few system calls. Whoever starts, joins or
ends a server holds `launch.lock` meanwhile, so any number of kernels may try at once and one server results.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from notebook_do.errors import TargetError
from notebook_do.local.process.home import Home, LocalTarget

__all__ = ["LINGER", "LocalTarget", "default_data", "ensure", "run_foreground", "start", "status", "stop"]

LINGER = 5.0
"""How many seconds a server outlives its last user."""
_READY_SECONDS = 60.0
# Named one by one, and not "all but the token": a notebook's environment holds secrets under any name, and user
# Workers run in processes of this server.
_PASSED_ON = frozenset({"HOME", "PATH", "PYTHONPATH", "TMPDIR", "TZ", "USER", "LANG", "VIRTUAL_ENV"})
_PASSED_ON_GROUPS = (
    "LC_",
    "XDG_",
    "NOTEBOOK_DO_WORKERD",
    "NOTEBOOK_DO_ESBUILD",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "SSL_CERT_",
)
_END_SECONDS = 20.0

Progress = Callable[[int, int], None]


def default_data() -> Path:
    """Return where the local account lives: `NOTEBOOK_DO_DATA`, else the user's data directory."""
    if given := os.environ.get("NOTEBOOK_DO_DATA"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_data_dir("notebook_do", appauthor=False)) / "local"


def ensure(
    data: Path | None = None,
    *,
    progress: Progress | None = None,
    linger: float = LINGER,
    crons: str | None = None,
) -> LocalTarget:
    """Find the running server of a data directory or start it; this process is its user from now on.

    `progress` is called while workerd is downloaded, once for a machine. As long as this process is a user, a clock
    runs the cron triggers of the Workers that have a tag which begins with `crons`; None: of none.
    """
    home = Home(data or default_data())
    with home.launch_lock():
        target = _join(home) or _launch(home, progress, ["--linger", str(linger)])
        home.join()  # still under the lock: a server that is about to end would not see this user otherwise
        home.wind(crons)
    return target


def start(  # noqa: PLR0913 - the facts of one server
    data: Path | None = None,
    *,
    api_port: int = 0,
    workers_port: int = 0,
    strict: bool = False,
    crons: bool = False,
    progress: Progress | None = None,
) -> LocalTarget:
    """Find or start the server and let it run until `stop`, whether it has users or not.

    A `strict` one refuses bindings to KV, R2, D1 and queues that nobody made, as Cloudflare does; with `crons` a clock
    runs the cron triggers of all Workers.
    """
    home = Home(data or default_data())
    with home.launch_lock():
        target = _join(home)
        if target is None:
            ports = ["--api-port", str(api_port), "--workers-port", str(workers_port)]
            switches = [*["--strict"] * strict, *["--crons"] * crons]
            target = _launch(home, progress, [*ports, *switches, "--linger", str(LINGER)])
        _check_asked(target, api_port, workers_port, strict=strict, crons=crons)
        home.keep(on=True)
    return target


def status(data: Path | None = None) -> LocalTarget | None:
    """Return the running server of a data directory, or None."""
    return Home(data or default_data()).read_target()


def stop(data: Path | None = None) -> bool:
    """End the server of a data directory and wait until it is gone; False when there was none."""
    home = Home(data or default_data())
    with home.launch_lock():
        home.keep(on=False)
        target = home.read_target()
        if target is not None:
            _signal(target.pid, signal.SIGTERM)
        elif not home.is_served():
            return False
        # Without a target the directory is served all the same: by a server that is ending, so it is only waited for.
        if not _gone(home) and target is not None:
            _signal(target.pid, signal.SIGKILL)  # safe: workerd loses no acknowledged write (36 trials of kill -9)
        if not _gone(home):
            raise _does_not_end(home)
        home.forget_target()  # the one that was killed could not
    return True


def run_foreground(  # noqa: PLR0913 - the facts of one server
    data: Path | None = None,
    api_port: int = 0,
    workers_port: int = 0,
    announce: Callable[[LocalTarget], None] | None = None,
    *,
    strict: bool = False,
    crons: bool = False,
) -> None:
    """Serve in this process until Ctrl-C; if a server runs already, be its user until then instead."""
    home = Home(data or default_data())
    with home.launch_lock():
        target = _join(home)
        if target is not None:
            home.join()
    if target is None:
        import asyncio

        from notebook_do.local.process.server import serve

        os.umask(0o077)
        ports = {"api_port": api_port, "workers_port": workers_port}
        asyncio.run(serve(home.data, **ports, strict=strict, crons=crons, announce=announce))
        return
    _check_asked(target, api_port, workers_port, strict=strict, crons=crons)
    with contextlib.suppress(KeyboardInterrupt):  # from the first word on: who reads it may end this at once
        if announce:
            announce(target)
        while home.is_served():
            time.sleep(0.5)
    target.release()


def _check_asked(target: LocalTarget, api_port: int, workers_port: int, *, strict: bool, crons: bool) -> None:
    """Refuse ports, strictness or a clock that the running server does not have; one that has more serves whoever."""
    lacking = "is not strict" if strict and not target.strict else ""
    lacking = lacking or ("has no clock for cron triggers" if crons and not target.crons else "")
    if lacking:
        raise TargetError(
            f"a local Cloudflare already runs on {target.data} and {lacking}: stop it first (notebook-do local stop)"
        )
    running = {"api": int(target.api.split(":")[2].split("/")[0]), "workers": target.workers_port}
    for what, wanted in (("api", api_port), ("workers", workers_port)):
        if wanted and wanted != running[what]:
            raise TargetError(
                f"a local Cloudflare already runs on {target.data} with {what} port {running[what]}: "
                "stop it first (notebook-do local stop)"
            )


def _join(home: Home) -> LocalTarget | None:
    """Return the running server, or None after one that was just ending is gone."""
    target = home.read_target()
    if target is None and home.is_served() and not _gone(home):
        raise _does_not_end(home)
    return target


def _does_not_end(home: Home) -> TargetError:
    return TargetError(f"the local Cloudflare of {home.data} does not end: see {home.data / 'server.log'}")


def _launch(home: Home, progress: Progress | None, options: list[str]) -> LocalTarget:
    from notebook_do.toolchain import find_programs

    # Here, where the progress can be seen; the server then finds it in the cache.
    find_programs(progress)
    home.keep(on=False)  # a mark of a server that was killed: this one is not to outlive its users for it
    reading, writing = os.pipe()
    try:
        try:
            _spawn(home, writing, options)
        finally:
            os.close(writing)  # the server's copy is the only one now, so its death ends the reading
        message = _read_ready(reading)
    finally:
        os.close(reading)
    if "error" in message:
        raise TargetError(message["error"])
    target = home.read_target()
    if target is None:
        raise TargetError(
            f"the local Cloudflare did not start: see {home.data / 'server.err'} and server.log beside it"
        )
    return target


def _spawn(home: Home, ready: int, options: list[str]) -> None:
    """Start the server in a session of its own; it writes one line to `ready` when it is ready."""
    command = [sys.executable, "-m", "notebook_do.local.process.server", "--data", str(home.data)]
    command += ["--ready-fd", str(ready), *options]
    with home.open_private("server.err") as errors:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=[ready],
            start_new_session=True,  # Jupyter interrupts a kernel's whole process group, and other kernels use this
            cwd=home.data,
            env=_environment(),
        )
    # Reaps it when it ends, so that it does not stay in the process table for the life of the kernel.
    threading.Thread(target=process.wait, name="notebook-do-local", daemon=True).start()


def _read_ready(ready: int) -> dict[str, str]:
    """Wait for the one JSON line that the server writes when it is ready, or why it is not; its death ends the wait."""
    received, deadline = b"", time.monotonic() + _READY_SECONDS
    while not received.endswith(b"\n"):
        if not select.select([ready], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return {"error": f"the local Cloudflare was not ready after {_READY_SECONDS:.0f} seconds"}
        chunk = os.read(ready, 65536)
        if not chunk:
            return {}
        received += chunk
    message: dict[str, str] = json.loads(received)
    return message


def _environment() -> dict[str, str]:
    """Return the environment of the server: this very package, and of the user's what it uses, so nothing secret."""
    kept = {k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith(_PASSED_ON_GROUPS)}
    package = str(Path(__file__).resolve().parents[3])
    path = [package, *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _gone(home: Home) -> bool:
    """Wait for a server to end; False when it does not in time.

    The lock is asked and not the process: the kernel drops it with the last descriptor, and an id may be used again.
    """
    deadline = time.monotonic() + _END_SECONDS
    while home.is_served():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
