"""What stands behind bindings on the local Cloudflare: KV, R2, D1, queues, the cache and rate limits."""
