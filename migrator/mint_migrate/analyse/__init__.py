"""From text to facts: which names mean what, which calls and arguments there are. Reads only."""
