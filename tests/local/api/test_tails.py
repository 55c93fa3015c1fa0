"""Tails: what a Worker logs and throws reaches whoever listens, filtered as asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

LOGS = """export default { fetch(request) {
  console.log("path", new URL(request.url).pathname);
  if (request.url.endsWith("/throw")) throw new Error("kaboom");
  return new Response("ok");
} };"""


def open_tail(server: Any, script: str, *filters: dict[str, Any]) -> Any:
    """Begin a tail."""
    answer = server.http.post(f"{server.scripts}/{script}/tails", json={"filters": list(filters)})
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def listen(tail: Any, **more: Any) -> ClientConnection:
    """Connect to a tail."""
    return connect(tail["url"], subprotocols=["trace-v1"], proxy=None, **more)  # type: ignore[list-item]


def events(connection: ClientConnection, count: int) -> list[Any]:
    """Receive some events."""
    return [json.loads(connection.recv(timeout=60)) for _ in range(count)]


def test_logs_and_exceptions_arrive(server: Any, script: str) -> None:
    """Each request is one event with its logs, exceptions and outcome, in Cloudflare's form."""
    server.upload(script, LOGS)
    tail = open_tail(server, script)
    assert server.result(f"{server.scripts}/{script}/tails") == tail
    with listen(tail) as connection:
        connection.send('{"debug":false}')
        server.call(script, "/fine")
        server.call(script, "/throw")
        fine, thrown = events(connection, 2)
    assert fine["logs"][0]["message"] == ["path", "/fine"]
    assert (fine["outcome"], fine["scriptName"], fine["event"]["response"]["status"]) == ("ok", script, 200)
    assert thrown["outcome"] == "exception"
    assert thrown["exceptions"][0]["message"] == "kaboom"


def test_who_listens_late_gets_the_next_request(server: Any, script: str) -> None:
    """A Worker that ran while nobody listened reports the first request after somebody began to."""
    server.upload(script, LOGS)
    for _ in range(3):
        for _ in range(5):
            server.call(script, "/nobody")
        with listen(open_tail(server, script)) as connection:
            server.call(script, "/heard")
            heard = events(connection, 1)[0]["logs"][0]["message"]
            while heard == ["path", "/nobody"]:  # of a request just before, whose event was still under way
                heard = events(connection, 1)[0]["logs"][0]["message"]
            assert heard == ["path", "/heard"]


def test_filters(server: Any, script: str) -> None:
    """Only events that pass every filter are sent."""
    server.upload(script, LOGS)
    by_outcome = open_tail(server, script, {"outcome": ["exception"]})
    by_text = open_tail(server, script, {"query": "/b"}, {"method": ["get"]}, {"sampling_rate": 1})
    none = open_tail(server, script, {"sampling_rate": 0})
    with listen(by_outcome) as first, listen(by_text) as second, listen(none) as third:
        for path in ("/a", "/throw", "/b"):
            server.call(script, path)
        assert events(first, 1)[0]["event"]["request"]["url"].endswith("/throw")
        assert events(second, 1)[0]["logs"][0]["message"] == ["path", "/b"]
        with pytest.raises(TimeoutError):
            third.recv(timeout=0.2)


@pytest.mark.parametrize(
    "filters",
    [[{"nope": 1}], ["x"], "x", [{"outcome": 5}], [{"sampling_rate": "much"}], [{"header": "x"}], [{"method": [1]}]],
)
def test_bad_filters(server: Any, script: str, filters: Any) -> None:
    """Filters of another form are refused when the tail is opened, not when an event comes."""
    server.upload(script, LOGS)
    answer = server.http.post(f"{server.scripts}/{script}/tails", json={"filters": filters})
    assert server.code_of(answer) == 10001


def test_a_deleted_tail_ends(server: Any, script: str) -> None:
    """Deleting a tail closes its websocket; it cannot be opened again."""
    server.upload(script, LOGS)
    tail = open_tail(server, script)
    with listen(tail) as connection:
        url = f"{server.scripts}/{script}/tails/{tail['id']}"
        assert server.http.delete(url).status_code == 200
        with pytest.raises(WebSocketException):
            connection.recv(timeout=60)
        assert server.http.delete(url).status_code == 404
    with pytest.raises(InvalidStatus):
        listen(tail)


def test_a_tail_is_not_for_pages(server: Any, script: str) -> None:
    """Even with the secret, a page is refused, and so is another subprotocol."""
    server.upload(script, LOGS)
    tail = open_tail(server, script)
    with pytest.raises(InvalidStatus):
        listen(tail, origin="http://evil.example")
    with pytest.raises(WebSocketException):
        connect(tail["url"], proxy=None)


@pytest.mark.thorough
def test_a_slow_listener_costs_little(server: Any, script: str) -> None:
    """Who does not read loses the oldest events; the Worker and other listeners do not wait."""
    server.upload(script, LOGS)
    slow, quick = open_tail(server, script), open_tail(server, script)
    with listen(slow, max_queue=1), listen(quick) as connection:
        for number in range(50):
            server.call(script, f"/{number}")
        paths = [event["logs"][0]["message"][1] for event in events(connection, 50)]
    assert paths == [f"/{number}" for number in range(50)]
