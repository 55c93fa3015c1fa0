// Bindings whose API is ours and runs inside the Worker's own isolate, before a service of ours. No Worker can import this.
import wrappedBinding from "cloudflare-internal:wrapped-binding";

const BOOKMARK = "x-cf-d1-session-commit-token";

function plain(_key, value) {
  if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
  return ArrayBuffer.isView(value) ? [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] : value;
}

// Whom workerd's D1 API asks under d1_binding_jsrpc: it calls `query`, where it sends a request without the flag.
class D1 extends wrappedBinding.WrappedBinding {
  #service;

  constructor(service) {
    super(service);
    this.#service = service;
  }

  fetch(...request) {
    return this.#service.fetch(...request);
  }

  async query({ queries }) {
    const asked = { method: "POST", body: JSON.stringify(queries, plain) };
    const answer = await this.#service.fetch("http://d1/query?resultsFormat=ROWS_AND_COLUMNS", asked);
    const found = await answer.json();
    if (!Array.isArray(found)) throw new Error(found.error);
    const results = found.map((one) => ({ meta: one.meta, data: { kind: "raw", ...one.results } }));
    return { results, bookmark: answer.headers.get(BOOKMARK) };
  }
}

export const d1 = ({ service }) => new D1(service);
