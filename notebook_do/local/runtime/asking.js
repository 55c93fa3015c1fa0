// Asks objects for a notebook, in the runtime's own Worker.
import { Refusal, Unsendable, decode, drained, encode, encodeThrown } from "./wire.js";

// Each of `ops`, `atOnce` of them at a time, those of one object one after the other. None is sent twice. Returns JSON
// text, in their order: what object.js answers, or {"unknown": text} without an answer in `timeout` milliseconds.
export async function ask(env, namespace, { ops, timeout, atOnce = 8 }) {
  const objects = env[`objects:${namespace}`];
  const { method, broken } = env.NAMESPACES[namespace] ?? { broken: "the namespace is only being deployed; ask again" };
  if (broken !== null) return JSON.stringify(ops.map(() => ({ refused: broken })));
  const answers = new Array(ops.length);
  const before = new Map();
  let next = 0;
  const work = async () => {
    while (next < ops.length) {
      const at = next++;
      const op = ops[at];
      const whose = op.object.id ?? `name:${op.object.name}`;
      const mine = (before.get(whose) ?? Promise.resolve()).then(() => timed(objects, method, op, timeout));
      before.set(whose, mine);
      answers[at] = await mine;
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, ops.length) }, work));
  return `[${answers.join(",")}]`;
}

async function timed(objects, method, op, timeout) {
  const begun = Date.now();
  const ended = new AbortController();
  const late = async () => {
    await scheduler.wait(timeout, { signal: ended.signal });
    return JSON.stringify({ unknown: `no answer in ${timeout / 1000} s` });
  };
  const answer = await Promise.race([one(objects, method, op), late()]);
  ended.abort();
  return `{"ms":${Date.now() - begun},${answer.slice(1)}`;
}

async function one(objects, method, op) {
  let stub;
  try {
    const { id, name } = op.object;
    stub = objects.get(id === undefined ? objects.idFromName(name) : objects.idFromString(id));
  } catch (error) {
    return JSON.stringify({ refused: error.message });
  }
  // Without a `request` there is no telling which method was called, in the events.
  const text = JSON.stringify(op.op === "call" ? { request: crypto.randomUUID(), ...op } : op);
  try {
    if (method !== null) return await stub[method]({ text });
  } catch (error) {
    if (says(error, WITHOUT_RPC)) return await byRequest(stub, method, text);
    if (!says(error, `"${method}"`)) return failed(error);
  }
  // The class could not take the method. What anybody who binds the namespace can do is still to be had.
  if (op.op !== "call") return JSON.stringify({ refused: CLOSED });
  return byName(stub, op);
}

const CLOSED =
  "the class cannot be looked into: it is frozen, or its Worker is no ES module; what can be had are calls of its methods";
const WITHOUT_BOTH = "the class does not extend DurableObject and has no fetch(), so that nothing reaches its objects";
const WITHOUT_RPC = "does not support RPC";

async function byRequest(stub, method, text) {
  try {
    const headers = { "x-notebook-do": method };
    return await (await stub.fetch("http://object/", { method: "POST", headers, body: JSON.stringify({ text }) })).text();
  } catch (error) {
    return says(error, "does not export a fetch() function") ? JSON.stringify({ refused: WITHOUT_BOTH }) : failed(error);
  }
}

async function byName(stub, { method, args }) {
  let result;
  try {
    const given = args.map(decode);
    result = await drained(await stub[method](...given));
  } catch (error) {
    if (error instanceof Refusal) return declined(error);
    return says(error, `does not implement the method "${method}"`) ? JSON.stringify({ absent: null }) : failed(error);
  }
  try {
    return `{"ok":${encode(result)}}`;
  } catch (error) {
    return declined(error);
  }
}

const declined = (error) => JSON.stringify({ refused: error.message, done: error instanceof Unsendable });

// Anything can be thrown.
const says = (error, words) => String(error?.message ?? error).includes(words);

// What was thrown on the way: by the object's constructor, or because the object went away under the call. Its stack is
// that of the caller, which is not the user's.
function failed(error) {
  if (error?.retryable) return JSON.stringify({ unknown: error.message });
  return JSON.stringify({ error: { ...JSON.parse(encodeThrown(error)), stack: null } });
}
