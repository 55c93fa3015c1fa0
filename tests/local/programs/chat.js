// A room whose sockets may sleep: each carries its own name, and the runtime wakes the object for a message.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  async fetch(request) {
    const { 0: theirs, 1: ours } = new WebSocketPair();
    this.ctx.acceptWebSocket(ours);
    ours.serializeAttachment({ name: new URL(request.url).searchParams.get("name") });
    return new Response(null, { status: 101, webSocket: theirs });
  }
  async webSocketMessage(socket, text) {
    const { name } = socket.deserializeAttachment();
    for (const one of this.ctx.getWebSockets()) one.send(`${name}: ${text}`);
  }
  async webSocketClose(socket, code) {
    const { name } = socket.deserializeAttachment();
    for (const one of this.ctx.getWebSockets()) if (one !== socket) one.send(`${name} left`);
    socket.close(code, "bye");
  }
}

export default {
  fetch(request, env) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("a websocket is needed", { status: 426 });
    return env.PROGRAM.getByName("room").fetch(request);
  },
};
