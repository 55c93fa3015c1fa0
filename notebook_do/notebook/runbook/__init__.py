"""What of a notebook's cells is run for a plan on the command line, and how."""
