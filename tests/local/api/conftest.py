"""Fixtures of the local Cloudflare: a real server process on real workerd, and a small client for it.

Every answer that a test receives through the client is validated against the OpenAPI document of the real API.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest

from notebook_do.local.process import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from notebook_do.local.process.home import LocalTarget

COUNTER = """import {{ DurableObject }} from "cloudflare:workers";
{classes}
export default {{
  async fetch(request, env) {{
    const namespace = env[new URL(request.url).searchParams.get("binding") ?? "COUNTER"];
    return new Response(String(await namespace.getByName("one").increment()));
  }},
}};
"""
CLASS = """export class {name} extends DurableObject {{
  async increment() {{
    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;
    await this.ctx.storage.put("value", value);
    return value;
  }}
}}"""
PLAIN = 'export default { fetch() { return new Response("hello"); } };\n'


@functools.cache
def _document() -> Any:
    """Read the OpenAPI document as JSON Schema: its `nullable` and overlapping `oneOf` are said differently there."""
    document = _as_schema(json.loads((Path(__file__).parents[2] / "openapi" / "workers.json").read_text()))
    # Two places of the document contradict its own descriptions and every client: a list of bindings is said to be an
    # object, and the answer to a deleted deployment to be an envelope within the envelope.
    document["components"]["schemas"].update(ResourcesBindings={}, DeploymentDeleteResponse={})
    return document


def _as_schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {("anyOf" if key == "oneOf" else key): _as_schema(value) for key, value in node.items()}
    if made.pop("nullable", False) and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


@functools.cache
def _validator(method: str, path: str, status: str) -> jsonschema.Draft7Validator | None:
    for template, operations in _document()["paths"].items():
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
        if method in operations and re.fullmatch(pattern, path):
            content = operations[method]["responses"][status]["content"]
            schema = content.get("application/json", {}).get("schema")
            return schema and jsonschema.Draft7Validator({**schema, "components": _document()["components"]})
    return None


def check_against_openapi(response: httpx.Response) -> None:
    """Fail when an answer of a documented endpoint does not have the documented form."""
    response.read()
    assert "access-control-allow-origin" not in response.headers
    if not response.headers["content-type"].startswith("application/json"):
        return
    body = response.json()
    assert set(body) <= {"success", "errors", "messages", "result", "result_info"}
    assert body["success"] is (response.status_code == 200)
    assert bool(body["errors"]) is not body["success"]
    path = response.request.url.path.removeprefix("/client/v4")
    validator = _validator(response.request.method.lower(), path, "200" if body["success"] else "4XX")
    if validator is not None and (body["success"] or "durable_objects" not in path):
        validator.validate(body)


class Api:
    """The API of one running server, and its Workers."""

    plain = PLAIN

    def __init__(self, target: LocalTarget) -> None:
        self.target = target
        self.http = httpx.Client(
            base_url=target.api,
            headers={"Authorization": f"Bearer {target.token()}"},
            timeout=30,
            trust_env=False,
            event_hooks={"response": [check_against_openapi]},
        )
        self.account = f"/accounts/{target.account_id}"
        self.scripts = f"{self.account}/workers/scripts"

    @staticmethod
    def counter(*names: str) -> str:
        """Write a Worker that exports counters of these classes and counts on the binding COUNTER."""
        return COUNTER.format(classes="\n".join(CLASS.format(name=name) for name in names))

    @staticmethod
    def bound(class_name: str = "Counter", **more: Any) -> list[dict[str, Any]]:
        """Write the binding COUNTER of one class."""
        return [{"type": "durable_object_namespace", "name": "COUNTER", "class_name": class_name, **more}]

    @staticmethod
    def code_of(answer: httpx.Response) -> int:
        """Give the first error's code of a refusal."""
        assert answer.status_code != 200, answer.text
        return int(answer.json()["errors"][0]["code"])

    def incoming(self) -> list[str]:
        """Give what stays of uploads that came to nothing: a client can be told before it is removed."""
        folder, deadline = self.target.data / "incoming", time.monotonic() + 60
        while (left := [path.name for path in folder.iterdir()]) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left

    def upload(self, name: str, source: str = PLAIN, *, url: str = "", **metadata: Any) -> httpx.Response:
        """Upload a script of one module; `url` adds to its path, as `?force=true` or `/content`."""
        return self.send("PUT", f"{self.scripts}/{name}{url}", source, **metadata)

    def send(self, method: str, path: str, source: str = PLAIN, **metadata: Any) -> httpx.Response:
        """Send one module with metadata as multipart."""
        body = {"main_module": "index.js", "compatibility_date": "2026-06-01", **metadata}
        files = {
            "metadata": (None, json.dumps(body)),
            "index.js": ("index.js", source, "application/javascript+module"),
        }
        return self.http.request(method, path, files=files)

    def result(self, path: str) -> Any:
        """Read something that must be there."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def call(self, name: str, path: str = "/") -> httpx.Response:
        """Call a Worker."""
        host = f"{name}.localhost:{self.target.workers_port}"
        return httpx.get(self.target.url + path, headers={"Host": host}, timeout=30, trust_env=False)

    def namespaces(self, name: str) -> dict[str, str]:
        """Give the namespace ids of a script by class."""
        listed = self.result(f"{self.account}/workers/durable_objects/namespaces?per_page=1000")
        return {n["class"]: n["id"] for n in listed if n["script"] == name}


@contextlib.contextmanager
def _api(data: Path, *, strict: bool = False) -> Iterator[Api]:
    api = Api(launch.start(data, strict=True) if strict else launch.ensure(data))
    try:
        yield api
    finally:
        api.http.close()
        launch.stop(data)


@pytest.fixture(scope="session")
def make_api() -> Callable[..., contextlib.AbstractContextManager[Api]]:
    """Give a maker of servers: one for each data directory."""
    return _api


UNHURRIED = """
from notebook_do.local.runtime import probe
probe.START_CPU_SECONDS = probe.PROBE_TIMEOUT = probe.CHECK_TIMEOUT = 3600
from notebook_do.local.process.server import main
main()
"""


@contextlib.contextmanager
def _odd_api(data: Path, *words: str) -> Iterator[Api]:
    ready, told = os.pipe()
    command = [sys.executable, *words, "--data", str(data), "--ready-fd", str(told)]
    with subprocess.Popen(command, pass_fds=[told]) as process:
        os.close(told)
        with os.fdopen(ready) as said:
            assert json.loads(said.readline())["pid"] == process.pid
        target = launch.status(data)
        assert target is not None
        try:
            yield Api(target)
        finally:
            process.terminate()


@pytest.fixture
def impatient_api() -> Callable[..., contextlib.AbstractContextManager[Api]]:
    """Give a maker of servers that wait only as long as they are told for a silent client."""
    module = ("-m", "notebook_do.local.process.server")
    return lambda data, patience: _odd_api(data, *module, "--patience", str(patience))


@pytest.fixture
def unhurried_api() -> Callable[..., contextlib.AbstractContextManager[Api]]:
    """Give a maker of servers that give a script an hour to start."""
    return lambda data: _odd_api(data, "-c", UNHURRIED)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Give one server for all tests that do not harm it; use script names of your own."""
    with _api(tmp_path_factory.mktemp("shared-server")) as api:
        yield api


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Api]:
    """Give a server of one's own, with an empty account."""
    with _api(tmp_path / "data") as api:
        yield api


@pytest.fixture
def script(request: pytest.FixtureRequest) -> str:
    """Give a script name that no other test uses."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower().removeprefix("test_"))
    return name[:55].strip("-") + "-t"
