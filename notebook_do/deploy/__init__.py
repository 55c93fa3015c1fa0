"""Runs one plan: lock, observe again, then journal, send, verify and record each step; what is cut off is recovered."""
