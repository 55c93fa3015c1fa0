// Classes of Durable Objects in all forms that they have in the wild, and one caller for all of them.
import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

export class Plain extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS m(id INTEGER PRIMARY KEY, text TEXT)");
  }
  post(text) { this.ctx.storage.sql.exec("INSERT INTO m(text) VALUES (?)", text); return text; }
  boom() { return inner(); }
  me() {
    const own = Object.getPrototypeOf(this) === Plain.prototype;
    return [this.constructor.name, this.constructor === Plain, this instanceof Plain, own, Object.keys(this)];
  }
}
function inner() { throw new TypeError("kaboom inside"); }
export class Legacy {
  constructor(state, env) { this.state = state; this.env = env; }
  async fetch(request) {
    const n = ((await this.state.storage.get("n")) ?? 0) + 1;
    await this.state.storage.put("n", n);
    const twin = new Legacy(this.state, this.env);
    return Response.json([n, this.constructor.name, this.constructor === Legacy, twin instanceof Legacy, request.method]);
  }
  hi() { return "hi"; }
}
export class Private extends DurableObject {
  #n = 0;
  static #made = 0;
  static bump() { return ++this.#made; }
  static total = 0;
  constructor(ctx, env) { super(ctx, env); this.constructor.total++; this.made = this.constructor.bump(); }
  get() { return { n: ++this.#n, made: this.made, total: Private.total, own: this.constructor.total }; }
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
class Secret extends DurableObject { get() { return this.constructor.name; } }
export { Secret as Aliased, Secret as AliasedTwice };
export class Derived extends Plain { more() { return [this.post("more"), super.me()]; } }
export class Kv extends DurableObject {
  async get() {
    await this.ctx.storage.put("k", { a: 1n, d: new Date(5) });
    const kept = await this.ctx.storage.get("k");
    return [String(kept.a), +kept.d];
  }
}
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
export class Facet extends DurableObject { get() { return `facet ${this.constructor.name}`; } }
export class Parent extends DurableObject {
  async get() { return await this.ctx.facets.get("f", () => ({ class: this.ctx.exports.Facet })).get(); }
  async other() { return await this.ctx.exports.Mixed.getByName("x").get(); }
}
export class Same extends DurableObject { __notebook_do__() { return "mine"; } get() { return this.__notebook_do__(); } }
export function Es5(ctx, env) { return Reflect.construct(DurableObject, [ctx, env], new.target ?? Es5); }
Object.setPrototypeOf(Es5, DurableObject);
Es5.prototype = Object.create(DurableObject.prototype, { constructor: { value: Es5 } });
Es5.prototype.get = function () { return `es5 ${this.constructor.name}`; };
export class Own extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.arrow = () => "arrow"; }
  get value() { return 5; }
  real() { return this.arrow() + this.value; }
  _under() { return "under"; }
}
class Handle extends RpcTarget { say() { return "said"; } }
export class Handles extends DurableObject { async get() { return new Handle(); } }
export class Mute {}
export class Entry extends WorkerEntrypoint { get() { return `entry ${this.constructor.name}`; } }

export default {
  async fetch(request, env, ctx) {
    const [binding, method, ...args] = await request.json();
    try {
      if (binding === "Entry") return Response.json(await ctx.exports.Entry.get());
      const stub = env[binding].getByName("a");
      if (method === "fetch") return await stub.fetch("http://object/", { method: "PATCH" });
      const found = await stub[method](...args);
      return Response.json(typeof found?.say === "function" ? await found.say() : (found ?? null));
    } catch (error) {
      return Response.json([error.name, error.message]);
    }
  },
};
