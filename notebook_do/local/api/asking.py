"""The route that asks objects: calls their methods and, past these, reads and changes what they store.

Only this Cloudflare has it; at Cloudflare a Worker of the session's own does the same (`inspect`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.api.envelope import cloud_of, parse_json, read_body
from notebook_do.local.objects.stored import folder_of, object_id
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.inspecting import ask_objects
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from notebook_do.local.api.envelope import Cloud

MOST_OPS, MOST_AT_ONCE, MOST_SECONDS = 40, 40, 3600
_MARGIN = 2.0
"""Seconds that a whole request may take longer than its objects: a process that answers no more is not waited for."""


async def ask(request: Request) -> Response:
    """Ask each of `ops`, none of them twice, `atOnce` at a time; each has `timeout` milliseconds.

    What is no call is refused for an object that does not exist: to ask it would make it.
    """
    cloud, namespace_id = cloud_of(request), str(request.path_params["namespace_id"])
    namespace = cloud.account.namespaces.get(namespace_id)
    if namespace is None:
        raise refuse("no_namespace", id=namespace_id[:64])
    body = await read_body(request)
    asked = as_object(parse_json(body, "The request body"), "body")
    ops, seconds = _checked(asked)
    cloud.runtime.names.asked(namespace_id, [op["object"]["name"] for op in ops if "name" in op["object"]])
    stored = folder_of(cloud.runtime.storage, namespace_id)
    if any(op["op"] != "call" for op in ops):
        await asyncio.to_thread(_must_exist, ops, stored, namespace_id)
    try:
        if any(op.get("follow") is True for op in ops):  # what it logs is shown with what it returns
            await cloud.runtime.events.follow(namespace.script)
        async with asyncio.timeout(seconds + _MARGIN):
            found = await ask_objects(cloud.runtime, namespace.script, namespace_id, body)
    except (KeyError, ScriptInvalid) as error:
        raise refuse("not_started", why=error) from None
    except TimeoutError:
        found = _unknown(len(ops), f"no answer in {asked['timeout'] / 1000:g} s")
    except (OSError, EOFError):  # it went away under the request: its Worker was deployed anew, or it crashed
        found = _unknown(len(ops), "the object's process ended before it had answered")
    if _ERROR in found:
        found = await asyncio.to_thread(_with_sources, cloud, namespace.script, found)
    head = b'{"success": true, "errors": [], "messages": [], "result": '
    return Response(head + found + b"}", media_type="application/json")


def _checked(asked: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    """Return the ops, and how long all of them may take: as many turns as there are, or as one object has."""
    ops, at_once = asked.get("ops"), _number(asked, "atOnce", 1, MOST_AT_ONCE)
    milliseconds = _number(asked, "timeout", 1, MOST_SECONDS * 1000)
    if not isinstance(ops, list) or not 0 < len(ops) <= MOST_OPS:
        raise refuse("bad_field", where="ops", why=f"must be a list of 1 to {MOST_OPS}")
    for op in ops:
        _check(op)
    of_one = max(Counter(json.dumps(op["object"]) for op in ops).values())
    return ops, max(-(-len(ops) // at_once), of_one) * milliseconds / 1000


def _check(op: Any) -> None:
    where = op.get("object") if isinstance(op, dict) else None
    if not isinstance(where, dict) or len(where) != 1 or not isinstance(where.get("id", where.get("name")), str):
        raise refuse("bad_field", where="ops", why="each needs an object, as {id} or as {name}")
    if not isinstance(op.get("op"), str):
        raise refuse("bad_field", where="ops", why="each needs an op")
    if op["op"] == "call" and not (isinstance(op.get("method"), str) and isinstance(op.get("args"), list)):
        raise refuse("bad_field", where="ops", why="a call needs a method and args")


def _number(asked: dict[str, Any], name: str, low: int, high: int) -> int:
    value = asked.get(name)
    if type(value) is not int or not low <= value <= high:
        raise refuse("bad_field", where=name, why=f"must be a whole number from {low} to {high}")
    return value


def _must_exist(ops: list[dict[str, Any]], stored: Path, namespace_id: str) -> None:
    for op in ops:
        where = op["object"]
        id_ = where["id"] if "id" in where else object_id(namespace_id, where["name"])
        if op["op"] != "call" and not (len(id_) == 64 and (stored / f"{id_}.sqlite").is_file()):
            raise refuse("no_object", name=str(where.get("name", id_))[:100], id=namespace_id)


_ERROR = b'{"$":"error"'


def _with_sources(cloud: Cloud, script: str, found: bytes) -> bytes:
    """Name the sources in the stacks of what was thrown, by the source map of the upload."""
    version = next((worker.version for worker in cloud.account.runnable() if worker.name == script), "")
    answers = json.loads(found)
    for answer in answers:
        error = answer.get("error")
        while isinstance(error, dict) and error.get("$") == "error":
            error["stack"] = cloud.runtime.events.mapped(script, version, error["stack"] or "") or None
            error = error.get("cause")
    return json.dumps(answers).encode()


def _unknown(count: int, why: str) -> bytes:
    return json.dumps([{"unknown": why}] * count).encode()


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    return [Route(account + "/local/namespaces/{namespace_id}/ask", ask, methods=["POST"])]
