"""workerd and esbuild are found or fetched once, and nothing is unpacked that is not exactly what was pinned."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from notebook_do import toolchain
from notebook_do.errors import ToolchainError
from notebook_do.toolchain import Pin, pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BINARY = b"#!/bin/sh\necho tool\n"
MEMBER = "package/bin/tool"


def tarball(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Make an npm tarball."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def pin_of(content: bytes) -> Pin:
    """Pin a tarball."""
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    return Pin(program="tool", version="1.2.3", package="@scope/tool-x", member=MEMBER, integrity=integrity)


class Registry:
    """An npm registry with one tarball; counts what it was asked for."""

    def __init__(self, content: bytes, *, status: int = 200) -> None:
        """Serve `content` for every path."""
        self.asked: list[str] = []
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def registry(content: bytes, *, status: int = 200) -> Iterator[Registry]:
    """Run a registry."""
    running = Registry(content, status=status)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with an empty cache, an empty directory and an empty home."""
    for name in ("cache", "home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry", "NOTEBOOK_DO_TOOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


def test_a_program_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first use downloads, with progress; later uses, in later processes too, do not."""
    content = tarball(("package/README.md", b"x"), (MEMBER, BINARY))
    pin, seen = pin_of(content), []
    with registry(content) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        path = toolchain._find(pin, lambda done, total: seen.append((done, total)))
        toolchain._verified.clear()
        assert toolchain._find(pin, None) == path
        assert server.asked == ["/@scope/tool-x/-/tool-x-1.2.3.tgz"]
    assert seen[-1] == (len(content), len(content))
    assert subprocess.run([path], capture_output=True, check=True).stdout == b"tool\n"


@pytest.mark.parametrize("status", [200, 404])
def test_esbuild_is_fetched_together_with_workerd(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """So that the first source can be checked; where it cannot be had, workerd is there all the same."""
    content = tarball((MEMBER, BINARY))
    pin = pin_of(content)
    other = replace(pin, package="@scope/bundler-x", program="bundler")
    monkeypatch.setattr(toolchain, "workerd_pin", lambda: pin)
    monkeypatch.setattr(toolchain, "esbuild_pin", lambda: other)
    with registry(content) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        if status == 404:
            monkeypatch.setattr(toolchain, "esbuild_pin", lambda: replace(other, integrity="sha512-x"))
        path = toolchain.find_programs()
        assert path.exists()
        assert [name.rpartition("/")[2] for name in server.asked] == ["tool-x-1.2.3.tgz", "bundler-x-1.2.3.tgz"]
        assert toolchain.has_esbuild() == (status == 200)
        toolchain.find_programs()
        assert len(server.asked) == 2  # the program is there: nothing is fetched with it


def test_other_bytes_are_not_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tarball with another hash is refused with one line, and nothing of it stays."""
    content = tarball((MEMBER, BINARY))
    with registry(tarball((MEMBER, b"evil"))) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        with pytest.raises(ToolchainError, match="other bytes than the pinned ones; nothing was unpacked"):
            toolchain._find(pin_of(content), None)
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["lock"]


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ((("../../evil", BINARY), ("/tmp/evil", BINARY)), tarfile.REGTYPE),
        (((MEMBER, b""),), tarfile.SYMTYPE),
        (((MEMBER, b""),), tarfile.LNKTYPE),
        ((), tarfile.REGTYPE),
    ],
)
def test_no_name_in_a_tarball_is_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, members: tuple[tuple[str, bytes], ...], kind: bytes
) -> None:
    """Members that lead out, and links in place of the program, are not written; the error names what is missing."""
    content = tarball(*members, kind=kind)
    with registry(content) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        with pytest.raises(ToolchainError, match="holds no package/bin/tool"):
            toolchain._find(pin_of(content), None)
    assert not list(tmp_path.rglob("evil"))
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["lock"]


@pytest.mark.parametrize("damage", [b"", BINARY[:-1], b"X" + BINARY[1:]])
def test_a_damaged_program_is_fetched_again(monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    """A cached binary that is not what was unpacked is replaced, not run."""
    content = tarball((MEMBER, BINARY))
    with registry(content) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        path = toolchain._find(pin_of(content), None)
        path.write_bytes(damage)
        assert toolchain._find(pin_of(content), None) == path
        assert path.read_bytes() == BINARY
        assert len(server.asked) == 2


def test_a_touched_program_is_only_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new time on the same bytes costs one hash and no download."""
    content = tarball((MEMBER, BINARY))
    with registry(content) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        path = toolchain._find(pin_of(content), None)
        os.utime(path, (1, 1))
        assert toolchain._find(pin_of(content), None) == path
        assert len(server.asked) == 1


def test_first_uses_at_the_same_time_share_one_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight that begin at once get the same whole program, from one download."""
    content = tarball((MEMBER, BINARY + bytes(1 << 20)))
    with registry(content) as server, ThreadPoolExecutor(8) as pool:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        found = list(pool.map(lambda _: toolchain._find(pin_of(content), None), range(8)))
        assert len(set(found)) == 1
        assert len(server.asked) == 1
    assert found[0].read_bytes() == BINARY + bytes(1 << 20)


def test_a_registry_that_answers_no_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says who was asked for what, what came back, and what to do."""
    with registry(b"", status=404) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        with pytest.raises(ToolchainError) as error:
            toolchain._find(pin_of(b""), None)
    assert str(error.value) == (
        "tool 1.2.3 is needed once and could not be downloaded: the npm registry 127.0.0.1 answered 404 for"
        " @scope/tool-x 1.2.3; connect and try again, or set NOTEBOOK_DO_TOOL to a tool binary."
    )


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the error says what was tried and how to go on, without a traceback of another library."""
    with registry(b"") as server:
        pass
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
    with pytest.raises(
        ToolchainError, match=r"127\.0\.0\.1 cannot be reached: .*; connect and try again, or set"
    ) as error:
        toolchain._find(pin_of(b""), None)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None


def test_the_registry_is_the_one_that_npm_would_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Environment before the directory's .npmrc before the home's; a scope's own registry before the general one."""
    assert toolchain.registry_for("@scope/x") == toolchain.PUBLIC_REGISTRY
    (tmp_path / "home" / ".npmrc").write_text("; comment\nregistry = https://home.example/npm/\n")
    assert toolchain.registry_for("@scope/x") == "https://home.example/npm/"
    monkeypatch.setenv("MIRROR", "mirror.example")
    (tmp_path / "here" / ".npmrc").write_text("registry=https://${MIRROR}/\n@scope:registry=https://scope.example/\n")
    assert toolchain.registry_for("@scope/x") == "https://scope.example/"
    assert toolchain.registry_for("@other/x") == "https://mirror.example/"
    monkeypatch.setenv("npm_config_registry", "https://env.example/")
    assert toolchain.registry_for("@scope/x") == "https://env.example/"


def test_an_own_binary_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment variable wins; when it names no executable, the error says so."""
    own = tmp_path / "own"
    own.write_bytes(BINARY)
    monkeypatch.setenv("NOTEBOOK_DO_TOOL", str(own))
    with pytest.raises(ToolchainError, match=r"NOTEBOOK_DO_TOOL is .* which is not an executable file"):
        toolchain._find(pin_of(b""), None)
    own.chmod(0o700)
    assert toolchain._find(pin_of(b""), None) == own


def test_a_system_that_is_too_old_is_told_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """A glibc that is too old, or none, is one plain line, and the registry is not asked."""
    with registry(b"") as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        with pytest.raises(ToolchainError, match=r"^tool 1\.2\.3 needs glibc 99\.1 and this system has "):
            toolchain._find(replace(pin_of(b""), glibc=(99, 1)), None)
        assert server.asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_every_pin_is_a_sha512(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each platform has a well-formed hash for both programs, at one version."""
    hashes = [h for pins in (toolchain.WORKERD_INTEGRITY, toolchain.ESBUILD_INTEGRITY) for h in pins.values()]
    assert len(hashes) == len(set(hashes)) == 10
    assert {len(base64.b64decode(one, validate=True)) for one in hashes} == {64}
    for (system, machine), (workerd, esbuild) in pins._PLATFORMS.items():
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert toolchain.workerd_pin().package == f"@cloudflare/workerd-{workerd}"
        assert toolchain.esbuild_pin().package == f"@esbuild/{esbuild}"


def test_an_unknown_machine_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without binaries is one line that names the variable to set."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ToolchainError, match=r"there is no workerd for .* on riscv64; set NOTEBOOK_DO_WORKERD"):
        toolchain.find_workerd()
