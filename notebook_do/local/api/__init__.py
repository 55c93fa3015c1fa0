"""The REST API: routes, bodies, answers."""
