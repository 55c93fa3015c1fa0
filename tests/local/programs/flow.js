// A workflow whose steps are given as its parameters, and a Worker that calls its API by path.
import { WorkflowEntrypoint } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";

let tries = 0;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Flow extends WorkflowEntrypoint {
  async run({ payload, workflowName, instanceId }, step) {
    const told = { workflowName, instanceId };
    told.first = await step.do("first", async () => crypto.randomUUID());
    if (payload.say) console.log(`said ${payload.say}`);
    if (payload.deep) for (let n = 0; n < payload.deep; n++) told.deep = [told.deep];
    if (payload.flaky) {
      const retries = { limit: 3, delay: 20, backoff: "constant" };
      told.tries = await step.do("flaky", { retries }, async () => {
        if (++tries < 3) throw new Error("no luck");
        return tries;
      });
    }
    if (payload.fatal) await step.do("fatal", async () => { throw new NonRetryableError("never again"); });
    if (payload.work) {
      told.work = await step.do("work", async ({ attempt }) => {
        await pause(attempt === 1 && payload.cut ? 600_000 : payload.work); // only a kill ends it
        return attempt;
      });
    }
    if (payload.nap) await step.sleep("nap", payload.nap);
    if (payload.until) await step.sleepUntil("until", new Date(payload.until));
    if (payload.wait) {
      const event = await step.waitForEvent("wait", { type: "go", timeout: payload.wait });
      told.event = event.payload;
    }
    if (payload.nap || payload.until) told.last = await step.do("last", async () => Date.now());
    return told;
  }
}

const calls = {
  async create(flow, query) {
    const instance = await flow.create({ id: query.get("id") ?? undefined, params: JSON.parse(query.get("params") ?? "{}") });
    return instance.id;
  },
  async batch(flow, query) {
    const made = await flow.createBatch(query.getAll("id").map((id) => ({ id, params: { batch: id } })));
    return made.map(({ id }) => id);
  },
  async status(flow, query) { return (await flow.get(query.get("id"))).status(); },
  async event(flow, query) { return (await flow.get(query.get("id"))).sendEvent({ type: "go", payload: { hi: 1 } }); },
  async pause(flow, query) { return (await flow.get(query.get("id"))).pause(); },
  async resume(flow, query) { return (await flow.get(query.get("id"))).resume(); },
  async terminate(flow, query) { return (await flow.get(query.get("id"))).terminate(); },
  async restart(flow, query) { return (await flow.get(query.get("id"))).restart(); },
};

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    try {
      return Response.json((await calls[pathname.slice(1)](env.FLOW, searchParams)) ?? null);
    } catch (error) {
      return Response.json({ error: error.message }, { status: 500 });
    }
  },
};
