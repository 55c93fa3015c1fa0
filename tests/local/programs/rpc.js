// Hands out an object of its own to call further methods on, over RPC.
import { DurableObject, RpcTarget } from "cloudflare:workers";

class Account extends RpcTarget {
  #storage;
  #owner;
  constructor(storage, owner) {
    super();
    this.#storage = storage;
    this.#owner = owner;
  }
  async deposit(amount) {
    if (!(amount > 0)) throw new RangeError("a deposit is more than nothing");
    const balance = (await this.balance()) + amount;
    await this.#storage.put(this.#owner, balance);
    return balance;
  }
  async balance() {
    return (await this.#storage.get(this.#owner)) ?? 0;
  }
}

export class Program extends DurableObject {
  account(owner) {
    return new Account(this.ctx.storage, owner);
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    using account = await env.PROGRAM.getByName("bank").account(url.pathname.slice(1));
    try {
      await account.deposit(Number(url.searchParams.get("amount")));
    } catch (error) {
      return new Response(`${error.name}: ${error.message}`, { status: 400 });
    }
    return Response.json(await account.balance());
  },
};
