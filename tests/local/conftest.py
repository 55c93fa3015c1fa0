"""A stage for deployed Workers: the real runtime on real workerd, behind the real workers port."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sharing import until

from notebook_do.local.process.listening import PATIENCE, bind
from notebook_do.local.process.workers_port import workers_server
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

STORY_TIMEOUT = 300
"""Seconds after which a story hangs: none takes a tenth of it, on a busy machine either."""


@pytest.fixture(scope="session")
def workerd() -> Path:
    """Give the pinned workerd."""
    return find_workerd()


@pytest.fixture
def make_worker(tmp_path: Path) -> Callable[..., RunnableWorker]:
    """Give a way to make a Worker from its source; `hosts` maps class names to namespace ids."""
    made = 0

    def make(name: str, source: str, *, hosts: Mapping[str, str] | None = None, **more: Any) -> RunnableWorker:
        nonlocal made
        made += 1
        path = tmp_path / f"module-{made}"
        path.write_text(source, encoding="utf-8")
        main = ModuleFile(name="index.js", content_type="application/javascript+module", path=path)
        spaces = tuple(HostedNamespace(namespace_id=i, class_name=c, sqlite=True) for c, i in (hosts or {}).items())
        facts: dict[str, Any] = {
            "version": str(made),
            "main_module": "index.js",
            "modules": (main,),
            "namespaces": spaces,
            "compatibility_date": "2026-10-01",
        }
        return RunnableWorker(name=name, **{**facts, **more})

    return make


class Stage:
    """One data directory, the Workers deployed on it, and a client of the workers port."""

    def __init__(self, data: Path, make: Callable[..., RunnableWorker], facts: dict[str, Any]) -> None:
        """Begin with nothing deployed."""
        self.data, self.make, self._facts = data, make, facts
        self._patience, self._keep = facts.pop("patience", PATIENCE), facts.pop("keep", None)
        self.workers: dict[str, RunnableWorker] = {}
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._news = asyncio.Event()
        self.runtime: Runtime
        self.client: httpx.AsyncClient
        self.port = 0

    def put(self, name: str, source: str, **more: Any) -> RunnableWorker:
        """Deploy without telling the runtime."""
        self.workers[name] = self.make(name, source, **more)
        return self.workers[name]

    async def deploy(self, name: str, source: str, **more: Any) -> None:
        """Deploy and tell the runtime."""
        self.put(name, source, **more)
        await self.runtime.changed([name])

    def host(self, name: str) -> str:
        """Give the Host header that means a Worker."""
        return f"{name}.localhost:{self.port}"

    async def call(self, name: str, path: str = "/", method: str = "GET", **more: Any) -> httpx.Response:
        """Send a request to a Worker."""
        headers = {"host": self.host(name), **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def text(self, name: str, path: str = "/", **more: Any) -> str:
        """Send a request that must succeed and give the answer's text."""
        answer = await self.call(name, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.text

    def island(self, name: str) -> Any:
        """Give the island that runs a Worker now."""
        return self.runtime._by_script[name]

    async def over(self, name: str) -> None:
        """Wait until no process runs a Worker: one that had nothing to do may be gone already."""
        if (island := self.runtime._by_script.get(name)) is not None:
            await island.gone.wait()

    async def in_use(self, name: str) -> Any:
        """Wait until a request is inside the process of a Worker; give the island."""
        await until(lambda: (one := self.runtime._by_script.get(name)) and one.in_use and one.process)
        return self.island(name)

    def pid(self, name: str) -> int:
        """Say which process runs a Worker."""
        return int(self.island(name).process.pid)

    def _publish(self, script: str, item: dict[str, Any]) -> None:
        self.events[script].append(item)
        self._news.set()

    async def event(self, script: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for an event of a Worker."""
        async with asyncio.timeout(60):
            while not any(map(wanted, self.events[script])):
                self._news.clear()
                await self._news.wait()
        return next(filter(wanted, self.events[script]))

    async def logged(self, script: str, word: str) -> dict[str, Any]:
        """Wait until a Worker has logged a word."""
        return await self.event(script, lambda item: any(word in map(str, log["message"]) for log in item["logs"]))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run a runtime on the data directory, with its port; may be entered again, as after a restart."""
        self.runtime = Runtime(
            data=self.data, workers=lambda: list(self.workers.values()), events=self._publish, **self._facts
        )
        listener = bind(0)
        self.port = listener.getsockname()[1]
        server = workers_server(self.runtime, patience=self._patience)
        server.config.timeout_keep_alive = self._keep or server.config.timeout_keep_alive
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30) as client:
            self.client = client
            try:
                yield
            finally:
                await self.runtime.close()
        server.end()
        await serving


@pytest.fixture
def play(tmp_path: Path, workerd: Path, make_worker: Callable[..., RunnableWorker]) -> Iterator[Callable[..., None]]:
    """Give a way to play a story on a stage; afterwards no workerd may be left."""

    def run(story: Callable[[Stage], Awaitable[None]], *, running: bool = True, **facts: Any) -> None:
        async def whole() -> None:
            stage = Stage(tmp_path / "data", make_worker, {"workerd": workerd, **facts})
            async with asyncio.timeout(STORY_TIMEOUT), contextlib.AsyncExitStack() as stack:
                if running:
                    await stack.enter_async_context(stage.running())
                await story(stage)

        asyncio.run(whole())

    before = workerds()
    yield run
    assert workerds() <= before


def workerds() -> set[int]:
    """List the workerd processes, zombies too, that this one started."""
    return {int(child) for task in Path("/proc/self/task").iterdir() for child in _children(task) if _is_workerd(child)}


@pytest.fixture
def processes() -> Callable[[], set[int]]:
    """Give what lists the workerd processes that this one started."""
    return workerds


def _children(task: Path) -> list[str]:
    with contextlib.suppress(OSError):  # a thread that ended meanwhile
        return (task / "children").read_text().split()
    return []


def _is_workerd(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() == "workerd\n"
    return False
