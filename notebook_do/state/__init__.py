"""The state file and the journal: what was deployed and what is being sent, whole on the disk and under one lock."""
