"""The API token, the account and the values of secrets: found, kept from sight, sent only where they may be."""
