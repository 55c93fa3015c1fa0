// The runtime's own Worker in every island: it takes the tail events of all the others, runs crons and asks workflows
// on request and stands in for what is bound but not deployed.
import { WorkerEntrypoint } from "cloudflare:workers";

// Events wait a few milliseconds for company: under load one message carries those of many requests.
const COMPANY = 5;
const OVERDUE = 1000;
// The answer to a message that nobody listened to. From then on events are dropped, until somebody listens again.
const NOBODY = 205;
let waiting = [];
let since = 0;
let dropping = false;
let heard = 0;

// A handler and no entrypoint class, which workerd would construct for every event.
async function tail(items, env, ctx) {
  if (dropping) return;
  waiting.push(JSON.stringify({ script: ctx.props.script, items }));
  if (waiting.length > 1 && Date.now() - since < OVERDUE) return;
  since = Date.now();
  await scheduler.wait(COMPANY);
  const body = `[${waiting.join(",")}]`;
  waiting = [];
  const before = heard;
  const answer = await env.EVENTS.fetch("http://events/", { method: "POST", body });
  await answer.arrayBuffer();
  // Somebody may have begun to listen while the answer was under way.
  if (answer.status === NOBODY && before === heard) dropping = true;
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
  tail,
  async fetch(request, env) {
    const namespace = request.headers.get("x-namespace");
    if (namespace !== null) {
      const { ask } = await import("asking.js"); // when it is first needed: a start waits for all that is imported above
      return new Response(await ask(env, namespace, await request.json()));
    }
    const { listen, script, cron, time, queue, messages, workflow, call, args } = await request.json();
    if (listen) {
      heard += 1;
      dropping = false;
      return new Response(null, { status: 204 });
    }
    if (workflow !== undefined) {
      try {
        return Response.json({ result: await env[`workflow:${workflow}`][call](...args) });
      } catch (error) {
        return Response.json({ error: error.message });
      }
    }
    if (queue !== undefined) {
      return Response.json(await env[`worker:${script}`].queue(queue, messages.map(message)));
    }
    const result = await env[`worker:${script}`].scheduled({ scheduledTime: new Date(time), cron });
    return Response.json({ outcome: result.outcome, noRetry: result.noRetry });
  },
};
