"""Requests recorded from wrangler, replayed one by one in their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WIRE = Path(__file__).parents[2] / "wire" / "wrangler-4.164-deploy.json"
RECORDED_ACCOUNT = "a" * 32


def body_of(server: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Give what a recorded request carried; code was not recorded, so it is written to fit."""
    if "json" in request:
        return {"json": request["json"]}
    if "metadata" not in request:
        return {}
    metadata = request["metadata"]
    classes = [b["class_name"] for b in metadata["bindings"]]
    contents = {"index.js": server.counter(*classes), "index.js.map": "{}"}
    files = {p["name"]: (p["filename"], contents.get(p["name"]), p["ct"]) for p in request["parts"]}
    return {"files": {**files, "metadata": (None, json.dumps(metadata))}}


def test_recorded_deploys_are_answered_as_wrangler_expects(own_server: Any) -> None:
    """Create, code update, rename by `migrations` and rename by `exports`: all succeed, data goes on."""
    version, counts = "", []
    for request in json.loads(WIRE.read_text()):
        path = request["path"].removeprefix("/client/v4").replace(RECORDED_ACCOUNT, own_server.target.account_id)
        if "deployments" in path and request["method"] == "POST":
            request["json"]["versions"][0]["version_id"] = version
        answer = own_server.http.request(request["method"], path, **body_of(own_server, request))
        if answer.status_code == 404:
            # Only the looks at a script that is not there yet.
            assert request["method"] == "GET"
            assert own_server.code_of(answer) in (10007, 10090)
            continue
        assert answer.status_code == 200, (request["method"], path, answer.text)
        if "versions" in path and request["method"] == "POST":
            version = answer.json()["result"]["id"]
        if request["method"] in ("PUT", "POST") and "subdomain" in path:
            counts.append(own_server.call(path.split("/")[5]).text)
    assert counts == ["1", "2", "3", "1"]
    assert list(own_server.namespaces("counter")) == list(own_server.namespaces("expo")) == ["Tally"]
