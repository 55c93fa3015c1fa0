"""What becomes of a namespace: which one a stable ID is, where it goes, in which order."""
