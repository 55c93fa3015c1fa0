// Who may ask: whoever holds the private key to the public one that is deployed. See signing.py for what is signed.
const utf8 = new TextEncoder();
const WINDOW = 60_000;
const keys = new Map();

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const unbase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

export const digest = async (text) => base64(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8.encode(text))));

export async function signed(key, audience, head) {
  if (!keys.has(key)) keys.set(key, await crypto.subtle.importKey("raw", unbase64(key), "Ed25519", false, ["verify"]));
  const text = ["nd1", audience, head.time, head.nonce, ...head.digests].join("\n");
  return crypto.subtle.verify("Ed25519", keys.get(key), unbase64(head.signature), utf8.encode(text));
}

export const timely = (time) => Math.abs(Date.now() - time) <= WINDOW;

// The nonces that were heard in the last minutes: a request is taken once, whoever sends it a second time.
export class Heard {
  #at = new Map();

  // Says whether it is heard for the first time. What is older than the window is refused by its time, and forgotten.
  first(nonce) {
    if (this.#at.has(nonce)) return false;
    for (const [old, at] of this.#at) {
      if (at >= Date.now() - 2 * WINDOW) break;
      this.#at.delete(old);
    }
    this.#at.set(nonce, Date.now());
    return true;
  }
}

const READS = new Set(["info", "list", "get", "select", "try", "shapes", "seen", "contents"]);

// The `admit` of object.js: the object checks by itself what the inspector Worker has checked, since any Worker can bind a
// namespace. All but reads are done once: what was signed before this object woke may have been done before.
// `classes` are pairs of a class and the stable ID of its namespace: an object has a name in common with those of others.
export function guard(key, audience, classes) {
  const stableIds = new Map(); // the prototype of a class -> the stable IDs that it has
  for (const [made, stableId] of classes) {
    if (typeof made === "function") stableIds.set(made.prototype, [...(stableIds.get(made.prototype) ?? []), stableId]);
  }
  // Of a class that is derived from another one its own count.
  const within = (object, stableId) => {
    let proto = Object.getPrototypeOf(object);
    while (proto !== null && !stableIds.has(proto)) proto = Object.getPrototypeOf(proto);
    return proto !== null && stableIds.get(proto).includes(stableId);
  };
  const known = new WeakMap(); // an object -> since when it is awake, and what it has heard
  return async (object, ctx, asked) => {
    const { head, index, text } = asked ?? {};
    if (!known.has(object)) known.set(object, { woke: Date.now(), heard: new Heard() });
    const { woke, heard } = known.get(object);
    if (!(await isSigned(key, audience, head, index, text))) return { refused: UNSIGNED };
    if (typeof ctx?.id?.toString() !== "string" || ctx.id.equals === undefined) return { refused: REPLACED };
    const signed = JSON.parse(text);
    if (!isFor(signed.object, ctx.id) || !within(object, signed.namespace)) return { refused: UNSIGNED };
    if (!timely(head.time)) return { again: Date.now() };
    if (READS.has(signed.op)) return undefined;
    // Nor what claims to be of later than now: that would still be younger than an object which wakes in between.
    if (head.time <= woke || head.time > Date.now()) return { again: Date.now() };
    return heard.first(`${head.nonce}/${index}`) ? undefined : { refused: "replayed" };
  };
}

const UNSIGNED = "this was not signed by the session that deployed this Worker, or not for this object";
const REPLACED =
  'this class keeps something else in `this.ctx`, so that its objects cannot be looked into; inspect="calls" needs no ctx';

async function isSigned(key, audience, head, index, text) {
  try {
    return head.digests[index] === (await digest(text)) && (await signed(key, audience, head));
  } catch {
    return false; // a head of another form
  }
}

const isFor = (object, id) => (object?.id !== undefined ? object.id === id.toString() : object?.name !== undefined && object.name === id.name);
