"""The gate: nothing is answered but to the right name, without a web page behind it, with the token."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

PATHS = [
    ("GET", ""),
    ("GET", "/workers/scripts"),
    ("PUT", "/workers/scripts/evil"),
    ("DELETE", "/workers/scripts/evil"),
    ("GET", "/workers/scripts/evil/settings"),
    ("PATCH", "/workers/scripts/evil/settings"),
    ("POST", "/workers/scripts/evil/deployments"),
    ("POST", "/workers/scripts/evil/tails"),
    ("PATCH", "/local/switches"),
    ("GET", "/workers/durable_objects/namespaces"),
    ("OPTIONS", "/workers/scripts"),
]
ORIGINS = [
    "http://evil.example",
    "https://evil.example",
    "null",
    "http://127.0.0.1:{port}",
    "http://localhost:{port}",
    "file://",
]
TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]


def port_of(server: Any) -> int:
    """Give the API's port."""
    return int(httpx.URL(server.target.api).port or 0)


def raw(server: Any, lines: Iterable[str], *, body: bytes = b"") -> bytes:
    """Send bytes as they are and give everything that comes back."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def status_of(answer: bytes) -> int:
    """Give the status of a raw answer."""
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],
        ["evil.example:{port}"],
        ["127.0.0.1.evil.example:{port}"],
        ["127.0.0.1"],
        ["127.0.0.1:1"],
        ["localhost"],
        ["localhost.:{port}"],
        ["LOCALHOST:{port}"],
        ["0.0.0.0:{port}"],
        ["[::1]:{port}"],
        ["[::ffff:127.0.0.1]:{port}"],
        ["127.1:{port}"],
        ["2130706433:{port}"],
        ["user@127.0.0.1:{port}"],
        ["127.0.0.1:{port} "],
        [""],
        ["127.0.0.1:{port}", "evil.example"],
        ["127.0.0.1:{port}", "127.0.0.1:{port}"],
        [],
    ],
)
def test_only_our_own_names_are_answered(server: Any, hosts: list[str]) -> None:
    """DNS rebinding: with the right token but any other Host, nothing is routed."""
    lines = [f"Host: {host.format(port=port_of(server))}" for host in hosts]
    token = f"Authorization: Bearer {server.target.token()}"
    answer = raw(server, ["GET /client/v4/user HTTP/1.1", *lines, token, "Connection: close"])
    trimmed = hosts == ["127.0.0.1:{port} "]
    assert status_of(answer) in ({200} if trimmed else {400, 421}), answer
    assert trimmed or b"local@localhost" not in answer


def test_an_absolute_target_does_not_replace_the_host(server: Any) -> None:
    """A request line with a foreign URL is not routed, whatever the Host header says."""
    port, token = port_of(server), f"Authorization: Bearer {server.target.token()}"
    for target, host in [
        (f"http://evil.example:{port}/client/v4/user", f"127.0.0.1:{port}"),
        (f"http://127.0.0.1:{port}/client/v4/user", "evil.example"),
    ]:
        answer = raw(server, [f"GET {target} HTTP/1.1", f"Host: {host}", token, "Connection: close"])
        assert status_of(answer) in (404, 421)


def test_the_port_is_bound_to_loopback_only(server: Any) -> None:
    """Neither port listens on any other address of the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address to try")
        address = probe.getsockname()[0]
    for port in (port_of(server), server.target.workers_port):
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((address, port), timeout=2)


@pytest.mark.parametrize("origin", ORIGINS)
def test_pages_are_refused(server: Any, origin: str) -> None:
    """CSRF: any Origin is refused on every route with every content type, even with the token; no CORS header."""
    headers = {"Origin": origin.format(port=port_of(server))}
    for method, path in PATHS:
        for kind in TYPES:
            answer = server.http.request(
                method, server.account + path, headers={**headers, "Content-Type": kind}, content=b"{}"
            )
            assert (answer.status_code, server.code_of(answer)) == (403, 10023)
            assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "evil" not in {s["id"] for s in server.result(server.scripts)}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin"])
def test_fetch_metadata_is_refused(server: Any, site: str) -> None:
    """A browser that tells where a request comes from is a browser."""
    answer = server.http.get("/user", headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert server.http.get("/user", headers={"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (None, 400, 9106),
        ("Bearer {token}x", 401, 10000),
        ("Bearer x{token}", 401, 10000),
        ("Bearer " + "0" * 64, 401, 10000),
        ("Bearer ü", 401, 10000),
        ("Bearer", 400, 6003),
        ("Basic {token}", 400, 6003),
        ("{token}", 400, 6003),
        ("Token {token}", 400, 6003),
    ],
)
def test_every_route_needs_the_token(server: Any, authorization: str | None, status: int, code: int) -> None:
    """Without exactly the token no route answers, not even that it does not exist."""
    given = (authorization or "").format(token=server.target.token()).encode("latin-1")
    headers = {} if authorization is None else {b"Authorization": given}
    http = httpx.Client(base_url=server.target.api, headers=headers, trust_env=False)
    for method, path in [*PATHS, ("GET", "/no/such/route")]:
        answer = http.request(method, server.account + path)
        assert (answer.status_code, server.code_of(answer)) == (status, code), answer.text
    http.close()


def test_two_tokens_are_one_too_many(server: Any) -> None:
    """A second Authorization header does not slip past the first."""
    good, host = f"Authorization: Bearer {server.target.token()}", f"Host: 127.0.0.1:{port_of(server)}"
    for lines in ([good, "Authorization: Bearer x"], ["Authorization: Bearer x", good]):
        answer = raw(server, ["GET /client/v4/user HTTP/1.1", host, *lines, "Connection: close"])
        assert status_of(answer) in (400, 401)


def test_a_wrong_token_fails_verification_as_on_cloudflare(server: Any) -> None:
    """tokens/verify says 1000 for a wrong token and `active` for the right one."""
    wrong = httpx.get(f"{server.target.api}/user/tokens/verify", headers={"Authorization": "Bearer x"}, trust_env=False)
    assert (wrong.status_code, server.code_of(wrong)) == (401, 1000)
    for path in ("/user/tokens/verify", f"{server.account}/tokens/verify"):
        assert server.result(path)["status"] == "active"


def test_another_account_is_refused(server: Any) -> None:
    """A well-formed id of another account is not ours; anything else is no route."""
    answer = server.http.get(f"/accounts/{'a' * 32}/workers/scripts")
    assert (answer.status_code, server.code_of(answer)) == (403, 9109)
    for path in ("/accounts/me/workers/scripts", f"{server.account}/workers/nothing", "/users", f"{server.scripts}/"):
        answer = server.http.get(path)
        assert (answer.status_code, server.code_of(answer)) == (404, 7003), path


def test_a_wrong_method_is_an_error(server: Any) -> None:
    """Never 200 for what is not there."""
    answer = server.http.post(server.scripts)
    assert (answer.status_code, server.code_of(answer)) == (405, 10405)


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}, {"Sec-WebSocket-Protocol": "trace-v1"}])
def test_websockets_need_the_secret_of_a_tail(server: Any, headers: dict[str, str]) -> None:
    """CSWSH: an upgrade is refused on every path but an open tail's, and there for pages."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    paths = ["/", "/tails/", f"/tails/{'0' * 64}", f"/client/v4{server.scripts}"]
    for path in paths:
        lines = [f"{k}: {v}" for k, v in {"Host": f"127.0.0.1:{port_of(server)}", **upgrade, **headers}.items()]
        assert status_of(raw(server, [f"GET {path} HTTP/1.1", *lines])) == 403


def test_a_worker_cannot_reach_the_api(server: Any, script: str) -> None:
    """Code in a Worker gets no answer from the control port, and its `env` holds no token."""
    source = """export default { async fetch(request, env) {
      const found = [JSON.stringify(env)];
      for (const host of ["127.0.0.1", "localhost"]) {
        try { const r = await fetch(`http://${host}:PORT/client/v4/user`); found.push(await r.text()); }
        catch (error) { found.push("no: " + error.message); }
      }
      return Response.json(found);
    } };""".replace("PORT", str(port_of(server)))
    server.upload(script, source)
    found = server.call(script).json()
    assert found[0] == "{}"
    assert all(line.startswith("no: ") or '"success": false' in line for line in found[1:]), found
    assert server.target.token() not in json.dumps(found)


def test_errors_show_no_traceback(server: Any) -> None:
    """Whatever is sent, an answer is an envelope without a word of the program."""
    bodies = [b"", b"{", b"[]", b"null", b"5", b'"x"', b'{"a":' * 5000, b"\xff\xfe", b"NaN", b'{"versions": [NaN]}']
    server.upload("odd")
    targets = ["/deployments", "/secrets", "/secrets-bulk", "/schedules", "/script-settings", "/subdomain", "/tails"]
    methods = {"/deployments": "POST", "/subdomain": "POST", "/tails": "POST", "/secrets": "PUT", "/schedules": "PUT"}
    for target in targets:
        for body in bodies:
            answer = server.http.request(
                methods.get(target, "PATCH"),
                f"{server.scripts}/odd{target}",
                content=body,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code < 500, (target, body[:20], answer.text)
            assert "Traceback" not in answer.text
            assert "notebook_do" not in answer.text
