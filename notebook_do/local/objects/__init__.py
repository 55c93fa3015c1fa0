"""Stored objects, looked into while workerd may be writing."""
