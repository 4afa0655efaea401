"""Drawing tokens from a model: the loop, the filters, the stop rules and the random streams."""
