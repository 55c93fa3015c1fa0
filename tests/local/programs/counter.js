// A counter for each name, kept in storage.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  async change(by) {
    const value = ((await this.ctx.storage.get("value")) ?? 0) + by;
    await this.ctx.storage.put("value", value);
    return value;
  }
}

export default {
  async fetch(request, env) {
    const [, name, verb] = new URL(request.url).pathname.split("/");
    const by = { up: 1, down: -1 }[verb] ?? 0;
    return Response.json(await env.PROGRAM.getByName(name).change(by));
  },
};
