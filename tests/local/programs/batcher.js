// Gathers what arrives and, when its alarm rings, stores it as one batch.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  async add(item) {
    const waiting = (await this.ctx.storage.get("waiting")) ?? [];
    await this.ctx.storage.put("waiting", [...waiting, item]);
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + 2000);
    return waiting.length + 1;
  }
  async alarm() {
    const waiting = (await this.ctx.storage.get("waiting")) ?? [];
    const batches = (await this.ctx.storage.get("batches")) ?? [];
    await this.ctx.storage.put({ batches: [...batches, waiting], waiting: [] });
  }
  async batches() {
    return (await this.ctx.storage.get("batches")) ?? [];
  }
}

export default {
  async fetch(request, env) {
    const stub = env.PROGRAM.getByName("all");
    return Response.json(request.method === "POST" ? await stub.add(await request.text()) : await stub.batches());
  },
};
