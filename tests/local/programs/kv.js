// Orders the writes of many callers, and publishes the last one to Workers KV.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  async publish(text) {
    const edition = ((await this.ctx.storage.get("edition")) ?? 0) + 1;
    await this.ctx.storage.put("edition", edition);
    await this.env.PAGES.put("front", JSON.stringify({ edition, text }));
    return edition;
  }
}

export default {
  async fetch(request, env) {
    if (request.method === "POST") {
      return Response.json(await env.PROGRAM.getByName("press").publish(await request.text()));
    }
    return Response.json(await env.PAGES.get("front", "json"));
  },
};
