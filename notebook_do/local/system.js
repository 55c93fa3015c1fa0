// The runtime's own Worker in every island: it takes the tail events of all the others, runs crons on request
// and stands in for what is bound but not deployed.
import { WorkerEntrypoint } from "cloudflare:workers";

// Events wait a few milliseconds for company: under load one message carries those of many requests.
const COMPANY = 5;
const OVERDUE = 1000;
let waiting = [];
let since = 0;

export class Tail extends WorkerEntrypoint {
  async tail(items) {
    waiting.push(JSON.stringify({ script: this.ctx.props.script, items }));
    if (waiting.length > 1 && Date.now() - since < OVERDUE) return;
    since = Date.now();
    await scheduler.wait(COMPANY);
    const body = `[${waiting.join(",")}]`;
    waiting = [];
    const answer = await this.env.EVENTS.fetch("http://events/", { method: "POST", body });
    await answer.arrayBuffer();
  }
}

// Bound in place of what is not there: every use throws the message in `props`.
export class Missing extends WorkerEntrypoint {
  constructor(ctx, env) {
    super(ctx, env);
    const refuse = () => {
      throw new Error(ctx.props.message);
    };
    return new Proxy(this, { get: (target, key) => (key in target && key !== "connect" ? target[key] : refuse) });
  }

  fetch() {
    throw new Error(this.ctx.props.message);
  }

  scheduled() {
    throw new Error(this.ctx.props.message);
  }
}

// The Cache API as it is on workers.dev: accepted, and never a hit.
export class NoCache extends WorkerEntrypoint {
  fetch(request) {
    switch (request.method) {
      case "PUT":
        return new Response(null, { status: 204 });
      case "PURGE":
        return new Response(null, { status: 404 });
      default:
        return new Response(null, { status: 504, headers: { "CF-Cache-Status": "MISS" } });
    }
  }
}

export default {
  async fetch(request, env) {
    const { script, cron, time } = await request.json();
    const result = await env[`worker:${script}`].scheduled({ scheduledTime: new Date(time), cron });
    return Response.json({ outcome: result.outcome, noRetry: result.noRetry });
  },
};
