"""The inventory: every use of a source framework in a tree, found without converting anything."""
