"""A Cloudflare for Workers and Durable Objects on this machine: a separate program, met only over HTTP."""
