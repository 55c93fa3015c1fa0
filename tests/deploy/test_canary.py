"""No secret gets out: every sink is searched after deploys that went well, and that failed in every way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import logging
import pickle
import traceback
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from account_model import TOKEN, Account, Clock, client_of
from canary import hits
from faults import FAULTS
from IPython.core.ultratb import FormattedTB
from project import Project, worker_of

from notebook_do.errors import DurableError
from notebook_do.model import Bindings, Secret, Worker
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

VALUES = {
    "CANARY_ONE": "canary-one+/=<&>\"'-5f3a9c1e77",
    "CANARY_TWO": "kanarienvogel zwei éü 1b2c3d4e5f",
    "CANARY_THREE": "0123canary3-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
}
SECRETS = (TOKEN, *VALUES.values())
XMODES = ("Plain", "Context", "Verbose", "Minimal")


def declared(note: str = "") -> tuple[Any, ...]:
    """Declare a Worker with three secrets."""
    space, worker = worker_of("host", {"a": "A"}, note=note)
    secrets = {f"S{i}": Secret.from_env(name) for i, name in enumerate(VALUES)}
    bound = Bindings("host", {**worker.bindings, **secrets})
    return (space, Worker("host", name="host", script=worker.script, bindings=bound))


@dataclass
class Sinks:
    """Everything that came out, by where it came out."""

    found: dict[str, list[str | bytes]] = field(default_factory=dict)

    def put(self, sink: str, content: str | bytes) -> None:
        """Collect something."""
        self.found.setdefault(sink, []).append(content)

    def leaks(self) -> list[str]:
        """Name the sinks that hold a secret, and its disguise."""
        return sorted(
            {f"{sink}: {hit}" for sink, texts in self.found.items() for t in texts for hit in hits(t, SECRETS)}
        )


def put_error(sinks: Sinks, error: BaseException) -> None:
    """Collect all that can be made of an error."""
    sinks.put("message", str(error))
    sinks.put("repr", repr(error))
    sinks.put("vars", repr(vars(error)))
    sinks.put("traceback", "".join(traceback.format_exception(error)))
    with_locals = traceback.TracebackException.from_exception(error, capture_locals=True)
    sinks.put("traceback with locals", "".join(with_locals.format()))
    for mode in XMODES:
        shown = FormattedTB(mode=mode, theme_name="nocolor").text(type(error), error, error.__traceback__)
        sinks.put(f"xmode {mode}", shown)
    sinks.put("in a notebook", "".join(error._render_traceback_()) if isinstance(error, DurableError) else "")
    with contextlib.suppress(TypeError, pickle.PicklingError, AttributeError):
        sinks.put("pickle", pickle.dumps(error))
    sinks.put("referents", repr([r for r in gc.get_referents(error) if isinstance(r, str | tuple | dict)]))


@contextlib.contextmanager
def watched(sinks: Sinks) -> Iterator[None]:
    """Collect logs at DEBUG, warnings, stdout and stderr."""
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as told,
        ):
            warnings.simplefilter("always")
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    sinks.put("logs", log.getvalue())
    sinks.put("stdout", out.getvalue())
    sinks.put("stderr", err.getvalue())
    sinks.put("warnings", "\n".join(str(w.message) for w in told))


def put_files(sinks: Sinks, place: Path) -> None:
    """Collect every file of the project, by what it is."""
    for path in place.rglob("*"):
        if path.is_file():
            kind = "backups" if path.parent.name == "backups" else path.name
            sinks.put(f"file {kind}", path.read_bytes())
            sinks.put("file names", str(path))


async def deploy_all(sinks: Sinks, place: Path, fault: Any) -> None:
    """Deploy twice, under a fault, collecting all that is shown on the way."""
    account, clock = Account(), Clock()
    elsewhere: list[str] = []

    async def weather(request: httpx.Request, deliver: Any) -> Any:
        if request.url.host != "api.cloudflare.com":
            elsewhere.append(f"{request.url} {request.headers.raw!r}")
        return await fault(request, deliver) if fault else None

    project = Project(StateFile(place / "p" / "state.json"), lambda: client_of(account, weather, clock))
    for note in ("first", "second"):
        project.declared = declared(note)
        try:
            plan = await project.plan()
            sinks.put("plan as JSON", plan.to_json())
            sinks.put("plan shown", "".join(plan._repr_mimebundle_().values()))
            sinks.put("plan repr", repr(plan))
            result = await project.deploy(plan, emit=lambda event: sinks.put("events", repr(event)))
            sinks.put("result", repr(result) + "".join(result._repr_mimebundle_().values()))
        except DurableError as error:
            put_error(sinks, error)
            if error.result is not None:
                sinks.put("result", repr(error.result) + repr(error.result.outcomes))
    put_files(sinks, place)
    sinks.put("other origins", "\n".join(elsewhere))


class Echo:
    """Refuses an upload with a text that holds its whole body and its headers."""

    async def __call__(self, request: httpx.Request, _deliver: Any) -> Any:
        """Answer with what was sent."""
        import httpx

        if request.method != "PUT":
            return None
        told = request.content.decode("utf-8", "replace") + str(request.headers.raw)
        errors = [{"code": 10021, "message": told}]
        return httpx.Response(400, json={"success": False, "errors": errors, "result": None})


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the canaries."""
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", ["none", *FAULTS])
@pytest.mark.usefixtures("secrets")
def test_s01_p9_no_secret_in_any_sink(tmp_path: Path, name: str) -> None:
    """S01, S03, S06, P9: under no fault, and under each for every request, no sink holds a secret in any disguise."""
    sinks = Sinks()
    with watched(sinks):
        asyncio.run(deploy_all(sinks, tmp_path, FAULTS.get(name)))
    assert sinks.leaks() == []
    if name == "none":
        assert len(sinks.found) >= 14, sorted(sinks.found)


@pytest.mark.usefixtures("secrets")
def test_s30_a_server_that_echoes(tmp_path: Path) -> None:
    """S30: even when the server answers with the whole request, no secret gets into an error or a file."""
    sinks = Sinks()
    with watched(sinks):
        asyncio.run(deploy_all(sinks, tmp_path, Echo()))
    assert "message" in sinks.found
    assert sinks.leaks() == []


@pytest.mark.usefixtures("secrets")
def test_the_scan_finds_a_planted_leak_in_every_sink(tmp_path: Path) -> None:
    """The test of the test: one secret planted in any sink, in any disguise, is found there."""
    sinks = Sinks()
    with watched(sinks):
        asyncio.run(deploy_all(sinks, tmp_path, None))
        put_error(sinks, DurableError("x"))
        print("x")  # noqa: T201 - a sink
    assert len(sinks.found) >= 20
    plants = {
        "raw": TOKEN.encode(),
        "base64": base64.b64encode(b"Authorization: Bearer " + TOKEN.encode()),
        "hex": VALUES["CANARY_TWO"].encode().hex().encode(),
        "reversed": VALUES["CANARY_THREE"][::-1].encode(),
    }
    for sink in sinks.found:
        for how, plant in plants.items():
            planted = Sinks({**sinks.found, sink: [*sinks.found[sink], b"...." + plant + b"...."]})
            assert {leak.split(": ")[0] for leak in planted.leaks()} == {sink}, (sink, how)
