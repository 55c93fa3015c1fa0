"""Configurations as messages say to workerd what the same values say as text, which workerd itself compiles."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from capnp_text import file_of

from notebook_do.local.runtime import probe as probing
from notebook_do.local.runtime.bindings import _WRITERS
from notebook_do.local.runtime.capnp import LAYOUTS, Kind, Struct, Usage, encode
from notebook_do.local.runtime.config import Faults, Layout, config_of, examined_config
from notebook_do.local.runtime.probe import probe
from notebook_do.local.runtime.spec import (
    HostedNamespace,
    HostedWorkflow,
    ModuleFile,
    RunnableWorker,
    ScriptInvalid,
    StaticSite,
)
from notebook_do.local.runtime.workerd import start_workerd

if TYPE_CHECKING:
    from collections.abc import Callable

BINDINGS: tuple[dict[str, Any], ...] = (
    {"type": "plain_text", "name": "TEXT", "text": 'a "quoted" line\n\\ \0 \x7f é 日本 \U0001f600'},
    {"type": "plain_text", "name": "", "text": ""},
    {"type": "secret_text", "name": "SECRET", "text": "hidden"},
    {"type": "json", "name": "JSON", "json": {"a": [1, None]}},
    {"type": "text_blob", "name": "BLOB", "part": "text"},
    {"type": "data_blob", "name": "BYTES", "part": "bytes"},
    {"type": "version_metadata", "name": "VERSION"},
    {"type": "worker_loader", "name": "LOADER"},
    {"type": "service", "name": "PEER", "service": "peer"},
    {"type": "service", "name": "ENTRY", "service": "peer", "entrypoint": "Admin", "props": {"a": 1}},
    {"type": "service", "name": "ABSENT", "service": "nobody"},
    {"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"},
    {"type": "durable_object_namespace", "name": "HALL", "class_name": "Hall", "script_name": "peer"},
    {"type": "assets", "name": "FILES"},
    {"type": "workflow", "name": "FLOW", "workflow_name": "flow", "class_name": "Flow"},
    {"type": "kv_namespace", "name": "KV", "namespace_id": "k"},
    {"type": "r2_bucket", "name": "R2", "bucket_name": "b", "jurisdiction": "eu"},
    {"type": "queue", "name": "QUEUE", "queue_name": "q"},
    {"type": "d1", "name": "D1", "id": "d"},
    {"type": "analytics_engine", "name": "HITS", "dataset": "hits"},
    {"type": "pipelines", "name": "PIPE", "pipeline": "p"},
    {"type": "secrets_store_secret", "name": "KEPT", "store_id": "s", "secret_name": "n"},
    {"type": "send_email", "name": "EMAIL", "destination_address": "a@example.com"},
    *(
        {"type": "secret_key", "name": form, "format": form, f"key_{kind}": "AA==", "algorithm": "A", "usages": usages}
        for form, kind, usages in (
            ("raw", "base64", [*Usage.__members__]),
            ("pkcs8", "base64", ["unwrapKey"]),
            ("spki", "base64", []),
            ("jwk", "jwk", ["sign", "verify"]),
        )
    ),
    {"type": "ratelimit", "name": "LIMIT", "namespace_id": "1", "simple": {"limit": 1, "period": 10}},
    {"type": "vectorize", "name": "INDEX", "index_name": "i"},
)
MODULES = {
    "index.js": ("application/javascript+module", b"export default {};"),
    "common.cjs": ("application/javascript", b""),
    "a.txt": ("text/plain", b"a\0b\n"),
    "a.json": ("application/json", b"{}"),
    "a.wasm": ("application/wasm", b"\0asm\1\0\0\0"),
    "a.bin": ("application/octet-stream", bytes(range(256))),
    "text": ("text/plain", b"exactly8"),
    "bytes": ("application/octet-stream", b"\xff\0\xfe"),
}


@pytest.fixture
def layouts(tmp_path: Path) -> dict[str, Layout]:
    """Make a layout of Workers with everything, and what of it is tried alone, or is at fault."""
    modules = []
    for number, (name, (content_type, content)) in enumerate(MODULES.items()):
        path = tmp_path / f"module {number}"
        path.write_bytes(content)
        modules.append(ModuleFile(name=name, content_type=content_type, path=path))
    site = StaticSite(files={"/a.txt": modules[2].path}, config={"_headers": "/*\n  a: b", "run_worker_first": True})
    flow = HostedWorkflow(workflow_id="f" * 32, name="flow", class_name="Flow", steps=7, retention={"success": "1 day"})
    full = RunnableWorker(
        name="full",
        version="1/2",
        main_module="index.js",
        modules=tuple(modules),
        bindings=BINDINGS,
        namespaces=(HostedNamespace(namespace_id="0" * 32, class_name="Room", sqlite=True),),
        compatibility_date="2026-10-01",
        compatibility_flags=("nodejs_compat", "d1_binding_jsrpc"),
        assets=site,
        workflows=(flow,),
    )
    peer = RunnableWorker(
        name="peer",
        version="1",
        main_module="index.js",
        modules=tuple(modules[:1]),
        bindings=({"type": "d1", "name": "D1", "id": "d"},),
        namespaces=(HostedNamespace(namespace_id="1" * 32, class_name="Hall", sqlite=False),),
    )
    there = tmp_path / "there"
    whole = Layout(
        workers=(full, peer),
        folder=there,
        storage=there / "objects",
        events=there / "events",
        resources=there / "resources",
        sites=there / "sites",
    )
    faults = Faults(workers={"peer": 'it says "no"\n  at 1:1'}, bindings={("full", "KV"): "broken"})
    return {
        "whole": whole,
        "tried": Layout(workers=(full,), folder=there, sites=there / "sites"),
        "at fault": Layout(workers=(full, peer), folder=there, sites=there / "sites", faults=faults),
    }


def all_configs(layouts: dict[str, Layout]) -> dict[str, Struct]:
    """Make a configuration of each kind that is ever sent."""
    full = layouts["tried"].workers[0]
    socket = Path("/there/probe")
    wrapper = probing._wrapper(full, again=True)
    return {
        **{name: config_of(layout) for name, layout in layouts.items()},
        "traced": config_of(replace(layouts["whole"], traced=True)),
        "examined": examined_config(layouts["tried"], wrapper, socket),
        "probed": probing._probe_config(full, socket),
    }


def compiled(workerd: Path, folder: Path, config: Struct) -> bytes:
    """Let workerd make a message of the text of a configuration."""
    path = folder / "written.capnp"
    path.write_text(file_of(config))
    command = [workerd, "compile", "--config-only", "-I", "/", path]
    return subprocess.run(command, check=True, capture_output=True).stdout


def tree(message: bytes) -> Any:
    """Read a message of one segment without knowing what it is about: structs as (data, pointers), lists, bytes.

    Zeros at the end of a struct are left out: they read as fields that are not there.
    """
    segments, words = struct.unpack_from("<II", message)
    assert segments == 0
    assert len(message) == 8 + 8 * words
    return _target(message[8:], 0)


def _target(segment: bytes, word: int) -> Any:
    where, what = struct.unpack_from("<iI", segment, 8 * word)
    if where == what == 0:
        return None
    at = word + 1 + (where >> 2)
    if where & 3 == 0:
        return _struct(segment, at, what & 0xFFFF, what >> 16)
    assert where & 3 == 1
    count = what >> 3
    if what & 7 == 2:
        return segment[8 * at : 8 * at + count]
    if what & 7 == 3:
        return list(struct.unpack_from(f"<{count}H", segment, 8 * at))
    if what & 7 == 6:
        return [_target(segment, at + number) for number in range(count)]
    if what & 7 == 0:
        assert count == 0
        return []
    assert what & 7 == 7
    elements, shape = struct.unpack_from("<II", segment, 8 * at)
    data, pointers = shape & 0xFFFF, shape >> 16
    assert count == (elements >> 2) * (data + pointers)
    return [_struct(segment, at + 1 + n * (data + pointers), data, pointers) for n in range(elements >> 2)]


def _struct(segment: bytes, at: int, data: int, pointers: int) -> tuple[bytes, list[Any]]:
    found = [_target(segment, at + data + number) for number in range(pointers)]
    while found and found[-1] is None:
        found.pop()
    return segment[8 * at : 8 * (at + data)].rstrip(b"\0"), found


def used(layout: str, value: Struct) -> set[tuple[str, str]]:
    """List the fields that a configuration sets, as (struct, field)."""
    found = set()
    for name, content in value.items():
        field = LAYOUTS[layout][name]
        found.add((layout, name))
        if field.kind in {Kind.STRUCT, Kind.GROUP}:
            found |= used(field.of, content)
        elif field.kind is Kind.STRUCTS:
            found = found.union(*(used(field.of, one) for one in content))
    return found


def test_a_message_is_what_workerd_makes_of_the_same_text(
    workerd: Path, tmp_path: Path, layouts: dict[str, Layout]
) -> None:
    """Every field of every kind of configuration lies where the pinned workerd puts it, with the same content."""
    configs = all_configs(layouts)
    for config in configs.values():
        assert tree(encode(config)) == tree(compiled(workerd, tmp_path, config))
    sent = set().union(*(used("Config", config) for config in configs.values()))
    assert sent == {(layout, name) for layout, fields in LAYOUTS.items() for name in fields}
    assert {binding["type"] for binding in BINDINGS} >= set(_WRITERS)


def test_the_comparison_sees_what_is_not_set(workerd: Path, tmp_path: Path) -> None:
    """An empty list or text is not the same as none: without `allow` a network reaches every public address."""
    service = {"name": "internet", "network": {"deny": []}}
    given = {"name": "internet", "network": {"allow": [], "deny": []}}
    for config in ({"services": [service]}, {"services": [given]}, {"services": [{"name": ""}]}, {"services": [{}]}):
        assert tree(encode(config)) == tree(compiled(workerd, tmp_path, config))
    assert tree(encode({"services": [service]})) != tree(encode({"services": [given]}))
    assert tree(encode({"services": [{"name": ""}]})) != tree(encode({"services": [{}]}))


def test_a_field_without_a_place_is_an_error_at_once() -> None:
    """A misspelt field is never left out in silence, nor one of another struct, nor one whose content has no kind."""
    for config in ({"servces": []}, {"services": [{"address": "a"}]}, {"sockets": [{"http": {"style": "host"}}]}):
        with pytest.raises(TypeError, match="there is no place for"):
            encode(config)
    with pytest.raises(AttributeError):  # None
        encode({"services": [{"name": None}]})


def test_half_a_character_becomes_a_question_mark() -> None:
    """A lone surrogate, which no UTF-8 can say, does not keep a configuration from being sent."""
    message = encode({"services": [{"name": "a\ud800b"}]})
    assert tree(message) == (b"", [[(b"", [b"a?b\0"])]])


def test_a_module_may_hold_any_bytes(workerd: Path, make_worker: Callable[..., RunnableWorker], tmp_path: Path) -> None:
    """A text with a NUL or bytes that are no UTF-8 arrives whole, and so does one of 20 MB."""
    contents = {"nul.txt": b"a\0b", "latin.txt": b"\xe9\xff", "large.txt": b"x" * 20_000_000}
    modules = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        modules.append(ModuleFile(name=name, content_type="text/plain", path=tmp_path / name))
    source = """
        import nul from "./nul.txt"; import latin from "./latin.txt"; import large from "./large.txt";
        const found = JSON.stringify([nul, latin, large.length, large[19999999]]);
        if (found !== WANTED) throw new Error(found);
        export default { fetch() {} };
    """
    wanted = json.dumps(
        json.dumps(["a\0b", "\ufffd\ufffd", 20_000_000, "x"], separators=(",", ":"), ensure_ascii=False)
    )
    main = make_worker("page", source.replace("WANTED", wanted)).modules
    worker = make_worker("page", "", modules=(*main, *modules))
    assert asyncio.run(probe(worker, partial(start_workerd, workerd, folder=tmp_path))).default_handlers == ("fetch",)


def test_code_that_is_gone_is_one_line(
    workerd: Path, make_worker: Callable[..., RunnableWorker], tmp_path: Path
) -> None:
    """A file of a Worker that cannot be read any more is said without its path on this machine."""
    worker = make_worker("page", "export default {};")
    worker.modules[0].path.unlink()
    with pytest.raises(ScriptInvalid) as invalid:
        asyncio.run(probe(worker, partial(start_workerd, workerd, folder=tmp_path)))
    assert str(invalid.value) == (
        "a file of its code cannot be read (No such file or directory): upload the Worker again"
    )
