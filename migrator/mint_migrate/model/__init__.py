"""Records passed between the stages. No logic, no I/O, no trees: they compare, hash and pickle."""
