// What workerd's own `cloudflare:email` takes its class from; Cloudflare's runtime has it built in, the open one does not.

export class EmailMessage {
  constructor(from, to, raw) {
    if (raw === undefined) throw new TypeError("EmailMessage takes from, to and raw.");
    this.from = from;
    this.to = to;
    this.raw = raw;
  }
}

export default { EmailMessage };
