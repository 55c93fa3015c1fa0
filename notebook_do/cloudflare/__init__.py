"""Effects: the Cloudflare API over HTTP; the only rooms that know its field names."""
