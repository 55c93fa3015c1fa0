"""What is pinned: workerd and esbuild by platform, and the npm packages that go into a bundle."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One program at one version for one platform: its npm package, the member to take, and its integrity.

    Without a member it is the package itself, its tarball.
    """

    program: str
    version: str
    package: str
    member: str = ""
    integrity: str
    glibc: tuple[int, int] | None = None
    """The oldest glibc it runs with; None for a static binary or another system."""

    @property
    def variable(self) -> str:
        """Return the environment variable that overrides this program."""
        return f"NOTEBOOK_DO_{self.program.upper().replace('-', '_')}"

    @property
    def file_name(self) -> str:
        """Return the name of the binary, or of the tarball, in the cache."""
        return Path(self.member).name or f"{self.program}.tgz"

    @property
    def what(self) -> str:
        """Return in words what it is."""
        return f"{self.program} binary" if self.member else f"tarball of {self.package} {self.version}"

    def url(self, registry: str) -> str:
        """Return where `registry` serves the tarball."""
        return f"{registry.rstrip('/')}/{self.package}/-/{self.package.rpartition('/')[2]}-{self.version}.tgz"


WORKERD_VERSION = "1.20261117.1"
WORKERD_GLIBC = (2, 27)
# npm's sha512 of each tarball, in base64
WORKERD_INTEGRITY: Mapping[str, str] = {
    "linux-64": "gZLA8X11m/luZwn+YA3+mDu61vdxNJzpksP/QZqjydKTQ+VUCulsK5gtn9Bqst1p3KJu2kafQpJ1nDQv4B23jA==",
    "linux-arm64": "gxWngFojq41ULKNKb9rpWYvKotN5hT2I/xot+Bpy31cXzrwcTgtDLSMb2t75sW5BJxH7hihFvikgYb577kB3Zg==",
    "darwin-64": "qfAYw6iPoey0BmPsp4z5ARWOa+XSBD3gQzmcBI2ql9pKTSA5eEC8F1oI6BIk/FVguhomfSn5gS4RzbWhTd/EpQ==",
    "darwin-arm64": "cInx5Cr9O27oW+ujyI49lTRQZra/lMgWUFiKmGY3jxDncATSxzfQ6udXHkVvK4//1/PfxQTDyMjdQUIN8m6Aqg==",
    "windows-64": "0OR2Btx5EDonOKvvuGDq8rxBSggxoF1ThQjbZN3vsu3GlaF/oXW5f9/iB78OgV0CzMPTi+hZgzc1NR95UJCURA==",
}
ESBUILD_VERSION = "0.28.2"
ESBUILD_INTEGRITY: Mapping[str, str] = {
    "linux-x64": "4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==",
    "linux-arm64": "pW4AC0P3it8c7do9MVM4p51FzHzdM/TZrerurgRcHJ2WTa1VQ1CIq18xncfpBJw4ojkiZZrKW2yIBWBP92j6Ug==",
    "darwin-x64": "uq6suIWYP37qzGddBKPw5QEQPi6HiLGsO7UmkpfyaYNQ3D+rN6w6WfwH+nuqcGXWvawGwxOEroO4YGnFh95azw==",
    "darwin-arm64": "n4KqkOQrraxHJcgjM1RvwbigfQKIKJVpM7xp+KsxiyUSrRdIXnt73VhrPAx0fV44hgfmIVKjxMN9J1t5jySVkw==",
    "win32-x64": "5ebpxr3nWMzrL/rnUI755Jkuee0bHL/Gq0WTF9lvcpv73wAp5eu8MfBUgWK9bhWvZjj7yX8etf/8tI8Ney695g==",
}
# What wrangler 4.164, whose workerd and esbuild are the pinned ones, puts in the place of Node's modules
PACKAGES: Mapping[str, tuple[str, str]] = {
    "unenv": (
        "2.0.0-rc.24",
        "i7qRCmY42zmCwnYlh9H2SvLEypEFGye5iRmEMKjcGi7zk9UquigRjFtTLz0TYqr0ZGLZhaMHl/foy1bZR+Cwlw==",
    ),
    "@cloudflare/unenv-preset": (
        "2.16.2",
        "JBP1+Z7ZSNG/d4mRP+y8VC5dka3tZVMLEZRvS+rzQ4DGV1EoxRFQckcJTTkXbHSQiTj0DtNI01Zwb/V2fX0mvQ==",
    ),
    "pathe": ("2.0.3", "WUjGcAqP1gQacoQe+OBJsFA7Ld4DyXuUIjZ5cc75cLHvJ7dtNsTugphxIADwspS+AraAUePCKrSVtPLFj/F88w=="),
}

NEWEST_COMPATIBILITY_DATE = re.sub(r"\d+\.(\d{4})(\d\d)(\d\d)\..*", r"\1-\2-\3", WORKERD_VERSION)
"""The newest compatibility date that the pinned workerd accepts on every day from its release on."""

_PLATFORMS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("linux", "x86_64"): ("linux-64", "linux-x64"),
    ("linux", "aarch64"): ("linux-arm64", "linux-arm64"),
    ("darwin", "x86_64"): ("darwin-64", "darwin-x64"),
    ("darwin", "arm64"): ("darwin-arm64", "darwin-arm64"),
    ("win32", "AMD64"): ("windows-64", "win32-x64"),
}


def workerd_pin() -> Pin:
    """Return what is pinned for workerd on this platform."""
    name, _ = _platform("workerd")
    return Pin(
        program="workerd",
        version=WORKERD_VERSION,
        package=f"@cloudflare/workerd-{name}",
        member="package/bin/workerd.exe" if name.startswith("windows") else "package/bin/workerd",
        integrity=f"sha512-{WORKERD_INTEGRITY[name]}",
        glibc=WORKERD_GLIBC if name.startswith("linux") else None,
    )


def esbuild_pin() -> Pin:
    """Return what is pinned for esbuild on this platform."""
    _, name = _platform("esbuild")
    return Pin(
        program="esbuild",
        version=ESBUILD_VERSION,
        package=f"@esbuild/{name}",
        member="package/esbuild.exe" if name.startswith("win32") else "package/bin/esbuild",
        integrity=f"sha512-{ESBUILD_INTEGRITY[name]}",
    )


def package_pin(name: str) -> Pin:
    """Return what is pinned of an npm package: all of it."""
    version, integrity = PACKAGES[name]
    return Pin(program=name.rpartition("/")[2], version=version, package=name, integrity=f"sha512-{integrity}")


def _platform(program: str) -> tuple[str, str]:
    key = (sys.platform, platform.machine())
    if names := _PLATFORMS.get(key):
        return names
    raise ToolchainError(
        f"there is no {program} for {key[0]} on {key[1]}; set NOTEBOOK_DO_{program.upper()} to a {program} binary."
    )
