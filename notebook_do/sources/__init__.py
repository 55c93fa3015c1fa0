"""Reads a Worker's files: its source, what esbuild makes of it, its static assets."""
