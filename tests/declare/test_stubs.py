"""The types of `env` are written from the declared bindings, and are TypeScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.interchange.typescript import env_types
from notebook_do.model import (
    BINDING_TYPES,
    RESOURCE_TYPES,
    ClassBinding,
    DesiredWorker,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    ValueBinding,
)
from notebook_do.sources.esbuild import Settings, build_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def worker(*bindings: Any) -> DesiredWorker:
    """Make a Worker with bindings."""
    return DesiredWorker(
        id="api", script_name="api-dev", main_module="index.js", modules=(), bindings=bindings, content_digest=""
    )


def types_of(text: str) -> dict[str, str]:
    """Read the fields of the written interface."""
    lines = [line.strip().rstrip(";") for line in text.splitlines() if line.startswith("    ")]
    return dict(line.split(": ", 1) for line in lines)


def test_each_binding_has_its_type() -> None:
    """Values, secrets, objects, services and resources have the types that a Worker sees."""
    text = env_types(
        worker(
            ClassBinding(name="OWN", class_name="Counter"),
            ClassBinding(name="FAR", class_name="Room", script_name="chat"),
            ValueBinding(name="TEXT", value=PlainText(text="a")),
            ValueBinding(name="KEY", value=Secret.from_env("K")),
            ValueBinding(name="OTHER", value=ServiceBinding(worker="chat", entrypoint="Admin")),
            ValueBinding(name="KV", value=Resource(type="kv_namespace", fields=Json({"namespace_id": "x"}))),
            ValueBinding(name="NEW", value=Resource(type="teleporter*/", fields=Json({}))),
        ),
        sources={"api-dev": "./worker", "chat": "./chat"},
    )
    assert types_of(text) == {
        "OWN": 'DurableObjectNamespace<import("./worker").Counter>',
        "FAR": 'DurableObjectNamespace<import("./chat").Room>',
        "TEXT": "string",
        "KEY": "string",
        "OTHER": 'Service<typeof import("./chat").Admin>',
        "KV": "KVNamespace",
        "NEW": "unknown /* teleporter* / */",
    }


def test_without_a_source_the_class_is_a_note() -> None:
    """A class or Worker whose source is no file here is named in a comment and not imported."""
    text = env_types(worker(ClassBinding(name="FAR", class_name="Room", script_name="chat")))
    assert types_of(text) == {"FAR": "DurableObjectNamespace /* chat.Room */"}


def test_a_json_value_has_its_shape() -> None:
    """The shape of a JSON value is its type; its content is not part of the text."""
    value = Json({"b": [1, "x", None], "a-b": {"deep": True}, "none": [], "empty": {}})
    shape = types_of(env_types(worker(ValueBinding(name="J", value=value))))["J"]
    assert shape == '{ "a-b": { "deep": boolean }; "b": (null | number | string)[]; "empty": {}; "none": never[] }'


def test_every_known_type_has_a_class() -> None:
    """Whatever can be declared has a type in `env`; only what has no published class is unknown."""
    assert {row.type for row in RESOURCE_TYPES.values() if not row.typescript} == {"messaging"}


def everything() -> DesiredWorker:
    """Bind one of each resource."""
    kinds = enumerate(sorted(row.type for row in BINDING_TYPES.values() if row.typescript))
    values = (ValueBinding(name=f"B{n}", value=Resource(type=kind, fields=Json({}))) for n, kind in kinds)
    return worker(*values, ValueBinding(name="J", value=Json({"a b": [1]})))


def test_it_is_typescript(tmp_path: Path) -> None:
    """The real compiler of the sources takes it."""
    text = env_types(everything()).encode()
    module, _ = build_text(text, lang="ts", folder=tmp_path, settings=Settings(root=tmp_path)).modules
    assert b"declare" not in module.content


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm, to ask the TypeScript compiler itself")
@pytest.mark.clients
def test_the_types_are_those_of_the_published_package(tmp_path: Path, install: Callable[..., Path]) -> None:
    """The TypeScript compiler finds every named class in @cloudflare/workers-types."""
    npm = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", ".")
    packages = install("typescript", ("typescript@5", "@cloudflare/workers-types@4"), npm) / "node_modules"
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "worker-configuration.d.ts").write_text(env_types(everything()))
    options = {"types": ["@cloudflare/workers-types"], "lib": ["es2024"], "strict": True, "noEmit": True}
    files = ["worker-configuration.d.ts"]
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": files}))
    done = subprocess.run(
        (str(packages / ".bin" / "tsc"), "-p", "."),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
