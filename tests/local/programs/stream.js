// Sends its answer piece by piece, and stops when the reader goes away.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  sent = 0;

  async fetch(request) {
    if (new URL(request.url).pathname === "/sent") return Response.json(this.sent);
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      pull: async (controller) => {
        await scheduler.wait(20);
        this.sent += 1;
        controller.enqueue(encoder.encode(`${this.sent}\n`));
      },
    });
    return new Response(body, { headers: { "content-type": "text/plain" } });
  }
}

export default {
  fetch(request, env) {
    return env.PROGRAM.getByName("feed").fetch(request);
  },
};
