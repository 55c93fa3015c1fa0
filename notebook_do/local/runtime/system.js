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

// A rate limit: `props` say which counters and how much, the service counts.
export class RateLimit extends WorkerEntrypoint {
  async limit(options) {
    if (typeof options?.key !== "string") throw new TypeError("limit() needs { key: string }");
    const body = JSON.stringify({ ...this.ctx.props, key: options.key });
    const answer = await this.env.RATE_LIMITS.fetch("http://rate-limits/", { method: "POST", body });
    return answer.json();
  }
}

// Messages as the service keeps them (base64, with their content type) to what a queue() handler gets.
function message({ id, timestamp, attempts, kind, body }) {
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  const head = { id, attempts, timestamp: new Date(timestamp) };
  if (kind === "v8") return { ...head, serializedBody: bytes };
  if (kind === "bytes") return { ...head, body: bytes };
  const text = new TextDecoder().decode(bytes);
  return { ...head, body: kind === "json" ? JSON.parse(text) : text };
}

export default {
  async fetch(request, env) {
    const { script, cron, time, queue, messages } = await request.json();
    if (queue !== undefined) {
      return Response.json(await env[`worker:${script}`].queue(queue, messages.map(message)));
    }
    const result = await env[`worker:${script}`].scheduled({ scheduledTime: new Date(time), cron });
    return Response.json({ outcome: result.outcome, noRetry: result.noRetry });
  },
};
