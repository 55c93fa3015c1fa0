"""Pure: the text of a cell becomes declarations, and all declarations become one desired state."""
