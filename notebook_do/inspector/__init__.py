"""What runs beside an object so that a notebook can ask it: the modules as text, and the wire of values. Pure."""
