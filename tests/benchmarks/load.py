"""A load of HTTP requests on kept connections, in a process of its own; prints the requests answered in a second."""

from __future__ import annotations

import select
import socket
import sys
import time


def load(port: int, request: bytes, connections: int, seconds: float) -> float:
    """Keep one request under way on each connection; every answer must be a 200 with a length."""
    poll, sockets, parts = select.epoll(), {}, {}
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[one.fileno()], parts[one.fileno()] = one, b""
        poll.register(one, select.EPOLLIN)
        one.sendall(request)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for number, _ in poll.poll(1):
            data = parts[number] + sockets[number].recv(1 << 16)
            if not data.startswith(b"HTTP/1.1 200"[: len(data)]) or not data:
                raise SystemExit(f"not an answer: {data!r}")
            parts[number] = data if missing(data) else b""
            if not parts[number]:
                done += 1
                sockets[number].send(request)
    took = time.perf_counter() - began
    for one in sockets.values():
        one.close()
    return done / took


def missing(data: bytes) -> bool:
    """Say whether more of an answer is to come."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return True
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) < int(length)


if __name__ == "__main__":
    port, host, method, path, connections, seconds = sys.argv[1:]
    text = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nUser-Agent: load\r\n\r\n"
    print(load(int(port), text.encode(), int(connections), float(seconds)))  # noqa: T201 - its result
