"""What it costs a Worker that its lines are kept, and that its requests are followed. Run with -m benchmark."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from test_gateway_speed import ROUNDS, ours, requests_a_second

import notebook_do as nd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize(("what", "path"), [("plain", "/plain"), ("a Durable Object write", "/write")])
def test_a_worker_that_is_followed_beside_one_that_is_not(
    tmp_path: Path, what: str, path: str, say: Callable[[str], None]
) -> None:
    """Print the requests a second of a Worker whose requests are followed and of one whose are not, in turns."""
    with ours(tmp_path / "one") as plain, ours(tmp_path / "two") as followed:
        host = {"host": f"page.localhost:{followed}", "notebook-do-request": "d0d0" + "0" * 12}
        httpx.get(f"http://127.0.0.1:{followed}{path}", headers=host, trust_env=False).raise_for_status()

        def rate(port: int) -> float:
            return asyncio.run(requests_a_second(port, f"page.localhost:{port}", "GET", path, 8))

        rounds = [(rate(plain), rate(followed)) for _ in range(ROUNDS)]
    say(f"{what}, followed beside not: {statistics.median(mine / theirs for theirs, mine in rounds):.2f}")


def test_an_answer_with_its_lines_beside_one_without(own_cloud: Path, say: Callable[[str], None]) -> None:
    """Print how much longer an answer takes with the lines that its request logged."""
    del own_cloud
    session = nd.session("chat")
    nd.Worker("chat", script='export default { fetch() { console.log("x"); return new Response("ok"); } };')
    session.deploy(session.plan())
    times: list[tuple[float, float]] = []
    for _ in range(30):
        begun = time.perf_counter()
        answer = session.fetch("chat", follow=True)
        answered = time.perf_counter()
        found, _records = session.request_logs(answer.request.headers["notebook-do-request"])
        assert found.complete
        times.append((answered - begun, time.perf_counter() - begun))
    ratio = statistics.median(both / alone for alone, both in times[5:])
    say(f"an answer with its lines beside one without: {ratio:.1f}")
