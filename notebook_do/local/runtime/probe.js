// Put in front of an uploaded Worker: imports its main module and says what that really exports, calling nothing.
import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers";
import { Response, stringify } from "NOTEBOOK_DO_INTACT_MODULE";
import * as main from "NOTEBOOK_DO_MAIN_MODULE";

const HANDLERS = ["fetch", "scheduled", "queue", "tail", "tailStream", "email", "trace", "test", "connect", "alarm"];

const isClass = (value) =>
  typeof value === "function" && value.prototype !== undefined && /^class\b/.test(Function.prototype.toString.call(value));

function methodsOf(prototype, end) {
  const names = new Set();
  for (let at = prototype; at && at !== end && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      const own = Object.getOwnPropertyDescriptor(at, name);
      if (name !== "constructor" && typeof own.value === "function") names.add(name);
    }
  }
  return [...names];
}

function describe(value) {
  for (const [kind, base] of [
    ["durable-object", DurableObject],
    ["worker-entrypoint", WorkerEntrypoint],
    ["workflow", WorkflowEntrypoint],
  ]) {
    if (typeof value === "function" && value.prototype instanceof base) {
      return { kind, handlers: methodsOf(value.prototype, base.prototype) };
    }
  }
  if (isClass(value)) return { kind: "class", handlers: methodsOf(value.prototype) };
  if (typeof value === "function") {
    // A transpiled class is a plain function whose prototype has methods.
    const methods = value.prototype ? methodsOf(value.prototype) : [];
    return { kind: methods.length ? "class" : "function", handlers: methods };
  }
  if (typeof value === "object" && value !== null) {
    return { kind: "other", handlers: HANDLERS.filter((name) => typeof value[name] === "function") };
  }
  return { kind: "other", handlers: [] };
}

// workerd itself says this when it starts a script for good; the probe, which imports it, would let it pass.
const misfit = (value) => value === null || !["object", "function"].includes(typeof value);
const trouble = (name) =>
  `Uncaught TypeError: Incorrect type for map entry '${name}': the provided value is not of type 'function or ExportedHandler'.`;

export default {
  fetch() {
    const wrong = Object.keys(main).find((name) => misfit(main[name]));
    if (wrong !== undefined) return new Response(trouble(wrong), { status: 500 });
    const exports = Object.keys(main).map((name) => {
      const { kind, handlers } = describe(main[name]);
      // Text by text: of arrays and objects JSON asks the prototypes, which the script may have changed.
      const names = handlers.map((handler) => stringify(handler)).join(",");
      return `{"name":${stringify(name)},"kind":${stringify(kind)},"handlers":[${names}]}`;
    });
    return new Response(`[${exports.join(",")}]`);
  },
};
