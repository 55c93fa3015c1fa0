// The runtime's own Worker in every island: it takes the tail events of all the others, runs crons and asks workflows
// on request and stands in for what is bound but not deployed.
import { WorkerEntrypoint } from "cloudflare:workers";

// Events wait a few milliseconds for company: under load one message carries those of many requests.
const COMPANY = 5;
const OVERDUE = 1000;
// A message that takes longer may have ended with the request that sent it.
const UNDER_WAY = 3000;
// The answer to a message that nobody listened to. From then on events are dropped, until somebody listens again.
const NOBODY = 205;
// What is kept for later waits longer. A request is never held up by it; beyond this much in one message the rest is
// only counted, so that a load of thousands of requests a second costs no more than this.
const LATER = 250;
const MOST_EVENTS = 500;
const MOST_LETTERS = 4 << 20;
// Cloudflare's limit of one invocation's logs, in letters; what is over it is cut, and `truncated` says so.
const LONGEST = 256 << 10;
// How the ray of a request begins whose lines somebody waits for, see `edge.py`.
const FOLLOWED = "d0d0";

async function post(env, path, body) {
  const answer = await env.EVENTS.fetch(`http://events/${path}`, { method: "POST", body });
  await answer.arrayBuffer();
  return answer.status;
}

// What waits to be posted to one path, as JSON texts.
class Outbox {
  #path;
  #pause;
  #texts = [];
  #since = 0;
  #underWay = new Set();

  constructor(path, pause) {
    this.#path = path;
    this.#pause = pause;
  }

  get length() {
    return this.#texts.length;
  }

  // Whether somebody waits already, who will send.
  get awaited() {
    return this.#since > 0 && Date.now() - this.#since < OVERDUE;
  }

  push(text) {
    this.#texts.push(text);
  }

  // Says whose turn it is to send: whoever comes first waits for the others. One that takes too long may have ended
  // with its request, and the next one does it.
  async turn() {
    if (this.awaited) return false;
    this.#since = Date.now();
    await scheduler.wait(this.#pause);
    this.#since = 0;
    return true;
  }

  // One message at a time: two that are under way may arrive in another order.
  async inOrder(env) {
    if (this.awaited) return;
    this.#since = Date.now();
    await scheduler.wait(this.#pause);
    while (this.#texts.length) {
      this.#since = Date.now();
      await this.send(env);
    }
    this.#since = 0;
  }

  async send(env) {
    if (!this.#texts.length) return undefined;
    const body = `[${this.#texts.join(",")}]`;
    this.#texts = [];
    const message = { since: Date.now() };
    this.#underWay.add(message);
    try {
      return await post(env, this.#path, body);
    } finally {
      this.#underWay.delete(message);
    }
  }

  // Waits until what others sent has arrived.
  async arrived() {
    while (this.#underWay.size) {
      await scheduler.wait(1);
      for (const one of this.#underWay) if (Date.now() - one.since > UNDER_WAY) this.#underWay.delete(one);
    }
  }
}

const live = new Outbox("live", COMPANY);
let dropping = false;
let heard = 0;

async function report(items, { script, version }, env) {
  live.push(JSON.stringify({ script, version, items }));
  if (!(await live.turn())) return;
  await live.arrived(); // two that are under way may arrive in another order
  const before = heard;
  const status = await live.send(env);
  // Somebody may have begun to listen while the answer was under way.
  if (status === NOBODY && before === heard) dropping = true;
}

const kept = new Outbox("kept", LATER);
let letters = 0;
let lost = new Map();

// How many followed requests have not ended yet: only then it is looked for the ray, as headers cost more than all else.
let following = 0;
const OBJECT_URL = "http://object/";

// The event without headers, `cf` and query: those can hold what nobody wants on a disk.
function short(event, object) {
  const { request, response } = event ?? {};
  if (!request) return event;
  const { url, method } = request;
  const query = url.indexOf("?");
  const told = { url: query < 0 ? url : url.slice(0, query), method };
  if (following > 0) {
    told.ray = request.headers["cf-ray"];
    if (!object && told.ray?.startsWith(FOLLOWED)) following -= 1;
  }
  // Of a look or a call of ours, see `inspecting.py`.
  const own = object && url === OBJECT_URL ? request.headers["x-notebook-do"] : undefined;
  if (own) told.headers = { "x-notebook-do": own };
  return { request: told, response };
}

function cut(logs) {
  let room = LONGEST;
  const whole = [];
  for (const log of logs) {
    const size = JSON.stringify(log.message).length;
    if (size > room) {
      const text = log.message.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join(" ");
      whole.push({ level: log.level, timestamp: log.timestamp, message: [text.slice(0, room)] });
      return whole;
    }
    room -= size;
    whole.push(log);
  }
  return whole;
}

function keep(items, { script, version }) {
  for (const item of items) {
    if (item.durableObjectId) leave(item.durableObjectId);
    if (kept.length >= MOST_EVENTS || letters >= MOST_LETTERS) {
      lost.set(script, (lost.get(script) ?? 0) + 1);
      continue;
    }
    const { eventTimestamp: time, outcome, entrypoint, durableObjectId: object, logs, exceptions } = item;
    const told = { script, version, time, outcome, entrypoint, object, event: short(item.event, object) };
    if (logs.length) told.logs = logs;
    if (exceptions.length) told.exceptions = exceptions;
    let text = JSON.stringify(told);
    if (text.length > LONGEST) text = JSON.stringify({ ...told, logs: cut(logs), truncated: true });
    letters += text.length;
    kept.push(text);
  }
}

async function flush(env) {
  letters = 0;
  for (const [script, count] of lost) kept.push(JSON.stringify({ script, lost: count }));
  lost = new Map();
  await kept.send(env);
}

// A handler and no entrypoint class, which workerd would construct for every event.
function tail(items, env, ctx) {
  keep(items, ctx.props);
  if (!dropping) ctx.waitUntil(report(items, ctx.props, env));
  return kept.awaited ? undefined : flushLater(env);
}

async function flushLater(env) {
  if (await kept.turn()) await flush(env);
}

// Requests that are followed, by workerd's trace, which goes on into every Worker and object that a request reaches.
// Of the others it is only known that they are not: null.
const traces = new Map();
const MOST_TRACES = 5000;
const MOST_WAITING = 1000;
const OWN = "__notebook_do_";
const steps = new Outbox("followed", COMPANY);

function begin({ spanContext: { traceId }, event: { info, durableObjectId } }) {
  const header = (wanted) => info.headers?.find(({ name }) => name === wanted)?.value;
  // The runtime's own Worker asks: only the mark says whether somebody waits for the lines.
  if (durableObjectId && (info?.type === "jsrpc" || (info?.type === "fetch" && header("x-notebook-do")))) return;
  const ray = info?.type === "fetch" ? header("cf-ray") : undefined;
  if (traces.size >= MOST_TRACES) traces.delete(traces.keys().next().value);
  const isFollowed = ray?.startsWith(FOLLOWED) === true;
  following += isFollowed;
  traces.set(traceId, isFollowed ? ray : null);
}

const TOLD = new Set(["log", "exception", "outcome", "return"]);

// Of calls that run in one object at once workerd tells all lines as those of the last one, here and in `tail`: by
// object, how many run, and what says so to the calls that are followed.
const inside = new Map();

function enter(object) {
  const found = inside.get(object) ?? { count: 0, say: [] };
  found.count += 1;
  inside.set(object, found);
  if (found.count > 1) for (const say of found.say.splice(0)) say();
}

function share(object, say) {
  const found = inside.get(object);
  if (found?.count > 1) say();
  else found?.say.push(say);
}

function leave(object) {
  const found = inside.get(object);
  if (found && (found.count -= 1) <= 0) inside.delete(object);
}

// What an invocation does while it runs: `tail` tells it only at the end, and not to whom it belongs.
function tailStream(onset, env, ctx) {
  const { traceId, spanId } = onset.spanContext;
  if (onset.event.durableObjectId) enter(onset.event.durableObjectId);
  if (spanId === undefined) begin(onset);
  const ray = traces.get(traceId);
  if (ray === null) return undefined;
  return ray === undefined ? undecided(onset, env, ctx) : follow(ray, onset, env, ctx);
}

// The beginning of the caller may come here later, under load; or never, where the runtime's own Worker called, which is
// told of to nobody: then the mark that a call from a notebook logs first says whose the call is (`inspecting.py`).
function undecided(onset, env, ctx) {
  const { traceId } = onset.spanContext;
  const object = onset.event.durableObjectId;
  let waiting = [];
  let mixed = false;
  let told;
  if (object) share(object, () => (mixed = true)); // noticed now: the other call may be over when this is decided
  const decide = (root) => {
    const ray = traces.get(traceId);
    if (ray) told = follow(ray, onset, env, ctx, root, mixed);
    if (ray === undefined && waiting.length < MOST_WAITING) return;
    for (const event of told ? waiting : []) told(event);
    waiting = [];
    told ??= () => {};
  };
  const later = async () => {
    for (let tries = 0; tries < 20 && !traces.has(traceId); tries += 1) await scheduler.wait(COMPANY);
    decide(false);
  };
  return (event) => {
    if (told) return told(event);
    waiting.push(event);
    const { type, message } = event.event;
    const mark = type === "log" && message?.[0] === OWN;
    if (mark) traces.set(traceId, message[1]);
    decide(mark);
    if (!told && type === "outcome") ctx.waitUntil(later());
    return undefined;
  };
}

function follow(ray, onset, env, ctx, root = onset.spanContext.spanId === undefined, mixed = false) {
  const { script, version } = ctx.props;
  const invocation = onset.invocationId;
  const tell = (timestamp, event) => {
    steps.push(JSON.stringify({ ray, invocation, script, version, timestamp, event }));
    ctx.waitUntil(steps.inOrder(env));
  };
  const { entrypoint, durableObjectId: object, info } = onset.event;
  const { type, method, url, scheduledTime, cron, queueName, batchSize } = info ?? {};
  const own = info?.headers?.find(({ name }) => name === "x-notebook-do")?.value;
  const about = { type, method, url: url?.split("?", 1)[0], own, scheduledTime, cron, queueName, batchSize };
  tell(onset.timestamp, { type: "onset", root, entrypoint, object, info: about });
  const shared = () => tell(onset.timestamp, { type: "shared" });
  if (mixed) shared();
  else if (object) share(object, shared);
  return ({ timestamp, event, spanContext: { spanId } }) => {
    if (TOLD.has(event.type)) tell(timestamp, event);
    // Those of its own span: what it calls has a span with the same attribute.
    if (event.type !== "attributes" || spanId !== onset.event.spanId) return;
    const called = event.info.find(({ name }) => name === "jsrpc.method");
    if (called) tell(timestamp, { type: "method", method: called.value });
  };
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
  tailStream,
  async fetch(request, env) {
    const namespace = request.headers.get("x-namespace");
    if (namespace !== null) {
      const { ask } = await import("asking.js"); // when it is first needed: a start waits for all that is imported above
      return new Response(await ask(env, namespace, await request.json()));
    }
    const { listen, hurry, script, cron, time, queue, messages, workflow, call, args } = await request.json();
    if (listen) {
      heard += 1;
      dropping = false;
      return new Response(null, { status: 204 });
    }
    if (hurry) {
      await flush(env);
      await kept.arrived(); // what another request took along
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
