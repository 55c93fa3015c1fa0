"""The server's own process: found or started, its data directory, its listening sockets."""
