"""What the account remembers, and how an upload becomes a deployed version."""
