"""A deployed Worker that calls its bindings as it is told, so that a test says in Python what a Worker would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED = """
const revived = (value) => {
  if (Array.isArray(value)) return value.map(revived);
  if (value?.$bytes) return new Uint8Array(value.$bytes);
  if (value?.$date) return new Date(value.$date);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revived(one)]));
};
const shown = async (value) => {
  if (value === undefined) return null;
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (value && typeof value === "object" && "httpEtag" in value) {
    const { key, size, etag, version, httpMetadata, customMetadata, range } = value;
    const checksums = value.checksums.toJSON();
    const text = value.body ? await value.text() : null;
    return { key, size, etag, version, httpMetadata, customMetadata, range, checksums, text };
  }
  if (value && typeof value === "object" && "delimitedPrefixes" in value) {
    return { ...value, objects: await Promise.all(value.objects.map(shown)) };
  }
  return value;
};
export default {
  async fetch(request, env) {
    const said = [];
    for (const [target, method, ...args] of await request.json()) {
      try {
        said.push(await shown(await env[target][method](...revived(args))));
      } catch (error) {
        said.push({ error: error.message });
      }
    }
    return Response.json(said);
  },
};
"""


class Asking:
    """One stage with the asked Worker `asked` on it."""

    def __init__(self, stage: Any) -> None:
        self.stage, self.services = stage, stage.runtime.services

    def again(self, name: str, bindings: tuple[dict[str, Any], ...], **more: Any) -> None:
        """Deploy the asked Worker once more, under a name of its own."""
        self.stage.put(name, ASKED, bindings=bindings, **more)

    async def all(self, *calls: list[Any], worker: str = "asked") -> list[Any]:
        """Let the Worker make calls `[binding, method, arguments...]`; errors come as {"error": ...}."""
        answer = await self.stage.call(worker, method="POST", json=list(calls))
        assert answer.status_code == 200, answer.text
        result: list[Any] = answer.json()
        return result

    async def one(self, *call: Any, worker: str = "asked") -> Any:
        """Let the Worker make one call."""
        return (await self.all(list(call), worker=worker))[0]


@pytest.fixture
def ask(play: Callable[..., None]) -> Callable[..., None]:
    """Run an async story with a Worker that has `bindings` and can be asked to use them."""

    def ask(story: Callable[[Asking], Any], *bindings: dict[str, Any]) -> None:
        async def told(stage: Any) -> None:
            stage.put("asked", ASKED, bindings=bindings)
            await story(Asking(stage))

        play(told)

    return ask
