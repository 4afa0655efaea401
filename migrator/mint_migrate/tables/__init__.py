"""The mapping tables: rows from a compiled index; YAML and its schema only when it is built."""
