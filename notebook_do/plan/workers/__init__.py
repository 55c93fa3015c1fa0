"""What becomes of a Worker: whose it is, what differs, what its upload carries."""
