"""Pure: desired, recorded and observed become a plan. No clock, no randomness, no network."""
