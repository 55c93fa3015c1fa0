// Bindings whose API is ours and runs inside the Worker's own isolate, before a service of ours. No Worker can import this.
import wrappedBinding from "cloudflare-internal:wrapped-binding";

const BOOKMARK = "x-cf-d1-session-commit-token";

function plain(_key, value) {
  if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
  return ArrayBuffer.isView(value) ? [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] : value;
}

// Returns what a binding stands before, `service`, and by which `rules`: nothing that a Worker could reach gives it.
let of;

class Own extends wrappedBinding.WrappedBinding {
  #inner;

  constructor(inner) {
    super(inner.service);
    this.#inner = inner;
  }

  static {
    of = (binding) => binding.#inner;
  }
}

// Whom workerd's D1 API asks under d1_binding_jsrpc: it calls `query`, where it sends a request without the flag.
class D1 extends Own {
  fetch(...request) {
    return of(this).service.fetch(...request);
  }

  async query({ queries }) {
    const asked = { method: "POST", body: JSON.stringify(queries, plain) };
    const answer = await of(this).service.fetch("http://d1/query?resultsFormat=ROWS_AND_COLUMNS", asked);
    const found = await answer.json();
    if (!Array.isArray(found)) throw new Error(found.error);
    const results = found.map((one) => ({ meta: one.meta, data: { kind: "raw", ...one.results } }));
    return { results, bookmark: answer.headers.get(BOOKMARK) };
  }
}

async function told(answer) {
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

class SecretsStoreSecret extends Own {
  async get() {
    return (await told(await of(this).service.fetch("http://secrets-store/"))).text();
  }
}

class Pipeline extends Own {
  async send(records) {
    if (!Array.isArray(records)) throw new TypeError("send() needs an array of records");
    await told(await of(this).service.fetch("http://pipelines/", { method: "POST", body: JSON.stringify(records) }));
  }
}

const base64 = (content) => {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : new Uint8Array(plain("", content));
  return bytes.toBase64();
};

class SendEmail extends Own {
  // An EmailMessage of `cloudflare:email`, or the fields of an email to be written.
  async send(message) {
    if (typeof message !== "object" || message === null) throw new TypeError("send() needs an EmailMessage");
    const { from, to, raw } = message;
    const about = { from, to, rules: of(this).rules };
    const body = raw === undefined ? JSON.stringify(this.#fields(message)) : await new Response(raw).arrayBuffer();
    const headers = { "notebook-do-email": encodeURIComponent(JSON.stringify(about)) };
    const where = raw === undefined ? "fields" : "raw";
    return (await told(await of(this).service.fetch(`http://email/${where}`, { method: "POST", headers, body }))).json();
  }

  #fields({ attachments, ...fields }) {
    const files = attachments?.map((file) => ({ ...file, content: base64(file.content) }));
    return { ...fields, attachments: files };
  }
}

class RateLimit extends Own {
  async limit(options) {
    if (typeof options?.key !== "string") throw new TypeError("limit() needs { key: string }");
    const body = JSON.stringify({ ...of(this).rules, key: options.key });
    return (await told(await of(this).service.fetch("http://rate-limits/", { method: "POST", body }))).json();
  }
}

export const rateLimit = (inner) => new RateLimit(inner);
export const secret = (inner) => new SecretsStoreSecret(inner);
export const pipeline = (inner) => new Pipeline(inner);
export const email = (inner) => new SendEmail(inner);
export const d1 = (inner) => new D1(inner);
