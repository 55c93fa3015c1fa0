// Keeps a value in memory for as long as it lives, and reads it back from storage before its first request.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  reads = 0;

  constructor(ctx, env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.place = (await ctx.storage.get("place")) ?? "nowhere";
      this.reads += 1;
    });
  }
  async move(place) {
    this.place = place;
    await this.ctx.storage.put("place", place);
  }
  where() {
    return { place: this.place, reads: this.reads };
  }
}

export default {
  async fetch(request, env) {
    const stub = env.PROGRAM.getByName("van");
    if (request.method === "POST") await stub.move(await request.text());
    return Response.json(await stub.where());
  },
};
