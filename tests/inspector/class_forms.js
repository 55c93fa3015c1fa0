// The forms that classes of Durable Objects have in the wild, each with what could tell that something stands before it.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
export { Reexported } from "./reexported.js";

export class Plain extends DurableObject {
  get() {
    const same = this.constructor === Plain && this instanceof Plain && Object.getPrototypeOf(this) === Plain.prototype;
    return [this.constructor.name, same, Object.keys(this), Object.keys(Plain.prototype)];
  }
}
export class Legacy {
  constructor(state) { this.state = state; }
  async fetch() {
    const n = ((await this.state.storage.get("n")) ?? 0) + 1;
    await this.state.storage.put("n", n);
    return Response.json([n, this.constructor.name]);
  }
}
export class Private extends DurableObject {
  #n = 0;
  static #made = 0;
  static bump() { return ++this.#made; }
  constructor(ctx, env) { super(ctx, env); this.made = this.constructor.bump() > 0; }
  get() { return [++this.#n, this.made]; }
}
export class Blocked extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => { await scheduler.wait(5); this.ready = true; });
  }
  get() { return this.ready; }
}
const Mix = (Base) => class extends Base { mixed() { return "mixed"; } };
export class Mixed extends Mix(DurableObject) { get() { return this.mixed(); } }
class Hidden extends DurableObject { get() { return this.constructor.name; } }
export { Hidden as Aliased };
export class Returns extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    return new Proxy(this, { get: (target, key) => (key === "magic" ? () => "magic" : Reflect.get(target, key)) });
  }
  get() { return "returned"; }
}
export class Shadow extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.ctx = { mine: true }; }
  get() { return Object.keys(this.ctx); }
}
export class Frozen extends DurableObject { get() { return Object.isFrozen(Frozen.prototype); } }
Object.freeze(Frozen.prototype);
Object.freeze(Frozen);
export class Same extends DurableObject { __notebook_do_ask() { return "mine"; } get() { return "same"; } }
export class Derived extends Plain { more() { return "more"; } }
export class Own extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.arrow = () => "arrow"; }
  get value() { return 5; }
  get() { return this.arrow() + this.value; }
}
export class Mute {}
export class Entry extends WorkerEntrypoint { get() { return "entry " + this.constructor.name; } }

export default {
  async fetch(request, env, ctx) {
    const [binding, name] = await request.json();
    try {
      if (binding === "ENTRY") return Response.json(await ctx.exports.Entry.get());
      const stub = env[binding].getByName(name);
      if (binding === "LEGACY") return await stub.fetch("http://object/");
      return Response.json(await stub.get());
    } catch (error) { return Response.json(`${error.name}: ${error.message}`); }
  },
};
