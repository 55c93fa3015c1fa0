"""What the crash tests need of other processes: the account model behind a real socket, and a parent of victims."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from account_model import Account, Refused


@dataclass
class Served:
    """The account model behind a real socket; `account` can be replaced between runs."""

    account: Account = field(default_factory=Account)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    """Speaks for the account that is served now."""

    served: Served
    lock = threading.Lock()
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def answer(self) -> None:
        """Let the account act, then answer: whoever is gone meanwhile does not undo it."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        split = urlsplit(self.path)
        with self.lock:
            try:
                result, info = self.served.account.handle(
                    self.command, split.path, dict(parse_qsl(split.query)), body, self.headers.get("content-type", "")
                )
                status, told = 200, {"success": True, "errors": [], "result": result, "result_info": info}
            except Refused as no:
                status, told = no.status, {"success": False, "errors": [{"code": no.code, "message": str(no)}]}
        content = json.dumps(told).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client was killed: that is what these tests do

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(served: Served) -> ThreadingHTTPServer:
    """Serve the account model on loopback; `served.url` is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"served": served}))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}/client/v4"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Runner:
    """Gives orders to the process that forks the children to be killed."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        self.process = subprocess.Popen(
            [sys.executable, str(here / "crashing.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, order: dict[str, Any]) -> int:
        """Give the exit code of one child, negative for a signal."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)
