"""The methods of a class are found in its source, without running it."""

from __future__ import annotations

from notebook_do.sources.methods import methods_of

SOURCE = """
// class Room { no() {} }
import { DurableObject } from "cloudflare:workers";
const text = `class Room { nor() {} }`;
export class Other extends DurableObject { other() {} }
export class Room extends DurableObject<Env> {
  static made = new Map([[{ a: 1 }, 2]]);
  #secret = 0;
  field = { nested() { return 1; } };
  arrow = (x) => { return x; };
  constructor(ctx, env) { super(ctx, env); this.x = "}"; }
  list() { return [1].map((one) => { return one; }); }
  async post(author, text) { if (author) { await this.list(); } }
  *each() { yield 1; }
  async *all() { yield 1; }
  public typed<T>(value: T): T { return value; }
  get size() { return 1; }
  static help() {}
  #hidden() {}
  fetch(request) {}
  last(options = { deep: { er: 1 } }) { /* } */ }
}
class After { after() {} }
"""


def test_methods_are_found_in_order() -> None:
    """Methods, generators and typed ones; no fields, accessors, statics, private ones and handlers."""
    assert methods_of(SOURCE, "Room") == ["list", "post", "each", "all", "typed", "last"]
    assert methods_of(SOURCE, "Other") == ["other"]
    assert methods_of(SOURCE, "Roo") == methods_of("", "Room") == methods_of("class Room {", "Room") == []


def test_a_source_that_is_only_being_typed_breaks_nothing() -> None:
    """Whatever is missing at its end, names are found or not, and nothing is raised."""
    for end in range(len(SOURCE)):
        found = methods_of(SOURCE[:end], "Room")
        assert all(name.isidentifier() for name in found)
