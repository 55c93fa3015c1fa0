// The inspector Worker of one host: passes what a session has signed on to the host's objects. It holds no secret, only a
// public key, and binds nothing but the namespaces that are declared with `inspect`.
import { Heard, digest, signed, timely } from "./signed.js";
import { Refusal, Unsendable, decode, drained, encode, encodeThrown } from "./wire.js";

const MOST_BYTES = 9 << 20;
const MOST_OPS = 40; // what one request may begin at the same time, and a little less
const ASK = "__notebook_do_ask";
const LATE = "no answer came in time; it may have been done";

// Of this isolate: another one cannot know, so that an object that can be looked into keeps a list of its own.
const heard = new Heard();

const nothing = () => new Response(null, { status: 404 });
const answered = (body, status = 200) =>
  new Response(body, { status, headers: { "content-type": "application/json", "cache-control": "no-store" } });

export default {
  async fetch(request, env) {
    // Who has not signed gets nothing, and nothing of what he sends is read.
    const size = Number(request.headers.get("content-length") ?? NaN);
    if (request.method !== "POST" || new URL(request.url).pathname !== "/" || !(size <= MOST_BYTES)) return nothing();
    const head = await headOf(request, env);
    if (head === undefined) return nothing();
    if (!timely(head.time)) return answered(JSON.stringify({ refused: "clock", now: Date.now() }), 401);
    const texts = await textsOf(request, head);
    if (texts === undefined) return nothing();
    if (!heard.first(head.nonce)) return answered(JSON.stringify({ refused: "replayed" }), 409);
    const answers = await allOf(env, head, texts);
    return answered(`[${answers.join(",")}]`);
  },
};

async function headOf(request, env) {
  try {
    const head = JSON.parse(atob(request.headers.get("x-notebook-do") ?? ""));
    const fits = Array.isArray(head.digests) && head.digests.length <= MOST_OPS && typeof head.nonce === "string";
    return fits && (await signed(env.KEY, env.AUDIENCE, head)) ? head : undefined;
  } catch {
    return undefined; // no header, or none of ours: as if there were nobody here
  }
}

async function textsOf(request, head) {
  try {
    const texts = await request.json();
    if (!Array.isArray(texts) || texts.length !== head.digests.length) return undefined;
    const digests = await Promise.all(texts.map((text) => digest(String(text))));
    return digests.every((one, at) => one === head.digests[at]) ? texts : undefined;
  } catch {
    return undefined;
  }
}

// Those of one object one after the other, and as many objects at a time as the first op says.
async function allOf(env, head, texts) {
  const answers = [];
  const queues = new Map();
  texts.forEach((text, index) => {
    const op = JSON.parse(text);
    const key = JSON.stringify([op.namespace, op.object]);
    queues.set(key, [...(queues.get(key) ?? []), { op, asked: { head, index, text } }]);
  });
  const waiting = [...queues.values()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      for (const { op, asked } of next) answers[asked.index] = await timed(env, op, asked);
    }
  };
  const atOnce = Math.min(JSON.parse(texts[0] ?? "{}").atOnce ?? 8, MOST_OPS);
  await Promise.all(Array.from({ length: atOnce }, work));
  return answers;
}

// What has not answered in time may still be done: nobody asks it a second time.
async function timed(env, op, asked) {
  const from = Date.now();
  const late = scheduler.wait(op.timeout ?? 20_000).then(() => JSON.stringify({ unknown: LATE }));
  const text = await Promise.race([one(env, op, asked), late]);
  return `${text.slice(0, -1)},"ms":${Date.now() - from}}`;
}

async function one(env, op, asked) {
  try {
    const mode = env.INSPECTED[op.namespace];
    if (mode === undefined) throw new Refusal(`this inspector does not reach namespace ${op.namespace}`);
    // A stable ID may have a dash, and a name of JavaScript cannot.
    const objects = env[`NAMESPACE_${op.namespace.replaceAll("-", "$")}`];
    const id = op.object.id !== undefined ? objects.idFromString(op.object.id) : objects.idFromName(op.object.name);
    if (op.op === "id") return `{"ok":${encode(id.toString())}}`; // no object is reached, and so none is made
    return await (mode === "calls" ? called(objects.get(id), op) : looked(objects.get(id), asked));
  } catch (thrown) {
    const refused = thrown instanceof Refusal ? thrown.message : `${thrown?.name}: ${thrown?.message}`;
    return JSON.stringify({ refused, done: thrown instanceof Unsendable });
  }
}

// What a stub has of its own, and is no method of the object's.
const OF_STUBS = new Set(["connect", "constructor", "dup", "fetch", "id", "name", "then"]);

// The host is as it was: this can do what any Worker can that binds the namespace.
async function called(stub, op) {
  if (op.op !== "call") throw new Refusal("only methods can be called here; declare the namespace with inspect=True for more");
  if (OF_STUBS.has(op.method) || op.method in Object.prototype) return JSON.stringify({ absent: null });
  const given = op.args.map(decode);
  let value;
  try {
    value = await stub[op.method](...given);
  } catch (thrown) {
    if (isAbsent(thrown, op.method)) return JSON.stringify({ absent: null });
    if (isWithoutRpc(thrown)) throw new Refusal(WITHOUT_RPC);
    return failed(thrown);
  }
  return `{"ok":${encode(await drained(value))}}`;
}

async function looked(stub, asked) {
  try {
    return ours(await stub[ASK](asked));
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    if (isAbsent(thrown, ASK)) throw new Refusal(CLOSED);
    if (!isWithoutRpc(thrown)) return failed(thrown);
  }
  // A class without RPC is reached by a request alone. By the attempt nothing was done.
  const body = JSON.stringify(asked);
  try {
    const answer = await stub.fetch(`https://object/${ASK}`, { method: "POST", headers: { "x-notebook-do": ASK }, body });
    return ours(await answer.text());
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    if (says(thrown, "does not export a fetch() function")) throw new Refusal(WITHOUT_BOTH);
    return failed(thrown);
  }
}

// An object may go on with the code of before the last deploy for some minutes (code_update_strategy): then its own fetch()
// has answered.
function ours(text) {
  try {
    if (Object.keys(JSON.parse(text)).some((name) => ANSWERS.has(name))) return text;
  } catch {
    // Not JSON, so none of our answers.
  }
  throw new Refusal(CLOSED);
}

const ANSWERS = new Set(["ok", "error", "absent", "refused", "again"]);

const WITHOUT_RPC = "the class does not extend DurableObject, so that it has no methods to call; declare it with inspect=True";
const WITHOUT_BOTH = "the class does not extend DurableObject and has no fetch(), so that nothing reaches its objects";
const CLOSED =
  "its class cannot be looked into: it runs code of before the last deploy (for some minutes), is frozen, or has a method " +
  'of that name; inspect="calls" needs no code in it';

// Anything can be thrown.
const says = (thrown, words) => String(thrown?.message ?? thrown).includes(words);
const isAbsent = (thrown, method) => says(thrown, `does not implement the method "${method}"`);
const isWithoutRpc = (thrown) => says(thrown, "does not support RPC");

// What was thrown on the way: by the object's constructor, or because the object went away under the call. Its stack is
// that of this Worker, which is not the user's.
function failed(thrown) {
  if (thrown?.retryable) return JSON.stringify({ unknown: String(thrown.message) });
  return JSON.stringify({ error: { ...JSON.parse(encodeThrown(thrown)), stack: null } });
}
