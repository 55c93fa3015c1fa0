// A table of notes in the object's own SQLite database.
import { DurableObject } from "cloudflare:workers";

export class Program extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, text TEXT)");
  }
  write(topic, text) {
    return this.ctx.storage.sql.exec("INSERT INTO notes (topic, text) VALUES (?, ?) RETURNING id", topic, text).one().id;
  }
  both(first, second) {
    this.ctx.storage.transactionSync(() => {
      this.write("pair", first);
      if (second === "") throw new Error("the second note is empty");
      this.write("pair", second);
    });
  }
  topics() {
    return this.ctx.storage.sql.exec("SELECT topic, count(*) AS notes FROM notes GROUP BY topic ORDER BY topic").toArray();
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const stub = env.PROGRAM.getByName("notebook");
    if (url.pathname === "/both") {
      try {
        await stub.both(url.searchParams.get("a"), url.searchParams.get("b"));
      } catch (error) {
        return new Response(error.message, { status: 422 });
      }
    } else if (request.method === "POST") {
      return Response.json(await stub.write(url.pathname.slice(1), await request.text()));
    }
    return Response.json(await stub.topics());
  },
};
