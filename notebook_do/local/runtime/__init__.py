"""workerd: its processes, its configuration, its sockets."""
