"""What runs now: the connection to an account, and what is read from it."""
