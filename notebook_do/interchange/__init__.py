"""Ways in and out: cells of live Workers, wrangler projects, TypeScript types."""
