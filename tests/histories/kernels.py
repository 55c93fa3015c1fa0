"""The history's side of its processes: kernels that take orders and are killed, and a local Cloudflare that is too."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from notebook_do.local.process import launch

if TYPE_CHECKING:
    from notebook_do.local.process.home import LocalTarget

KILLED = {"killed": True}


class Nursery:
    """The process that forks kernels."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="ndh-")
        self.path = f"{self.folder.name}/s"
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("kernel_process.py")), self.path])
        while not Path(self.path).exists():
            assert self.process.poll() is None, "no kernels can be had"
            time.sleep(0.02)

    def close(self) -> None:
        """End it; kernels end when their connection does."""
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class Kernel:
    """One kernel with an open session."""

    def __init__(self, nursery: Nursery, directory: Path, data: Path, secret: str, ahead: float) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        for _ in range(50):
            try:
                self.socket.connect(nursery.path)
                break
            except (ConnectionRefusedError, FileNotFoundError):
                time.sleep(0.02)
        self.file = self.socket.makefile("rw")
        self.alive = True
        opened = self.ask("open", directory=str(directory), data=str(data), secret=secret, ahead=ahead)
        self.pid: int = opened.get("pid", 0)

    def ask(self, do: str, *, kill: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        """Order something and give the answer; `KILLED` when the kernel died of it."""
        try:
            self.file.write(json.dumps({"do": do, "with": given, "kill": kill}) + "\n")
            self.file.flush()
            line = self.file.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = ""
        if not line:
            self.close()
            return dict(KILLED)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """Kill it now, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Hang up."""
        self.alive = False
        self.socket.close()


class Cloud:
    """The local Cloudflare of one data directory, and its account."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.http = httpx.Client(timeout=60, trust_env=False)
        self.target: LocalTarget = launch.start(data)

    def revive(self) -> None:
        """Start the server if it is gone, and learn its address."""
        self.target = launch.start(self.data)

    def kill_server(self) -> None:
        """Kill the server; its workerd goes with it. One that is still ending would be taken for a running one."""
        killed = self.target.pid
        self._end(killed)
        while (found := launch.status(self.data)) and found.pid == killed:
            time.sleep(0.005)

    def kill_workerd(self) -> None:
        """Kill the server's workerd."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = path.read_text().partition("(")[2].rpartition(")")
                if rest.split()[1] == str(self.target.pid) and "workerd" in name:
                    self._end(int(path.parent.name))

    @staticmethod
    def _end(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the API beneath the account; a server that was killed is started again first."""
        for turn in range(5):
            headers = {"Authorization": f"Bearer {self.target.token()}"}
            url = f"{self.target.api}/accounts/{self.target.account_id}{path}"
            try:
                return self.http.request(method, url, headers=headers, **options)
            except httpx.HTTPError:
                if turn == 4:
                    raise
                time.sleep(0.1 * turn)
                self.revive()
        raise AssertionError("unreachable")

    def get(self, path: str) -> Any:
        """Read something that must be there."""
        answer = self.send("GET", path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()["result"]

    def call(self, script: str, path: str) -> httpx.Response:
        """Call a Worker; one that is just starting is called again."""
        for turn in range(8):
            headers = {"Host": f"{script}.localhost:{self.target.workers_port}"}
            with contextlib.suppress(httpx.HTTPError):
                answer = self.http.get(f"http://127.0.0.1:{self.target.workers_port}{path}", headers=headers)
                if answer.status_code < 500 or turn == 7:
                    return answer
            time.sleep(0.05 * 2**turn)
            self.revive()
        raise AssertionError(f"Worker {script} does not answer")

    def scripts(self) -> dict[str, dict[str, Any]]:
        """List the scripts by name."""
        return {s["id"]: s for s in self.get("/workers/scripts")}

    def namespaces(self) -> dict[str, tuple[str, str]]:
        """List the namespaces: (script, class) by id."""
        listed = self.get("/workers/durable_objects/namespaces?per_page=1000")
        return {n["id"]: (n["script"], n["class"]) for n in listed}

    def stored(self, namespace_id: str) -> list[str]:
        """Read the markers in all objects of a namespace, by its id alone."""
        answer = self.send("POST", f"/local/namespaces/{namespace_id}/values", json={})
        return [str(v["value"]) for v in answer.json()["result"]] if answer.status_code == 200 else []

    def empty(self) -> None:
        """Delete everything."""
        for name in self.scripts():
            self.send("DELETE", f"/workers/scripts/{name}?force=true")

    def close(self) -> None:
        """Stop the server."""
        self.http.close()
        launch.stop(self.data)
