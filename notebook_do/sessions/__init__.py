"""One session: declarations, a state file and a target, joined."""
