"""One process of esbuild makes one bundle after the other, and nobody has to look after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from notebook_do.sources import esbuild, service

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def bundle(folder: Path) -> bytes:
    """Return what is made of the folder's one source."""
    made = esbuild.build(folder / "index.ts", esbuild.Settings(root=folder))
    return made.modules[0].content


def process() -> int:
    """Return the process that waits for the next bundle."""
    waiting = service._waiting._service
    assert waiting is not None
    return waiting.process.pid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a source that imports a file."""
    (tmp_path / "index.ts").write_text('import { word } from "./word";\nexport default { a: word };\n')
    (tmp_path / "word.ts").write_text('export const word = "first";\n')
    return tmp_path


def test_the_next_bundle_is_of_the_same_process_and_of_the_files_as_they_are_then(folder: Path) -> None:
    """Nothing of an earlier bundle is kept: neither a file's content, nor a mistake, nor where it was looked for."""
    assert b"first" in bundle(folder)
    before = process()
    (folder / "word.ts").write_text('export const word = "second";\n')
    assert b"second" in bundle(folder)
    (folder / "word.ts").write_text("export const word = ;\n")
    with pytest.raises(esbuild.BundleFailed, match="Unexpected"):
        bundle(folder)
    (folder / "word.ts").unlink()
    (folder / "word.js").write_text('export const word = "third";\n')
    assert b"third" in bundle(folder)
    assert process() == before


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_was_ended_while_it_waited_is_started_anew(folder: Path, sent: signal.Signals) -> None:
    """What waits is no part of any bundle: its end costs a start."""
    bundle(folder)
    before = process()
    os.kill(before, sent)
    assert service._waiting._service is not None
    service._waiting._service.process.wait()
    assert b"first" in bundle(folder)
    assert process() != before


def test_a_plugin_that_fails_leaves_no_process_in_the_middle(folder: Path) -> None:
    """An interrupted conversation is not gone on with."""

    class Failing(service.Plugin):
        filters = {"": ".*"}  # noqa: RUF012

        def decide(
            self, one: service.ImportQuestion
        ) -> Generator[service.ImportQuestion, service.Answer, service.Answer]:
            raise KeyboardInterrupt(one.path)
            yield one

    bundle(folder)
    before = psutil.Process(process())
    asked = service.Build(entry=str(folder / "index.ts"), flags=("--bundle",), folder=str(folder), plugin=Failing())
    with pytest.raises(KeyboardInterrupt):
        service.run(asked)
    assert not before.is_running()
    assert b"first" in bundle(folder)


def test_a_large_bundle_leaves_no_process_with_its_memory(folder: Path) -> None:
    """A process that waits is a small one."""
    (folder / "word.ts").write_text(f'export const word = "{"x" * (1 << 20)}";\n')
    bundle(folder)
    assert service._waiting._service is None


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_whom_it_works_for(folder: Path, end: str) -> None:
    """No esbuild outlives a kernel, however that ends; a forked child has one of its own."""
    text = (
        "import os\nfrom pathlib import Path\nfrom notebook_do.sources import esbuild, service\n"
        f"folder = Path({str(folder)!r})\n"
        "def made(): return esbuild.build(folder / 'index.ts', esbuild.Settings(root=folder)).modules[0].content\n"
        "first = made()\nprint(service._waiting._service.process.pid, flush=True)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    assert service._waiting._service is None and made() == first\n"
        "    print(service._waiting._service.process.pid, flush=True)\n"
        "    service._waiting.end()\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0 and made() == first\n"
        f"print(service._waiting._service.process.pid, flush=True)\n{end}\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    ours, childs, again = (int(line) for line in done.stdout.split())
    assert ours == again != childs
    for pid in (ours, childs):
        try:
            psutil.Process(pid).wait(60)
        except psutil.NoSuchProcess:
            continue
