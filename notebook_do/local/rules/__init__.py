"""What Cloudflare refuses, and what an upload does to classes. Pure."""
