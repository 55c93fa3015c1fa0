"""The Workers port: from a client's request to a Worker and back."""
