// A bucket of tokens for each caller; it fills again as time goes by.
import { DurableObject } from "cloudflare:workers";

const CAPACITY = 3;
const MILLISECONDS_PER_TOKEN = 3000;

export class Program extends DurableObject {
  tokens = CAPACITY;
  filled = Date.now();

  take() {
    const now = Date.now();
    this.tokens = Math.min(CAPACITY, this.tokens + (now - this.filled) / MILLISECONDS_PER_TOKEN);
    this.filled = now;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}

export default {
  async fetch(request, env) {
    const allowed = await env.PROGRAM.getByName(request.headers.get("x-caller") ?? "nobody").take();
    return new Response(allowed ? "come in" : "later", { status: allowed ? 200 : 429 });
  },
};
