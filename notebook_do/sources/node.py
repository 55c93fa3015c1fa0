"""Which of Node's modules a Worker has from the runtime, and what stands in for the others: as wrangler has it.

What stands in is of the npm packages `unenv` and `@cloudflare/unenv-preset`, at the versions of the pinned wrangler;
they are fetched when the first file of them is needed. The table of dates is that preset's, which follows
developers.cloudflare.com/workers/configuration/compatibility-flags. Files of the packages have no path on this machine
in a bundle: the same sources give the same bytes everywhere.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["v2", "v1", "als", "none"]
_MOCK, _PRESET = "unenv/mock/proxy-cjs", "@cloudflare/unenv-preset"

# fmt: off
_NATIVE = (
    *("_stream_duplex", "_stream_passthrough", "_stream_readable", "_stream_transform", "_stream_writable"),
    *("_tls_common", "_tls_wrap", "assert", "assert/strict", "async_hooks", "buffer", "constants", "crypto"),
    *("diagnostics_channel", "dns", "dns/promises", "events", "module", "net", "path", "path/posix", "path/win32"),
    *("querystring", "stream", "stream/consumers", "stream/promises", "stream/web", "string_decoder", "sys"),
    *("timers", "timers/promises", "tls", "url", "util", "util/types", "zlib"),
)
"""What the runtime has at every compatibility date at which `nodejs_compat` means this."""
_HTTP = ("_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "http", "https")
SINCE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "http_modules": ("2025-08-15", _HTTP),
    "http2_module": ("2025-09-01", ("http2",)),
    "os_module": ("2025-09-15", ("os",)),
    "fs_module": ("2025-09-15", ("fs", "fs/promises")),
    "console_module": ("2025-09-21", ("console",)),
    "vm_module": ("2025-10-01", ("vm",)),
    "punycode_module": ("2025-12-04", ("punycode",)),
    "cluster_module": ("2025-12-04", ("cluster",)),
    "trace_events_module": ("2025-12-04", ("trace_events",)),
    "domain_module": ("2025-12-04", ("domain",)),
    "wasi_module": ("2025-12-04", ("wasi",)),
    "inspector_module": ("2026-01-29", ("inspector", "inspector/promises")),
    "sqlite_module": ("2026-01-29", ("sqlite",)),
    "dgram_module": ("2026-01-29", ("dgram",)),
    "stream_wrap_module": ("2026-01-29", ("_stream_wrap",)),
    "repl_module": ("2026-03-17", ("repl",)),
    "v8_module": ("2026-03-17", ("v8",)),
    "tty_module": ("2026-03-17", ("tty",)),
    "child_process_module": ("2026-03-17", ("child_process",)),
    "worker_threads_module": ("2026-03-17", ("worker_threads",)),
    "readline_module": ("2026-03-17", ("readline", "readline/promises")),
    "perf_hooks_module": ("2026-03-17", ("perf_hooks",)),
}
"""By the end of the flag `enable_nodejs_...`: the date from which it is on by itself, and the modules it brings."""
_SHIMS: Mapping[str, str] = {
    "cross-fetch": "unenv/npm/cross-fetch",
    "fsevents": "unenv/npm/fsevents",
    "inherits": "unenv/npm/inherits",
    "node-fetch": "unenv/npm/node-fetch",
    "node-fetch-native": "unenv/npm/node-fetch",
    "whatwg-url": "unenv/npm/whatwg-url/index",
    "whatwg-url/webidl2js-wrapper": "unenv/npm/whatwg-url/webidl2js-wrapper",
    "cross-fetch/polyfill": "unenv/mock/empty",
    "node-fetch-native/polyfill": "unenv/mock/empty",
    "isomorphic-fetch": "unenv/mock/empty",
}
"""npm packages that have no use in a Worker, which has what they bring; `debug` is wrangler's own exception."""
# fmt: on
_LATER = ("_http_server", "process")
MODULES = frozenset((*_NATIVE, *(name for _, names in SINCE.values() for name in names), *_LATER)) - {"sqlite"}
"""Node's modules that are known without `node:` before them."""
_OTHER_NAMES = {"sys": "util", "path/posix": "path", "path/win32": "path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a Worker has of Node. In mode `v2` every module of Node is there, from the runtime or in its place."""

    mode: Mode = "none"
    native: frozenset[str] = frozenset()
    stands_in: Mapping[str, str] = field(default_factory=dict)
    """By module (without `node:`) or npm package, the file of the packages that stands in for it."""
    globals_: Mapping[str, str] = field(default_factory=dict)
    """By name in `globalThis`, the file whose default export it becomes."""
    first: tuple[str, ...] = ()
    """Files that are run before everything else."""


def node_of(date: str, flags: tuple[str, ...]) -> Node:
    """Return what a Worker of this compatibility date and these flags has of Node."""
    return _node_of(date, frozenset(flags))


@cache
def _node_of(date: str, flags: frozenset[str]) -> Node:
    mode = _mode(date, flags)
    if mode != "v2":
        return Node(mode=mode)
    native = frozenset({*_NATIVE, *(n for end, (since, names) in SINCE.items() if _on(end, since, date, flags)
                                    for n in names)})  # fmt: skip
    native |= {"_http_server"} & _http_server(date, flags)
    native |= {"process"} if _has_process(date, flags) else set()
    files = {name: _stand_in(name) for name in (*MODULES, "sqlite") if name not in native}
    files |= {name: f"{_PRESET}/node/{name}" for name in ("console", "process") if name not in native}
    globals_: dict[str, str] = {name: files[name] for name in ("process", "console") if name in files}
    first = () if "perf_hooks" in native else (f"{_PRESET}/polyfill/performance",)
    return Node(mode=mode, native=native, stands_in={**files, **_SHIMS}, globals_=globals_, first=first)


def _mode(date: str, flags: frozenset[str]) -> Mode:
    """Return how much of Node there is, as wrangler tells it from date and flags."""
    by_itself = date >= "2026-08-04"  # since then nodejs_compat is on unless it is switched off
    compat = "nodejs_compat" in flags or (by_itself and "no_nodejs_compat" not in flags)
    second = by_itself or (compat and date >= "2024-09-23")
    if "nodejs_compat_v2" in flags or (second and "no_nodejs_compat_v2" not in flags):
        return "v2"
    return "v1" if compat else "als" if "nodejs_als" in flags else "none"


def _on(end: str, since: str, date: str, flags: frozenset[str]) -> bool:
    return (date >= since or f"enable_nodejs_{end}" in flags) and f"disable_nodejs_{end}" not in flags


def _http_server(date: str, flags: frozenset[str]) -> set[str]:
    on = _on("http_modules", "2025-08-15", date, flags) and _on("http_server_modules", "2025-09-01", date, flags)
    return {"_http_server"} if on else set()


def _has_process(date: str, flags: frozenset[str]) -> bool:
    """Say whether `process` is the runtime's: its second form, and only together with two corrections of fetch."""
    iterable = "fetch_iterable_type_support"
    adjusted = f"{iterable}_override_adjustment"
    return (
        _on("process_v2", "2025-09-15", date, flags)
        and (date >= "2026-02-19" or iterable in flags)
        and f"no_{iterable}" not in flags
        and (date >= "2026-01-15" or adjusted in flags)
        and f"no_{adjusted}" not in flags
    )


def _stand_in(name: str) -> str:
    return _MOCK if name.startswith("_") else f"unenv/node/{_OTHER_NAMES.get(name, name)}"


# --- the packages


def has_file(name: str) -> bool:
    """Say whether the packages have a module of this name; fetches them where they are not there yet."""
    return file_of(name) in _files()


def read_file(name: str) -> bytes:
    """Return a file of the packages."""
    return _files()[name]


def file_of(name: str) -> str:
    """Return the file that a name leads to, by the `exports` of the packages."""
    package, _, rest = name.partition("/")
    if package == "pathe" and not rest:
        return "pathe/dist/index.mjs"
    if package == "@cloudflare":
        rest = rest.removeprefix("unenv-preset/")
        return f"{_PRESET}/dist/runtime/{rest}.mjs"
    return "unenv/lib/mock.cjs" if name == _MOCK or name.startswith(f"{_MOCK}/") else f"unenv/dist/runtime/{rest}.mjs"


@cache
def _files() -> Mapping[str, bytes]:
    from notebook_do.toolchain import PACKAGES, find_package

    found: dict[str, bytes] = {}
    for package in PACKAGES:
        with tarfile.open(find_package(package), mode="r:gz") as archive:
            for member in archive:
                source = archive.extractfile(member) if member.name.endswith((".mjs", ".cjs")) else None
                if source is not None:
                    # In npm's tarballs everything lies below `package/`.
                    found[f"{package}/{member.name.partition('/')[2]}"] = source.read()
    return found
