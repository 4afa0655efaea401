"""The mapping tables: rows, loaded from a compiled index; YAML and its schema only when they are built."""
