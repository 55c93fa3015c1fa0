"""One real JupyterLab for all tests and a real Chromium for each file; each test has its own directory and kernels."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent.parent / "notebook"))  # the hostile strings stand there
sys.path.insert(0, str(Path(__file__).parent))  # what the tests of this directory share
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PICTURES = pytest.StashKey[Path]()
READY = """async () => {
    const late = new Promise((_, no) => setTimeout(() => no(new Error('the kernel is not ready')), 180000));
    const ready = async () => {
        const app = window.jupyterapp; await app.restored;
        const shown = app.shell.currentWidget; await shown.context.ready; await shown.sessionContext.ready;
        await shown.sessionContext.session.kernel.info;
    };
    await Promise.race([ready(), late]);
}"""
JUPYTERLAB = """import sys
sys.modules["rfc3987_syntax"] = None  # see conftest.py of the tests
from jupyterlab.labapp import main
sys.exit(main())
"""
"""What `python -m jupyterlab` does, without three seconds for a grammar of addresses."""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@dataclass
class Lab:
    """One running JupyterLab and a page on it. `shots` is where screenshots go."""

    page: Any
    home: Path
    shots: Path
    url: str
    token: str
    external: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    path: str = "doc/tree"

    def open(self, *cells: str, name: str = "nb") -> None:
        """Write a notebook of these cells, open it, and wait for its kernel."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata=KERNEL,
        )
        nbformat.write(notebook, self.home / f"{name}.ipynb")
        self.show(name)

    def show(self, name: str) -> None:
        """Open a notebook that is there."""
        place = f"{self.path}/{self.home.name}/{name}.ipynb"
        self.page.goto(f"{self.url}/{place}?token={self.token}", wait_until="domcontentloaded")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=180_000)
        self.page.evaluate(READY)

    def command(self, name: str, **arguments: Any) -> Any:
        """Run a JupyterLab command and wait for its end."""
        return self.page.evaluate(
            "async ([name, args]) => { await window.jupyterapp.commands.execute(name, args); }", [name, arguments]
        )

    def run_all(self) -> None:
        """Run all cells and wait for the last."""
        self.command("notebook:run-all-cells")

    def run(self, code: str) -> None:
        """Add a cell with this code below the last, and run it."""
        self.page.evaluate(
            """async (code) => {
                const app = window.jupyterapp, panel = app.shell.currentWidget, nb = panel.content;
                nb.activeCellIndex = nb.widgets.length - 1;
                await app.commands.execute('notebook:insert-cell-below');
                nb.activeCell.model.sharedModel.setSource(code);
                await app.commands.execute('notebook:run-cell');
            }""",
            code,
        )

    def cell(self, index: int) -> Any:
        """Give the outputs of one cell; -1 is the last."""
        return self.page.locator(".jp-CodeCell").nth(index).locator(".jp-Cell-outputArea")

    def restart(self) -> None:
        """Restart the kernel, as its menu does after its question, and wait until it answers again."""
        self.page.evaluate(
            """async () => {
                const context = window.jupyterapp.shell.currentWidget.sessionContext;
                await context.restartKernel(); await context.session.kernel.info;
            }"""
        )

    def both(self, name: str, index: int) -> None:
        """Keep a picture of one cell's outputs in the light theme, and one in the dark."""
        for theme in ("Dark", "Light"):
            self.theme(theme)
            self.shot(f"{name}-{theme.lower()}", index)

    def theme(self, name: str) -> None:
        """Change to the Light or the Dark theme, and wait until it is there."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        self.page.wait_for_selector(f"body[data-jp-theme-name='JupyterLab {name}']", state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def shot(self, name: str, index: int | None = None) -> Path:
        """Keep a picture of the page, or of one cell's outputs."""
        path = self.shots / f"{self.home.name}-{name}.png"
        if index is None:
            self.page.screenshot(path=str(path))
        else:
            self.cell(index).screenshot(path=str(path))
        return path


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Give the folder of the pictures."""
    request.config.stash[PICTURES] = tmp_path_factory.mktemp("screenshots")
    return request.config.stash[PICTURES]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say where the pictures are."""
    if (folder := config.stash.get(PICTURES, None)) is not None:
        terminalreporter.write_line(f"{len(list(folder.glob('*.png')))} screenshots, light and dark: {folder}")


@contextmanager
def _own_port() -> Iterator[int]:
    """Give a port on which one server can listen: until it does nobody else is given it, and it takes seconds."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server's own socket has it
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            continue
    raise TimeoutError(url)


@contextmanager
def _server(home: Path, port: int, token: str, variables: dict[str, str]) -> Iterator[None]:
    directories = {
        "JUPYTER_CONFIG_DIR": ".config",
        "JUPYTER_DATA_DIR": ".data",
        "JUPYTER_RUNTIME_DIR": ".runtime",
        "IPYTHONDIR": ".ipython",
        "JUPYTERLAB_SETTINGS_DIR": ".settings",
        "JUPYTERLAB_WORKSPACES_DIR": ".workspaces",
    }
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("CLOUDFLARE_", "CF_", "NOTEBOOK_DO_"))
    }
    environment = {**ours, **variables, **{name: str(home / path) for name, path in directories.items()}}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    news = home / ".settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    command = [
        *(sys.executable, "-c", JUPYTERLAB, "--no-browser", "--ip=127.0.0.1", f"--port={port}"),
        *(f"--ServerApp.root_dir={home}", f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"),
        *(
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--LabApp.news_url=",
        ),
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]
    with (home / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{port}/api/status?token={token}", process)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def jupyter(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, str]]:
    """Run a JupyterLab on the local Cloudflare of all tests; gives its directory, port and token."""
    home, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(16)
    variables = {
        "NOTEBOOK_DO_DATA": str(shared_data),
        "NOTEBOOK_DO_KEYS": str(tmp_path_factory.getbasetemp() / "keys"),
    }
    with _own_port() as port, _server(home, port, token, variables):
        yield home, port, token


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a Chromium whose pages share their cache. Not for longer: elsewhere no event loop may be left."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=180_000)  # a test never fails on a time, however busy the machine is
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("chromium")),
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=CHROMIUM,
            viewport={"width": 1280, "height": 1000},
        )
        try:
            yield context
        finally:
            context.close()


@pytest.fixture
def lab(
    cloud: Path, jupyter: tuple[Path, int, str], chromium: Any, shots: Path, request: pytest.FixtureRequest
) -> Iterator[Lab]:
    """Give a page on JupyterLab, in a directory of the test's own, that reaches nothing else."""
    root, port, token = jupyter
    home = root / request.node.name
    home.mkdir()
    page = chromium.new_page()
    page.set_default_timeout(120_000)
    made = Lab(page, home, shots, f"http://127.0.0.1:{port}", token)
    page.on("pageerror", lambda error: made.problems.append(str(error)))
    page.on("dialog", lambda dialog: (made.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: _note(made, request.url, port))
    try:
        yield made
    finally:
        page.close()
        _end_kernels(made)


def _end_kernels(lab: Lab) -> None:
    """End the kernels of a test, and forget the theme that it left."""
    with httpx.Client(base_url=lab.url, params={"token": lab.token}, timeout=30, trust_env=False) as api:
        for session in api.get("/api/sessions").json():
            api.delete(f"/api/sessions/{session['id']}")
    themes = lab.home.parent / ".settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    themes.unlink(missing_ok=True)


def _note(lab: Lab, url: str, port: int) -> None:
    if not url.startswith((f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", "data:", "blob:")):
        lab.external.append(url)
