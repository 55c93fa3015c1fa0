"""Runs one plan: lock, observe again, then journal, send, see and record wave after wave; recovers what is cut off."""
