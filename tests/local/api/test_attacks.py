"""Uploads that attack: names that want to be paths, bodies that want all memory, clients that never finish."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUNDARY = "xxBOUNDARYxx"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
METADATA = json.dumps({"main_module": "index.js", "compatibility_date": "2026-06-01"})
SEGMENTS = ["..", ".", "", "/", "\\", "\0", ":", "con", "NUL", "~", "\u202e", "%2e%2e", "a" * 600, "\n", "..\\..", "é"]


def part(name: str, body: bytes, *, filename: str | None = None, kind: str = "text/plain", extra: str = "") -> bytes:
    """Write one part as it goes over the wire."""
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n{extra}\r\n'
    return head.encode() + body + b"\r\n"


def body_of(*parts: bytes) -> bytes:
    """Close a body."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


GOOD = part("metadata", METADATA.encode()) + part(
    "index.js", b"export default { fetch() {} };", filename="index.js", kind="application/javascript+module"
)


def put(server: Any, script: str, content: Any, **headers: str) -> Any:
    """Upload raw bytes."""
    return server.http.put(f"{server.scripts}/{script}", content=content, headers={**HEADERS, **headers})


def files(root: Path, *, without: Path | None = None) -> set[str]:
    """Give every file below a directory, while others come and go there; of `without` not what is in it."""
    found = set()
    for folder, folders, names in os.walk(root):
        found |= {str((Path(folder) / name).relative_to(root)) for name in (*folders, *names)}
        folders[:] = [name for name in folders if Path(folder) / name != without]
    return found


def memory(pid: int) -> int:
    """Give the highest resident size of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@pytest.mark.parametrize("many", [50, pytest.param(250, marks=pytest.mark.thorough)])
def test_names_never_become_paths(own_server: Any, many: int) -> None:
    """Hundreds of hostile module, part and script names: no file appears outside, and none under a user's name."""
    data = own_server.target.data
    around = files(data.parent, without=data)
    names = {"/".join(parts) for n in (1, 2, 3) for parts in itertools.product(SEGMENTS, repeat=n)}
    hostile = sorted(names)[:: len(names) // many]
    for name in hostile:
        quoted = name.replace('"', "%22").replace("\n", "%0A").replace("\r", "%0D").replace("\0", "%00")
        body = GOOD + part(quoted, b"evil", filename=quoted)
        answer = put(own_server, "steady", body_of(body))
        assert answer.status_code in (200, 400), (name, answer.text)
    assert len(hostile) >= many
    assert files(data.parent, without=data) == around
    hexes = set("0123456789abcdef/")
    assert all(set(name.removeprefix("modules")) <= hexes for name in files(data) if name.startswith("modules"))
    assert not list((data / "incoming").iterdir())


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "%2e%2e", "%2e%2e%2fx", "A", "-a", "a.b", "a b", "a%00", "x" * 64, "é"]
)
def test_script_names_that_are_none(server: Any, name: str) -> None:
    """A script name is one lower-case label; anything else is refused or is no route."""
    answer = server.http.put(f"{server.scripts}/{name}", content=body_of(GOOD), headers=HEADERS)
    assert answer.status_code in (400, 404, 405)
    assert server.code_of(answer) in (10016, 7003, 10405)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 10001),
        (b"--", 10001),
        (b"garbage", 10001),
        (GOOD, 10001),
        (body_of(GOOD)[:-10], 10001),
        (body_of(), 10021),
        (body_of(part("metadata", METADATA.encode())), 10021),
        (body_of(part("index.js", b"x", filename="index.js")), 10021),
        (body_of(part("metadata", b"{"), part("index.js", b"x")), 10001),
        (body_of(part("metadata", b"[]"), part("index.js", b"x")), 10001),
        (body_of(part("metadata", b"{}"), part("index.js", b"x")), 10021),
        (body_of(part("metadata", b'{"body_part": "index.js"}'), part("index.js", b"x")), 10021),
        (body_of(part("metadata", METADATA.encode()), GOOD), 10001),
        (body_of(GOOD, part("", b"x")), 10001),
        (body_of(GOOD, part("x", b"x", kind="application/x-evil")), 10021),
        (body_of(GOOD, part("index.js", b"x", filename="index.js")), 10021),
        (body_of(GOOD, part("x", b"x", extra="X-Long: " + "a" * 9000 + "\r\n")), 10001),
        (body_of(part("metadata", b'{"main_module": "index.js", "bindings": {}}'), part("index.js", b"x")), 10001),
        (body_of(part("metadata", b'{"main_module": "index.js", "exports": []}'), part("index.js", b"x")), 10001),
    ],
)
def test_broken_uploads(server: Any, script: str, content: bytes, code: int) -> None:
    """Each broken form gets its own error, and no script appears."""
    answer = put(server, script, content)
    assert (answer.status_code, server.code_of(answer)) == (400, code), answer.text
    assert server.code_of(server.http.get(f"{server.scripts}/{script}")) == 10007
    assert not list((server.target.data / "incoming").iterdir())


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "text/plain", "multipart/mixed; boundary=x"]
)
def test_an_upload_must_be_a_form(server: Any, script: str, kind: str) -> None:
    """Another content type is 10001."""
    answer = put(server, script, body_of(GOOD), **{"Content-Type": kind})
    assert (answer.status_code, server.code_of(answer)) == (415, 10001)


def test_bombs_do_not_explode(own_server: Any) -> None:
    """A huge body, a million parts, a gzip bomb and endless headers are cut off in little memory and disk."""

    def zeros() -> Iterator[bytes]:
        yield part("metadata", METADATA.encode())
        head = part("index.js", b"", filename="index.js")
        yield head[:-2]
        for _ in range(1024):
            yield bytes(1 << 20)

    def parts() -> Iterator[bytes]:
        for number in range(0, 1_000_000, 1000):
            yield b"".join(part(f"p{n}", b"", filename=f"p{n}") for n in range(number, number + 1000))

    def metadata() -> Iterator[bytes]:
        yield part("metadata", b"")[:-2]
        for _ in range(64):
            yield b" " * (1 << 20)

    pid = own_server.target.pid
    for content in (zeros(), parts(), metadata()):
        # Either the refusal arrives, or the connection is closed in the middle of the body.
        assert refused_or_cut(own_server, content) in (413, None)
    bomb = gzip.compress(bytes(1 << 26))
    answer = put(own_server, "bomb", bomb, **{"Content-Encoding": "gzip"})
    assert (answer.status_code, own_server.code_of(answer)) == (415, 10001)
    assert memory(pid) < 256
    assert own_server.incoming() == []
    assert own_server.upload("fine").status_code == 200


def refused_or_cut(server: Any, content: Iterator[bytes]) -> int | None:
    """Upload a stream; give the status, or None when the server hung up before the end."""
    import httpx

    try:
        return int(put(server, "bomb", content).status_code)
    except httpx.TransportError:
        return None


def test_header_bombs_are_cut_off(server: Any) -> None:
    """Headers without end close the connection, not the server."""
    port = int(server.target.api.split(":")[2].split("/")[0])
    bomb = "".join(f"X-{number}: {'a' * 1000}\r\n" for number in range(100_000)).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /client/v4/user HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(bomb)
    assert server.result("/user")


def test_a_client_that_trickles_is_dropped(tmp_path: Path, impatient_api: Any) -> None:
    """Slowloris: headers and bodies that do not arrive in time end the connection; others are served meanwhile."""
    with impatient_api(tmp_path / "data", patience=1.5) as server:
        port = int(server.target.api.split(":")[2].split("/")[0])
        head = f"PUT /client/v4{server.scripts}/slow HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        token = f"Authorization: Bearer {server.target.token()}\r\n"
        form = f"Content-Type: {HEADERS['Content-Type']}\r\nContent-Length: 1000\r\n\r\n--{BOUNDARY}\r\n"
        for sent in (head, head + token + form):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(sent.encode())
                assert server.result("/user")
                while connection.recv(65536):
                    pass
        assert server.incoming() == []


def test_private_files_stay_private(own_server: Any) -> None:
    """Whatever the umask of the process that started it: nothing in the data directory is for others."""
    created = {"migrations": {"new_sqlite_classes": ["Counter"]}}
    own_server.upload("any", own_server.counter("Counter"), bindings=own_server.bound(), **created)
    own_server.call("any")
    data = own_server.target.data
    for path in (data, *(data / name for name in files(data))):
        with contextlib.suppress(FileNotFoundError):  # gone again, as the folder of a start
            # A link has no mode of its own; what it leads to has.
            assert not path.stat().st_mode & 0o077 or path.is_socket(), path
    assert own_server.target.data.stat().st_uid == os.getuid()


def test_a_planted_link_is_not_followed(tmp_path: Path, make_api: Any) -> None:
    """Lock files that are symbolic links are refused, and what they point to stays as it was."""
    data, victim = tmp_path / "data", tmp_path / "victim"
    data.mkdir(mode=0o700)
    (data / "server.lock").symlink_to(victim)
    with pytest.raises(OSError, match=r"symbolic links"), make_api(data):
        pass
    assert not victim.exists()
