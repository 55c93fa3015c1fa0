// Forgets everything a while after the last visit.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  async visit(lifetime) {
    const visits = ((await this.ctx.storage.get("visits")) ?? 0) + 1;
    await this.ctx.storage.put("visits", visits);
    await this.ctx.storage.setAlarm(Date.now() + lifetime);
    return visits;
  }
  async visits() {
    return (await this.ctx.storage.get("visits")) ?? 0;
  }
  async alarm() {
    await this.ctx.storage.deleteAll();
  }
}

export default {
  async fetch(request, env) {
    const stub = env.PROGRAM.getByName("page");
    const lifetime = Number(new URL(request.url).searchParams.get("lifetime"));
    return Response.json(lifetime ? await stub.visit(lifetime) : await stub.visits());
  },
};
