// JavaScript's values as JSON with tags, and back: the twin of values.py, for both targets. An object with the key `$` is
// a tag; one of a user's that has this key is a tag too, so nothing that was stored can be taken for a mark of ours.

// What cannot be answered, in words for a person. It is told apart from whatever the user's own code throws.
export class Refusal extends Error {}

// That what was asked has been done, and something after it failed.
export class Done extends Refusal {}

// That its result has no form outside of the object.
export class Unsendable extends Done {}

export const MOST = 16 << 20;
const TOO_LARGE = `the result is larger than ${MOST >> 20} MiB; ask for less`;
const TOO_DEEP = "the result is nested too deep to be sent";

const ARRAYS = [
  "Int8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
  "Float16Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array",
].filter((name) => name in globalThis);

// What is met a second time gets a number, where it was met first and wherever it comes again.
class Met {
  constructor(numbers) {
    this.numbers = numbers;
  }

  again() {
    this.number ??= ++this.numbers.last;
    return { $: "ref", v: this.number };
  }

  toJSON() {
    return this.number === undefined ? this.made : { $: "def", n: this.number, v: this.made };
  }
}

export class Writer {
  constructor() {
    this.met = new Map();
    this.numbers = { last: 0 };
    this.size = 0;
  }

  grow(size) {
    this.size += size;
    if (this.size > MOST) throw new Unsendable(TOO_LARGE);
  }

  write(value, path) {
    this.grow(4);
    switch (typeof value) {
      case "undefined":
        return { $: "undefined" };
      case "boolean":
        return value;
      case "string":
        this.grow(value.length);
        return value.isWellFormed() ? value : { $: "utf16", v: units(value) };
      case "number":
        if (Object.is(value, -0)) return { $: "number", v: "-0" };
        // A whole number beyond 2**53 is written with digits that it does not have: it is no int to Python.
        return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))
          ? value
          : { $: "number", v: String(value) };
      case "bigint":
        return { $: "bigint", v: String(value) };
      case "symbol":
        throw new Unsendable(`${path}: a symbol cannot leave the object`);
      case "function":
        throw new Unsendable(`${path}: a function or stub${named(value.name)} lives in the object and is no Python value`);
    }
    return value === null ? null : (this.met.get(value)?.again() ?? this.first(value, path));
  }

  first(value, path) {
    const met = new Met(this.numbers);
    this.met.set(value, met);
    met.made = this.whole(value, path);
    return met;
  }

  whole(value, path) {
    if (Array.isArray(value)) return Array.from(value, (item, at) => this.write(item, `${path}[${at}]`)); // holes too
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.plain(value, path);
    if (value instanceof Date) return { $: "date", v: Number.isNaN(+value) ? null : +value };
    if (value instanceof Map) {
      const pair = ([key, item], at) => [this.write(key, `${path}.key(${at})`), this.write(item, `${path}.get(${at})`)];
      return { $: "map", v: Array.from(value, pair) };
    }
    if (value instanceof Set) return { $: "set", v: Array.from(value, (item, at) => this.write(item, `${path}{${at}}`)) };
    if (value instanceof ArrayBuffer) return this.bytes("bytes", new Uint8Array(value));
    if (ArrayBuffer.isView(value)) {
      const kind = ARRAYS.find((name) => value instanceof globalThis[name]) ?? "bytes";
      return this.bytes(kind, new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
    if (value instanceof Error) return this.error(value, path);
    if (value instanceof RegExp) return { $: "regexp", v: value.source, flags: value.flags };
    throw new Unsendable(`${path}: ${kindOf(value)} lives in the object; return a plain object instead`);
  }

  plain(value, path) {
    const pairs = Object.keys(value).map((key) => {
      this.grow(key.length);
      return [this.key(key), this.write(value[key], `${path}.${key}`)];
    });
    // fromEntries and not an assignment: `__proto__` is a key like any other.
    return "$" in value || pairs.some(([key]) => typeof key !== "string") ? { $: "object", v: pairs } : Object.fromEntries(pairs);
  }

  key(key) {
    return key.isWellFormed() ? key : { $: "utf16", v: units(key) };
  }

  bytes(kind, bytes) {
    this.grow((bytes.length * 4) / 3);
    return { $: kind, v: bytes.toBase64() };
  }

  error(error, path) {
    const made = { $: "error", name: String(error.name), message: String(error.message), stack: stackOf(error) };
    if (error.cause !== undefined) made.cause = this.write(error.cause, `${path}.cause`);
    return made;
  }
}

// Returns `value` as JSON text; throws Unsendable, which names the path, where it has no form outside of the object.
export function encode(value) {
  let text;
  try {
    text = JSON.stringify(new Writer().write(value, "result"));
  } catch (error) {
    if (error instanceof RangeError && error.message.includes("call stack")) throw new Unsendable(TOO_DEEP);
    throw error;
  }
  if (text.length > MOST) throw new Unsendable(TOO_LARGE);
  return text;
}

// Returns what was thrown as JSON text. Whatever it holds that has no form is left out: what happened matters more.
export function encodeThrown(thrown) {
  if (!(thrown instanceof Error)) {
    let cause;
    try {
      cause = JSON.parse(encode(thrown));
    } catch {
      // Told by its text alone.
    }
    return JSON.stringify({ $: "error", name: "thrown", message: worded(thrown), stack: null, cause });
  }
  try {
    return encode(thrown);
  } catch {
    return JSON.stringify({ $: "error", name: String(thrown.name), message: String(thrown.message), stack: stackOf(thrown) });
  }
}

function worded(thrown) {
  try {
    return typeof thrown === "string" ? thrown : (JSON.stringify(thrown) ?? String(thrown));
  } catch {
    return Object.prototype.toString.call(thrown);
  }
}

// The frames of the user's code: those of these modules stand below every call and say nothing.
export function stackOf(error) {
  if (typeof error.stack !== "string") return null;
  return error.stack.split("\n").filter((line) => !/\bnotebook-do\d*\/[a-z]+\.js:\d/.test(line)).join("\n");
}

const named = (name) => (typeof name === "string" && name ? ` (${name})` : "");

function kindOf(value) {
  const name = value.constructor?.name;
  return typeof name === "string" && name && name !== "Object" ? `an instance of ${name}` : Object.prototype.toString.call(value);
}

// A string that is no valid text (a lone surrogate), unit by unit.
function units(text) {
  const held = Uint16Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
  return new Uint8Array(held.buffer).toBase64();
}

const MOST_STREAMED = 12 << 20;

// A stream is read to its end: no reader of it could go along with the answer.
export async function drained(value) {
  if (!(value instanceof ReadableStream)) return value;
  const pieces = [];
  let size = 0;
  for await (const piece of value) {
    const bytes = typeof piece === "string" ? new TextEncoder().encode(piece) : piece;
    if (!ArrayBuffer.isView(bytes)) throw new Unsendable("result: a stream of something else than bytes or text");
    size += bytes.byteLength;
    if (size > MOST_STREAMED) throw new Unsendable(`result: the stream is larger than ${MOST_STREAMED >> 20} MiB`);
    pieces.push(bytes);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

// --- and back

export function decode(node) {
  if (node === null || typeof node !== "object") return node;
  if (Array.isArray(node)) return node.map(decode);
  if (Object.hasOwn(node, "$")) {
    if (!Object.hasOwn(READ, node.$)) throw new Refusal(`a value of kind ${node.$} cannot be read here`);
    return READ[node.$](node);
  }
  return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, decode(item)]));
}

const buffer = (text) => Uint8Array.fromBase64(text);

function text({ v }) {
  let made = "";
  for (const unit of new Uint16Array(buffer(v).buffer)) made += String.fromCharCode(unit);
  return made;
}

const READ = {
  undefined: () => undefined,
  number: ({ v }) => Number(v),
  bigint: ({ v }) => BigInt(v),
  utf16: text,
  date: ({ v }) => new Date(v ?? Number.NaN),
  map: ({ v }) => new Map(v.map(([key, item]) => [decode(key), decode(item)])),
  set: ({ v }) => new Set(v.map(decode)),
  bytes: ({ v }) => buffer(v),
  object: ({ v }) => Object.fromEntries(v.map(([key, item]) => [decode(key), decode(item)])),
  error: ({ name, message }) => Object.assign(new Error(message), { name }),
  ...Object.fromEntries(ARRAYS.map((name) => [name, ({ v }) => new globalThis[name](buffer(v).buffer)])),
};
